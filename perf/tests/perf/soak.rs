//! A look whether the soak works, and whether anything fails in it: seconds of what takes half an hour elsewhere.

use std::process::Command;

use anygate_perf::server::Folder;
use anygate_shard::probe_uring;
use serde_json::Value;

use super::report::{anygate, port};

fn drivers() -> &'static [&'static str] {
    if probe_uring().is_ok() { &["epoll", "uring"] } else { &["epoll"] }
}

/// Runs the instrument; its figures, its exit code, and what it said.
fn run(words: &[&str]) -> (Value, bool, String) {
    let folder = Folder::new("soaked").unwrap();
    let json = folder.path().join("figures.json");
    let mut perf = Command::new(env!("CARGO_BIN_EXE_perf"));
    perf.arg(words[0]).arg("--anygate").arg(anygate()).arg("--json").arg(&json).args(&words[1..]);
    let output = perf.output().expect("the instrument starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let figures = std::fs::read_to_string(&json).unwrap_or_else(|error| panic!("{error}: {said}"));
    (serde_json::from_str(&figures).unwrap(), output.status.success(), said)
}

fn right(figures: &Value) -> u64 {
    figures["entries"].as_array().unwrap().iter().map(|entry| entry["right"].as_u64().unwrap()).sum()
}

#[test]
fn every_kind_of_client_gets_what_is_due_through_reloads_and_deaths_on_both_drivers() {
    for io in drivers() {
        let (figures, good, said) = run(&["soak", "--smoke", "--io", io]);
        assert!(good, "{io}: {said}");
        assert!(right(&figures) > 1_000, "{io}: {said}");
        assert!(figures["reloads"].as_u64() >= Some(2) && figures["deaths"].as_u64() >= Some(1), "{io}: {said}");
    }
}

#[test]
fn reloads_close_together_fail_no_request_on_both_drivers() {
    for io in drivers() {
        let (figures, good, said) = run(&["soak", "--reloads", "40", "--io", io]);
        assert!(good && right(&figures) > 500, "{io}: {said}");
        assert_eq!(figures["reloads"], 40, "{io}: {said}");
    }
}

#[test]
fn a_crowd_of_slow_clients_is_held_and_no_fast_one_fails_on_both_drivers() {
    let load_core = if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) { "1" } else { "0" };
    for io in drivers() {
        let port = (port().parse::<u16>().unwrap() + 70).to_string();
        let words = ["--connections", "400", "--rounds", "1", "--seconds", "0.3", "--rate", "200", "--port", &port];
        let (figures, _, said) = run(&[&["crowd", "--io", io, "--load-core", load_core], &words[..]].concat());
        let round = &figures["rounds"][0];
        // In so short a time on a busy machine, how long they wait says nothing.
        assert_eq!(round["faults"], 0, "{io}: {said}");
        assert!(round["held"].as_u64() >= Some(300), "{io}: {said}");
    }
}
