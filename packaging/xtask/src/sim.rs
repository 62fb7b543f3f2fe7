//! Many seeds of the simulated server: builds it optimised and with every assertion, runs the seeds, and says how to see a
//! failure again.

use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::repo;

/// Seeds that one process runs.
const SLICE: u64 = 100;
/// The tests that run a seed: without and with losses, each with both personalities of the network.
const TESTS: &str = "simulated::with";
/// The most of a failed slice's words that is shown.
const SHOWN: usize = 40;

/// Arguments of `cargo xtask sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first of them; fresh ones, by the clock, where it is not given
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// This seed alone, and everything about it
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Processes at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Builds with the profile `sim` and runs; an error when a seed failed.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let program = build()?;
    if let Some(seed) = args.seed {
        let output = one(&program, seed..seed + 1, true)?;
        print!("{}", output.words);
        return if output.ok { Ok(()) } else { Err(format!("seed {seed} failed")) };
    }
    let from = args.from.unwrap_or_else(fresh);
    let until = from.checked_add(args.seeds).ok_or("there are no seeds that great")?;
    println!("seeds {from} to {}, each without and with losses, each as epoll and as io_uring", until - 1);
    let begun = Instant::now();
    let slices = Mutex::new((from..until).step_by(SLICE as usize).map(|at| at..until.min(at + SLICE)));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some(slice) = slices.lock().ok().and_then(|mut slices| slices.next()) else { return };
                    let found = match one(&program, slice.clone(), false) {
                        Ok(output) if output.ok => continue,
                        Ok(output) => (failed_seeds(&output.words, slice), output.words),
                        Err(error) => (vec![slice.start], error),
                    };
                    if let Ok(mut failed) = failed.lock() {
                        failed.push(found);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|error| error.to_string())?;
    let seconds = begun.elapsed().as_secs_f32();
    let mut seeds: Vec<u64> = Vec::new();
    for (these, words) in failed {
        words.lines().filter(|line| tells(line)).take(SHOWN).for_each(|line| println!("{line}"));
        seeds.extend(these);
    }
    seeds.sort_unstable();
    println!("{} seeds in {seconds:.0} s, {} failed", args.seeds, seeds.len());
    match seeds.first() {
        None => Ok(()),
        Some(first) => Err(format!("failed: {seeds:?}; see one again: cargo xtask sim --seed {first}")),
    }
}

/// A number that is another one in every run.
fn fresh() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs() << 20 | 1)
}

/// Builds the tests of the server, and says where they are.
fn build() -> Result<PathBuf, String> {
    let mut command = repo::cargo();
    command.args(["test", "--profile", "sim", "--locked", "-p", "anygate-serve", "--test", "serve", "--no-run"]);
    println!("{}", repo::shown(&command));
    command.arg("--message-format=json-render-diagnostics").stderr(std::process::Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let key = "\"executable\":\"";
    let program = told.lines().filter(|line| line.contains("\"name\":\"serve\"")).find_map(|line| {
        let at = line.find(key)? + key.len();
        line[at..].split('"').next().map(PathBuf::from)
    });
    program.filter(|_| output.status.success()).ok_or_else(|| "the tests do not build".to_owned())
}

struct Output {
    ok: bool,
    words: String,
}

/// Runs some seeds in a process of their own.
fn one(program: &PathBuf, seeds: Range<u64>, show: bool) -> Result<Output, String> {
    let mut command = Command::new(program);
    command.args([TESTS, "--nocapture", "--test-threads", "1"]).current_dir(repo::root());
    command.env("ANYGATE_SIM_FROM", seeds.start.to_string());
    command.env("ANYGATE_SIM_SEEDS", (seeds.end - seeds.start).to_string());
    command.env("RUST_BACKTRACE", "0").env_remove("ANYGATE_SIM_SEED");
    if show {
        command.env("ANYGATE_SIM_SHOW", "1");
    }
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok(Output { ok: output.status.success(), words })
}

/// A line without the test's name, which stands before the first one that the test says.
fn said(line: &str) -> &str {
    line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")).map_or(line, |(_, said)| said)
}

/// Whether a line says what failed.
fn tells(line: &str) -> bool {
    said(line).starts_with("seed ") || line.starts_with("  ") || line.contains("panicked")
}

/// The seeds that a process said have failed; all of its seeds stand for it when it said none.
fn failed_seeds(words: &str, slice: Range<u64>) -> Vec<u64> {
    let number = |line: &str| said(line).strip_prefix("seed ")?.split([',', ':']).next()?.parse().ok();
    let mut seeds: Vec<u64> = words.lines().filter_map(number).filter(|seed| slice.contains(seed)).collect();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.is_empty() { vec![slice.start] } else { seeds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_that_failed_are_read_from_what_was_said() {
        let words = "test simulated::with ... seed 12, with losses, Readiness:\n  left\nseed 13: request 4 is\nseed 12, without\nseed 99, no\n";
        assert_eq!(failed_seeds(words, 10..20), [12, 13]);
        assert_eq!(failed_seeds("it was killed", 10..20), [10]);
    }

    #[test]
    fn fresh_seeds_leave_room_for_a_run_of_a_million() {
        assert!(fresh().checked_add(1 << 20).is_some() && fresh() > 1 << 40);
    }
}
