//! What stands in a file, before anyone asks what it means? One tree for YAML, TOML and JSON, with the place of every value.

use std::ops::Range;

use crate::diagnostic::{Located, SourceId, Span};

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it is written; a mapping's or list's first bytes may stand for the whole.
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// Entries in the order of the file; keys may still repeat.
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// Numbers and booleans as they are written.
    pub(super) text: String,
    pub(super) kind: Kind,
    /// True when the span's bytes are `text`.
    pub(super) verbatim: bool,
}

/// What the file's format says a scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    /// Filled in from the environment: whatever its text can be read as.
    Loose,
    /// A date of TOML, which no key wants.
    Date,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Located,
    pub(super) value: Node,
}

impl Node {
    /// A scalar of `kind`, decoded to `text`, that stands at `range` of `source` with any quotes.
    pub(super) fn scalar(source: SourceId, whole: &str, range: Range<usize>, text: String, kind: Kind) -> Self {
        let place = locate(source, whole, range, text);
        let scalar = Scalar { text: place.text, kind, verbatim: place.verbatim };
        Self { span: place.span, value: Value::Scalar(scalar) }
    }

    /// The text of a scalar with its place; `None` for anything else.
    pub(super) fn located(&self) -> Option<Located> {
        let scalar = self.as_scalar()?;
        Some(Located { text: scalar.text.clone(), span: self.span, verbatim: scalar.verbatim })
    }

    /// The scalar that stands here; a date is none.
    pub(super) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Date => Some(scalar),
            _ => None,
        }
    }

    /// What a person would call this value.
    pub(super) fn kind_name(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Bool => "a boolean",
                Kind::Number => "a number",
                Kind::Text | Kind::Loose => "a text",
                Kind::Date => "a date",
            },
        }
    }
}

/// A decoded text that stands at `range` of `whole`, with its quotes taken off the place.
pub(super) fn locate(source: SourceId, whole: &str, range: Range<usize>, text: String) -> Located {
    let start = whole.floor_char_boundary(range.start);
    let end = whole.ceil_char_boundary(range.end).max(start);
    let raw = &whole[start..end];
    if raw == text {
        return Located { span: Span::new(source, start..end), text, verbatim: true };
    }
    let quoted = raw.len() >= 2 && raw.starts_with(['"', '\'']) && raw.as_bytes()[raw.len() - 1] == raw.as_bytes()[0];
    if quoted {
        let (start, end) = (start + 1, end - 1);
        let verbatim = whole[start..end] == text;
        return Located { span: Span::new(source, start..end), text, verbatim };
    }
    let end = start + raw.trim_end().len();
    Located { span: Span::new(source, start..end), text, verbatim: false }
}
