//! Conditions, preferences, origins and handshakes: each line is what a request says and what it comes to.

use anygate_proto::conditional::{Precondition, Validators, evaluate, if_range, strong, weak};
use anygate_proto::forwarded::{client_address, is_trusted, node};
use anygate_proto::h1::forward::via_loop;
use anygate_proto::negotiate::{Encoding, accept_weight, encoding, media_type};
use anygate_proto::websocket::{Handshake, accepted, handshake};
use proptest::prelude::*;
use std::hint::black_box;
use std::net::IpAddr;

const CHANGED: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
const NOW: u64 = 1_763_690_000;
const CURRENT: Validators<'static> = Validators { etag: Some(b"\"x\""), last_modified: Some(CHANGED) };

fn condition(method: &str, lines: &str, current: Option<Validators<'_>>) -> Precondition {
    let head = super::request(format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
    evaluate(head.view(), current, NOW)
}

#[test]
fn conditions_are_evaluated_in_the_order_of_rfc_9110() {
    use Precondition::{Failed, NotModified, Proceed};
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let date = |name: &str, value: &str| format!("{name}: {value}\r\n");
    for (lines, reads, writes) in [
        (String::new(), Proceed, Proceed),
        ("If-None-Match: \"x\"\r\n".into(), NotModified, Failed),
        ("If-None-Match: W/\"x\"\r\n".into(), NotModified, Failed),
        ("If-None-Match: \"y\"\r\n".into(), Proceed, Proceed),
        ("If-None-Match: \"a,\", W/\"b\" , \"x\"\r\n".into(), NotModified, Failed),
        ("If-None-Match: \"y\"\r\nIf-None-Match: \"x\"\r\n".into(), NotModified, Failed),
        ("If-None-Match: *\r\n".into(), NotModified, Failed),
        ("If-None-Match: x\r\n".into(), Proceed, Proceed),
        ("If-None-Match: \"x\r\n".into(), Proceed, Proceed),
        ("If-None-Match: \"\\\"x\"\r\n".into(), Proceed, Proceed),
        ("If-None-Match:\r\n".into(), Proceed, Proceed),
        ("If-Match: \"x\"\r\n".into(), Proceed, Proceed),
        ("If-Match: W/\"x\"\r\n".into(), Failed, Failed),
        ("If-Match: \"y\", \"x\"\r\n".into(), Proceed, Proceed),
        ("If-Match: \"y\"\r\n".into(), Failed, Failed),
        ("If-Match: *\r\n".into(), Proceed, Proceed),
        (date("If-Modified-Since", AT), NotModified, Proceed),
        (date("If-Modified-Since", BEFORE), Proceed, Proceed),
        (date("If-Modified-Since", "nonsense"), Proceed, Proceed),
        (date("If-Unmodified-Since", AT), Proceed, Proceed),
        (date("If-Unmodified-Since", BEFORE), Failed, Failed),
        (date("If-Unmodified-Since", "nonsense"), Proceed, Proceed),
        // The tag is looked at, and the date then is not.
        (format!("If-None-Match: \"y\"\r\n{}", date("If-Modified-Since", AT)), Proceed, Proceed),
        (format!("If-Match: \"x\"\r\n{}", date("If-Unmodified-Since", BEFORE)), Proceed, Proceed),
        // What fails comes before what is not modified.
        ("If-None-Match: \"x\"\r\nIf-Match: \"y\"\r\n".into(), Failed, Failed),
        ("If-None-Match: \"x\"\r\nIf-Match: \"x\"\r\n".into(), NotModified, Failed),
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(condition(method, &lines, Some(CURRENT)), reads, "{method} {lines}");
        }
        assert_eq!(condition("PUT", &lines, Some(CURRENT)), writes, "PUT {lines}");
    }
    for (lines, expected) in [
        ("If-None-Match: *\r\n", Proceed),
        ("If-Match: *\r\n", Failed),
        ("If-Match: \"x\"\r\n", Failed),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", Proceed),
    ] {
        assert_eq!(condition("PUT", lines, None), expected, "{lines}");
    }
}

#[test]
fn if_range_compares_strongly() {
    let weakly = Validators { etag: Some(b"W/\"x\""), ..CURRENT };
    let fresh = Validators { last_modified: Some(NOW - 59), ..CURRENT };
    let now = String::from_utf8_lossy(&anygate_proto::date::format(NOW - 59)).into_owned();
    for (lines, current, heeded) in [
        ("", CURRENT, true),
        ("If-Range: \"x\"\r\n", CURRENT, true),
        ("If-Range: \"y\"\r\n", CURRENT, false),
        ("If-Range: W/\"x\"\r\n", CURRENT, false),
        ("If-Range: W/\"x\"\r\n", weakly, false),
        ("If-Range: \"x\"\r\n", weakly, false),
        ("If-Range: \"x\"\r\nIf-Range: \"x\"\r\n", CURRENT, false),
        ("If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", CURRENT, true),
        ("If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", CURRENT, false),
        ("If-Range: x\r\n", CURRENT, false),
        ("If-Range:\r\n", CURRENT, false),
        (&format!("If-Range: {now}\r\n"), fresh, false),
        ("If-Range: \"x\"\r\n", Validators::default(), false),
    ] {
        assert_eq!(if_range(super::get_with(lines).view(), current, NOW), heeded, "{lines}");
    }
}

#[test]
fn entity_tags_are_compared_as_the_table_of_rfc_9110_says() {
    for (a, b, strongly, weakly) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
        ("1", "1", false, false),
        ("\"", "\"", false, false),
        ("w/\"1\"", "w/\"1\"", false, false),
    ] {
        assert_eq!(
            (strong(a.as_bytes(), b.as_bytes()), weak(a.as_bytes(), b.as_bytes())),
            (strongly, weakly),
            "{a} {b}"
        );
        assert_eq!(
            (strong(b.as_bytes(), a.as_bytes()), weak(b.as_bytes(), a.as_bytes())),
            (strongly, weakly),
            "{b} {a}"
        );
    }
}

#[test]
fn accept_weighs_the_most_specific_range() {
    let weight = |accept: &str, of: &str| accept_weight(super::get_with(&format!("Accept: {accept}\r\n")).view(), of);
    let accept = "text/*;q=0.3, text/html;q=0.7, text/html;level=1, text/plain;q=0, */*;q=0.5, a/b ; Q=0.25;x=\"q=1\"";
    for (of, expected) in
        [("text/html", 700), ("text/css", 300), ("text/plain", 0), ("image/png", 500), ("a/b", 250), ("TEXT/HTML", 700)]
    {
        assert_eq!(weight(accept, of), expected, "{of}");
    }
    for (accept, expected) in [
        ("a/b", 1000),
        ("A/B", 1000),
        ("a/b;q=1", 1000),
        ("a/b;q=1.000", 1000),
        ("a/b;q=0.001", 1),
        ("a/b;q=1.001", 0),
        ("a/b;q=2", 0),
        ("a/b;q=", 0),
        ("a/b;q=-1", 0),
        ("a/b;q=0.1234", 0),
        ("c/d", 0),
        ("", 0),
    ] {
        assert_eq!(weight(accept, "a/b"), expected, "{accept}");
    }
}

#[test]
fn the_media_type_is_the_one_wanted_most_and_the_first_of_equals() {
    let both = ["application/json", "text/plain"];
    for (lines, expected) in [
        ("", Some(0)),
        ("Accept: */*\r\n", Some(0)),
        ("Accept: text/plain\r\n", Some(1)),
        ("Accept: text/*, */*;q=0.1\r\n", Some(1)),
        ("Accept: text/plain, application/json\r\n", Some(0)),
        ("Accept: text/plain;q=0.9, application/json;q=0.8\r\n", Some(1)),
        ("Accept: image/png\r\n", None),
        ("Accept: image/png\r\nAccept: text/plain\r\n", Some(1)),
    ] {
        assert_eq!(media_type(super::get_with(lines).view(), &both), expected, "{lines}");
    }
    assert_eq!(media_type(super::get_with("").view(), &[]), None);
}

#[test]
fn the_coding_is_the_clients_choice_then_the_servers_order() {
    use Encoding::{Brotli, Gzip, Identity, Zstd};
    let all = [Brotli, Zstd, Gzip];
    for (lines, expected) in [
        ("", Some(Identity)),
        ("Accept-Encoding:\r\n", Some(Identity)),
        ("Accept-Encoding: gzip\r\n", Some(Gzip)),
        ("Accept-Encoding: x-gzip\r\n", Some(Gzip)),
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", Some(Brotli)),
        ("Accept-Encoding: gzip;q=1, br;q=0.5\r\n", Some(Gzip)),
        ("Accept-Encoding: GZIP\r\n", Some(Gzip)),
        ("Accept-Encoding: deflate\r\n", Some(Identity)),
        ("Accept-Encoding: gzip;q=0\r\n", Some(Identity)),
        ("Accept-Encoding: *\r\n", Some(Brotli)),
        ("Accept-Encoding: br;q=0, *\r\n", Some(Zstd)),
        ("Accept-Encoding: gzip;q=0.5, identity\r\n", Some(Identity)),
        ("Accept-Encoding: gzip, identity;q=0.5\r\n", Some(Gzip)),
        ("Accept-Encoding: identity;q=0\r\n", None),
        ("Accept-Encoding: *;q=0\r\n", None),
        ("Accept-Encoding: gzip, *;q=0\r\n", Some(Gzip)),
        ("Accept-Encoding: gzip;q=0.001\r\n", Some(Gzip)),
    ] {
        assert_eq!(encoding(super::get_with(lines).view(), &all), expected, "{lines}");
    }
    let none = super::get_with("Accept-Encoding: gzip, identity;q=0\r\n");
    assert_eq!(encoding(none.view(), &[]), None);
}

#[test]
fn the_client_is_the_nearest_address_that_is_not_trusted() {
    let trust = ["10.0.0.0/8", "2001:db8::/32"].map(|prefix| prefix.parse().expect("a prefix"));
    for (peer, lines, expected) in [
        ("192.0.2.1", "X-Forwarded-For: 9.9.9.9\r\n", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"),
        ("::ffff:10.0.0.1", "X-Forwarded-For: ::ffff:9.9.9.9\r\n", "9.9.9.9"),
        ("10.0.0.1", "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n", "9.9.9.9"),
        ("10.0.0.1", "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.0.0.2\r\n", "9.9.9.9"),
        ("10.0.0.1", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9,10.0.0.2:99\r\n", "9.9.9.9"),
        ("10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"),
        ("10.0.0.1", "X-Forwarded-For: 9.9.9.9, unknown, 10.0.0.2\r\n", "10.0.0.2"),
        ("10.0.0.1", "X-Forwarded-For: nonsense\r\n", "10.0.0.1"),
        ("2001:db8::1", "X-Forwarded-For: [2001:db9::5]:80\r\n", "2001:db9::5"),
        ("10.0.0.1", "Forwarded: for=9.9.9.9;proto=https, for=\"[2001:db8::2]:80\"\r\n", "9.9.9.9"),
        ("10.0.0.1", "Forwarded: For=\"9.9.9.9:80\"; by=x\r\n", "9.9.9.9"),
        ("10.0.0.1", "Forwarded: for=_hidden\r\n", "10.0.0.1"),
        ("10.0.0.1", "Forwarded: for=7.7.7.7\r\nX-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"),
        ("10.0.0.1", "Forwarded: proto=http\r\n", "10.0.0.1"),
    ] {
        let peer: IpAddr = peer.parse().expect("an address");
        let found = client_address(peer, super::get_with(lines).view(), &trust);
        assert_eq!(found.to_string(), expected, "{peer} {lines}");
    }
    assert!(is_trusted("::ffff:10.1.1.1".parse().expect("an address"), &trust));
    for (value, expected) in
        [("1.2.3.4", true), ("1.2.3.4:x", false), ("[::1]", true), ("::1", true), ("[::1", false), ("", false)]
    {
        assert_eq!(node(value.as_bytes()).is_some(), expected, "{value}");
    }
}

#[test]
fn a_websocket_begins_with_a_handshake_as_rfc_6455_wants_it() {
    use Handshake::{Malformed, None, OtherVersion, Valid};
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    for (first, lines, expected) in [
        ("GET / HTTP/1.1", [UPGRADE, KEY, VERSION], Valid),
        ("GET / HTTP/1.1", ["Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n", KEY, VERSION], Valid),
        ("GET / HTTP/1.0", [UPGRADE, KEY, VERSION], None),
        ("POST / HTTP/1.1", [UPGRADE, KEY, VERSION], Malformed),
        ("GET / HTTP/1.1", ["Upgrade: websocket\r\n", KEY, VERSION], None),
        ("GET / HTTP/1.1", ["Connection: upgrade\r\nUpgrade: h2c\r\n", KEY, VERSION], None),
        ("GET / HTTP/1.1", [UPGRADE, "", VERSION], Malformed),
        ("GET / HTTP/1.1", [UPGRADE, "Sec-WebSocket-Key: dGhl\r\n", VERSION], Malformed),
        ("GET / HTTP/1.1", [UPGRADE, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n", VERSION], Malformed),
        ("GET / HTTP/1.1", [UPGRADE, KEY, ""], Malformed),
        ("GET / HTTP/1.1", [UPGRADE, KEY, "Sec-WebSocket-Version: 8\r\n"], OtherVersion),
        ("GET / HTTP/1.1", [UPGRADE, KEY, "Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n"], Malformed),
        ("GET / HTTP/1.1", [UPGRADE, KEY, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n"], Malformed),
        ("GET / HTTP/1.1", ["", "", ""], None),
    ] {
        let raw = format!("{first}\r\nHost: a\r\n{}\r\n", lines.concat());
        assert_eq!(handshake(super::request(raw.as_bytes()).view()), expected, "{raw}");
    }
    for (raw, expected) in [
        ("101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\n", true),
        ("101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", false),
        ("101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: k\r\n", false),
        ("101 x\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Accept: k\r\n", false),
        ("101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\n", false),
        ("200 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\n", false),
    ] {
        let raw = format!("HTTP/1.1 {raw}\r\n");
        assert_eq!(accepted(super::response(raw.as_bytes()).view()), expected, "{raw}");
    }
}

proptest! {
    #[test]
    fn no_value_makes_any_of_them_panic(value in "([a-z/*]{0,3}|[;,=\" \\\\]|q=[01.]{0,4}|W/|for=|\\[|\\]|:|[0-9.]{1,8}|\u{e9}){0,12}") {
        let names = ["Accept", "Accept-Encoding", "If-Match", "If-None-Match", "If-Range", "Forwarded", "X-Forwarded-For", "Via", "Upgrade",
            "If-Modified-Since", "Sec-WebSocket-Key", "Connection", "TE"];
        let value = value.trim();
        let lines: String = names.iter().map(|name| format!("{name}: {value}\r\n")).collect();
        let head = super::get_with(&lines);
        let view = head.view();
        let loopback: IpAddr = [127, 0, 0, 1].into();
        black_box((media_type(view, &["a/b", "c"]), encoding(view, &[Encoding::Gzip]), handshake(view)));
        black_box((evaluate(view, Some(CURRENT), NOW), if_range(view, CURRENT, NOW), via_loop(view, b"a")));
        black_box(client_address(loopback, view, &["127.0.0.0/8".parse().expect("a prefix")]));
    }
}
