//! What a scenario came to: plain figures, which are kept as JSON and read again to draw from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::{Fault, Tally};
use crate::stat::Spread;

/// The parts of all answers whose latency is kept, with their names.
pub const QUANTILES: &[(&str, f64)] = &[
    ("p1", 0.01),
    ("p5", 0.05),
    ("p10", 0.1),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p98", 0.98),
    ("p99", 0.99),
    ("p995", 0.995),
    ("p998", 0.998),
    ("p999", 0.999),
    ("p9995", 0.9995),
    ("p9999", 0.9999),
    ("max", 1.0),
];

/// The names of peers: who is meant by "the best" is the best of these.
pub const PEERS: &[&str] = &["nginx", "haproxy", "h2o", "caddy"];

/// One turn of one subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Microseconds of the server's processor time a request.
    pub cpu_us: f64,
    /// The part of its core the server used, 0 to 1 for one thread.
    pub busy: f64,
    /// Seconds it counted.
    pub elapsed_s: f64,
    /// Requests a second that were meant to be sent, where that was fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<f64>,
    /// Handshakes a second that somebody else began meanwhile, where there was a flood of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flood: Option<f64>,
    /// Whole 2xx answers.
    pub answers: u64,
    /// Answers a second.
    pub rate: f64,
    /// Connections made.
    pub connects: u64,
    /// Those of them that went on with an earlier TLS session.
    #[serde(default)]
    pub resumed: u64,
    /// Version, cipher suite and group, where TLS was spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Latency in microseconds by the names of [`QUANTILES`].
    pub latency_us: BTreeMap<String, f64>,
    /// What went wrong, by kind; only what did.
    pub faults: BTreeMap<String, u64>,
}

impl Turn {
    /// The figures of a turn that cost `processor`, whose load was to send `asked` requests a second.
    #[must_use]
    pub fn of(processor: Duration, tally: &Tally, asked: Option<f64>) -> Self {
        let faults = Fault::ALL.iter().map(|&fault| (fault.name().to_owned(), tally.faults(fault)));
        Self {
            cpu_us: processor.as_secs_f64() * 1e6 / tally.answers as f64,
            busy: processor.as_secs_f64() / tally.elapsed.as_secs_f64(),
            elapsed_s: tally.elapsed.as_secs_f64(),
            asked,
            flood: None,
            answers: tally.answers,
            rate: tally.rate(),
            connects: tally.connects,
            resumed: tally.resumed,
            tls: tally.agreed.clone(),
            bytes_in: tally.bytes_in,
            latency_us: QUANTILES.iter().map(|&(name, part)| (name.to_owned(), tally.latency_us(part))).collect(),
            faults: faults.filter(|&(_, count)| count > 0).collect(),
        }
    }

    /// A latency by its name in [`QUANTILES`].
    #[must_use]
    pub fn latency(&self, name: &str) -> f64 {
        self.latency_us.get(name).copied().unwrap_or(f64::NAN)
    }
}

/// One entrant's turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turns {
    /// The entrant's name.
    pub name: String,
    /// The head of what it answers, for who wonders whether the work is the same.
    #[serde(default)]
    pub answer: String,
    /// One a round.
    pub rounds: Vec<Turn>,
}

impl Turns {
    /// One figure, round by round.
    #[must_use]
    pub fn series(&self, figure: impl Fn(&Turn) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }

    /// The median of a figure; NaN without rounds.
    #[must_use]
    pub fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        Spread::of(&self.series(figure)).map_or(f64::NAN, |spread| spread.median)
    }

    /// Faults of all rounds by kind.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&str, u64> {
        let mut sum = BTreeMap::new();
        for (kind, count) in self.rounds.iter().flat_map(|turn| &turn.faults) {
            *sum.entry(kind.as_str()).or_default() += count;
        }
        sum
    }
}

/// All turns of all entrants, in the order of the first round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    /// The entrants.
    pub entrants: Vec<Turns>,
}

impl Rounds {
    /// The turns of the entrant with this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Turns> {
        self.entrants.iter().find(|turns| turns.name == name)
    }

    /// A figure of one entrant by another's, round by round.
    #[must_use]
    pub fn ratios(&self, name: &str, against: &str, figure: impl Fn(&Turn) -> f64 + Copy) -> Option<Vec<f64>> {
        let (over, under) = (self.of(name)?.series(figure), self.of(against)?.series(figure));
        Some(over.iter().zip(under).map(|(over, under)| over / under).collect())
    }

    /// The peer whose median of this figure is the least.
    #[must_use]
    pub fn best(&self, figure: impl Fn(&Turn) -> f64 + Copy) -> Option<&str> {
        let peers =
            self.entrants.iter().filter(|turns| PEERS.contains(&turns.name.as_str()) && !turns.rounds.is_empty());
        let best = peers.min_by(|a, b| a.median(figure).total_cmp(&b.median(figure)));
        best.map(|turns| turns.name.as_str())
    }
}

/// Memory of one subject at rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resting {
    /// The subject's name.
    pub name: String,
    /// Bytes of anonymous memory with the first few connections at rest.
    pub first: u64,
    /// Bytes with all of them.
    pub all: u64,
}

/// Memory of all subjects at rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// How many connections rest at first.
    pub first: usize,
    /// How many rest in the end.
    pub connections: usize,
    /// The subjects.
    pub subjects: Vec<Resting>,
}

impl Idle {
    /// Bytes a connection.
    #[must_use]
    pub fn each(&self, name: &str) -> Option<f64> {
        let resting = self.subjects.iter().find(|resting| resting.name == name)?;
        Some((resting.all as f64 - resting.first as f64) / (self.connections - self.first) as f64)
    }
}

/// How one subject spread its work over its threads in one turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Seconds of processor time of the threads that serve, busiest first.
    pub threads_s: Vec<f64>,
    /// Whole answers a second.
    pub rate: f64,
}

impl Share {
    /// The busiest thread's time by the lightest's.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        match (self.threads_s.first(), self.threads_s.last()) {
            (Some(busiest), Some(lightest)) => busiest / lightest,
            _ => f64::NAN,
        }
    }
}

/// How one subject spread its work, turn by turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// The subject's name.
    pub name: String,
    /// One a round.
    pub rounds: Vec<Share>,
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Rounds of requests.
    Rounds(Rounds),
    /// Memory at rest.
    Idle(Idle),
    /// Work over several threads.
    Balance(Vec<Shares>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(name: &str, costs: &[f64]) -> Turns {
        let rounds = costs.iter().map(|&cpu_us| Turn { cpu_us, ..Turn::default() }).collect();
        Turns { name: name.to_owned(), answer: String::new(), rounds }
    }

    #[test]
    fn ratios_are_by_round_and_the_best_is_a_peer() {
        let rounds = Rounds {
            entrants: vec![turns("floor-epoll", &[1.0, 1.0]), turns("h2o", &[4.0, 8.0]), turns("nginx", &[5.0, 9.0])],
        };
        assert_eq!(rounds.ratios("h2o", "floor-epoll", |turn| turn.cpu_us).unwrap(), [4.0, 8.0]);
        assert_eq!(rounds.ratios("h2o", "caddy", |turn| turn.cpu_us), None);
        assert_eq!(rounds.best(|turn| turn.cpu_us), Some("h2o"));
        assert_eq!(Rounds::default().best(|turn| turn.cpu_us), None);
    }

    #[test]
    fn what_a_server_needs_once_is_not_counted_for_a_connection() {
        let resting = Resting { name: "a".to_owned(), first: 1_000_000, all: 1_250_000 };
        let idle = Idle { first: 64, connections: 1064, subjects: vec![resting] };
        assert_eq!(idle.each("a"), Some(250.0));
        assert_eq!(idle.each("b"), None);
    }

    #[test]
    fn the_busiest_is_compared_with_the_lightest() {
        assert_eq!(Share { threads_s: vec![3.0, 2.0, 1.5], rate: 0.0 }.ratio(), 2.0);
        assert!(Share::default().ratio().is_nan());
    }

    #[test]
    fn figures_come_back_from_json() {
        let mut rounds = Rounds { entrants: vec![turns("nginx", &[0.1])] };
        rounds.entrants[0].rounds[0].latency_us.insert("p999".to_owned(), 123.4);
        let outcome = Outcome::Rounds(rounds);
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }
}
