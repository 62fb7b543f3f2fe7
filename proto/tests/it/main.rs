//! What the wire's bytes come to, case by case, and properties that hold for all of them.

mod acme;
mod chunked;
mod dates;
mod forward;
mod forwarding_oracle;
mod h2;
mod hpack;
mod hpack_properties;
mod negotiation;
mod properties;
mod ranges;
mod request;
mod response;
mod tls;
mod write;

use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::{Fields, Head, Limits, Parsed, ResponseHead};
use proptest::prelude::*;

/// Messages near the valid ones `bases` holds: a few pieces, good and bad, put in anywhere, and a few bytes taken out.
fn near(bases: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        ":",
        " ",
        "\t",
        "\0",
        "\u{e9}",
        "\u{7f}",
        "%",
        "#",
        "?",
        "*",
        "/",
        "//",
        "a",
        "0",
        ",",
        ";",
        "\"",
        "_",
        "http://",
        "https://b",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/1.3\r\n",
        "HTTP/2.0",
        "Host: b\r\n",
        "X: y\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Connection: close, x\r\n",
        "Connection: upgrade\r\nUpgrade: a\r\n",
        "Expect: 100-continue\r\n",
        "CONNECT ",
        "OPTIONS ",
        "[::1]",
        ":80",
        "\r\n\r\n",
    ];
    let piece = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
    let put = (any::<prop::sample::Index>(), prop_oneof![4 => piece, 1 => prop::collection::vec(any::<u8>(), 1..3)]);
    let cut = (any::<prop::sample::Index>(), 0..4usize);
    (prop::sample::select(bases), prop::collection::vec(cut, 0..2), prop::collection::vec(put, 0..4)).prop_map(
        |(base, cuts, puts)| {
            let mut raw = base.as_bytes().to_vec();
            for (at, count) in cuts {
                let start = at.index(raw.len());
                raw.drain(start..(start + count).min(raw.len()));
            }
            for (at, piece) in puts {
                let at = at.index(raw.len() + 1);
                raw.splice(at..at, piece);
            }
            raw
        },
    )
}

/// A request head that must be valid, owned.
fn request(raw: &[u8]) -> Head<Vec<u8>> {
    let mut fields = Fields::new();
    match parse_request(raw, &Limits::default(), &mut fields) {
        Ok(Parsed::Complete(request)) => request.into_head(raw.to_vec(), fields),
        other => panic!("{} is {other:?}", raw.escape_ascii()),
    }
}

/// `GET / HTTP/1.1` for host `a` with these further lines, each with its line end.
fn get_with(lines: &str) -> Head<Vec<u8>> {
    request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

/// A response head that must be valid, owned.
fn response(raw: &[u8]) -> ResponseHead<Vec<u8>> {
    let mut fields = Fields::new();
    match parse_response(raw, &Limits::default(), &mut fields, Asked::Other) {
        Ok(Parsed::Complete(response)) => response.into_head(raw.to_vec(), fields),
        other => panic!("{} is {other:?}", raw.escape_ascii()),
    }
}
