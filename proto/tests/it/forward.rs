//! Heads that travel on: the whole of what leaves, for each rule.

use anygate_proto::h1::forward::{
    Edits, ForwardBack, ForwardTo, HostRule, ends_here, forward_request, forward_response, via_loop,
};
use anygate_proto::h1::sink::{Copied, Sink};
use anygate_proto::h1::write::Persistence;
use anygate_proto::{BodyLength, Fields, Head, Known, Request, Scheme, Span, Version};

/// Adds nothing but the host.
const PLAIN: ForwardTo<'static> = ForwardTo {
    target: b"/t",
    host: HostRule::Keep { or: b"up:1" },
    client: None,
    trusted: false,
    scheme: Scheme::Http,
    port: None,
    x_forwarded: false,
    forwarded: false,
    via: None,
    upgrade: None,
    body: BodyLength::None,
    expect: false,
    edits: Edits { drop: &[], add: &[] },
};

const BACK: ForwardBack<'static> = ForwardBack {
    version: Version::Http11,
    body: BodyLength::Length(3),
    persistence: Persistence::Implied,
    via: None,
    date: b"Sun, 06 Nov 1994 08:49:37 GMT",
    upgrade: false,
    edits: Edits { drop: &[], add: &[] },
};

fn sent(raw: &str, to: &ForwardTo<'_>) -> String {
    let head = super::request(raw.as_bytes());
    let mut out = Vec::new();
    match forward_request(head.view(), to, &mut Copied::new(&head.bytes, &mut out)) {
        Ok(()) => String::from_utf8(out).expect("the cases are text"),
        Err(reject) => {
            assert!(out.is_empty());
            reject.status.to_string()
        }
    }
}

/// The lines behind `Host` that leave, when these come behind it.
fn lines(lines: &str, to: &ForwardTo<'_>) -> String {
    let out = sent(&format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), to);
    let rest = out.strip_prefix("GET /t HTTP/1.1\r\nHost: a\r\n").expect("the request line and the host come first");
    rest.strip_suffix("\r\n").expect("the empty line comes last").to_owned()
}

fn back(raw: &str, back: &ForwardBack<'_>) -> String {
    let head = super::response(raw.as_bytes());
    let mut out = Vec::new();
    match forward_response(head.view(), back, &mut Copied::new(&head.bytes, &mut out)) {
        Ok(()) => String::from_utf8(out).expect("the cases are text"),
        Err(reject) => {
            assert!(out.is_empty());
            reject.status.to_string()
        }
    }
}

#[test]
fn what_is_about_the_connection_stays_behind() {
    for (came, leaves) in [
        ("", ""),
        ("A: b\r\nC:d\r\nE:  f \t\r\n", "A: b\r\nC:d\r\nE:  f \t\r\n"),
        ("Connection: close\r\nA: b\r\n", "A: b\r\n"),
        ("A: b\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nC: d\r\n", "A: b\r\nC: d\r\n"),
        ("Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\nX-A: 4\r\n", "X-C: 3\r\n"),
        ("X-A: 1\r\nConnection: close\r\nConnection: x-a\r\n", ""),
        ("Connection: cookie, authorization\r\nCookie: a\r\nAuthorization: b\r\n", ""),
        ("Connection: host\r\n", ""),
        ("Proxy-Connection: keep-alive\r\nA: b\r\n", "A: b\r\n"),
        ("Upgrade: websocket\r\nConnection: upgrade\r\n", ""),
        ("Upgrade: h2c\r\nConnection: upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAM\r\n", ""),
        ("HTTP2-Settings: AAM\r\n", ""),
        ("TE: gzip\r\nConnection: TE\r\n", ""),
        ("TE: trailers\r\n", "Connection: TE\r\nTE: trailers\r\n"),
        ("TE: gzip, Trailers;q=0.5\r\nConnection: TE\r\n", ""),
        ("TE: gzip, trailers\r\nConnection: TE\r\n", "Connection: TE\r\nTE: trailers\r\n"),
        ("Trailer: X-Sum\r\n", ""),
        ("Expect: 100-continue\r\n", ""),
        ("Cookie: a\r\nCookie: b\r\n", "Cookie: a\r\nCookie: b\r\n"),
        ("Proxy-Authorization: x\r\n", "Proxy-Authorization: x\r\n"),
    ] {
        assert_eq!(lines(came, &PLAIN), leaves, "{}", came.escape_debug());
    }
}

#[test]
fn neighbouring_lines_leave_as_one_range() {
    struct Ranges(Vec<Span>, Vec<u8>);
    impl Sink for Ranges {
        fn keep(&mut self, span: Span) {
            self.0.push(span);
        }
        fn put(&mut self, bytes: &[u8]) {
            self.1.extend_from_slice(bytes);
        }
    }
    let head = super::get_with("A: 1\r\nB: 2\r\nConnection: close\r\nC: 3\r\nD: 4\r\nE: 5\r\n");
    let mut ranges = Ranges(Vec::new(), Vec::new());
    forward_request(head.view(), &PLAIN, &mut ranges).expect("nothing is edited");
    let kept: Vec<&[u8]> = ranges.0.iter().map(|span| span.of(&head.bytes)).collect();
    assert_eq!(kept, [&b"GET"[..], b"a", b"A: 1\r\nB: 2\r\n", b"C: 3\r\nD: 4\r\nE: 5\r\n"]);
}

#[test]
fn the_host_is_made_anew_and_comes_first() {
    let absolute = "GET http://b:81/x HTTP/1.1\r\nA: b\r\nHost: a\r\n\r\n";
    assert_eq!(sent(absolute, &PLAIN), "GET /t HTTP/1.1\r\nHost: b:81\r\nA: b\r\n\r\n");
    assert_eq!(sent("GET /x HTTP/1.0\r\nA: b\r\n\r\n", &PLAIN), "GET /t HTTP/1.1\r\nHost: up:1\r\nA: b\r\n\r\n");
    let given = ForwardTo { host: HostRule::Value(b"other"), ..PLAIN };
    assert_eq!(sent(absolute, &given), "GET /t HTTP/1.1\r\nHost: other\r\nA: b\r\n\r\n");
}

#[test]
fn the_body_is_framed_for_the_upstream_alone() {
    let with = |body| ForwardTo { body, ..PLAIN };
    assert_eq!(lines("Content-Length: 5\r\n", &with(BodyLength::Length(5))), "Content-Length: 5\r\n");
    assert_eq!(lines("Content-Length: 5\r\n", &with(BodyLength::Length(0))), "Content-Length: 0\r\n");
    assert_eq!(lines("Content-Length: 5\r\n", &PLAIN), "");
    let chunked = with(BodyLength::Chunked);
    assert_eq!(lines("Transfer-Encoding: Chunked\r\n", &chunked), "Transfer-Encoding: chunked\r\n");
    assert_eq!(lines("Content-Length: 5\r\nTrailer: X\r\n", &chunked), "Trailer: X\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(lines("Transfer-Encoding: chunked\r\n", &with(BodyLength::Length(7))), "Content-Length: 7\r\n");
    let expecting = ForwardTo { expect: true, ..PLAIN };
    assert_eq!(lines("Expect: 100-continue\r\n", &expecting), "Expect: 100-continue\r\n");
    assert_eq!(sent("GET / HTTP/1.0\r\nExpect: x\r\n\r\n", &expecting), "GET /t HTTP/1.1\r\nHost: up:1\r\n\r\n");
}

#[test]
fn whose_certificate_came_with_a_request_only_a_trusted_peer_can_say() {
    const CLAIMED: &str = "Client-Cert: :eA==:\r\nA: b\r\nclient-cert-chain: :eA==:\r\nClient_Cert: x\r\n";
    assert_eq!(lines(CLAIMED, &PLAIN), "A: b\r\n");
    let trusted = ForwardTo { trusted: true, ..PLAIN };
    assert_eq!(lines(CLAIMED, &trusted), "Client-Cert: :eA==:\r\nA: b\r\nclient-cert-chain: :eA==:\r\n");
}

const CLAIMS: &str = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nA: b\r\nX-Forwarded-Host: evil\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Prefix: /p\r\nX-Real-IP: 7.7.7.7\r\n\
    Forwarded: for=6.6.6.6\r\n";

#[test]
fn what_an_untrusted_peer_claims_is_replaced() {
    let client = Some("192.0.2.1".parse().expect("an address"));
    assert_eq!(lines(CLAIMS, &ForwardTo { client, ..PLAIN }), "A: b\r\n");
    assert_eq!(
        lines(CLAIMS, &ForwardTo { client, x_forwarded: true, forwarded: true, port: Some(8080), ..PLAIN }),
        "A: b\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\n\
         Forwarded: for=192.0.2.1;host=a;proto=http\r\n"
    );
    let unix = ForwardTo { x_forwarded: true, forwarded: true, ..PLAIN };
    assert_eq!(
        lines(CLAIMS, &unix),
        "A: b\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nForwarded: for=unknown;host=a;proto=http\r\n"
    );
    let mapped = Some("::ffff:192.0.2.1".parse().expect("an address"));
    assert_eq!(
        sent(
            "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            &ForwardTo { client: mapped, x_forwarded: true, forwarded: true, ..PLAIN }
        ),
        "GET /t HTTP/1.1\r\nHost: [::1]:80\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: [::1]:80\r\n\
         X-Forwarded-Proto: http\r\nForwarded: for=192.0.2.1;host=\"[::1]:80\";proto=http\r\n\r\n"
    );
    let six = Some("2001:db8::1".parse().expect("an address"));
    assert_eq!(
        lines("", &ForwardTo { client: six, forwarded: true, scheme: Scheme::Https, ..PLAIN }),
        "Forwarded: for=\"[2001:db8::1]\";host=a;proto=https\r\n"
    );
}

#[test]
fn what_a_trusted_peer_says_is_continued() {
    let client = Some("192.0.2.1".parse().expect("an address"));
    let to = ForwardTo { client, trusted: true, ..PLAIN };
    assert_eq!(lines(CLAIMS, &to), CLAIMS);
    assert_eq!(
        lines(CLAIMS, &ForwardTo { x_forwarded: true, forwarded: true, port: Some(8080), ..to }),
        "A: b\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Ssl: on\r\n\
         X-Forwarded-Prefix: /p\r\nX-Real-IP: 7.7.7.7\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8, 192.0.2.1\r\n\
         Forwarded: for=6.6.6.6, for=192.0.2.1;host=a;proto=http\r\n"
    );
    // A client cannot have the proxy's own words removed by naming them.
    let named = "Connection: x-forwarded-for, x-forwarded-host\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: b\r\n";
    assert_eq!(
        lines(named, &ForwardTo { x_forwarded: true, ..to }),
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\n"
    );
    assert_eq!(
        lines("X-Forwarded-For: \r\n", &ForwardTo { x_forwarded: true, ..to }),
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\n"
    );
}

#[test]
fn names_that_become_another_name_behind_cgi_are_dropped() {
    for name in [
        "X_Forwarded_For",
        "X_FORWARDED-ANYTHING",
        "Content_Length",
        "Transfer_Encoding",
        "x_real_ip",
        "Forwarded_",
        "Host_",
    ] {
        let stays = if name.ends_with('_') { format!("{name}: 1\r\n") } else { String::new() };
        for trusted in [false, true] {
            assert_eq!(lines(&format!("{name}: 1\r\n"), &ForwardTo { trusted, ..PLAIN }), stays, "{name}");
        }
    }
    assert_eq!(lines("my_own: 1\r\n_: 2\r\n", &PLAIN), "my_own: 1\r\n_: 2\r\n");
    let edits = Edits { drop: &[], add: &[("X-Auth-User", b"me")] };
    assert_eq!(lines("X_Auth_User: root\r\n", &ForwardTo { edits, ..PLAIN }), "X-Auth-User: me\r\n");
}

#[test]
fn via_is_appended_and_shows_a_loop() {
    let to = ForwardTo { via: Some("gate-1"), ..PLAIN };
    assert_eq!(lines("Via: 1.0 x\r\nA: b\r\n", &to), "Via: 1.0 x\r\nA: b\r\nVia: 1.1 gate-1\r\n");
    assert!(sent("GET / HTTP/1.0\r\n\r\n", &to).contains("\r\nVia: 1.0 gate-1\r\n"));
    for (via, loops) in [
        ("1.1 gate-1", true),
        ("1.0 x, HTTP/1.1 GATE-1 (it, is), 1.1 y", true),
        ("1.1\tgate-1", true),
        ("1.1 gate-10", false),
        ("1.1 gate-2", false),
        ("gate-1", false),
        ("1.1 x (gate-1)", false),
        ("", false),
    ] {
        assert_eq!(via_loop(super::get_with(&format!("Via: {via}\r\n")).view(), b"gate-1"), loops, "{via}");
    }
    assert!(via_loop(super::get_with("Via: 1.1 x\r\nVia: 1.1 gate-1\r\n").view(), b"gate-1"));
}

#[test]
fn max_forwards_counts_down_where_it_counts() {
    let with = |method: &str, value: &str| {
        let raw = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
        let out = sent(&raw, &PLAIN);
        let left = out.lines().find_map(|line| line.strip_prefix("Max-Forwards: ")).map(str::to_owned);
        (ends_here(super::request(raw.as_bytes()).view()), left)
    };
    assert_eq!(with("OPTIONS", "2"), (false, Some("1".into())));
    assert_eq!(with("TRACE", "1"), (false, Some("0".into())));
    assert!(with("TRACE", "0").0);
    assert_eq!(with("GET", "0"), (false, Some("0".into())));
    assert_eq!(with("OPTIONS", "x"), (false, Some("x".into())));
}

#[test]
fn an_upgrade_asks_for_what_the_gate_will_tunnel_and_nothing_else() {
    let to = ForwardTo { upgrade: Some("websocket"), ..PLAIN };
    assert_eq!(
        lines(
            "Connection: Upgrade, x\r\nUpgrade: h2c, websocket\r\nX: 1\r\nSec-WebSocket-Key: k\r\nTE: trailers\r\n",
            &to
        ),
        "Sec-WebSocket-Key: k\r\nConnection: upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n"
    );
}

#[test]
fn edits_drop_and_add_but_never_split_or_frame() {
    let edit = |add| lines_with(Edits { drop: &["b", "X-Forwarded-For"], add });
    fn lines_with(edits: Edits<'_>) -> String {
        sent("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", &ForwardTo { edits, ..PLAIN })
    }
    assert_eq!(edit(&[("C", b"3"), ("B", b"")]), "GET /t HTTP/1.1\r\nHost: a\r\nA: 1\r\nC: 3\r\nB: \r\n\r\n");
    let bad: &[(&str, &[u8])] = &[
        ("C", b"3\r\nD: 4"),
        ("C", b"3\n"),
        ("C", b"\r"),
        ("C", b"\0"),
        ("C: 3\r\nD", b"4"),
        ("", b"4"),
        ("C ", b"4"),
        ("Transfer-Encoding", b"chunked"),
        ("content-length", b"5"),
        ("Connection", b"x"),
        ("Host", b"x"),
        ("Upgrade", b"x"),
    ];
    for &(name, value) in bad {
        let add: &[(&str, &[u8])] = &[(name, value)];
        let edits = Edits { drop: &[], add };
        assert_eq!(sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &ForwardTo { edits, ..PLAIN }), "502", "{name}");
        assert_eq!(back("HTTP/1.1 200 OK\r\n\r\n", &ForwardBack { edits, ..BACK }), "502", "{name}");
    }
    for host in [&b"a\r\nX: y"[..], b"a\0", b"a\n"] {
        let to = ForwardTo { host: HostRule::Value(host), ..PLAIN };
        assert_eq!(sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &to), "502");
    }
    for target in [&b"/a b"[..], b"/\r\n", b"/\0", b"", b"/\x7f"] {
        assert_eq!(sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &ForwardTo { target, ..PLAIN }), "502");
    }
}

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

#[test]
fn a_response_is_framed_for_the_client_alone() {
    let body = |body| ForwardBack { body, ..BACK };
    let ok = "HTTP/1.1 200 OK\r\n";
    let cases = [
        ("Content-Length: 3\r\nA: b\r\n", BACK, format!("A: b\r\nContent-Length: 3\r\n{DATE}")),
        ("Transfer-Encoding: chunked\r\n", body(BodyLength::Chunked), format!("Transfer-Encoding: chunked\r\n{DATE}")),
        (
            "Trailer: X\r\nTransfer-Encoding: chunked\r\n",
            body(BodyLength::Chunked),
            format!("Trailer: X\r\nTransfer-Encoding: chunked\r\n{DATE}"),
        ),
        (
            "Trailer: X\r\nTransfer-Encoding: chunked\r\n",
            ForwardBack { version: Version::Http10, persistence: Persistence::Close, ..body(BodyLength::Chunked) },
            format!("Connection: close\r\n{DATE}"),
        ),
        (
            "",
            ForwardBack { persistence: Persistence::Close, ..body(BodyLength::UntilClose) },
            format!("Connection: close\r\n{DATE}"),
        ),
        ("Date: x\r\nContent-Length: 3\r\n", BACK, "Date: x\r\nContent-Length: 3\r\n".into()),
        ("Connection: date\r\nDate: x\r\nContent-Length: 3\r\n", BACK, format!("Content-Length: 3\r\n{DATE}")),
        (
            "Connection: keep-alive, X-A\r\nKeep-Alive: 5\r\nX-A: 1\r\nProxy-Connection: x\r\nUpgrade: h2\r\nContent-Length: 3\r\n",
            ForwardBack { persistence: Persistence::KeepAlive, ..BACK },
            format!("Content-Length: 3\r\nConnection: keep-alive\r\n{DATE}"),
        ),
        (
            "Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n",
            ForwardBack { via: Some("g"), ..BACK },
            format!("Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n{DATE}Via: 1.1 g\r\n"),
        ),
        ("X-A : b\r\nC: d\r\nContent-Length: 3\r\n", BACK, format!("X-A: b\r\nC: d\r\nContent-Length: 3\r\n{DATE}")),
        (
            "Content-Length: 3\r\nServer: s\r\n",
            ForwardBack { edits: Edits { drop: &["server"], add: &[("A", b"b")] }, ..BACK },
            format!("Content-Length: 3\r\n{DATE}A: b\r\n"),
        ),
    ];
    for (lines, how, expected) in cases {
        assert_eq!(back(&format!("{ok}{lines}\r\n"), &how), format!("{ok}{expected}\r\n"), "{}", lines.escape_debug());
    }
}

#[test]
fn statuses_without_a_body_get_no_length_but_that_of_what_was_not_sent() {
    let none = ForwardBack { body: BodyLength::None, ..BACK };
    let of = |status: &str| back(&format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nDate: x\r\n\r\n"), &none);
    assert_eq!(of("204 No Content"), "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n");
    assert_eq!(of("304 Not Modified"), "HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(back("HTTP/1.1 204 x\r\n\r\n", &BACK), format!("HTTP/1.1 204 x\r\n{DATE}\r\n"));
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n";
    assert_eq!(
        back(early, &ForwardBack { persistence: Persistence::Close, via: Some("g"), ..none }),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    );
    assert_eq!(
        back("HTTP/1.0 299 \u{e9}t\u{e9}\r\nDate: x\r\n\r\n", &none),
        "HTTP/1.1 299 \u{e9}t\u{e9}\r\nDate: x\r\n\r\n"
    );
    assert_eq!(back("HTTP/1.1 200\r\nDate: x\r\n\r\n", &none), "HTTP/1.1 200 \r\nDate: x\r\n\r\n");
}

#[test]
fn a_101_is_passed_on_only_where_a_tunnel_follows() {
    let raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\nDate: x\r\n\r\n";
    let none = ForwardBack { body: BodyLength::None, ..BACK };
    assert_eq!(
        back(raw, &ForwardBack { upgrade: true, ..none }),
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: k\r\nDate: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    assert_eq!(back(raw, &none), "502");
}

#[test]
fn a_head_that_came_without_lines_leaves_with_them() {
    let bytes = b"GETexample/pathcookiea=1x-yz".to_vec();
    let span = |start, len| Span { start, len };
    let mut fields = Fields::new();
    for (name, value) in [(span(15, 6), span(21, 3)), (span(24, 3), span(27, 1))] {
        fields.push(anygate_proto::Field { name, value, known: Known::of(name.of(&bytes)) });
    }
    let request = Request { method: span(0, 3), authority: span(3, 7), version: Version::Http2, ..Request::default() };
    let head = Head { bytes, request, fields };
    let mut out = Vec::new();
    let to = ForwardTo { via: Some("g"), ..PLAIN };
    forward_request(head.view(), &to, &mut Copied::new(&head.bytes, &mut out)).expect("nothing is edited");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "GET /t HTTP/1.1\r\nHost: example\r\ncookie: a=1\r\nx-y: z\r\nVia: 2.0 g\r\n\r\n"
    );
}
