//! What a change must pass besides the tests, in one command.

use std::time::Instant;

use crate::{deny, repo, tidy};

/// Arguments of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

type Step = fn() -> Result<(), String>;

/// Runs every step, also after one failed, and then says which failed.
pub(crate) fn run(_args: &Args) -> Result<(), String> {
    let steps: [(&str, Step); 5] = [
        ("tidy", || tidy::run(&tidy::Args::default())),
        ("format", || cargo(&["fmt", "--all", "--check"])),
        ("deny", || deny::run(&deny::Args {})),
        ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
        ("docs", docs),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        println!("== {name}");
        let start = Instant::now();
        let outcome = step();
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => println!("== {name}: ok, {seconds:.1} s"),
            Err(message) => {
                println!("== {name}: FAILED, {seconds:.1} s: {message}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn cargo(args: &[&str]) -> Result<(), String> {
    let mut command = repo::cargo();
    command.args(args);
    println!("{}", repo::shown(&command));
    repo::run(command)
}

fn docs() -> Result<(), String> {
    let mut command = repo::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    println!("{}", repo::shown(&command));
    repo::run(command)
}
