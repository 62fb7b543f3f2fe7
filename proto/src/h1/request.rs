//! Where a request head ends, and whether it may be served (RFC 9112 §2–§6, §9.3).
//!
//! This is the hot path: one pass of httparse over the bytes, one over the fields it found; no allocation once `fields`
//! has grown to what requests carry.

use super::framing::{self, Coding};
use super::{Limits, Parsed, headers_on_stack};
use crate::error::Reject;
use crate::fields::{Fields, Span};
use crate::head::{BodyLength, Request, Scheme, TargetForm, Version};
use crate::known::Known;
use crate::text;

/// Empty lines that may stand before a request line (RFC 9112 §2.2 asks for one at least).
const MAX_EMPTY_LINES: usize = 4;

/// Room for method, blanks and version in a request line whose target is as long as it may be.
const REQUEST_LINE_REST: usize = 64;

/// Reads the head at the start of `buf`, which may hold more, and fills `fields`, which is cleared first.
///
/// On [`Parsed::Partial`] read more and call again with everything, from the same first byte.
///
/// # Errors
///
/// Each is the status the client gets; the connection must be closed after it, for where the next request starts is not
/// known: 400 malformed, ambiguous framing, `Host` missing, repeated or invalid; 414 target too long; 431 head too
/// large or too many fields; 501 a transfer coding before `chunked`; 505 a version that is not 1.x.
pub fn parse_request(buf: &[u8], limits: &Limits, fields: &mut Fields) -> Result<Parsed<Request>, Reject> {
    fields.clear();
    let skipped = match buf.first() {
        Some(b'\r' | b'\n') => skip_empty_lines(buf)?,
        Some(_) => 0,
        None => return Ok(Parsed::Partial),
    };
    let head = &buf[skipped..];
    let mut storage = headers_on_stack!();
    let most = limits.max_headers.min(Limits::MOST_HEADERS);
    let mut parsed = httparse::Request::new(&mut []);
    let head_len = match parsed.parse_with_uninit_headers(head, &mut storage[..most]) {
        Ok(httparse::Status::Complete(length)) => skipped + length,
        Ok(httparse::Status::Partial) => return partial(head, limits),
        Err(httparse::Error::Version) => return other_version(buf, skipped, limits, fields),
        Err(error) => return Err(refused(error, head, limits)),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Reject::closing(400, "request line is incomplete"));
    };
    if target.len() > limits.max_uri || method.len() > limits.max_uri + REQUEST_LINE_REST {
        return Err(Reject::closing(414, "request target is too long"));
    }
    if head_len > limits.max_header_size {
        return Err(Reject::closing(431, "request head is too large"));
    }
    let method_end = skipped + method.len();
    let mut request = Request {
        head_len: head_len as u32,
        method: Span::between(skipped, method_end),
        target: Span::between(method_end + 1, method_end + 1 + target.len()),
        version: if minor == 0 { Version::Http10 } else { Version::Http11 },
        is_get: method == "GET",
        is_head: method == "HEAD",
        ..Request::default()
    };
    if !framing::collect(buf, head_len, parsed.headers, fields) {
        return Err(Reject::closing(400, "a line ends without CR"));
    }
    read_target(&mut request, buf)?;
    read_host(&mut request, buf, fields)?;
    read_framing(&mut request, buf, fields)?;
    Ok(Parsed::Complete(request))
}

fn skip_empty_lines(buf: &[u8]) -> Result<usize, Reject> {
    let mut at = 0;
    for _ in 0..MAX_EMPTY_LINES {
        match &buf[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [b'\r'] | [] => return Ok(buf.len()),
            [b'\r' | b'\n', ..] => return Err(Reject::closing(400, "a line end is not CR LF")),
            _ => return Ok(at),
        }
    }
    match buf.get(at) {
        Some(b'\r' | b'\n') => Err(Reject::closing(400, "too many empty lines before a request")),
        _ => Ok(at),
    }
}

#[cold]
fn partial(head: &[u8], limits: &Limits) -> Result<Parsed<Request>, Reject> {
    if target_too_long(head, limits) {
        return Err(Reject::closing(414, "request target is too long"));
    }
    if head.len() >= limits.max_header_size {
        return Err(Reject::closing(431, "request head is too large"));
    }
    Ok(Parsed::Partial)
}

/// Whether the target in a request line, complete or not, is over its limit; or what may be a method or a target yet.
fn target_too_long(head: &[u8], limits: &Limits) -> bool {
    let line_end = memchr::memchr(b'\n', head);
    let line = &head[..line_end.unwrap_or(head.len())];
    let Some(blank) = memchr::memchr(b' ', line) else {
        return line_end.is_none() && line.len() > limits.max_uri + REQUEST_LINE_REST;
    };
    let rest = &line[blank + 1..];
    blank > limits.max_uri + REQUEST_LINE_REST || memchr::memchr(b' ', rest).unwrap_or(rest.len()) > limits.max_uri
}

#[cold]
fn refused(error: httparse::Error, head: &[u8], limits: &Limits) -> Reject {
    use httparse::Error;
    if target_too_long(head, limits) {
        return Reject::closing(414, "request target is too long");
    }
    match error {
        Error::TooManyHeaders => Reject::closing(431, "too many header fields"),
        Error::Version => Reject::closing(400, "HTTP version is malformed"),
        Error::HeaderName => Reject::closing(400, "a field name is malformed, or a line is folded"),
        Error::HeaderValue => Reject::closing(400, "a field value has a control character"),
        Error::NewLine => Reject::closing(400, "a line end is not CR LF"),
        Error::Status | Error::Token => Reject::closing(400, "request line is malformed"),
    }
}

/// httparse knows 1.0 and 1.1 alone. A later 1.x is read as 1.1 (RFC 9110 §2.5), from a copy that says so, in which every
/// offset is the same; any other version is refused (RFC 9112 §2.3).
#[cold]
fn other_version(buf: &[u8], skipped: usize, limits: &Limits, fields: &mut Fields) -> Result<Parsed<Request>, Reject> {
    let head = &buf[skipped..];
    let line_end = memchr::memchr(b'\n', head);
    let line = &head[..line_end.unwrap_or(head.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let version = line.splitn(3, |&b| b == b' ').nth(2).unwrap_or_default();
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] if line.len() + skipped < limits.max_header_size => {
            let mut copy = buf[..buf.len().min(limits.max_header_size + 1)].to_vec();
            copy[skipped + line.len() - 1] = b'1';
            parse_request(&copy, limits, fields)
        }
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Reject::closing(505, "HTTP version is not 1.x"))
        }
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9'] | [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.']
            if line_end.is_none() =>
        {
            partial(head, limits)
        }
        _ => Err(refused(httparse::Error::Version, head, limits)),
    }
}

/// Splits the target into its parts and checks that the form fits the method (RFC 9112 §3.2).
#[inline]
fn read_target(request: &mut Request, buf: &[u8]) -> Result<(), Reject> {
    const BAD: Reject = Reject::closing(400, "request target is malformed");
    let target = request.target.of(buf);
    let start = request.target.start as usize;
    if !text::is_target(target) {
        return Err(BAD);
    }
    let method = request.method.of(buf);
    if method == b"CONNECT" {
        let port = text::split_port(target).1;
        if port.is_none_or(<[u8]>::is_empty) || !text::is_authority(target) {
            return Err(BAD);
        }
        request.form = TargetForm::Authority;
        request.authority = request.target;
        return Ok(());
    }
    let mut path_start = start;
    match target {
        [b'/', ..] => {}
        b"*" if method == b"OPTIONS" => {
            request.form = TargetForm::Asterisk;
            request.path = request.target;
            return Ok(());
        }
        _ => {
            let (scheme, skip) = scheme(target).ok_or(BAD)?;
            let rest = &target[skip..];
            let length = rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len());
            if !text::is_authority(&rest[..length]) {
                return Err(BAD);
            }
            path_start = start + skip + length;
            request.form =
                if rest.len() == length && method == b"OPTIONS" { TargetForm::Asterisk } else { TargetForm::Absolute };
            request.scheme = Some(scheme);
            request.authority = Span::between(start + skip, path_start);
        }
    }
    let end = request.target.end();
    let rest = Span::between(path_start, end);
    match memchr::memchr(b'?', rest.of(buf)) {
        Some(at) => {
            request.path = Span::between(path_start, path_start + at);
            request.query = Some(Span::between(path_start + at + 1, end));
        }
        None => request.path = rest,
    }
    Ok(())
}

/// The scheme before `://`, and where the authority starts.
fn scheme(target: &[u8]) -> Option<(Scheme, usize)> {
    if target.get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"http://")) {
        return Some((Scheme::Http, 7));
    }
    target.get(..8).filter(|prefix| prefix.eq_ignore_ascii_case(b"https://")).map(|_| (Scheme::Https, 8))
}

/// One valid `Host`, unless HTTP/1.0 sends none; an absolute target's authority wins over it (RFC 9112 §3.2).
#[inline]
fn read_host(request: &mut Request, buf: &[u8], fields: &Fields) -> Result<(), Reject> {
    let mut hosts = fields.all(Known::Host);
    let Some(host) = hosts.next() else {
        return match request.version {
            Version::Http10 => Ok(()),
            _ => Err(Reject::closing(400, "Host is missing")),
        };
    };
    if hosts.next().is_some() {
        return Err(Reject::closing(400, "Host is repeated"));
    }
    if !text::is_authority(host.value.of(buf)) {
        return Err(Reject::closing(400, "Host is invalid"));
    }
    if request.authority.is_empty() {
        request.authority = host.value;
    }
    Ok(())
}

/// Where the body ends, and what happens to the connection (RFC 9112 §6, §9.3).
#[inline]
fn read_framing(request: &mut Request, buf: &[u8], fields: &Fields) -> Result<(), Reject> {
    let http10 = request.version == Version::Http10;
    if fields.has(Known::TransferEncoding) {
        if fields.has(Known::ContentLength) {
            return Err(Reject::closing(400, "Transfer-Encoding and Content-Length together"));
        }
        if http10 {
            return Err(Reject::closing(400, "Transfer-Encoding in HTTP/1.0"));
        }
        request.body = match framing::transfer_encoding(buf, fields) {
            Coding::Chunked => BodyLength::Chunked,
            Coding::UnknownThenChunked => return Err(Reject::closing(501, "a transfer coding is not known")),
            Coding::NotChunked => return Err(Reject::closing(400, "the final transfer coding is not chunked")),
        };
    } else {
        request.body = match framing::content_length(buf, fields) {
            Ok(Some(length)) => BodyLength::Length(length),
            Ok(None) => BodyLength::None,
            Err(reason) => return Err(Reject::closing(400, reason)),
        };
    }
    let options = framing::connection(buf, fields).map_err(|reason| Reject::closing(400, reason))?;
    request.keep_alive = if http10 { options.keep_alive && !options.close } else { !options.close };
    if !http10 {
        request.upgrade = options.upgrade && fields.has(Known::Upgrade);
        request.expect_continue = fields.all(Known::Expect).any(|field| {
            field.value.of(buf).split(|&b| b == b',').any(|one| text::trim(one).eq_ignore_ascii_case(b"100-continue"))
        });
    }
    Ok(())
}
