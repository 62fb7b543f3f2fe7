//! What is made for other programs: completions for shells, pages for `man`, the schema for editors.

use std::process::ExitCode;

use anygate_core::config;
use clap::CommandFactory;

use crate::args::{CommandLine, Completions, Man};
use crate::report;

pub(crate) fn completions(arguments: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "anygate", &mut script);
    report::say(&String::from_utf8_lossy(&script));
    report::OK
}

pub(crate) fn man(arguments: &Man) -> ExitCode {
    let mut whole = CommandLine::command();
    // Gives every command its full name.
    whole.build();
    let command = match &arguments.command {
        None => whole,
        Some(name) => match whole.get_subcommands().find(|command| command.get_name() == name) {
            Some(command) => command.clone(),
            None => {
                report::complain(&format!("there is no command `{name}`"));
                return report::USAGE.into();
            }
        },
    };
    let mut page = Vec::new();
    match clap_mangen::Man::new(command).render(&mut page) {
        Ok(()) => {
            report::say(&String::from_utf8_lossy(&page));
            report::OK
        }
        Err(error) => {
            report::complain(&error.to_string());
            report::REFUSED.into()
        }
    }
}

pub(crate) fn schema() -> ExitCode {
    report::say(&format!("{:#}\n", config::schema()));
    report::OK
}
