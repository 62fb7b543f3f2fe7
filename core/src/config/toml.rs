//! How does TOML become a tree with places?

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::{Entry, Kind, Node, Value, locate};
use super::report::Report;
use crate::diagnostic::{Diagnostic, SourceId, Span};
use crate::limits;

/// Reads TOML; what is wrong goes to `report`, and then there is no tree.
pub(super) fn parse(source: SourceId, text: &str, report: &mut Report) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let diagnostic = Diagnostic::error(format!("invalid TOML: {}", error.message().trim()));
        report.push(match error.span() {
            Some(range) => diagnostic.at(Span::new(source, inside(text, range)), ""),
            None => diagnostic,
        });
    }
    if !errors.is_empty() {
        return None;
    }
    let mut builder = Builder { source, text, deep: None };
    let range = table.span();
    let node = builder.table(range, table.into_inner(), 0);
    if let Some(span) = builder.deep {
        report.push(Diagnostic::error(format!("nested deeper than {} levels", limits::CONFIG_DEPTH)).at(span, ""));
        return None;
    }
    Some(node)
}

/// A range on character boundaries of `text`.
fn inside(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    start..text.ceil_char_boundary(range.end).max(start)
}

struct Builder<'t> {
    source: SourceId,
    text: &'t str,
    /// Where the nesting went too deep.
    deep: Option<Span>,
}

impl Builder<'_> {
    fn node(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let range = inside(self.text, value.span());
        let span = Span::new(self.source, range.clone());
        if depth > limits::CONFIG_DEPTH {
            self.deep.get_or_insert(span);
            return Node { span, value: Value::Null };
        }
        let (text, kind) = match value.into_inner() {
            DeValue::String(text) => (text.into_owned(), Kind::Text),
            DeValue::Integer(number) => (number.to_string(), Kind::Number),
            DeValue::Float(number) => (number.as_str().to_owned(), Kind::Number),
            DeValue::Boolean(value) => (value.to_string(), Kind::Bool),
            DeValue::Datetime(date) => (date.to_string(), Kind::Date),
            DeValue::Array(items) => {
                let items = items.into_iter().map(|item| self.node(item, depth + 1)).collect();
                return Node { span: self.first_line(span), value: Value::List(items) };
            }
            DeValue::Table(table) => return self.table(range, table, depth),
        };
        Node::scalar(self.source, self.text, range, text, kind)
    }

    /// The order of a TOML table is not kept by its parser, but the places of its keys are.
    fn table(&mut self, range: Range<usize>, table: DeTable<'_>, depth: usize) -> Node {
        let mut entries: Vec<(Spanned<Cow<'_, str>>, Spanned<DeValue<'_>>)> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let place = inside(self.text, key.span());
            let key = locate(self.source, self.text, place, key.into_inner().into_owned());
            Entry { key, value: self.node(value, depth + 1) }
        });
        let entries = entries.collect();
        let span = self.first_line(Span::new(self.source, inside(self.text, range)));
        Node { span, value: Value::Map(entries) }
    }

    /// The part of a span in its first line: a whole table under a caret says nothing.
    fn first_line(&self, span: Span) -> Span {
        let (start, end) = (span.start as usize, span.end as usize);
        let length = self.text[start..end].find('\n').unwrap_or(end - start);
        Span::new(self.source, start..start + length)
    }
}
