//! How an answer of our own is written: heads with a place for `Date`, and images compiled at load.

use super::sink::Decimal;
use crate::date;
use crate::error::Reject;
use crate::head::{BodyLength, Version};
use crate::text;
use std::sync::Arc;

/// What a response says about the connection; only what differs from the version's default is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Persistence {
    /// Nothing: HTTP/1.1 and the connection stays.
    #[default]
    Implied,
    /// `Connection: close`.
    Close,
    /// `Connection: keep-alive`: HTTP/1.0 and the connection stays.
    KeepAlive,
}

impl Persistence {
    /// What to say to a client of this version whose connection is to stay or not.
    #[inline]
    #[must_use]
    pub const fn of(version: Version, keep_alive: bool) -> Self {
        match (version, keep_alive) {
            (_, false) => Self::Close,
            (Version::Http10, true) => Self::KeepAlive,
            (_, true) => Self::Implied,
        }
    }

    /// The field line, or nothing.
    #[must_use]
    pub const fn line(self) -> &'static [u8] {
        match self {
            Self::Implied => b"",
            Self::Close => b"Connection: close\r\n",
            Self::KeepAlive => b"Connection: keep-alive\r\n",
        }
    }
}

/// The head of an answer of our own.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// 100–999.
    pub status: u16,
    /// The `Server` field; none when empty.
    pub server: &'a str,
    /// Names and values, in order. Framing fields, `Connection`, `Date` and `Server` are written by us: not here.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// How the body is framed. `Length` writes `Content-Length` (for `HEAD` give GET's), `Chunked` the coding,
    /// `None` and `UntilClose` nothing. A 1xx, 204 or 304 never gets a framing field, but for 304's length.
    pub body: BodyLength,
    /// What is said about the connection.
    pub persistence: Persistence,
}

impl Answer<'_> {
    /// Appends the head to `out` and returns where in it the 29 bytes of `Date` are, relative to the head's start.
    ///
    /// # Errors
    ///
    /// 502 when a name is no token or a value has a control character (response splitting); `out` is as before.
    pub fn write(&self, date: &[u8; date::LEN], out: &mut Vec<u8>) -> Result<usize, Reject> {
        let start = out.len();
        if self.fields.iter().any(|(name, value)| !text::is_token(name.as_bytes()) || !text::is_field_value(value))
            || !text::is_field_value(self.server.as_bytes())
        {
            return Err(Reject::closing(502, "a response field has a control character"));
        }
        status_line(self.status, out);
        out.extend_from_slice(b"Date: ");
        let date_offset = out.len() - start;
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
        if !self.server.is_empty() {
            line(b"Server", self.server.as_bytes(), out);
        }
        for (name, value) in self.fields {
            line(name.as_bytes(), value, out);
        }
        match self.body {
            _ if self.status < 200 || self.status == 204 => {}
            BodyLength::Length(length) => line(b"Content-Length", Decimal::new(length).as_bytes(), out),
            BodyLength::Chunked if self.status != 304 => line(b"Transfer-Encoding", b"chunked", out),
            BodyLength::Chunked | BodyLength::None | BodyLength::UntilClose => {}
        }
        out.extend_from_slice(self.persistence.line());
        out.extend_from_slice(b"\r\n");
        Ok(date_offset)
    }
}

/// `HTTP/1.1 200 OK` and its line end. A code without a phrase gets none, and keeps the blank (RFC 9112 §4).
pub(super) fn status_line(status: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(Decimal::new(u64::from(status)).as_bytes());
    out.push(b' ');
    out.extend_from_slice(anygate_core::status::phrase(status).unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `100 Continue`, whole (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer that never changes but for its date, written once at load in all its forms. A clone is a few counters.
#[derive(Clone, Debug)]
pub struct Image {
    forms: [Form; 3],
    status: u16,
    date_offset: u32,
}

#[derive(Clone, Debug)]
struct Form {
    bytes: Arc<[u8]>,
    head_len: u32,
}

impl Image {
    /// Compiles an answer. `answer.body` and `answer.persistence` are not looked at: the length is the body's, and all
    /// forms are made. A status that forbids a body (1xx, 204, 304) drops it; 205 gets length 0.
    ///
    /// # Errors
    ///
    /// As [`Answer::write`].
    pub fn compile(answer: &Answer<'_>, body: &[u8]) -> Result<Self, Reject> {
        let body = if anygate_core::status::forbids_body(answer.status) { &[][..] } else { body };
        let length = match answer.status {
            304 => BodyLength::None,
            _ => BodyLength::Length(body.len() as u64),
        };
        let mut date_offset = 0;
        let mut form = |persistence| {
            let mut bytes = Vec::new();
            let answer = Answer { body: length, persistence, ..*answer };
            date_offset = answer.write(date::PLACEHOLDER, &mut bytes)? as u32;
            let head_len = bytes.len() as u32;
            bytes.extend_from_slice(body);
            Ok(Form { bytes: bytes.into(), head_len })
        };
        let forms = [form(Persistence::Implied)?, form(Persistence::Close)?, form(Persistence::KeepAlive)?];
        Ok(Self { forms, status: answer.status, date_offset })
    }

    /// Appends the form that fits to `out`, with this date. Two copies, no branch on content.
    #[inline]
    pub fn write(&self, head_only: bool, persistence: Persistence, date: &[u8; date::LEN], out: &mut Vec<u8>) {
        let start = out.len() + self.date_offset as usize;
        out.extend_from_slice(self.bytes(head_only, persistence));
        if let Some(place) = out.get_mut(start..start + date::LEN) {
            place.copy_from_slice(date);
        }
    }

    /// The form that fits, with [`date::PLACEHOLDER`] at [`Image::date_offset`].
    #[inline]
    #[must_use]
    pub fn bytes(&self, head_only: bool, persistence: Persistence) -> &[u8] {
        let form = &self.forms[persistence as usize];
        if head_only { &form.bytes[..form.head_len as usize] } else { &form.bytes }
    }

    /// Where the 29 bytes of `Date` are, the same in every form.
    #[inline]
    #[must_use]
    pub const fn date_offset(&self) -> usize {
        self.date_offset as usize
    }

    /// The status.
    #[inline]
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }
}
