//! What fixed and echo routes, redirects and the server itself answer.

use crate::harness::{Gate, both, undated};

/// The customer's six lines but for the two that need a folder and a server behind.
const SIX: &str = r#"
routes:
  GET POST PATCH /api/mock/rude: FORBIDDEN {"msg":"GO PATCH UR MUM!"} # fixed, JSON
  GET /fastest/ever/ok: OK                                           # fixed
  /a/b/c: *                                                          # echo
  /a/b/c-forbidden: FORBIDDEN *                                      # echo with a status
  "/old/:id": "MOVED /new/:id"
  "/text": "OK hello"
  "/v": {to: "OK 1.2", headers: {Cache-Control: no-store}}
"#;

/// Request and the whole answer, without its date; `Connection: close` is added to the request by the test.
const CASES: &[(&str, &str)] = &[
    (
        "GET /fastest/ever/ok HTTP/1.1\r\nHost: a",
        "HTTP/1.1 200 OK\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    (
        "PATCH /api/mock/rude HTTP/1.1\r\nHost: a",
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 26\r\nConnection: close\r\n\r\n{\"msg\":\"GO PATCH UR MUM!\"}",
    ),
    (
        "HEAD /api/mock/rude HTTP/1.1\r\nHost: a",
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 26\r\nConnection: close\r\n\r\n",
    ),
    (
        "GET /text HTTP/1.1\r\nHost: a",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    ),
    (
        "GET /old/7?x=1 HTTP/1.1\r\nHost: a",
        "HTTP/1.1 301 Moved Permanently\r\nLocation: /new/7?x=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    (
        "DELETE /fastest/ever/ok HTTP/1.1\r\nHost: a",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nAllow: GET, HEAD, OPTIONS\r\nContent-Length: 23\r\nConnection: close\r\n\r\n405 Method Not Allowed\n",
    ),
    (
        "OPTIONS /fastest/ever/ok HTTP/1.1\r\nHost: a",
        "HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, OPTIONS\r\nConnection: close\r\n\r\n",
    ),
    ("OPTIONS * HTTP/1.1\r\nHost: a", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
];

#[test]
fn every_answer_is_exact_to_the_byte() {
    both(|io| {
        let gate = Gate::start(io, SIX);
        for (request, expected) in CASES {
            let answer = gate.once(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes());
            assert_eq!(undated(&answer), *expected, "{io:?}: {request}");
        }
    });
}

/// Malformed requests and the status each gets; the connection is closed after it.
const REFUSED: &[(&str, u16)] = &[
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST /a/b/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ("GET /..%2f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
    ("GET /a%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
    ("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
    ("TRACE /text HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n", 405),
    ("POST /a/b/c HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ("garbage\r\n\r\n", 400),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n", 400),
];

#[test]
fn what_breaks_the_protocol_gets_its_status_and_loses_its_connection() {
    both(|io| {
        let gate = Gate::start(io, SIX);
        for (request, status) in REFUSED {
            let answer = gate.once(request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{io:?}: {request:?}: {answer:?}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{io:?}: {request:?}: {answer:?}");
        }
        assert!(gate.once(b"GET /text HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ends_with("hello"));
    });
}

#[test]
fn limits_have_their_own_statuses() {
    both(|io| {
        let gate =
            Gate::start(io, "server: {max_uri_size: 1KiB, max_header_size: 4KiB, max_headers: 8}\nroutes: {/: OK}\n");
        let long = "x".repeat(2000);
        let uri = format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n");
        let size = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {long}\r\nB: {long}\r\nC: {long}\r\n\r\n");
        let count = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(9));
        let endless = "GET / HTTP/1.1\r\nHost: a\r\nA: ".to_owned() + &"y".repeat(9000);
        for (request, status) in [(uri, 414), (size, 431), (count, 431), (endless, 431)] {
            let answer = gate.once(request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{io:?}: {status}: {answer:?}");
        }
    });
}

#[test]
fn an_echo_shows_the_request_and_masks_its_secrets() {
    both(|io| {
        let gate = Gate::start(io, SIX);
        let answer = gate.once(
            b"POST /a/b/c?q=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2\r\nCookie: s=hunter2\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        );
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\"POST\"") && answer.contains("/a/b/c?q=1") && answer.contains("hello"), "{answer}");
        assert!(!answer.contains("hunter2"), "{answer}");
        let answer =
            gate.once(b"GET /a/b/c-forbidden HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert!(answer.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{answer}");
    });
}

#[test]
fn a_rules_headers_are_on_its_answer() {
    both(|io| {
        let gate = Gate::start(io, SIX);
        let answer = gate.once(b"GET /v HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.contains("\r\nCache-Control: no-store\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n1.2"), "{answer}");
    });
}
