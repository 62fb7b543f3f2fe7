//! What tests need that is unsafe: an allocator that counts, a kernel without io_uring, a loopback in a new namespace.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// The system's allocator, counting per thread. Install it in a test binary with `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

impl CountingAllocator {
    /// Allocations and reallocations this thread has made.
    pub fn allocations() -> u64 {
        ALLOCATIONS.get()
    }

    /// Bytes this thread has allocated minus bytes it has freed.
    pub fn live_bytes() -> i64 {
        LIVE.get()
    }
}

/// Makes the coming close of a connection a reset.
pub fn reset(stream: &TcpStream) {
    crate::sys::reset_on_close(stream.as_raw_fd());
}

fn count(allocations: u64, bytes: i64) {
    // A thread that is being torn down has no counters any more, and nobody asks for them.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + allocations));
    let _ = LIVE.try_with(|counter| counter.set(counter.get() + bytes));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    // SAFETY: as the trait has it.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as the trait has it.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: as the trait has it.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }

    // SAFETY: as the trait has it.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) };
    }
}

/// Takes io_uring away from the calling thread and from the threads and programs it starts, by a seccomp filter:
/// `io_uring_setup` gives EPERM from now on, as container runtimes have it.
///
/// # Errors
/// The kernel takes no filter.
pub fn deny_io_uring() -> std::io::Result<()> {
    deny(libc::SYS_io_uring_setup)
}

/// Lets a system call give EPERM from now on, in the calling thread and what it starts.
pub(crate) fn deny(call: libc::c_long) -> std::io::Result<()> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // The system call's number is the first field of struct seccomp_data.
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, call as u32),
        step(RETURN, 0, 0, ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: a valid program, which the kernel copies; without new privileges no permission is needed.
    unsafe {
        crate::sys::check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        crate::sys::check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))?;
    }
    Ok(())
}

/// Switches the loopback interface on, which a new network namespace has off.
///
/// # Errors
/// What the kernel says; EPERM for who may not administer this namespace.
pub fn raise_loopback() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero is a valid ifreq: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    let fd = socket.as_raw_fd();
    // SAFETY: the descriptor is open, and this request only reads the valid ifreq.
    crate::sys::check(unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}
