//! What `Content-Length`, `Transfer-Encoding` and `Connection` say together: where a message ends, and whether the
//! connection lives on (RFC 9112 §6, §9.3).

use crate::fields::{Fields, Span};
use crate::known::Known;
use crate::text;

/// The options a `Connection` field names, all lines together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Connection {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

/// Options a `Connection` field may name, all lines together: each costs a comparison per field when a head is
/// forwarded.
const MAX_OPTIONS: usize = 64;

pub(super) fn connection(bytes: &[u8], fields: &Fields) -> Result<Connection, &'static str> {
    let mut options = Connection::default();
    let mut count = 0;
    for field in fields.all(Known::Connection) {
        let value = field.value.of(bytes);
        // What nearly every message says is one option alone.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            options.keep_alive = true;
            continue;
        }
        for option in value.split(|&b| b == b',') {
            count += 1;
            if count > MAX_OPTIONS {
                return Err("too many connection options");
            }
            let option = text::trim(option);
            options.close |= option.eq_ignore_ascii_case(b"close");
            options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            options.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }
    Ok(options)
}

/// The one `Content-Length`, digits alone; an error for anything else: repeated, listed, signed, empty, too large.
pub(super) fn content_length(bytes: &[u8], fields: &Fields) -> Result<Option<u64>, &'static str> {
    let mut lines = fields.all(Known::ContentLength);
    let Some(field) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err("Content-Length is repeated");
    }
    match text::digits(field.value.of(bytes)) {
        Some(length) => Ok(Some(length)),
        None => Err("Content-Length is not a number"),
    }
}

/// What `Transfer-Encoding` says, all lines together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    /// `chunked`, alone.
    Chunked,
    /// Codings we do not undo, then `chunked`.
    UnknownThenChunked,
    /// `chunked` is not the last coding, or comes twice, or there is none at all.
    NotChunked,
}

pub(super) fn transfer_encoding(bytes: &[u8], fields: &Fields) -> Coding {
    let mut codings = 0;
    let mut chunked = 0;
    let mut last_is_chunked = false;
    for field in fields.all(Known::TransferEncoding) {
        for coding in text::list(field.value.of(bytes)) {
            last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            chunked += usize::from(last_is_chunked);
            codings += 1;
        }
    }
    match (last_is_chunked, chunked, codings) {
        (true, 1, 1) => Coding::Chunked,
        (true, 1, _) => Coding::UnknownThenChunked,
        _ => Coding::NotChunked,
    }
}

/// Moves httparse's fields into ours. False when a line ends in a bare LF: httparse takes it, RFC 9112 §2.2 lets us
/// refuse it, and it must be refused because others on the way may not see a line end there.
#[inline]
pub(super) fn collect(buf: &[u8], head_len: usize, parsed: &[httparse::Header<'_>], fields: &mut Fields) -> bool {
    let base = buf.as_ptr() as usize;
    let crlf_before = |at: usize| at >= 2 && buf.get(at - 2..at) == Some(b"\r\n");
    let mut strict = true;
    for header in parsed {
        let start = (header.name.as_ptr() as usize).wrapping_sub(base);
        let name = Span::between(start, start + header.name.len());
        // An empty value may point anywhere.
        let value = if header.value.is_empty() {
            Span { start: name.end() as u32, len: 0 }
        } else {
            let start = (header.value.as_ptr() as usize).wrapping_sub(base);
            Span::between(start, start + header.value.len())
        };
        strict &= crlf_before(start);
        fields.push(crate::fields::Field { name, value, known: Known::of(header.name.as_bytes()) });
    }
    // The last line's end, then the empty line's.
    strict && crlf_before(head_len) && crlf_before(head_len - 2)
}
