//! What an action answers, before a protocol gives it a form.

use anygate_proto::head::ResponseHead;
use anygate_shard::Bytes;
use smallvec::SmallVec;

use crate::body::Body;
use crate::error::{Error, Kind};
use crate::upstream::Tunnel;

/// How an exchange ends.
#[derive(Debug)]
pub enum Outcome {
    /// With a response.
    Response(Box<Response>),
    /// The protocol is switched (RFC 9110 §7.8) or a stream is opened (RFC 8441): bytes both ways from here on.
    Tunnel(Box<Tunnel>),
    /// The connection, or the stream, is cut: nothing true can be said any more.
    Abort(Error),
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// 200–599.
    pub status: u16,
    /// Where the fields come from.
    pub fields: FieldSource,
    /// What filters and rules changed, applied in order when the head is written.
    pub edits: SmallVec<[Edit; 2]>,
    /// The content.
    pub body: Body,
    /// The length to announce where the body is not sent (`HEAD`) or not known from [`Body::len_hint`].
    pub length: Option<u64>,
    /// True when the connection must not be used again.
    pub close: bool,
    /// True when `Via` is added to an upstream's head.
    pub via: bool,
}

/// Where a response's fields come from.
#[derive(Debug)]
pub enum FieldSource {
    /// Field lines ready to be sent (`Name: value\r\n` each), without framing, connection, date or server fields.
    Lines(Bytes),
    /// An upstream's head, forwarded by editing spans.
    Upstream(Box<ResponseHead<Bytes>>),
}

/// One change of the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Replaces every field of that name.
    Set(Box<str>, Box<str>),
    /// Adds one more.
    Add(Box<str>, Box<str>),
    /// Removes every field of that name.
    Remove(Box<str>),
}

impl Response {
    /// A response with these field lines and this body.
    #[must_use]
    pub fn new(status: u16, lines: impl Into<Bytes>, body: Body) -> Self {
        Self {
            status,
            fields: FieldSource::Lines(lines.into()),
            edits: SmallVec::new(),
            body,
            length: None,
            close: false,
            via: true,
        }
    }

    /// A short text answer: `status` and its phrase. Says nothing about what stands behind.
    #[must_use]
    pub fn page(status: u16) -> Self {
        let phrase = anygate_core::status::phrase(status).unwrap_or("Unknown");
        let body = format!("{status} {phrase}\n");
        let lines =
            Bytes::from_static(b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n");
        Self::new(status, lines, Body::Bytes(Bytes::from(body.into_bytes())))
    }
}

impl Response {
    /// The same with more field lines.
    #[must_use]
    pub fn with_lines(mut self, lines: &[u8]) -> Self {
        if let FieldSource::Lines(before) = &self.fields {
            self.fields = FieldSource::Lines(Bytes::from([&before[..], lines].concat()));
        }
        self
    }
}

impl Edit {
    /// The name whose fields it removes.
    pub(crate) fn drops(&self) -> Option<&str> {
        match self {
            Self::Set(name, _) | Self::Remove(name) => Some(name),
            Self::Add(..) => None,
        }
    }

    /// The field it adds.
    pub(crate) fn adds(&self) -> Option<(&str, &[u8])> {
        match self {
            Self::Set(name, value) | Self::Add(name, value) => Some((name, value.as_bytes())),
            Self::Remove(_) => None,
        }
    }
}

impl From<Error> for Outcome {
    /// The error's own page; the cut where nobody is left to read it.
    fn from(error: Error) -> Self {
        if error.kind == Kind::Gone {
            return Self::Abort(error);
        }
        let mut page = Response::page(error.status());
        page.close = error.closes_downstream();
        Self::Response(Box::new(page))
    }
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self::Response(Box::new(response))
    }
}
