//! What is counted while a load runs.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart: what is longer counts as this.
const LONGEST: Duration = Duration::from_secs(60);
/// An open loop holds its rate when this part of what was due was answered.
const HELD: f64 = 0.99;

/// What went wrong with a request or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// No connection was made.
    Connect,
    /// The connection was made, and no TLS on it.
    Handshake,
    /// The connection failed with answers owed.
    Reset,
    /// The connection ended with answers owed.
    Ended,
    /// What came was no answer.
    Malformed,
    /// The answer's status was neither 2xx nor 3xx.
    Status,
    /// No answer came in time; the connection was given up.
    Stalled,
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 7] =
        [Self::Connect, Self::Handshake, Self::Reset, Self::Ended, Self::Malformed, Self::Status, Self::Stalled];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
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
    /// Whole 2xx and 3xx answers.
    pub answers: u64,
    /// Connections made; over TLS, handshakes that ended well.
    pub connects: u64,
    /// Those of them that went on with an earlier session.
    pub resumed: u64,
    /// Version, cipher suite and group of the first TLS connection; none without TLS.
    pub agreed: Option<String>,
    /// Why the first handshake failed that did.
    pub refused: Option<String>,
    /// Bytes received; over TLS, those of its records.
    pub bytes_in: u64,
    /// Bytes sent: what the kernel took.
    pub bytes_out: u64,
    /// Requests that came due; 0 in a closed loop.
    pub due: u64,
    /// Requests that were due at the end and had not begun, because every connection was busy.
    pub waiting: u64,
    /// Nanoseconds from a request's start to the end of its answer. In an open loop the start is when the request was due.
    pub latency: Histogram<u64>,
    /// Each group's own tally, in the plan's order; empty when there is only one group.
    pub groups: Vec<Tally>,
    faults: [u64; Fault::ALL.len()],
    statuses: [u64; 6],
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let latency = Histogram::new_with_bounds(1, longest, 3).expect("the bounds are in order");
        Self {
            elapsed: Duration::ZERO,
            answers: 0,
            connects: 0,
            resumed: 0,
            agreed: None,
            refused: None,
            bytes_in: 0,
            bytes_out: 0,
            due: 0,
            waiting: 0,
            latency,
            groups: Vec::new(),
            faults: [0; Fault::ALL.len()],
            statuses: [0; 6],
        }
    }

    /// Forgets everything: what came before does not count.
    pub(super) fn clear(&mut self) {
        self.latency.reset();
        (self.answers, self.connects, self.resumed) = (0, 0, 0);
        (self.bytes_in, self.bytes_out, self.due, self.waiting) = (0, 0, 0, 0);
        (self.faults, self.statuses) = ([0; Fault::ALL.len()], [0; 6]);
    }

    /// Counts an answer. `status` is from 100 to 599.
    #[inline]
    pub(crate) fn answered(&mut self, status: u16, after: Duration) {
        self.statuses[usize::from(status / 100).min(5)] += 1;
        if (200..400).contains(&status) {
            self.answers += 1;
            self.latency.saturating_record(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        } else {
            self.fault(Fault::Status, 1);
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault, count: u64) {
        self.faults[fault as usize] += count;
    }

    /// Adds what another load saw at the same time.
    pub fn add(&mut self, other: &Self) {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.answers += other.answers;
        self.connects += other.connects;
        self.resumed += other.resumed;
        self.agreed = self.agreed.take().or_else(|| other.agreed.clone());
        self.refused = self.refused.take().or_else(|| other.refused.clone());
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.due += other.due;
        self.waiting += other.waiting;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
        for (sum, count) in self.statuses.iter_mut().zip(other.statuses) {
            *sum += count;
        }
        self.groups.resize_with(self.groups.len().max(other.groups.len()), Self::new);
        for (sum, group) in self.groups.iter_mut().zip(&other.groups) {
            sum.add(group);
        }
    }

    /// How often this went wrong: requests that got no answer, or got this one.
    #[must_use]
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// How often anything went wrong.
    #[must_use]
    pub fn all_faults(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Answers of a class of status, 1 to 5.
    #[must_use]
    pub fn statuses(&self, class: usize) -> u64 {
        self.statuses.get(class).copied().unwrap_or(0)
    }

    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// Whole answers, whatever their status.
    #[must_use]
    pub fn answers_of_any_status(&self) -> u64 {
        self.answers + self.faults(Fault::Status)
    }

    /// Whether an open loop was answered at its rate, up to a hundredth, with whatever status; a closed one always is.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.answers_of_any_status() as f64 >= self.due as f64 * HELD
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
            tally.answered(200, Duration::from_micros(microseconds));
        }
        for (part, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = tally.latency_us(part);
            assert!((got / expected - 1.0).abs() <= 0.001, "p{part}: {got} for {expected}");
        }
        tally.answered(200, Duration::from_secs(3600));
        assert!((tally.latency_us(1.0) / 60e6 - 1.0).abs() <= 0.001, "longer than the longest counts as the longest");
    }

    #[test]
    fn faults_are_counted_by_kind_and_forgotten_with_the_warm_up() {
        let mut tally = Tally::new();
        tally.fault(Fault::Reset, 1);
        tally.fault(Fault::Stalled, 2);
        tally.answered(503, Duration::from_micros(1));
        let counts: Vec<_> = Fault::ALL.iter().map(|&fault| tally.faults(fault)).collect();
        assert_eq!(counts, [0, 0, 1, 0, 0, 1, 2]);
        assert_eq!((tally.all_faults(), tally.statuses(5), tally.answers), (4, 1, 0));
        tally.answered(302, Duration::from_micros(1));
        assert_eq!((tally.answers, tally.statuses(3)), (1, 1));
        tally.clear();
        assert_eq!((tally.all_faults(), tally.answers, tally.latency.len(), tally.statuses(5)), (0, 0, 0, 0));
    }

    #[test]
    fn what_two_loads_saw_adds_up() {
        let (mut one, mut two) = (Tally::new(), Tally::new());
        one.answered(200, Duration::from_micros(10));
        two.answered(200, Duration::from_micros(30));
        two.answered(404, Duration::from_micros(1));
        two.fault(Fault::Connect, 3);
        two.groups = vec![two.clone()];
        (one.due, two.due, two.elapsed) = (5, 6, Duration::from_secs(1));
        one.add(&two);
        assert_eq!((one.answers, one.due, one.latency.len()), (2, 11, 2));
        assert_eq!((one.faults(Fault::Connect), one.faults(Fault::Status), one.statuses(4)), (3, 1, 1));
        assert_eq!((one.groups.len(), one.groups[0].answers), (1, 1));
        assert!((one.latency.max() as f64 / 30_000.0 - 1.0).abs() < 0.001);
    }

    #[test]
    fn a_rate_is_held_when_nearly_all_that_was_due_was_answered() {
        let mut tally = Tally::new();
        assert!(tally.is_held(), "a closed loop asks for no rate");
        (tally.due, tally.answers) = (1000, 990);
        assert!(tally.is_held());
        tally.answers = 989;
        assert!(!tally.is_held());
        tally.answered(404, Duration::from_micros(1));
        assert!(tally.is_held(), "a bad status is an error, and an answer in time");
    }
}
