//! What must hold, and whether it does.

use super::outcome::{Outcome, Turn};
use crate::stat::{self, Spread};

/// How sure the bound of a tail is.
const CERTAINTY: f64 = 0.95;

/// What of an outcome a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Processor time a request.
    Cost,
    /// Bytes of memory a connection.
    Memory,
    /// The 99th percentile of latency.
    High,
    /// The 95 % bound of the 99.9th percentile of latency.
    Tail,
    /// The busiest thread's processor time by the lightest's.
    Balance,
}

/// With whom a subject is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// With nobody: the figure itself is meant.
    Nobody,
    /// With this entrant.
    Entrant(&'static str),
    /// With the best peer that was measured.
    Best,
}

/// What must hold of an entrant.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The entrant's name.
    pub entrant: &'static str,
    /// What is compared.
    pub measure: Measure,
    /// With whom.
    pub against: Against,
    /// The most the ratio, or the figure, may be.
    pub at_most: f64,
}

/// What a goal's figure is.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The median and its spread; of [`Measure::Tail`], of the ratio itself.
    pub spread: Spread,
    /// What is held against the goal: the median, or the bound.
    pub value: f64,
    /// Who it was compared with.
    pub against: Option<String>,
}

impl Goal {
    /// At most `at_most` times the cost of `against`.
    #[must_use]
    pub const fn cost(entrant: &'static str, against: &'static str, at_most: f64) -> Self {
        Self { entrant, measure: Measure::Cost, against: Against::Entrant(against), at_most }
    }

    /// At most `at_most` times the cost of the best peer.
    #[must_use]
    pub const fn best(entrant: &'static str, at_most: f64) -> Self {
        Self { entrant, measure: Measure::Cost, against: Against::Best, at_most }
    }

    /// At most so many bytes a connection.
    #[must_use]
    pub const fn memory(entrant: &'static str, at_most: f64) -> Self {
        Self { entrant, measure: Measure::Memory, against: Against::Nobody, at_most }
    }

    /// A 99.9th percentile of at most `at_most` times the best peer's, with a certainty of 95 %.
    #[must_use]
    pub const fn tail(entrant: &'static str, at_most: f64) -> Self {
        Self { entrant, measure: Measure::Tail, against: Against::Best, at_most }
    }

    /// A 99th percentile of at most `at_most` times that of `against`.
    #[must_use]
    pub const fn high(entrant: &'static str, against: &'static str, at_most: f64) -> Self {
        Self { entrant, measure: Measure::High, against: Against::Entrant(against), at_most }
    }

    /// The busiest thread has at most `at_most` times the work of the lightest.
    #[must_use]
    pub const fn balance(entrant: &'static str, at_most: f64) -> Self {
        Self { entrant, measure: Measure::Balance, against: Against::Nobody, at_most }
    }

    /// The goal in words, without its number.
    #[must_use]
    pub fn text(&self) -> String {
        let what = match self.measure {
            Measure::Cost => "",
            Measure::Memory => ", bytes a connection",
            Measure::High => ", p99",
            Measure::Tail => ", p99.9, 95 % bound",
            Measure::Balance => ", busiest shard by the lightest",
        };
        let whom = match self.against {
            Against::Nobody => String::new(),
            Against::Entrant(name) => format!(" by {name}"),
            Against::Best => " by the best peer".to_owned(),
        };
        format!("{}{whom}{what}", self.entrant)
    }

    /// What it came to; `None` when somebody it needs was not measured.
    #[must_use]
    pub fn figure(&self, outcome: &Outcome) -> Option<Figure> {
        let plain = |spread: Spread, against| Figure { spread, value: spread.median, against };
        match (outcome, self.measure) {
            (Outcome::Rounds(rounds), Measure::Cost | Measure::High | Measure::Tail) => {
                let figure: fn(&Turn) -> f64 = match self.measure {
                    Measure::Tail => |turn| turn.latency("p999"),
                    Measure::High => |turn| turn.latency("p99"),
                    _ => |turn| turn.cpu_us,
                };
                let against = match self.against {
                    Against::Nobody => return Some(plain(Spread::of(&rounds.of(self.entrant)?.series(figure))?, None)),
                    Against::Entrant(name) => name,
                    Against::Best => rounds.best(figure)?,
                };
                let ratios = rounds.ratios(self.entrant, against, figure)?;
                let mut found = plain(Spread::of(&ratios)?, Some(against.to_owned()));
                if self.measure == Measure::Tail {
                    found.value = stat::upper_bound(&ratios, CERTAINTY)?;
                }
                Some(found)
            }
            (Outcome::Idle(idle), Measure::Memory) => Some(plain(Spread::of(&[idle.each(self.entrant)?])?, None)),
            (Outcome::Balance(all), Measure::Balance) => {
                let shares = all.iter().find(|shares| shares.name == self.entrant)?;
                let ratios: Vec<f64> = shares.rounds.iter().map(super::outcome::Share::ratio).collect();
                Some(plain(Spread::of(&ratios)?, None))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Idle, Resting, Rounds, Share, Shares, Turns};
    use super::*;

    fn turns(name: &str, figures: &[(f64, f64)]) -> Turns {
        let turn = |&(cpu_us, p999): &(f64, f64)| Turn {
            cpu_us,
            latency_us: [("p999".to_owned(), p999)].into(),
            ..Turn::default()
        };
        Turns { name: name.to_owned(), answer: String::new(), rounds: figures.iter().map(turn).collect() }
    }

    #[test]
    fn the_best_peer_is_the_best_in_what_the_goal_is_about() {
        let rounds = Outcome::Rounds(Rounds {
            entrants: vec![
                turns("anygate-uring", &[(8.0, 30.0), (8.0, 30.0), (8.0, 60.0)]),
                turns("nginx", &[(10.0, 40.0), (10.0, 40.0), (10.0, 40.0)]),
                turns("h2o", &[(16.0, 20.0), (16.0, 20.0), (16.0, 20.0)]),
            ],
        });
        let cost = Goal::best("anygate-uring", 0.85).figure(&rounds).unwrap();
        assert_eq!((cost.value, cost.against.as_deref()), (0.8, Some("nginx")));
        let tail = Goal::tail("anygate-uring", 1.1).figure(&rounds).unwrap();
        assert_eq!((tail.spread.median, tail.against.as_deref()), (1.5, Some("h2o")));
        assert_eq!(tail.value, 3.0, "one of three rounds is that bad");
        assert_eq!(Goal::cost("anygate-uring", "caddy", 1.0).figure(&rounds), None);
        assert_eq!(Goal::memory("anygate-uring", 1.0).figure(&rounds), None);
    }

    #[test]
    fn memory_and_balance_are_compared_with_nobody() {
        let resting = Resting { name: "anygate-epoll".to_owned(), first: 0, all: 300 };
        let idle = Outcome::Idle(Idle { first: 0, connections: 1, subjects: vec![resting] });
        assert_eq!(Goal::memory("anygate-epoll", 400.0).figure(&idle).unwrap().value, 300.0);
        let share = |threads_s: &[f64]| Share { threads_s: threads_s.to_vec(), rate: 1.0 };
        let shares = Shares { name: "anygate-epoll".to_owned(), rounds: vec![share(&[3.0, 2.0])] };
        let balance = Outcome::Balance(vec![shares]);
        assert_eq!(Goal::balance("anygate-epoll", 1.2).figure(&balance).unwrap().value, 1.5);
    }
}
