/*
 * System calls that valgrind 3.19 does not know, by means of those it knows: openat2, epoll_pwait2, cachestat. Loaded
 * before the C library where instructions are counted, and nowhere else: openat is less strict than openat2.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

enum { EPOLL_PWAIT2 = 441, OPENAT2 = 437, CACHESTAT = 451, PAGE = 4096 };

struct open_how { uint64_t flags, mode, resolve; };
struct cachestat_range { uint64_t offset, length; };
struct cachestat { uint64_t cached, dirty, writeback, evicted, recently_evicted; };

long syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    long a = va_arg(arguments, long), b = va_arg(arguments, long), c = va_arg(arguments, long);
    long d = va_arg(arguments, long), e = va_arg(arguments, long), f = va_arg(arguments, long);
    va_end(arguments);
    switch (number) {
    case OPENAT2: {
        const struct open_how *how = (const struct open_how *)c;
        return openat((int)a, (const char *)b, (int)how->flags, (mode_t)how->mode);
    }
    case EPOLL_PWAIT2: {
        const struct timespec *wait = (const struct timespec *)d;
        long ms = wait ? wait->tv_sec * 1000 + (wait->tv_nsec + 999999) / 1000000 : -1;
        return epoll_pwait((int)a, (struct epoll_event *)b, (int)c, (int)ms, (const sigset_t *)e);
    }
    case CACHESTAT: {
        const struct cachestat_range *range = (const struct cachestat_range *)b;
        *(struct cachestat *)c = (struct cachestat){ .cached = (range->offset % PAGE + range->length + PAGE - 1) / PAGE };
        return 0;
    }
    default: {
        static long (*next)(long, ...);
        if (!next)
            next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
        return next(number, a, b, c, d, e, f);
    }
    }
}
