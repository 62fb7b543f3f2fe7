//! When does a shard give away connections that are in use, and which of them?
//!
//! Every period a shard looks at the processor time that each shard used. Where it stands well above its partner (the
//! busiest shard's is the idlest, the second busiest's the second idlest, so no two choose the same), and that lasts, it
//! counts for one period what its connections ask for, and lets those go that weigh half of the difference together. Then
//! it waits until the figures show what came of it. A connection that would only turn the difference around stays.
//!
//! A shard that waits for its core uses little of it and is busy all the same. So a partner must be less busy by both
//! figures: what it used, and what it wanted to use.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use anygate_shard::Tick;
use foldhash::fast::FixedState;

/// What a load is measured in: this many are one core that never rests.
const CORE: u64 = 1_000_000;
/// Below this difference of loads nothing is done.
const FLOOR: u64 = CORE / 100;
/// Part of its own load by which a shard must stand above its partner.
const MARGIN: u64 = 10;
/// Periods that a difference must last before connections are counted.
const LASTS: u8 = 2;
/// Periods in which what was chosen may go and the figures follow.
const WAITS: u8 = 4;
/// Connections let go at once.
const MOVES: usize = 16;
/// Periods that a connection stays that came from another shard, the first time; twice as many each time after.
const STAYS: u32 = 10;
/// Times that doubles.
const DOUBLINGS: u8 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The difference has lasted this many periods.
    Watching(u8),
    /// What connections ask for is counted.
    Counting,
    /// Connections were chosen; this many periods until the next look.
    Waiting(u8),
}

/// What a shard's thread has used of its core so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Processor time.
    pub(crate) cpu: u64,
    /// The same, and the time it waited for its core.
    pub(crate) wanted: u64,
}

/// What is known of a shard.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// At the last look.
    used: Used,
    /// Its processor time, smoothed, in parts of [`CORE`].
    load: u64,
    /// What it wanted, likewise.
    wanted: u64,
}

/// What was asked for while connections were counted.
#[derive(Debug, Default)]
struct Census {
    /// By all, those that must stay included.
    total: u64,
    /// By each row that may go.
    rows: HashMap<u32, u64, FixedState>,
}

/// One shard's idea of who has how much to do.
#[derive(Debug)]
pub(crate) struct Balance {
    own: usize,
    period: Duration,
    looked: Cell<Option<Tick>>,
    seen: RefCell<Vec<Seen>>,
    /// The loads of all shards together.
    all: Cell<u64>,
    stage: Cell<Stage>,
    counting: Cell<bool>,
    census: RefCell<Census>,
    /// Rows that are to go; all to one shard.
    leaving: RefCell<Vec<u32>>,
    anybody_leaves: Cell<bool>,
    to: Cell<usize>,
}

impl Balance {
    pub(crate) fn new(own: usize, shards: usize, period: Duration) -> Self {
        Self {
            own,
            period,
            looked: Cell::new(None),
            seen: RefCell::new(vec![Seen::default(); shards]),
            all: Cell::new(0),
            stage: Cell::new(Stage::Watching(0)),
            counting: Cell::new(false),
            census: RefCell::default(),
            leaving: RefCell::default(),
            anybody_leaves: Cell::new(false),
            to: Cell::new(own),
        }
    }

    /// How long a connection stays that has changed shards `moves` times.
    pub(crate) fn stay(&self, moves: u8) -> Duration {
        self.period * (STAYS << moves.saturating_sub(1).min(DOUBLINGS))
    }

    /// What a shard's processor time weighs in connections, where there are `clients` in all; nothing while all shards
    /// together do next to nothing.
    pub(crate) fn share(&self, shard: usize, clients: u64) -> u64 {
        let all = self.all.get();
        if all < FLOOR * 2 { 0 } else { self.seen.borrow()[shard].load * clients / all }
    }

    /// Looks at what everybody `used`, if a period is over; `has_room` says whether a shard may have more clients.
    pub(crate) fn look(&self, now: Tick, used: impl Fn(usize) -> Used, has_room: impl Fn(usize) -> bool) {
        let Some(before) = self.looked.get() else {
            self.seen.borrow_mut().iter_mut().enumerate().for_each(|(shard, seen)| seen.used = used(shard));
            return self.looked.set(Some(now));
        };
        let time = now.since(before);
        if time < self.period {
            return;
        }
        self.looked.set(Some(now));
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mut all = 0;
        // Half of it is new, so that one odd period decides nothing.
        let smooth = |before: u64, more: u64| {
            let load = u128::from(more) * u128::from(CORE) / u128::from(time);
            u64::midpoint(before, u64::try_from(load).unwrap_or(u64::MAX))
        };
        for (shard, seen) in self.seen.borrow_mut().iter_mut().enumerate() {
            let before = std::mem::replace(&mut seen.used, used(shard));
            seen.load = smooth(seen.load, seen.used.cpu.saturating_sub(before.cpu));
            seen.wanted = smooth(seen.wanted, seen.used.wanted.saturating_sub(before.wanted));
            all += seen.load;
        }
        self.all.set(all);
        self.decide(has_room);
    }

    fn decide(&self, has_room: impl Fn(usize) -> bool) {
        let next = match (self.stage.get(), self.partner().filter(|partner| has_room(partner.shard))) {
            (Stage::Waiting(left @ 1..), _) => Stage::Waiting(left - 1),
            (Stage::Waiting(0), _) => {
                self.nobody_leaves();
                Stage::Watching(0)
            }
            (Stage::Counting, Some(partner)) => {
                self.choose(partner);
                Stage::Waiting(WAITS)
            }
            (Stage::Watching(periods), Some(_)) if periods + 1 >= LASTS => {
                *self.census.borrow_mut() = Census::default();
                Stage::Counting
            }
            (Stage::Watching(periods), Some(_)) => Stage::Watching(periods + 1),
            (Stage::Watching(_) | Stage::Counting, None) => Stage::Watching(0),
        };
        self.stage.set(next);
        self.counting.set(next == Stage::Counting);
    }

    /// The shard that this one gives to, if it stands well above it.
    fn partner(&self) -> Option<Partner> {
        let seen = self.seen.borrow();
        let load = seen[self.own].load;
        if load < FLOOR {
            return None;
        }
        let mut order: Vec<usize> = (0..seen.len()).collect();
        order.sort_by_key(|&shard| (seen[shard].load, shard));
        let rank = order.iter().rposition(|&shard| shard == self.own)?;
        let shard = order[seen.len() - 1 - rank];
        let more = load.saturating_sub(seen[shard].load);
        let wants_more = seen[self.own].wanted.saturating_sub(seen[shard].wanted);
        let above = more.min(wants_more);
        (above > FLOOR.max(load / MARGIN)).then_some(Partner { shard, load, above })
    }

    /// Lets go what weighs half of the difference, the heaviest first.
    fn choose(&self, partner: Partner) {
        let census = self.census.take();
        let mut rows: Vec<(u64, u32)> = census.rows.into_iter().map(|(row, asked)| (asked, row)).collect();
        rows.sort_unstable_by(|one, other| other.cmp(one));
        let mut left = partner.above / 2;
        let mut leaving = self.leaving.borrow_mut();
        leaving.clear();
        for (asked, row) in rows {
            let weight = u128::from(partner.load) * u128::from(asked) / u128::from(census.total.max(1));
            let weight = u64::try_from(weight).unwrap_or(u64::MAX);
            // A quarter more than is left makes the difference smaller all the same.
            if leaving.len() < MOVES && weight > 0 && weight <= left + left / 4 {
                left = left.saturating_sub(weight);
                leaving.push(row);
            }
        }
        self.to.set(partner.shard);
        self.anybody_leaves.set(!leaving.is_empty());
    }

    /// True while it matters what connections ask for.
    #[inline]
    pub(crate) fn is_counting(&self) -> bool {
        self.counting.get()
    }

    /// Counts what a row's connection asked for; `may_go` says whether it has stayed long enough.
    #[cold]
    pub(crate) fn count(&self, row: u32, work: u64, may_go: bool) {
        let mut census = self.census.borrow_mut();
        census.total += work;
        if may_go {
            *census.rows.entry(row).or_default() += work;
        }
    }

    /// Where a row's connection is to go, if it is.
    #[inline]
    pub(crate) fn leaves(&self, row: u32) -> Option<usize> {
        (self.anybody_leaves.get() && self.leaving.borrow().contains(&row)).then(|| self.to.get())
    }

    /// A row is somebody else's from now on, or its connection stays.
    #[inline]
    pub(crate) fn forget(&self, row: u32) {
        if self.counting.get() {
            self.census.borrow_mut().rows.remove(&row);
        }
        if self.anybody_leaves.get() {
            let mut leaving = self.leaving.borrow_mut();
            leaving.retain(|&one| one != row);
            self.anybody_leaves.set(!leaving.is_empty());
        }
    }

    /// Whoever was to go stays.
    pub(crate) fn nobody_leaves(&self) {
        self.leaving.borrow_mut().clear();
        self.anybody_leaves.set(false);
    }
}

#[derive(Clone, Copy, Debug)]
struct Partner {
    shard: usize,
    /// This shard's own load.
    load: u64,
    /// And how far that is above the partner's.
    above: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);

    /// Shards whose connections cost so many milliseconds a period each; all look once a period.
    struct House {
        shards: Vec<(Balance, Vec<(u32, u64)>)>,
        used: Vec<u64>,
        waited: Vec<u64>,
        now: Tick,
        moves: usize,
    }

    impl House {
        fn new(connections: &[&[u64]]) -> House {
            let count = connections.len();
            let mut row = 0;
            let mut place = |&cost: &u64| {
                row += 1;
                (row, cost)
            };
            let mut shard = |own| (Balance::new(own, count, PERIOD), connections[own].iter().map(&mut place).collect());
            House {
                shards: (0..count).map(&mut shard).collect(),
                used: vec![0; count],
                waited: vec![0; count],
                now: Tick::ZERO,
                moves: 0,
            }
        }

        fn pass(&mut self, periods: u32) {
            for _ in 0..periods {
                self.now = self.now + PERIOD;
                for (shard, (balance, connections)) in self.shards.iter().enumerate() {
                    for (row, cost) in connections {
                        self.used[shard] += cost * 1_000_000;
                        if balance.is_counting() {
                            balance.count(*row, *cost, true);
                        }
                    }
                }
                for (balance, _) in &self.shards {
                    let used =
                        |shard: usize| Used { cpu: self.used[shard], wanted: self.used[shard] + self.waited[shard] };
                    balance.look(self.now, used, |_| true);
                }
                for from in 0..self.shards.len() {
                    let (balance, connections) = &mut self.shards[from];
                    let gone: Vec<_> =
                        connections.iter().copied().filter_map(|one| Some((balance.leaves(one.0)?, one))).collect();
                    connections.retain(|one| balance.leaves(one.0).is_none());
                    balance.nobody_leaves();
                    for (to, one) in gone {
                        assert_ne!(to, from);
                        self.shards[to].1.push(one);
                        self.moves += 1;
                    }
                }
            }
        }

        fn loads(&self) -> Vec<u64> {
            self.shards.iter().map(|(_, connections)| connections.iter().map(|(_, cost)| cost).sum()).collect()
        }
    }

    #[test]
    fn two_connections_on_one_of_two_shards_become_one_on_each() {
        let mut house = House::new(&[&[30, 30], &[]]);
        house.pass(20);
        assert_eq!((house.loads(), house.moves), (vec![30, 30], 1));
    }

    #[test]
    fn one_heavy_connection_stays_where_it_is_for_ever() {
        let mut house = House::new(&[&[90], &[]]);
        house.pass(1000);
        assert_eq!((house.loads(), house.moves), (vec![90, 0], 0));
    }

    #[test]
    fn what_cannot_be_evened_out_is_left_alone() {
        let mut house = House::new(&[&[30, 30, 30], &[]]);
        house.pass(1000);
        assert_eq!((house.loads(), house.moves), (vec![60, 30], 1));
    }

    #[test]
    fn eight_heavy_ones_among_light_ones_end_up_even_over_four_shards() {
        let heavy = [10; 8];
        let mut busy = heavy.to_vec();
        busy.extend([1; 3]);
        let mut house = House::new(&[&busy, &[1; 2], &[1; 4], &[]]);
        house.pass(60);
        let loads = house.loads();
        let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
        assert!(most * 10 <= least * 12, "{loads:?}");
        let moves = house.moves;
        house.pass(1000);
        assert_eq!(house.moves, moves, "it has come to rest");
        assert!(moves <= 16, "{moves} moves");
    }

    #[test]
    fn a_short_burst_moves_nobody() {
        let mut house = House::new(&[&[10], &[10]]);
        house.pass(10);
        house.used[0] += 80_000_000;
        house.pass(20);
        assert_eq!(house.moves, 0);
    }

    #[test]
    fn a_shard_that_waits_for_its_core_is_given_nothing() {
        let mut house = House::new(&[&[10, 10, 10, 10], &[5, 5]]);
        for _ in 0..100 {
            house.waited[1] += 50_000_000;
            house.pass(1);
        }
        assert_eq!(house.moves, 0);
        house.pass(20);
        assert!(house.moves > 0);
    }

    #[test]
    fn shards_that_do_next_to_nothing_are_even_enough() {
        let mut house = House::new(&[&[0, 0, 1], &[]]);
        house.pass(100);
        assert_eq!(house.moves, 0);
    }

    #[test]
    fn who_moved_often_stays_long() {
        let balance = Balance::new(0, 2, PERIOD);
        assert_eq!(balance.stay(1), Duration::from_secs(1));
        assert_eq!((balance.stay(8), balance.stay(200)), (Duration::from_secs(128), Duration::from_secs(128)));
    }
}
