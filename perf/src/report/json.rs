//! How raw figures are kept: every turn of every round, so that trends can be drawn over commits.

use serde_json::{Value, json};

use super::Report;
use crate::load::Fault;
use crate::scenario::{Outcome, Round};
use crate::subject::io_word;

/// The whole report, with every turn.
#[must_use]
pub fn json(report: &Report) -> Value {
    let method = &report.method;
    let scenarios = report.outcomes.iter().map(|(scenario, outcome)| {
        let subjects: serde_json::Map<String, Value> = match outcome {
            Outcome::Rounds(rounds) => rounds
                .subjects
                .iter()
                .map(|turns| (turns.name.to_owned(), turns.rounds.iter().map(turn).collect::<Vec<_>>().into()))
                .collect(),
            Outcome::Idle(idle) => idle
                .subjects
                .iter()
                .map(|&(name, first, all)| {
                    let value = json!({"bytes_first": first, "bytes_all": all, "bytes_each": idle.each(name)});
                    (name.to_owned(), value)
                })
                .collect(),
        };
        (scenario.name.to_owned(), Value::Object(subjects))
    });
    json!({
        "date": report.date,
        "time": report.time,
        "commit": report.commit,
        "machine": {
            "processor": report.machine.processor,
            "kernel": report.machine.kernel,
            "memory_mib": report.machine.memory_mib,
            "clock": report.machine.clock,
            "governor": report.machine.governor,
            "load_average": report.machine.load_average,
        },
        "versions": report.versions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "method": {
            "rounds": method.rounds,
            "duration_s": method.duration.as_secs_f64(),
            "warm_up_s": method.warm_up.as_secs_f64(),
            "server_core": method.server_core,
            "load_core": method.load_core,
            "load_io": io_word(method.load_io),
        },
        "holds": report.holds(),
        "scenarios": scenarios.collect::<serde_json::Map<_, _>>(),
    })
}

fn turn(round: &Round) -> Value {
    let tally = &round.tally;
    let faults: serde_json::Map<String, Value> =
        Fault::ALL.iter().map(|&fault| (fault.name().to_owned(), tally.faults(fault).into())).collect();
    json!({
        "cpu_us": round.cost(),
        "busy": round.busy(),
        "elapsed_s": tally.elapsed.as_secs_f64(),
        "answers": tally.answers,
        "rate": tally.rate(),
        "connects": tally.connects,
        "bytes_in": tally.bytes_in,
        "latency_us": {
            "p50": tally.latency_us(0.5),
            "p90": tally.latency_us(0.9),
            "p99": tally.latency_us(0.99),
            "p999": tally.latency_us(0.999),
            "p9999": tally.latency_us(0.9999),
            "max": tally.latency_us(1.0),
        },
        "faults": faults,
    })
}
