//! How do operations behave that are started and complete in a later turn, as on io_uring? They wait in a queue that may
//! be full, are tried when something happened, complete once or again and again, and a cancel may come too late.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::choice::Kind;
use super::driver::Sim;
use crate::arena::Class;
use crate::driver::completion::{polled, received, sent};
use crate::out::SEGMENTS_PER_SEND;
use crate::shard::Inner;
use crate::socket::{Side, Slot, errno, flag};

/// How long a full queue takes nothing, at most.
const FULL_QUEUE_NS: u64 = 5_000_000;
/// Completions of a repeating receive in a row.
const REPEATS_AT_ONCE: u32 = 32;

/// A slot and its side, of which writes are `true`.
pub(super) type Key = (u32, bool);

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Receives into a buffer taken when there is something to receive; again and again if `repeats`.
    Receive { want: Class, repeats: bool },
    /// Receives into the slot's own lease.
    Continue,
    /// Sends this many of the queued bytes.
    Send(usize),
    /// Completes when the side is ready.
    Poll,
}

#[derive(Clone, Copy, Debug)]
struct Started {
    operation: Operation,
    /// The queue has taken it.
    submitted: bool,
}

/// What waits in the queue.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Start(Key),
    Cancel(Key),
}

/// The operations of one shard.
#[derive(Default)]
pub(super) struct Operations {
    started: RefCell<BTreeMap<Key, Started>>,
    queue: RefCell<VecDeque<Entry>>,
    full_until: Cell<u64>,
    pushed: Cell<u64>,
}

impl Operations {
    /// Operations whose last completion is to come.
    pub(super) fn outstanding(&self) -> usize {
        self.started.borrow().len()
    }

    /// Whether an entry waits that the queue takes now.
    pub(super) fn waits(&self, now: u64) -> bool {
        !self.queue.borrow().is_empty() && self.full_until.get() <= now
    }

    /// When the queue takes entries again, if some wait for that.
    pub(super) fn due(&self) -> Option<u64> {
        (!self.queue.borrow().is_empty()).then(|| self.full_until.get())
    }
}

impl Sim {
    pub(crate) fn arm_receive(&self, slot: &Slot, index: u32, want: Option<Class>) {
        debug_assert!(!slot.has(flag::READ_ARMED));
        slot.set(flag::READ_ARMED);
        let operation = match want {
            None => {
                slot.set(flag::READ_INTO);
                Operation::Continue
            }
            Some(want) => {
                // As io_uring has it: who asked before asks again.
                let repeats =
                    want == Class::Head && slot.has(flag::USED) && !slot.has(flag::FAVOURED | flag::ONE_BY_ONE);
                slot.set(if repeats { flag::READ_REPEATS } else { 0 });
                Operation::Receive { want, repeats }
            }
        };
        self.start((index, false), operation);
    }

    pub(crate) fn start_send(&self, slot: &Slot, index: u32) {
        debug_assert!(!slot.has(flag::WRITE_ARMED));
        let bytes = slot.with_out(|out| {
            out.map_or(0, |out| {
                let mut parts: [&[u8]; SEGMENTS_PER_SEND] = [&[]; SEGMENTS_PER_SEND];
                let count = out.gather(&mut parts);
                let bytes = parts[..count].iter().map(|part| part.len()).sum();
                out.in_flight = bytes;
                bytes
            })
        });
        slot.set(flag::WRITE_ARMED);
        self.start((index, true), Operation::Send(bytes));
    }

    /// Starts a poll of a side, unless something is under way there that wakes it when it ends.
    pub(crate) fn await_side(&self, slot: &Slot, index: u32, side: Side) {
        let (armed, polls) = match side {
            Side::Read => (flag::READ_ARMED, flag::READ_POLLS),
            Side::Write => (flag::WRITE_ARMED, flag::WRITE_POLLS),
        };
        if self.completes && !slot.has(armed) {
            slot.set(armed | polls);
            self.start((index, side == Side::Write), Operation::Poll);
        }
    }

    pub(crate) fn cancel(&self, slot: &Slot, index: u32, side: Side) {
        let cancelled = if side == Side::Read { flag::READ_CANCELLED } else { flag::WRITE_CANCELLED };
        if !slot.has(cancelled) {
            slot.set(cancelled);
            self.push(Entry::Cancel((index, side == Side::Write)));
        }
    }

    fn start(&self, key: Key, operation: Operation) {
        let before = self.operations.started.borrow_mut().insert(key, Started { operation, submitted: false });
        assert!(before.is_none(), "one operation a side");
        self.push(Entry::Start(key));
    }

    fn push(&self, entry: Entry) {
        let operations = &self.operations;
        let world = &self.calls.world;
        operations.queue.borrow_mut().push_back(entry);
        let number = operations.pushed.replace(operations.pushed.get() + 1);
        let now = world.now_ns();
        if self.happens_at(Kind::FullQueue, number) {
            let length = self.below(Kind::FullQueue, FULL_QUEUE_NS, number);
            operations.full_until.set(operations.full_until.get().max(now + length));
        }
        if operations.full_until.get() > now {
            world.wake_at(operations.full_until.get());
        } else {
            world.more_to_do();
        }
    }

    /// Lets the queue take what waits, in order.
    pub(super) fn submit(&self, shard: &Inner) {
        if !self.operations.waits(self.calls.world.now_ns()) {
            return;
        }
        let entries = self.operations.queue.take();
        for entry in entries {
            match entry {
                Entry::Start(key) => {
                    if let Some(started) = self.operations.started.borrow_mut().get_mut(&key) {
                        started.submitted = true;
                    }
                    self.attempt(shard, key);
                }
                Entry::Cancel(key) => self.try_cancel(shard, key),
            }
        }
    }

    /// A cancel ends what it finds. What it does not find comes to its ordinary end, if it has one; else it is cancelled
    /// again, as io_uring's driver does.
    fn try_cancel(&self, shard: &Inner, key: Key) {
        if self.happens(Kind::CancelLate) {
            self.attempt(shard, key);
            if self.operations.started.borrow().contains_key(&key) && self.happens(Kind::CancelLate) {
                return self.push(Entry::Cancel(key));
            }
        }
        let started = self.operations.started.borrow().get(&key).copied();
        if let Some(started) = started {
            self.end(shard, key, started.operation, -libc::ECANCELED);
        }
    }

    /// Tries an operation that is under way on a side, if one is.
    pub(super) fn attempt(&self, shard: &Inner, key: Key) {
        let started = self.operations.started.borrow().get(&key).copied();
        let Some(Started { operation, submitted: true }) = started else { return };
        let slot = shard.sockets.at(key.0);
        match operation {
            Operation::Receive { want, repeats } => {
                for _ in 0..REPEATS_AT_ONCE {
                    let more = self.receive(shard, slot, key, want, repeats);
                    if !more {
                        return;
                    }
                }
                // The rest is for later, as a kernel has it.
                self.calls.nudge(slot.fd.get());
            }
            Operation::Continue => {
                let Some(mut lease) = slot.into.take() else { return };
                let result = self.calls.recv(slot.fd.get(), lease.spare_mut());
                slot.into.set(Some(lease));
                self.end_unless_waiting(shard, key, operation, result);
            }
            Operation::Send(bytes) => {
                let result = self.send(slot, bytes);
                self.end_unless_waiting(shard, key, operation, result);
            }
            Operation::Poll => {
                let side = if key.1 { Side::Write } else { Side::Read };
                if let Some(bits) = self.calls.ready_bits(slot.fd.get(), side) {
                    self.end(shard, key, operation, bits);
                }
            }
        }
    }

    fn end_unless_waiting(&self, shard: &Inner, key: Key, operation: Operation, result: io::Result<usize>) {
        match result {
            Ok(bytes) => self.end(shard, key, operation, i32::try_from(bytes).unwrap_or(i32::MAX)),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            Err(error) => self.end(shard, key, operation, -i32::from(errno(&error))),
        }
    }

    /// Receives once into a fresh buffer. Says whether it may go on at once.
    fn receive(&self, shard: &Inner, slot: &Slot, key: Key, want: Class, repeats: bool) -> bool {
        let fd = slot.fd.get();
        if !self.calls.is_readable(fd) {
            return false;
        }
        let operation = Operation::Receive { want, repeats };
        let lease = if self.refuses_buffer() { None } else { shard.arena.take(want, slot.has(flag::FAVOURED)) };
        let Some(mut lease) = lease else {
            self.end(shard, key, operation, -libc::ENOBUFS);
            return false;
        };
        match self.calls.recv(fd, lease.spare_mut()) {
            Ok(bytes) if bytes > 0 && repeats && !self.happens(Kind::RepeatEnds) => {
                let rest = self.calls.is_readable(fd);
                received(shard, slot, key.0, bytes as i32, Some(lease), (true, rest), || None);
                self.bury(shard, slot, key.0);
                self.operations.started.borrow().contains_key(&key)
            }
            Ok(bytes) => {
                self.operations.started.borrow_mut().remove(&key);
                let rest = self.calls.is_readable(fd);
                let lease = (bytes > 0).then_some(lease);
                received(shard, slot, key.0, bytes as i32, lease, (false, rest), || None);
                self.bury(shard, slot, key.0);
                false
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => false,
            Err(error) => {
                self.end(shard, key, operation, -i32::from(errno(&error)));
                false
            }
        }
    }

    /// Sends the first `bytes` bytes of what is queued.
    fn send(&self, slot: &Slot, bytes: usize) -> io::Result<usize> {
        slot.with_out(|out| {
            let Some(out) = out else { return Ok(0) };
            let mut parts: [&[u8]; SEGMENTS_PER_SEND] = [&[]; SEGMENTS_PER_SEND];
            let count = out.gather(&mut parts);
            let mut left = bytes;
            for part in &mut parts[..count] {
                *part = &part[..part.len().min(left)];
                left -= part.len();
            }
            self.calls.send(slot.fd.get(), &parts[..count])
        })
    }

    /// An operation's last completion.
    fn end(&self, shard: &Inner, key: Key, operation: Operation, result: i32) {
        self.operations.started.borrow_mut().remove(&key);
        let (index, slot) = (key.0, shard.sockets.at(key.0));
        match operation {
            Operation::Receive { want, .. } => {
                received(shard, slot, index, result, None, (false, false), || Some(want));
            }
            Operation::Continue => received(shard, slot, index, result, None, (false, false), || None),
            Operation::Send(_) => sent(shard, slot, index, result),
            Operation::Poll => {
                let side = if key.1 { Side::Write } else { Side::Read };
                polled(shard, slot, index, (slot.generation.get(), u32::MAX), side, result);
            }
        }
        self.bury(shard, slot, index);
    }

    fn bury(&self, shard: &Inner, slot: &Slot, index: u32) {
        if slot.has(flag::ZOMBIE) && slot.has(flag::OPEN) {
            shard.bury(slot, index);
        }
    }

    /// Ends every operation at once.
    pub(super) fn end_all(&self, shard: &Inner) {
        self.operations.queue.take();
        loop {
            let first = self.operations.started.borrow().iter().next().map(|(key, started)| (*key, started.operation));
            let Some((key, operation)) = first else { return };
            self.end(shard, key, operation, -libc::ECANCELED);
        }
    }
}
