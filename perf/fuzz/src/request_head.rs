//! Does every reader of a request head agree on it: ours, ours in pieces, a naive one, and the server behind?
//!
//! An input is a byte of flags, a byte that says where the head is cut in two, and the head.

use anygate_proto::conditional::{self, Validators};
use anygate_proto::h1::forward::{Edits, ForwardTo, HostRule, ends_here, forward_request, via_loop};
use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::sink::Copied;
use anygate_proto::{
    BodyLength, Fields, Head, Known, Limits, Parsed, Reject, Request, RequestView, Scheme, TargetForm, Version,
};
use anygate_proto::{forwarded, negotiate, range, websocket};

use crate::naive::{self, NaiveBody};
use crate::{Numbers, shown};

/// Limits that inputs of a few dozen bytes reach.
const SMALL: Limits = Limits { max_uri: 24, max_header_size: 160, max_headers: 5 };

const HOP_BY_HOP: [&str; 6] = ["keep-alive", "proxy-connection", "http2-settings", "upgrade", "te", "connection"];

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, cut) = (numbers.next(), numbers.next());
    let bytes = numbers.rest();
    let limits = if flags & 1 == 0 { Limits::default() } else { SMALL };
    let mut fields = Fields::new();
    let parsed = parse_request(bytes, &limits, &mut fields);
    in_pieces(bytes, usize::from(cut), &limits, &parsed, &fields);
    let Ok(Parsed::Complete(request)) = parsed else { return };
    let view = request.view(bytes, &fields);
    is_what_a_naive_reader_sees(&view);
    survives_being_written_again(&view);
    interpreted(&view);
    if request.form != TargetForm::Authority {
        forwarded_clean(&view, flags);
    }
}

/// A head that comes in two pieces is the same head.
fn in_pieces(bytes: &[u8], cut: usize, limits: &Limits, whole: &Result<Parsed<Request>, Reject>, fields: &Fields) {
    if bytes.is_empty() {
        return;
    }
    let cut = cut % bytes.len();
    let mut first = Fields::new();
    match parse_request(&bytes[..cut], limits, &mut first) {
        Ok(Parsed::Partial) => {}
        Ok(Parsed::Complete(early)) => {
            assert_eq!(whole, &Ok(Parsed::Complete(early)), "more bytes change a head that was whole");
            assert!(first.iter().eq(fields.iter()), "more bytes change the fields of a head that was whole");
        }
        Err(_) => assert!(whole.is_err(), "{} is refused, and taken with more", shown(&bytes[..cut])),
    }
    if let Ok(Parsed::Complete(request)) = whole {
        let exact = parse_request(&bytes[..request.head_len as usize], limits, &mut first);
        assert_eq!(exact, Ok(Parsed::Complete(*request)), "what follows a head changes it");
    }
}

fn is_what_a_naive_reader_sees(view: &RequestView<'_>) {
    let request = view.request;
    let bytes = &view.bytes[..request.head_len as usize];
    // Empty lines before a request are ours to skip.
    let skipped = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let head = naive::head(&bytes[skipped..]).unwrap_or_else(|why| panic!("{why}: {}", shown(bytes)));
    let head = head.unwrap_or_else(|| panic!("no end: {}", shown(bytes)));
    assert_eq!(head.length, bytes.len() - skipped, "{}", shown(bytes));
    let words: Vec<&[u8]> = head.first.split(|&b| b == b' ').collect();
    assert_eq!(words[..2], [view.method(), view.target()], "{}", shown(bytes));
    assert_eq!(words.len(), 3);
    let version: &[u8] = if request.version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1." };
    assert!(words[2].starts_with(version) && words[2].len() == 8, "{}", shown(bytes));
    let ours = view.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
    assert!(ours.eq(head.fields.iter().cloned()), "{} != {:?}", shown(bytes), head.fields);
    let framing = head.body().unwrap_or_else(|why| panic!("{why}: {}", shown(bytes)));
    assert!(same(request.body, framing), "{:?} {framing:?} {}", request.body, shown(bytes));
    assert!(request.version != Version::Http10 || framing != NaiveBody::Chunked);
    let hosts: Vec<&[u8]> = head.values("host").collect();
    assert!(hosts.len() == 1 || hosts.is_empty() && request.version == Version::Http10);
    if request.form == TargetForm::Origin && !hosts.is_empty() {
        assert_eq!(view.authority(), hosts[0]);
    }
}

fn same(ours: BodyLength, naive: NaiveBody) -> bool {
    match (ours, naive) {
        (BodyLength::None, NaiveBody::None) | (BodyLength::Chunked, NaiveBody::Chunked) => true,
        (BodyLength::Length(one), NaiveBody::Length(other)) => one == other,
        _ => false,
    }
}

/// Written anew from its parts, a head reads the same.
fn survives_being_written_again(view: &RequestView<'_>) {
    let version = if view.request.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut written = [view.method(), b" ", view.target(), b" ", version.as_bytes(), b"\r\n"].concat();
    for (name, value) in view.fields() {
        written.extend_from_slice(name);
        written.extend_from_slice(b": ");
        written.extend_from_slice(value);
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
    let again = read(&written);
    let back = again.view();
    assert!(back.fields().eq(view.fields()));
    assert_eq!((back.method(), back.target(), back.path()), (view.method(), view.target(), view.path()));
    assert_eq!((back.query(), back.authority()), (view.query(), view.authority()));
    let facts = |request: &Request| {
        (request.body, request.version, request.form, request.keep_alive, request.expect_continue, request.upgrade)
    };
    assert_eq!(facts(back.request), facts(view.request), "{}", shown(&written));
}

fn read(bytes: &[u8]) -> Head<&[u8]> {
    let limits = Limits { max_uri: 1 << 20, max_header_size: 1 << 21, max_headers: Limits::MOST_HEADERS };
    let mut fields = Fields::new();
    match parse_request(bytes, &limits, &mut fields) {
        Ok(Parsed::Complete(request)) if request.head_len as usize == bytes.len() => request.into_head(bytes, fields),
        other => panic!("{other:?}: {}", shown(bytes)),
    }
}

/// Everything that reads meaning from fields.
fn interpreted(view: &RequestView<'_>) {
    let _ = (via_loop(*view, b"gate"), ends_here(*view), websocket::handshake(*view));
    let _ = (negotiate::media_type(*view, &["text/html", "application/json"]), negotiate::accept_weight(*view, "a/b"));
    let _ = negotiate::encoding(*view, &[]);
    let _ = forwarded::client_address(std::net::IpAddr::from([127, 0, 0, 1]), *view, &[]);
    let validators = Validators { etag: Some(b"\"a\""), last_modified: Some(1_000_000_000) };
    let _ = conditional::evaluate(*view, Some(validators), 1_700_000_000);
    let _ = conditional::if_range(*view, validators, 1_700_000_000);
    if let Some(value) = view.get(Known::Range)
        && let range::RangeOutcome::Part { start, end } = range::resolve(value, 100)
    {
        assert!(start < end && end <= 100, "{start}..{end} of 100");
    }
}

/// What goes to the server behind is one request that nobody can read in two ways.
fn forwarded_clean(view: &RequestView<'_>, flags: u8) {
    let origin = [view.path(), view.query().map_or(&b""[..], |_| b"?"), view.query().unwrap_or_default()].concat();
    let to = ForwardTo {
        target: if view.request.form == TargetForm::Origin { view.target() } else { &origin },
        host: HostRule::Keep { or: b"behind" },
        client: Some(std::net::IpAddr::from([192, 0, 2, 1])),
        trusted: flags & 2 != 0,
        scheme: Scheme::Http,
        port: (flags & 4 != 0).then_some(8080),
        x_forwarded: flags & 8 != 0,
        forwarded: flags & 16 != 0,
        via: (flags & 32 != 0).then_some("gate"),
        upgrade: (flags & 64 != 0).then_some("websocket"),
        body: view.request.body,
        expect: flags & 128 != 0,
        edits: Edits::default(),
    };
    let mut out = Vec::new();
    forward_request(*view, &to, &mut Copied::new(view.bytes, &mut out)).expect("what was read can be written");
    let sent = naive::request(&out).unwrap_or_else(|why| panic!("{why}: {}", shown(&out))).expect("a whole head");
    assert_eq!(sent.head.length, out.len());
    assert!(same(view.request.body, sent.head.body().expect("one framing")), "{}", shown(&out));
    assert!(sent.head.values("transfer-encoding").all(|value| value == b"chunked"), "{}", shown(&out));
    for name in HOP_BY_HOP {
        let mut values = sent.head.values(name);
        let ok = match name {
            "te" => values.all(|value| value == b"trailers"),
            "upgrade" => {
                values.all(|value| value == b"websocket") && to.upgrade.is_some()
                    || sent.head.values("upgrade").next().is_none()
            }
            "connection" => values.all(|value| matches!(value, b"upgrade" | b"TE" | b"upgrade, TE")),
            _ => values.next().is_none(),
        };
        assert!(ok, "{name} in {}", shown(&out));
    }
    // What a client names in Connection goes no further, but for what is made anew.
    let named = view.all(Known::Connection).flat_map(|value| value.split(|&b| b == b',')).map(naive::trim);
    for option in named.filter(|option| !option.is_empty()) {
        let name = option.to_ascii_lowercase();
        let made = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "te",
            "upgrade",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "max-forwards",
        ];
        let gone =
            made.iter().any(|one| one.as_bytes() == name) || sent.head.fields.iter().all(|(one, _)| *one != name);
        assert!(gone, "{} in {}", shown(option), shown(&out));
    }
    // Nothing that stands with `_` for a field that frames or routes.
    for (name, _) in &sent.head.fields {
        let dashed: Vec<u8> = name.iter().map(|&b| if b == b'_' { b'-' } else { b }).collect();
        let frames: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"x-forwarded-for", b"proxy-connection"];
        assert!(*name == dashed || !frames.contains(&dashed.as_slice()), "{}", shown(&out));
    }
    let again = read(&out);
    assert_eq!(again.request.body, view.request.body);
    // A second gate that adds nothing changes nothing.
    if to.x_forwarded || to.forwarded || to.via.is_some() || view.fields.has(Known::MaxForwards) {
        return;
    }
    let mut twice = Vec::new();
    forward_request(again.view(), &to, &mut Copied::new(&out, &mut twice)).expect("what was read can be written");
    assert!(out == twice, "{} {}", shown(&out), shown(&twice));
}
