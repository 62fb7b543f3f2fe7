//! How AnyGate is measured beside floors and peers: builds what is measured, then runs the instrument.

use std::process::Command;

use crate::{instrument, repo};

/// Debian's packages of the peers.
const PEERS: &[&str] = &["caddy", "h2o", "haproxy", "nginx-light"];
/// What installs them without starting them.
const PACKAGES: &str = ".ci/packages";

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install the peers from Debian's packages first
    #[arg(long)]
    install_peers: bool,
    /// For the instrument: `--scenario NAME`, `--subject NAME`, `--rounds N`, `--seconds S` …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

/// Builds, measures, and writes `perf/raw` and `perf/reports`.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    if args.install_peers {
        install_peers()?;
    }
    let own = ["--out", "perf", "--said", &said(&args.rest)].map(str::to_owned);
    instrument::run("bench", own.iter().chain(&args.rest))
}

/// The command as it was given, for the report.
fn said(rest: &[String]) -> String {
    ["cargo", "xtask", "bench"].into_iter().chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// Peers are started by the instrument, and only by it: their packages must start nothing.
fn install_peers() -> Result<(), String> {
    let mut install = Command::new(repo::root().join(PACKAGES));
    install.args(PEERS);
    println!("{}", repo::shown(&install));
    repo::run(install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_the_command_that_made_it() {
        assert_eq!(said(&[]), "cargo xtask bench");
        assert_eq!(said(&["--rounds".to_owned(), "3".to_owned()]), "cargo xtask bench --rounds 3");
    }
}
