//! The binary `anygate`: arguments to calls.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, CommandLine};
use crate::source::Source;

mod args;
mod bench;
mod cert;
mod check;
mod doctor;
mod explain;
mod generate;
mod prepare;
mod report;
mod routes;
mod serve;
mod source;

fn main() -> ExitCode {
    let here = Path::new("");
    match CommandLine::parse().command {
        Command::Serve(arguments) => serve::run(arguments, here),
        Command::Check(arguments) => check::run(&arguments, &Source::choose(arguments.source.clone(), here)),
        Command::Routes(arguments) => routes::run(&Source::choose(arguments.source, here)),
        Command::Explain(arguments) => explain::run(&arguments, &Source::choose(arguments.source.clone(), here)),
        Command::Doctor(mut arguments) => {
            arguments.source.config = arguments.file.take().or(arguments.source.config);
            doctor::run(&arguments, &Source::choose(arguments.source.clone(), here))
        }
        Command::Bench(arguments) => bench::run(arguments),
        Command::Cert(arguments) => cert::run(&arguments),
        Command::Schema => generate::schema(),
        Command::Completions(arguments) => generate::completions(&arguments),
        Command::Man(arguments) => generate::man(&arguments),
    }
}
