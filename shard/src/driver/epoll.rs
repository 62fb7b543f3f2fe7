//! The driver for kernels that deny io_uring: edge-triggered epoll, one registration a socket.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::Happened;
use crate::shard::Inner;
use crate::socket::{Slot, flag};
use crate::sys;

/// Events taken in one wait.
const EVENTS: usize = 512;
/// What the bell's eventfd is registered as; no slot has this index.
const BELL: u64 = u64::MAX;

/// An epoll descriptor and the events of its last wait.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: RefCell<Vec<libc::epoll_event>>,
}

impl Epoll {
    pub(crate) fn new(bell: i32) -> io::Result<Epoll> {
        // SAFETY: no pointers; the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(sys::check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        let epoll = Epoll { fd, events: RefCell::new(Vec::with_capacity(EVENTS)) };
        // Edge-triggered: each ring is an edge, and nobody ever needs to read the counter.
        epoll.add(bell, libc::EPOLLIN | libc::EPOLLET, BELL)?;
        Ok(epoll)
    }

    fn add(&self, fd: i32, events: i32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: a valid event; the kernel copies it.
        sys::check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    pub(super) fn attach(&self, slot: &Slot, index: u32) -> io::Result<()> {
        let data = u64::from(slot.generation.get()) << 32 | u64::from(index);
        let events = if slot.has(flag::LISTENER) {
            // A listener shared by several shards wakes one of them.
            libc::EPOLLIN | libc::EPOLLET | libc::EPOLLEXCLUSIVE
        } else {
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET
        };
        self.add(slot.fd.get(), events, data)
    }

    /// Closing a descriptor ends its registration only when it is the last one of its file. A listener shared with other
    /// shards would go on to take their wakes.
    pub(super) fn detach(&self, slot: &Slot) {
        if slot.has(flag::SHARED) {
            self.unwatch(slot);
        }
    }

    /// Ends the registration of a descriptor that stays open.
    pub(super) fn unwatch(&self, slot: &Slot) {
        if slot.has(flag::ATTACHED) {
            let nothing = std::ptr::null_mut();
            // SAFETY: EPOLL_CTL_DEL takes no event.
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, slot.fd.get(), nothing) };
        }
    }

    pub(super) fn park(&self, timeout: Option<Duration>) {
        let mut events = self.events.borrow_mut();
        debug_assert!(events.is_empty());
        let limit = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().min(i64::MAX as u64) as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let at = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the vector has room for EVENTS events, and as many as the kernel says it wrote become its length.
        unsafe {
            let capacity = EVENTS as i32;
            let count = epoll_pwait2(self.fd.as_raw_fd(), events.as_mut_ptr(), capacity, at);
            events.set_len(usize::try_from(count).unwrap_or(0));
        }
    }

    pub(super) fn reap(&self, shard: &Inner) {
        let count = self.events.borrow().len();
        for at in 0..count {
            let (bits, data) = {
                let event = self.events.borrow()[at];
                (event.events as i32, event.u64)
            };
            if data == BELL {
                continue;
            }
            let hangup = bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
            let happened = Happened {
                readable: bits & libc::EPOLLIN != 0 || hangup,
                writable: bits & (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) != 0,
                hangup,
            };
            shard.event(data as u32, (data >> 32) as u32, u32::MAX, happened);
        }
        self.events.borrow_mut().clear();
    }
}

/// Waits with nanosecond precision where the kernel can and may (5.11), in milliseconds, rounded up, elsewhere.
///
/// # Safety
/// `events` has room for `capacity` events; `timeout` is null or valid.
unsafe fn epoll_pwait2(
    fd: i32,
    events: *mut libc::epoll_event,
    capacity: i32,
    timeout: *const libc::timespec,
) -> libc::c_long {
    // SAFETY: as the caller promises; no signal mask.
    let count = unsafe {
        let no_mask = std::ptr::null::<libc::sigset_t>();
        libc::syscall(libc::SYS_epoll_pwait2, fd, events, capacity, timeout, no_mask, 0usize)
    };
    // Filters that have not heard of a call refuse it by EPERM, which the call itself never gives.
    if count >= 0 || !matches!(io::Error::last_os_error().raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
        return count;
    }
    // SAFETY: as the caller promises.
    unsafe {
        let wait = timeout.as_ref().map_or(-1, |limit| {
            let milliseconds = limit.tv_sec.saturating_mul(1000).saturating_add((limit.tv_nsec + 999_999) / 1_000_000);
            milliseconds.min(i64::from(i32::MAX)) as i32
        });
        libc::c_long::from(libc::epoll_wait(fd, events, capacity, wait))
    }
}
