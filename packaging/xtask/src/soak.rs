//! Whether the server stays what it is under every kind of client: builds what is soaked, then runs the instrument.

use std::process::Command;

use crate::repo;

/// Arguments of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For the instrument: `--minutes N`, `--io uring|epoll`, `--reloads N`, `--smoke`, `--json FILE` …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

/// Builds and runs it; an error when anything failed that must not.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    instrument("soak", &args.rest)
}

/// Builds AnyGate and the instrument for release, and runs one of its commands on that binary.
pub(crate) fn instrument(command: &str, rest: &[String]) -> Result<(), String> {
    let mut build = repo::cargo();
    build.args(["build", "--release", "--locked", "-p", "anygate", "-p", "anygate-perf"]);
    println!("{}", repo::shown(&build));
    repo::run(build)?;
    let built = repo::target().join("release");
    let mut perf = Command::new(built.join("perf"));
    perf.current_dir(repo::root()).arg(command).arg("--anygate").arg(built.join("anygate")).args(rest);
    repo::run(perf)
}
