//! Which rules cannot be meant: duplicates, and rules that no request can reach?

use anygate_core::Diagnostic;

use crate::methods::MAX_METHODS;
use crate::rule::Rule;
use crate::table::Table;

pub(crate) fn too_many_methods(rule: &Rule) -> Diagnostic {
    Diagnostic::error(format!("the rules name more than {MAX_METHODS} methods"))
        .at(rule.head.span, "one too many")
        .help("leave the methods out: a rule without any takes every method")
}

pub(crate) fn duplicate(first: &Rule, second: &Rule) -> Diagnostic {
    Diagnostic::error(format!("two rules for `{second}`"))
        .at(second.head.span, "the same host, path and methods")
        .and_at(first.head.span, "as here")
        .help("leave one out, or let one name other methods")
}

pub(crate) fn examine(_table: &Table, _findings: &mut Vec<Diagnostic>) {}
