//! How does JSON become a tree with places? A second look at what serde_json has found to be valid.

use std::ops::Range;

use super::node::{Entry, Kind, Node, Value, locate};
use super::report::Report;
use crate::diagnostic::{Diagnostic, SourceId, Span};
use crate::limits;

/// Reads JSON; what is wrong goes to `report`, and then there is no tree.
pub(super) fn parse(source: SourceId, text: &str, report: &mut Report) -> Option<Node> {
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        report.push(syntax_error(source, text, &error));
        return None;
    }
    let mut reader = Reader { source, text, at: 0, deep: None };
    let node = reader.node(0);
    if let Some(at) = reader.deep {
        report.push(
            Diagnostic::error(format!("nested deeper than {} levels", limits::CONFIG_DEPTH))
                .at(Span::new(source, at..at + 1), "this level"),
        );
        return None;
    }
    node
}

fn syntax_error(source: SourceId, text: &str, error: &serde_json::Error) -> Diagnostic {
    let said = error.to_string();
    let message = said.rfind(" at line ").map_or(said.as_str(), |at| &said[..at]);
    let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // serde_json counts columns in bytes, and from the byte it read last.
    let start = text.floor_char_boundary((line + error.column().saturating_sub(1)).min(text.len()));
    let end = text.ceil_char_boundary(start + 1);
    Diagnostic::error(format!("invalid JSON: {message}")).at(Span::new(source, start..end), "")
}

/// Walks over valid JSON; on anything else it stops with `None`.
struct Reader<'t> {
    source: SourceId,
    text: &'t str,
    at: usize,
    /// Where the nesting went too deep.
    deep: Option<usize>,
}

impl Reader<'_> {
    fn node(&mut self, depth: usize) -> Option<Node> {
        self.blanks();
        let start = self.at;
        match self.peek()? {
            b'{' | b'[' if depth >= limits::CONFIG_DEPTH => {
                self.deep = Some(start);
                None
            }
            b'{' => {
                let mut entries = Vec::new();
                self.items(b'}', |reader| {
                    reader.blanks();
                    let (range, text) = reader.string()?;
                    let key = locate(reader.source, reader.text, range, text);
                    reader.blanks();
                    reader.at += 1;
                    entries.push(Entry { key, value: reader.node(depth + 1)? });
                    Some(())
                })?;
                Some(Node { span: Span::new(self.source, start..start + 1), value: Value::Map(entries) })
            }
            b'[' => {
                let mut items = Vec::new();
                self.items(b']', |reader| {
                    items.push(reader.node(depth + 1)?);
                    Some(())
                })?;
                Some(Node { span: Span::new(self.source, start..start + 1), value: Value::List(items) })
            }
            b'"' => {
                let (range, text) = self.string()?;
                Some(Node::scalar(self.source, self.text, range, text, Kind::Text))
            }
            _ => {
                let length = self.text[start..].find([',', ']', '}', ' ', '\t', '\r', '\n']);
                self.at = length.map_or(self.text.len(), |length| start + length);
                let word = &self.text[start..self.at];
                let kind = match word {
                    "null" => {
                        let span = Span::new(self.source, start..self.at);
                        return Some(Node { span, value: Value::Null });
                    }
                    "true" | "false" => Kind::Bool,
                    _ => Kind::Number,
                };
                Some(Node::scalar(self.source, self.text, start..self.at, word.to_owned(), kind))
            }
        }
    }

    /// Reads what stands between an opening bracket and `close`, one item at a time.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.blanks();
        while self.peek()? != close {
            item(self)?;
            self.blanks();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    /// A quoted text: its place with quotes, and what it means.
    fn string(&mut self) -> Option<(Range<usize>, String)> {
        let start = self.at;
        let mut escaped = false;
        let length = self.text.as_bytes().get(start + 1..)?.iter().position(|&byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        self.at = start + length + 2;
        let text = serde_json::from_str(&self.text[start..self.at]).ok()?;
        Some((start..self.at, text))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }
}
