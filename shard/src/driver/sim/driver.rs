//! How does a shard's driver report what happened in a simulated world? As edges, or in the completion personality as
//! operations that were started and have ended.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use super::calls::Calls;
use super::choice::Kind;
use super::net::{HANGUP, Notice, READ, WRITE, nanoseconds};
use super::operations::Operations;
use super::world::{Personality, World};
use crate::driver::{Driver, Happened, Job};
use crate::shard::{Inner, Options, Shard, register};
use crate::socket::Slot;
use crate::time::Tick;

/// How long a receive that was refused a buffer by a fault waits for the next try.
const NO_BUFFER_NS: u64 = 1_000_000;
/// How long a shard has no buffers for anybody, at most.
const DROUGHT_NS: u64 = 20_000_000;

/// The simulated driver of one shard.
pub(crate) struct Sim {
    pub(crate) calls: Calls,
    pub(super) completes: bool,
    notices: RefCell<Vec<Notice>>,
    pub(super) operations: Operations,
    /// Choices made so far.
    choices: Cell<u64>,
    /// When receives that a fault refused a buffer may try again.
    refused_until: RefCell<Vec<u64>>,
    /// Until then nobody gets a buffer.
    drought_until: Cell<u64>,
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
            operations: Operations::default(),
            choices: Cell::new(0),
            refused_until: RefCell::default(),
            drought_until: Cell::new(0),
        }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick::from_nanos(self.calls.world.now_ns())
    }

    pub(crate) fn unix(&self) -> u64 {
        self.calls.world.unix_time()
    }

    /// Another one for each shard of a world.
    pub(crate) fn seed(&self) -> u64 {
        let calls = &self.calls;
        calls.world.network().choices().word(Kind::Random, u64::from(calls.shard()), 0)
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
        let world = &self.calls.world;
        let now = world.now_ns();
        if timeout == Some(Duration::ZERO) || self.calls.has_events() || self.operations.waits(now) {
            return;
        }
        let limit = timeout.map(|timeout| now.saturating_add(nanoseconds(timeout)));
        let refused = self.refused_until.borrow().iter().copied().min();
        if let Some(time) = limit.into_iter().chain(world.next_due()).chain(refused).chain(self.operations.due()).min()
        {
            world.advance(time);
        }
        world.sweep();
        world.run_jobs();
    }

    pub(crate) fn receives_ahead(&self) -> bool {
        self.completes
    }

    pub(crate) fn sends_ahead(&self) -> bool {
        self.completes
    }

    /// Operations whose last completion is to come.
    pub(crate) fn outstanding(&self) -> usize {
        self.operations.outstanding()
    }

    pub(crate) fn reap(&self, shard: &Inner) {
        let now = self.calls.world.now_ns();
        let before = self.refused_until.borrow().len();
        self.refused_until.borrow_mut().retain(|due| *due > now);
        if self.refused_until.borrow().len() < before && self.drought_until.get() <= now {
            shard.feed_starved();
        }

        let mut notices = self.notices.take();
        self.calls.take_events(&mut notices);
        for notice in notices.drain(..) {
            self.report(shard, notice);
        }
        self.notices.replace(notices);
        self.submit(shard);
    }

    /// An event: an edge for who waits for readiness, another try for the operations under way.
    fn report(&self, shard: &Inner, notice: Notice) {
        let (index, generation) = (notice.token as u32, (notice.token >> 32) as u32);
        if !self.completes {
            let happened = Happened {
                readable: notice.bits & READ != 0,
                writable: notice.bits & WRITE != 0,
                hangup: notice.bits & HANGUP != 0,
            };
            return shard.event(index, generation, u32::MAX, happened);
        }
        for (bit, write) in [(READ, false), (WRITE, true)] {
            if notice.bits & bit != 0 && shard.sockets.for_event(index, generation, u32::MAX).is_some() {
                self.attempt(shard, (index, write));
            }
        }
    }

    /// Whether a fault refuses a buffer that is there; feeding is tried again a little later.
    pub(crate) fn refuses_buffer(&self) -> bool {
        let now = self.calls.world.now_ns();
        let number = self.choices.get();
        if now >= self.drought_until.get() && self.happens(Kind::Drought) {
            self.drought_until.set(now + 1 + self.below(Kind::Drought, DROUGHT_NS, number));
        }
        let due = if now < self.drought_until.get() {
            self.drought_until.get()
        } else if self.happens(Kind::NoBuffer) {
            now + NO_BUFFER_NS
        } else {
            return false;
        };
        if !self.refused_until.borrow().contains(&due) {
            self.refused_until.borrow_mut().push(due);
            self.calls.world.wake_at(due);
        }
        true
    }

    /// How many rows and tasks run in this turn.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn turn_limits(&self, rows: usize, polls: usize) -> (usize, usize) {
        let number = self.choices.get();
        if !self.happens(Kind::ShortTurn) {
            return (rows, polls);
        }
        let word = self.below(Kind::ShortTurn, 16, number) as usize;
        (1 + word % 4, 1 + word / 4)
    }

    /// Whether a fault of this kind happens to this shard now.
    pub(super) fn happens(&self, kind: Kind) -> bool {
        self.happens_at(kind, self.choices.replace(self.choices.get() + 1))
    }

    pub(super) fn happens_at(&self, kind: Kind, number: u64) -> bool {
        let network = self.calls.world.network();
        let faults = &network.faults;
        let rate = match kind {
            Kind::NoBuffer => faults.no_buffer,
            Kind::Drought => faults.drought,
            Kind::CancelLate => faults.cancel_late,
            Kind::FullQueue => faults.full_queue,
            Kind::RepeatEnds => faults.repeat_ends,
            #[cfg(any(test, feature = "testing"))]
            Kind::ShortTurn => faults.short_turn,
            _ => 0,
        };
        network.choices().happens(kind, rate, u64::from(self.calls.shard()), number)
    }

    pub(super) fn below(&self, kind: Kind, bound: u64, number: u64) -> u64 {
        self.calls.world.network().choices().below(kind, bound, u64::from(self.calls.shard()), number)
    }

    /// Ends every operation at once.
    pub(crate) fn quiesce(&self, shard: &Inner) {
        self.end_all(shard);
    }
}
