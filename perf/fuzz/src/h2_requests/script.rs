//! What does the client send? An input as frames, in chunks that both servers are given at once.

use crate::Numbers;
use crate::naive_hpack::{STATIC, in_huffman};

/// RFC 9113 §3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames of an input, at most.
const MOST_FRAMES: usize = 60;

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

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;

/// What the server does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// It never answers.
    Never,
    /// With a head alone, when the request is whole.
    AtTheEnd,
    /// With a head alone, before the request's content came.
    AtOnce,
    /// With a head at once, and with so many bytes of content as the windows let through.
    WithContent(usize),
    /// With a reset, at once.
    Reset,
}

/// How a run is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) answers: Answers,
    /// Into what pieces the chunks are cut for the second run of our server.
    pub(crate) cuts: u8,
    pub(crate) max_streams: u32,
    pub(crate) window: u32,
    /// Whether what came is given back to the window.
    pub(crate) consumes: bool,
}

/// All of an input.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) setting: Setting,
    pub(crate) chunks: Vec<Vec<u8>>,
}

const METHODS: [&str; 16] = [
    "GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PUT", "GET", "POST", "PRI", "", "G T", "get", "TRACE",
    "\u{e9}",
];
const SCHEMES: [&str; 8] = ["http", "https", "http", "https", "ftp", "", "ht tp", "HTTP"];
const PATHS: [&str; 16] = [
    "/",
    "/index.html",
    "/a/b?c=d",
    "*",
    "/",
    "/p",
    "",
    "a",
    "/a b",
    "/a#f",
    "/\u{e9}",
    "/%zz",
    "//x",
    "/?",
    "?q",
    "http://b/c",
];
const AUTHORITIES: [&str; 16] =
    ["a", "a:80", "example.com", "a", "[::1]:8", "a", "", "u@a", "a b", "a/b", "a:b", "a:", "[::1", "A", "a_b", "%61"];

/// Fields that say something to somebody, and what is wrong in a way of its own.
const FIELDS: [(&str, &str); 72] = [
    ("accept", "*/*"),
    ("user-agent", "fuzz"),
    ("cookie", "a=b"),
    ("cookie", "c=d"),
    ("content-length", "0"),
    ("content-length", "1"),
    ("content-length", "5"),
    ("content-length", "100"),
    ("te", "trailers"),
    ("priority", "u=1, i"),
    ("x", "1"),
    ("x", ""),
    ("x-y", "some value"),
    ("host", "a"),
    ("expect", "100-continue"),
    ("range", "bytes=0-1"),
    ("cookie", ""),
    ("set-cookie", "x=y"),
    ("authorization", "Basic eA=="),
    ("accept-encoding", "gzip, deflate"),
    ("cache-control", "no-cache"),
    ("trailer", "x"),
    ("via", "1.1 b"),
    ("date", "never"),
    ("x-forwarded-for", "::1"),
    ("priority", "u=9"),
    ("priority", "nonsense=\""),
    ("host", "b"),
    ("content-length", ""),
    ("content-length", "+5"),
    ("content-length", "5, 5"),
    ("content-length", "05"),
    ("content-length", "99999999999999999999"),
    ("content-length", "18446744073709551615"),
    ("content-length", "abc"),
    ("connection", "close"),
    ("connection", ""),
    ("keep-alive", "5"),
    ("proxy-connection", "close"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "websocket"),
    ("te", "gzip"),
    ("te", "trailers, gzip"),
    ("te", "Trailers"),
    ("te", ""),
    ("http2-settings", "AAA"),
    (":method", "GET"),
    (":path", "/"),
    (":scheme", "http"),
    (":authority", "b"),
    (":status", "200"),
    (":protocol", "websocket"),
    (":protocol", ""),
    (":other", "x"),
    (":", ""),
    ("", "x"),
    ("", ""),
    ("X", "1"),
    ("x y", "1"),
    ("x:", "1"),
    ("\u{e9}", "1"),
    ("x\0", "1"),
    ("x", " 1"),
    ("x", "1\t"),
    ("x", "a\0b"),
    ("x", "a\r\nb: c"),
    ("x", "a\nb"),
    ("x", "a\u{1}b"),
    ("x", "a\u{7f}b"),
    ("x", "\u{e9}"),
    ("x", "a\tb"),
    ("host", "a b"),
];

/// Sizes of contents.
const SIZES: [usize; 16] = [0, 1, 5, 5, 4, 100, 95, 1, 0, 1000, 5000, 16_383, 16_384, 16_385, 20_000, 2];
const TAME_SIZES: [usize; 16] =
    [0, 1, 5, 5, 4, 100, 95, 1000, 5000, 10_000, 16_383, 16_384, 16_384, 16_384, 16_384, 16_384];
/// What a window update, or a setting, may say.
const VALUES: [u32; 16] = [
    0,
    1,
    2,
    100,
    4096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    1 << 20,
    (1 << 24) - 1,
    1 << 24,
    0x7fff_0000,
    0x7fff_ffff,
    0xffff_ffff,
];

/// Of [`FIELDS`], those at the front that no server minds.
const TAME_FIELDS: usize = 26;
/// Settings that every client may send.
const TAME_SETTINGS: [(u16, u32); 16] = [
    (1, 0),
    (1, 100),
    (1, 4096),
    (2, 0),
    (3, 0),
    (4, 0),
    (4, 1),
    (4, 100),
    (4, 20_000),
    (4, 65_535),
    (4, 1 << 20),
    (5, 16_384),
    (5, 16_385),
    (5, 1 << 20),
    (6, 100),
    (8, 1),
];

impl Script {
    /// The input as what it means.
    pub(crate) fn of(data: &[u8]) -> Self {
        let mut numbers = Numbers::of(data);
        let (flags, cuts, limits) = (numbers.next(), numbers.next(), numbers.next());
        let answers = match flags & 7 {
            0 | 1 => Answers::Never,
            2 => Answers::AtTheEnd,
            3 => Answers::AtOnce,
            4 => Answers::Reset,
            5 => Answers::WithContent(5),
            6 => Answers::WithContent(70_000),
            _ => Answers::WithContent(100),
        };
        let setting = Setting {
            answers,
            cuts,
            max_streams: if limits & 1 == 0 { 100 } else { 3 },
            window: if limits & 2 == 0 { 65_535 } else { 20_000 },
            consumes: limits & 4 == 0,
        };
        let mut chunks = Vec::new();
        // Most inputs get what a client says at first for nothing.
        if flags & 0x80 == 0 {
            let mut first = PREFACE.to_vec();
            frame(&mut first, SETTINGS, 0, 0, &[]);
            chunks.push(first);
            let mut ack = Vec::new();
            frame(&mut ack, SETTINGS, ACK, 0, &[]);
            chunks.push(ack);
        }
        if flags & 0x40 == 0 {
            Writer::new(numbers, flags & 0x20 != 0, &mut chunks).write()
        } else {
            split(numbers.rest(), &mut chunks)
        }
        Self { setting, chunks }
    }
}

impl Script {
    /// Whether it ends where a frame ends.
    pub(crate) fn is_whole(&self) -> bool {
        let bytes = self.chunks.concat();
        let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(&bytes);
        while let [a, b, c, _, _, _, _, _, _, after @ ..] = rest {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let Some((_, after)) = after.split_at_checked(length) else { return false };
            rest = after;
        }
        rest.is_empty()
    }
}

/// Raw bytes, a frame a chunk; the preface is one too.
fn split(mut rest: &[u8], chunks: &mut Vec<Vec<u8>>) {
    if chunks.is_empty() && rest.starts_with(PREFACE) {
        let (first, after) = rest.split_at(PREFACE.len());
        chunks.push(first.to_vec());
        rest = after;
    }
    while !rest.is_empty() && chunks.len() < MOST_FRAMES {
        let length = match rest {
            [a, b, c, ..] => 9 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c)),
            _ => rest.len(),
        };
        let (one, after) = rest.split_at(length.min(rest.len()));
        chunks.push(one.to_vec());
        rest = after;
    }
}

/// Appends a frame.
pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Makes frames of numbers.
struct Writer<'a, 'c> {
    numbers: Numbers<'a>,
    /// Little is wrong, so that most of what is done is done on streams that live.
    tame: bool,
    chunks: &'c mut Vec<Vec<u8>>,
    /// The highest stream that was opened.
    last: u32,
    /// The last header block.
    block: Vec<u8>,
    // ---- while it is tame ----
    /// Fields that were put in the table.
    indexed: u32,
    /// The last stream whose request is not at its end.
    open: Option<u32>,
}

impl<'a, 'c> Writer<'a, 'c> {
    fn new(numbers: Numbers<'a>, tame: bool, chunks: &'c mut Vec<Vec<u8>>) -> Self {
        let block = vec![0x82, 0x84, 0x86, 0x41, 1, b'a'];
        Self { numbers, tame, chunks, last: 0u32.wrapping_sub(1), block, indexed: 0, open: None }
    }

    fn write(&mut self) {
        while !self.numbers.is_empty() && self.chunks.len() < MOST_FRAMES {
            let chunk = self.chunk();
            if !chunk.is_empty() {
                self.chunks.push(chunk);
            }
        }
    }

    fn chunk(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let op = self.numbers.next();
        let kind = match op & 15 {
            _ if self.tame && self.last == u32::MAX => 0,
            13 if self.tame => 1,
            5..=7 if self.tame && self.open.is_none() => 1,
            14 if self.tame => 15,
            kind => kind,
        };
        match kind {
            0..=4 => self.request(&mut out),
            5 | 6 => self.content(&mut out),
            7 => self.trailers(&mut out),
            8 => {
                let (stream, code) = (self.stream(), self.numbers.next());
                frame(&mut out, RST_STREAM, 0, stream, &u32::from(code & 15).to_be_bytes());
            }
            9 => {
                let stream = if op & 16 == 0 { 0 } else { self.stream() };
                let value = self.numbers.below(VALUES.len());
                let value = VALUES[if self.tame { 1 + value % 11 } else { value }];
                frame(&mut out, WINDOW_UPDATE, 0, stream, &value.to_be_bytes());
            }
            10 => self.settings(&mut out, op >> 4),
            11 => {
                let bytes: Vec<u8> = (0..8).map(|_| self.numbers.next()).collect();
                frame(&mut out, PING, op >> 7, 0, &bytes);
            }
            12 => self.other(&mut out, op >> 4),
            13 => {
                let (kind, flags, length) = (self.numbers.next() % 18, self.numbers.next(), self.numbers.below(20));
                let stream = self.stream();
                let bytes: Vec<u8> = (0..length).map(|_| self.numbers.next()).collect();
                frame(&mut out, kind, flags, stream, &bytes);
            }
            14 => {
                out = if self.chunks.len() < MOST_FRAMES && !self.numbers.is_empty() { self.chunk() } else { out };
                self.bend(&mut out, op >> 4);
            }
            _ => {
                // The last block once more, whose fields may stand in the table by now.
                self.last = self.last.wrapping_add(2);
                let block = self.block.clone();
                frame(&mut out, HEADERS, END_HEADERS | op >> 4 & END_STREAM, self.last, &block);
            }
        }
        out
    }

    /// A stream: mostly the newest one, or one before.
    fn stream(&mut self) -> u32 {
        let choice = self.numbers.next();
        if self.tame {
            let before = self.last.wrapping_sub(2 * u32::from(choice >> 5));
            return if choice % 2 == 1 && before < self.last { before } else { self.last };
        }
        match choice % 8 {
            0..=3 => self.last,
            4 | 5 => self.last.wrapping_sub(2 * u32::from(choice >> 3)) & 0x7fff_ffff,
            6 => self.last.wrapping_add(2 * (1 + u32::from(choice >> 5))) & 0x7fff_ffff,
            _ => [0, 2, 1, 0x7fff_ffff, 0xffff_ffff, 0x8000_0001, 3, 0x7fff_fffe][usize::from(choice >> 5)],
        }
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        let (shape, words, order, flags) =
            (self.numbers.next(), self.numbers.next(), self.numbers.next(), self.numbers.next());
        let (shape, words, order) = if self.tame {
            // Methods, paths, schemes and authorities that are good; all of them are there, in order.
            (shape & 0x53, words & 0x33, order & 0x20)
        } else {
            (shape, words, order)
        };
        let stream = if order & 0x80 == 0 {
            self.last = self.last.wrapping_add(2);
            self.last
        } else {
            let stream = self.stream();
            if stream & 1 == 1 && stream < 1 << 31 && (self.last > 1 << 31 || stream > self.last) {
                self.last = stream;
            }
            stream
        };
        let mut block = Vec::new();
        let pseudo = [
            (":method", METHODS[usize::from(shape & 15)]),
            (":scheme", SCHEMES[usize::from(words & 7)]),
            (":path", PATHS[usize::from(shape >> 4)]),
            (":authority", AUTHORITIES[usize::from(words >> 4)]),
        ];
        let late = order & 3 == 3;
        if late {
            self.field(&mut block);
        }
        for (at, (name, value)) in pseudo.into_iter().enumerate() {
            // One of them may be missing.
            if order >> 2 & 7 != at as u8 + 1 {
                put(&mut block, name, value, if order & 0x20 == 0 { 4 } else { order >> 2 });
            }
        }
        for _ in 0..flags & 7 {
            self.field(&mut block);
        }
        let end = if flags & 8 == 0 { END_STREAM } else { 0 };
        self.block.clone_from(&block);
        self.open = (self.tame && end == 0).then_some(stream);
        self.headers(out, stream, end, flags >> 4, &block);
    }

    fn trailers(&mut self, out: &mut Vec<u8>) {
        let stream = self.open.take().unwrap_or_else(|| self.stream());
        let flags = self.numbers.next();
        let mut block = Vec::new();
        for _ in 0..flags & 3 {
            self.field(&mut block);
        }
        let end = if flags & 0xc == 0xc { 0 } else { END_STREAM };
        self.headers(out, stream, end, flags >> 4, &block);
    }

    fn field(&mut self, block: &mut Vec<u8>) {
        let (which, form) = (self.numbers.next(), self.numbers.next());
        let seldom = form >> 6 == 3;
        let form = match form & 15 {
            13 if self.tame && self.indexed > 4 => {
                block.push(0x80 | 62 + (which & 3));
                return;
            }
            13..=15 if self.tame => 0,
            _ => form,
        };
        match form & 15 {
            13 => block.push(0x80 | 62 + (which & 31)),
            14 => integer(block, 0x20, 5, u32::from(which) * 32),
            15 => block.extend_from_slice(&[which, self.numbers.next()]),
            form => {
                let (name, value) =
                    if self.tame { tame(which, seldom) } else { FIELDS[usize::from(which) % FIELDS.len()] };
                self.indexed += u32::from(form & 10 == 0);
                put(block, name, value, form);
            }
        }
    }

    /// A block in as many frames as is asked for.
    fn headers(&mut self, out: &mut Vec<u8>, stream: u32, end: u8, form: u8, block: &[u8]) {
        let mut parts: Vec<&[u8]> = match form & 12 {
            4 => block.chunks(1 + self.numbers.below(40)).take(8).collect(),
            8 => vec![block, b""],
            12 => vec![b"", block],
            _ => vec![block],
        };
        if form & 12 == 4 {
            let used: usize = parts.iter().map(|part| part.len()).sum();
            parts.push(&block[used..]);
        }
        let count = parts.len();
        for (at, part) in parts.into_iter().enumerate() {
            let mut flags = if at + 1 == count { END_HEADERS } else { 0 };
            if at > 0 {
                frame(out, CONTINUATION, flags, stream, part);
                continue;
            }
            flags |= end;
            let mut payload = Vec::new();
            let padding = if form & 1 == 0 { 0 } else { self.numbers.next() };
            if form & 1 != 0 {
                flags |= PADDED;
                payload.push(padding);
            }
            if form & 2 != 0 {
                flags |= WITH_PRIORITY;
                let on = self.numbers.next();
                payload.extend_from_slice(&[0, 0, 0, if self.tame { 0 } else { on }, 15]);
            }
            payload.extend_from_slice(part);
            payload.extend(std::iter::repeat_n(0, usize::from(padding)));
            frame(out, HEADERS, flags, stream, &payload);
        }
    }

    fn content(&mut self, out: &mut Vec<u8>) {
        let stream = self.open.unwrap_or_else(|| self.stream());
        let form = self.numbers.next();
        let mut flags = form >> 4 & END_STREAM;
        self.open = self.open.filter(|_| flags == 0);
        let mut payload = Vec::new();
        let padding = if form & 0x20 == 0 { 0 } else { self.numbers.next() };
        if form & 0x20 != 0 {
            flags |= PADDED;
            payload.push(padding);
        }
        let sizes = if self.tame { TAME_SIZES } else { SIZES };
        let size = sizes[usize::from(form & 15)];
        payload.extend((0..size).map(|at| at as u8));
        payload.extend(std::iter::repeat_n(0, usize::from(padding)));
        frame(out, DATA, flags, stream, &payload);
    }

    fn settings(&mut self, out: &mut Vec<u8>, form: u8) {
        let mut payload = Vec::new();
        for _ in 0..form & 3 {
            let (id, value) = (self.numbers.next(), self.numbers.below(VALUES.len()));
            let (id, value) = if self.tame { TAME_SETTINGS[value] } else { (u16::from(id % 12), VALUES[value]) };
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame(out, SETTINGS, if form == 15 && !self.tame { ACK } else { 0 }, 0, &payload);
    }

    fn other(&mut self, out: &mut Vec<u8>, which: u8) {
        let stream = self.stream();
        let word = u32::from(self.numbers.next()).to_be_bytes();
        let (which, word) = match which & 7 {
            0 if self.tame => (0, [0; 4]),
            3 if self.tame => (3, [0, 0, 0, word[3] & 0xc0 | 0x20]),
            _ if self.tame => (1, [0, 0, 0, word[3] & 3]),
            _ => (which, word),
        };
        match which & 7 {
            0 => frame(out, PRIORITY, 0, stream, &[word[0], word[1], word[2], word[3], 1]),
            1 => {
                let mut payload = stream.to_be_bytes().to_vec();
                payload.extend_from_slice(match word[3] % 4 {
                    0 => b"u=0",
                    1 => b"i",
                    2 => b"",
                    _ => b"u=\"",
                });
                frame(out, PRIORITY_UPDATE, 0, if word[3] & 64 == 0 { 0 } else { 1 }, &payload);
            }
            2 => {
                let mut payload = word.to_vec();
                payload.extend_from_slice(&[0, 0, 0, word[3] & 15]);
                frame(out, GOAWAY, 0, 0, &payload);
            }
            3 => frame(out, 0x0a + (word[3] & 63), word[3], stream, b"what?"),
            4 => frame(out, PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, 0x82]),
            5 => frame(out, CONTINUATION, END_HEADERS, stream, &[0x82]),
            6 => frame(out, SETTINGS, ACK, 0, &[]),
            _ => {
                // A block that does not end, and what comes then.
                let block = self.block.clone();
                frame(out, HEADERS, 0, stream, &block);
            }
        }
    }

    /// Makes a frame something else: of another length, kind or stream, with other flags, or with other bytes.
    fn bend(&mut self, out: &mut Vec<u8>, how: u8) {
        let (at, with) = (usize::from(self.numbers.next()), self.numbers.next());
        if out.len() < 9 {
            return;
        }
        let payload = out.len() - 9;
        match how & 7 {
            0 => out[4] ^= with,
            1 => out[8] ^= with & 7,
            2 => out[3] = with % 18,
            3 if at < payload => out.truncate(9 + at),
            3 | 4 => out.resize(9 + payload + 1 + at % 9, with),
            5 => out[2] = out[2].wrapping_add(with),
            _ if payload > 0 => out[9 + at % payload] ^= with,
            _ => out.push(with),
        }
        if matches!(how & 7, 3 | 4) {
            let length = (out.len() - 9) as u32;
            out[..3].copy_from_slice(&length.to_be_bytes()[1..]);
        }
    }
}

/// A field that no server minds, unless another one like it is there: so those come seldom.
fn tame(which: u8, seldom: bool) -> (&'static str, &'static str) {
    match FIELDS[usize::from(which) % TAME_FIELDS] {
        ("host" | "content-length", _) if !seldom => FIELDS[0],
        field => field,
    }
}

/// An integer behind a mark (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, mark: u8, prefix: u32, value: u32) {
    let full = (1u32 << prefix) - 1;
    if value < full {
        block.push(mark | value as u8);
        return;
    }
    block.push(mark | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

fn string(block: &mut Vec<u8>, text: &[u8], coded: bool) {
    if coded {
        let text = in_huffman(text);
        integer(block, 0x80, 7, text.len() as u32);
        block.extend_from_slice(&text);
    } else {
        integer(block, 0, 7, text.len() as u32);
        block.extend_from_slice(text);
    }
}

/// A field in one of the forms of RFC 7541 §6: by its low bits with indexing, without or never, its strings plain or coded,
/// its name by index or spelt out.
fn put(block: &mut Vec<u8>, name: &str, value: &str, form: u8) {
    let coded = form & 1 != 0;
    // What is no text is one octet each.
    let octets = |text: &str| -> Vec<u8> { text.chars().map(|c| c as u8).collect() };
    if form & 4 != 0
        && let Some(at) = STATIC.iter().position(|known| *known == (name, value))
    {
        integer(block, 0x80, 7, at as u32 + 1);
        return;
    }
    let (mark, prefix) = match form & 10 {
        0 => (0x40, 6),
        2 => (0, 4),
        8 => (0x10, 4),
        _ => (0x40, 6),
    };
    match STATIC.iter().position(|known| known.0 == name) {
        Some(at) if form & 4 != 0 => integer(block, mark, prefix, at as u32 + 1),
        _ => {
            block.push(mark);
            string(block, &octets(name), coded);
        }
    }
    string(block, &octets(value), coded);
}
