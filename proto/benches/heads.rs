//! How long the hot path takes: heads parsed, answers written. `cargo bench -p anygate-proto`

use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::write::{Answer, Image, Persistence};
use anygate_proto::{BodyLength, Fields, Limits, Parsed, date};
use std::hint::black_box;
use std::time::Instant;

const TINY: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const CURL: &[u8] =
    b"GET /fastest/ever/ok HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /assets/index-4f2a9c.js?v=12 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://www.example.com/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=4b1c0ed8a9f7426d8f3f2b1f0a7a6c55; theme=dark\r\n\r\n";

/// The best of several rounds, in nanoseconds a call: what the code costs when nothing else runs.
fn best(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 200_000;
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

fn main() {
    let limits = Limits::default();
    let mut fields = Fields::with_capacity(32);
    for (name, head) in [("tiny", TINY), ("curl", CURL), ("browser", BROWSER)] {
        let ns = best(|| {
            let parsed = parse_request(black_box(head), &limits, &mut fields);
            assert!(matches!(black_box(parsed), Ok(Parsed::Complete(_))));
        });
        println!("parse {name:8} {:4} B {:2} fields {ns:7.1} ns", head.len(), fields.len());
    }
    let answer = Answer {
        status: 200,
        server: "",
        fields: &[("Content-Type", b"text/plain; charset=utf-8"), ("X-Content-Type-Options", b"nosniff")],
        body: BodyLength::None,
        persistence: Persistence::Implied,
    };
    let image = Image::compile(&answer, b"OK").expect("the fields are valid");
    let (date, mut out) = (date::format(1_700_000_000), Vec::with_capacity(4096));
    let ns = best(|| {
        out.clear();
        image.write(false, Persistence::Implied, black_box(&date), &mut out);
        black_box(&out);
    });
    println!("image {:4} B {ns:7.1} ns", out.len());
    let mut date = [0; date::LEN];
    let ns = best(|| date::write(black_box(1_700_000_000), black_box(&mut date)));
    println!("date  {ns:7.1} ns");
}
