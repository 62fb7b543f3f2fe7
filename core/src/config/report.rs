//! What was found wrong so far? A bounded list of findings.

use crate::diagnostic::{Diagnostic, Span};
use crate::limits;

/// Findings in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    list: Vec<Diagnostic>,
    errors: usize,
    /// Values that are wrong already: what their text then seems to mean is not worth a word.
    broken: Vec<Span>,
    /// Sections that were read, each with its keys and whether the key is of a later version.
    #[cfg(test)]
    pub(super) sections: std::collections::BTreeMap<&'static str, std::collections::BTreeMap<&'static str, bool>>,
}

impl Report {
    /// Adds a finding; beyond the named limit errors are only counted.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if let Some((span, _)) = &diagnostic.primary
            && self.broken.iter().any(|broken| holds(broken, span))
        {
            return;
        }
        if diagnostic.is_error() {
            self.errors += 1;
        }
        if self.list.len() < limits::CONFIG_ERRORS {
            self.list.push(diagnostic);
        }
    }

    /// Drops every further finding inside `span`, which an error was reported for.
    pub(super) fn give_up(&mut self, span: Span) {
        debug_assert!(self.has_errors(), "something was reported");
        if self.broken.len() < limits::CONFIG_ERRORS {
            self.broken.push(span);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Every finding in the order of the texts, and a last one that says how many were left out.
    pub(super) fn into_list(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|(span, _)| (span.source, span.start)));
        let shown = self.list.iter().filter(|diagnostic| diagnostic.is_error()).count();
        if self.errors > shown {
            self.list.push(Diagnostic::error(format!("{} more errors are not shown", self.errors - shown)));
        }
        self.list
    }
}

fn holds(outer: &Span, inner: &Span) -> bool {
    outer.source == inner.source && outer.start <= inner.start && inner.end <= outer.end
}
