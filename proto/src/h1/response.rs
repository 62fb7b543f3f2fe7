//! Where an upstream's response head ends, and what body follows it (RFC 9112 §4, §6.3).

use super::framing::{self, Coding};
use super::{Limits, Parsed, headers_on_stack};
use crate::error::Reject;
use crate::fields::{Fields, Span};
use crate::head::{BodyLength, Response, Version};
use crate::known::Known;

/// What the response answers: it decides whether a body follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Asked {
    /// Any method but the two below.
    #[default]
    Other,
    /// `HEAD`: no body, whatever the lengths say.
    Head,
    /// `CONNECT`: a 2xx begins a tunnel.
    Connect,
}

impl Asked {
    /// Which of them a method is.
    #[must_use]
    pub fn by(method: &[u8]) -> Self {
        match method {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// Whether `buf`, however little it is, may be the beginning of a response head (RFC 9112 §4). Else nothing that follows
/// makes it one: the peer speaks another protocol.
#[must_use]
pub fn may_begin_response(buf: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.";
    let length = buf.len().min(VERSION.len());
    buf[..length] == VERSION[..length]
}

/// Reads the response head at the start of `buf`, which may hold more, and fills `fields`, which is cleared first.
///
/// White space before a colon is taken and does not become part of the name (RFC 9112 §5.1). Interim responses are
/// returned like others, with [`BodyLength::None`]; see [`Response::is_interim`].
///
/// # Errors
///
/// Always 502: malformed, folded lines, control characters, ambiguous or unknown framing, over a limit. The connection
/// to the upstream must be closed.
pub fn parse_response(
    buf: &[u8],
    limits: &Limits,
    fields: &mut Fields,
    asked: Asked,
) -> Result<Parsed<Response>, Reject> {
    fields.clear();
    if matches!(buf.first(), Some(b'\r' | b'\n')) {
        return Err(bad("an empty line before the status line"));
    }
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    let mut storage = headers_on_stack!();
    let most = limits.max_headers.min(Limits::MOST_HEADERS);
    let mut parsed = httparse::Response::new(&mut []);
    let head_len = match config.parse_response_with_uninit_headers(&mut parsed, buf, &mut storage[..most]) {
        Ok(httparse::Status::Complete(length)) if length > limits.max_header_size => {
            return Err(bad("response head is too large"));
        }
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buf.len() >= limits.max_header_size => {
            return Err(bad("response head is too large"));
        }
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
        Err(error) => return Err(refused(error)),
    };
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(bad("status line is incomplete"));
    };
    if status < 100 {
        return Err(bad("status is below 100"));
    }
    if !framing::collect(buf, head_len, parsed.headers, fields) {
        return Err(bad("a line ends without CR"));
    }
    // `HTTP/1.1 200 OK`: the reason starts at 13, if there is one.
    let line_end = memchr::memchr(b'\r', buf).unwrap_or(0);
    let mut response = Response {
        head_len: head_len as u32,
        status,
        reason: Span::between(line_end.min(13), line_end),
        version: if minor == 0 { Version::Http10 } else { Version::Http11 },
        ..Response::default()
    };
    read_framing(&mut response, buf, fields, asked)?;
    Ok(Parsed::Complete(response))
}

fn read_framing(response: &mut Response, buf: &[u8], fields: &Fields, asked: Asked) -> Result<(), Reject> {
    let http10 = response.version == Version::Http10;
    let status = response.status;
    let options = framing::connection(buf, fields).map_err(bad)?;
    response.keep_alive = if http10 { options.keep_alive && !options.close } else { !options.close };
    response.upgrade = !http10 && options.upgrade && fields.has(Known::Upgrade);
    let tunnel = asked == Asked::Connect && (200..300).contains(&status);
    if status < 200 || status == 204 || tunnel {
        return Ok(());
    }
    let coded = fields.has(Known::TransferEncoding);
    if coded {
        if fields.has(Known::ContentLength) {
            return Err(bad("Transfer-Encoding and Content-Length together"));
        }
        if http10 {
            return Err(bad("Transfer-Encoding in HTTP/1.0"));
        }
        if framing::transfer_encoding(buf, fields) != Coding::Chunked {
            return Err(bad("the transfer coding is not chunked"));
        }
    }
    response.content_length = framing::content_length(buf, fields).map_err(bad)?;
    response.body = match response.content_length {
        _ if asked == Asked::Head || status == 304 => BodyLength::None,
        _ if coded => BodyLength::Chunked,
        Some(length) => BodyLength::Length(length),
        None => {
            response.keep_alive = false;
            BodyLength::UntilClose
        }
    };
    Ok(())
}

const fn bad(reason: &'static str) -> Reject {
    Reject::closing(502, reason)
}

#[cold]
fn refused(error: httparse::Error) -> Reject {
    use httparse::Error;
    bad(match error {
        Error::TooManyHeaders => "too many response fields",
        Error::Version => "response version is not HTTP/1.0 or 1.1",
        Error::HeaderName => "a response field name is malformed, or a line is folded",
        Error::HeaderValue => "a response field value has a control character",
        Error::NewLine => "a line end is not CR LF",
        Error::Status | Error::Token => "status line is malformed",
    })
}
