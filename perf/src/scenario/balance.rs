//! How evenly connections of different weight spread over a server's threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Kind;
use super::entrants::Stage;
use super::outcome::{Outcome, Share, Shares};
use crate::account::Thread;
use crate::load::{self, Edge, Group, Pace, Plan};
use crate::server::Server;
use crate::subject::Duty;

/// How long connections are open before it counts: a server needs a while to see which of them are heavy.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn run(stage: &Stage<'_>, progress: &mut dyn FnMut(&str)) -> Result<Option<Outcome>, String> {
    let Kind::Imbalance { heavy, heavy_rate, light, light_rate, shards } = stage.scenario.kind else { return Ok(None) };
    let method = stage.method;
    let cores: Vec<usize> = [method.server_core, method.load_core].into_iter().cycle().take(shards).collect();
    let duty = Duty { cores, ..Duty::default() };
    let heavy = Group { connections: heavy, depth: 1, pace: Pace::Each(Duration::from_secs_f64(1.0 / heavy_rate)) };
    let mut servers = Vec::new();
    for (subject, port) in stage.subjects.iter().filter(|subject| subject.can(&duty)).zip(method.port..) {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        if let Some(server) = stage.start_one(subject, listen, &duty)? {
            servers.push((subject.name(), server));
        }
    }
    let mut all: Vec<Shares> =
        servers.iter().map(|(name, _)| Shares { name: (*name).to_owned(), rounds: Vec::new() }).collect();
    let rounds = method.rounds(stage.scenario.pace);
    for round in 0..rounds as usize {
        let mut line = format!("round {}/{rounds}:", round + 1);
        for turn in 0..servers.len() {
            let at = (turn + round) % servers.len();
            let (name, server) = &servers[at];
            let plan = Plan {
                connections: light,
                rate: Some(f64::from(light) * light_rate),
                beside: vec![heavy],
                warm_up: if method.quick { method.warm_up } else { SETTLE },
                duration: method.duration(stage.scenario.pace),
                core: Some(method.load_core),
                ..Plan::new(server.address, method.load_io)
            };
            let share =
                take_turn(server, &plan, shards).map_err(|error| format!("{name}: {error}\n{}", server.printed()))?;
            line.push_str(&format!(" {name} {:.2}", share.ratio()));
            all[at].rounds.push(share);
        }
        progress(&line);
    }
    Ok((!all.is_empty()).then_some(Outcome::Balance(all)))
}

fn take_turn(server: &Server, plan: &Plan, shards: usize) -> Result<Share, String> {
    let account = server.account()?;
    let mut seen = Vec::new();
    let tally = load::run(plan, &mut |_: Edge| seen.push(account.threads()))?;
    let seen: Vec<Vec<Thread>> =
        seen.into_iter().collect::<Result<_, _>>().map_err(|error| format!("the server is gone: {error}"))?;
    match seen.as_slice() {
        [begin, end] => Ok(Share { threads_s: busiest(begin, end, shards), rate: tally.rate() }),
        _ => Err("the load did not run".to_owned()),
    }
}

/// The time of as many threads as serve, busiest first: a server's other threads do next to nothing.
fn busiest(begin: &[Thread], end: &[Thread], shards: usize) -> Vec<f64> {
    let before: BTreeMap<u32, Duration> = begin.iter().map(|thread| (thread.id, thread.time)).collect();
    let used = |thread: &Thread| thread.time.saturating_sub(before.get(&thread.id).copied().unwrap_or_default());
    let mut times: Vec<f64> = end.iter().map(|thread| used(thread).as_secs_f64()).collect();
    times.sort_by(|a, b| b.total_cmp(a));
    times.truncate(shards);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_that_serve_are_those_that_work() {
        let thread = |id, ms| Thread { id, name: String::new(), time: Duration::from_millis(ms) };
        let begin = [thread(1, 5000), thread(2, 100), thread(3, 100)];
        let end = [thread(1, 5001), thread(2, 300), thread(3, 1100), thread(4, 2)];
        let times = busiest(&begin, &end, 2);
        assert!((times[0] - 1.0).abs() < 1e-9 && (times[1] - 0.2).abs() < 1e-9 && times.len() == 2, "{times:?}");
    }
}
