//! What must hold for any bytes, tried by libFuzzer: builds the targets of `perf/fuzz` with coverage, and runs them.
//!
//! Nothing has to be installed: libFuzzer comes as source with a pinned crate and is compiled by `c++`, and what counts
//! coverage is a pass of the pinned rustc. Only our own crates and the parsers below them are built with it, so that the
//! rest costs nothing: this program stands in rustc's place while the targets are built ([`stand_in`]).

mod outcome;
mod random;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::repo;
use outcome::Outcome;

/// The workspace of the targets.
const WORKSPACE: &str = "perf/fuzz";
/// Set while this program stands in rustc's place.
const STANDS_IN: &str = "ANYGATE_FUZZ_STANDS_IN";
/// Seconds of each target in a smoke run, behind its corpus.
const SMOKE_SECONDS: u64 = 5;
/// An input that takes longer is a fault: the slowest ones take milliseconds. This is the wall's clock, and the machine may be busy.
const SLOWEST_INPUT_S: u32 = 120;
/// Memory of one process, in MiB; more is a fault.
const MOST_MEMORY_MIB: u32 = 1024;

/// Crates whose coverage steers libFuzzer, and whether their comparisons do too, which costs most of all.
const COVERED: &[(&str, bool)] = &[
    ("anygate_core", true),
    ("anygate_proto", true),
    ("anygate_route", true),
    ("anygate_serve", false),
    ("anygate_shard", false),
    ("granit_parser", true),
    ("h2", false),
    ("httparse", true),
    ("rustls", false),
    ("serde_json", true),
    ("serde_saphyr", true),
    ("toml", true),
    ("toml_parser", true),
];
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
];
const COMPARISONS: &str = "-Cllvm-args=-sanitizer-coverage-trace-compares";

/// One target: a binary of the workspace and a corpus of the same name.
#[derive(Debug)]
struct Target {
    name: &'static str,
    /// Longest input, in bytes. What short inputs cannot reach is another test's.
    longest: u32,
    dictionary: &'static str,
}

const TARGETS: &[Target] = &[
    Target { name: "request_head", longest: 320, dictionary: "http" },
    Target { name: "chunked_body", longest: 256, dictionary: "http" },
    Target { name: "response_head", longest: 320, dictionary: "http" },
    Target { name: "route", longest: 224, dictionary: "route" },
    Target { name: "config", longest: 640, dictionary: "config" },
    Target { name: "connection", longest: 400, dictionary: "http" },
    Target { name: "tls", longest: 1024, dictionary: "tls" },
    Target { name: "hpack", longest: 512, dictionary: "h2" },
    Target { name: "h2_requests", longest: 512, dictionary: "h2" },
    Target { name: "h2_answers", longest: 256, dictionary: "h2" },
    Target { name: "h2_connection", longest: 512, dictionary: "h2" },
];

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this target; may be given several times
    #[arg(value_name = "TARGET", value_parser = names())]
    targets: Vec<String>,
    /// Inputs of each target
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    runs: Option<u64>,
    /// Seconds of each target [default: 60]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Targets at the same time, or threads of random inputs [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// What else looks for faults; `address` is several times slower
    #[arg(long, default_value = "none", value_parser = ["none", "address"])]
    sanitizer: String,
    /// Each target's corpus and a few seconds more, as CI does; what is found by the way is not kept
    #[arg(long, conflicts_with_all = ["runs", "seconds"])]
    smoke: bool,
    /// So many inputs of a seeded generator instead, without libFuzzer; hpack and the targets of HTTP/2 alone
    #[arg(long, value_name = "N", conflicts_with_all = ["runs", "seconds", "sanitizer", "smoke"])]
    random: Option<u64>,
    /// The generator's seed [default: by the clock]
    #[arg(long, value_name = "SEED", requires = "random")]
    seed: Option<u64>,
    /// Run this one input of a target that takes random ones, and show what both sides make of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "seconds", "sanitizer", "smoke", "random"])]
    input: Option<PathBuf>,
    /// Put what was found since into perf/fuzz/corpus, as few inputs as cover the same, and fuzz nothing
    #[arg(long, conflicts_with_all = ["runs", "seconds", "smoke", "random", "input"])]
    minimise: bool,
}

fn names() -> clap::builder::PossibleValuesParser {
    TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().into()
}

/// Builds and runs; an error when an input was found that breaks a promise.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    if let Some(count) = args.random {
        return random::run(args, count);
    }
    if let Some(input) = &args.input {
        return random::show(args, input);
    }
    let all = args.targets.is_empty();
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|target| all || args.targets.iter().any(|name| name == target.name)).collect();
    let built = build(args, &chosen)?;
    if args.minimise {
        return chosen.iter().try_for_each(|target| minimise(target, &built));
    }
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or_else(cores).clamp(1, chosen.len());
    println!("fuzzing {} targets, {jobs} at a time; what they say is in {}", chosen.len(), home().display());
    let waiting = Mutex::new(chosen.iter());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next());
                    let Some(target) = next else { return };
                    let outcome = fuzz(target, args, &built);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push((target.name, outcome));
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().map_err(|_| "a target's thread panicked")?;
    outcomes.sort_by_key(|(name, _)| TARGETS.iter().position(|target| target.name == *name));
    let outcomes: Result<Vec<Outcome>, String> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let outcomes = outcomes?;
    repo::report(&outcome::table(&outcomes));
    let faults: Vec<String> = outcomes.iter().filter_map(Outcome::fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Where builds, found inputs, logs and figures are.
fn home() -> PathBuf {
    repo::target().join("fuzz")
}

/// Builds the targets with coverage and says where they are.
fn build(args: &Args, targets: &[&Target]) -> Result<PathBuf, String> {
    let names: Vec<_> = targets.iter().map(|target| target.name).collect();
    program(&home().join(&args.sanitizer), &names, Some(&args.sanitizer))
}

/// Builds programs of the workspace into a folder, with coverage and a sanitizer or without, and says where they are.
fn program(folder: &Path, names: &[&str], covered: Option<&str>) -> Result<PathBuf, String> {
    let host = host()?;
    let mut build = repo::cargo();
    build.current_dir(repo::root().join(WORKSPACE));
    build.args(["build", "--release", "--locked", "--target", &host]);
    for name in names {
        build.args(["--bin", name]);
    }
    build.env("CARGO_TARGET_DIR", folder);
    let mut flags = "--cfg fuzzing".to_owned();
    if covered.is_some() {
        let itself = env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
        build.env("RUSTC_WRAPPER", itself).env(STANDS_IN, "1");
    }
    if covered == Some("address") {
        // rustc lets a stable compiler do this only when told that it is meant.
        build.env("RUSTC_BOOTSTRAP", "1");
        flags += " -Zsanitizer=address";
    }
    build.env("RUSTFLAGS", flags);
    println!("{}", repo::shown(&build));
    repo::run(build)?;
    Ok(folder.join(host).join("release"))
}

/// The machine this runs on, as rustc names it.
fn host() -> Result<String, String> {
    let said = Command::new("rustc").arg("-vV").current_dir(repo::root()).output();
    let said = said.map_err(|error| format!("rustc -vV: {error}"))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".into())
}

/// Runs rustc with coverage for the crates that have it, when cargo calls this program in rustc's place; `None` when a
/// person calls it.
pub(crate) fn stand_in() -> Option<ExitCode> {
    env::var_os(STANDS_IN)?;
    let mut words = env::args_os().skip(1);
    let mut rustc = Command::new(words.next()?);
    let words: Vec<_> = words.collect();
    // What runs while building (scripts, macros) is built for no target.
    if words.iter().any(|word| word == "--target") {
        let named = words.iter().position(|word| word == "--crate-name").and_then(|at| words.get(at + 1));
        if let Some((_, compares)) = COVERED.iter().find(|(name, _)| named.is_some_and(|named| named == name)) {
            rustc.args(COVERAGE).args(compares.then_some(COMPARISONS));
        }
    }
    let status = rustc.args(words).status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The binary of a target with what every call of it has, and the folder of what it has found.
fn fuzzer(target: &Target, built: &Path, kept: &str) -> Result<(Command, PathBuf), String> {
    let folder = |name: &str| -> Result<PathBuf, String> {
        let path = home().join(name).join(target.name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    };
    let (found, artifacts) = (folder(kept)?, folder("artifacts")?);
    let mut fuzzer = Command::new(built.join(target.name));
    fuzzer.current_dir(home());
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzzer.arg(format!("-max_len={}", target.longest));
    fuzzer.arg(format!("-timeout={SLOWEST_INPUT_S}")).arg(format!("-rss_limit_mb={MOST_MEMORY_MIB}"));
    Ok((fuzzer, found))
}

fn corpus(target: &Target) -> PathBuf {
    repo::root().join(WORKSPACE).join("corpus").join(target.name)
}

/// One target, until it has had its inputs or its time, or found a fault.
fn fuzz(target: &Target, args: &Args, built: &Path) -> Result<Outcome, String> {
    let (mut fuzzer, found) = fuzzer(target, built, if args.smoke { "smoke" } else { "corpus" })?;
    let dictionary = repo::root().join(WORKSPACE).join(format!("dictionaries/{}.dict", target.dictionary));
    fuzzer.arg(format!("-dict={}", dictionary.display())).arg("-print_final_stats=1");
    let seconds = args.seconds.unwrap_or(if args.smoke { SMOKE_SECONDS } else { 60 });
    match args.runs {
        Some(runs) => fuzzer.arg(format!("-runs={runs}")),
        None => fuzzer.arg(format!("-max_total_time={seconds}")),
    };
    fuzzer.arg(&found).arg(corpus(target));
    let log = home().join(format!("{}.log", target.name));
    let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let began = Instant::now();
    let status = fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).status();
    let status = status.map_err(|error| format!("{}: {error}", target.name))?;
    let text = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let outcome = Outcome::read(target.name, &text, began.elapsed(), status.success());
    if args.smoke {
        let _ = fs::remove_dir_all(&found);
        return Ok(outcome);
    }
    outcome.keep(&home(), &args.sanitizer)?;
    Ok(outcome.with_sums(&home()))
}

/// Replaces a corpus by as few inputs as reach the same code, of those it has and those found since.
fn minimise(target: &Target, built: &Path) -> Result<(), String> {
    let (mut fuzzer, found) = fuzzer(target, built, "corpus")?;
    let (kept, new) = (corpus(target), home().join("minimised").join(target.name));
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).map_err(|error| format!("{}: {error}", new.display()))?;
    fuzzer.args(["-set_cover_merge=1", "-use_counters=0"]).arg(&new).arg(&kept).arg(&found);
    repo::run(fuzzer)?;
    fs::remove_dir_all(&kept).and_then(|()| fs::create_dir_all(&kept)).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(&new).map_err(|error| error.to_string())?.flatten() {
        fs::copy(entry.path(), kept.join(entry.file_name())).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_binary_a_corpus_that_is_not_cut_and_a_dictionary() {
        let folder = repo::root().join(WORKSPACE);
        for target in TARGETS {
            assert!(folder.join(format!("targets/{}.rs", target.name)).exists(), "{}", target.name);
            assert!(folder.join(format!("dictionaries/{}.dict", target.dictionary)).exists(), "{}", target.name);
            let inputs: Vec<_> = fs::read_dir(corpus(target)).expect("a corpus").flatten().collect();
            assert!(!inputs.is_empty(), "{}", target.name);
            for input in inputs {
                let length = input.metadata().expect("it is there").len();
                assert!(length <= u64::from(target.longest), "{} is longer than an input", input.path().display());
            }
        }
    }

    #[test]
    fn the_corpora_stay_small() {
        let sizes = TARGETS.iter().flat_map(|target| fs::read_dir(corpus(target)).expect("a corpus").flatten());
        let total: u64 = sizes.map(|input| input.metadata().expect("it is there").len()).sum();
        assert!(total < 1 << 20, "{total} bytes");
    }
}
