//! How entries reach the kernel and completions come back: one ring, entered by our own system call.
//!
//! The crate's `submit` asks for events only when it waits for some, but with DEFER_TASKRUN completions appear only
//! when events are asked for; and it has no NO_IOWAIT, without which an idle ring counts as waiting for a disk.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{IoUring, cqueue, squeue};

use crate::sys;

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// Completions taken from the queue at a time.
pub(super) const BATCH: usize = 64;

/// struct io_uring_rsrc_update.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// struct io_uring_getevents_arg.
#[repr(C)]
struct WaitArgument {
    mask: u64,
    mask_size: u32,
    min_wait_us: u32,
    timeout: u64,
}

/// struct __kernel_timespec.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

pub(super) struct Ring {
    ring: RefCell<IoUring>,
    /// The ring's descriptor, or its number among this thread's registered rings.
    number: i32,
    flags: u32,
    /// Entries that found the queue full.
    backlog: RefCell<VecDeque<squeue::Entry>>,
    /// Entries given to the kernel or the backlog whose last completion did not come yet.
    pub(super) outstanding: Cell<u32>,
}

impl Ring {
    pub(super) fn new(submission_entries: u32, completion_entries: u32) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(completion_entries)
            .build(submission_entries)?;
        let parameters = ring.params();
        if !parameters.is_feature_ext_arg() || !parameters.is_feature_nodrop() || !parameters.is_feature_submit_stable()
        {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut flags = ENTER_EXT_ARG;
        if no_iowait(&ring) {
            flags |= ENTER_NO_IOWAIT;
        }
        let fd = ring.as_raw_fd();
        let number = match register(fd) {
            Ok(number) => {
                flags |= ENTER_REGISTERED_RING;
                number
            }
            Err(_) => fd,
        };
        Ok(Ring { ring: RefCell::new(ring), number, flags, backlog: RefCell::default(), outstanding: Cell::new(0) })
    }

    /// Registers a ring of `entries` provided buffers at `address` as group `group`.
    ///
    /// # Safety
    /// The memory holds that many entries and stays where it is until the group is unregistered or the ring is gone.
    pub(super) unsafe fn register_buffers(&self, address: u64, entries: u16, group: u16) -> io::Result<()> {
        // SAFETY: as the caller promises.
        unsafe { self.ring.borrow().submitter().register_buf_ring_with_flags(address, entries, group, 0) }
    }

    pub(super) fn unregister_buffers(&self, group: u16) -> io::Result<()> {
        self.ring.borrow().submitter().unregister_buf_ring(group)
    }

    /// Adds an entry; it is submitted at the latest when the shard parks.
    ///
    /// # Safety
    /// What the entry points to stays valid until its last completion (for a message header: until it is submitted).
    pub(super) unsafe fn push(&self, entry: squeue::Entry) {
        self.outstanding.set(self.outstanding.get() + 1);
        if self.backlog.borrow().is_empty() {
            // SAFETY: as the caller promises.
            if unsafe { self.try_push(&entry) } {
                return;
            }
            // What it does not take now waits in the backlog.
            let _ = self.enter(0, None, false);
            // SAFETY: as the caller promises.
            if unsafe { self.try_push(&entry) } {
                return;
            }
        }
        self.backlog.borrow_mut().push_back(entry);
    }

    /// Puts an entry in the queue. False when there is no room.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    unsafe fn try_push(&self, entry: &squeue::Entry) -> bool {
        // SAFETY: as the caller promises.
        unsafe { self.ring.borrow_mut().submission().push(entry).is_ok() }
    }

    /// Submits everything and waits for a completion, at most `timeout`.
    ///
    /// # Errors
    /// What the kernel says, for who tries it out. In a turn an error (interrupted, timed out, out of memory) leaves
    /// entries in the queue, and the next turn enters again.
    pub(super) fn park(&self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            let next = self.backlog.borrow_mut().pop_front();
            let Some(entry) = next else { break };
            // SAFETY: `push` took the promise for this entry.
            if !unsafe { self.try_push(&entry) } {
                self.backlog.borrow_mut().push_front(entry);
                self.enter(0, None, true)?;
                if self.ring.borrow_mut().submission().is_full() {
                    // The kernel takes nothing (out of memory, or completions overflowed): reap first.
                    return Ok(());
                }
            }
        }
        let waits = timeout != Some(Duration::ZERO) && self.ring.borrow_mut().completion().is_empty();
        self.enter(u32::from(waits), timeout, true)
    }

    /// One system call: submits what is queued, waits for `wanted` completions if `events`.
    fn enter(&self, wanted: u32, timeout: Option<Duration>, events: bool) -> io::Result<()> {
        let submit = self.ring.borrow_mut().submission().len() as u32;
        let limit = timeout.map(|timeout| Timespec {
            seconds: timeout.as_secs().min(i64::MAX as u64) as i64,
            nanoseconds: i64::from(timeout.subsec_nanos()),
        });
        let limit = if wanted > 0 { limit } else { None };
        let timeout = limit.as_ref().map_or(0, |limit| std::ptr::from_ref(limit).addr() as u64);
        let argument = WaitArgument { mask: 0, mask_size: 0, min_wait_us: 0, timeout };
        let flags = self.flags | if events { ENTER_GETEVENTS } else { 0 };
        // SAFETY: the argument and the timespec it points to outlive the call; entries in the queue are as `push` was
        // promised.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.number,
                submit,
                wanted,
                flags,
                &raw const argument,
                size_of::<WaitArgument>(),
            )
        };
        sys::check(rc as libc::c_int).map(drop)
    }

    /// Takes completions off the queue.
    pub(super) fn take<'a>(&self, into: &'a mut [MaybeUninit<cqueue::Entry>; BATCH]) -> &'a mut [cqueue::Entry] {
        self.ring.borrow_mut().completion().fill(into)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.flags & ENTER_REGISTERED_RING != 0 {
            let update = RingUpdate { offset: self.number as u32, reserved: 0, data: 0 };
            let fd = self.ring.borrow().as_raw_fd();
            // SAFETY: one valid update. A failure leaves the number taken until the thread ends.
            unsafe { libc::syscall(libc::SYS_io_uring_register, fd, UNREGISTER_RING_FDS, &raw const update, 1) };
        }
    }
}

/// Registers the ring's descriptor with this thread, so that entering it needs no look-up.
fn register(fd: i32) -> io::Result<i32> {
    let mut update = RingUpdate { offset: u32::MAX, reserved: 0, data: fd as u64 };
    // SAFETY: one valid update, which the kernel writes the number to.
    let rc = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1) };
    match sys::check(rc as libc::c_int)? {
        1 => Ok(update.offset as i32),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Whether the kernel knows ENTER_NO_IOWAIT (6.15). The crate keeps the feature bits to itself, so a call asks.
fn no_iowait(ring: &IoUring) -> bool {
    // SAFETY: submits nothing and waits for nothing; an unknown flag is EINVAL.
    unsafe {
        let no_argument = std::ptr::null::<WaitArgument>();
        libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), 0, 0, ENTER_NO_IOWAIT, no_argument, 0usize) >= 0
    }
}
