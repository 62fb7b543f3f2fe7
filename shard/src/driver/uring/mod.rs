//! The driver on io_uring: receives and sends are entries, so one system call serves many connections.
//!
//! A side of a slot has at most one outstanding operation. What it reads or writes belongs to the slot (a lease, the
//! output queue) or to a buffer ring, and stays until its completion was seen; a cancelled operation completes too.

mod buffers;
mod ring;

use std::cell::{Cell, OnceCell};
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use io_uring::{cqueue, opcode, squeue, types};

use self::buffers::Buffers;
use self::ring::{BATCH, Ring};
use super::completion::{polled, received, sent};
use crate::arena::{Arena, ArenaLimits, Class};
use crate::shard::Inner;
use crate::socket::{Side, Slot, flag};
use crate::time;

/// Classes that have buffer rings; the largest one is received into after readiness.
const RINGED: usize = 3;
const GROUPS: usize = RINGED * 2;
/// How long the end of a shard waits for its last completions.
const QUIESCE_LIMIT: Duration = Duration::from_secs(5);
/// `IORING_RECVSEND_POLL_FIRST`: wait for data before a buffer is taken.
const POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`: go on after a completion.
const MULTISHOT: u16 = 1 << 1;

/// What an entry was, in the first byte of its user data; then 24 bits of generation, 32 of the slot's index.
mod op {
    /// A receive from buffer group `RECV + group`.
    pub(super) const RECV: u8 = 0x10;
    pub(super) const RECV_INTO: u8 = 1;
    pub(super) const POLL_READ: u8 = 2;
    pub(super) const SEND: u8 = 3;
    pub(super) const POLL_WRITE: u8 = 4;
    pub(super) const CANCEL: u8 = 5;
    pub(super) const BELL: u8 = 6;
}

const GENERATION_MASK: u32 = 0xff_ffff;

fn user_data(op: u8, slot: &Slot, index: u32) -> u64 {
    u64::from(op) << 56 | u64::from(slot.generation.get() & GENERATION_MASK) << 32 | u64::from(index)
}

pub(crate) struct Uring {
    ring: Ring,
    groups: Box<[OnceCell<Option<Buffers>>; GROUPS]>,
    bell: i32,
    bell_armed: Cell<bool>,
    leaks: Cell<bool>,
}

impl Uring {
    /// # Errors
    /// The kernel denies io_uring, one of the modes it is used in, or the memory.
    pub(crate) fn new(bell: i32, submission_entries: u32, completion_entries: u32) -> io::Result<Uring> {
        let ring = Ring::new(submission_entries, completion_entries)?;
        let groups = Box::new(std::array::from_fn(|_| OnceCell::new()));
        Ok(Uring { ring, groups, bell, bell_armed: Cell::new(false), leaks: Cell::new(false) })
    }

    /// The buffer ring of a class, made when it is first wanted; `None` when the kernel has no memory for it.
    fn buffers(&self, arena: &Arena, class: Class, favoured: bool) -> Option<&Buffers> {
        let at = class as usize * 2 + usize::from(favoured);
        let make = || Buffers::new(&self.ring, arena, class, favoured, at as u16).ok();
        self.groups.get(at)?.get_or_init(make).as_ref()
    }

    pub(super) fn receives_ahead(&self, shard: &Inner, want: Class, favoured: bool) -> bool {
        self.buffers(&shard.arena, want, favoured).is_some()
    }

    pub(super) fn arm_receive(&self, slot: &Slot, index: u32, want: Option<Class>) {
        debug_assert!(!slot.has(flag::READ_ARMED));
        let fd = types::Fd(slot.fd.get());
        match want {
            None => {
                let Some(lease) = slot.into.take() else { return };
                let room = u32::try_from(lease.spare()).unwrap_or(u32::MAX);
                let entry = opcode::Recv::new(fd, lease.spare_ptr(), room).ioprio(POLL_FIRST).build();
                slot.into.set(Some(lease));
                slot.set(flag::READ_ARMED | flag::READ_INTO);
                // SAFETY: the kernel writes to the room of the lease in `slot.into`, which stays there, untouched,
                // until the completion (READ_INTO); a slot is not reused before that.
                unsafe { self.arm_read(entry, op::RECV_INTO, slot, index) };
            }
            Some(class) => {
                let Some(buffers) = self.made(class, slot.has(flag::FAVOURED)) else { return };
                // Who asked before asks again: one entry brings what comes until the owner turns to something else.
                let repeats =
                    class == Class::Head && slot.has(flag::USED) && !slot.has(flag::FAVOURED | flag::ONE_BY_ONE);
                let entry = opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                    .ioprio(if repeats { POLL_FIRST | MULTISHOT } else { POLL_FIRST })
                    .buf_group(buffers.group())
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT);
                slot.set(flag::READ_ARMED | if repeats { flag::READ_REPEATS } else { 0 });
                // SAFETY: the kernel writes to a block in the buffer ring, which the ring owns until the completion.
                unsafe { self.arm_read(entry, op::RECV + buffers.group() as u8, slot, index) };
            }
        }
    }

    /// # Safety
    /// As for [`Ring::push`].
    unsafe fn arm_read(&self, entry: squeue::Entry, op: u8, slot: &Slot, index: u32) {
        slot.read_op.set(op);
        // SAFETY: as the caller promises.
        unsafe { self.ring.push(entry.user_data(user_data(op, slot, index))) };
    }

    pub(super) fn await_side(&self, slot: &Slot, index: u32, side: Side) {
        let armed = if side == Side::Read { flag::READ_ARMED } else { flag::WRITE_ARMED };
        if slot.has(armed) {
            // Whatever is under way wakes the side when it ends.
            return;
        }
        let fd = types::Fd(slot.fd.get());
        match side {
            Side::Read => {
                let mut events = libc::POLLIN as u32 | libc::POLLRDHUP as u32;
                if slot.has(flag::LISTENER) {
                    // A listener shared by several shards wakes one of them.
                    events = libc::POLLIN as u32 | libc::EPOLLEXCLUSIVE as u32;
                }
                slot.set(flag::READ_ARMED | flag::READ_POLLS);
                let entry = opcode::PollAdd::new(fd, events).build();
                // SAFETY: a poll points to no memory.
                unsafe { self.arm_read(entry, op::POLL_READ, slot, index) };
            }
            Side::Write => {
                slot.set(flag::WRITE_ARMED | flag::WRITE_POLLS);
                let entry = opcode::PollAdd::new(fd, libc::POLLOUT as u32).build();
                // SAFETY: a poll points to no memory.
                unsafe { self.ring.push(entry.user_data(user_data(op::POLL_WRITE, slot, index))) };
            }
        }
    }

    pub(super) fn start_send(&self, slot: &Slot, index: u32) {
        debug_assert!(!slot.has(flag::WRITE_ARMED));
        let fd = types::Fd(slot.fd.get());
        let entry = slot.with_out(|out| {
            let out = out?;
            if let Some(only) = out.single() {
                let length = only.len();
                let entry = opcode::Send::new(fd, only.as_ptr(), length as u32).flags(libc::MSG_NOSIGNAL).build();
                out.in_flight = length;
                Some(entry)
            } else {
                let (message, bytes) = out.message();
                out.in_flight = bytes;
                Some(opcode::SendMsg::new(fd, message).flags(libc::MSG_NOSIGNAL as u32).build())
            }
        });
        let Some(entry) = entry else { return };
        slot.set(flag::WRITE_ARMED);
        // SAFETY: the kernel reads the segments and the header in `slot.out`, a box that stays, with its first
        // segments untouched, until the completion (WRITE_ARMED); a slot is not reused before that.
        unsafe { self.ring.push(entry.user_data(user_data(op::SEND, slot, index))) };
    }

    pub(super) fn cancel(&self, slot: &Slot, index: u32, side: Side) {
        let (cancelled, op) = match side {
            Side::Read => (flag::READ_CANCELLED, slot.read_op.get()),
            Side::Write if slot.has(flag::WRITE_POLLS) => (flag::WRITE_CANCELLED, op::POLL_WRITE),
            Side::Write => (flag::WRITE_CANCELLED, op::SEND),
        };
        if slot.has(cancelled) {
            return;
        }
        slot.set(cancelled);
        let entry = opcode::AsyncCancel::new(user_data(op, slot, index)).build();
        // SAFETY: a cancel points to no memory.
        unsafe { self.ring.push(entry.user_data(user_data(op::CANCEL, slot, index))) };
    }

    pub(super) fn park(&self, timeout: Option<Duration>) {
        if !self.bell_armed.replace(true) {
            let entry = opcode::PollAdd::new(types::Fd(self.bell), libc::POLLIN as u32).multi(true).build();
            // SAFETY: a poll points to no memory.
            unsafe { self.ring.push(entry.user_data(u64::from(op::BELL) << 56)) };
            // It ends with the ring only, so nobody waits for its completion.
            self.ring.outstanding.set(self.ring.outstanding.get() - 1);
        }
        // An error leaves everything for the next turn.
        let _ = self.ring.park(timeout);
    }

    pub(super) fn reap(&self, shard: &Inner) {
        let mut batch = [const { MaybeUninit::uninit() }; BATCH];
        loop {
            let completions = self.ring.take(&mut batch);
            if completions.is_empty() {
                return;
            }
            for completion in completions.iter() {
                self.completed(shard, completion);
            }
        }
    }

    fn completed(&self, shard: &Inner, completion: &cqueue::Entry) {
        let data = completion.user_data();
        let (op, generation, index) = ((data >> 56) as u8, (data >> 32) as u32 & GENERATION_MASK, data as u32);
        if op == op::BELL {
            if !cqueue::more(completion.flags()) {
                self.bell_armed.set(false);
            }
            return;
        }
        let more = cqueue::more(completion.flags());
        if !more {
            self.ring.outstanding.set(self.ring.outstanding.get() - 1);
        }
        let group = op.checked_sub(op::RECV).and_then(|group| self.groups.get(usize::from(group)));
        let buffers = group.and_then(|group| group.get()?.as_ref());
        let mut lease = None;
        if let (Some(buffers), Some(id)) = (buffers, cqueue::buffer_select(completion.flags())) {
            // Taken in any case: a buffer of a completion that nobody reads would be lost.
            lease = buffers.take(id);
            buffers.fill(&shard.arena);
        }
        let Some(slot) = shard.sockets.for_event(index, generation, GENERATION_MASK) else {
            debug_assert!(op == op::CANCEL, "a slot outlives its operations");
            return;
        };
        let result = completion.result();
        match op {
            op::CANCEL => {
                // What ends by itself needs no second try; what repeats was between two completions.
                if result < 0 && slot.has(flag::READ_REPEATS) && slot.has(flag::READ_CANCELLED) {
                    slot.clear(flag::READ_CANCELLED);
                    self.cancel(slot, index, Side::Read);
                }
                return;
            }
            op::POLL_READ => polled(shard, slot, index, (generation, GENERATION_MASK), Side::Read, result),
            op::POLL_WRITE => polled(shard, slot, index, (generation, GENERATION_MASK), Side::Write, result),
            op::SEND => sent(shard, slot, index, result),
            _ => {
                let rest = cqueue::sock_nonempty(completion.flags());
                let used_up = || {
                    let buffers = buffers?;
                    buffers.more();
                    buffers.fill(&shard.arena);
                    (buffers.count() == 0).then(|| buffers.class())
                };
                received(shard, slot, index, result, lease, (more, rest), used_up);
            }
        }
        if slot.has(flag::ZOMBIE) && slot.has(flag::OPEN) {
            shard.bury(slot, index);
        }
    }

    /// Buffers of a class that a receive could have now.
    pub(super) fn ready_buffers(&self, class: Class, favoured: bool) -> u32 {
        self.made(class, favoured).map_or(0, |buffers| u32::from(buffers.count()))
    }

    /// Entries whose last completion is to come.
    pub(super) fn outstanding(&self) -> usize {
        self.ring.outstanding.get() as usize
    }

    /// Buffers of all classes that lie in rings: the arena lent them to nobody who receives yet.
    pub(super) fn lying(&self) -> u64 {
        let made = self.groups.iter().filter_map(|group| group.get()?.as_ref());
        made.map(|buffers| u64::from(buffers.count())).sum()
    }

    fn made(&self, class: Class, favoured: bool) -> Option<&Buffers> {
        self.groups.get(class as usize * 2 + usize::from(favoured))?.get()?.as_ref()
    }

    pub(super) fn refill(&self, shard: &Inner) {
        for group in self.groups.iter() {
            if let Some(Some(buffers)) = group.get() {
                buffers.fill(&shard.arena);
            }
        }
    }

    pub(super) fn quiesce(&self, shard: &Inner) {
        let limit = time::monotonic() + QUIESCE_LIMIT;
        while self.ring.outstanding.get() > 0 && time::monotonic() < limit {
            let _ = self.ring.park(Some(Duration::from_millis(20)));
            self.reap(shard);
        }
        if self.ring.outstanding.get() > 0 {
            self.leaks.set(true);
            for index in 0..shard.sockets.made() {
                let slot = shard.sockets.at(index);
                if slot.has(flag::READ_ARMED | flag::WRITE_ARMED) {
                    // The kernel may still use these: never free them.
                    std::mem::forget((slot.into.take(), slot.out.take()));
                }
            }
        }
        for group in self.groups.iter() {
            if let Some(Some(buffers)) = group.get() {
                buffers.close(&self.ring, self.leaks.get());
            }
        }
    }
}

/// Whether io_uring can drive the shards of this process: a ring of the usual size in the modes a shard uses, a buffer
/// ring, and one receive through both.
///
/// # Errors
/// Why not, as a line for the log.
pub fn probe_uring() -> Result<(), String> {
    let ring = Ring::new(512, 4096).map_err(|error| format!("io_uring_setup: {error}"))?;
    let limits = ArenaLimits { buffers: [1, 0, 0, 0], reserve: [0; 4] };
    let arena = Arena::new(limits);
    let buffers = Buffers::new(&ring, &arena, Class::Head, false, 0)
        .map_err(|error| format!("registering a ring of buffers: {error}"))?;
    let tried = try_receive(&ring, &buffers);
    buffers.close(&ring, ring.outstanding.get() > 0);
    tried.map_err(|error| format!("a receive through io_uring: {error}"))
}

fn try_receive(ring: &Ring, buffers: &Buffers) -> io::Result<()> {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    let (mut near, far) = std::os::unix::net::UnixStream::pair()?;
    near.write_all(b"x")?;
    let entry = opcode::Recv::new(types::Fd(far.as_raw_fd()), std::ptr::null_mut(), 0)
        .ioprio(POLL_FIRST)
        .buf_group(buffers.group())
        .build()
        .flags(squeue::Flags::BUFFER_SELECT);
    // SAFETY: the kernel writes to the one block of the buffer ring.
    unsafe { ring.push(entry) };
    for _ in 0..10 {
        match ring.park(Some(Duration::from_millis(100))) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => return Err(error),
            _ => {}
        }
        let mut batch = [const { MaybeUninit::uninit() }; BATCH];
        if let Some(completion) = ring.take(&mut batch).first() {
            ring.outstanding.set(0);
            let received = crate::sys::check(completion.result())
                .map_err(|_| io::Error::from_raw_os_error(-completion.result()))?;
            let lease = cqueue::buffer_select(completion.flags()).and_then(|id| buffers.take(id));
            return match lease {
                Some(mut lease) if received == 1 => {
                    lease.advance(1);
                    if lease.filled() == b"x" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
                }
                _ => Err(io::ErrorKind::Unsupported.into()),
            };
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
