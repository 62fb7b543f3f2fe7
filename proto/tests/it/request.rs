//! Request heads: each line is bytes and what they come to.

use anygate_proto::h1::request::parse_request;
use anygate_proto::{BodyLength, Fields, Known, Limits, Parsed, Reject, RequestView, TargetForm};
use proptest::prelude::*;

/// `origin GET a /path?query none keep`, `400`, `partial`.
fn read(raw: &[u8], limits: &Limits) -> String {
    let mut fields = Fields::new();
    match parse_request(raw, limits, &mut fields) {
        Err(Reject { status, close, .. }) => {
            assert!(close, "where the next request starts is not known");
            status.to_string()
        }
        Ok(Parsed::Partial) => "partial".into(),
        Ok(Parsed::Complete(request)) => describe(request.view(raw, &fields)),
    }
}

fn describe(view: RequestView<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = view.request;
    let form = match request.form {
        TargetForm::Origin => "origin",
        TargetForm::Absolute => request.scheme.expect("absolute targets name one").name(),
        TargetForm::Authority => "authority",
        TargetForm::Asterisk => "asterisk",
    };
    let body = match request.body {
        BodyLength::None => "none".into(),
        BodyLength::Length(length) => length.to_string(),
        BodyLength::Chunked => "chunked".into(),
        BodyLength::UntilClose => panic!("no request lasts until the connection closes"),
    };
    let mut out = format!("{form} {} {} {}", text(view.method()), text(view.authority()), text(view.path()));
    if let Some(query) = view.query() {
        out += &format!("?{}", text(query));
    }
    out += &format!(" {body} {}", if request.keep_alive { "keep" } else { "close" });
    for (flag, name) in [(request.expect_continue, " expect"), (request.upgrade, " upgrade")] {
        out += if flag { name } else { "" };
    }
    out
}

fn each(cases: &[(&str, &str)]) {
    for (raw, expected) in cases {
        assert_eq!(read(raw.as_bytes(), &Limits::default()), *expected, "{}", raw.escape_debug());
    }
}

/// `GET / HTTP/1.1` for host `a` with these lines before the empty one.
fn each_with_lines(cases: &[(&str, &str)]) {
    for (lines, expected) in cases {
        let raw = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(read(raw.as_bytes(), &Limits::default()), *expected, "{}", raw.escape_debug());
    }
}

#[test]
fn request_lines_are_read_or_refused() {
    each(&[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a / none keep"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody", "origin GET a / none keep"),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a / none keep"),
        ("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a / none keep"),
        ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("", "partial"),
        ("\r", "partial"),
        ("\r\n", "partial"),
        ("\r\n\r", "partial"),
        ("GET", "partial"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "partial"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", "partial"),
        ("PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n", "origin PROPFIND a /x none keep"),
        ("m!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n", "origin m!#$%&'*+-.^_`|~9 a / none keep"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "origin get a / none keep"),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400"),
        ("GET / \r\nHost: a\r\n\r\n", "400"),
        ("GET /\r\n\r\n", "400"),
        ("GET /\r\nHost: a\r\n\r\n", "400"),
        ("GET HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\u{2}", "400"),
    ]);
}

#[test]
fn versions_other_than_one_are_505_and_what_is_no_version_is_400() {
    each(&[
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "origin GET a / none keep"),
        ("GET / HTTP/1.9\r\nHost: a\r\nConnection: close\r\n\r\n", "origin GET a / none close"),
        ("GET / HTTP/1.9\r\n\r\n", "400"),
        ("GET / HTTP/1.9\r\nHost: a\r\n", "partial"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "505"),
        ("GET / HTTP/3.1\r\n", "505"),
        ("GET / HTTP/2", "partial"),
        ("GET / HTTP/2.", "partial"),
        ("GET / HTTP/2\r\n", "400"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/11\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/x.y\r\nHost: a\r\n\r\n", "400"),
        ("GET / x HTTP/1.5\r\nHost: a\r\n\r\n", "400"),
        ("GET / x HTTP/2.0\r\nHost: a\r\n\r\n", "400"),
        ("GET / XTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ]);
}

#[test]
fn each_form_of_target_goes_with_its_methods() {
    each(&[
        ("GET /a/b?c=d&e HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a /a/b?c=d&e none keep"),
        ("GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a /? none keep"),
        ("GET /a?b?c HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a /a?b?c none keep"),
        ("GET //x HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a //x none keep"),
        ("GET /{a}|\"<> HTTP/1.1\r\nHost: a\r\n\r\n", "origin GET a /{a}|\"<> none keep"),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", "http GET b / none keep"),
        ("GET http://b:81/c HTTP/1.1\r\nHost: a\r\n\r\n", "http GET b:81 /c none keep"),
        ("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "http GET b /?q none keep"),
        ("GET HTTPS://[::1]:81/c?d HTTP/1.1\r\nHost: a\r\n\r\n", "https GET [::1]:81 /c?d none keep"),
        ("GET http://b/ HTTP/1.1\r\n\r\n", "400"),
        ("GET http://b/ HTTP/1.0\r\n\r\n", "http GET b / none close"),
        ("GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://u:p@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://b:x/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n", "authority CONNECT b:80  none keep"),
        ("CONNECT [::1]:80 HTTP/1.1\r\nHost: a\r\n\r\n", "authority CONNECT [::1]:80  none keep"),
        ("CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n", "400"),
        ("CONNECT b: HTTP/1.1\r\nHost: b\r\n\r\n", "400"),
        ("CONNECT /x HTTP/1.1\r\nHost: b\r\n\r\n", "400"),
        ("CONNECT http://b:80/ HTTP/1.1\r\nHost: b\r\n\r\n", "400"),
        ("CONNECT * HTTP/1.1\r\nHost: b\r\n\r\n", "400"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "asterisk OPTIONS a * none keep"),
        ("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "asterisk OPTIONS b * none keep"),
        ("OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "http OPTIONS b / none keep"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ]);
}

#[test]
fn a_host_is_there_once_and_is_one() {
    for (value, fits) in [
        ("a", true),
        ("A.example.com.", true),
        ("a:80", true),
        ("a:", true),
        ("a:65535", true),
        ("a:65536", false),
        ("a:080", true),
        ("a:99999999999999999999", false),
        ("a:+80", false),
        ("a:8 0", false),
        ("a:80:80", false),
        ("127.0.0.1:8080", true),
        ("[::1]", true),
        ("[::1]:80", true),
        ("[v1.fe80::a+en1]", true),
        ("[::ffff:1.2.3.4]", true),
        ("[::1", false),
        ("::1", false),
        ("[]", false),
        ("[a]", false),
        ("[v1.]", false),
        ("[::1]x", false),
        ("[::1%25eth0]", false),
        ("a_b-c.d~e!$&'()*+,;=f", true),
        ("%41", true),
        ("%4", false),
        ("%zz", false),
        ("", false),
        (":80", false),
        ("a b", false),
        ("a/b", false),
        ("a?b", false),
        ("a#b", false),
        ("a@b", false),
        ("a\\b", false),
        ("http://a", false),
        ("\u{e9}", false),
        ("a, b", false),
    ] {
        let raw = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        let expected = if fits { format!("origin GET {value} / none keep") } else { "400".into() };
        assert_eq!(read(raw.as_bytes(), &Limits::default()), expected, "{value}");
    }
    each(&[
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHos: a\r\n\r\n", "400"),
        ("GET http://b/ HTTP/1.1\r\nHost: a@b\r\n\r\n", "400"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\n\r\n", "origin GET  / none close"),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "origin GET a / none close"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", "400"),
    ]);
}

#[test]
fn framing_is_never_ambiguous() {
    each_with_lines(&[
        ("Content-Length: 5\r\n", "origin GET a / 5 keep"),
        ("Content-Length: 0\r\n", "origin GET a / 0 keep"),
        ("Content-Length: 005\r\n", "origin GET a / 5 keep"),
        ("Content-Length: \t5 \t\r\n", "origin GET a / 5 keep"),
        ("Content-Length: 18446744073709551615\r\n", "origin GET a / 18446744073709551615 keep"),
        ("Content-Length: 18446744073709551616\r\n", "400"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "400"),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", "400"),
        ("Content-Length: 5, 5\r\n", "400"),
        ("Content-Length: 5,\r\n", "400"),
        ("Content-Length: +5\r\n", "400"),
        ("Content-Length: -5\r\n", "400"),
        ("Content-Length: \r\n", "400"),
        ("Content-Length:\r\n", "400"),
        ("Content-Length: 0x5\r\n", "400"),
        ("Content-Length: 5 5\r\n", "400"),
        ("Content-Length: 5.0\r\n", "400"),
        ("Content-Length: \u{ff15}\r\n", "400"),
        ("Transfer-Encoding: chunked\r\n", "origin GET a / chunked keep"),
        ("Transfer-Encoding: Chunked\r\n", "origin GET a / chunked keep"),
        ("Transfer-Encoding: ,chunked,\r\n", "origin GET a / chunked keep"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400"),
        ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "400"),
        ("Content-Length: 5\r\nTransfer-Encoding:\r\n", "400"),
        ("Transfer-Encoding: gzip, chunked\r\n", "501"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "501"),
        ("Transfer-Encoding: chunked, gzip\r\n", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "400"),
        ("Transfer-Encoding: chunked, chunked\r\n", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        ("Transfer-Encoding: identity\r\n", "400"),
        ("Transfer-Encoding: gzip\r\n", "400"),
        ("Transfer-Encoding: xchunked\r\n", "400"),
        ("Transfer-Encoding: chunkedx\r\n", "400"),
        ("Transfer-Encoding: \"chunked\"\r\n", "400"),
        ("Transfer-Encoding: chunked;q=1\r\n", "400"),
        ("Transfer-Encoding: chunked chunked\r\n", "400"),
        ("Transfer-Encoding:\r\n", "400"),
        ("Transfer-Encoding: \u{b}chunked\r\n", "400"),
        ("Transfer-Encoding : chunked\r\n", "400"),
        ("Transfer_Encoding: chunked\r\n", "origin GET a / none keep"),
    ]);
    each(&[
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "400"),
        ("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "origin POST a / 3 close"),
    ]);
}

#[test]
fn a_line_ends_in_cr_lf_and_has_no_control_character() {
    each(&[
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400"),
        ("GET / HTTP/1.1\r\nX: y\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nX:\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nX: \nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.0\n\n", "400"),
        ("GET / HTTP/1.0\r\n\n", "400"),
        ("GET / HTTP/1.0\n\r\n", "400"),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", "400"),
    ]);
    each_with_lines(&[
        ("X: a\rb\r\n", "400"),
        ("X: a\nb\r\n", "400"),
        ("X: a\u{0}b\r\n", "400"),
        ("X: a\u{1}b\r\n", "400"),
        ("X: a\u{7f}b\r\n", "400"),
        ("X: a\tb\r\n", "origin GET a / none keep"),
        ("X: \u{e9}\r\n", "origin GET a / none keep"),
        ("X\u{0}: a\r\n", "400"),
        ("X Y: a\r\n", "400"),
        ("X : a\r\n", "400"),
        ("X\t: a\r\n", "400"),
        (": a\r\n", "400"),
        ("X\r\n", "400"),
        ("X: a\r\n b\r\n", "400"),
        ("X: a\r\n\tb\r\n", "400"),
        (" X: a\r\n", "400"),
        ("X:a\r\n", "origin GET a / none keep"),
        ("X:\r\n", "origin GET a / none keep"),
        ("X: \t \r\n", "origin GET a / none keep"),
        ("(X): a\r\n", "400"),
        ("\"X\": a\r\n", "400"),
    ]);
}

#[test]
fn the_connection_lives_as_version_and_options_say() {
    each_with_lines(&[
        ("", "origin GET a / none keep"),
        ("Connection: close\r\n", "origin GET a / none close"),
        ("Connection: Close\r\n", "origin GET a / none close"),
        ("Connection: x, close ,y\r\n", "origin GET a / none close"),
        ("Connection: keep-alive, close\r\n", "origin GET a / none close"),
        ("Connection: keep-alive\r\nConnection: close\r\n", "origin GET a / none close"),
        ("Connection: closed\r\n", "origin GET a / none keep"),
        ("Connection: \r\n", "origin GET a / none keep"),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", "origin GET a / none keep upgrade"),
        ("Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n", "origin GET a / none keep upgrade"),
        ("Upgrade: websocket\r\n", "origin GET a / none keep"),
        ("Connection: upgrade\r\n", "origin GET a / none keep"),
        ("Expect: 100-continue\r\n", "origin GET a / none keep expect"),
        ("Expect: x, 100-Continue\r\n", "origin GET a / none keep expect"),
        ("Expect: 200-ok\r\n", "origin GET a / none keep"),
    ]);
    each(&[
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "origin GET  / none keep"),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", "origin GET  / none close"),
        ("GET / HTTP/1.0\r\nKeep-Alive: 5\r\n\r\n", "origin GET  / none close"),
        ("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "origin GET  / none close"),
        ("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "origin GET  / none close"),
    ]);
    let many = format!("Connection: {}\r\n", "x,".repeat(63));
    let more = format!("Connection: {}\r\n", "x,".repeat(64));
    each_with_lines(&[(&many, "origin GET a / none keep"), (&more, "400")]);
}

#[test]
fn each_limit_has_its_status_however_much_has_arrived() {
    let limits = Limits { max_uri: 10, max_header_size: 100, max_headers: 3 };
    let filler = |count: usize| "x".repeat(count);
    for (raw, expected) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", filler(9)), "origin GET a /xxxxxxxxx none keep"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", filler(10)), "414"),
        (format!("GET /{}", filler(10)), "414"),
        (format!("GET /{}", filler(9)), "partial"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", filler(200)), "414"),
        (format!("GET /{}\r\n", filler(10)), "414"),
        (filler(74), "partial"),
        (filler(75), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", filler(68)), "origin GET a / none keep"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", filler(69)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", filler(71)), "partial"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", filler(72)), "431"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n".into(), "origin GET a / none keep"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n\r\n".into(), "431"),
    ] {
        assert_eq!(read(raw.as_bytes(), &limits), expected, "{} bytes: {}", raw.len(), raw.escape_debug());
    }
    let body_is_no_head = format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{}", filler(1000));
    assert_eq!(read(body_is_no_head.as_bytes(), &limits), "origin GET a / none keep");
    let most = Limits { max_headers: usize::MAX, ..Limits::default() };
    let lines = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(read(lines(255).as_bytes(), &most), "origin GET a / none keep");
    assert_eq!(read(lines(256).as_bytes(), &most), "431");
}

#[test]
fn fields_are_found_by_id_and_by_name_in_order() {
    let head =
        super::get_with("Cookie: a=1\r\nX-Y: 1\r\ncookie: b=2\r\nx-y: 2\r\nEmpty:\r\nAccept: \t b, \"c,d\" ,, e \r\n");
    let view = head.view();
    assert_eq!(view.get(Known::Cookie), Some(&b"a=1"[..]));
    assert!(view.all(Known::Cookie).eq([&b"a=1"[..], b"b=2"]));
    assert!(view.all_named(b"X-y").eq([&b"1"[..], b"2"]));
    assert_eq!(view.get_named("COOKIE"), Some(&b"a=1"[..]));
    assert_eq!(view.get_named("empty"), Some(&b""[..]));
    assert_eq!(view.get_named("nothing"), None);
    assert_eq!(view.get(Known::Range), None);
    assert!(view.list(Known::Accept).eq([&b"b"[..], b"\"c,d\"", b"e"]));
    assert_eq!(view.fields().count(), 7);
    assert_eq!(view.host(), b"a");
    assert_eq!(view.request.head_len as usize, head.bytes.len());
}

#[test]
fn a_pipeline_is_read_head_by_head() {
    let raw = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPUT /2 HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\nGET /3 HTT";
    let (mut at, mut fields, mut seen) = (0, Fields::new(), Vec::new());
    while let Ok(Parsed::Complete(request)) = parse_request(&raw[at..], &Limits::default(), &mut fields) {
        seen.push((request.view(&raw[at..], &fields).path().to_vec(), fields.len()));
        at += request.head_len as usize;
    }
    assert_eq!(seen, [(b"/1".to_vec(), 1), (b"/2".to_vec(), 2)]);
    assert_eq!(&raw[at..], b"GET /3 HTT");
}

#[test]
fn steady_state_keeps_the_memory_of_fields() {
    let raw = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(20));
    let mut fields = Fields::with_capacity(32);
    fields.clear();
    let before = fields.iter().as_slice().as_ptr();
    for _ in 0..3 {
        assert!(parse_request(raw.as_bytes(), &Limits::default(), &mut fields).is_ok());
        assert_eq!((fields.iter().as_slice().as_ptr(), fields.len()), (before, 21));
    }
}

const VALID: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a/b?c=d HTTP/1.1\r\nHost: a.example:80\r\nX-Y: z\r\nContent-Length: 3\r\n\r\nabc",
    "PUT http://b/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost:a\r\nX:\r\n\r\n",
    "CONNECT b:80 HTTP/1.1\r\nHost: b\r\n\r\n",
    "GET /x HTTP/1.0\r\n\r\nGET /",
];

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_every_span_lies_within(raw in super::near(VALID)) {
        let mut fields = Fields::new();
        if let Ok(Parsed::Complete(request)) = parse_request(&raw, &Limits::default(), &mut fields) {
            let length = request.head_len as usize;
            prop_assert!(length <= raw.len() && raw[..length].ends_with(b"\r\n\r\n"));
            let bare = |at: usize| raw[at] == b'\n' && (at == 0 || raw[at - 1] != b'\r')
                || raw[at] == b'\r' && raw.get(at + 1) != Some(&b'\n') || raw[at] == 0;
            prop_assert!(!(0..length).any(bare));
            for field in &fields {
                prop_assert!(field.name.end() < field.value.start as usize + 1 && field.value.end() < length);
                prop_assert_eq!(Known::of(field.name.of(&raw)), field.known);
            }
            prop_assert!(request.target.end() < length && request.path.end() <= request.target.end());
            prop_assert!(request.authority.end() < length);
            let text = String::from_utf8_lossy(&raw[..length]).to_lowercase();
            let lines = |name: &str| text.trim_start_matches("\r\n").split("\r\n").skip(1).filter(|line| line.starts_with(name)).count();
            let (lengths, codings) = (lines("content-length:"), lines("transfer-encoding:"));
            prop_assert_eq!(lines(""), fields.len() + 2, "every line is a field, but the two empty ends");
            prop_assert!(lengths + codings <= 1);
            prop_assert_eq!(request.body == BodyLength::Chunked, codings == 1);
            prop_assert_eq!(matches!(request.body, BodyLength::Length(_)), lengths == 1);
            prop_assert!(lines("host:") == 1 || lines("host:") == 0 && text.contains(" http/1.0\r\n"));
            let view = request.view(&raw, &fields);
            prop_assert!(view.authority().is_empty() == (request.version == anygate_proto::Version::Http10
                && !fields.has(Known::Host) && request.scheme.is_none() && view.method() != b"CONNECT"));
        }
    }

    #[test]
    fn a_head_is_the_same_in_whatever_pieces_it_comes(raw in super::near(VALID)) {
        let limits = Limits { max_uri: 20, max_header_size: 120, max_headers: 4 };
        let whole = read(&raw, &limits);
        for cut in 0..raw.len() {
            let part = read(&raw[..cut], &limits);
            // What a part is found to be, the whole is too; a refusal may come for another fault that lies before.
            if part != "partial" {
                prop_assert!(part == whole || part.len() == 3 && whole.len() == 3,
                    "{} is {part}, then {whole}", raw[..cut].escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        method in "[!#-'*+.0-9A-Z^-z|~-]{1,12}",
        path in "/[!-\"$->@-~]{0,40}",
        query in prop::option::of("[!-\"$-~]{0,20}"),
        host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in prop::collection::vec(("x-[!#-'*+.0-9A-Z^-z|~-]{1,12}", "([!-~\u{e9}]([ -~\t]{0,20}[!-~])?)?"), 0..20),
        length in prop::option::of(any::<u64>()),
        space in "[ \t]{0,3}",
    ) {
        prop_assume!(method != "CONNECT");
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut raw = format!("{method} {target} HTTP/1.1\r\nHost:{space}{host}{space}\r\n");
        for (name, value) in &fields {
            raw += &format!("{name}:{space}{value}{space}\r\n");
        }
        if let Some(length) = length {
            raw += &format!("Content-Length: {length}\r\n");
        }
        raw += "\r\n";
        for cut in 0..raw.len() {
            let mut fields = Fields::new();
            prop_assert_eq!(parse_request(&raw.as_bytes()[..cut], &Limits::default(), &mut fields), Ok(Parsed::Partial));
        }
        let head = super::request(raw.as_bytes());
        let view = head.view();
        prop_assert_eq!(view.method(), method.as_bytes());
        prop_assert_eq!(view.path(), path.as_bytes());
        prop_assert_eq!(view.query(), query.as_deref().map(str::as_bytes));
        prop_assert_eq!(view.authority(), host.as_bytes());
        prop_assert_eq!(view.request.body, length.map_or(BodyLength::None, BodyLength::Length));
        let expected = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        prop_assert!(view.fields().skip(1).take(fields.len()).eq(expected));
    }
}
