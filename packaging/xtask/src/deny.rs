//! Whether the dependencies keep to deny.toml: licences, banned crates and features, sources.

use crate::{install, repo};

/// Arguments of `cargo xtask deny`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs cargo-deny. Advisories are left out: their database is fetched from the network.
pub(crate) fn run(_args: &Args) -> Result<(), String> {
    install::CARGO_DENY.demand()?;
    let mut command = repo::cargo();
    command.args(["deny", "--locked", "check", "licenses", "bans", "sources"]);
    repo::run(command)
}
