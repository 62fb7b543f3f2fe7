//! Is everything given back after very many connections? One of the server's tests, alone in its process.

use crate::repo;

/// Arguments of `cargo xtask leaks`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connections on each driver: short, proxied, aborted, half-closed, cut off, refused, tunnelled
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    connections: u32,
}

/// Builds the test and runs it; what it found to be held before and after is printed.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut command = repo::cargo();
    command.args(["test", "--locked", "-p", "anygate-serve", "--test", "serve"]);
    command.args(["--", "--exact", "--nocapture"]);
    command.arg("leaks::nothing_is_left_of_thousands_of_connections_of_every_kind");
    command.env("ANYGATE_LEAKS_CONNECTIONS", args.connections.to_string());
    println!("{}", repo::shown(&command));
    repo::run(command)
}
