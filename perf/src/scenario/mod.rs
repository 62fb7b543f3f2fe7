//! What is measured, and what it is compared with.

mod balance;
mod entrants;
mod files;
mod flood;
mod goal;
mod idle;
mod outcome;
mod rounds;
mod table;

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use anygate_shard::Io;

pub use files::{FILES, write_files};
pub use goal::{Against, Figure, Goal, Measure};
pub use outcome::{Idle, Outcome, PEERS, QUANTILES, Resting, Rounds, Share, Shares, Turn, Turns};
pub use table::SCENARIOS;

use crate::identity;
use crate::load::{Protocol, Reuse, Tls, Versions};
use crate::subject::Subject;

/// One kind of work every subject does.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is, for a reader of the report.
    pub about: &'static str,
    /// What is done.
    pub kind: Kind,
    /// How long.
    pub pace: Pace,
    /// Subjects whose names begin so are left out.
    pub without: &'static [&'static str],
    /// What must hold.
    pub goals: &'static [Goal],
}

/// How often and how long a scenario's turns are.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often each entrant has its turn.
    pub rounds: u32,
    /// Seconds a turn counts.
    pub seconds: f64,
}

/// What servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Give one answer to everything.
    Fixed,
    /// Send files.
    Files,
    /// Pass on to a server behind.
    Proxy,
}

/// What is asked for, and on how many connections.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// What servers do.
    pub task: Task,
    /// The path.
    pub path: &'static str,
    /// Connections at a time.
    pub connections: u32,
    /// Requests in one write; over HTTP/2, streams at a time.
    pub depth: u32,
    /// How often a connection is used.
    pub reuse: Reuse,
    /// Bytes of each request's body.
    pub upload: u64,
    /// Whether TLS is spoken.
    pub secure: Secure,
    /// What is spoken.
    pub protocol: Protocol,
}

/// Whether TLS is spoken, always version 1.3 with X25519, AES-128-GCM and a certificate of ECDSA P-256, and how connections
/// begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// It is not.
    Plain,
    /// Every connection has a full handshake.
    Full,
    /// Every connection but the first goes on with an earlier session, by ticket.
    Resumed,
}

impl Secure {
    /// What a load has to know of it.
    pub(crate) fn tls(self) -> Option<Tls> {
        let name = identity::NAME.to_owned();
        let offered = Tls { name, versions: Versions::Tls13, one_cipher: true, ..Tls::default() };
        (self != Self::Plain).then_some(Tls { resume: self == Self::Resumed, ..offered })
    }
}

/// What is done in a scenario.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Requests in a closed loop.
    Requests(Ask),
    /// The same by servers with more and more routes.
    Routes {
        /// What is asked for.
        ask: Ask,
        /// How many routes servers have.
        counts: &'static [usize],
    },
    /// Connections at rest after one request each.
    Idle {
        /// How many rest in the end.
        connections: usize,
        /// Whether they speak TLS.
        secure: Secure,
        /// What they speak.
        protocol: Protocol,
    },
    /// Requests in an open loop on connections that stand, while others begin handshakes and do not end them.
    Flood {
        /// What is asked for.
        ask: Ask,
        /// Requests a second.
        rate: f64,
        /// Handshakes a second, as a multiple of what an entrant can do.
        times: f64,
    },
    /// Connections of two kinds over several threads.
    Imbalance {
        /// Heavy connections.
        heavy: u32,
        /// Requests a second on each of them.
        heavy_rate: f64,
        /// Light connections.
        light: u32,
        /// Requests a second on each of them.
        light_rate: f64,
        /// Threads that serve, each on a core of its own.
        shards: usize,
    },
    /// Requests in an open loop, at a part of what each entrant can do.
    Paced {
        /// What is asked for.
        ask: Ask,
        /// The part.
        part: f64,
    },
    /// Requests in an open loop, at the same rate for all.
    Tail {
        /// What is asked for.
        ask: Ask,
        /// Whose closed loop sets the rate; without it, the first entrant's.
        of: &'static str,
        /// The part of that.
        part: f64,
        /// Samples each entrant has over all rounds, at least.
        samples: u64,
    },
}

/// How everything is measured.
#[derive(Clone, Debug)]
pub struct Method {
    /// How often each subject has its turn, instead of what a scenario says.
    pub rounds: Option<u32>,
    /// How long a turn counts, instead of what a scenario says.
    pub duration: Option<Duration>,
    /// How long a turn runs before it counts.
    pub warm_up: Duration,
    /// Connections and samples are cut down: a look whether everything works, whose figures mean nothing.
    pub quick: bool,
    /// The core subjects run on.
    pub server_core: usize,
    /// The core the load runs on.
    pub load_core: usize,
    /// The load's driver.
    pub load_io: Io,
    /// The first port; each server has its own.
    pub port: u16,
}

/// The most connections of a quick look.
const QUICK_CONNECTIONS: u32 = 256;
/// The longest upload of a quick look.
const QUICK_UPLOAD: u64 = 1 << 20;
/// The most routes of a quick look.
const QUICK_ROUTES: usize = 1_000;

impl Method {
    fn rounds(&self, pace: Pace) -> u32 {
        self.rounds.unwrap_or(pace.rounds)
    }

    fn duration(&self, pace: Pace) -> Duration {
        self.duration.unwrap_or(Duration::from_secs_f64(pace.seconds))
    }

    fn connections(&self, wanted: u32) -> u32 {
        if self.quick { wanted.min(QUICK_CONNECTIONS) } else { wanted }
    }

    fn upload(&self, wanted: u64) -> u64 {
        if self.quick { wanted.min(QUICK_UPLOAD) } else { wanted }
    }

    fn routes(&self, wanted: usize) -> usize {
        if self.quick { wanted.min(QUICK_ROUTES) } else { wanted }
    }
}

impl Scenario {
    /// The scenario of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Whether a subject of this name takes part.
    #[must_use]
    pub fn takes(&self, name: &str) -> bool {
        !self.without.iter().any(|start| name.starts_with(start))
    }

    /// Measures all subjects that can do it; `files` holds what is sent where files are. `progress` is told what is going
    /// on, a line at a time, and `left_out` gets a line for each server of others that does not start. `None`: nobody here
    /// can do it.
    ///
    /// # Errors
    /// A subject cannot be started or does not answer.
    pub fn run(
        &self,
        subjects: &[Subject],
        files: &Path,
        method: &Method,
        left_out: &mut Vec<String>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Outcome>, String> {
        let subjects: Vec<&Subject> = subjects.iter().filter(|subject| self.takes(subject.name())).collect();
        let lines = RefCell::new(std::mem::take(left_out));
        let stage = entrants::Stage { scenario: self, subjects: &subjects, files, method, left_out: &lines };
        let outcome = match self.kind {
            Kind::Idle { connections, secure, protocol } => idle::run(&stage, connections, secure, protocol, progress),
            Kind::Flood { .. } => flood::run(&stage, progress),
            Kind::Imbalance { .. } => balance::run(&stage, progress),
            _ => rounds::run(&stage, progress),
        };
        *left_out = lines.into_inner();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECTS: &[&str] =
        &["floor-epoll", "floor-uring", "relay-epoll", "relay-uring", "anygate-epoll", "anygate-uring"];

    #[test]
    fn every_scenario_has_its_own_name_and_every_goal_its_entrants() {
        let known = |name: &str| {
            let subject = name.split(',').next().unwrap_or_default();
            SUBJECTS.contains(&subject) || PEERS.contains(&subject)
        };
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[..at].iter().all(|other| other.name != scenario.name));
            assert!(Scenario::named(scenario.name).is_some());
            for goal in scenario.goals {
                assert!(known(goal.entrant) && scenario.takes(goal.entrant), "{}", goal.entrant);
                if let Against::Entrant(name) = goal.against {
                    assert!(known(name) && scenario.takes(name), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_tail_has_ten_rounds_and_a_million_samples() {
        let tails = SCENARIOS.iter().filter_map(|scenario| match scenario.kind {
            Kind::Tail { samples, .. } => Some((scenario.pace.rounds, samples)),
            _ => None,
        });
        let tails: Vec<_> = tails.collect();
        assert_eq!(tails.len(), 2);
        assert!(tails.iter().all(|&(rounds, samples)| rounds >= 10 && samples >= 1_000_000));
    }
}
