//! HTTP/2 frame by frame: what comes in, what the codec says, and what leaves.

mod answers;
mod connection;
mod content;
mod costs;
mod floods;
mod heads;
mod hostile;
mod priorities;
mod properties;
mod streams;

use anygate_proto::h2::frame::{self, FrameHeader, HEADER_LEN, Kind, flag};
use anygate_proto::h2::{Connection, ErrorCode, Event, Limits, PREFACE, StreamKey, hpack};

const END: u8 = flag::END_STREAM | flag::END_HEADERS;
const OPEN: u8 = flag::END_HEADERS;

/// Any frame.
fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    let mut out = vec![l0, l1, l2, kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A header block of literals that are not indexed.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let put = |text: &str, out: &mut Vec<u8>| {
        if text.len() < 127 {
            out.push(text.len() as u8);
        } else {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push((rest % 128) as u8 | 0x80);
                rest /= 128;
            }
            out.push(rest as u8);
        }
        out.extend(text.as_bytes());
    };
    for (name, value) in fields {
        out.push(0);
        put(name, &mut out);
        put(value, &mut out);
    }
    out
}

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
const POST: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// The fields of `base`, and more.
fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(more).copied().collect()
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    raw(1, flags, stream, &block(fields))
}

fn get(stream: u32) -> Vec<u8> {
    headers(stream, END, &GET)
}

fn post(stream: u32) -> Vec<u8> {
    headers(stream, OPEN, &POST)
}

fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    raw(0, flags, stream, content)
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    raw(4, 0, 0, &payload)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    raw(8, 0, stream, &increment.to_be_bytes())
}

fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    raw(3, 0, stream, &code.to_be_bytes())
}

fn settings_ack() -> Vec<u8> {
    raw(4, flag::ACK, 0, &[])
}

fn join(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

/// A connection, and what it has said.
struct Peer {
    connection: Connection,
    /// Events in words.
    events: Vec<String>,
    /// The keys of the requests, in order.
    keys: Vec<StreamKey>,
    decoder: hpack::Decoder,
    dead: bool,
}

impl Peer {
    /// Before the client's preface; our own is taken away.
    fn silent(limits: &Limits) -> Self {
        let mut connection = Connection::new(limits);
        connection.output().clear();
        Self { connection, events: Vec::new(), keys: Vec::new(), decoder: hpack::Decoder::new(4096), dead: false }
    }

    /// After the client's preface and empty SETTINGS.
    fn new(limits: &Limits) -> Self {
        let mut peer = Self::silent(limits);
        peer.feed(PREFACE);
        peer.feed(&settings(&[]));
        assert_eq!(peer.output(), ["SETTINGS ACK"]);
        peer
    }

    /// Everything at once.
    fn feed(&mut self, input: &[u8]) {
        let mut at = 0;
        loop {
            match self.connection.next(input, &mut at) {
                Ok(Some(event)) => self.note(&event, input),
                Ok(None) => {
                    assert_eq!(at, input.len(), "all of the input is used");
                    break;
                }
                Err(fatal) => {
                    if !std::mem::replace(&mut self.dead, true) {
                        let flood = fatal.flood.map_or_else(String::new, |flood| format!(" {flood:?}"));
                        self.events.push(format!("fatal {}{flood}", fatal.code.name()));
                    }
                    break;
                }
            }
        }
    }

    fn note(&mut self, event: &Event, input: &[u8]) {
        let ended = |end: &bool| if *end { " end" } else { "" };
        let text = match event {
            Event::Request { stream, end } => {
                self.keys.push(*stream);
                let view = self.connection.request();
                format!("request {} {} {}{}", stream.id, text(view.method()), text(view.target()), ended(end))
            }
            Event::Refused { stream, status, end } => {
                self.keys.push(*stream);
                format!("refused {} {status}{}", stream.id, ended(end))
            }
            Event::Data { stream, range, end } => {
                let content = text(&input[range.clone()]).to_owned();
                assert!(!range.is_empty() || *end);
                // How content was cut on its way is of no interest.
                let open = format!("data {} ", stream.id);
                if let Some(last) =
                    self.events.last_mut().filter(|last| last.starts_with(&open) && !last.ends_with(" end"))
                {
                    last.push_str(&content);
                    last.push_str(ended(end));
                    return;
                }
                format!("{open}{content}{}", ended(end))
            }
            Event::Trailers { stream } => {
                let (bytes, fields) = self.connection.trailers();
                let mut line = format!("trailers {}", stream.id);
                for field in fields {
                    line += &format!(" {}={}", text(field.name.of(bytes)), text(field.value.of(bytes)));
                }
                line
            }
            Event::Reset { stream, code, by_client } => {
                format!("reset {} {}{}", stream.id, code.name(), if *by_client { " by client" } else { "" })
            }
            Event::GoAway { code } => format!("goaway {}", code.name()),
        };
        self.events.push(text);
    }

    fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// The frames that wait, in words.
    fn output(&mut self) -> Vec<String> {
        let bytes = std::mem::take(self.connection.output());
        self.words(&bytes)
    }

    fn words(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut words = Vec::new();
        while !bytes.is_empty() {
            let header = FrameHeader::read(bytes.first_chunk::<HEADER_LEN>().expect("a whole frame header"));
            let (payload, rest) = bytes[HEADER_LEN..].split_at(header.len as usize);
            bytes = rest;
            words.push(self.word(header, payload));
        }
        words
    }

    fn word(&mut self, header: FrameHeader, payload: &[u8]) -> String {
        let stream = header.stream;
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        let end = if header.has(flag::END_STREAM) { " end" } else { "" };
        match header.kind {
            Kind::Settings if header.has(flag::ACK) => "SETTINGS ACK".into(),
            Kind::Settings => {
                let mut word = "SETTINGS".to_owned();
                for setting in payload.chunks_exact(6) {
                    let value = u32::from_be_bytes(setting[2..].try_into().expect("four bytes"));
                    word += &format!(" {}={value}", setting[1]);
                }
                word
            }
            Kind::Ping => format!("PING{} {}", if header.has(flag::ACK) { " ACK" } else { "" }, text(payload)),
            Kind::GoAway => format!("GOAWAY {} {}", number(0), ErrorCode(number(4)).name()),
            Kind::RstStream => format!("RST_STREAM {stream} {}", ErrorCode(number(0)).name()),
            Kind::WindowUpdate => format!("WINDOW_UPDATE {stream} {}", number(0)),
            Kind::Data if payload.len() > 20 => format!("DATA {stream} {} bytes{end}", payload.len()),
            Kind::Data => format!("DATA {stream} {}{end}", text(payload)),
            Kind::Headers => {
                let mut word = format!("HEADERS {stream}");
                if header.has(flag::END_HEADERS) {
                    let decoded = self.decoder.decode(payload, &mut |line| {
                        word += &format!(" {}={}", text(line.name), text(line.value));
                    });
                    assert_eq!(decoded, Ok(()));
                } else {
                    word += &format!(" {} bytes", payload.len());
                }
                word + end
            }
            Kind::Continuation => {
                let ends = if header.has(flag::END_HEADERS) { " END_HEADERS" } else { "" };
                format!("CONTINUATION {stream} {} bytes{ends}", payload.len())
            }
            other => format!("{other:?} {stream}"),
        }
    }

    /// The key of a stream that was opened.
    fn key(&self, id: u32) -> StreamKey {
        *self.keys.iter().rev().find(|key| key.id == id).expect("the stream was opened")
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("tests send text")
}

/// What comes of `input` behind preface and SETTINGS, however it is cut: events and frames.
#[track_caller]
fn expect_with(limits: &Limits, input: &[u8], events: &[&str], output: &[&str]) {
    let mut peer = Peer::new(limits);
    peer.feed(input);
    assert_eq!(peer.events(), events, "events");
    assert_eq!(peer.output(), output, "output");
    let cuts: Vec<usize> = if input.len() < 2000 { (1..input.len()).collect() } else { vec![1, 9, input.len() / 2] };
    for cut in cuts {
        let mut peer = Peer::new(limits);
        peer.feed(&input[..cut]);
        peer.feed(&input[cut..]);
        assert_eq!(peer.events(), events, "events, cut at {cut}");
        assert_eq!(peer.output(), output, "output, cut at {cut}");
    }
    let mut peer = Peer::new(limits);
    for byte in input {
        peer.feed(std::slice::from_ref(byte));
    }
    assert_eq!(peer.events(), events, "events, byte by byte");
    assert_eq!(peer.output(), output, "output, byte by byte");
}

#[track_caller]
fn expect(input: &[u8], events: &[&str], output: &[&str]) {
    expect_with(&Limits::default(), input, events, output);
}

/// The connection ends with this code, after these events; the last stream is the one GOAWAY names.
#[track_caller]
fn expect_end(input: &[u8], events: &[&str], last: u32, code: &str) {
    let fatal = format!("fatal {code}");
    let mut all = events.to_vec();
    all.push(&fatal);
    expect(input, &all, &[&format!("GOAWAY {last} {code}")]);
}

/// The stream 1 is reset with this code before the user hears of it.
#[track_caller]
fn expect_turned_away(input: &[u8], code: &str) {
    expect(input, &[], &[&format!("RST_STREAM 1 {code}")]);
}

#[test]
fn constants_are_those_of_the_rfc() {
    assert_eq!(frame::MOST, 0x7fff_ffff);
    assert_eq!(&PREFACE[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

#[test]
fn every_requirement_names_tests_that_are_there() {
    let sources = [
        include_str!("answers.rs"),
        include_str!("connection.rs"),
        include_str!("content.rs"),
        include_str!("floods.rs"),
        include_str!("heads.rs"),
        include_str!("priorities.rs"),
        include_str!("properties.rs"),
        include_str!("streams.rs"),
        include_str!("../hpack.rs"),
        include_str!("../../../src/h2/dictionary.rs"),
        include_str!("../../../src/h2/hpack/huffman.rs"),
        include_str!("../../../src/h2/hpack/integer.rs"),
        include_str!("../../../src/h2/priority.rs"),
        include_str!("../../../src/h2/settings.rs"),
    ];
    let mut named = 0;
    for line in
        include_str!("REQUIREMENTS.md").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| §"))
    {
        let tests = line.rsplit('|').nth(1).expect("a table has cells");
        for test in tests.split('`').skip(1).step_by(2) {
            let head = format!("fn {test}(");
            assert!(sources.iter().any(|source| source.contains(&head)), "{test}");
            named += 1;
        }
    }
    assert!(named > 80, "{named} tests are named");
}
