//! Response heads: each line is bytes and what they come to.

use anygate_proto::h1::response::{Asked, may_begin_response, parse_response};
use anygate_proto::{BodyLength, Fields, Limits, Parsed};
use proptest::prelude::*;

fn read(raw: &[u8], asked: Asked, limits: &Limits) -> String {
    let mut fields = Fields::new();
    match parse_response(raw, limits, &mut fields, asked) {
        Err(reject) => {
            assert!(reject.close);
            reject.status.to_string()
        }
        Ok(Parsed::Partial) => "partial".into(),
        Ok(Parsed::Complete(response)) => {
            let view = response.view(raw, &fields);
            let body = match response.body {
                BodyLength::None => "none".into(),
                BodyLength::Length(length) => length.to_string(),
                BodyLength::Chunked => "chunked".into(),
                BodyLength::UntilClose => "until-close".into(),
            };
            let keep = if response.keep_alive { "keep" } else { "close" };
            let upgrade = if response.upgrade { " upgrade" } else { "" };
            format!("{} {}:{body} {keep}{upgrade}", view.status(), String::from_utf8_lossy(view.reason()))
        }
    }
}

fn each(asked: Asked, cases: &[(&str, &str)]) {
    for (raw, expected) in cases {
        assert_eq!(read(raw.as_bytes(), asked, &Limits::default()), *expected, "{}", raw.escape_debug());
    }
}

#[test]
fn status_lines_are_read_or_refused() {
    each(
        Asked::Other,
        &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 OK:3 keep"),
            ("HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n", "200 :3 keep"),
            ("HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", "200 :3 keep"),
            ("HTTP/1.1 299 Fine, \u{e9} too\r\nContent-Length: 3\r\n\r\n", "299 Fine, \u{e9} too:3 keep"),
            ("HTTP/1.1 999 x\r\nContent-Length: 3\r\n\r\n", "999 x:3 keep"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK:3 close"),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", "200 OK:3 keep"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", "200 OK:3 close"),
            ("HTTP/1.1 099 x\r\n\r\n", "502"),
            ("HTTP/1.1 20 x\r\n\r\n", "502"),
            ("HTTP/1.1 2000 x\r\n\r\n", "502"),
            ("HTTP/2.0 200 OK\r\n\r\n", "502"),
            ("ICY 200 OK\r\n\r\n", "502"),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", "502"),
            ("<html>", "502"),
            ("HTTP/1.1 200 O\rK\r\n\r\n", "502"),
            ("HTTP/1.1 200 O\0K\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\n", "502"),
            ("HTTP/1.1 200\nContent-Length: 3\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\n\n", "502"),
            ("", "partial"),
            ("HTTP/1.1 200 OK\r\n", "partial"),
        ],
    );
}

#[test]
fn a_body_ends_where_the_framing_says() {
    each(
        Asked::Other,
        &[
            ("HTTP/1.1 200 OK\r\n\r\n", "200 OK:until-close close"),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", "200 OK:until-close close"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK:chunked keep"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "502"),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", "502"),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "204 No Content:none keep"),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204 No Content:none keep"),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "304 Not Modified:none keep"),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n", "502"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "100 Continue:none keep"),
            ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "103 Early Hints:none keep"),
            ("HTTP/1.1 199 x\r\nContent-Length: 9\r\n\r\n", "199 x:none keep"),
            ("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n", "101 x:none keep upgrade"),
        ],
    );
    each(
        Asked::Head,
        &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK:none keep"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK:none keep"),
            ("HTTP/1.1 200 OK\r\n\r\n", "200 OK:none keep"),
        ],
    );
    each(
        Asked::Connect,
        &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK:none keep"),
            ("HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\n", "407 No:3 keep"),
        ],
    );
}

#[test]
fn space_before_a_colon_is_taken_and_a_folded_line_is_not() {
    let head = super::response(b"HTTP/1.1 200 OK\r\nX-A \t : b\r\nContent-Length : 3\r\n\r\n");
    assert_eq!(head.view().get_named("x-a"), Some(&b"b"[..]));
    assert_eq!(head.response.body, BodyLength::Length(3));
    each(
        Asked::Other,
        &[
            ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\n X: a\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "502"),
            ("HTTP/1.1 200 OK\r\n: a\r\n\r\n", "502"),
        ],
    );
}

#[test]
fn an_upstream_is_held_to_limits_too() {
    let limits = Limits { max_uri: 1, max_header_size: 40, max_headers: 2 };
    let read = |raw: &str| read(raw.as_bytes(), Asked::Other, &limits);
    assert_eq!(read("HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"), "502");
    assert_eq!(read(&format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(16))), "200 OK:until-close close");
    assert_eq!(read(&format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(17))), "502");
    assert_eq!(read(&"HTTP/1.1 200 OK\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxxxxx"[..40]), "502");
    assert_eq!(read(&"HTTP/1.1 200 OK\r\nA: xxxxxxxxxxxxxxxxxxxxxxxxxxxx"[..39]), "partial");
}

#[test]
fn a_beginning_that_no_answer_has_is_known_from_its_first_bytes() {
    for good in ["", "H", "HTTP/", "HTTP/1.", "HTTP/1.1 200", "HTTP/1.x"] {
        assert!(may_begin_response(good.as_bytes()), "{good}");
    }
    for bad in ["h", "\r", "SSH-", "HTTP ", "HTTP/2", "\0\0\x12\x04", "\x15\x03\x01"] {
        assert!(!may_begin_response(bad.as_bytes()), "{bad:?}");
    }
}

const VALID: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 404 Not Found\r\nX-Y : z\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.0 200\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_no_line_is_bare(raw in super::near(VALID)) {
        for asked in [Asked::Other, Asked::Head, Asked::Connect] {
            let mut fields = Fields::new();
            if let Ok(Parsed::Complete(response)) = parse_response(&raw, &Limits::default(), &mut fields, asked) {
                let head = &raw[..response.head_len as usize];
                prop_assert!(head.ends_with(b"\r\n\r\n") && !head.contains(&0));
                prop_assert!((0..head.len()).all(|at| head[at] != b'\n' || head[at - 1] == b'\r'));
            }
        }
    }
}
