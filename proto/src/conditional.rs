//! Whether a conditional request is served, answered 304, or refused 412 (RFC 9110 §13).

use crate::date;
use crate::head::RequestView;
use crate::known::Known;

/// What is known of the representation a request selects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// The entity tag as it is sent, `"x"` or `W/"x"`.
    pub etag: Option<&'a [u8]>,
    /// When it changed, in seconds since 1970.
    pub last_modified: Option<u64>,
}

/// What the preconditions say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Serve the request.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since`, in the order RFC 9110 §13.2.2
/// gives. `current` is `None` when there is no representation. `now`, in seconds since 1970, is for two-digit years.
#[must_use]
pub fn evaluate(view: RequestView<'_>, current: Option<Validators<'_>>, now: u64) -> Precondition {
    const ASKED: &[Known] = &[Known::IfMatch, Known::IfNoneMatch, Known::IfModifiedSince, Known::IfUnmodifiedSince];
    if !view.fields.has_any(ASKED) {
        return Precondition::Proceed;
    }
    let changed = current.and_then(|current| current.last_modified);
    let etag = current.and_then(|current| current.etag);
    let since = |known| view.get(known).and_then(|value| date::parse(value, now));
    if view.fields.has(Known::IfMatch) {
        if !matches(view, Known::IfMatch, current.is_some(), etag, strong) {
            return Precondition::Failed;
        }
    } else if let (Some(since), Some(changed)) = (since(Known::IfUnmodifiedSince), changed)
        && changed > since
    {
        return Precondition::Failed;
    }
    let reads = view.request.is_get || view.request.is_head;
    if view.fields.has(Known::IfNoneMatch) {
        if matches(view, Known::IfNoneMatch, current.is_some(), etag, weak) {
            return if reads { Precondition::NotModified } else { Precondition::Failed };
        }
    } else if reads
        && let (Some(since), Some(changed)) = (since(Known::IfModifiedSince), changed)
        && changed <= since
    {
        return Precondition::NotModified;
    }
    Precondition::Proceed
}

/// Whether a `Range` is to be heeded: there is no `If-Range`, or it names this very representation, compared strongly
/// (RFC 9110 §13.1.5). A date counts as strong when it is at least a minute older than `now` (§8.8.2.2).
#[must_use]
pub fn if_range(view: RequestView<'_>, current: Validators<'_>, now: u64) -> bool {
    let mut lines = view.all(Known::IfRange);
    let Some(value) = lines.next() else {
        return true;
    };
    if lines.next().is_some() {
        return false;
    }
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return current.etag.is_some_and(|etag| strong(value, etag));
    }
    match (date::parse(value, now), current.last_modified) {
        (Some(date), Some(changed)) => date == changed && changed.saturating_add(60) <= now,
        _ => false,
    }
}

/// Strong comparison (RFC 9110 §8.8.3.2): the same, and neither weak.
#[must_use]
pub fn strong(a: &[u8], b: &[u8]) -> bool {
    !a.starts_with(b"W/") && is_tag(a) && a == b
}

/// Weak comparison: the same, whether weak or not.
#[must_use]
pub fn weak(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag: &[u8]| -> usize { if tag.starts_with(b"W/") { 2 } else { 0 } };
    let (a, b) = (&a[opaque(a)..], &b[opaque(b)..]);
    is_tag(a) && a == b
}

fn is_tag(tag: &[u8]) -> bool {
    matches!(tag, [b'"', inner @ .., b'"'] if !inner.contains(&b'"'))
}

fn matches(
    view: RequestView<'_>,
    known: Known,
    exists: bool,
    etag: Option<&[u8]>,
    same: fn(&[u8], &[u8]) -> bool,
) -> bool {
    view.all(known).any(|value| {
        if value == b"*" {
            return exists;
        }
        etag.is_some_and(|etag| tags(value).any(|tag| same(tag, etag)))
    })
}

/// The entity tags of a list. A tag may hold commas and backslashes, which are no escapes in it (RFC 9110 §8.8.3); what
/// is no tag ends the list.
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let open = match rest {
            [b'"', ..] => 1,
            [b'W', b'/', b'"', ..] => 3,
            _ => return None,
        };
        let close = open + rest[open..].iter().position(|&b| b == b'"')?;
        let (tag, after) = rest.split_at(close + 1);
        rest = after;
        Some(tag)
    })
}
