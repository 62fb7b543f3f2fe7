//! What is wrong, where, and what would be right: the one diagnostic type of the whole house.
//!
//! Parsers produce [`Diagnostic`]s that point into a [`Sources`] table; only the binary renders them.

use std::ops::Range;

mod nearest;
mod render;

pub use nearest::nearest;
pub use render::render;

/// One source text: a file, a `-r` argument, an environment variable.
#[derive(Debug, Clone)]
pub struct Source {
    /// What a person would call it: a path, `-r #1`, `ANYGATE_SERVER__LISTEN`.
    pub name: String,
    /// Its whole text, unchanged.
    pub text: String,
}

/// Every text the configuration was read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    list: Vec<Source>,
}

/// Names a source in its [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A byte range of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text it lies in.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte; never less than `start`.
    pub end: u32,
}

/// A decoded text and the place it was written at.
#[derive(Debug, Clone)]
pub struct Located {
    /// The decoded text.
    pub text: String,
    /// Where it stands in its source, without quotes.
    pub span: Span,
    /// True when the source holds `text` byte for byte, so that a range of `text` is a range of the source.
    pub verbatim: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone)]
#[must_use]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, one sentence in lower case without a final dot.
    pub message: String,
    /// Where, and what to write beside the caret.
    pub primary: Option<(Span, String)>,
    /// Other places that matter, each with its words.
    pub secondary: Vec<(Span, String)>,
    /// Facts that help to understand, such as a witness request.
    pub notes: Vec<String>,
    /// What would be right.
    pub help: Option<String>,
}

impl Sources {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and names it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.list.len()).expect("fewer than 2^32 sources"));
        self.list.push(Source { name: name.into(), text: text.into() });
        id
    }

    /// The source of that name.
    #[must_use]
    pub fn get(&self, id: SourceId) -> &Source {
        &self.list[id.0 as usize]
    }

    /// 1-based line and 1-based column (in characters) of a span's first byte.
    #[must_use]
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let text = &self.get(span.source).text;
        let before = &text[..text.floor_char_boundary(span.start as usize)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

impl Span {
    /// The bytes `range` of `source`.
    #[must_use]
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        Self { source, start: range.start as u32, end: range.end.max(range.start) as u32 }
    }
}

impl Located {
    /// The span of a byte range of `text`; the whole span where the source spells the text differently.
    #[must_use]
    pub fn sub(&self, range: Range<usize>) -> Span {
        if !self.verbatim {
            return self.span;
        }
        let start = self.span.start as usize;
        Span::new(self.span.source, start + range.start..start + range.end)
    }
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    /// A warning without a place yet.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), primary: None, secondary: Vec::new(), notes: Vec::new(), help: None }
    }

    /// Puts the caret under `span` with `label` beside it.
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Points at another place too.
    pub fn and_at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what would be right.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// True for an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
