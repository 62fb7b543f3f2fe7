//! How long the codec takes for a request of HTTP/2, from its bytes to its answer's: 32 streams at once, as a load
//! generator has them; with a field that changes; with content both ways. `cargo bench -p anygate-proto --bench h2`

use anygate_proto::h2::frame::{Kind, flag, put_header};
use anygate_proto::h2::{Connection, Event, Limits, PREFACE, StreamKey, hpack};
use std::hint::black_box;
use std::time::Instant;

const STREAMS: u32 = 32;

/// What a request is made of.
type Write = fn(&mut hpack::Encoder, u32, &mut Vec<u8>);

fn field(encoder: &mut hpack::Encoder, name: &[u8], value: &[u8], block: &mut Vec<u8>) {
    encoder.encode(name, value, hpack::Indexing::Auto, block);
}

/// As h2load sends it: all but `:path` from tables.
fn same(encoder: &mut hpack::Encoder, _: u32, block: &mut Vec<u8>) {
    field(encoder, b":method", b"GET", block);
    field(encoder, b":scheme", b"https", block);
    field(encoder, b":authority", b"127.0.0.1:8443", block);
    field(encoder, b":path", b"/fastest/ever/ok", block);
    field(encoder, b"user-agent", b"h2load nghttp2/1.64.0", block);
}

/// The same, but that every request has another path.
fn other(encoder: &mut hpack::Encoder, id: u32, block: &mut Vec<u8>) {
    field(encoder, b":method", b"GET", block);
    field(encoder, b":scheme", b"https", block);
    field(encoder, b":authority", b"127.0.0.1:8443", block);
    let path = [b'/', b'a' + (id / 2 % 26) as u8, b'a' + (id / 52 % 26) as u8];
    encoder.encode(b":path", &path, hpack::Indexing::No, block);
    field(encoder, b"user-agent", b"h2load nghttp2/1.64.0", block);
}

/// The identifier of every stream goes up; the bytes are otherwise those of one round, again and again.
struct Client {
    encoder: hpack::Encoder,
    block: Vec<u8>,
    next: u32,
}

impl Client {
    fn round(&mut self, write: Write, content: usize) -> Vec<u8> {
        let mut input = Vec::new();
        for _ in 0..STREAMS {
            self.block.clear();
            self.encoder.begin(&mut self.block);
            write(&mut self.encoder, self.next, &mut self.block);
            let end = if content == 0 { flag::END_STREAM } else { 0 };
            put_header(&mut input, self.block.len(), Kind::Headers, flag::END_HEADERS | end, self.next);
            input.extend_from_slice(&self.block);
            if content > 0 {
                put_header(&mut input, content, Kind::Data, flag::END_STREAM, self.next);
                input.resize(input.len() + content, b'x');
            }
            self.next += 2;
        }
        input
    }
}

/// Runs rounds of requests through a connection, and returns the best time a request had, in nanoseconds.
fn best(write: Write, content: usize, mut answer: impl FnMut(&mut Connection, StreamKey)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..120 {
        let mut connection = Connection::new(&Limits::default());
        let mut client = Client { encoder: hpack::Encoder::new(4096), block: Vec::new(), next: 1 };
        let mut hello = PREFACE.to_vec();
        put_header(&mut hello, 6, Kind::Settings, 0, 0);
        hello.extend([0, 4, 0x3f, 0xff, 0xff, 0xff]);
        put_header(&mut hello, 4, Kind::WindowUpdate, 0, 0);
        hello.extend(0x3fff_ffffu32.to_be_bytes());
        let mut at = 0;
        assert!(matches!(connection.next(&hello, &mut at), Ok(None)));
        let rounds: Vec<Vec<u8>> = (0..200).map(|_| client.round(write, content)).collect();
        let start = Instant::now();
        for input in &rounds {
            let mut at = 0;
            while let Ok(Some(event)) = connection.next(black_box(input), &mut at) {
                match event {
                    Event::Request { stream, end: true } => answer(&mut connection, stream),
                    Event::Data { stream, range, end } => {
                        connection.consumed(stream, range.len());
                        if end {
                            answer(&mut connection, stream);
                        }
                    }
                    _ => {}
                }
            }
            black_box(connection.output()).clear();
        }
        let ns = start.elapsed().as_nanos() as f64 / (rounds.len() as f64 * f64::from(STREAMS));
        assert_eq!((connection.last_stream(), connection.open_streams()), (client.next - 2, 0));
        best = best.min(ns);
    }
    best
}

fn main() {
    let mut head = Vec::new();
    let mut encoder = hpack::Encoder::new(0);
    encoder.status(200, &mut head);
    for (name, value) in [
        (&b"date"[..], &b"Sun, 06 Nov 1994 08:49:37 GMT"[..]),
        (b"content-type", b"text/plain"),
        (b"content-length", b"2"),
    ] {
        encoder.encode(name, value, hpack::Indexing::No, &mut head);
    }
    let whole = |connection: &mut Connection, stream| {
        assert!(black_box(connection.request()).request.is_get);
        assert!(connection.answer(stream, &head, b"ok"));
    };
    println!("same request, whole answer      {:7.1} ns", best(same, 0, whole));
    println!("another path, whole answer      {:7.1} ns", best(other, 0, whole));
    let in_turn = |connection: &mut Connection, stream| {
        assert!(connection.respond(stream, &head, false));
        connection.wants(stream);
        while let Some((key, allowed)) = connection.turn() {
            assert!(allowed >= 2 && connection.data(key, 2, true));
            connection.output().extend_from_slice(b"ok");
        }
    };
    println!("same request, answer by turns   {:7.1} ns", best(same, 0, in_turn));
    println!("100 bytes of content, the same  {:7.1} ns", best(same, 100, in_turn));
}
