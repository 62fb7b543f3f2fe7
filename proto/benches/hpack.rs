//! How long HPACK takes: requests decoded, first and again; answers encoded; a compiled block copied.
//! `cargo bench -p anygate-proto --bench hpack`

use anygate_proto::date;
use anygate_proto::h2::hpack::{Block, Decoder, Encoder, Indexing};
use std::hint::black_box;
use std::time::Instant;

type Field = (&'static [u8], &'static [u8]);

const H2LOAD: &[Field] = &[
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"127.0.0.1:8443"),
    (b":path", b"/fastest/ever/ok"),
    (b"user-agent", b"h2load nghttp2/1.64.0"),
];

const BROWSER: &[Field] = &[
    (b":method", b"GET"),
    (b":authority", b"www.example.com"),
    (b":scheme", b"https"),
    (b":path", b"/assets/index-4f2a9c.js?v=12"),
    (b"sec-ch-ua", b"\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b"\"Linux\""),
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-dest", b"document"),
    (b"referer", b"https://www.example.com/"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9,de;q=0.8"),
    (b"cookie", b"session=4b1c0ed8a9f7426d8f3f2b1f0a7a6c55; theme=dark"),
    (b"priority", b"u=0, i"),
];

const ANSWER: &[Field] = &[
    (b"Server", b"nginx"),
    (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Content-Length", b"10240"),
    (b"Last-Modified", b"Sat, 05 Nov 1994 08:49:37 GMT"),
    (b"ETag", b"\"654753a1-2800\""),
    (b"Cache-Control", b"public, max-age=3600"),
    (b"Vary", b"Accept-Encoding"),
    (b"X-Frame-Options", b"DENY"),
];

/// The best of several rounds, in nanoseconds a call: what the code costs when nothing else runs.
fn best(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 50_000;
    (0..12)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

fn encode(encoder: &mut Encoder, fields: &[Field], how: Indexing, block: &mut Vec<u8>) {
    block.clear();
    encoder.begin(block);
    for (name, value) in fields {
        encoder.encode(name, value, how, block);
    }
}

/// Decodes as the codec does: what is found is copied behind each other.
fn decode(decoder: &mut Decoder, block: &[u8], kept: &mut Vec<u8>) {
    kept.clear();
    let decoded = decoder.decode(block, &mut |line| {
        kept.extend_from_slice(line.name);
        kept.extend_from_slice(line.value);
    });
    assert!(decoded.is_ok());
}

fn main() {
    let (mut block, mut kept) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    for (name, fields) in [("h2load", H2LOAD), ("browser", BROWSER)] {
        let mut encoder = Encoder::new(4096);
        let mut decoder = Decoder::new(4096);
        encode(&mut encoder, fields, Indexing::No, &mut block);
        let ns = best(|| decode(&mut decoder, black_box(&block), &mut kept));
        println!("decode {name:8} literals {:4} B to {:4} B {ns:7.1} ns", block.len(), kept.len());
        for _ in 0..3 {
            encode(&mut encoder, fields, Indexing::Auto, &mut block);
            decode(&mut decoder, &block, &mut kept);
        }
        let ns = best(|| decode(&mut decoder, black_box(&block), &mut kept));
        println!("decode {name:8} indexed  {:4} B to {:4} B {ns:7.1} ns", block.len(), kept.len());
    }
    for (name, how) in [("auto", Indexing::Auto), ("literals", Indexing::No)] {
        let mut encoder = Encoder::new(4096);
        let ns = best(|| {
            block.clear();
            encoder.begin(&mut block);
            encoder.status(200, &mut block);
            for (name, value) in black_box(ANSWER) {
                encoder.encode(name, value, how, &mut block);
            }
            black_box(&block);
        });
        println!("encode answer {name:8} {:4} B {ns:7.1} ns", block.len());
    }
    let fields = [(&b"content-type"[..], &b"text/plain; charset=utf-8"[..]), (b"content-length", b"2")];
    let compiled = Block::compile(200, fields, true).expect("the fields are valid");
    let date = date::format(1_700_000_000);
    let ns = best(|| {
        block.clear();
        compiled.write(black_box(&date), &mut block);
        black_box(&block);
    });
    println!("block {:4} B {ns:7.1} ns", block.len());
}
