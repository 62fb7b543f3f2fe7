//! What time is it: a monotonic tick for timers and the wall clock for dates.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the shard's monotonic clock: nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The clock's start.
    pub const ZERO: Tick = Tick(0);
    /// A tick no clock reaches.
    pub const MAX: Tick = Tick(u64::MAX);

    /// The tick `nanoseconds` after the clock's start.
    pub const fn from_nanos(nanoseconds: u64) -> Tick {
        Tick(nanoseconds)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this tick; zero when `earlier` is later.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    fn add(self, after: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Tick {
    type Output = Duration;

    fn sub(self, earlier: Tick) -> Duration {
        self.since(earlier)
    }
}

/// The kernel's monotonic clock.
pub(crate) fn monotonic() -> Tick {
    let at = read(libc::CLOCK_MONOTONIC);
    Tick(at.0 * 1_000_000_000 + at.1)
}

/// Processor time the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let (seconds, nanoseconds) = read(libc::CLOCK_THREAD_CPUTIME_ID);
    Duration::new(seconds, nanoseconds as u32)
}

/// Seconds since 1970-01-01 00:00:00 UTC by the coarse clock (a few milliseconds late at most).
pub(crate) fn unix() -> u64 {
    read(libc::CLOCK_REALTIME_COARSE).0
}

/// The time of day for log lines: seconds and milliseconds since 1970-01-01 00:00:00 UTC.
pub fn wall_clock() -> (u64, u32) {
    let (seconds, nanoseconds) = read(libc::CLOCK_REALTIME);
    (seconds, (nanoseconds / 1_000_000) as u32)
}

fn read(clock: libc::clockid_t) -> (u64, u64) {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `at` is a valid timespec the kernel fills; all these clocks exist on every Linux.
    let rc = unsafe { libc::clock_gettime(clock, &raw mut at) };
    debug_assert_eq!(rc, 0);
    (u64::try_from(at.tv_sec).unwrap_or(0), u64::try_from(at.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_saturates_and_never_runs_backwards() {
        let tick = Tick::from_nanos(5) + Duration::from_nanos(7);
        assert_eq!(tick.as_nanos(), 12);
        assert_eq!(Tick::from_nanos(5) - tick, Duration::ZERO);
        assert_eq!(tick + Duration::MAX, Tick::MAX);
        let (one, two) = (monotonic(), monotonic());
        assert!(two >= one);
        assert!(unix() > 1_600_000_000);
    }
}
