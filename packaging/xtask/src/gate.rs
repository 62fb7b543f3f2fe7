//! Whether a request takes more instructions than the repository says: builds what is counted, then counts.

use std::path::PathBuf;
use std::process::Command;

use crate::repo;

/// The counts that are kept.
const KEPT: &str = "perf/instructions.toml";
/// What stands in for system calls that valgrind does not know.
const CALLS: &str = "perf/src/gate/calls.c";

/// Arguments of `cargo xtask gate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write what was counted to perf/instructions.toml
    #[arg(long)]
    update: bool,
    /// Only this count, such as `fixed`; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave callgrind's files in this folder, for `callgrind_annotate`
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// Builds with the profile `gate` and counts; an error when a count has grown by more than 3 %.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut build = repo::cargo();
    build.args(["build", "--profile", "gate", "--locked", "-p", "anygate", "-p", "anygate-perf"]);
    build.args(["--bin", "anygate", "--bin", "gate"]);
    println!("{}", repo::shown(&build));
    repo::run(build)?;
    let built = repo::target().join("gate");
    let calls = built.join("calls.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&calls).arg(repo::root().join(CALLS));
    repo::run(compile)?;
    let mut count = Command::new(built.join("gate"));
    count.arg("count").arg("--anygate").arg(built.join("anygate")).arg("--calls").arg(&calls);
    count.arg("--kept").arg(repo::root().join(KEPT));
    if args.update {
        count.arg("--update");
    }
    for name in &args.only {
        count.arg("--only").arg(name);
    }
    if let Some(folder) = &args.keep {
        count.arg("--keep").arg(folder);
    }
    println!("counting instructions under callgrind");
    let status = count.status().map_err(|error| format!("{}: {error}", repo::shown(&count)))?;
    if status.success() {
        Ok(())
    } else {
        Err("the instructions of a request are not what perf/instructions.toml keeps".into())
    }
}
