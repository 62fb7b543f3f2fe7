//! Whether a list of fields is a good request head, good trailers, or neither (RFC 9113 §8.1–§8.3, §8.5, RFC 8441 §4).
//!
//! What is malformed resets the stream; what breaks HTTP or a limit, but not HTTP/2, is answered with a status.

use super::hpack::{FIELD_OVERHEAD, Line, Name};
use super::limits::Limits;
use super::priority::{Priority, PriorityField};
use crate::fields::{Field, Fields, Span};
use crate::head::{BodyLength, Request, RequestView, Scheme, TargetForm, Version};
use crate::known::Known;
use crate::text;

/// What a field section is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// A good one.
    Good,
    /// Malformed: PROTOCOL_ERROR on the stream (RFC 9113 §8.1.1).
    Malformed,
    /// To be answered with this status.
    Refused(u16),
}

/// What the fields of a section are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Request,
    Trailers,
    /// Decoded for the sake of the tables alone.
    Nothing,
}

/// The pseudo-header fields of a request (RFC 9113 §8.3.1).
#[derive(Clone, Copy, Debug, Default)]
struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
}

/// A field section while it is decoded, and what it came to.
#[derive(Debug)]
pub(super) struct Section {
    bytes: Vec<u8>,
    fields: Fields,
    request: Request,
    pseudo: Pseudo,
    purpose: Purpose,
    verdict: Verdict,
    priority: PriorityField,
    expected: Option<u64>,
    /// What the list counts against the limit (RFC 9113 §6.5.2).
    size: usize,
    lines: usize,
    cookies: usize,
    hosts: usize,
    /// The block this came of, and the decoder's table when it did: the same block means the same again.
    block: Vec<u8>,
    changes: u32,
    end: bool,
}

/// Blocks longer than this are not compared with the one before.
const LONGEST_COMPARED: usize = 512;

impl Section {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            fields: Fields::new(),
            request: Request::default(),
            pseudo: Pseudo::default(),
            purpose: Purpose::Nothing,
            verdict: Verdict::Good,
            priority: PriorityField::default(),
            expected: None,
            size: 0,
            lines: 0,
            cookies: 0,
            hosts: 0,
            block: Vec::new(),
            changes: 0,
            end: false,
        }
    }

    pub(super) fn request(&self) -> RequestView<'_> {
        self.request.view(&self.bytes, &self.fields)
    }

    pub(super) fn owned(&self) -> (Vec<u8>, Request, Fields) {
        (self.bytes.clone(), self.request, self.fields.clone())
    }

    pub(super) fn trailers(&self) -> (&[u8], &Fields) {
        (&self.bytes, &self.fields)
    }

    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.pseudo.protocol.map(|span| span.of(&self.bytes))
    }

    /// What `priority` said.
    pub(super) fn priority(&self) -> Priority {
        self.priority.over(Priority::default())
    }

    /// What `content-length` said.
    pub(super) fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// Whether it is a CONNECT, extended or not.
    pub(super) fn is_connect(&self) -> bool {
        self.request.method.of(&self.bytes) == b"CONNECT"
    }

    pub(super) fn trim(&mut self) {
        *self = Self::new();
    }

    /// What this block came to if it is that of the request before, read with the same table.
    #[inline]
    pub(super) fn again(&self, block: &[u8], changes: u32, end: bool) -> Option<Verdict> {
        let same = self.purpose == Purpose::Request
            && self.end == end
            && self.changes == changes
            && !self.block.is_empty()
            && self.block == block;
        same.then_some(self.verdict)
    }

    /// Keeps the block that was read, unless reading it changed the table.
    #[inline]
    pub(super) fn keep(&mut self, block: &[u8], before: u32, after: u32, end: bool) {
        if before == after && block.len() <= LONGEST_COMPARED {
            self.block.extend_from_slice(block);
            (self.changes, self.end) = (after, end);
        }
    }

    /// Forgets the section before, and takes the fields of another.
    #[inline]
    pub(super) fn begin(&mut self, purpose: Purpose) {
        self.bytes.clear();
        self.fields.clear();
        self.block.clear();
        (self.request, self.pseudo) = (Request::default(), Pseudo::default());
        (self.purpose, self.verdict, self.priority) = (purpose, Verdict::Good, PriorityField::default());
        (self.size, self.lines, self.cookies, self.hosts, self.expected) = (0, 0, 0, 0, None);
    }

    /// Takes one field. Once the section is refused or malformed, nothing more of it is kept.
    #[inline]
    pub(super) fn field(&mut self, line: Line<'_>, limits: &Limits) {
        if self.verdict != Verdict::Good {
            if !line.sound {
                self.verdict = Verdict::Malformed;
            }
            return;
        }
        self.verdict = self.take(line, limits);
    }

    #[inline]
    fn take(&mut self, line: Line<'_>, limits: &Limits) -> Verdict {
        if !line.sound {
            return Verdict::Malformed;
        }
        self.size = self.size.saturating_add(line.name.len() + line.value.len() + FIELD_OVERHEAD);
        if self.size > limits.head.max_header_size {
            return Verdict::Refused(431);
        }
        match line.id {
            Name::Field(known) => self.regular(line, known, limits),
            _ if self.purpose == Purpose::Trailers || self.lines > 0 => Verdict::Malformed,
            Name::Method => Self::once(&mut self.pseudo.method, &mut self.bytes, line.value),
            Name::Scheme => Self::once(&mut self.pseudo.scheme, &mut self.bytes, line.value),
            Name::Authority => Self::once(&mut self.pseudo.authority, &mut self.bytes, line.value),
            Name::Path if line.value.len() > limits.head.max_uri => Verdict::Refused(414),
            Name::Path => Self::once(&mut self.pseudo.path, &mut self.bytes, line.value),
            Name::Protocol if limits.extended_connect => {
                Self::once(&mut self.pseudo.protocol, &mut self.bytes, line.value)
            }
            Name::Protocol | Name::Status | Name::Undefined => Verdict::Malformed,
        }
    }

    /// A pseudo-header field: one of each.
    #[inline]
    fn once(place: &mut Option<Span>, bytes: &mut Vec<u8>, value: &[u8]) -> Verdict {
        if place.is_some() {
            return Verdict::Malformed;
        }
        *place = Some(put(bytes, value));
        Verdict::Good
    }

    #[inline]
    fn regular(&mut self, line: Line<'_>, known: Known, limits: &Limits) -> Verdict {
        // Crumbs are one line in the end.
        self.lines += usize::from(known != Known::Cookie || self.cookies == 0);
        if self.lines > limits.head.max_headers.min(crate::Limits::MOST_HEADERS) {
            return Verdict::Refused(431);
        }
        match known {
            Known::Connection
            | Known::ProxyConnection
            | Known::KeepAlive
            | Known::TransferEncoding
            | Known::Upgrade => return Verdict::Malformed,
            Known::Te if !line.value.eq_ignore_ascii_case(b"trailers") => return Verdict::Malformed,
            Known::Cookie => self.cookies += usize::from(self.purpose == Purpose::Request),
            Known::Host => self.hosts += 1,
            _ => {}
        }
        if self.purpose == Purpose::Trailers && !crate::h1::may_be_trailer(line.name, known) {
            return Verdict::Good;
        }
        if known == Known::Priority {
            self.priority.add(line.value);
        }
        let name = put(&mut self.bytes, line.name);
        let value = put(&mut self.bytes, line.value);
        self.fields.push(Field { name, value, known });
        Verdict::Good
    }

    /// All fields have come.
    pub(super) fn finish(&mut self, end: bool, limits: &Limits) -> Verdict {
        if self.purpose == Purpose::Request {
            self.request.version = Version::Http2;
            self.request.keep_alive = true;
            let verdict = self.finish_request(end);
            if self.verdict == Verdict::Good {
                self.verdict = verdict;
            }
            if self.cookies > 1 {
                self.join_cookies();
            }
            self.request.head_len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
            debug_assert!(self.bytes.len() <= 2 * limits.head.max_header_size, "what is kept is bounded");
        }
        self.verdict
    }

    /// Every part is looked at even where one is bad already: what can be known of a refused request is logged.
    fn finish_request(&mut self, end: bool) -> Verdict {
        let Pseudo { method, scheme, authority, path, protocol } = self.pseudo;
        let bytes = self.bytes.as_slice();
        let request = &mut self.request;
        let Some(method) = method else { return Verdict::Malformed };
        request.method = method;
        let connect = match method.of(bytes) {
            b"GET" => {
                request.is_get = true;
                false
            }
            b"HEAD" => {
                request.is_head = true;
                false
            }
            name => name == b"CONNECT",
        };
        if protocol.is_some() && !connect {
            return Verdict::Malformed;
        }
        let mut verdict = Verdict::Good;
        let mut worse = |other: Verdict| {
            if verdict == Verdict::Good || other == Verdict::Malformed {
                verdict = other;
            }
        };
        if !text::is_token(method.of(bytes)) {
            worse(Verdict::Refused(400));
        }
        if connect && protocol.is_none() {
            // RFC 9113 §8.5.
            let Some(authority) = authority.filter(|_| scheme.is_none() && path.is_none()) else {
                return Verdict::Malformed;
            };
            (request.form, request.target, request.authority) = (TargetForm::Authority, authority, authority);
            let port = text::split_port(authority.of(bytes)).1;
            if port.is_none_or(<[u8]>::is_empty) || !text::is_authority(authority.of(bytes)) {
                worse(Verdict::Refused(400));
            }
            return verdict;
        }
        let (Some(scheme), Some(path)) = (scheme, path) else { return Verdict::Malformed };
        match scheme.of(bytes) {
            b"https" => request.scheme = Some(Scheme::Https),
            b"http" => request.scheme = Some(Scheme::Http),
            other if other.eq_ignore_ascii_case(b"https") => request.scheme = Some(Scheme::Https),
            other if other.eq_ignore_ascii_case(b"http") => request.scheme = Some(Scheme::Http),
            _ => worse(Verdict::Refused(400)),
        }
        worse(read_path(request, bytes, path));
        if let Some(authority) = authority {
            request.authority = authority;
        }
        worse(read_host(request, bytes, &self.fields, self.hosts));
        if protocol.is_some() {
            self.request.body = if end { BodyLength::None } else { BodyLength::Chunked };
        } else {
            worse(self.read_body(end));
        }
        verdict
    }

    /// What follows: `content-length` is one number, and 0 where nothing follows (RFC 9113 §8.1.1).
    fn read_body(&mut self, end: bool) -> Verdict {
        let (bytes, fields) = (self.bytes.as_slice(), &self.fields);
        let mut lengths = fields.all(Known::ContentLength);
        self.request.body = if end { BodyLength::None } else { BodyLength::Chunked };
        if let Some(field) = lengths.next() {
            let Some(length) = text::digits(field.value.of(bytes)) else { return Verdict::Malformed };
            if lengths.next().is_some() || (end && length != 0) {
                return Verdict::Malformed;
            }
            self.request.body = BodyLength::Length(length);
            self.expected = Some(length);
        }
        self.request.expect_continue = !end
            && fields
                .all(Known::Expect)
                .any(|field| text::list(field.value.of(bytes)).any(|one| one.eq_ignore_ascii_case(b"100-continue")));
        Verdict::Good
    }

    /// Cookie crumbs become one field, where the first of them was (RFC 9113 §8.2.3).
    fn join_cookies(&mut self) {
        let start = self.bytes.len();
        for field in self.fields.all(Known::Cookie) {
            if self.bytes.len() > start {
                self.bytes.extend_from_slice(b"; ");
            }
            let crumb = field.value;
            self.bytes.extend_from_within(crumb.start as usize..crumb.end());
        }
        self.fields.join(Known::Cookie, Span::between(start, self.bytes.len()));
    }
}

#[inline]
fn put(bytes: &mut Vec<u8>, value: &[u8]) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(value);
    Span::between(start, bytes.len())
}

/// `:path`: from `/`, or `*` for OPTIONS (RFC 9113 §8.3.1).
fn read_path(request: &mut Request, bytes: &[u8], path: Span) -> Verdict {
    request.target = path;
    request.path = path;
    match path.of(bytes) {
        [b'/', ..] => {}
        b"*" if request.method.of(bytes) == b"OPTIONS" => request.form = TargetForm::Asterisk,
        _ => return Verdict::Malformed,
    }
    if let Some(at) = memchr::memchr(b'?', path.of(bytes)) {
        let start = path.start as usize;
        request.path = Span::between(start, start + at);
        request.query = Some(Span::between(start + at + 1, path.end()));
    }
    if text::is_target(path.of(bytes)) { Verdict::Good } else { Verdict::Refused(400) }
}

/// Whether two authorities name one server (RFC 3986 §6.2.3): the port of a scheme may be left out.
#[inline]
fn is_same_authority(one: &[u8], other: &[u8], scheme: Option<Scheme>) -> bool {
    let server = |authority| {
        let (host, port) = text::split_port(authority);
        let implied = match scheme {
            Some(Scheme::Https) => b"443" as &[u8],
            _ => b"80",
        };
        (host, port.filter(|port| !port.is_empty()).unwrap_or(implied))
    };
    one.eq_ignore_ascii_case(other) || {
        let (one, other) = (server(one), server(other));
        one.0.eq_ignore_ascii_case(other.0) && one.1 == other.1
    }
}

/// `:authority`, or `host` where there is none; both only when they are the same (RFC 9113 §8.3.1).
fn read_host(request: &mut Request, bytes: &[u8], fields: &Fields, hosts: usize) -> Verdict {
    if let Some(host) = fields.first(Known::Host) {
        if hosts > 1 {
            return Verdict::Refused(400);
        }
        if request.authority.is_empty() {
            request.authority = host.value;
        } else if !is_same_authority(request.authority.of(bytes), host.value.of(bytes), request.scheme) {
            return Verdict::Malformed;
        }
    }
    if text::is_authority(request.authority.of(bytes)) { Verdict::Good } else { Verdict::Refused(400) }
}
