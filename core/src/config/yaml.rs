//! How does YAML become a tree with places? Through the YAML parser, after the freedoms of `routes` are masked.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::node::{Entry, Kind, Node, Value, locate};
use super::report::Report;
use crate::diagnostic::{Diagnostic, SourceId, Span};
use crate::limits;

mod mask;

use mask::{Masked, mask};

/// Reads YAML; what is wrong goes to `report`, and then there is no tree.
pub(super) fn parse(source: SourceId, text: &str, report: &mut Report) -> Option<Node> {
    let masked = mask(text);
    for range in &masked.cut {
        report.push(
            Diagnostic::warning("the action ends before ` #`: the rest is read as a comment")
                .at(Span::new(source, range.clone()), "not part of the action")
                .help("quote the whole action to keep it, or put two blanks before a comment"),
        );
    }
    let tree =
        match serde_yaml::from_str_with_options::<Spanned<Raw>>(&masked.text, options(DuplicateKeyPolicy::LastWins)) {
            Ok(tree) => tree,
            Err(error) => {
                report.push(syntax_error(source, text, &masked, &error));
                return None;
            }
        };
    let mut builder = Builder { source, text, masked: &masked, report, number_keys: false };
    let node = builder.node(tree);
    if builder.number_keys && !has_repeated_keys(&node) {
        check_number_keys(source, text, &masked, report);
    }
    Some(node)
}

/// What the parser hands over: values of the core schema, whose places are beside them.
enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }
    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }
    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> serde_yaml::Options {
    serde_yaml::options! {
        strict_booleans: true,
        with_snippet: false,
        duplicate_keys: duplicate_keys,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        budget: serde_yaml::budget! {
            max_depth: limits::CONFIG_DEPTH,
            flow_nesting_limit: limits::CONFIG_DEPTH,
            max_nodes: limits::CONFIG_VALUES,
            max_events: 3 * limits::CONFIG_VALUES,
            max_total_scalar_bytes: 4 * limits::CONFIG_FILE_SIZE,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
    }
}

/// Turns the parser's values into our tree, with what was masked put back.
struct Builder<'t, 'r> {
    source: SourceId,
    text: &'t str,
    masked: &'t Masked,
    report: &'r mut Report,
    /// Some key looks like a number: the parser drops repeated ones before we see them.
    number_keys: bool,
}

impl Builder<'_, '_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        let range = bytes(&raw.defined, self.text);
        match raw.value {
            Raw::Null => Node { span: Span::new(self.source, range), value: Value::Null },
            Raw::Bool(value) => self.scalar(range, value.to_string(), Kind::Bool),
            Raw::Number(value) => {
                let written = self.text.get(range.clone()).unwrap_or("").trim();
                let text = if written.is_empty() { value } else { written.to_owned() };
                self.scalar(range, text, Kind::Number)
            }
            Raw::Text(value) => self.scalar(range, value, Kind::Text),
            Raw::List(items) => {
                let items = items.into_iter().map(|item| self.node(item)).collect();
                Node { span: Span::new(self.source, range), value: Value::List(items) }
            }
            Raw::Map(entries) => {
                let entries: Vec<Entry> = entries.into_iter().map(|(key, value)| self.entry(key, value)).collect();
                let mut span = Span::new(self.source, range);
                if span.start == span.end
                    && let Some(first) = entries.first()
                {
                    span = first.key.span;
                }
                Node { span, value: Value::Map(entries) }
            }
        }
    }

    fn entry(&mut self, key: Spanned<String>, value: Spanned<Raw>) -> Entry {
        let range = bytes(&key.defined, self.text);
        let text = self.unmasked(&range).unwrap_or(key.value);
        self.number_keys |= text.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c));
        Entry { key: locate(self.source, self.text, range, text), value: self.node(value) }
    }

    fn scalar(&mut self, range: Range<usize>, text: String, kind: Kind) -> Node {
        let text = self.unmasked(&range).unwrap_or(text);
        Node::scalar(self.source, self.text, range, text, kind)
    }

    /// The text as the file has it, where something in `range` was masked.
    fn unmasked(&mut self, range: &Range<usize>) -> Option<String> {
        let at = self.masked.marks.partition_point(|mark| mark.range.start < range.start);
        let mark = self.masked.marks.get(at).filter(|mark| mark.range.start < range.end)?;
        let end = if mark.goes_on { range.end } else { mark.range.end };
        let more = self.text.get(end..range.end).unwrap_or("");
        if !more.trim().is_empty() {
            let more = end + (more.len() - more.trim_start().len())..range.end;
            self.report.push(
                Diagnostic::error("a fixed body ends with its line")
                    .at(Span::new(self.source, more), "this belongs to nothing")
                    .help("put the whole action in quotes to go on in the next line"),
            );
        }
        self.text.get(range.start..end).map(str::to_owned)
    }
}

/// The bytes a location stands for, inside `text` and on character boundaries.
fn bytes(location: &serde_yaml::Location, text: &str) -> Range<usize> {
    let span = location.span();
    let (Some(start), Some(len)) = (span.byte_offset(), span.byte_len()) else {
        let start = offset_of(text, location.line() as usize, location.column() as usize);
        return start..start;
    };
    let start = text.floor_char_boundary(start as usize);
    start..text.ceil_char_boundary(start + len as usize).max(start)
}

/// The byte at a 1-based line and column (in characters).
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[start..];
    let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    start + within
}

/// Repeated keys that are numbers are compared by value in the parser, which keeps only one: ask it to refuse them.
fn check_number_keys(source: SourceId, text: &str, masked: &Masked, report: &mut Report) {
    let strict = options(DuplicateKeyPolicy::Error);
    if let Err(error) = serde_yaml::from_str_with_options::<IgnoredAny>(&masked.text, strict)
        && let Some(location) = error.location()
    {
        let place = Span::new(source, character(text, &location));
        report.push(Diagnostic::error("this key stands here twice").at(place, "again").help("keep one of them"));
    }
}

/// Whether a mapping of the tree has a key twice; the readers will say so.
fn has_repeated_keys(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Scalar(_) => false,
        Value::List(items) => items.iter().any(has_repeated_keys),
        Value::Map(entries) => {
            let mut seen = std::collections::HashSet::with_capacity(entries.len());
            entries.iter().any(|entry| !seen.insert(entry.key.text.as_str()) || has_repeated_keys(&entry.value))
        }
    }
}

fn syntax_error(source: SourceId, text: &str, masked: &Masked, error: &serde_yaml::Error) -> Diagnostic {
    let said = error.to_string();
    let message = said.rfind(" at line ").map_or(said.as_str(), |at| &said[..at]);
    let message = match message.strip_prefix("budget breached: ") {
        Some(breach) if breach.starts_with("Documents") => "a configuration is one YAML document".to_owned(),
        Some(breach) => format!("too large or too deep a document ({})", breach.split([' ', '{']).next().unwrap_or("")),
        None => format!("invalid YAML: {message}"),
    };
    let diagnostic = Diagnostic::error(&message);
    let Some(location) = error.location() else { return diagnostic };
    let place = character(text, &location);
    let in_routes = masked.routes.iter().any(|lines| lines.contains(&place.start));
    let diagnostic = diagnostic.at(Span::new(source, place), "");
    if message.contains("tabs") {
        return diagnostic.help("indent with blanks");
    }
    let quotes = ["mapping values", "anchor", "alias", "simple key", "did not find expected", "reserved"];
    if !quotes.iter().any(|word| message.contains(word)) {
        return diagnostic;
    }
    let what = if in_routes { "a head or an action" } else { "a text" };
    diagnostic.help(format!("{what} that begins with one of `* & ! | > % @ [ {{`, or holds `: ` or ` #`, needs quotes"))
}

/// The one character an error points at.
fn character(text: &str, location: &serde_yaml::Location) -> Range<usize> {
    let start = offset_of(text, location.line() as usize, location.column() as usize);
    start..text[start..].chars().next().map_or(start, |c| start + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::node::{Node, Value};
    use super::{Builder, DuplicateKeyPolicy, Masked, Raw, Report, Spanned, mask, options};
    use crate::diagnostic::Sources;

    #[test]
    fn masking_never_moves_a_byte_and_leaves_files_without_routes_alone() {
        let text = "server: {name: \"*\"}\nx: *y\nlist:\n  - *\n";
        assert_eq!(mask(text).text, text);
        let text = "routes:\n  é: *\n";
        assert_eq!(mask(text).text.len(), text.len());
    }

    /// The tree of a text under a mask.
    fn tree(text: &str, masked: &Masked) -> Option<Node> {
        let raw =
            serde_yaml::from_str_with_options::<Spanned<Raw>>(&masked.text, options(DuplicateKeyPolicy::LastWins));
        let source = Sources::new().add("", text);
        let mut builder = Builder { source, text, masked, report: &mut Report::default(), number_keys: false };
        raw.ok().map(|raw| builder.node(raw))
    }

    /// Keys and scalars in order, but for what stands as a plain text with a `{` or `[` inside.
    fn words(node: &Node, text: &str, out: &mut Vec<String>) {
        match &node.value {
            Value::Null => out.push("null".to_owned()),
            Value::Scalar(scalar) => {
                let written = &text[node.span.start as usize..];
                let quoted = node.span.start > 0 && text[..node.span.start as usize].ends_with(['"', '\'']);
                let body = !quoted && !written.starts_with(['|', '>']) && scalar.text.contains([' ', '\t']);
                out.push(if body && scalar.text.contains(['{', '[']) {
                    "body".to_owned()
                } else {
                    scalar.text.clone()
                });
            }
            Value::List(items) => items.iter().for_each(|item| words(item, text, out)),
            Value::Map(entries) => entries.iter().for_each(|entry| {
                out.push(entry.key.text.clone());
                words(&entry.value, text, out);
            }),
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let list = [
            "/a: ",
            "/b: ",
            "- ",
            "* ",
            "*",
            "\"",
            "'",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "|\n",
            ">-\n",
            "\n",
            "\n  ",
            "\n    ",
            "\n      ",
            "&a ",
            "to: ",
            "OK",
            "OK {\"a\": 1}",
            "OK [",
            " # c",
            "x",
            "\\",
            "''",
            "match: ",
            "\r\n",
            "routes:\n",
            "groups:\n",
        ];
        proptest::collection::vec(proptest::sample::select(list.to_vec()), 0..25).prop_map(|list| list.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_yaml_reads_by_itself_means_the_same_under_the_mask(
            start in proptest::sample::select(vec!["routes:\n  ", "groups:\n  - routes:\n      ", "routes: {", "routes:\n- "]),
            rest in pieces(),
        ) {
            let text = format!("{start}{rest}");
            let plain = Masked { text: text.clone(), marks: Vec::new(), cut: Vec::new(), routes: Vec::new() };
            let Some(alone) = tree(&text, &plain) else { return Ok(()) };
            let under = tree(&text, &mask(&text));
            prop_assert!(under.is_some(), "the mask broke {:?} into {:?}", text, mask(&text).text);
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            words(&alone, &text, &mut expected);
            under.iter().for_each(|node| words(node, &text, &mut found));
            prop_assert_eq!(expected, found, "{:?} became {:?}", text, mask(&text).text);
        }
    }
}
