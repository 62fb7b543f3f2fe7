//! How does a shard's driver report what happened in a simulated world? As edges, and in the completion personality
//! also as operations that were started and have ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::calls::Calls;
use super::choice::Kind;
use super::net::{HANGUP, Notice, READ, WRITE, nanoseconds};
use super::world::{Personality, World};
use crate::arena::Class;
use crate::driver::{Driver, Happened, Job};
use crate::lease::Lease;
use crate::out::SEGMENTS_PER_SEND;
use crate::receive::join;
use crate::shard::{Inner, Options, Shard, register};
use crate::socket::{Side, Slot, errno, flag};
use crate::time::Tick;

/// How long a receive that was refused a buffer by a fault waits for the next try.
const NO_BUFFER_NS: u64 = 1_000_000;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Receives into a buffer taken when there is something to receive.
    Receive(Class),
    /// Receives into the slot's own lease.
    Continue,
    /// Sends this many of the queued bytes.
    Send(usize),
}

struct Started {
    operation: Operation,
    /// Not tried yet.
    fresh: bool,
    cancelled: bool,
}

/// The simulated driver of one shard.
pub(crate) struct Sim {
    pub(crate) calls: Calls,
    completes: bool,
    notices: RefCell<Vec<Notice>>,
    /// Operations under way, by slot and side (reads are `false`).
    started: RefCell<BTreeMap<(u32, bool), Started>>,
    /// Those that have not been tried, or that are to be cancelled.
    to_try: RefCell<Vec<(u32, bool)>>,
    operations: std::cell::Cell<u64>,
    /// When receives that a fault refused a buffer may try again.
    refused_until: RefCell<Vec<u64>>,
}

impl Shard {
    /// A shard in a simulated world. Many of them take turns on one thread; see [`World::turn_all`].
    ///
    /// # Errors
    /// The process has too many shards.
    pub fn simulated(world: &World, options: &Options) -> io::Result<Shard> {
        let bell = register(None)?;
        Ok(Shard::with_driver(options, bell, Driver::Sim(Sim::new(world))))
    }
}

impl Sim {
    fn new(world: &World) -> Sim {
        Sim {
            calls: Calls::new(world.clone()),
            completes: world.personality() == Personality::Completion,
            notices: RefCell::default(),
            started: RefCell::default(),
            to_try: RefCell::default(),
            operations: std::cell::Cell::new(0),
            refused_until: RefCell::default(),
        }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick::from_nanos(self.calls.world.now_ns())
    }

    pub(crate) fn unix(&self) -> u64 {
        self.calls.world.unix_time()
    }

    pub(crate) fn attach(&self, slot: &Slot, index: u32) -> io::Result<()> {
        self.calls.attach(slot.fd.get(), u64::from(slot.generation.get()) << 32 | u64::from(index))
    }

    pub(crate) fn take_job(&self, job: Job) -> Option<Job> {
        self.calls.world.submit(job);
        None
    }

    /// Moves the clock to the next thing that is due, at most by `timeout`, unless events wait already.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        if timeout == Some(Duration::ZERO) || self.calls.has_events() || !self.to_try.borrow().is_empty() {
            return;
        }
        let world = &self.calls.world;
        let now = world.now_ns();
        let limit = timeout.map(|timeout| now.saturating_add(nanoseconds(timeout)));
        let refused = self.refused_until.borrow().iter().copied().min();
        if let Some(time) = limit.into_iter().chain(world.next_due()).chain(refused).min() {
            world.advance(time);
        }
        world.sweep();
        world.run_jobs();
    }

    // ---- operations ------------------------------------------------------------------------------

    pub(crate) fn receives_ahead(&self) -> bool {
        self.completes
    }

    pub(crate) fn arm_receive(&self, slot: &Slot, index: u32, want: Option<Class>) {
        debug_assert!(!slot.has(flag::READ_ARMED));
        slot.set(flag::READ_ARMED);
        if want.is_none() {
            slot.set(flag::READ_INTO);
        }
        self.start(index, Side::Read, want.map_or(Operation::Continue, Operation::Receive));
    }

    pub(crate) fn sends_ahead(&self) -> bool {
        self.completes
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
        self.start(index, Side::Write, Operation::Send(bytes));
    }

    fn start(&self, index: u32, side: Side, operation: Operation) {
        let key = (index, side == Side::Write);
        let before = self.started.borrow_mut().insert(key, Started { operation, fresh: true, cancelled: false });
        assert!(before.is_none(), "one operation a side");
        self.to_try.borrow_mut().push(key);
        self.calls.world.more_to_do();
    }

    pub(crate) fn cancel(&self, _slot: &Slot, index: u32, side: Side) {
        let key = (index, side == Side::Write);
        if let Some(started) = self.started.borrow_mut().get_mut(&key)
            && !started.cancelled
        {
            started.cancelled = true;
            self.to_try.borrow_mut().push(key);
            self.calls.world.more_to_do();
        }
    }

    pub(crate) fn reap(&self, shard: &Inner) {
        let now = self.calls.world.now_ns();
        let before = self.refused_until.borrow().len();
        self.refused_until.borrow_mut().retain(|due| *due > now);
        if self.refused_until.borrow().len() < before {
            shard.feed_starved();
        }

        let mut notices = self.notices.take();
        self.calls.take_events(&mut notices);
        for notice in notices.drain(..) {
            self.report(shard, notice);
        }
        self.notices.replace(notices);
        let keys = self.to_try.take();
        for key in keys {
            self.attempt(shard, key);
        }
    }

    fn report(&self, shard: &Inner, notice: Notice) {
        let (index, generation) = (notice.token as u32, (notice.token >> 32) as u32);
        let mut happened = Happened {
            readable: notice.bits & READ != 0,
            writable: notice.bits & WRITE != 0,
            hangup: notice.bits & HANGUP != 0,
        };
        // A side with an operation under way hears of its end instead of what makes it go on.
        if let Some(slot) = shard.sockets.for_event(index, generation, u32::MAX) {
            if happened.readable && slot.has(flag::READ_ARMED) {
                happened.readable = false;
                self.attempt(shard, (index, false));
            }
            if happened.writable && slot.has(flag::WRITE_ARMED) {
                happened.writable = false;
                self.attempt(shard, (index, true));
            }
        }
        shard.event(index, generation, u32::MAX, happened);
    }

    /// Tries an operation, and ends it if it did something, failed or was cancelled.
    fn attempt(&self, shard: &Inner, key: (u32, bool)) {
        let Some((operation, fresh, cancelled)) = self.started.borrow_mut().get_mut(&key).map(|started| {
            let fresh = std::mem::replace(&mut started.fresh, false);
            (started.operation, fresh, started.cancelled)
        }) else {
            return;
        };
        let index = key.0;
        let slot = shard.sockets.at(index);
        let late = self.happens(Kind::CancelLate);
        // What was cancelled before it was tried, or while it waited, may still come to its ordinary end first.
        let tried = !cancelled || late;
        let ended = tried
            && match operation {
                Operation::Receive(want) => self.receive(shard, slot, index, want),
                Operation::Continue => self.go_on(shard, slot),
                Operation::Send(bytes) => self.send(shard, slot, bytes),
            };
        if !ended && !cancelled {
            debug_assert!(fresh || self.started.borrow().contains_key(&key));
            return;
        }
        self.started.borrow_mut().remove(&key);
        match operation {
            Operation::Send(_) => {
                slot.with_out(|out| out.into_iter().for_each(|out| out.in_flight = 0));
                slot.clear(flag::WRITE_ARMED);
                // As below: its edge was used up.
                slot.set(flag::WRITABLE);
                if slot.queued() > 0 {
                    shard.sockets.mark_dirty(index);
                }
                shard.sent(slot, index);
            }
            Operation::Receive(_) | Operation::Continue => {
                slot.clear(flag::READ_ARMED | flag::READ_INTO);
                // Its edge was used up by this operation, and a direct call would find more.
                if self.calls.is_readable(slot.fd.get()) {
                    slot.set(flag::READABLE);
                }
                if slot.has(flag::CLOSING) {
                    drop(slot.held.take());
                    shard.advance_close(slot, index);
                } else if !slot.has(flag::STARVED) {
                    shard.wake(slot.read_wake.take());
                }
            }
        }
    }

    /// Whether a fault refuses a buffer that is there; feeding is tried again a little later.
    pub(crate) fn refuses_buffer(&self) -> bool {
        let refuses = self.happens(Kind::NoBuffer);
        if refuses {
            let due = self.calls.world.now_ns() + NO_BUFFER_NS;
            self.refused_until.borrow_mut().push(due);
            self.calls.world.wake_at(due);
        }
        refuses
    }

    fn happens(&self, kind: Kind) -> bool {
        let number = self.operations.replace(self.operations.get() + 1);
        let network = self.calls.world.network();
        let per_mille = match kind {
            Kind::NoBuffer => network.faults.no_buffer,
            _ => network.faults.cancel_late,
        };
        network.choices().happens(kind, per_mille, u64::from(self.calls.shard()), number)
    }

    /// Receives into a fresh buffer. False when there is nothing yet.
    fn receive(&self, shard: &Inner, slot: &Slot, index: u32, want: Class) -> bool {
        if !self.calls.is_readable(slot.fd.get()) {
            return false;
        }
        let refused = self.refuses_buffer();
        let lease = if refused { None } else { shard.arena.take(want, slot.has(flag::FAVOURED)) };
        let Some(mut lease) = lease else {
            if !slot.has(flag::CLOSING) {
                shard.starve(slot, slot.id(index), want);
            }
            return true;
        };
        match self.calls.recv(slot.fd.get(), lease.spare_mut()) {
            Ok(0) => slot.ended(),
            Ok(bytes) => {
                lease.advance(bytes);
                hold(slot, lease);
            }
            Err(error) => return failed(slot, &error),
        }
        true
    }

    /// Receives into the slot's own lease. False when there is nothing yet.
    fn go_on(&self, _shard: &Inner, slot: &Slot) -> bool {
        let Some(mut lease) = slot.into.take() else { return true };
        match self.calls.recv(slot.fd.get(), lease.spare_mut()) {
            Ok(0) => {
                slot.ended();
                if slot.read_error.get() != 0 {
                    return true;
                }
            }
            Ok(bytes) => lease.advance(bytes),
            Err(error) => {
                slot.into.set(Some(lease));
                return failed(slot, &error);
            }
        }
        hold(slot, lease);
        slot.set(flag::INTO_DONE);
        true
    }

    /// Sends the first `bytes` bytes of what is queued. False when there is no room yet.
    fn send(&self, shard: &Inner, slot: &Slot, bytes: usize) -> bool {
        let sent = slot.with_out(|out| -> io::Result<usize> {
            let Some(out) = out else { return Ok(0) };
            let mut parts: [&[u8]; SEGMENTS_PER_SEND] = [&[]; SEGMENTS_PER_SEND];
            let count = out.gather(&mut parts);
            let mut left = bytes;
            for part in &mut parts[..count] {
                *part = &part[..part.len().min(left)];
                left -= part.len();
            }
            let sent = self.calls.send(slot.fd.get(), &parts[..count])?;
            out.in_flight = 0;
            out.sent(sent);
            Ok(sent)
        });
        match sent {
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => false,
            Err(error) => {
                slot.with_out(|out| out.into_iter().for_each(|out| out.in_flight = 0));
                shard.send_failed(slot, errno(&error));
                true
            }
        }
    }

    /// Ends every operation at once.
    pub(crate) fn quiesce(&self, shard: &Inner) {
        let started = self.started.take();
        for (index, _) in started.keys() {
            let slot = shard.sockets.at(*index);
            slot.clear(flag::READ_ARMED | flag::WRITE_ARMED | flag::READ_INTO);
            slot.with_out(|out| out.into_iter().for_each(|out| out.in_flight = 0));
        }
        for (index, write) in started.keys() {
            let slot = shard.sockets.at(*index);
            // A slot with both sides under way is buried at the first.
            let again = *write && started.contains_key(&(*index, false));
            if slot.has(flag::ZOMBIE) && !again {
                shard.bury(slot, *index);
            }
        }
    }
}

/// Keeps received bytes behind those that were put back.
fn hold(slot: &Slot, lease: Lease) {
    let lease = match slot.held.take() {
        None => lease,
        Some(front) => join(front, &lease),
    };
    slot.held.set(Some(lease));
}

/// Notes a receive's failure. False when it only has to wait.
fn failed(slot: &Slot, error: &io::Error) -> bool {
    if error.raw_os_error() == Some(libc::EAGAIN) {
        return false;
    }
    slot.read_error.set(errno(error));
    true
}
