//! The measuring instrument's command line.
#![forbid(unsafe_code)]

mod commands;

use std::io::{self, Write};
use std::process::ExitCode;

use anygate_perf::floor::{self, Driver};
use anygate_shard::limits;
use clap::{Parser, Subcommand};

use commands::{bench, crowd, flood, report, soak};

/// Measures AnyGate beside floors and peers.
#[derive(Debug, Parser)]
#[command(name = "perf", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 all goals hold, 1 something failed or a goal was missed, 2 wrong arguments.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Bench),
    Report(report::Again),
    Soak(soak::Args),
    Behind(soak::Behind),
    Crowd(crowd::Args),
    Slow(crowd::Slow),
    Flood(flood::Args),
    #[command(flatten)]
    Floor(floor::Command),
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is needed".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 3600 seconds".to_owned()) }
}

fn main() -> ExitCode {
    let _ = limits::raise_descriptors();
    let done = match CommandLine::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Behind(args) => soak::behind(&args),
        Command::Crowd(args) => crowd::run(&args),
        Command::Slow(args) => crowd::slow(&args),
        Command::Flood(args) => flood::run(&args),
        Command::Floor(floor) => {
            floor.run(|address| say(&mut io::stdout(), &format!("listening on {address}"))).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            say(&mut io::stderr(), &format!("perf: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// A reader that has seen enough is no fault.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
