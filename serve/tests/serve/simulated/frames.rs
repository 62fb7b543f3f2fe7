//! Frames of HTTP/2 as a client writes and reads them (RFC 9113 §4, §6), and requests as it puts them.

use std::io;

use anygate_proto::h2::hpack::{Decoder, Encoder, Indexing};

use super::scene::{Ask, Multi, What};
use super::wire::Head;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header, and most of its payload.
const HEADER: usize = 9;
const MOST: usize = 16_384;

/// Kinds of frames.
pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    pub(crate) const PRIORITY_UPDATE: u8 = 16;
    /// Nobody knows it.
    pub(crate) const UNKNOWN: u8 = 0x40;
}

/// Flags of frames.
pub(super) mod flag {
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
}

/// A frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The number of four bytes at `at`; 0 where there is none.
    pub(super) fn number(&self, at: usize) -> u32 {
        let four = self.payload.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map_or(0, u32::from_be_bytes)
    }
}

/// Appends a frame.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends SETTINGS.
pub(super) fn settings(out: &mut Vec<u8>, all: &[(u16, u32)]) {
    let one = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
    put(out, kind::SETTINGS, 0, 0, &all.iter().flat_map(one).collect::<Vec<u8>>());
}

/// Appends WINDOW_UPDATE.
pub(super) fn window(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

/// Appends frames that mean nothing to anybody: of a kind that nobody knows, about priorities as RFC 7540 had them, and for a
/// stream that may come.
pub(super) fn babble(out: &mut Vec<u8>, id: u32) {
    put(out, kind::UNKNOWN, 0xff, id, b"whatever");
    put(out, kind::PRIORITY, 0, id + 2, &[0, 0, 0, 0, 15]);
    put(out, kind::PRIORITY_UPDATE, 0, 0, &[&(id + 2).to_be_bytes()[..], b"u=1"].concat());
}

/// Appends DATA, and says what it takes of the windows: `padding` is all that is not content, its own length included.
pub(super) fn data(out: &mut Vec<u8>, stream: u32, piece: &[u8], padding: usize, end: bool) -> i64 {
    let mut flags = if end { flag::END_STREAM } else { 0 };
    let mut payload = Vec::with_capacity(piece.len() + padding);
    if padding > 0 {
        flags |= flag::PADDED;
        payload.push(padding as u8 - 1);
    }
    payload.extend_from_slice(piece);
    payload.resize(piece.len() + padding, 0);
    put(out, kind::DATA, flags, stream, &payload);
    payload.len() as i64
}

/// What a connection keeps of both directions.
pub(super) struct Frames {
    bytes: Vec<u8>,
    encoder: Encoder,
    decoder: Decoder,
    /// Most bytes of a frame's payload.
    pub(super) most: usize,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { bytes: Vec::new(), most: MOST, encoder: Encoder::new(4096), decoder: Decoder::new(4096) }
    }
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Frames {
    /// Bytes came.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame; a head with all its CONTINUATION frames is one.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut rest = self.bytes.as_slice();
        let mut whole: Option<Frame> = None;
        loop {
            let Some((header, after)) = rest.split_at_checked(HEADER) else { return Ok(None) };
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if length > self.most {
                return Err(wrong(format!("a frame of {length} bytes")));
            }
            let Some((payload, after)) = after.split_at_checked(length) else { return Ok(None) };
            rest = after;
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            let one = Frame { kind: header[3], flags: header[4], stream, payload: payload.to_vec() };
            let frame = match whole.take() {
                None => one,
                Some(mut head) if one.kind == kind::CONTINUATION && one.stream == head.stream => {
                    head.flags |= one.flags;
                    head.payload.extend_from_slice(&one.payload);
                    head
                }
                Some(_) => return Err(wrong(format!("{one:?} within a head"))),
            };
            if frame.kind != kind::HEADERS || frame.flags & flag::END_HEADERS != 0 {
                let used = self.bytes.len() - rest.len();
                self.bytes.drain(..used);
                return Ok(Some(frame));
            }
            whole = Some(frame);
        }
    }

    /// The head a HEADERS frame holds: `HTTP/2` and the status, nothing for trailers, and the fields.
    pub(super) fn head(&mut self, frame: &Frame) -> io::Result<Head> {
        let mut head = Head::default();
        let mut sound = true;
        let result = self.decoder.decode(&frame.payload, &mut |line| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            sound &= line.sound;
            match line.name {
                b":status" => head.first = format!("HTTP/2 {}", text(line.value)),
                name => {
                    let connection = [&b"connection"[..], b"transfer-encoding", b"keep-alive", b"upgrade"];
                    sound &= !name.starts_with(b":") && !connection.contains(&name);
                    head.fields.push((text(name), text(line.value)));
                }
            }
        });
        result.map_err(|error| wrong(error.why()))?;
        if sound { Ok(head) } else { Err(wrong(format!("fields that HTTP/2 has not: {head:?}"))) }
    }

    /// Appends a request's head, in frames of at most `splits` bytes, and says whether that is all of it.
    pub(super) fn ask(&mut self, out: &mut Vec<u8>, id: u32, request: &Request, splits: Option<usize>) -> bool {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value) in &request.fields {
            // What our encoder would write in lower case is what some of them are about.
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                block.extend_from_slice(&[0, name.len() as u8]);
                block.extend_from_slice(name.as_bytes());
                block.push(value.len() as u8);
                block.extend_from_slice(value.as_bytes());
                continue;
            }
            self.encoder.encode(name.as_bytes(), value.as_bytes(), Indexing::Auto, &mut block);
        }
        let count = block.len().div_ceil(splits.unwrap_or(MOST)).max(1);
        for (at, part) in block.chunks(splits.unwrap_or(MOST)).enumerate() {
            let mut flags = if at + 1 == count { flag::END_HEADERS } else { 0 };
            if at == 0 && request.end {
                flags |= flag::END_STREAM;
            }
            put(out, if at == 0 { kind::HEADERS } else { kind::CONTINUATION }, flags, id, part);
        }
        request.end
    }

    /// Appends trailers, and with them the end.
    pub(super) fn trailers(&mut self, out: &mut Vec<u8>, id: u32) {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        self.encoder.encode(b"x-sum", b"1", Indexing::Auto, &mut block);
        put(out, kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, &block);
    }
}

/// A request as it is put.
pub(super) struct Request {
    fields: Vec<(String, String)>,
    /// No content follows.
    end: bool,
    /// What follows one that is none.
    pub(super) content: Vec<u8>,
}

/// What is added to a right request, and the content behind it.
type Wrong = (&'static [(&'static str, &'static str)], &'static [u8]);

/// Requests that are none.
const BAD: [Wrong; 12] = [
    (&[("X-Upper", "1")], b""),
    (&[("connection", "close")], b""),
    (&[("transfer-encoding", "chunked")], b""),
    (&[("te", "gzip")], b""),
    (&[("upgrade", "websocket")], b""),
    (&[(":path", "/p/0/length/6")], b""),
    (&[(":other", "1")], b""),
    (&[("content-length", "5")], b""),
    (&[("content-length", "+0")], b""),
    (&[("host", "another")], b""),
    (&[("host", "sim"), ("host", "sim")], b""),
    (&[("content-length", "44")], b"GET /p/0/length/6 HTTP/1.1\r\nHost: a\r\n\r\n"),
];

impl Request {
    /// What this one asks for, on this stream.
    pub(super) fn of(ask: &Ask, id: u32, multi: Multi) -> Request {
        let number = ask.number;
        let (method, path) = match ask.what {
            What::Fixed => ("GET", "/ok".to_owned()),
            What::Missing => ("GET", "/missing".to_owned()),
            What::Redirect => ("GET", "/away".to_owned()),
            What::File { large, head, .. } => {
                (if head { "HEAD" } else { "GET" }, format!("/files/{}.bin", if large { "large" } else { "small" }))
            }
            What::Echo(_) => ("POST", "/echo".to_owned()),
            What::Behind { how, size, head, upload } => {
                let without = if head { "HEAD" } else { "GET" };
                (if upload.is_some() { "POST" } else { without }, format!("/p/{number}/{}/{size}", how.word()))
            }
            What::Tunnel { .. } => ("CONNECT", format!("/p/{number}/tunnel/0")),
            What::Bad(which) if BAD[which % BAD.len()].1.is_empty() => ("GET", "/p/0/length/5".to_owned()),
            What::Bad(_) => ("POST", "/echo".to_owned()),
        };
        let mut fields = vec![(":method", method.to_owned())];
        if let What::Tunnel { .. } = ask.what {
            fields.push((":protocol", "websocket".to_owned()));
        }
        let scheme = if ask.secure { "https" } else { "http" };
        fields.extend([(":scheme", scheme.to_owned()), (":path", path), (":authority", "sim".to_owned())]);
        fields.extend([("x-id", number.to_string()), ("te", "trailers".to_owned())]);
        // Crumbs, which become one again (RFC 9113 §8.2.3).
        fields.extend([("cookie", format!("a={number}")), ("cookie", "b=2".to_owned())]);
        if multi.orders {
            fields.push(("priority", format!("u={}", id / 2 % 8)));
        }
        if let What::File { range: Some((from, to)), .. } = ask.what {
            fields.push(("range", format!("bytes={from}-{to}")));
        }
        if let What::Tunnel { .. } = ask.what {
            fields.push(("sec-websocket-version", "13".to_owned()));
        }
        let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (mut end, mut content) = (!matches!(ask.what, What::Tunnel { .. }), Vec::new());
        if let Some(upload) = ask.upload() {
            end = false;
            if !upload.chunked {
                fields.push(("content-length".to_owned(), upload.size.to_string()));
            }
            if upload.expects {
                fields.push(("expect".to_owned(), "100-continue".to_owned()));
            }
        }
        if let What::Bad(which) = ask.what {
            let (more, behind) = BAD[which % BAD.len()];
            fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            (end, content) = (behind.is_empty(), behind.to_vec());
        }
        Request { fields, end, content }
    }
}
