//! How the kernel is asked: the system calls shared by the drivers, with errors as `io::Error`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use crate::net::{Address, RawAddress};

/// What `splice` moves through: a pipe of 256 KiB.
pub(crate) struct Pipe {
    pub(crate) read: i32,
    pub(crate) write: i32,
    /// Bytes in the pipe.
    pub(crate) filled: usize,
    /// Whether the ends are descriptors, to be closed.
    pub(crate) owned: bool,
}

/// A pipe's nominal size in bytes.
pub(crate) const PIPE_SIZE: usize = 256 << 10;

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.owned {
            close(self.read);
            close(self.write);
        }
    }
}

/// How long the thread whose `schedstat` this is waited for a processor.
pub(crate) fn run_delay(schedstat: &std::fs::File) -> Option<std::time::Duration> {
    use std::os::unix::fs::FileExt;
    let mut line = [0; 64];
    let length = schedstat.read_at(&mut line, 0).ok()?;
    let second = std::str::from_utf8(&line[..length]).ok()?.split_ascii_whitespace().nth(1)?;
    second.parse().ok().map(std::time::Duration::from_nanos)
}

/// The result of a system call: negative is `errno`.
pub(crate) fn check(result: libc::c_int) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call that a signal interrupted.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

pub(crate) fn map_anonymous(length: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Gives the whole pages of a range back to the kernel; they read as zeros when they are used again.
///
/// # Safety
/// The range lies in what [`map_anonymous`] mapped, nobody refers to it, and what it contains is of no use to anybody.
pub(crate) unsafe fn discard(memory: NonNull<u8>, length: usize) {
    const PAGE: usize = 4096;
    let skipped = memory.align_offset(PAGE);
    let whole = length.saturating_sub(skipped) & !(PAGE - 1);
    if whole > 0 {
        // SAFETY: as the caller promises; `skipped + whole` is at most `length`. A kernel with larger pages refuses what
        // does not begin with one, and keeps the memory.
        unsafe { libc::madvise(memory.as_ptr().add(skipped).cast(), whole, libc::MADV_DONTNEED) };
    }
}

/// # Safety
/// `memory` was mapped by [`map_anonymous`] with this length and is not used any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, length: usize) {
    // SAFETY: as the caller promises.
    let rc = unsafe { libc::munmap(memory.as_ptr().cast(), length) };
    debug_assert_eq!(rc, 0);
}

pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

pub(crate) fn eventfd_signal(fd: &OwnedFd) {
    let one = 1u64;
    // SAFETY: writes the eight bytes of `one`. It fails only when the counter is full, and then the reader is awake.
    unsafe { libc::write(fd.as_raw_fd(), (&raw const one).cast(), 8) };
}

pub(crate) fn close(fd: i32) {
    // SAFETY: callers own the descriptor and forget it. Linux closes it whatever the result is.
    unsafe { libc::close(fd) };
}

pub(crate) fn set_nonblocking(fd: i32) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL take and give integers.
    unsafe {
        let flags = check(libc::fcntl(fd, libc::F_GETFL))?;
        if flags & libc::O_NONBLOCK == 0 {
            check(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK))?;
        }
    }
    Ok(())
}

pub(crate) fn set_option<T>(fd: i32, level: i32, name: i32, value: T) -> io::Result<()> {
    // SAFETY: the pointer and length are those of `value`, a plain C structure at every caller.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of::<T>() as u32) })?;
    Ok(())
}

/// Takes a socket's pending error: how a connect ended.
pub(crate) fn take_error(fd: i32) -> io::Result<()> {
    let mut errno = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `errno`.
    check(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut errno).cast(), &raw mut length) })?;
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

pub(crate) fn socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the result is a new descriptor that nobody else owns.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?)) }
}

/// Makes a bound socket a listener, or changes how many connections wait at one.
pub(crate) fn listen(fd: i32, backlog: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd, i32::try_from(backlog).unwrap_or(i32::MAX)) }).map(drop)
}

pub(crate) fn accept(listener: i32) -> io::Result<(i32, Address)> {
    let mut address = RawAddress::empty();
    // SAFETY: the kernel writes at most the room that `RawAddress` says it has.
    let fd = uninterrupted(|| unsafe {
        let (at, length) = address.parts_mut();
        check(libc::accept4(listener, at, length, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC))
    })?;
    Ok((fd, address.address()))
}

/// Starts a connection on a new socket; true when it stands already.
pub(crate) fn connect(to: &Address) -> io::Result<(OwnedFd, bool)> {
    let address = RawAddress::of(to)?;
    let fd = socket(address.family())?;
    if matches!(to, Address::Ip(_)) {
        set_option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32)?;
    }
    let (at, length) = address.parts();
    // SAFETY: the address is valid for `length` bytes.
    match check(unsafe { libc::connect(fd.as_raw_fd(), at, length) }) {
        Ok(_) => Ok((fd, true)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => Ok((fd, false)),
        Err(error) => Err(error),
    }
}

pub(crate) fn recv(fd: i32, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to the slice.
    uninterrupted(|| check_size(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) }))
}

/// One send of all parts. `more` tells TCP that more follows at once.
pub(crate) fn send(fd: i32, parts: &[&[u8]], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
    if let [only] = parts {
        // SAFETY: the slice is valid for its length.
        return uninterrupted(|| check_size(unsafe { libc::send(fd, only.as_ptr().cast(), only.len(), flags) }));
    }
    // SAFETY: all-zero is a valid iovec: no memory, no length.
    let mut iovecs: [libc::iovec; crate::out::SEGMENTS_PER_SEND] = unsafe { std::mem::zeroed() };
    let count = parts.len().min(iovecs.len());
    for (iovec, part) in iovecs.iter_mut().zip(parts) {
        *iovec = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
    }
    // SAFETY: all-zero is a valid msghdr; the iovecs and what they point to outlive the call.
    uninterrupted(|| unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = iovecs.as_mut_ptr();
        message.msg_iovlen = count as _;
        check_size(libc::sendmsg(fd, &raw const message, flags))
    })
}

/// Whether `events` (POLLIN, POLLOUT) is so right now.
pub(crate) fn is_ready(fd: i32, events: i16) -> bool {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one valid pollfd, no wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// Sends a FIN. An error means that the connection is gone, which reads find out too.
pub(crate) fn shutdown_write(fd: i32) {
    // SAFETY: no pointers.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Makes the coming close a reset.
pub(crate) fn reset_on_close(fd: i32) {
    // A socket that cannot be told so is not a TCP socket, and is simply closed.
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 });
}

pub(crate) fn sendfile(fd: i32, file: i32, offset: u64, length: usize) -> io::Result<usize> {
    let mut at = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads and writes `at` only.
    uninterrupted(|| check_size(unsafe { libc::sendfile(fd, file, &raw mut at, length) }))
}

pub(crate) fn pipe() -> io::Result<Pipe> {
    let mut ends = [0i32; 2];
    // SAFETY: the kernel writes two descriptors to `ends`.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
    let pipe = Pipe { read: ends[0], write: ends[1], filled: 0, owned: true };
    // SAFETY: F_SETPIPE_SZ takes an integer. A user over the soft limit keeps the smaller pipe.
    unsafe { libc::fcntl(pipe.write, libc::F_SETPIPE_SZ, PIPE_SIZE as libc::c_int) };
    Ok(pipe)
}

pub(crate) fn splice(from: i32, to: i32, length: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: no offsets, so no pointers.
    uninterrupted(|| check_size(unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), length, flags) }))
}

pub(crate) fn peer(fd: i32) -> io::Result<Address> {
    let mut address = RawAddress::empty();
    let (at, length) = address.parts_mut();
    // SAFETY: the kernel writes at most the room that `RawAddress` says it has.
    check(unsafe { libc::getpeername(fd, at, length) })?;
    Ok(address.address())
}

pub(crate) fn local(fd: i32) -> io::Result<Address> {
    let mut address = RawAddress::empty();
    let (at, length) = address.parts_mut();
    // SAFETY: the kernel writes at most the room that `RawAddress` says it has.
    check(unsafe { libc::getsockname(fd, at, length) })?;
    Ok(address.address())
}
