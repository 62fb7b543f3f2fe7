//! Does what a server behind answers reach a client as one response that nobody can read in two ways?
//!
//! An input is a byte of flags, a byte that says where the head is cut in two, and the head.

use anygate_proto::h1::forward::{Edits, ForwardBack, forward_response};
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::h1::sink::Copied;
use anygate_proto::h1::write::Persistence;
use anygate_proto::{BodyLength, Fields, Known, Limits, Parsed, Reject, Response, ResponseView, Version, websocket};

use crate::naive::{self, NaiveBody};
use crate::{Numbers, shown};

/// Limits that inputs of a few dozen bytes reach.
const SMALL: Limits = Limits { max_uri: 24, max_header_size: 160, max_headers: 5 };

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, cut) = (numbers.next(), numbers.next());
    let bytes = numbers.rest();
    let limits = if flags & 1 == 0 { Limits::default() } else { SMALL };
    let asked = [Asked::Other, Asked::Other, Asked::Head, Asked::Connect][usize::from(flags >> 1 & 3)];
    let mut fields = Fields::new();
    let parsed = parse_response(bytes, &limits, &mut fields, asked);
    if let Err(reject) = &parsed {
        assert_eq!(reject.status, 502);
    }
    in_pieces(bytes, usize::from(cut), (&limits, asked), &parsed, &fields);
    let Ok(Parsed::Complete(response)) = parsed else { return };
    let view = response.view(bytes, &fields);
    is_what_a_naive_reader_sees(&view, asked);
    survives_being_written_again(&view, asked);
    let _ = websocket::accepted(view);
    forwarded_clean(&view, asked, flags);
}

/// A head that comes in two pieces is the same head.
fn in_pieces(
    bytes: &[u8],
    cut: usize,
    (limits, asked): (&Limits, Asked),
    whole: &Result<Parsed<Response>, Reject>,
    fields: &Fields,
) {
    if bytes.is_empty() {
        return;
    }
    let cut = cut % bytes.len();
    let mut first = Fields::new();
    match parse_response(&bytes[..cut], limits, &mut first, asked) {
        Ok(Parsed::Partial) => {}
        Ok(Parsed::Complete(early)) => {
            assert_eq!(whole, &Ok(Parsed::Complete(early)), "more bytes change a head that was whole");
            assert!(first.iter().eq(fields.iter()), "more bytes change the fields of a head that was whole");
        }
        Err(_) => assert!(whole.is_err(), "{} is refused, and taken with more", shown(&bytes[..cut])),
    }
    if let Ok(Parsed::Complete(response)) = whole {
        let exact = parse_response(&bytes[..response.head_len as usize], limits, &mut first, asked);
        assert_eq!(exact, Ok(Parsed::Complete(*response)), "what follows a head changes it");
    }
}

/// Blanks before a colon are all that we take and a strict reader does not (RFC 9112 §5.1).
fn without_blanks_before_colons(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        match line.iter().position(|&b| b == b':') {
            Some(colon) if at > 0 => {
                out.extend_from_slice(naive::trim(&line[..colon]));
                out.extend_from_slice(&line[colon..]);
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

fn is_what_a_naive_reader_sees(view: &ResponseView<'_>, asked: Asked) {
    let response = view.response;
    let bytes = &view.bytes[..response.head_len as usize];
    assert!(!bytes.windows(3).any(|three| three == b"\n \t" || three == b"\n  "), "folded: {}", shown(bytes));
    let plain = without_blanks_before_colons(bytes);
    let head = naive::head(&plain).unwrap_or_else(|why| panic!("{why}: {}", shown(bytes)));
    let head = head.unwrap_or_else(|| panic!("no end: {}", shown(bytes)));
    assert_eq!(head.length, plain.len(), "{}", shown(bytes));
    assert_eq!(&head.first[9..12], response.status.to_string().as_bytes(), "{}", shown(bytes));
    assert_eq!(view.reason(), head.first.get(13..).unwrap_or_default(), "{}", shown(bytes));
    let ours = view.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
    assert!(ours.eq(head.fields.iter().cloned()), "{} != {:?}", shown(bytes), head.fields);
    let status = response.status;
    if status < 200 || status == 204 || asked == Asked::Connect && status < 300 {
        assert_eq!(response.body, BodyLength::None, "{}", shown(bytes));
        return;
    }
    let framing = head.body().unwrap_or_else(|why| panic!("{why}: {}", shown(bytes)));
    if status == 304 || asked == Asked::Head {
        assert_eq!(response.body, BodyLength::None, "{}", shown(bytes));
        return;
    }
    assert!(same(response.body, framing), "{:?} {framing:?} {}", response.body, shown(bytes));
    assert!(framing != NaiveBody::None || !response.keep_alive, "kept without an end: {}", shown(bytes));
}

fn same(ours: BodyLength, naive: NaiveBody) -> bool {
    match (ours, naive) {
        (BodyLength::UntilClose, NaiveBody::None) | (BodyLength::Chunked, NaiveBody::Chunked) => true,
        (BodyLength::Length(one), NaiveBody::Length(other)) => one == other,
        _ => false,
    }
}

/// Written anew from its parts, a head reads the same.
fn survives_being_written_again(view: &ResponseView<'_>, asked: Asked) {
    let version = if view.response.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let first = format!("{version} {} ", view.status());
    let mut written = [first.as_bytes(), view.reason(), b"\r\n"].concat();
    for (name, value) in view.fields() {
        written.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    written.extend_from_slice(b"\r\n");
    let mut fields = Fields::new();
    let again = read(&written, asked, &mut fields);
    let back = again.view(&written, &fields);
    assert!(back.fields().eq(view.fields()) && back.reason() == view.reason(), "{}", shown(&written));
    let facts = |one: &Response| (one.status, one.body, one.content_length, one.version, one.keep_alive, one.upgrade);
    assert_eq!(facts(back.response), facts(view.response), "{}", shown(&written));
}

fn read(bytes: &[u8], asked: Asked, fields: &mut Fields) -> Response {
    let limits = Limits { max_uri: 1 << 20, max_header_size: 1 << 21, max_headers: Limits::MOST_HEADERS };
    match parse_response(bytes, &limits, fields, asked) {
        Ok(Parsed::Complete(response)) if response.head_len as usize == bytes.len() => response,
        other => panic!("{other:?}: {}", shown(bytes)),
    }
}

fn forwarded_clean(view: &ResponseView<'_>, asked: Asked, flags: u8) {
    let response = view.response;
    let old = flags & 8 != 0;
    let back = ForwardBack {
        version: if old { Version::Http10 } else { Version::Http11 },
        body: response.body,
        persistence: [Persistence::Implied, Persistence::Close, Persistence::KeepAlive][usize::from(flags >> 4) % 3],
        via: (flags & 128 != 0).then_some("gate"),
        date: DATE,
        upgrade: flags & 64 != 0,
        edits: Edits::default(),
    };
    let mut out = Vec::new();
    if let Err(reject) = forward_response(*view, &back, &mut Copied::new(view.bytes, &mut out)) {
        assert!(response.status == 101 && !back.upgrade && out.is_empty(), "{reject}: {}", shown(view.bytes));
        return;
    }
    let method: &[u8] = match asked {
        Asked::Head => b"HEAD",
        Asked::Connect => b"CONNECT",
        Asked::Other => b"GET",
    };
    let sent = naive::response(&out, method).unwrap_or_else(|why| panic!("{why}: {}", shown(&out)));
    let sent = sent.unwrap_or_else(|| panic!("no end: {}", shown(&out))).head;
    assert_eq!((sent.length, sent.status()), (out.len(), Ok(response.status)), "{}", shown(&out));
    let gone = ["keep-alive", "proxy-connection", "http2-settings", "te", "proxy-authenticate-info"];
    assert!(gone.iter().all(|name| sent.values(name).next().is_none()), "{}", shown(&out));
    assert!(sent.values("connection").count() <= 1, "{}", shown(&out));
    assert!(sent.values("upgrade").next().is_none() || response.status == 101, "{}", shown(&out));
    let named = view.all(Known::Connection).flat_map(|value| value.split(|&b| b == b',')).map(naive::trim);
    for option in named.filter(|option| !option.is_empty()) {
        let name = option.to_ascii_lowercase();
        let made = ["date", "content-length", "transfer-encoding", "connection", "upgrade", "via"];
        let stays = made.iter().any(|one| one.as_bytes() == name);
        assert!(stays || sent.fields.iter().all(|(one, _)| *one != name), "{} in {}", shown(option), shown(&out));
    }
    if !response.is_interim() && response.status != 101 {
        assert!(sent.values("date").count() >= 1, "{}", shown(&out));
    }
    let framing = sent.body().unwrap_or_else(|why| panic!("{why}: {}", shown(&out)));
    if response.body == BodyLength::Chunked {
        assert_eq!(framing, if old { NaiveBody::None } else { NaiveBody::Chunked }, "{}", shown(&out));
    }
    // A second gate that adds nothing changes nothing.
    if old || response.version == Version::Http10 || back.via.is_some() || back.persistence == Persistence::KeepAlive {
        return;
    }
    let mut fields = Fields::new();
    let again = read(&out, asked, &mut fields);
    let mut twice = Vec::new();
    forward_response(again.view(&out, &fields), &back, &mut Copied::new(&out, &mut twice)).expect("as before");
    // A `Date` that was added stands where it was added, so the order of lines may differ.
    let fields = |head: &[u8]| {
        let mut fields = naive::head(head).ok().flatten().map(|head| head.fields).unwrap_or_default();
        fields.sort();
        fields
    };
    assert!(fields(&out) == fields(&twice), "{} {}", shown(&out), shown(&twice));
}
