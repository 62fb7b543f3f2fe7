//! The other shards, seen from one: what each has to do, and the way a connection takes to one of them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anygate_shard::mailbox::Sender;
use anygate_shard::{Effort, Shard, Tick};

use crate::balance::{Balance, Used};
use crate::control::Order;

/// Connections, or what weighs as much, by which a shard must stand above another before it hands one over.
const MARGIN: u64 = 4;

/// How often a shard compares what the shards have to do.
pub const PERIOD: Duration = Duration::from_millis(100);

/// Parts of a period after which a shard that runs publishes its processor time again.
const PUBLISHED: u32 = 20;

/// What one shard publishes, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Post {
    orders: Sender<Order>,
    /// Clients it has, and those on their way to it.
    clients: AtomicU32,
    /// Processor time its thread has used, in nanoseconds. Only grows, so that a reader's own clock makes a load of it and
    /// a shard that sleeps needs to say nothing.
    cpu: AtomicU64,
    /// The same, and the time it waited for its core.
    wanted: AtomicU64,
}

/// Every shard's mailbox and what it publishes. One for all shards.
#[derive(Debug)]
pub struct Peers {
    /// Sockets that were handed over and that nobody has taken in yet.
    moving: AtomicU32,
    period: Duration,
    shards: Vec<Post>,
}

/// One shard's view of the others.
#[derive(Debug)]
pub struct Neighbours {
    peers: Arc<Peers>,
    own: usize,
    turn: Cell<usize>,
    publish_at: Cell<Tick>,
    pub(crate) balance: Balance,
}

impl Peers {
    /// The shards, in their order, compared every [`PERIOD`].
    #[must_use]
    pub fn new(mailboxes: impl IntoIterator<Item = Sender<Order>>) -> Arc<Self> {
        Self::with_period(mailboxes, PERIOD)
    }

    /// The shards, in their order, compared this often.
    #[must_use]
    pub fn with_period(mailboxes: impl IntoIterator<Item = Sender<Order>>, period: Duration) -> Arc<Self> {
        let post = |orders| Post {
            orders,
            clients: AtomicU32::default(),
            cpu: AtomicU64::default(),
            wanted: AtomicU64::default(),
        };
        Arc::new(Self { moving: AtomicU32::new(0), period, shards: mailboxes.into_iter().map(post).collect() })
    }

    /// The view of shard `own`; none where there is nobody else.
    #[must_use]
    pub fn around(self: &Arc<Self>, own: usize) -> Option<Neighbours> {
        let count = self.shards.len();
        (count > 1).then(|| Neighbours {
            peers: Arc::clone(self),
            own,
            turn: Cell::new(own),
            publish_at: Cell::default(),
            balance: Balance::new(own, count, self.period),
        })
    }
}

impl Neighbours {
    /// Publishes how many clients this shard has.
    pub fn publish(&self, clients: usize) {
        self.peers.shards[self.own].clients.store(u32::try_from(clients).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// After a turn: publishes this shard's processor time and compares it with the others', each when it is time.
    /// `max_clients` is how many any shard may have.
    #[inline]
    pub fn turn_ended(&self, shard: &Shard, max_clients: impl FnOnce() -> usize) {
        let now = shard.now();
        if now >= self.publish_at.get() {
            self.compare(now, shard.effort(), max_clients());
        }
    }

    fn compare(&self, now: Tick, effort: Effort, max_clients: usize) {
        self.publish_at.set(now + self.peers.period / PUBLISHED);
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let own = &self.peers.shards[self.own];
        own.cpu.store(nanoseconds(effort.used), Ordering::Relaxed);
        own.wanted.store(nanoseconds(effort.used + effort.waited), Ordering::Relaxed);
        let used = |shard: usize| {
            let post = &self.peers.shards[shard];
            Used { cpu: post.cpu.load(Ordering::Relaxed), wanted: post.wanted.load(Ordering::Relaxed) }
        };
        let has_room = |shard: usize| (self.clients(shard) as usize) < max_clients;
        self.balance.look(now, used, has_room);
    }

    fn clients(&self, shard: usize) -> u32 {
        self.peers.shards[shard].clients.load(Ordering::Relaxed)
    }

    /// The lighter of two other shards, taken in turn, when this one, with `clients`, stands well above it. A shard's
    /// weight is its clients, and its part of the processor time of all in the same coin.
    #[must_use]
    pub fn lighter(&self, clients: usize) -> Option<usize> {
        let count = self.peers.shards.len();
        let next = |after: usize| (1..=count).map(|step| (after + step) % count).find(|&shard| shard != self.own);
        let first = next(self.turn.get())?;
        let second = next(first).unwrap_or(first);
        self.turn.set(second);
        let all: u64 = (0..count).map(|shard| u64::from(self.clients(shard))).sum();
        let weight = |shard: usize, clients: u64| clients + self.balance.share(shard, all);
        let weight_of = |shard: usize| weight(shard, u64::from(self.clients(shard)));
        let lighter = if weight_of(second) < weight_of(first) { second } else { first };
        let own = weight(self.own, clients as u64);
        (own > weight_of(lighter) + MARGIN.max(own / 16)).then_some(lighter)
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

    /// Hands a client over: an order that carries a socket. Gives it back when the other's mailbox is full.
    ///
    /// # Errors
    /// The order.
    pub fn hand_over(&self, to: usize, order: Order) -> Result<(), Order> {
        self.peers.moving.fetch_add(1, Ordering::Relaxed);
        self.peers.shards[to].orders.send(order).inspect_err(|_| self.arrived())?;
        // Counted at once, so that a burst does not all go to one shard.
        self.peers.shards[to].clients.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(clients: &[usize], own: usize) -> Neighbours {
        let peers = Peers::new(clients.iter().map(|_| anygate_shard::mailbox::channel(1).0));
        for (shard, clients) in clients.iter().enumerate() {
            peers.around(shard).expect("there are others").publish(*clients);
        }
        peers.around(own).expect("there are others")
    }

    /// As seen by shard 0, after some periods in which each shard used this many milliseconds of every hundred.
    fn busy(clients: &[usize], busy_ms: &[u64]) -> Neighbours {
        let view = around(clients, 0);
        for period in 0..10_u64 {
            for (post, ms) in view.peers.shards.iter().zip(busy_ms) {
                post.cpu.store(ms * 1_000_000 * period, Ordering::Relaxed);
                post.wanted.store(ms * 1_000_000 * period, Ordering::Relaxed);
            }
            let now = Tick::ZERO + PERIOD * (period as u32 + 1);
            let used = Duration::from_millis(busy_ms[0] * period);
            view.compare(now, Effort { used, waited: Duration::ZERO }, usize::MAX);
        }
        view
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

    #[test]
    fn a_fresh_connection_goes_where_less_is_done_though_the_clients_are_as_many() {
        assert_eq!(busy(&[50, 50], &[80, 20]).lighter(50), Some(1));
        assert_eq!(busy(&[50, 50], &[20, 80]).lighter(50), None);
        assert_eq!(busy(&[50, 50], &[50, 50]).lighter(50), None);
    }

    #[test]
    fn a_burst_to_the_idle_shard_ends_before_it_has_far_more_clients() {
        let view = busy(&[50, 50], &[80, 20]);
        let mut went = 0;
        while went < 1000 && view.lighter(50) == Some(1) {
            view.peers.shards[1].clients.fetch_add(1, Ordering::Relaxed);
            went += 1;
        }
        assert!((20..300).contains(&went), "{went} went");
    }

    #[test]
    fn processor_time_that_is_next_to_nothing_weighs_nothing() {
        assert_eq!(busy(&[50, 50], &[1, 0]).lighter(50), None);
    }
}
