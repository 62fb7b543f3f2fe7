//! How entrants take turns: each once a round, and each round begins with another, so that drift cancels.

use std::time::Duration;

use super::entrants::{Entrant, Stage};
use super::outcome::{Outcome, Rounds, Turn, Turns};
use super::{Ask, Kind, Secure};
use crate::load::{self, Edge, Plan, Protocol, Tally, Watch};

/// A body at least this long is counted by its bytes: turns hold few of them, and begin and end within one.
const LONG_BODY: u64 = 1 << 20;
/// A turn without any answer is taken again, at least so long.
const AT_LEAST: Duration = Duration::from_secs(1);
/// What a full handshake counts as where every connection was to go on with an earlier session.
const NOT_RESUMED: &str = "full handshake";
/// Requests in flight without a pipeline in an open loop, on a connection.
const OPEN_LOOP_DEPTH: u32 = 1;

pub(super) fn run(stage: &Stage<'_>, progress: &mut dyn FnMut(&str)) -> Result<Option<Outcome>, String> {
    let (ask, counts) = match stage.scenario.kind {
        Kind::Requests(ask) | Kind::Paced { ask, .. } | Kind::Tail { ask, .. } => (ask, vec![0]),
        Kind::Routes { ask, counts } => {
            let mut counts: Vec<usize> = counts.iter().map(|&count| stage.method.routes(count)).collect();
            counts.dedup();
            (ask, counts)
        }
        Kind::Idle { .. } | Kind::Imbalance { .. } | Kind::Flood { .. } => return Ok(None),
    };
    let ask = Ask { upload: stage.method.upload(ask.upload), ..ask };
    let entrants = stage.start(&ask, &counts)?;
    let entrants = &entrants.all;
    if entrants.is_empty() {
        return Ok(None);
    }
    let rates = rates(stage, &ask, entrants, progress)?;
    let rounds = stage.method.rounds(stage.scenario.pace);
    let duration = duration(stage, &rates, rounds);
    let turns =
        |entrant: &Entrant| Turns { name: entrant.name.clone(), answer: entrant.answer.clone(), rounds: Vec::new() };
    let mut all: Vec<Turns> = entrants.iter().map(turns).collect();
    for round in 0..rounds as usize {
        let mut line = format!("round {}/{rounds}:", round + 1);
        for turn in 0..entrants.len() {
            let at = (turn + round) % entrants.len();
            let result = take_turn(stage, &ask, &entrants[at], rates.get(at).copied(), duration)?;
            line.push_str(&format!(" {} {:.3}", entrants[at].name, result.cpu_us));
            all[at].rounds.push(result);
        }
        progress(&line);
    }
    Ok(Some(Outcome::Rounds(Rounds { entrants: all })))
}

/// The rate of each entrant's open loop; none in a closed one.
fn rates(
    stage: &Stage<'_>,
    ask: &Ask,
    entrants: &[Entrant],
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<f64>, String> {
    let full = stage.method.duration(stage.scenario.pace);
    let mut saturated = |entrant: &Entrant| -> Result<f64, String> {
        let rate = take_turn(stage, ask, entrant, None, full)?.rate;
        progress(&format!("{} answers {rate:.0} requests a second in a closed loop", entrant.name));
        Ok(rate)
    };
    match stage.scenario.kind {
        Kind::Paced { part, .. } => entrants.iter().map(|entrant| Ok(saturated(entrant)? * part)).collect(),
        Kind::Tail { of, part, .. } => {
            let entrant = entrants.iter().find(|entrant| entrant.name == of).unwrap_or(&entrants[0]);
            Ok(vec![saturated(entrant)? * part; entrants.len()])
        }
        _ => Ok(Vec::new()),
    }
}

/// How long a turn counts: as the scenario says, and long enough for its samples.
fn duration(stage: &Stage<'_>, rates: &[f64], rounds: u32) -> Duration {
    let least = stage.method.duration(stage.scenario.pace);
    match (stage.scenario.kind, rates.first()) {
        (Kind::Tail { samples, .. }, Some(rate)) if !stage.method.quick => {
            least.max(Duration::from_secs_f64(samples as f64 / rate / f64::from(rounds)))
        }
        _ => least,
    }
}

/// A turn; once more and longer when no answer ended in it, for where bodies are long and turns very short.
fn take_turn(
    stage: &Stage<'_>,
    ask: &Ask,
    entrant: &Entrant,
    rate: Option<f64>,
    duration: Duration,
) -> Result<Turn, String> {
    let mut plan = stage.plan(ask, entrant, rate, duration);
    if rate.is_some() {
        plan.depth = if ask.protocol == Protocol::Http2 { ask.depth } else { OPEN_LOOP_DEPTH };
    }
    if let Some(turn) = measured(ask, entrant, &plan, &Watch::default())? {
        return Ok(turn);
    }
    plan.duration = AT_LEAST.max(duration * 4);
    let none = || format!("{}: no request was answered\n{}", entrant.name, entrant.server.printed());
    measured(ask, entrant, &plan, &Watch::default())?.ok_or_else(none)
}

/// What a load came to; `None` without answers and without faults.
pub(super) fn measured(ask: &Ask, entrant: &Entrant, plan: &Plan, watch: &Watch) -> Result<Option<Turn>, String> {
    let fault = |error: String| format!("{}: {error}\n{}", entrant.name, entrant.server.printed());
    let account = entrant.server.account().map_err(fault)?;
    let mut at_begin = Ok(Duration::ZERO);
    let mut at_end = Ok(Duration::ZERO);
    let tally = load::watched(plan, watch, &mut |edge| match edge {
        Edge::Begin => at_begin = account.processor(),
        Edge::End => at_end = account.processor(),
    })
    .map_err(fault)?;
    let gone = |error| fault(format!("the server is gone: {error}"));
    let processor = at_end.map_err(gone)?.saturating_sub(at_begin.map_err(gone)?);
    if tally.answers == 0 && tally.all_faults() == 0 {
        return Ok(None);
    }
    if tally.answers == 0 {
        let why = tally.refused.as_deref().map_or(String::new(), |why| format!(": {why}"));
        return Err(fault(format!("no request was answered, {} failed{why}", tally.all_faults())));
    }
    let mut turn = Turn::of(processor, &tally, plan.rate);
    if ask.secure == Secure::Resumed && tally.resumed < tally.connects {
        turn.faults.insert(NOT_RESUMED.to_owned(), tally.connects - tally.resumed);
    }
    if let Some(requests) = by_bytes(ask, entrant, &tally) {
        turn.cpu_us = processor.as_secs_f64() * 1e6 / requests;
    }
    Ok(Some(turn))
}

/// Requests with long bodies, in fractions: what of them moved while it counted.
fn by_bytes(ask: &Ask, entrant: &Entrant, tally: &Tally) -> Option<f64> {
    let (moved, each) = if ask.upload > 0 { (tally.bytes_out, ask.upload) } else { (tally.bytes_in, entrant.length) };
    (each >= LONG_BODY && moved > 0).then(|| moved as f64 / each as f64)
}
