//! `anygate routes`: how do all rules look at a glance?

use std::io;
use std::process::ExitCode;

use anygate_route::Style;

use crate::prepare::Prepared;
use crate::report;
use crate::source::Source;

pub(crate) fn run(source: &Source) -> ExitCode {
    let prepared = Prepared::new(source);
    report::findings(&prepared.sources, &prepared.diagnostics);
    if let Some(table) = prepared.compiled.as_ref().and_then(|compiled| compiled.table()) {
        let style = if report::colours(&io::stdout()) { Style::Colour } else { Style::Plain };
        report::say(&table.tree(style));
    }
    if prepared.is_refused() { report::REFUSED.into() } else { report::OK }
}
