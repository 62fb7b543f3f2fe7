//! When requests of an open loop are due: at even distances from its start, whatever the answers do.

use anygate_shard::Tick;

/// Points in time at even distances.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start: Tick,
    /// Nanoseconds from one to the next.
    apart: f64,
    next: u64,
}

impl Schedule {
    /// Nothing is due before [`start`](Self::start).
    pub(super) fn new(per_second: f64) -> Self {
        Self { start: Tick::MAX, apart: 1e9 / per_second, next: 0 }
    }

    /// The first one is due at `now`.
    pub(super) fn start(&mut self, now: Tick) {
        self.start = now;
    }

    /// When this one is due.
    pub(super) fn at(&self, number: u64) -> Tick {
        // Exact enough: 2^53 ns are 104 days.
        Tick::from_nanos(self.start.as_nanos().saturating_add((number as f64 * self.apart) as u64))
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Tick {
        self.at(self.next)
    }

    /// Takes the next one if it is due: its number.
    pub(super) fn take(&mut self, now: Tick) -> Option<u64> {
        let number = self.next;
        (self.at(number) <= now).then(|| {
            self.next += 1;
            number
        })
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> u64 {
        self.next
    }

    /// How many have come due.
    pub(super) fn due(&self, now: Tick) -> u64 {
        if now < self.start { 0 } else { ((now - self.start).as_nanos() as f64 / self.apart) as u64 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_due_at_even_distances_and_do_not_drift() {
        let mut schedule = Schedule::new(3.0);
        assert_eq!(schedule.take(Tick::from_nanos(u64::MAX - 1)), None, "nothing is due before the start");
        let start = Tick::from_nanos(5_000);
        schedule.start(start);
        assert_eq!(schedule.due(Tick::ZERO), 0);
        assert_eq!(schedule.take(start), Some(0));
        assert_eq!(schedule.take(start), None);
        assert_eq!(schedule.at(3_000_000).as_nanos(), 5_000 + 1_000_000_000_000_000);
        let later = Tick::from_nanos(5_000 + 1_000_000_001);
        assert_eq!(schedule.due(later), 4);
        assert_eq!(std::iter::from_fn(|| schedule.take(later)).count(), 3, "what was missed is still to be taken");
        assert_eq!(schedule.taken(), 4);
    }
}
