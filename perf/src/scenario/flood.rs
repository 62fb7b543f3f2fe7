//! What a flood of handshakes does to those who are connected already.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::entrants::{Entrant, Stage};
use super::outcome::{Outcome, Rounds, Turn, Turns};
use super::rounds::measured;
use super::{Ask, Kind, Method, Secure};
use crate::load::{Flooded, Phase, Plan, Reuse, Watch};
use crate::server::Server;
use crate::subject::io_word;

/// A flood is on for so long before anything counts.
const RISING: Duration = Duration::from_millis(500);
/// The rest of it, for who starts late.
const SLACK: Duration = Duration::from_millis(200);
/// How often it is looked at whether the flood is to begin.
const LOOK: Duration = Duration::from_millis(5);
/// A server that used less than a twentieth of so long is at rest again, for which it has so long at most.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLING: Duration = Duration::from_secs(10);
/// Connections at a time while it is looked how many handshakes a server can do.
const HANDSHAKING: u32 = 64;

/// An undisturbed turn and a flooded one of each entrant in each round.
pub(super) fn run(stage: &Stage<'_>, progress: &mut dyn FnMut(&str)) -> Result<Option<Outcome>, String> {
    let Kind::Flood { ask, rate, times } = stage.scenario.kind else { return Ok(None) };
    let entrants = stage.start(&ask, &[0])?;
    if entrants.all.is_empty() {
        return Ok(None);
    }
    let mut most = Vec::new();
    for entrant in &entrants.all {
        let ask = Ask { reuse: Reuse::PerRequest, secure: Secure::Full, connections: HANDSHAKING, ..ask };
        let plan = stage.plan(&ask, entrant, None, stage.method.duration(stage.scenario.pace));
        let turn = turn(&ask, entrant, &plan, &Watch::default())?;
        progress(&format!("{} does {:.0} handshakes a second", entrant.name, turn.rate));
        most.push(turn.rate);
    }
    let turns = |name: String, answer: &str| Turns { name, answer: answer.to_owned(), rounds: Vec::new() };
    let mut all: Vec<Turns> = entrants
        .all
        .iter()
        .flat_map(|Entrant { name, answer, .. }| {
            [turns(name.clone(), answer), turns(format!("{name}, flooded"), answer)]
        })
        .collect();
    let rounds = stage.method.rounds(stage.scenario.pace);
    for round in 0..rounds as usize {
        let mut line = format!("round {}/{rounds}:", round + 1);
        for turn in 0..entrants.all.len() {
            let at = (turn + round) % entrants.all.len();
            let entrant = &entrants.all[at];
            let mut plan = stage.plan(&ask, entrant, Some(rate), stage.method.duration(stage.scenario.pace));
            plan.depth = 1;
            let alone = self::turn(&ask, entrant, &plan, &Watch::default())?;
            plan.warm_up = plan.warm_up.max(RISING);
            let flooded = flooded(stage.method, &ask, entrant, &plan, most[at] * times)?;
            settle(&entrant.server)?;
            let (before, after) = (alone.latency("p99"), flooded.latency("p99"));
            let flood = flooded.flood.unwrap_or(0.0);
            line.push_str(&format!(" {} p99 {before:.0} µs, {after:.0} with {flood:.0}/s;", entrant.name));
            all[2 * at].rounds.push(alone);
            all[2 * at + 1].rounds.push(flooded);
        }
        progress(&line);
    }
    Ok(Some(Outcome::Rounds(Rounds { entrants: all })))
}

fn turn(ask: &Ask, entrant: &Entrant, plan: &Plan, watch: &Watch) -> Result<Turn, String> {
    measured(ask, entrant, plan, watch)?.ok_or_else(|| format!("{}: no request was answered", entrant.name))
}

/// Waits until a server has done with what a flood left behind, so that it does not disturb who comes next.
fn settle(server: &Server) -> Result<(), String> {
    let processor = || -> Result<Duration, String> {
        server.account()?.processor().map_err(|error| format!("the server's account: {error}"))
    };
    for _ in 0..(SETTLING.as_millis() / SETTLED.as_millis()) {
        let before = processor()?;
        thread::sleep(SETTLED);
        if processor()? - before < SETTLED / 20 {
            break;
        }
    }
    Ok(())
}

/// A turn beside a flood, which begins once the connections stand. On the load's core it runs only while the load
/// does not, so that it disturbs the server alone; at how many handshakes a second it came out is noted.
fn flooded(method: &Method, ask: &Ask, entrant: &Entrant, plan: &Plan, rate: f64) -> Result<Turn, String> {
    let watch = Watch::default();
    let duration = plan.warm_up + plan.duration + SLACK;
    let (result, flood) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            while watch.phase() < Phase::WarmUp {
                thread::sleep(LOOK);
            }
            outcome(start(method, plan, rate, duration)?)
        });
        let result = turn(ask, entrant, plan, &watch);
        // A load that never began ends the wait.
        watch.enter_over();
        (result, flood.join())
    });
    let flood = flood.unwrap_or_else(|_| Err("the flood panicked".to_owned()))?;
    Ok(Turn { flood: Some(flood.begun as f64 / duration.as_secs_f64()), ..result? })
}

fn start(method: &Method, plan: &Plan, rate: f64, duration: Duration) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(program).args(["flood", "--io", io_word(method.load_io)]);
    command.args(["--to", &plan.target.to_string(), "--rate", &rate.to_string()]);
    command.args(["--seconds", &duration.as_secs_f64().to_string(), "--core", &method.load_core.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| format!("chrt: {error}"))
}

/// What a flood says when it is over.
fn outcome(flood: Child) -> Result<Flooded, String> {
    let output = flood.wait_with_output().map_err(|error| format!("the flood: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [begun, answered] if output.status.success() => Ok(Flooded { begun, answered }),
        _ => Err(format!("the flood failed, {}: {said}", output.status)),
    }
}
