//! Whether ten thousand slow connections slow down those who are fast: builds what is measured, then runs the instrument.

use crate::instrument;

/// Arguments of `cargo xtask crowd`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For the instrument: `--io uring|epoll`, `--held`, `--connections N`, `--rounds N`, `--json FILE` …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

/// Builds and measures; an error when the fast ones wait too long.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    instrument::run("crowd", &args.rest)
}
