//! Whether the server stays what it is under every kind of client: builds what is soaked, then runs the instrument.

use crate::instrument;

/// Arguments of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For the instrument: `--minutes N`, `--io uring|epoll`, `--reloads N`, `--smoke`, `--json FILE` …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

/// Builds and runs it; an error when anything failed that must not.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    instrument::run("soak", &args.rest)
}
