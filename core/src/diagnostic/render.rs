//! How does a person read a finding? In rustc's look: the line, a caret, the facts, what would be right.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};

use super::{Diagnostic, Severity, SourceId, Sources, Span};

/// Longest stretch of one line that is shown; of a longer one only the place is named.
const LINE_SHOWN: usize = 4096;
/// Columns of the output.
const WIDTH: usize = 120;

/// Writes one finding as text that ends without a newline; `color` adds ANSI escapes.
///
/// Control characters of the configuration never reach the terminal.
#[must_use]
pub fn render(sources: &Sources, diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(normalize_untrusted_str(&diagnostic.message)));
    for (source, marks) in by_source(diagnostic) {
        let name = sources.get(source).name.as_str();
        let Some((text, first_line, offset)) = window(&sources.get(source).text, &marks) else {
            let (line, column) = sources.line_column(marks[0].1);
            group = group.element(Origin::path(name).line(line).char_column(column));
            let labels = marks.iter().filter(|(.., label)| !label.is_empty());
            group = group.elements(labels.map(|(.., label)| Level::NOTE.message(normalize_untrusted_str(label))));
            continue;
        };
        let mut snippet = Snippet::source(text).line_start(first_line).path(name);
        for (kind, span, label) in marks {
            let range = clamp(text, span.start as usize, span.end as usize, offset);
            let label = (!label.is_empty()).then(|| normalize_untrusted_str(label));
            snippet = snippet.annotation(kind.span(range).label(label));
        }
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(normalize_untrusted_str(note)));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(WIDTH).render(&[group])
}

/// The marks of one source: how, where, which words.
type Marks<'d> = Vec<(AnnotationKind, Span, &'d str)>;

/// The marks of each source, that of the primary first.
fn by_source(diagnostic: &Diagnostic) -> Vec<(SourceId, Marks<'_>)> {
    let mut list: Vec<(SourceId, Marks<'_>)> = Vec::new();
    let primary = diagnostic.primary.iter().map(|mark| (AnnotationKind::Primary, mark));
    let secondary = diagnostic.secondary.iter().map(|mark| (AnnotationKind::Context, mark));
    for (kind, (span, label)) in primary.chain(secondary) {
        match list.iter_mut().find(|(source, _)| *source == span.source) {
            Some((_, marks)) => marks.push((kind, *span, label)),
            None => list.push((span.source, vec![(kind, *span, label)])),
        }
    }
    list
}

/// The lines that hold every mark: their text, the number of the first one, and the byte it starts at.
///
/// Cut out of the whole, so that a large file costs no more to show than its marked lines; `None` where one is too long.
fn window<'t>(text: &'t str, marks: &Marks<'_>) -> Option<(&'t str, usize, usize)> {
    let bytes = text.as_bytes();
    let first = marks.iter().map(|(_, span, _)| span.start as usize).min().unwrap_or(0).min(bytes.len());
    let last = marks.iter().map(|(_, span, _)| span.end as usize).max().unwrap_or(0).clamp(first, bytes.len());
    let start = bytes[..first].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let end = bytes[last..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| last + at);
    let line = bytes[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let shown = &text[start..end];
    shown.lines().all(|line| line.len() <= LINE_SHOWN).then_some((shown, line, start))
}

/// A range of `text`, which starts at byte `offset` of its source, on character boundaries and inside.
fn clamp(text: &str, start: usize, end: usize, offset: usize) -> Range<usize> {
    let start = text.floor_char_boundary(start.saturating_sub(offset));
    let end = text.ceil_char_boundary(end.saturating_sub(offset));
    start..end.max(start)
}
