//! Chunked bodies: each line is bytes and what they come to; and every splitting comes to the same.

use anygate_proto::h1::chunked::{CHUNK_END, Decoder, LAST_CHUNK, SIZE_LINE, Step, last_chunk, size_line};
use anygate_proto::h1::sink::Copied;
use proptest::prelude::*;

/// What a body came to: its data, its trailer lines, and how many bytes belonged to it.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Body {
    Ended(Vec<u8>, String, usize),
    Unfinished(Vec<u8>),
    Refused,
}

/// Feeds the decoder pieces that end at `cuts`.
fn decode(raw: &[u8], cuts: &[usize]) -> Body {
    let mut decoder = Decoder::new();
    let (mut data, mut at) = (Vec::new(), 0);
    for &cut in cuts.iter().chain(&[raw.len()]) {
        while at < cut {
            match decoder.decode(&raw[at..cut]) {
                Err(reject) => {
                    assert_eq!((reject.status, reject.close), (400, true));
                    return Body::Refused;
                }
                Ok(Step::Data(range)) => {
                    assert!(!range.is_empty());
                    data.extend_from_slice(&raw[at..cut][range.clone()]);
                    at += range.end;
                }
                Ok(Step::NeedMore) => at = cut,
                Ok(Step::End(consumed)) => {
                    assert!(decoder.is_done());
                    let (bytes, fields) = decoder.trailers();
                    let text = |span: anygate_proto::Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
                    let lines = fields.iter().map(|field| format!("{}={};", text(field.name), text(field.value)));
                    return Body::Ended(data, lines.collect(), at + consumed);
                }
            }
        }
    }
    Body::Unfinished(data)
}

#[test]
fn bodies_are_read_or_refused() {
    let ended = |data: &str, trailers: &str, length| Body::Ended(data.into(), trailers.into(), length);
    let long = |count: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(count));
    let (short_extension, long_extension) = (long(1023), long(1024));
    let many_extensions = format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(999)).repeat(17));
    let trailers = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    let (most_trailers, more_trailers) = (trailers(64), trailers(65));
    let large_trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(9000));
    let cases = [
        ("0\r\n\r\n", ended("", "", 5)),
        ("0\r\n\r\nGET", ended("", "", 5)),
        ("3\r\nabc\r\n0\r\n\r\n", ended("abc", "", 13)),
        ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nX", ended("abcde", "", 20)),
        ("A\r\n0123456789\r\n000\r\n\r\n", ended("0123456789", "", 22)),
        ("a\r\n0123456789\r\n0\r\n\r\n", ended("0123456789", "", 20)),
        ("3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", ended("abc", "", 27)),
        ("3 ; a\r\nabc\r\n0\r\n\r\n", ended("abc", "", 17)),
        ("3;\r\nabc\r\n0\r\n\r\n", ended("abc", "", 14)),
        ("3\r\n\r\n\n\r\n0\r\n\r\n", ended("\r\n\n", "", 13)),
        ("0\r\nA: b\r\nC:d\r\n\r\n", ended("", "A=b;C=d;", 16)),
        ("0000000000000003\r\nabc\r\n0\r\n\r\n", ended("abc", "", 28)),
        (&short_extension, ended("a", "", 1023 + 12)),
        ("ffffffffffffffff\r\nabc", Body::Unfinished("abc".into())),
        ("3\r\nab", Body::Unfinished("ab".into())),
        ("0\r\nA: b\r\n", Body::Unfinished(vec![])),
        ("", Body::Unfinished(vec![])),
        ("00000000000000003\r\nabc\r\n0\r\n\r\n", Body::Refused),
        ("10000000000000000\r\nabc", Body::Refused),
        (&long_extension, Body::Refused),
        (&many_extensions, Body::Refused),
        (&more_trailers, Body::Refused),
        (&large_trailer, Body::Refused),
        ("\r\n", Body::Refused),
        ("x\r\n", Body::Refused),
        (";a\r\n", Body::Refused),
        ("-1\r\n", Body::Refused),
        ("+1\r\na\r\n0\r\n\r\n", Body::Refused),
        ("0x1\r\na\r\n0\r\n\r\n", Body::Refused),
        (" 1\r\na\r\n0\r\n\r\n", Body::Refused),
        ("1 \r\na\r\n0\r\n\r\n", Body::Refused),
        ("1 x\r\na\r\n0\r\n\r\n", Body::Refused),
        ("1\na\r\n0\r\n\r\n", Body::Refused),
        ("1\ra\r\n0\r\n\r\n", Body::Refused),
        ("1\r\ra\r\n0\r\n\r\n", Body::Refused),
        ("1\0\r\na\r\n0\r\n\r\n", Body::Refused),
        ("1;a\nb\r\na\r\n0\r\n\r\n", Body::Refused),
        ("1;a\rb\r\na\r\n0\r\n\r\n", Body::Refused),
        ("1;a\0b\r\na\r\n0\r\n\r\n", Body::Refused),
        ("1\r\nab\r\n0\r\n\r\n", Body::Refused),
        ("1\r\na\n0\r\n\r\n", Body::Refused),
        ("1\r\na\rb0\r\n\r\n", Body::Refused),
        ("1\r\na0\r\n\r\n", Body::Refused),
        ("0\r\nA: b\n\r\n", Body::Refused),
        ("0\r\n\n", Body::Refused),
        ("0\r\nA: b\r\n\n", Body::Refused),
        ("0\r\nA: b\r\n c\r\n\r\n", Body::Refused),
        ("0\r\nA : b\r\n\r\n", Body::Refused),
        ("0\r\nA: b\rc\r\n\r\n", Body::Refused),
        ("0\r\nA: \0\r\n\r\n", Body::Refused),
        ("0\r\nA\r\n\r\n", Body::Refused),
        ("0\r\n: b\r\n\r\n", Body::Refused),
    ];
    for (raw, expected) in cases {
        assert_eq!(decode(raw.as_bytes(), &[]), expected, "{}", raw.escape_debug());
        let everywhere: Vec<usize> = (1..raw.len()).collect();
        assert_eq!(decode(raw.as_bytes(), &everywhere), expected, "bytewise {}", raw.escape_debug());
    }
    assert!(matches!(decode(most_trailers.as_bytes(), &[]), Body::Ended(..)));
}

#[test]
fn what_is_moved_past_the_decoder_counts() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.in_chunk(), 0);
    decoder.skip(5);
    assert_eq!(decoder.decode(b"10\r\n").ok(), Some(Step::NeedMore));
    assert_eq!(decoder.in_chunk(), 16);
    decoder.skip(10);
    assert_eq!((decoder.in_chunk(), decoder.decode(b"ab").ok()), (6, Some(Step::Data(0..2))));
    decoder.skip(99);
    assert_eq!(decoder.in_chunk(), 0);
    assert_eq!(decoder.decode(b"\r\n0\r\n\r\nX").ok(), Some(Step::End(7)));
    assert_eq!(decoder.decode(b"X").ok(), Some(Step::End(0)));
    assert_eq!(decoder.decode(b"").ok(), Some(Step::End(0)));
}

#[test]
fn trailers_that_frame_route_or_authenticate_are_not_relayed() {
    let mut decoder = Decoder::new();
    let raw = b"0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\nAuthorization: x\r\nTransfer-Encoding: chunked\r\n\
        X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Any: y\r\nContent_Length: 7\r\nSet-Cookie: a=b\r\nServer-Timing: z\r\n\r\n";
    assert_eq!(decoder.decode(raw).ok(), Some(Step::End(raw.len())));
    let (bytes, fields) = decoder.trailers();
    let mut out = Vec::new();
    last_chunk(bytes, fields, &mut Copied::new(b"", &mut out));
    assert_eq!(out, b"0\r\nX-Sum: 1\r\nServer-Timing: z\r\n\r\n");
}

#[test]
fn a_size_line_is_lower_case_hexadecimal() {
    let mut buffer = [0; SIZE_LINE];
    for (length, expected) in [(1, "1\r\n"), (255, "ff\r\n"), (4096, "1000\r\n"), (u64::MAX, "ffffffffffffffff\r\n")] {
        assert_eq!(size_line(length, &mut buffer), expected.as_bytes());
    }
}

/// The grammar of RFC 9112 §7.1 written down without thought of pieces or speed.
fn naive(raw: &[u8]) -> Body {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let Some(end) = raw[at..].iter().position(|&b| b == b'\n') else { return Body::Unfinished(data) };
        let line = &raw[at..at + end];
        let Some(line) = line.strip_suffix(b"\r") else { return Body::Refused };
        let size = line.split(|&b| b == b';').next().unwrap_or_default();
        let Ok(size) = std::str::from_utf8(size) else { return Body::Refused };
        let blanks = if line.contains(&b';') { size.trim_end_matches([' ', '\t']) } else { size };
        if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') || blanks.starts_with('+') {
            return Body::Refused;
        }
        let Ok(size) = usize::from_str_radix(blanks, 16) else { return Body::Refused };
        at += end + 1;
        if size == 0 {
            let Some(end) = raw[at..].windows(2).position(|pair| pair == b"\r\n") else {
                return Body::Unfinished(data);
            };
            return if end == 0 { Body::Ended(data, String::new(), at + 2) } else { Body::Refused };
        }
        let taken = size.min(raw.len() - at);
        data.extend_from_slice(&raw[at..at + taken]);
        at += taken;
        match &raw[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Body::Unfinished(data),
            _ => return Body::Refused,
        }
    }
}

fn cuts(length: usize, picks: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = picks.iter().map(|pick| pick.index(length + 1)).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_under_any_splitting(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        rest in prop::collection::vec(any::<u8>(), 0..8),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut raw = Vec::new();
        let mut buffer = [0; SIZE_LINE];
        for chunk in &chunks {
            raw.extend_from_slice(size_line(chunk.len() as u64, &mut buffer));
            raw.extend_from_slice(chunk);
            raw.extend_from_slice(CHUNK_END);
        }
        raw.extend_from_slice(LAST_CHUNK);
        let length = raw.len();
        raw.extend_from_slice(&rest);
        prop_assert_eq!(decode(&raw, &cuts(raw.len(), &picks)), Body::Ended(chunks.concat(), String::new(), length));
    }

    #[test]
    fn arbitrary_bytes_come_to_what_a_naive_reader_finds(
        raw in "(1\r\n.|2;x\r\n..|3\r\n[a-c]{3}|\r\n|0\r\n|0\r\n\r\n|[0-9a-f]|\n|\r|;|[ \t]|\0|\u{e9}|g){0,12}",
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let expected = naive(raw.as_bytes());
        let found = decode(raw.as_bytes(), &cuts(raw.len(), &picks));
        match (&expected, &found) {
            // Where the naive reader waits for a line's end, ours may refuse at once.
            (Body::Unfinished(_), Body::Refused) => {}
            // Trailers are checked case by case.
            (Body::Refused, Body::Unfinished(_)) => prop_assert!(raw.contains("0\r\n")),
            (Body::Refused, Body::Ended(_, trailers, _)) => prop_assert!(!trailers.is_empty()),
            _ => prop_assert_eq!(expected, found),
        }
    }

    #[test]
    fn every_splitting_of_anything_comes_to_the_same(
        raw in "(3\r\nabc\r\n|0\r\n|A: b\r\n|[0-9a-f]|\r\n|\r|\n|;x|:| ){0,10}",
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        prop_assert_eq!(decode(raw.as_bytes(), &[]), decode(raw.as_bytes(), &cuts(raw.len(), &picks)));
    }
}
