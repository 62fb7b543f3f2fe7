//! How subjects take turns: each once a round, and each round begins with another, so that drift cancels.

use std::net::SocketAddr;
use std::time::Duration;

use super::Method;
use crate::load::{self, Edge, Plan, Reuse, Tally};
use crate::server::Server;
use crate::stat::Spread;
use crate::subject::{Duty, Subject};

/// The load of a scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) depth: u32,
    pub(super) reuse: Reuse,
}

/// One subject's turn.
#[derive(Clone, Debug)]
pub struct Round {
    /// Processor time of the server while it counted.
    pub processor: Duration,
    /// What the load saw.
    pub tally: Tally,
}

impl Round {
    /// Microseconds of processor time a request.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.tally.answers as f64
    }

    /// The part of its core the server used, 0 to 1 for one thread.
    #[must_use]
    pub fn busy(&self) -> f64 {
        self.processor.as_secs_f64() / self.tally.elapsed.as_secs_f64()
    }
}

/// One subject's turns.
#[derive(Clone, Debug)]
pub struct Turns {
    /// The subject's name.
    pub name: &'static str,
    /// What it answers, for who wonders whether the work is the same.
    pub answer: String,
    /// One a round.
    pub rounds: Vec<Round>,
}

/// All turns of all subjects.
#[derive(Clone, Debug)]
pub struct Rounds {
    /// In the order the subjects were given.
    pub subjects: Vec<Turns>,
}

impl Rounds {
    /// One figure of a subject, round by round.
    #[must_use]
    pub fn series(&self, subject: &str, figure: impl Fn(&Round) -> f64) -> Option<Vec<f64>> {
        let turns = self.subjects.iter().find(|turns| turns.name == subject)?;
        Some(turns.rounds.iter().map(figure).collect())
    }

    /// Processor time a request of one subject by another's, round by round.
    #[must_use]
    pub fn ratio(&self, subject: &str, against: &str) -> Option<Spread> {
        Spread::of_ratios(&self.series(subject, Round::cost)?, &self.series(against, Round::cost)?)
    }
}

pub(super) fn run(
    load: Load,
    subjects: &[Subject],
    method: &Method,
    progress: &mut dyn FnMut(&str),
) -> Result<Rounds, String> {
    let duty = Duty { close: load.reuse == Reuse::PerRequest, ..Duty::default() };
    let mut servers = Vec::new();
    let mut all = Vec::new();
    for (subject, port) in subjects.iter().zip(method.port..) {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let server = subject.start(listen, method.server_core, &duty)?;
        let answer = server.ask("/").map_err(|error| format!("{}: {error}", subject.name()))?.head;
        servers.push(server);
        all.push(Turns { name: subject.name(), answer, rounds: Vec::new() });
    }
    for round in 0..method.rounds as usize {
        let mut line = format!("round {}/{}:", round + 1, method.rounds);
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let result = take_turn(load, &servers[at], method)
                .map_err(|error| format!("{}: {error}\n{}", subjects[at].name(), servers[at].printed()))?;
            line.push_str(&format!(" {} {:.3}", subjects[at].name(), result.cost()));
            all[at].rounds.push(result);
        }
        progress(&line);
    }
    Ok(Rounds { subjects: all })
}

fn take_turn(load: Load, server: &Server, method: &Method) -> Result<Round, String> {
    let account = server.account()?;
    let plan = Plan {
        connections: load.connections,
        depth: load.depth,
        reuse: load.reuse,
        warm_up: method.warm_up,
        duration: method.duration,
        core: Some(method.load_core),
        ..Plan::new(server.address, method.load_io)
    };
    let mut at_begin = Ok(Duration::ZERO);
    let mut at_end = Ok(Duration::ZERO);
    let tally = load::run(&plan, &mut |edge| match edge {
        Edge::Begin => at_begin = account.processor(),
        Edge::End => at_end = account.processor(),
    })?;
    let gone = |error| format!("the server is gone: {error}");
    let processor = at_end.map_err(gone)?.saturating_sub(at_begin.map_err(gone)?);
    if tally.answers == 0 {
        return Err(format!("no request was answered, {} failed", tally.all_faults()));
    }
    Ok(Round { processor, tally })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anygate_shard::Io;

    #[test]
    fn cost_is_processor_time_by_answers_and_ratios_are_by_round() {
        let plan = Plan::new("127.0.0.1:1".parse().unwrap(), Io::Epoll);
        let mut tally = load::run(&Plan { warm_up: Duration::ZERO, duration: Duration::ZERO, ..plan }, &mut |_| {})
            .expect("nobody needs to listen for nothing to be asked");
        tally.answers = 1000;
        tally.elapsed = Duration::from_secs(1);
        let round = |ms| Round { processor: Duration::from_millis(ms), tally: tally.clone() };
        assert!((round(500).cost() - 500.0).abs() < 1e-9);
        assert!((round(500).busy() - 0.5).abs() < 1e-9);
        let turns = |name, rounds| Turns { name, answer: String::new(), rounds };
        let (a, b) = (turns("a", vec![round(10), round(20)]), turns("b", vec![round(20), round(40)]));
        let rounds = Rounds { subjects: vec![a, b] };
        assert!((rounds.ratio("a", "b").unwrap().median - 0.5).abs() < 1e-9);
        assert_eq!(rounds.ratio("a", "c"), None);
    }
}
