//! What is measured, and what it is compared with.

mod idle;
mod rounds;

use std::time::Duration;

use anygate_shard::Io;

pub use idle::Idle;
pub use rounds::{Round, Rounds, Turns};

use crate::load::Reuse;
use crate::subject::Subject;

/// One kind of work every subject does.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is, for a reader of the report.
    pub about: &'static str,
    /// The work.
    pub work: Work,
    /// What must hold.
    pub goals: &'static [Goal],
}

/// The work of a scenario.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Requests in a closed loop.
    Requests {
        /// Connections at a time.
        connections: u32,
        /// Requests in one write.
        depth: u32,
        /// How often a connection is used.
        reuse: Reuse,
    },
    /// Connections at rest after one request each.
    Idle {
        /// How many rest in the end.
        connections: usize,
    },
}

/// What must hold of a subject.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The subject's name.
    pub subject: &'static str,
    /// With whom it is compared; the figure itself is meant where there is nobody.
    pub against: Option<&'static str>,
    /// The most the ratio, or the figure, may be.
    pub at_most: f64,
}

const fn goal(subject: &'static str, against: &'static str, at_most: f64) -> Goal {
    Goal { subject, against: Some(against), at_most }
}

const fn bytes(subject: &'static str, at_most: f64) -> Goal {
    Goal { subject, against: None, at_most }
}

/// All scenarios, in the order of the report.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "fixed",
        about: "A fixed answer without a body, 64 keep-alive connections, one request at a time on each",
        work: Work::Requests { connections: 64, depth: 1, reuse: Reuse::KeepAlive },
        goals: &[goal("anygate-epoll", "nginx", 1.0), goal("anygate-uring", "nginx", 1.0)],
    },
    Scenario {
        name: "pipelined",
        about: "The same, pipelined: 16 requests in one write, the next 16 when all are answered",
        work: Work::Requests { connections: 64, depth: 16, reuse: Reuse::KeepAlive },
        goals: &[goal("anygate-epoll", "floor-epoll", 2.0), goal("anygate-uring", "floor-uring", 2.0)],
    },
    Scenario {
        name: "connect",
        about: "A connection per request, 64 at a time, closed by the server",
        work: Work::Requests { connections: 64, depth: 1, reuse: Reuse::PerRequest },
        goals: &[],
    },
    Scenario {
        name: "idle",
        about: "15,000 connections at rest after one request each: anonymous memory a connection",
        work: Work::Idle { connections: 15_000 },
        goals: &[bytes("anygate-epoll", 400.0), bytes("anygate-uring", 400.0)],
    },
];

/// How everything is measured.
#[derive(Clone, Debug)]
pub struct Method {
    /// How often each subject has its turn.
    pub rounds: u32,
    /// How long a turn counts.
    pub duration: Duration,
    /// How long a turn runs before it counts.
    pub warm_up: Duration,
    /// The core subjects run on.
    pub server_core: usize,
    /// The core the load runs on.
    pub load_core: usize,
    /// The load's driver.
    pub load_io: Io,
    /// The first port; each subject has its own.
    pub port: u16,
}

/// What a scenario came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Rounds of requests.
    Rounds(Rounds),
    /// Memory at rest.
    Idle(Idle),
}

impl Scenario {
    /// The scenario of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Measures all subjects; `progress` is told what is going on, a line at a time.
    ///
    /// # Errors
    /// A subject cannot be started or does not answer.
    pub fn run(
        &self,
        subjects: &[Subject],
        method: &Method,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Outcome, String> {
        match self.work {
            Work::Requests { connections, depth, reuse } => {
                let load = rounds::Load { connections, depth, reuse };
                rounds::run(load, subjects, method, progress).map(Outcome::Rounds)
            }
            Work::Idle { connections } => idle::run(connections, subjects, method, progress).map(Outcome::Idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_its_own_name_and_every_goal_its_subject() {
        let subjects = ["floor-epoll", "floor-uring", "anygate-epoll", "anygate-uring", "nginx"];
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[..at].iter().all(|other| other.name != scenario.name));
            assert!(Scenario::named(scenario.name).is_some());
            for goal in scenario.goals {
                assert!(subjects.contains(&goal.subject), "{}", goal.subject);
                assert!(goal.against.is_none_or(|name| subjects.contains(&name)));
            }
        }
    }
}
