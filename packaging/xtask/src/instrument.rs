//! How is one of the instrument's commands run? On binaries built for release from this tree.

use std::ffi::OsStr;
use std::process::Command;

use crate::repo;

/// Builds AnyGate and the instrument, and runs a command of it on that AnyGate.
pub(crate) fn run(command: &str, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<(), String> {
    let mut build = repo::cargo();
    build.args(["build", "--release", "--locked", "-p", "anygate", "-p", "anygate-perf"]);
    println!("{}", repo::shown(&build));
    repo::run(build)?;
    let built = repo::target().join("release");
    let mut perf = Command::new(built.join("perf"));
    perf.current_dir(repo::root()).arg(command).arg("--anygate").arg(built.join("anygate")).args(arguments);
    repo::run(perf)
}
