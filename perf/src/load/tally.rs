//! What is counted while a load runs.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart: what is longer counts as this.
const LONGEST: Duration = Duration::from_secs(60);

/// What went wrong with a request or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// No connection was made.
    Connect,
    /// The connection failed with answers owed.
    Reset,
    /// The connection ended with answers owed.
    Ended,
    /// What came was no answer.
    Malformed,
    /// The answer's status was not 2xx.
    Status,
    /// No answer came in time; the connection was given up.
    Stalled,
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Connect, Self::Reset, Self::Ended, Self::Malformed, Self::Status, Self::Stalled];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Ended => "ended",
            Self::Malformed => "malformed",
            Self::Status => "status",
            Self::Stalled => "stalled",
        }
    }
}

/// What a load saw in the time that counts.
#[derive(Clone, Debug)]
pub struct Tally {
    /// How long it counted.
    pub elapsed: Duration,
    /// Whole 2xx answers.
    pub answers: u64,
    /// Connections made.
    pub connects: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Nanoseconds from a request's start to the end of its answer.
    pub latency: Histogram<u64>,
    faults: [u64; Fault::ALL.len()],
}

impl Tally {
    pub(super) fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let latency = Histogram::new_with_bounds(1, longest, 3).expect("the bounds are in order");
        Self { elapsed: Duration::ZERO, answers: 0, connects: 0, bytes_in: 0, latency, faults: [0; 6] }
    }

    /// Forgets everything: what came before does not count.
    pub(super) fn clear(&mut self) {
        self.latency.reset();
        (self.answers, self.connects, self.bytes_in, self.faults) = (0, 0, 0, [0; 6]);
    }

    #[inline]
    pub(super) fn answered(&mut self, after: Duration) {
        self.answers += 1;
        self.latency.saturating_record(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    /// How often this went wrong.
    #[must_use]
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// How often anything went wrong.
    #[must_use]
    pub fn all_faults(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this part of all answers stayed within, in microseconds; `part` is from 0 to 1.
    #[must_use]
    pub fn latency_us(&self, part: f64) -> f64 {
        self.latency.value_at_quantile(part) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_back_within_a_thousandth() {
        let mut tally = Tally::new();
        for microseconds in 1..=1000 {
            tally.answered(Duration::from_micros(microseconds));
        }
        for (part, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = tally.latency_us(part);
            assert!((got / expected - 1.0).abs() <= 0.001, "p{part}: {got} for {expected}");
        }
        tally.answered(Duration::from_secs(3600));
        assert!((tally.latency_us(1.0) / 60e6 - 1.0).abs() <= 0.001, "longer than the longest counts as the longest");
    }

    #[test]
    fn faults_are_counted_by_kind_and_forgotten_with_the_warm_up() {
        let mut tally = Tally::new();
        tally.fault(Fault::Reset);
        tally.fault(Fault::Stalled);
        tally.fault(Fault::Stalled);
        let counts: Vec<_> = Fault::ALL.iter().map(|&fault| tally.faults(fault)).collect();
        assert_eq!(counts, [0, 1, 0, 0, 0, 2]);
        assert_eq!(tally.all_faults(), 3);
        tally.answered(Duration::from_micros(1));
        tally.clear();
        assert_eq!((tally.all_faults(), tally.answers, tally.latency.len()), (0, 0, 0));
    }
}
