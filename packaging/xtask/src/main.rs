//! Developer commands: `cargo xtask <command>`.
//!
//! One module a command. A new one is a module with `Args` and `run`, a variant of [`Command`] and a line in [`main`].

#![forbid(unsafe_code)]

mod asan;
mod bench;
mod ci;
mod crowd;
mod deny;
mod fuzz;
mod gate;
mod install;
mod instrument;
mod leaks;
mod repo;
mod sim;
mod soak;
mod tidy;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Developer commands of AnyGate.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 all is well, 1 something was found, 2 wrong arguments.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The tests of the runtime under the address and leak sanitizers
    Asan(asan::Args),
    /// Measure AnyGate beside floors and peers, and write the report to perf/reports
    Bench(bench::Args),
    /// Everything that is checked before a change goes in, but the tests: format, clippy, docs, tidy, deny
    Ci(ci::Args),
    /// Measure how long fast clients wait beside 10,000 slow ones
    Crowd(crowd::Args),
    /// Licences, bans and sources of the dependencies, as deny.toml says (needs `cargo xtask install` once)
    Deny(deny::Args),
    /// Bytes nobody thought of, for parsers, rules, configuration files and the whole server (needs c++)
    Fuzz(fuzz::Args),
    /// Whether a request takes more instructions than perf/instructions.toml says (needs valgrind and cc)
    Gate(gate::Args),
    /// Install the tools the other commands call, each at its pinned version; what is there is left alone
    Install(install::Args),
    /// Whether 100,000 connections of every kind leave anything behind
    Leaks(leaks::Args),
    /// The whole server on a simulated network, one run a seed
    Sim(sim::Args),
    /// Every kind of client at once, every byte checked, while it reloads and servers behind die
    Soak(soak::Args),
    /// The house rules that no compiler knows: where clocks, prints, unwraps and unsafe may stand, dead files, links
    Tidy(tidy::Args),
}

/// The names that may follow `cargo xtask`.
fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::stand_in() {
        return code;
    }
    let done = match Cli::parse().command {
        Command::Asan(args) => asan::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Crowd(args) => crowd::run(&args),
        Command::Deny(args) => deny::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Leaks(args) => leaks::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Tidy(args) => tidy::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_that_ci_needs_are_there() {
        let names = command_names();
        for name in ["ci", "deny", "install", "tidy"] {
            assert!(names.iter().any(|n| n == name), "{name} is missing in {names:?}");
        }
    }
}
