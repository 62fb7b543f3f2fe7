//! What a message head is once it is read: owned bytes, spans into them, and ids for known names.
//!
//! h1, h2 and h3 decode into the same form. Nothing here borrows from a buffer, so a head can outlive the lease it came
//! in; [`RequestView`] and [`ResponseView`] are the same thing borrowed, for the short way that never owns one.

pub use crate::fields::{Field, Fields, Span};
use crate::known::Known;

/// The protocol version a message came in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and any later 1.x, which is treated as 1.1 (RFC 9110 §2.5).
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Version {
    /// `HTTP/1.1`, as logs write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        }
    }

    /// `1.1`, as `Via` writes it (RFC 9110 §7.6.3).
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2.0",
            Self::Http3 => "3.0",
        }
    }
}

/// How long a body is, and how its end is known (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BodyLength {
    /// There is no body, and no field speaks of one.
    #[default]
    None,
    /// Exactly this many bytes; 0 when `Content-Length: 0` was said.
    Length(u64),
    /// Chunked transfer coding, decoded by [`crate::h1::chunked::Decoder`].
    Chunked,
    /// Until the peer closes. Responses only.
    UntilClose,
}

impl BodyLength {
    /// Whether no byte of a body follows the head.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }

    /// The number of bytes, where it is known beforehand.
    #[inline]
    #[must_use]
    pub const fn known(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => Some(length),
            Self::Chunked | Self::UntilClose => None,
        }
    }
}

/// The form of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, with `CONNECT` only.
    Authority,
    /// `*`, with `OPTIONS` only; also an absolute target without a path in `OPTIONS` (RFC 9112 §3.2.4).
    Asterisk,
}

/// The scheme a target names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The facts of a request head: small, copied, without its bytes. Spans are offsets into the buffer that was parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// Bytes of the head, the empty line included; the body starts there. Empty lines before the head count.
    pub head_len: u32,
    /// The method, case as it came.
    pub method: Span,
    /// The whole target as it came.
    pub target: Span,
    /// The path in the target, without the query; empty in authority form and where an absolute target has none.
    pub path: Span,
    /// The query, without its `?`; `Some` and empty when there is a `?` and nothing after it.
    pub query: Option<Span>,
    /// Host and port: of an absolute or authority-form target, else of `Host`; empty when neither is there (HTTP/1.0).
    pub authority: Span,
    /// The scheme, where an absolute target names one.
    pub scheme: Option<Scheme>,
    /// The body that follows.
    pub body: BodyLength,
    /// The version.
    pub version: Version,
    /// The target's form.
    pub form: TargetForm,
    /// Whether the method is `GET`.
    pub is_get: bool,
    /// Whether the method is `HEAD`.
    pub is_head: bool,
    /// Whether the connection may carry another request after this one (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` (RFC 9110 §10.1.1). Never in HTTP/1.0.
    pub expect_continue: bool,
    /// Whether an `Upgrade` is asked for: HTTP/1.1, the field is there and `Connection` names it.
    pub upgrade: bool,
}

const _: () = assert!(size_of::<Request>() <= 88);

impl Request {
    /// Owns the bytes and the fields; `bytes` must be what was parsed, from its first byte (the body may be cut off).
    #[must_use]
    pub fn into_head<B>(self, bytes: B, fields: Fields) -> Head<B> {
        Head { bytes, request: self, fields }
    }

    /// A view of the bytes that were parsed.
    #[inline]
    #[must_use]
    pub fn view<'a>(&'a self, bytes: &'a [u8], fields: &'a Fields) -> RequestView<'a> {
        RequestView { bytes, request: self, fields }
    }
}

/// The facts of a response head. Spans are offsets into the buffer that was parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Response {
    /// Bytes of the head, the empty line included.
    pub head_len: u32,
    /// 100–999; classes that are not known pass through.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// The body that follows, the request's method taken into account.
    pub body: BodyLength,
    /// The value of `Content-Length`, even where no body follows (`HEAD`, 304).
    pub content_length: Option<u64>,
    /// The version.
    pub version: Version,
    /// Whether the connection may be used again once the body was read to its end.
    pub keep_alive: bool,
    /// Whether `Upgrade` is there and `Connection` names it.
    pub upgrade: bool,
}

impl Response {
    /// Whether this is an interim response, after which another follows: 1xx but 101.
    #[inline]
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Owns the bytes and the fields.
    #[must_use]
    pub fn into_head<B>(self, bytes: B, fields: Fields) -> ResponseHead<B> {
        ResponseHead { bytes, response: self, fields }
    }

    /// A view of the bytes that were parsed.
    #[inline]
    #[must_use]
    pub fn view<'a>(&'a self, bytes: &'a [u8], fields: &'a Fields) -> ResponseView<'a> {
        ResponseView { bytes, response: self, fields }
    }
}

/// A request head that owns its bytes.
#[derive(Clone, Debug, Default)]
pub struct Head<B> {
    /// The bytes all spans point into.
    pub bytes: B,
    /// The facts.
    pub request: Request,
    /// The fields.
    pub fields: Fields,
}

impl<B: AsRef<[u8]>> Head<B> {
    /// The same, borrowed; all accessors are there.
    #[inline]
    pub fn view(&self) -> RequestView<'_> {
        RequestView { bytes: self.bytes.as_ref(), request: &self.request, fields: &self.fields }
    }
}

/// A response head that owns its bytes.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead<B> {
    /// The bytes all spans point into.
    pub bytes: B,
    /// The facts.
    pub response: Response,
    /// The fields.
    pub fields: Fields,
}

impl<B: AsRef<[u8]>> ResponseHead<B> {
    /// The same, borrowed; all accessors are there.
    #[inline]
    pub fn view(&self) -> ResponseView<'_> {
        ResponseView { bytes: self.bytes.as_ref(), response: &self.response, fields: &self.fields }
    }
}

/// A request head, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The bytes all spans point into.
    pub bytes: &'a [u8],
    /// The facts.
    pub request: &'a Request,
    /// The fields.
    pub fields: &'a Fields,
}

/// A response head, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ResponseView<'a> {
    /// The bytes all spans point into.
    pub bytes: &'a [u8],
    /// The facts.
    pub response: &'a Response,
    /// The fields.
    pub fields: &'a Fields,
}

macro_rules! field_accessors {
    () => {
        /// The value of the first field of this name.
        #[inline]
        #[must_use]
        pub fn get(&self, known: Known) -> Option<&'a [u8]> {
            self.fields.first(known).map(|field| field.value.of(self.bytes))
        }

        /// The values of all fields of this name, in order.
        #[inline]
        pub fn all(&self, known: Known) -> impl Iterator<Item = &'a [u8]> + use<'a> {
            let bytes = self.bytes;
            self.fields.all(known).map(move |field| field.value.of(bytes))
        }

        /// The members of a comma-separated field over all its lines, without white space and without empty ones
        /// (RFC 9110 §5.6.1). Commas within quoted strings do not separate.
        pub fn list(&self, known: Known) -> impl Iterator<Item = &'a [u8]> + use<'a> {
            self.all(known).flat_map(crate::text::list)
        }

        /// The value of the first field of any name, compared without regard to case.
        #[must_use]
        pub fn get_named(&self, name: &str) -> Option<&'a [u8]> {
            self.all_named(name.as_bytes()).next()
        }

        /// The values of all fields of any name.
        pub fn all_named<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
            let bytes = self.bytes;
            let known = Known::of(name);
            self.fields
                .iter()
                .filter(move |field| {
                    field.known == known && (known != Known::Other || field.name.of(bytes).eq_ignore_ascii_case(name))
                })
                .map(move |field| field.value.of(bytes))
        }

        /// Name and value of every field, in order.
        pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
            let bytes = self.bytes;
            self.fields.iter().map(move |field| (field.name.of(bytes), field.value.of(bytes)))
        }
    };
}

impl<'a> RequestView<'a> {
    field_accessors!();

    /// The method.
    #[inline]
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.request.method.of(self.bytes)
    }

    /// The target as it came.
    #[inline]
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        self.request.target.of(self.bytes)
    }

    /// The path: `/` where an absolute target has none, `*` in asterisk form, empty in authority form.
    #[inline]
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        match self.request.form {
            TargetForm::Asterisk => b"*",
            TargetForm::Absolute if self.request.path.is_empty() => b"/",
            _ => self.request.path.of(self.bytes),
        }
    }

    /// The query without its `?`.
    #[inline]
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        self.request.query.map(|span| span.of(self.bytes))
    }

    /// Host and port: an absolute target's win over `Host` (RFC 9112 §3.2.2).
    #[inline]
    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        self.request.authority.of(self.bytes)
    }

    /// The authority without its port; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        let (host, _) = crate::text::split_port(self.authority());
        host
    }

    /// The authority where no `Host` says it: HTTP/2 has it in `:authority` (RFC 9113 §8.3.1).
    #[must_use]
    pub fn unsaid_host(&self) -> Option<&'a [u8]> {
        Some(self.authority()).filter(|host| !host.is_empty() && !self.fields.has(Known::Host))
    }
}

impl<'a> ResponseView<'a> {
    field_accessors!();

    /// The status code.
    #[inline]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status
    }

    /// The reason phrase as it came.
    #[inline]
    #[must_use]
    pub fn reason(&self) -> &'a [u8] {
        self.response.reason.of(self.bytes)
    }
}
