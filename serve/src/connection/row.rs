//! What is kept of a listener, and of a client between requests: a row, not a task.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

use anygate_shard::net::Address;
use anygate_shard::{LaneEntry, SocketId, Tick};
use foldhash::fast::RandomState;

use crate::wire::Wire;

/// A listener of this shard.
#[derive(Debug, Clone, Copy)]
pub struct ListenerRow {
    /// Its socket.
    pub socket: SocketId,
    /// Its number, given by the control thread; the same on every shard.
    pub number: u32,
    /// Set once it is to go: until then it takes those who knocked before.
    pub leaving: Option<Tick>,
}

/// A client between requests.
#[derive(Debug)]
pub struct ClientRow {
    /// Its transport.
    pub wire: Wire,
    /// Who it is.
    pub peer: Address,
    /// The listener it came by.
    pub listener: u32,
    /// True when its address's count has it.
    pub counted: bool,
    /// Requests it made.
    pub served: u64,
    /// Its place in the queue of those who are idle.
    pub idle: Option<LaneEntry>,
    /// Until then it stays on this shard.
    pub stays: Tick,
    /// Times it changed shards.
    pub moves: u8,
}

const _: () = assert!(size_of::<ClientRow>() <= 96, "a resting client must stay small");

/// How many connections each address has; empty while no limit is set.
#[derive(Debug, Default)]
pub struct PerAddress {
    counts: RefCell<HashMap<IpAddr, usize, RandomState>>,
}

impl PerAddress {
    /// Counts one more, unless the address has `max` already.
    #[must_use]
    pub fn enter(&self, address: IpAddr, max: usize) -> bool {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(address).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// Counts one less, who was let in by [`PerAddress::enter`].
    pub fn leave(&self, address: IpAddr) {
        let mut counts = self.counts.borrow_mut();
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}
