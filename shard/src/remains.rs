//! What has a shard not given back? One account of everything that is lent, open, waiting or under way, for tests that
//! ask whether a shard is at rest.

use std::fmt;
use std::sync::Arc;

use crate::shard::Shard;
use crate::socket::{Slot, flag};

/// What is left on a shard. Everything 0 is a shard at rest; [`Remains::is_rest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Arena buffers on loan: received and not read, queued, or held by tasks.
    pub leases: u64,
    /// Listeners.
    pub listeners: usize,
    /// Other sockets that their owner has not closed.
    pub sockets: usize,
    /// Closed sockets whose close has something left to do or to wait for.
    pub closing: usize,
    /// Closed sockets that wait for their last completion only.
    pub zombies: usize,
    /// Sockets that wait for a buffer.
    pub starving: usize,
    /// Bytes received that nobody took.
    pub unread_bytes: usize,
    /// Bytes queued that the kernel has not taken.
    pub queued_bytes: usize,
    /// Splices' pipes that belong to a socket.
    pub pipes: usize,
    /// Bytes in them.
    pub piped_bytes: usize,
    /// Operations under way whose completion is to come; 0 where readiness drives.
    pub operations: usize,
    /// Tasks that have not ended.
    pub tasks: u32,
    /// Rows and tasks that are to run.
    pub runnable: usize,
    /// Rows, and closing sockets, that wait for a timeout.
    pub lane_entries: usize,
    /// Tasks' deadlines that are set and have not passed.
    pub deadlines: u32,
    /// Deadlines that somebody holds, set or not.
    pub timers: usize,
    /// Helper jobs that have not ended.
    pub jobs: usize,
}

impl Remains {
    /// Whether nothing at all is left.
    pub fn is_rest(&self) -> bool {
        *self == Remains::default()
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = |number: u32| u64::from(number);
        let long = |number: usize| number as u64;
        let parts = [
            ("leases", self.leases),
            ("listeners", long(self.listeners)),
            ("sockets", long(self.sockets)),
            ("closing sockets", long(self.closing)),
            ("zombies", long(self.zombies)),
            ("starving sockets", long(self.starving)),
            ("unread bytes", long(self.unread_bytes)),
            ("queued bytes", long(self.queued_bytes)),
            ("pipes", long(self.pipes)),
            ("bytes in pipes", long(self.piped_bytes)),
            ("operations", long(self.operations)),
            ("tasks", wide(self.tasks)),
            ("runnable", long(self.runnable)),
            ("lane entries", long(self.lane_entries)),
            ("deadlines", wide(self.deadlines)),
            ("timers", long(self.timers)),
            ("jobs", long(self.jobs)),
        ];
        let mut separator = "";
        for (what, number) in parts.into_iter().filter(|(_, number)| *number > 0) {
            write!(f, "{separator}{number} {what}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

impl Shard {
    /// What is left on this shard, right now. Looks at every slot: for tests and for the end, not for a turn.
    pub fn at_rest(&self) -> Remains {
        let shard = &*self.0;
        let mut remains = Remains {
            leases: shard.arena.out().saturating_sub(shard.driver.lying_buffers()),
            operations: shard.driver.outstanding(),
            tasks: shard.tasks.live(),
            runnable: shard.runnable(),
            lane_entries: shard.lanes.live(),
            deadlines: shard.wheel.armed(),
            timers: shard.wheel.held(),
            jobs: Arc::strong_count(&shard.jobs) - 1,
            ..Remains::default()
        };
        for index in 0..shard.sockets.made() {
            let slot = shard.sockets.at(index);
            if slot.has(flag::OPEN) {
                remains.add(slot);
            }
        }
        remains
    }
}

impl Remains {
    fn add(&mut self, slot: &Slot) {
        let kind = if slot.has(flag::ZOMBIE) {
            &mut self.zombies
        } else if slot.has(flag::CLOSING) {
            &mut self.closing
        } else if slot.has(flag::LISTENER) {
            &mut self.listeners
        } else {
            &mut self.sockets
        };
        *kind += 1;
        self.starving += usize::from(slot.has(flag::STARVED));
        self.queued_bytes += slot.queued();
        self.unread_bytes += slot.with_held(|held| held.map_or(0, crate::Lease::len));
        let pipe = slot.pipe.take();
        self.pipes += usize::from(pipe.is_some());
        self.piped_bytes += pipe.as_ref().map_or(0, |pipe| pipe.filled);
        slot.pipe.set(pipe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_and_nothing_else_is() {
        assert_eq!(Remains::default().to_string(), "nothing");
        let remains = Remains { leases: 2, zombies: 1, ..Remains::default() };
        assert_eq!(remains.to_string(), "2 leases, 1 zombies");
        assert!(!remains.is_rest() && Remains::default().is_rest());
    }
}
