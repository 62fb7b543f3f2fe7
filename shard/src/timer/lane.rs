//! Which rows have run out of a timeout they share: one FIFO per distinct timeout.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::time::Tick;

/// A FIFO of rows with one timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(u16);

/// A row's place in a lane. Stale once it ran out or was removed; a stale place is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneEntry {
    index: u32,
    generation: u32,
}

impl LaneEntry {
    /// A place in no lane.
    pub const NONE: LaneEntry = LaneEntry { index: NIL, generation: 0 };
}

impl Default for LaneEntry {
    fn default() -> Self {
        LaneEntry::NONE
    }
}

/// Lanes of one shard that keep their timeout to the letter. Later ones are rounded up to a grid, which has an end: a
/// process whose configuration is changed again and again makes no lanes without end.
const EXACT_LANES: usize = 256;
/// Steps of the grid in each doubling: what is rounded runs out at most a sixteenth later.
const GRID_STEPS: u32 = 16;
const NIL: u32 = u32::MAX;

/// Who asked to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A row of the service.
    Row(u32),
    /// A closing socket's slot.
    Close(u32),
}

struct Lane {
    timeout: Duration,
    closes: bool,
    first: u32,
    last: u32,
}

struct Entry {
    at: Tick,
    row: u32,
    generation: u32,
    previous: u32,
    next: u32,
    lane: u16,
    live: bool,
}

/// All lanes of a shard.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: RefCell<Vec<Lane>>,
    entries: RefCell<Vec<Entry>>,
    /// The first of the free entries, which are linked by `next`.
    free: Cell<Option<u32>>,
}

impl Lanes {
    /// The lane of this timeout, rounded up by a sixteenth at most when there are many; `closes` keeps the shard's own
    /// apart from the service's.
    pub(crate) fn lane(&self, timeout: Duration, closes: bool) -> LaneId {
        let mut lanes = self.lanes.borrow_mut();
        let mut timeout = timeout;
        loop {
            if let Some(at) = lanes.iter().position(|lane| lane.timeout == timeout && lane.closes == closes) {
                return LaneId(at as u16);
            }
            let rounded = on_grid(timeout);
            if closes || lanes.len() < EXACT_LANES || rounded == timeout {
                lanes.push(Lane { timeout, closes, first: NIL, last: NIL });
                return LaneId((lanes.len() - 1) as u16);
            }
            timeout = rounded;
        }
    }

    /// Puts `row` at the lane's end.
    pub(crate) fn push(&self, lane: LaneId, row: u32, now: Tick) -> LaneEntry {
        let mut lanes = self.lanes.borrow_mut();
        let mut entries = self.entries.borrow_mut();
        let at = now + lanes[usize::from(lane.0)].timeout;
        let index = match self.free.get() {
            Some(index) => {
                let next = entries[index as usize].next;
                self.free.set((next != NIL).then_some(next));
                index
            }
            None => {
                let empty = Entry { at, row, generation: 0, previous: NIL, next: NIL, lane: lane.0, live: false };
                entries.push(empty);
                (entries.len() - 1) as u32
            }
        };
        let line = &mut lanes[usize::from(lane.0)];
        let entry = &mut entries[index as usize];
        debug_assert!(!entry.live);
        entry.at = at;
        entry.row = row;
        entry.lane = lane.0;
        entry.live = true;
        entry.previous = line.last;
        entry.next = NIL;
        let generation = entry.generation;
        if line.last == NIL {
            line.first = index;
        } else {
            entries[line.last as usize].next = index;
        }
        line.last = index;
        LaneEntry { index, generation }
    }

    /// Rows that wait in any lane. Looks at every place.
    pub(crate) fn live(&self) -> usize {
        self.entries.borrow().iter().filter(|entry| entry.live).count()
    }

    /// Takes a row out before its time. Says whether it was still in.
    pub(crate) fn remove(&self, place: LaneEntry) -> bool {
        let mut lanes = self.lanes.borrow_mut();
        let mut entries = self.entries.borrow_mut();
        match entries.get(place.index as usize) {
            Some(entry) if entry.live && entry.generation == place.generation => {}
            _ => return false,
        }
        self.unlink(&mut lanes, &mut entries, place.index);
        true
    }

    fn unlink(&self, lanes: &mut [Lane], entries: &mut [Entry], index: u32) {
        let entry = &mut entries[index as usize];
        let (previous, next) = (entry.previous, entry.next);
        let line = &mut lanes[usize::from(entry.lane)];
        entry.live = false;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free.get().unwrap_or(NIL);
        self.free.set(Some(index));
        if previous == NIL {
            line.first = next;
        } else {
            entries[previous as usize].next = next;
        }
        if next == NIL {
            line.last = previous;
        } else {
            entries[next as usize].previous = previous;
        }
    }

    /// Takes the next row that has run out, lane by lane.
    pub(crate) fn take_due(&self, now: Tick) -> Option<Due> {
        let mut lanes = self.lanes.borrow_mut();
        let mut entries = self.entries.borrow_mut();
        let index = lanes.iter().map(|lane| lane.first).find(|&at| at != NIL && entries[at as usize].at <= now)?;
        let (row, lane) = (entries[index as usize].row, usize::from(entries[index as usize].lane));
        self.unlink(&mut lanes, &mut entries, index);
        Some(if lanes[lane].closes { Due::Close(row) } else { Due::Row(row) })
    }

    /// When the next row runs out.
    pub(crate) fn next(&self) -> Option<Tick> {
        let lanes = self.lanes.borrow();
        let entries = self.entries.borrow();
        lanes.iter().filter(|lane| lane.first != NIL).map(|lane| entries[lane.first as usize].at).min()
    }
}

/// The next timeout, at or above this one, of the few hundred that there are on the grid: whole milliseconds up to 16,
/// then sixteen in each doubling, up to some 34 years, which stand for all that is longer.
fn on_grid(timeout: Duration) -> Duration {
    const LONGEST: u64 = 1 << 40;
    let milliseconds =
        u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).map_or(LONGEST, |whole| whole.min(LONGEST));
    let step = 1 << milliseconds.max(1).ilog2().saturating_sub(GRID_STEPS.ilog2());
    Duration::from_millis(milliseconds.next_multiple_of(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn timeouts_without_end_share_lanes_and_a_close_keeps_its_own() {
        let lanes = Lanes::default();
        let exact = lanes.lane(1_000_003 * MS, false);
        let mut made = Vec::new();
        for timeout in 0..100_000u32 {
            made.push((timeout * MS * 7 + MS / 3, lanes.lane(timeout * MS * 7 + MS / 3, false)));
        }
        for timeout in [
            Duration::ZERO,
            MS / 1000,
            Duration::MAX,
            Duration::from_secs(u64::MAX),
            Duration::from_secs(36_500 * 86_400),
        ] {
            lanes.lane(timeout, false);
        }
        assert_eq!(lanes.lane(1_000_003 * MS, false), exact);
        let closing = lanes.lane(30_000 * MS + MS / 7, true);
        let all = lanes.lanes.borrow();
        assert_eq!(all[usize::from(closing.0)].timeout, 30_000 * MS + MS / 7);
        assert!(all.len() < 1000, "{} lanes", all.len());
        for (asked, lane) in made {
            let got = all[usize::from(lane.0)].timeout;
            assert!(asked <= got && got <= asked + asked / GRID_STEPS + MS, "{got:?} for {asked:?}");
        }
    }

    #[test]
    fn rows_run_out_in_the_order_of_their_lane_and_removed_ones_do_not() {
        let lanes = Lanes::default();
        let (short, long) = (lanes.lane(MS, false), lanes.lane(3 * MS, false));
        assert_eq!(lanes.lane(MS, false), short);
        assert_ne!(lanes.lane(MS, true), short);
        let zero = Tick::ZERO;
        lanes.push(long, 9, zero);
        lanes.push(short, 1, zero);
        let two = lanes.push(short, 2, zero);
        lanes.push(short, 3, zero);
        assert!(lanes.remove(two));
        assert!(!lanes.remove(two));
        assert_eq!(lanes.next(), Some(zero + MS));
        assert_eq!(lanes.take_due(zero), None);
        assert_eq!(lanes.take_due(zero + MS), Some(Due::Row(1)));
        assert_eq!(lanes.take_due(zero + MS), Some(Due::Row(3)));
        assert_eq!(lanes.take_due(zero + 2 * MS), None);
        assert_eq!(lanes.take_due(zero + 3 * MS), Some(Due::Row(9)));
        assert_eq!(lanes.next(), None);
        let again = lanes.push(short, 4, zero);
        assert!(!lanes.remove(two), "an old place does not remove the row that took it over");
        assert!(lanes.remove(again));
        assert!(!lanes.remove(LaneEntry::NONE));
    }
}
