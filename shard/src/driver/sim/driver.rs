//! How does a shard's driver report what happened in a simulated world?

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use super::calls::Calls;
use super::net::{HANGUP, Notice, READ, WRITE, nanoseconds};
use super::world::World;
use crate::driver::Happened;
use crate::shard::Inner;
use crate::socket::Slot;
use crate::time::Tick;

/// The simulated driver of one shard.
pub(crate) struct Sim {
    pub(crate) calls: Calls,
    notices: RefCell<Vec<Notice>>,
}

impl Sim {
    pub(crate) fn new(world: &World) -> Sim {
        Sim { calls: Calls::new(world.clone()), notices: RefCell::default() }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick::from_nanos(self.calls.world.now_ns())
    }

    pub(crate) fn attach(&self, slot: &Slot, index: u32) -> io::Result<()> {
        self.calls.attach(slot.fd.get(), u64::from(slot.generation.get()) << 32 | u64::from(index))
    }

    pub(crate) fn reap(&self, shard: &Inner) {
        let mut notices = self.notices.take();
        self.calls.take_events(&mut notices);
        for notice in notices.drain(..) {
            let happened = Happened {
                readable: notice.bits & READ != 0,
                writable: notice.bits & WRITE != 0,
                hangup: notice.bits & HANGUP != 0,
            };
            shard.event(notice.token as u32, (notice.token >> 32) as u32, u32::MAX, happened);
        }
        self.notices.replace(notices);
    }

    /// Moves the clock to the next thing that is due, at most by `timeout`, unless events wait already.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        if timeout == Some(Duration::ZERO) || self.calls.has_events() {
            return;
        }
        let world = &self.calls.world;
        let now = world.now_ns();
        let limit = timeout.map(|timeout| now.saturating_add(nanoseconds(timeout)));
        if let Some(time) = limit.into_iter().chain(world.next_due()).min() {
            world.advance(time);
        }
        world.sweep();
        world.run_jobs();
    }
}
