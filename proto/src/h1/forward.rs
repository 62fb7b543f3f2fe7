//! Which lines of a head travel on, and which are made anew (RFC 9110 §7.6, RFC 7239).
//!
//! A head is edited, never rebuilt: neighbouring lines that stay are one range of the bytes that came.

use super::hop::{CLAIMS, HOP_BY_HOP, Named, is_alias, is_claim, names};
use super::sink::{AddressText, Decimal, Sink};
use super::write::Persistence;
use crate::date;
use crate::error::Reject;
use crate::fields::{Field, Fields, Span};
use crate::forwarded;
use crate::head::{BodyLength, RequestView, ResponseView, Scheme, Version};
use crate::known::Known;
use crate::text;
use std::net::IpAddr;

/// What the upstream gets as `Host`.
#[derive(Clone, Copy, Debug)]
pub enum HostRule<'a> {
    /// The request's own authority; `or` where it has none (HTTP/1.0).
    Keep {
        /// The target's own host.
        or: &'a [u8],
    },
    /// This one.
    Value(&'a [u8]),
}

/// Fields a rule or a filter takes out or puts in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits<'a> {
    /// Names to leave out.
    pub drop: &'a [&'a str],
    /// Fields to add behind the others. To replace one, name it in `drop` too.
    pub add: &'a [(&'a str, &'a [u8])],
}

/// How a request travels on.
#[derive(Clone, Copy, Debug)]
pub struct ForwardTo<'a> {
    /// The target of the upstream request; must be a valid request target.
    pub target: &'a [u8],
    /// What `Host` says.
    pub host: HostRule<'a>,
    /// The peer's address; `None` when it came by a unix socket.
    pub client: Option<IpAddr>,
    /// Whether the peer's own `X-Forwarded-*`, `X-Real-IP` and `Forwarded` are believed and continued.
    pub trusted: bool,
    /// The scheme the client used.
    pub scheme: Scheme,
    /// The port the client connected to, for `X-Forwarded-Port`.
    pub port: Option<u16>,
    /// Whether `X-Forwarded-For`, `-Host`, `-Proto` and `-Port` are added.
    pub x_forwarded: bool,
    /// Whether `Forwarded` is added (RFC 7239).
    pub forwarded: bool,
    /// The name this instance puts in `Via`; a token or host and port.
    pub via: Option<&'a str>,
    /// The protocol to ask an upgrade to; everything else the client offered is dropped.
    pub upgrade: Option<&'a str>,
    /// How the body is framed for the upstream.
    pub body: BodyLength,
    /// Whether `Expect` travels on.
    pub expect: bool,
    /// What a rule or filter changes.
    pub edits: Edits<'a>,
}

/// How a response travels back.
#[derive(Clone, Copy, Debug)]
pub struct ForwardBack<'a> {
    /// The client's version. `Chunked` is never written to HTTP/1.0: send the body as it is, then close.
    pub version: Version,
    /// How the body is framed for the client; `None` for `HEAD`, 204 and 304.
    pub body: BodyLength,
    /// What is said about the client's connection.
    pub persistence: Persistence,
    /// The name this instance puts in `Via`.
    pub via: Option<&'a str>,
    /// Written where the upstream sent no `Date` (RFC 9110 §6.6.1).
    pub date: &'a [u8; date::LEN],
    /// Whether an upgrade was asked for, so that a 101 with its `Upgrade` is passed on.
    pub upgrade: bool,
    /// What a rule or filter changes.
    pub edits: Edits<'a>,
}

/// Writes the head of the upstream request, HTTP/1.1, its empty line included.
///
/// # Errors
///
/// 502 when `edits` would add a name that is no token, a value with a control character, or a field that frames the
/// message, or when host or target have a character they must not. Nothing was written then.
pub fn forward_request(view: RequestView<'_>, to: &ForwardTo<'_>, sink: &mut impl Sink) -> Result<(), Reject> {
    check(&to.edits)?;
    if let HostRule::Keep { or: host } | HostRule::Value(host) = to.host
        && !text::is_field_value(host)
    {
        return Err(Reject::closing(502, "the upstream's host has a control character"));
    }
    if to.target.is_empty() || !text::is_target(to.target) {
        return Err(Reject::closing(502, "the upstream's target is malformed"));
    }
    let fields = view.fields;
    sink.keep(view.request.method);
    sink.put(b" ");
    sink.put(to.target);
    sink.put(b" HTTP/1.1\r\nHost: ");
    match to.host {
        HostRule::Keep { .. } if !view.request.authority.is_empty() => sink.keep(view.request.authority),
        HostRule::Keep { or } => sink.put(or),
        HostRule::Value(host) => sink.put(host),
    }
    sink.put(b"\r\n");

    let max_forwards = counted_max_forwards(view);
    let mut dropped = HOP_BY_HOP | Known::Host.bit();
    if !to.trusted {
        dropped |= CLAIMS;
    }
    if to.x_forwarded {
        dropped |= Known::XForwardedFor.bit();
    }
    if to.forwarded {
        dropped |= Known::Forwarded.bit();
    }
    if !to.expect || view.request.version == Version::Http10 {
        dropped |= Known::Expect.bit();
    }
    if to.body != BodyLength::Chunked {
        dropped |= Known::Trailer.bit();
    }
    if max_forwards.is_some() {
        dropped |= Known::MaxForwards.bit();
    }
    let named = Named::in_connection(view.bytes, fields);
    let stays = |field: &Field, name: &[u8]| {
        let other = field.known == Known::Other;
        !(named.has(name)
            || names(to.edits.drop, name)
            || other && !to.trusted && is_claim(name)
            || other && is_alias(name, to.edits.add))
    };
    keep_lines(view.bytes, view.request.head_len, view.request.version, fields, dropped, stays, sink);

    match to.body {
        BodyLength::None | BodyLength::UntilClose => {}
        BodyLength::Length(length) => put_line(b"Content-Length", &[Decimal::new(length).as_bytes()], sink),
        BodyLength::Chunked => sink.put(b"Transfer-Encoding: chunked\r\n"),
    }
    if let Some(left) = max_forwards {
        put_line(b"Max-Forwards", &[Decimal::new(left).as_bytes()], sink);
    }
    put_connection(view, to.upgrade, sink);
    if to.x_forwarded {
        put_x_forwarded(view, to, &named, sink);
    }
    if to.forwarded {
        put_forwarded(view, to, &named, sink);
    }
    put_via(to.via, view.request.version, sink);
    put_added(&to.edits, sink);
    sink.put(b"\r\n");
    Ok(())
}

/// Writes the head of the response to the client, its empty line included. Interim responses (1xx) too.
///
/// # Errors
///
/// 502 for `edits` as in [`forward_request`], and for a 101 that was not asked for. Nothing was written then.
pub fn forward_response(view: ResponseView<'_>, back: &ForwardBack<'_>, sink: &mut impl Sink) -> Result<(), Reject> {
    check(&back.edits)?;
    let (response, fields) = (view.response, view.fields);
    let status = response.status;
    if status == 101 && !back.upgrade {
        return Err(Reject::closing(502, "the upstream switches protocols unasked"));
    }
    sink.put(b"HTTP/1.1 ");
    sink.put(Decimal::new(u64::from(status)).as_bytes());
    sink.put(b" ");
    sink.keep(response.reason);
    sink.put(b"\r\n");

    let interim = response.is_interim();
    let chunked = back.body == BodyLength::Chunked && back.version != Version::Http10;
    let mut dropped = HOP_BY_HOP;
    if !chunked {
        dropped |= Known::Trailer.bit();
    }
    let named = Named::in_connection(view.bytes, fields);
    let stays = |_: &Field, name: &[u8]| !(named.has(name) || names(back.edits.drop, name));
    keep_lines(view.bytes, response.head_len, response.version, fields, dropped, stays, sink);

    if status >= 200 && status != 204 {
        match back.body {
            BodyLength::Length(length) => put_line(b"Content-Length", &[Decimal::new(length).as_bytes()], sink),
            BodyLength::Chunked if chunked => sink.put(b"Transfer-Encoding: chunked\r\n"),
            BodyLength::None => {
                if let Some(length) = response.content_length {
                    put_line(b"Content-Length", &[Decimal::new(length).as_bytes()], sink);
                }
            }
            BodyLength::Chunked | BodyLength::UntilClose => {}
        }
    }
    if status == 101 && back.upgrade {
        sink.put(b"Connection: upgrade\r\n");
        for field in fields.all(Known::Upgrade) {
            sink.put(b"Upgrade: ");
            sink.keep(field.value);
            sink.put(b"\r\n");
        }
    } else if !interim {
        sink.put(back.persistence.line());
    }
    if !interim {
        if !fields.has(Known::Date) || names(back.edits.drop, b"Date") || named.has(b"Date") {
            put_line(b"Date", &[back.date], sink);
        }
        put_via(back.via, response.version, sink);
        put_added(&back.edits, sink);
    }
    sink.put(b"\r\n");
    Ok(())
}

/// Hands every field of a response on its way to a client whose protocol has no lines (HTTP/2) to `put`, names and values in
/// order, as [`forward_response`] would write them. The status is the caller's to write; of `back`, what is said of lines and
/// the connection is not looked at, nor is `upgrade`.
///
/// # Errors
///
/// 502 for `edits` as in [`forward_request`]. Nothing was handed over then.
pub fn forward_fields(
    view: ResponseView<'_>,
    back: &ForwardBack<'_>,
    put: &mut impl FnMut(&[u8], &[u8]),
) -> Result<(), Reject> {
    check(&back.edits)?;
    let (response, fields, bytes) = (view.response, view.fields, view.bytes);
    let named = Named::in_connection(bytes, fields);
    // Nothing comes behind content whose length was said.
    let dropped = if response.body == BodyLength::Chunked { HOP_BY_HOP } else { HOP_BY_HOP | Known::Trailer.bit() };
    for field in fields {
        let name = field.name.of(bytes);
        if dropped & field.known.bit() == 0 && !named.has(name) && !names(back.edits.drop, name) {
            put(name, field.value.of(bytes));
        }
    }
    if response.is_interim() {
        return Ok(());
    }
    let length = match back.body {
        BodyLength::Length(length) => Some(length),
        BodyLength::None => response.content_length,
        BodyLength::Chunked | BodyLength::UntilClose => None,
    };
    if let Some(length) = length.filter(|_| response.status != 204) {
        put(b"content-length", Decimal::new(length).as_bytes());
    }
    if !fields.has(Known::Date) || names(back.edits.drop, b"Date") || named.has(b"Date") {
        put(b"date", back.date);
    }
    if let Some(name) = back.via {
        put(b"via", &[response.version.number().as_bytes(), b" ", name.as_bytes()].concat());
    }
    for (name, value) in back.edits.add {
        put(name.as_bytes(), value);
    }
    Ok(())
}

/// Whether a request has been through the instance of this name already: answer 508 (RFC 9110 §7.6.3).
#[must_use]
pub fn via_loop(view: RequestView<'_>, own: &[u8]) -> bool {
    view.list(Known::Via).any(|member| {
        let mut words = member.split(|&b| b == b' ' || b == b'\t').filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(own))
    })
}

/// Whether a `TRACE` or `OPTIONS` request ends here, because `Max-Forwards` is 0 (RFC 9110 §7.6.2).
#[must_use]
pub fn ends_here(view: RequestView<'_>) -> bool {
    max_forwards(view) == Some(0)
}

fn max_forwards(view: RequestView<'_>) -> Option<u64> {
    if !matches!(view.method(), b"TRACE" | b"OPTIONS") {
        return None;
    }
    view.get(Known::MaxForwards).and_then(text::digits)
}

fn counted_max_forwards(view: RequestView<'_>) -> Option<u64> {
    max_forwards(view).map(|left| left.saturating_sub(1))
}

/// Hands the lines that stay to `sink`, neighbours as one range.
fn keep_lines(
    bytes: &[u8],
    head_len: u32,
    version: Version,
    fields: &Fields,
    dropped: u128,
    stays: impl Fn(&Field, &[u8]) -> bool,
    sink: &mut impl Sink,
) {
    let lines = matches!(version, Version::Http10 | Version::Http11);
    let mut run = Span::EMPTY;
    let mut rest = fields.iter().peekable();
    while let Some(field) = rest.next() {
        let name = field.name.of(bytes);
        if dropped & field.known.bit() != 0 || !stays(field, name) {
            continue;
        }
        // White space between name and colon is not passed on (RFC 9112 §5.1), and h2 has no lines.
        if !lines || bytes.get(field.name.end()) != Some(&b':') {
            flush(&mut run, sink);
            sink.keep(field.name);
            sink.put(b": ");
            sink.keep(field.value);
            sink.put(b"\r\n");
            continue;
        }
        let start = field.name.start as usize;
        let end = rest.peek().map_or((head_len as usize).saturating_sub(2), |next| next.name.start as usize);
        if run.end() == start {
            run.len += (end - start) as u32;
        } else {
            flush(&mut run, sink);
            run = Span::between(start, end);
        }
    }
    flush(&mut run, sink);
}

fn flush(run: &mut Span, sink: &mut impl Sink) {
    if !run.is_empty() {
        sink.keep(*run);
        *run = Span::EMPTY;
    }
}

fn check(edits: &Edits<'_>) -> Result<(), Reject> {
    for (name, value) in edits.add {
        if !text::is_token(name.as_bytes()) || !text::is_field_value(value) {
            return Err(Reject::closing(502, "an added field has a control character"));
        }
        if (HOP_BY_HOP | Known::Host.bit()) & Known::of(name.as_bytes()).bit() & !Known::Other.bit() != 0 {
            return Err(Reject::closing(502, "an added field would change the framing"));
        }
    }
    Ok(())
}

fn put_line(name: &[u8], values: &[&[u8]], sink: &mut impl Sink) {
    sink.put(name);
    sink.put(b": ");
    for value in values {
        sink.put(value);
    }
    sink.put(b"\r\n");
}

/// `Connection` names what it must: the upgrade, and `TE`, of which `trailers` alone travels (RFC 9110 §10.1.4).
fn put_connection(view: RequestView<'_>, upgrade: Option<&str>, sink: &mut impl Sink) {
    let trailers = view.list(Known::Te).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    match (upgrade.is_some(), trailers) {
        (true, true) => sink.put(b"Connection: upgrade, TE\r\n"),
        (true, false) => sink.put(b"Connection: upgrade\r\n"),
        (false, true) => sink.put(b"Connection: TE\r\n"),
        (false, false) => {}
    }
    if let Some(protocol) = upgrade {
        put_line(b"Upgrade", &[protocol.as_bytes()], sink);
    }
    if trailers {
        sink.put(b"TE: trailers\r\n");
    }
}

fn put_x_forwarded(view: RequestView<'_>, to: &ForwardTo<'_>, named: &Named<'_>, sink: &mut impl Sink) {
    let client = to.client.map(|address| AddressText::of(address.to_canonical()));
    let client = client.as_ref().map(AddressText::as_bytes);
    put_continued(b"X-Forwarded-For", Known::XForwardedFor, view, to, named, client, sink);
    let kept = |known: Known| {
        to.trusted
            && view.fields.has(known)
            && !named.has(known.name().as_bytes())
            && !names(to.edits.drop, known.name().as_bytes())
    };
    if !kept(Known::XForwardedHost) && !view.authority().is_empty() {
        sink.put(b"X-Forwarded-Host: ");
        sink.keep(view.request.authority);
        sink.put(b"\r\n");
    }
    if !kept(Known::XForwardedProto) {
        put_line(b"X-Forwarded-Proto", &[to.scheme.name().as_bytes()], sink);
    }
    if let Some(port) = to.port
        && !kept(Known::XForwardedPort)
    {
        put_line(b"X-Forwarded-Port", &[Decimal::new(u64::from(port)).as_bytes()], sink);
    }
}

fn put_forwarded(view: RequestView<'_>, to: &ForwardTo<'_>, named: &Named<'_>, sink: &mut impl Sink) {
    let element = forwarded::element(to.client, view.authority(), to.scheme);
    put_continued(b"Forwarded", Known::Forwarded, view, to, named, Some(element.as_bytes()), sink);
}

/// One line: what a trusted peer said, then what we saw.
fn put_continued(
    name: &[u8],
    known: Known,
    view: RequestView<'_>,
    to: &ForwardTo<'_>,
    named: &Named<'_>,
    own: Option<&[u8]>,
    sink: &mut impl Sink,
) {
    let continued = to.trusted && !named.has(name) && !names(to.edits.drop, name);
    let mut separator: &[u8] = b"";
    let mut begin = |sink: &mut _| {
        if separator.is_empty() {
            Sink::put(sink, name);
            Sink::put(sink, b": ");
        }
        Sink::put(sink, separator);
        separator = b", ";
    };
    if continued {
        for field in view.fields.all(known).filter(|field| !field.value.is_empty()) {
            begin(sink);
            sink.keep(field.value);
        }
    }
    if let Some(own) = own {
        begin(sink);
        sink.put(own);
    }
    if !separator.is_empty() {
        sink.put(b"\r\n");
    }
}

fn put_via(via: Option<&str>, version: Version, sink: &mut impl Sink) {
    if let Some(name) = via {
        put_line(b"Via", &[version.number().as_bytes(), b" ", name.as_bytes()], sink);
    }
}

fn put_added(edits: &Edits<'_>, sink: &mut impl Sink) {
    for (name, value) in edits.add {
        put_line(name.as_bytes(), &[value], sink);
    }
}
