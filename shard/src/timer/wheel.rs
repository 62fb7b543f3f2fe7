//! Which task's deadline has passed: a wheel of two levels whose entries move later for free.
//!
//! What is due within four seconds lies in a bucket of one millisecond, the rest in a bucket of about a second and moves
//! to the fine level when that second begins. So a shard with many far deadlines wakes up once a second for them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::time::Tick;
use crate::wake::Wake;

/// A fine bucket's width in nanoseconds: a deadline is late by at most this, never early.
const FINE: u64 = 1_000_000;
/// Fine buckets in a coarse one.
const FINE_IN_COARSE: u64 = 1024;
/// Buckets of each level.
const BUCKETS: u64 = 4096;
const NIL: u32 = u32::MAX;

struct Entry {
    /// When the owner wants to be told; later than the bucket's time after a lazy reset.
    at: Tick,
    wake: Wake,
    /// The list it is in: a fine bucket, or BUCKETS + a coarse one, or NIL.
    list: u32,
    previous: u32,
    next: u32,
    expired: bool,
}

/// The number of the fine bucket that is the first at or after `at`, counted from the clock's start.
fn fine(at: Tick) -> u64 {
    at.as_nanos().div_ceil(FINE)
}

/// The buckets of one level: lists, one bit for each that is not empty, and one for each word of those that is not 0.
struct Level {
    heads: Box<[u32]>,
    busy: Box<[u64]>,
    words: u64,
}

const _: () = assert!(BUCKETS == 64 * 64, "the words of a level are the bits of one word");

impl Level {
    fn new() -> Level {
        Level { heads: vec![NIL; BUCKETS as usize].into(), busy: vec![0; BUCKETS as usize / 64].into(), words: 0 }
    }

    fn mark(&mut self, bucket: u64) {
        let word = bucket as usize / 64;
        self.busy[word] |= 1 << (bucket % 64);
        self.words |= 1 << word;
    }

    fn unmark(&mut self, bucket: u64) {
        let word = bucket as usize / 64;
        self.busy[word] &= !(1 << (bucket % 64));
        if self.busy[word] == 0 {
            self.words &= !(1 << word);
        }
    }

    /// How many buckets after `from` the first busy one comes.
    fn first_busy(&self, from: u64) -> Option<u64> {
        let first = from % BUCKETS;
        let word = (first / 64) as usize;
        let here = self.busy[word] & (!0 << (first % 64));
        let (word, bits) = if here != 0 {
            (word, here)
        } else {
            // The next busy word after this one, this one's beginning last.
            let ahead = self.words.rotate_right(word as u32 + 1);
            if ahead == 0 {
                return None;
            }
            let word = (word + 1 + ahead.trailing_zeros() as usize) % 64;
            (word, self.busy[word])
        };
        let bucket = word as u64 * 64 + u64::from(bits.trailing_zeros());
        Some((bucket + BUCKETS - first) % BUCKETS)
    }
}

/// All deadlines of a shard.
pub(crate) struct Wheel {
    entries: RefCell<Vec<Entry>>,
    levels: RefCell<[Level; 2]>,
    free: Cell<u32>,
    armed: Cell<u32>,
    /// The first fine bucket, counted from the clock's start, that was not looked at yet.
    cursor: Cell<u64>,
    now: Cell<Tick>,
}

impl Wheel {
    pub(crate) fn new(now: Tick) -> Rc<Wheel> {
        Rc::new(Wheel {
            entries: RefCell::default(),
            levels: RefCell::new([Level::new(), Level::new()]),
            free: Cell::new(NIL),
            armed: Cell::new(0),
            cursor: Cell::new(now.as_nanos() / FINE),
            now: Cell::new(now),
        })
    }

    /// Deadlines that are set and have not passed.
    pub(crate) fn armed(&self) -> u32 {
        self.armed.get()
    }

    /// Deadlines that exist, set or not. Walks over all free places.
    pub(crate) fn held(&self) -> usize {
        let entries = self.entries.borrow();
        let after = |index: u32| (index != NIL).then_some(index);
        let free = std::iter::successors(after(self.free.get()), |&index| after(entries[index as usize].next));
        entries.len() - free.count()
    }

    fn arm(&self, index: u32) {
        let mut entries = self.entries.borrow_mut();
        let mut levels = self.levels.borrow_mut();
        let at = fine(entries[index as usize].at).max(self.cursor.get());
        let (level, bucket) =
            if at - self.cursor.get() < BUCKETS { (0, at % BUCKETS) } else { (1, at / FINE_IN_COARSE % BUCKETS) };
        let next = std::mem::replace(&mut levels[level].heads[bucket as usize], index);
        levels[level].mark(bucket);
        if next != NIL {
            entries[next as usize].previous = index;
        }
        let entry = &mut entries[index as usize];
        entry.list = (level as u64 * BUCKETS + bucket) as u32;
        entry.previous = NIL;
        entry.next = next;
        self.armed.set(self.armed.get() + 1);
    }

    fn disarm(&self, index: u32) {
        let mut entries = self.entries.borrow_mut();
        let entry = &mut entries[index as usize];
        let (list, previous, next) = (entry.list, entry.previous, entry.next);
        if list == NIL {
            return;
        }
        entry.list = NIL;
        if next != NIL {
            entries[next as usize].previous = previous;
        }
        if previous == NIL {
            let level = &mut self.levels.borrow_mut()[(u64::from(list) / BUCKETS) as usize];
            let bucket = u64::from(list) % BUCKETS;
            level.heads[bucket as usize] = next;
            if next == NIL {
                level.unmark(bucket);
            }
        } else {
            entries[previous as usize].next = next;
        }
        self.armed.set(self.armed.get() - 1);
    }

    /// Moves the wheel to `now` and hands the wake of each deadline that has passed to `wake`.
    pub(crate) fn advance(&self, now: Tick, mut wake: impl FnMut(Wake)) {
        self.now.set(now);
        let until = now.as_nanos() / FINE;
        let from = self.cursor.get();
        if until < from {
            return;
        }
        self.cursor.set(until + 1);
        if self.armed.get() == 0 {
            return;
        }
        let (coarse_from, coarse_until) = (from / FINE_IN_COARSE, (until + 1) / FINE_IN_COARSE);
        for bucket in coarse_from..=coarse_until.min(coarse_from + BUCKETS - 1) {
            self.look(1, bucket % BUCKETS, now, &mut wake);
        }
        for bucket in from..=until.min(from + BUCKETS - 1) {
            self.look(0, bucket % BUCKETS, now, &mut wake);
        }
    }

    /// Wakes what is due in a bucket, and moves what lies elsewhere by now.
    fn look(&self, level: usize, bucket: u64, now: Tick, wake: &mut impl FnMut(Wake)) {
        let mut index = self.levels.borrow()[level].heads[bucket as usize];
        while index != NIL {
            let (at, next) = {
                let entry = &self.entries.borrow()[index as usize];
                (entry.at, entry.next)
            };
            self.disarm(index);
            if at <= now {
                let waiter = {
                    let entry = &mut self.entries.borrow_mut()[index as usize];
                    entry.expired = true;
                    std::mem::take(&mut entry.wake)
                };
                wake(waiter);
            } else {
                self.arm(index);
            }
            index = next;
        }
    }

    /// When to look again: not later than the first deadline, sometimes earlier.
    pub(crate) fn next(&self) -> Option<Tick> {
        if self.armed.get() == 0 {
            return None;
        }
        let cursor = self.cursor.get();
        let levels = self.levels.borrow();
        let soon = levels[0].first_busy(cursor).map(|ahead| cursor + ahead);
        let coarse = cursor / FINE_IN_COARSE;
        // The coarse bucket of the present was looked at; what is in it is due after a whole rotation.
        let later = levels[1].first_busy(coarse + 1).map(|ahead| (coarse + 1 + ahead) * FINE_IN_COARSE);
        let first = soon.into_iter().chain(later).min()?;
        Some(Tick::from_nanos(first * FINE))
    }

    fn allot(&self) -> u32 {
        let mut entries = self.entries.borrow_mut();
        let empty = Entry { at: Tick::MAX, wake: Wake::NONE, list: NIL, previous: NIL, next: NIL, expired: false };
        let index = self.free.get();
        if index == NIL {
            entries.push(empty);
            return (entries.len() - 1) as u32;
        }
        self.free.set(entries[index as usize].next);
        entries[index as usize] = empty;
        index
    }
}

/// A deadline that wakes the task that polls it. Dropping it forgets it. Accurate to 1 ms, never early.
pub struct Deadline {
    wheel: Rc<Wheel>,
    index: u32,
}

impl Deadline {
    pub(crate) fn new(wheel: &Rc<Wheel>, after: Option<Duration>) -> Deadline {
        let mut deadline = Deadline { wheel: Rc::clone(wheel), index: wheel.allot() };
        if let Some(after) = after {
            deadline.reset(after);
        }
        deadline
    }

    /// Ready once the deadline has passed, until it is reset; never ready after [`clear`](Self::clear).
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_expired_wake(Wake::of(cx))
    }

    /// [`poll_expired`](Self::poll_expired) with a wake of the caller's choice.
    pub fn poll_expired_wake(&mut self, wake: Wake) -> Poll<()> {
        let entry = &mut self.wheel.entries.borrow_mut()[self.index as usize];
        if entry.expired {
            return Poll::Ready(());
        }
        entry.wake = wake;
        Poll::Pending
    }

    /// Sets the deadline to `after` from now. Moving it later touches no list.
    pub fn reset(&mut self, after: Duration) {
        let at = self.wheel.now.get() + after;
        let rearm = {
            let entry = &mut self.wheel.entries.borrow_mut()[self.index as usize];
            let rearm = entry.list == NIL || at < entry.at;
            entry.at = at;
            entry.expired = false;
            rearm
        };
        if rearm {
            self.wheel.disarm(self.index);
            self.wheel.arm(self.index);
        }
    }

    /// Forgets the deadline until the next reset.
    pub fn clear(&mut self) {
        self.wheel.disarm(self.index);
        let entry = &mut self.wheel.entries.borrow_mut()[self.index as usize];
        entry.expired = false;
        entry.wake = Wake::NONE;
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.wheel.entries.borrow();
        f.debug_struct("Deadline").field("at", &entries[self.index as usize].at).finish_non_exhaustive()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.wheel.disarm(self.index);
        let mut entries = self.wheel.entries.borrow_mut();
        entries[self.index as usize].next = self.wheel.free.get();
        entries[self.index as usize].wake = Wake::NONE;
        self.wheel.free.set(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn woken(wheel: &Wheel, now: Tick) -> usize {
        let mut count = 0;
        wheel.advance(now, |wake| count += usize::from(wake != Wake::NONE));
        count
    }

    #[test]
    fn the_first_busy_bucket_is_the_one_a_walk_finds() {
        let mut word = 1_u64;
        for buckets in [0, 1, 2, 3, 50, 4000] {
            let mut level = Level::new();
            for _ in 0..buckets {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let bucket = (word >> 40) % BUCKETS;
                level.mark(bucket);
                if word >> 62 == 0 {
                    level.unmark(bucket);
                }
            }
            let busy = |bucket: u64| level.busy[(bucket % BUCKETS / 64) as usize] >> (bucket % 64) & 1 != 0;
            for from in [0, 1, 62, 63, 64, 65, 2000, BUCKETS - 64, BUCKETS - 1, BUCKETS, BUCKETS * 7 + 5] {
                let found = (0..BUCKETS).find(|ahead| busy(from + ahead));
                assert_eq!(level.first_busy(from), found, "{buckets} buckets from {from}");
            }
        }
    }

    #[test]
    fn a_deadline_passes_once_never_early_and_at_most_one_bucket_late() {
        let start = Tick::from_nanos(1_500_300);
        let wheel = Wheel::new(start);
        let mut deadline = Deadline::new(&wheel, Some(5 * MS));
        assert!(deadline.poll_expired_wake(Wake::row(1)).is_pending());
        let next = wheel.next().unwrap();
        assert!(next >= start + 5 * MS && next < start + 6 * MS);
        assert_eq!(woken(&wheel, start + 4 * MS), 0);
        assert_eq!(woken(&wheel, next), 1);
        assert!(deadline.poll_expired_wake(Wake::row(1)).is_ready());
        assert_eq!(wheel.next(), None);
        deadline.reset(MS);
        assert!(deadline.poll_expired_wake(Wake::row(1)).is_pending());
        let other = Deadline::new(&wheel, None);
        assert_eq!(wheel.held(), 2);
        drop(deadline);
        assert_eq!((wheel.next(), wheel.held()), (None, 1));
        drop(other);
        assert_eq!(wheel.held(), 0);
    }

    #[test]
    fn a_deadline_moved_later_is_found_again_at_its_new_time() {
        let wheel = Wheel::new(Tick::ZERO);
        let mut deadline = Deadline::new(&wheel, Some(2 * MS));
        deadline.reset(40_000 * MS);
        let _ = deadline.poll_expired_wake(Wake::row(1));
        let mut looks = 0;
        let passed = loop {
            let next = wheel.next().unwrap();
            looks += 1;
            if woken(&wheel, next) == 1 {
                break next;
            }
        };
        assert_eq!(passed, Tick::ZERO + 40_000 * MS);
        assert!(looks < 50, "looked {looks} times");
    }

    #[test]
    fn a_deadline_a_day_away_takes_few_looks() {
        let wheel = Wheel::new(Tick::ZERO);
        let mut deadline = Deadline::new(&wheel, Some(86_400_000 * MS));
        let _ = deadline.poll_expired_wake(Wake::row(1));
        let (mut now, mut looks) = (Tick::ZERO, 0);
        while woken(&wheel, now) == 0 {
            let next = wheel.next().unwrap();
            assert!(next > now, "time stands still");
            now = next;
            looks += 1;
        }
        assert_eq!(now, Tick::ZERO + 86_400_000 * MS);
        assert!(looks < 100, "looked {looks} times");
    }

    #[test]
    fn a_cleared_deadline_is_silent_and_an_earlier_reset_moves_it_up() {
        let wheel = Wheel::new(Tick::ZERO);
        let mut one = Deadline::new(&wheel, Some(10 * MS));
        let mut two = Deadline::new(&wheel, Some(10 * MS));
        let _ = (one.poll_expired_wake(Wake::row(1)), two.poll_expired_wake(Wake::row(2)));
        one.clear();
        two.reset(3 * MS);
        assert_eq!(wheel.next(), Some(Tick::ZERO + 3 * MS));
        assert_eq!(woken(&wheel, Tick::ZERO + 20 * MS), 1);
        assert!(one.poll_expired_wake(Wake::row(1)).is_pending());
    }

    #[test]
    fn a_jump_of_the_clock_past_a_whole_rotation_loses_nothing() {
        let wheel = Wheel::new(Tick::ZERO);
        let mut all: Vec<_> = (1..200).map(|at| Deadline::new(&wheel, Some(77 * at * MS))).collect();
        for deadline in &mut all {
            let _ = deadline.poll_expired_wake(Wake::row(1));
        }
        assert_eq!(woken(&wheel, Tick::ZERO + 3_600_000 * MS), 199);
    }
}
