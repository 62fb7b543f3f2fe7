//! `anygate check`: is the configuration right, and do its expectations hold?

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::thread;

use anygate_core::config::{Config, UpstreamAddr};
use anygate_core::{Diagnostic, Located, Sources, Span};
use anygate_route::{Action, Authority, Table};

use crate::args::Check;
use crate::prepare::Prepared;
use crate::report::{self, plural};
use crate::source::Source;

/// Most names that are looked up at once.
const AT_ONCE: usize = 32;

pub(crate) fn run(arguments: &Check, source: &Source) -> ExitCode {
    let mut prepared = Prepared::new(source);
    let refused = prepared.is_refused();
    let table = prepared.compiled.as_ref().and_then(|compiled| compiled.table());
    if let (Some(config), Some(table), false) = (&prepared.config, table, arguments.offline || refused) {
        let found = unresolved(config, table, |host, port| (host, port).to_socket_addrs().is_ok());
        prepared.diagnostics.extend(found);
    }
    report::findings(&prepared.sources, &prepared.diagnostics);
    let table = prepared.compiled.as_ref().and_then(|compiled| compiled.table());
    if let (Some(table), true) = (table, arguments.overlaps) {
        report::say(&overlaps(table, &prepared.sources));
    }
    let Some(config) = prepared.config.filter(|_| !refused) else { return report::REFUSED.into() };
    let mut said = format!("{}: {}", source.name(), plural(config.routes.len(), "rule"));
    if !config.expect.is_empty() {
        let verb = if config.expect.len() == 1 { "holds" } else { "hold" };
        let _ = write!(said, ", {} {verb}", plural(config.expect.len(), "expectation"));
    }
    if !prepared.diagnostics.is_empty() {
        let _ = write!(said, ", {}", plural(prepared.diagnostics.len(), "warning"));
    }
    report::say(&format!("{said}: ok\n"));
    report::OK
}

/// The pairs of rules that intersect, as text.
fn overlaps(table: &Table, sources: &Sources) -> String {
    let list = table.overlaps();
    let mut text = String::new();
    let line = |number: u32| {
        let rule = &table.rules()[number as usize];
        format!("{rule}  ({})", place(&rule.head, sources))
    };
    for overlap in &list {
        let winner = match overlap.winner {
            Some(winner) if winner == overlap.first => "the first wins".to_owned(),
            Some(winner) if winner == overlap.second => "the second wins".to_owned(),
            Some(winner) => format!("{} wins", line(winner)),
            None => "refused: neither gets it".to_owned(),
        };
        let _ =
            writeln!(text, "{}\n{}\n    {}: {winner}\n", line(overlap.first), line(overlap.second), overlap.request);
    }
    let _ = match list.len() {
        0 => writeln!(text, "no two rules fit one request"),
        1 => writeln!(text, "1 pair of rules overlaps"),
        n => writeln!(text, "{n} pairs of rules overlap"),
    };
    text
}

/// `anygate.yml:12:3`.
pub(crate) fn place(text: &Located, sources: &Sources) -> String {
    let (line, column) = sources.line_column(text.span);
    format!("{}:{line}:{column}", sources.get(text.span.source).name)
}

/// A warning for each name of a proxy target or an upstream's server that `resolves` does not find.
fn unresolved(config: &Config, table: &Table, resolves: impl Fn(&str, u16) -> bool + Sync) -> Vec<Diagnostic> {
    let mut names: BTreeMap<(&str, u16), Span> = BTreeMap::new();
    for rule in table.rules() {
        let Action::Proxy(targets) = &rule.action else { continue };
        for target in targets {
            if let Authority::Host { host, port } = &target.authority {
                names.entry((host, *port)).or_insert(rule.action_text.span);
            }
        }
    }
    for server in config.upstreams.iter().flat_map(|upstream| &upstream.servers) {
        if let UpstreamAddr::Tcp { host, port } = &server.addr {
            names.entry((host, port.unwrap_or(80))).or_insert(server.span);
        }
    }
    names.retain(|(host, _), _| host.parse::<IpAddr>().is_err());
    let names: Vec<_> = names.into_iter().collect();
    let mut findings = Vec::new();
    // A name server that is down takes its time for each.
    for some in names.chunks(AT_ONCE) {
        let found: Vec<bool> = thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|((host, port), _)| scope.spawn(|| resolves(host, *port))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or(false)).collect()
        });
        for (((host, _), span), _) in some.iter().zip(found).filter(|(_, found)| !found) {
            findings.push(
                Diagnostic::warning(format!("`{host}` does not resolve"))
                    .at(*span, "no address")
                    .note("its routes answer 503 until it does"),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use anygate_core::config;
    use anygate_serve::compile::rules;

    use super::*;

    const FILE: &str = "
upstreams: {pool: {servers: [\"good.example:81\", \"bad.example:82\", \"127.0.0.1:83\"]}}
routes:
  /a: http://pool
  /b: http://bad.example http://good.example
  /c: http://bad.example/x
  /d: http://[::1]:9
";

    #[test]
    fn each_name_without_an_address_is_one_warning() {
        let loaded = config::load_text("test.yml", FILE, &config::Env::new(), &[]);
        let config = loaded.config.expect("it is good");
        let table = rules::parse(&config, &mut Vec::new()).table.expect("the rules are good");
        let found = unresolved(&config, &table, |host, _| host.starts_with("good"));
        let texts: Vec<String> = found.iter().map(|f| anygate_core::render(&loaded.sources, f, false)).collect();
        assert_eq!(texts.len(), 2, "port 80 of a rule and port 82 of a pool:\n{}", texts.join("\n"));
        assert!(texts.iter().all(|text| text.starts_with("warning: `bad.example` does not resolve")));
    }
}
