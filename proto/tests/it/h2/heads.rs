//! Which field sections are requests, and what they become (RFC 9113 §8.2, §8.3, §8.5, RFC 8441 §4).

use super::*;
use anygate_proto::h1::forward::{ForwardTo, HostRule, forward_request};
use anygate_proto::h1::sink::Copied;
use anygate_proto::{BodyLength, Known, RequestView, Scheme, TargetForm, Version};

/// Reads one request and looks at it.
fn read<T>(fields: &[(&str, &str)], flags: u8, look: impl FnOnce(RequestView<'_>) -> T) -> T {
    let mut peer = Peer::new(&Limits::default());
    let input = headers(1, flags, fields);
    let event = peer.connection.next(&input, &mut 0);
    assert!(matches!(event, Ok(Some(Event::Request { .. }))), "{event:?}: {fields:?}");
    look(peer.connection.request())
}

fn malformed(fields: &[(&str, &str)]) {
    expect_turned_away(&headers(1, END, fields), "PROTOCOL_ERROR");
    expect_turned_away(&headers(1, OPEN, fields), "PROTOCOL_ERROR");
}

fn refused(fields: &[(&str, &str)], status: u16) {
    expect(&headers(1, END, fields), &[&format!("refused 1 {status} end")], &[]);
}

#[test]
fn a_request_becomes_a_head_like_any_other() {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "Example.com:8443"),
        (":path", "/a/b?c=d?e"),
        ("user-agent", "x"),
        ("accept", "*/*"),
        ("x-other", ""),
    ];
    read(&fields, END, |view| {
        assert_eq!(view.request.version, Version::Http2);
        assert_eq!((view.method(), view.target(), view.path()), (&b"GET"[..], &b"/a/b?c=d?e"[..], &b"/a/b"[..]));
        assert_eq!((view.query(), view.authority()), (Some(&b"c=d?e"[..]), &b"Example.com:8443"[..]));
        assert_eq!(view.host(), b"Example.com");
        assert_eq!((view.request.scheme, view.request.form), (Some(Scheme::Https), TargetForm::Origin));
        assert_eq!(view.request.body, BodyLength::None);
        assert!(view.request.is_get && !view.request.is_head && view.request.keep_alive && !view.request.upgrade);
        assert_eq!(view.get(Known::UserAgent), Some(&b"x"[..]));
        assert_eq!(view.get_named("x-other"), Some(&b""[..]));
        assert_eq!(view.fields.len(), 3, "pseudo-header fields are no fields");
        assert_eq!(view.request.head_len as usize, view.bytes.len());
    });
}

#[test]
fn the_body_is_known_by_its_length_or_by_its_end() {
    let body = |more: &[(&str, &str)], flags| read(&with(&POST, more), flags, |view| view.request.body);
    assert_eq!(body(&[], END), BodyLength::None);
    assert_eq!(body(&[], OPEN), BodyLength::Chunked);
    assert_eq!(body(&[("content-length", "0")], END), BodyLength::Length(0));
    assert_eq!(body(&[("content-length", "7")], OPEN), BodyLength::Length(7));
}

#[test]
fn a_client_that_waits_for_100_is_seen() {
    let expects = |value, flags| read(&with(&POST, &[("expect", value)]), flags, |view| view.request.expect_continue);
    assert!(expects("100-continue", OPEN) && expects("100-Continue", OPEN));
    assert!(!expects("100-continue", END) && !expects("other", OPEN));
}

#[test]
fn host_may_stand_in_for_authority_and_must_not_differ_from_it() {
    let bare = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    read(&with(&bare, &[("host", "b:80")]), END, |view| assert_eq!(view.authority(), b"b:80"));
    read(&with(&GET, &[("host", "A")]), END, |view| {
        assert_eq!((view.authority(), view.get(Known::Host)), (&b"a"[..], Some(&b"A"[..])));
    });
    read(&with(&bare, &[(":authority", ""), ("host", "b")][..]), END, |view| assert_eq!(view.authority(), b"b"));
    malformed(&with(&GET, &[("host", "b")]));
    // Of one scheme's port it makes no difference whether it is said.
    for (scheme, authority, host, same) in [
        ("http", "a", "A:80", true),
        ("https", "a:443", "a", true),
        ("https", "a:", "a:443", true),
        ("https", "[::1]", "[::1]:443", true),
        ("https", "a", "a:80", false),
        ("http", "a:8080", "a", false),
        ("http", "a:80", "b:80", false),
    ] {
        let head = [(":method", "GET"), (":scheme", scheme), (":path", "/"), (":authority", authority), ("host", host)];
        if same {
            read(&head, END, |view| assert_eq!(view.authority(), authority.as_bytes()));
        } else {
            malformed(&head);
        }
    }
    refused(&bare, 400);
    refused(&with(&bare, &[("host", "")]), 400);
    refused(&with(&bare, &[("host", "b"), ("host", "b")]), 400);
    refused(&with(&GET, &[("host", "a"), ("host", "a")]), 400);
    for authority in ["a b", "u@a", "a:x", "[::1", "a:70000", "a/b", ""] {
        refused(&with(&bare, &[(":authority", authority)]), 400);
    }
}

#[test]
fn cookie_crumbs_are_joined_where_the_first_was() {
    let crumbs = with(&GET, &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3"), ("accept", "z")]);
    read(&crumbs, END, |view| {
        let all: Vec<_> = view.fields().map(|(name, value)| (text(name), text(value))).collect();
        assert_eq!(all, [("cookie", "a=1; b=2; c=3"), ("x", "y"), ("accept", "z")]);
    });
    read(&with(&GET, &[("cookie", "a=1")]), END, |view| assert_eq!(view.get(Known::Cookie), Some(&b"a=1"[..])));
}

#[test]
fn cookie_crumbs_count_as_the_one_line_they_are() {
    let limits = Limits { head: anygate_proto::Limits { max_headers: 2, ..Default::default() }, ..Limits::default() };
    let crumbs: Vec<_> = (0..300).map(|_| ("cookie", "a=1")).collect();
    let many = with(&GET, &crumbs);
    let (fit, one_too_many) = (with(&many, &[("x", "y")]), with(&many, &[("x", "y"), ("z", "y")]));
    expect_with(&limits, &headers(1, END, &fit), &["request 1 GET / end"], &[]);
    expect_with(&limits, &headers(1, END, &one_too_many), &["refused 1 431 end"], &[]);
    let mut peer = Peer::new(&limits);
    peer.feed(&headers(1, END, &fit));
    assert_eq!(peer.connection.request().get(Known::Cookie).map(<[u8]>::len), Some(300 * 3 + 299 * 2));
    assert_eq!(peer.connection.request().fields.len(), 2);
    // A pseudo-header field does not stand behind one.
    malformed(&[(":method", "GET"), (":scheme", "http"), ("cookie", "a=1"), (":path", "/"), (":authority", "a")]);
}

#[test]
fn a_target_has_the_form_its_method_asks_for() {
    let of = |method, path| [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)];
    read(&of("OPTIONS", "*"), END, |view| {
        assert_eq!((view.request.form, view.path()), (TargetForm::Asterisk, &b"*"[..]));
    });
    read(&of("BREW", "/%20?"), END, |view| assert_eq!((view.path(), view.query()), (&b"/%20"[..], Some(&b""[..]))));
    for path in ["", "a", "*x", "http://a/"] {
        malformed(&of("GET", path));
    }
    malformed(&of("GET", "*"));
    for path in ["/a b", "/a#b", "/\u{e9}"] {
        refused(&of("GET", path), 400);
    }
    refused(&of("G T", "/"), 400);
    refused(&of("GET", &format!("/{}", "x".repeat(9000))), 414);
}

#[test]
fn http_and_https_are_the_schemes() {
    let of = |scheme| [(":method", "GET"), (":scheme", scheme), (":authority", "a"), (":path", "/")];
    read(&of("HTTP"), END, |view| assert_eq!(view.request.scheme, Some(Scheme::Http)));
    read(&of("Https"), END, |view| assert_eq!(view.request.scheme, Some(Scheme::Https)));
    refused(&of("ftp"), 400);
    refused(&of(""), 400);
}

#[test]
fn connect_names_host_and_port_alone() {
    let connect = [(":method", "CONNECT"), (":authority", "a:443")];
    read(&connect, OPEN, |view| {
        assert_eq!((view.request.form, view.authority()), (TargetForm::Authority, &b"a:443"[..]));
        assert_eq!((view.target(), view.path(), view.request.body), (&b"a:443"[..], &b""[..], BodyLength::None));
    });
    malformed(&with(&connect, &[(":scheme", "http")]));
    malformed(&with(&connect, &[(":path", "/")]));
    malformed(&connect[..1]);
    refused(&[(":method", "CONNECT"), (":authority", "a")], 400);
}

#[test]
fn an_extended_connect_has_all_parts_of_a_request_and_a_protocol() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat?x"),
        (":authority", "a"),
        ("sec-websocket-version", "13"),
    ];
    let mut peer = Peer::new(&Limits::default());
    let event = peer.connection.next(&headers(1, OPEN, &fields), &mut 0);
    assert!(matches!(event, Ok(Some(Event::Request { end: false, .. }))));
    assert_eq!(peer.connection.protocol(), Some(&b"websocket"[..]));
    let view = peer.connection.request();
    assert_eq!((view.request.form, view.path(), view.query()), (TargetForm::Origin, &b"/chat"[..], Some(&b"x"[..])));
    assert_eq!(view.request.body, BodyLength::Chunked);
    malformed(&with(&GET, &[(":protocol", "websocket")]));
    malformed(&fields[..2]);
    malformed(&[fields[0], fields[1], fields[2], fields[4]]);
    let off = Limits { extended_connect: false, ..Limits::default() };
    expect_with(&off, &headers(1, OPEN, &fields), &[], &["RST_STREAM 1 PROTOCOL_ERROR"]);
}

#[test]
fn pseudo_header_fields_come_first_once_and_all() {
    for left_out in 0..3 {
        let mut fields = GET.to_vec();
        fields.remove(left_out);
        malformed(&fields);
    }
    for (name, value) in GET {
        malformed(&with(&GET, &[(name, value)]));
    }
    malformed(&with(&GET[..3], &[("x", "y"), (":authority", "a")]));
    malformed(&with(&GET, &[(":status", "200")]));
    malformed(&with(&GET, &[(":other", "x")]));
    malformed(&with(&GET, &[(":", "x")]));
    malformed(&[]);
}

#[test]
fn field_names_are_tokens_in_lower_case() {
    for name in ["", "X", "aB", "a b", "a:b", "a\0", "\u{e9}", "a\x7f", "a\r", "(a)", "a\n"] {
        malformed(&with(&GET, &[(name, "x")]));
    }
}

#[test]
fn field_values_have_no_control_character_and_no_space_around_them() {
    for value in ["a\r", "a\nb", "\0", " a", "a ", "\ta", "a\t", "a\x01", "\x7f", "\r\nx: y"] {
        malformed(&with(&GET, &[("x", value)]));
    }
    read(&with(&GET, &[("x", "a\tb c"), ("y", "\u{e9}")]), END, |view| {
        assert_eq!(view.get_named("x"), Some(&b"a\tb c"[..]));
    });
    for (at, value) in [(0, "GE\nT"), (1, "ht\0tp"), (2, "/\r\n"), (3, "a\r\nb"), (2, " /"), (3, "a ")] {
        let mut fields = GET.to_vec();
        fields[at].1 = value;
        malformed(&fields);
    }
}

#[test]
fn fields_about_a_connection_are_malformed() {
    for (name, value) in [
        ("connection", "close"),
        ("connection", ""),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("te", ""),
    ] {
        malformed(&with(&GET, &[(name, value)]));
    }
    read(&with(&GET, &[("te", "trailers")]), END, |view| assert_eq!(view.get(Known::Te), Some(&b"trailers"[..])));
}

#[test]
fn content_length_is_one_number() {
    for length in ["", "+1", "-1", "1,1", "1x", "99999999999999999999999"] {
        let fields = with(&POST, &[("content-length", length)]);
        expect_turned_away(&headers(1, OPEN, &fields), "PROTOCOL_ERROR");
    }
    expect_turned_away(
        &headers(1, OPEN, &with(&POST, &[("content-length", "1"), ("content-length", "1")])),
        "PROTOCOL_ERROR",
    );
}

#[test]
fn a_list_over_its_limits_is_refused_and_not_kept() {
    let limits = |max_header_size, max_headers| Limits {
        head: anygate_proto::Limits { max_uri: 100, max_header_size, max_headers },
        ..Limits::default()
    };
    // Four pseudo-header fields of 10 + 11 + 6 + 11 bytes and 32 each, then one of 2 + 32.
    let exact = with(&GET, &[("x", "y")]);
    expect_with(&limits(200, 9), &headers(1, END, &exact), &["request 1 GET / end"], &[]);
    expect_with(&limits(199, 9), &headers(1, END, &exact), &["refused 1 431 end"], &[]);
    let two = with(&GET, &[("x", "y"), ("z", "y")]);
    expect_with(&limits(9000, 2), &headers(1, END, &two), &["request 1 GET / end"], &[]);
    expect_with(&limits(9000, 1), &headers(1, END, &two), &["refused 1 431 end"], &[]);
    // What is malformed behind the limit is malformed.
    let both = with(&GET, &[("x", "y"), ("z", "y"), ("BAD", "")]);
    expect_with(&limits(9000, 1), &headers(1, END, &both), &[], &["RST_STREAM 1 PROTOCOL_ERROR"]);
    let mut peer = Peer::new(&limits(300, 9));
    peer.feed(&headers(1, END, &with(&GET, &[("x", &"y".repeat(15_000))])));
    let view = peer.connection.request();
    assert_eq!((view.method(), view.path(), view.authority()), (&b"GET"[..], &b"/"[..], &b"a"[..]), "for the log");
    assert!(view.bytes.len() < 100 && view.fields.is_empty());
}

#[test]
fn the_same_block_means_the_same_until_the_table_changes() {
    let mut peer = Peer::new(&Limits::default());
    let mut adds = block(&GET);
    adds.extend(b"\x40\x01k\x01v");
    let mut uses = block(&GET);
    uses.push(0xbe);
    let mut adds_another = block(&GET);
    adds_another.extend(b"\x40\x01k\x01w");
    let mut seen = Vec::new();
    for (at, part) in [&adds, &uses, &uses, &adds_another, &uses, &uses, &adds, &uses].into_iter().enumerate() {
        let input = raw(1, END, 2 * at as u32 + 1, part);
        assert!(matches!(peer.connection.next(&input, &mut 0), Ok(Some(Event::Request { .. }))));
        seen.push(peer.connection.request().get_named("k").map(|value| text(value).to_owned()).unwrap_or_default());
    }
    assert_eq!(seen, ["v", "v", "v", "w", "w", "w", "v", "v"]);
    // With content to come it is another request.
    let bare = block(&GET);
    for (at, (flags, body)) in
        [(END, BodyLength::None), (OPEN, BodyLength::Chunked), (END, BodyLength::None)].into_iter().enumerate()
    {
        let input = raw(1, flags, 2 * at as u32 + 101, &bare);
        assert!(matches!(peer.connection.next(&input, &mut 0), Ok(Some(Event::Request { .. }))));
        assert_eq!(peer.connection.request().request.body, body);
    }
    // Trailers in between overwrite what is compared.
    peer.feed(&raw(1, END, 103, &bare));
    peer.feed(&raw(1, END, 107, &bare));
    assert_eq!(peer.events().last().map(String::as_str), Some("request 107 GET / end"));
    assert_eq!(peer.connection.request().authority(), b"a");
}

#[test]
fn a_request_can_be_taken_and_travels_to_an_h1_server() {
    let fields = with(&POST, &[("cookie", "a=1"), ("te", "trailers"), ("x-custom", "1"), ("cookie", "b=2")]);
    let mut peer = Peer::new(&Limits::default());
    let input = headers(1, OPEN, &fields);
    assert!(matches!(peer.connection.next(&input, &mut 0), Ok(Some(Event::Request { .. }))));
    let (bytes, request, fields) = peer.connection.take_request();
    let head = request.into_head(bytes, fields);
    let to = ForwardTo {
        target: head.view().target(),
        host: HostRule::Keep { or: b"b" },
        client: None,
        trusted: false,
        scheme: Scheme::Http,
        port: None,
        x_forwarded: false,
        forwarded: false,
        via: Some("gate"),
        upgrade: None,
        body: head.request.body,
        expect: false,
        edits: anygate_proto::h1::forward::Edits::default(),
    };
    let mut out = Vec::new();
    assert!(forward_request(head.view(), &to, &mut Copied::new(&head.bytes, &mut out)).is_ok());
    assert_eq!(
        text(&out),
        "POST / HTTP/1.1\r\nHost: a\r\ncookie: a=1; b=2\r\nx-custom: 1\r\nTransfer-Encoding: chunked\r\n\
         Connection: TE\r\nTE: trailers\r\nVia: 2.0 gate\r\n\r\n"
    );
}
