//! `anygate serve`: the server, until it is told to stop.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anygate_core::config::{Config, CoreList, Listen};
use anygate_serve::control::{self, StartError, Started, Startup};
use anygate_shard::net::Address;

use crate::args::Serve;
use crate::prepare;
use crate::report::{self, plural};
use crate::source::Source;

pub(crate) fn run(arguments: Serve, here: &Path) -> ExitCode {
    let source = Source::choose(arguments.source.clone(), here);
    let name = source.name();
    let startup = Startup {
        load: Box::new(move || {
            let mut loaded = prepare::load(&source);
            if let Some(config) = &mut loaded.config {
                apply(&arguments, config);
            }
            loaded
        }),
        started: Box::new(move |started| report::say(&banner(&name, started))),
        warned: Box::new(report::findings),
    };
    match control::run(startup) {
        Ok(()) => report::OK,
        Err(StartError::Refused(sources, diagnostics)) => {
            report::findings(&sources, &diagnostics);
            report::REFUSED.into()
        }
        Err(StartError::System(why)) => {
            report::complain(&why);
            if why.starts_with("cannot listen") {
                report::advise(
                    "another program may listen there, or an earlier AnyGate; `--listen` takes another address",
                );
            }
            report::CANNOT_START.into()
        }
        Err(StartError::Died(why)) => {
            report::complain(&why);
            report::FAILED.into()
        }
    }
}

/// Writes the arguments over the file's settings, at the start and again at every reload.
fn apply(arguments: &Serve, config: &mut Config) {
    if !arguments.listen.is_empty() {
        config.server.listen = arguments.listen.iter().map(|addr| Listen::plain(addr.clone())).collect();
    }
    if let Some(cores) = &arguments.cores {
        config.server.cores.clone_from(cores);
    }
    if let Some(io) = arguments.io {
        config.server.io = io;
    }
}

/// What runs, for the person who started it.
fn banner(name: &str, started: &Started) -> String {
    let colour = report::colours(&io::stdout());
    let (bold, end) = if colour { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    let mut text = format!("{bold}AnyGate {}{end} serves {name}\n", env!("CARGO_PKG_VERSION"));
    for (address, tls) in &started.listeners {
        let scheme = if *tls { "https" } else { "http" };
        let url = match address {
            Address::Ip(ip) if ip.ip().is_unspecified() => {
                format!("{scheme}://localhost:{}  (every address)", ip.port())
            }
            Address::Ip(ip) => format!("{scheme}://{ip}"),
            Address::Unix(_) => address.to_string(),
        };
        let _ = writeln!(text, "  listening  {url}");
    }
    let cores = CoreList::These(started.cores.clone());
    let _ = writeln!(text, "  cores      {cores}  ({})", plural(started.cores.len(), "shard"));
    let driver = started.io;
    let _ = match &started.fallback {
        Some(why) => writeln!(text, "  driver     {driver}, because io_uring is not to be had: {why}"),
        None => writeln!(text, "  driver     {driver}"),
    };
    let _ = writeln!(text, "  rules      {}", started.routes);
    text
}
