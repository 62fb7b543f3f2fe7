//! `anygate serve`: the server, until it is told to stop.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anygate_core::config::{Config, CoreList, Listen, ListenAddr, ListenTls};
use anygate_serve::control::{self, StartError, Started, Startup};
use anygate_serve::tls::self_signed::NAMES;
use anygate_shard::net::Address;

use crate::args::Serve;
use crate::prepare;
use crate::report::{self, plural};
use crate::source::Source;

pub(crate) fn run(arguments: Serve, here: &Path) -> ExitCode {
    let self_signed = arguments.tls_self_signed;
    let source = Source::choose(arguments.source.clone(), here).self_signed(self_signed);
    let name = source.name();
    let startup = Startup {
        load: Box::new(move || {
            let mut loaded = prepare::load(&source);
            if let Some(config) = &mut loaded.config {
                apply(&arguments, config);
            }
            loaded
        }),
        started: Box::new(move |started| report::say(&banner(&name, started, self_signed))),
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
        config.server.listen = arguments.listen.iter().map(|addr| listener(config, addr)).collect();
    }
    if arguments.tls_self_signed {
        secure(config);
    }
    if let Some(cores) = &arguments.cores {
        config.server.cores.clone_from(cores);
    }
    if let Some(io) = arguments.io {
        config.server.io = io;
    }
}

/// The file's own listener at this address, with all that the file says of it; else a plain one.
fn listener(config: &Config, addr: &ListenAddr) -> Listen {
    let own = config.server.listen.iter().find(|listen| listen.addr == *addr);
    own.cloned().unwrap_or_else(|| Listen::plain(addr.clone()))
}

/// Has every listener speak TLS, or those that do so already where there are any, by the certificate that the server makes.
fn secure(config: &mut Config) {
    config.tls.certificates.clear();
    config.tls.acme = None;
    if config.server.listen.iter().all(|listen| listen.tls.is_none()) {
        for listen in config.server.listen.iter_mut().filter(|listen| listen.redirect.is_none()) {
            listen.tls = Some(ListenTls::default());
        }
    }
}

/// What runs, for the person who started it.
fn banner(name: &str, started: &Started, self_signed: bool) -> String {
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
    if self_signed {
        let names = NAMES.join(", ");
        let _ =
            writeln!(text, "  TLS        by a certificate made for this run, for {names}: whoever connects is warned");
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

#[cfg(test)]
mod tests {
    use anygate_core::config::{Env, load_text};

    use super::*;

    #[test]
    fn an_address_of_the_file_keeps_what_the_file_says_of_it_and_others_are_plain() {
        let text = "server: {listen: [':80', {addr: '127.0.0.1:443', tls: true, profile: modern}]}\n\
             tls: {certificates: {cert: a.pem, key: a.key}}\nroutes: {/: OK}\n";
        let config = load_text("test.yml", text, &Env::new(), &[]).config.expect("it is good");
        let tls =
            |addr: &str| listener(&config, &addr.parse().expect("an address")).tls.map(|tls| tls.profile.is_some());
        assert_eq!(["127.0.0.1:443", ":80", ":443"].map(tls), [Some(true), None, None]);
    }
}
