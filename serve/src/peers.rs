//! Evening out: the kernel hashes connections onto shards, not load. A shard that stands well above another hands a fresh
//! connection over before anything was read from it; nothing else ever moves.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anygate_shard::Socket;
use anygate_shard::mailbox::Sender;
use anygate_shard::net::Address;

use crate::control::Order;

/// Connections by which a shard must stand above another before it hands one over.
const MARGIN: u32 = 4;

/// Every shard's mailbox and the load it publishes. One for all shards.
#[derive(Debug)]
pub struct Peers {
    /// Sockets that were handed over and that nobody has taken in yet.
    moving: AtomicU32,
    shards: Vec<(Sender<Order>, AtomicU32)>,
}

/// One shard's view of the others.
#[derive(Debug)]
pub struct Neighbours {
    peers: Arc<Peers>,
    own: usize,
    turn: Cell<usize>,
}

impl Peers {
    /// The shards, in their order.
    #[must_use]
    pub fn new(mailboxes: impl IntoIterator<Item = Sender<Order>>) -> Arc<Self> {
        let moving = AtomicU32::new(0);
        Arc::new(Self { moving, shards: mailboxes.into_iter().map(|mailbox| (mailbox, AtomicU32::new(0))).collect() })
    }

    /// The view of shard `own`; none where there is nobody else.
    #[must_use]
    pub fn around(self: &Arc<Self>, own: usize) -> Option<Neighbours> {
        (self.shards.len() > 1).then(|| Neighbours { peers: Arc::clone(self), own, turn: Cell::new(own) })
    }
}

impl Neighbours {
    /// Publishes how many connections this shard has.
    pub fn publish(&self, load: usize) {
        self.peers.shards[self.own].1.store(u32::try_from(load).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The lighter of two other shards, taken in turn, when this one, with `load`, stands well above it.
    #[must_use]
    pub fn lighter(&self, load: usize) -> Option<usize> {
        let count = self.peers.shards.len();
        let next = |after: usize| (1..count).map(|step| (after + step) % count).find(|&shard| shard != self.own);
        let first = next(self.turn.get())?;
        let second = next(first).unwrap_or(first);
        self.turn.set(second);
        let load_of = |shard: usize| self.peers.shards[shard].1.load(Ordering::Relaxed);
        let lighter = if load_of(second) < load_of(first) { second } else { first };
        let own = u32::try_from(load).unwrap_or(u32::MAX);
        let above = load_of(lighter).saturating_add(MARGIN.max(own / 16));
        (own > above).then_some(lighter)
    }

    /// Says that a socket was taken in, and counted where it is now.
    pub fn arrived(&self) {
        self.peers.moving.fetch_sub(1, Ordering::Release);
    }

    /// True while a socket is on its way from one shard to another.
    #[must_use]
    pub fn are_moving(&self) -> bool {
        self.peers.moving.load(Ordering::Acquire) > 0
    }

    /// Hands a socket over; gives it back when the other's mailbox is full.
    ///
    /// # Errors
    /// The socket and its peer.
    pub fn hand_over(&self, to: usize, socket: Socket, peer: Address, listener: u32) -> Result<(), (Socket, Address)> {
        self.peers.moving.fetch_add(1, Ordering::Relaxed);
        match self.peers.shards[to].0.send(Order::Adopt { socket, peer, listener }) {
            Ok(()) => {
                // Counted at once, so that a burst does not all go to one shard.
                self.peers.shards[to].1.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(Order::Adopt { socket, peer, .. }) => {
                self.arrived();
                Err((socket, peer))
            }
            Err(_) => unreachable!("a mailbox gives back what it was given"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(loads: &[usize], own: usize) -> Neighbours {
        let peers = Peers::new(loads.iter().map(|_| anygate_shard::mailbox::channel(1).0));
        for (shard, load) in loads.iter().enumerate() {
            peers.around(shard).expect("there are others").publish(*load);
        }
        peers.around(own).expect("there are others")
    }

    #[test]
    fn one_shard_alone_has_no_neighbours() {
        assert!(Peers::new([anygate_shard::mailbox::channel(1).0]).around(0).is_none());
    }

    #[test]
    fn a_shard_well_above_another_names_the_lighter_one() {
        assert_eq!(around(&[10, 2], 0).lighter(10), Some(1));
        assert_eq!(around(&[10, 8], 0).lighter(10), None);
        assert_eq!(around(&[2, 10], 0).lighter(2), None);
        assert_eq!(around(&[50, 9, 3], 0).lighter(50), Some(2));
        assert_eq!(around(&[1000, 950], 0).lighter(1000), None);
        assert_eq!(around(&[1000, 900], 0).lighter(1000), Some(1));
    }
}
