//! Inputs of a seeded generator instead of libFuzzer's, without coverage: what is run, and one input shown again.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Args, home, program};
use crate::repo;

/// Targets whose inputs random bytes are good for: those that compare with another implementation.
pub(super) const RANDOM: &[&str] = &["hpack", "h2_requests", "h2_answers", "h2_connection"];
/// The program of the fuzz workspace that runs them.
const PROGRAM: &str = "random";

/// So many inputs of each chosen target; an error when there was a difference.
pub(super) fn run(args: &Args, count: u64) -> Result<(), String> {
    let chosen = chosen(&args.targets)?;
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let (threads, seed) = (args.jobs.unwrap_or_else(cores), args.seed.unwrap_or_else(fresh));
    let program = built()?;
    let mut different = Vec::new();
    for target in chosen {
        let mut command = std::process::Command::new(&program);
        command.args([target, &count.to_string(), &seed.to_string(), &threads.to_string()]);
        command.arg(home().join("artifacts").join(target)).current_dir(repo::root()).env("RUST_BACKTRACE", "0");
        let status = command.status().map_err(|error| format!("{}: {error}", program.display()))?;
        if !status.success() {
            different
                .push(format!("{target}: {status}; again: cargo xtask fuzz {target} --random {count} --seed {seed}"));
        }
    }
    if different.is_empty() { Ok(()) } else { Err(different.join("\n")) }
}

/// One input of a file: what both sides make of it, frame by frame.
pub(super) fn show(args: &Args, input: &Path) -> Result<(), String> {
    let [target] = chosen(&args.targets)?[..] else { return Err("one target must be named".into()) };
    // The program runs in the root, where the path may mean another file.
    let input = std::path::absolute(input).map_err(|error| format!("{}: {error}", input.display()))?;
    let mut command = std::process::Command::new(built()?);
    command.arg("show").arg(target).arg(input).current_dir(repo::root()).env("ANYGATE_FUZZ_SHOW", "1");
    repo::run(command)
}

fn chosen(named: &[String]) -> Result<Vec<&str>, String> {
    match named.iter().find(|name| !RANDOM.contains(&name.as_str())) {
        Some(other) => Err(format!("{other} takes no random inputs: {} do", RANDOM.join(", "))),
        None if named.is_empty() => Ok(RANDOM.to_vec()),
        None => Ok(named.iter().map(String::as_str).collect()),
    }
}

fn built() -> Result<PathBuf, String> {
    // What has coverage and what has not are kept apart.
    Ok(program(&home().join(PROGRAM), &[PROGRAM], None)?.join(PROGRAM))
}

/// A number that is another one in every run.
fn fresh() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::TARGETS;
    use super::*;

    #[test]
    fn targets_for_random_inputs_are_targets_and_no_other_is_taken() {
        assert!(RANDOM.iter().all(|name| TARGETS.iter().any(|target| target.name == *name)));
        assert_eq!(chosen(&[]).map(|all| all.len()), Ok(RANDOM.len()));
        assert_eq!(chosen(&["hpack".to_owned()]), Ok(vec!["hpack"]));
        assert!(chosen(&["route".to_owned()]).is_err_and(|error| error.contains("h2_requests")));
    }

    #[test]
    fn the_program_knows_each_of_them() {
        let text = std::fs::read_to_string(repo::root().join("perf/fuzz/src/random.rs")).expect("it is there");
        assert!(RANDOM.iter().all(|name| text.contains(&format!("Target {{ name: \"{name}\""))));
    }
}
