//! `anygate doctor`: does this machine let the server be as fast as it is?
//!
//! A check is a function from [`Facts`] to [`Finding`]s; a new one is a row in [`sysctl`] or a module and a line in
//! [`CHECKS`].

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::args::Doctor;
use crate::prepare::Prepared;
use crate::report;
use crate::source::Source;

use self::facts::Facts;
use self::finding::{Finding, Verdict};
use self::host::{Host, shown};

mod cores;
mod facts;
mod finding;
mod host;
mod limits;
mod memory;
mod nic;
mod numa;
mod power;
#[cfg(test)]
mod presets;
mod show;
mod sysctl;
mod uring;

const CHECKS: &[fn(&Facts) -> Vec<Finding>] =
    &[limits::check, uring::check, cores::check, power::check, nic::check, numa::check, memory::check, sysctl::check];

pub(crate) fn run(arguments: &Doctor, source: &Source) -> ExitCode {
    let prepared = Prepared::new(source);
    if prepared.is_refused() {
        report::findings(&prepared.sources, &prepared.diagnostics);
        return report::REFUSED.into();
    }
    let Some(config) = &prepared.config else { return report::REFUSED.into() };
    let table = prepared.compiled.as_ref().and_then(|compiled| compiled.table());
    let root = arguments.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let facts = Facts::new(Host::Root(root), config, table, arguments.cores.as_ref());
    let findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&facts)).collect();
    if arguments.json {
        report::say(&format!("{:#}\n", show::json(&findings)));
    } else {
        let cores = if facts.cores.is_empty() { "unknown processors".to_owned() } else { shown(&facts.cores) };
        let headline = format!("AnyGate {} for {} on {cores}", env!("CARGO_PKG_VERSION"), source.name());
        report::say(&show::text(&headline, &findings, report::colours(&io::stdout())));
    }
    match findings.iter().any(|finding| finding.verdict == Verdict::Problem) {
        true => report::REFUSED.into(),
        false => report::OK,
    }
}
