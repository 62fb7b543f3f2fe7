//! What goes on to a server behind, what comes back, and over which connections.

use std::io::Write;
use std::time::Duration;

use anygate_serve::control::Order;

use crate::backend::Backend;
use crate::harness::{Gate, PATIENCE, both, undated, until};

const OK: &str = "HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok";

/// Proxy settings, what the client sends, and what the server behind gets; `PORT` stands for that server's.
const FORWARDED: &[(&str, &str, &str)] = &[
    (
        "",
        "GET /a/b?x=1 HTTP/1.1\r\nHost: site.example\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n",
        "GET /a/b?x=1 HTTP/1.1\r\nHost: site.example\r\nUser-Agent: t\r\nAccept: */*\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: site.example\r\nX-Forwarded-Proto: http\r\nVia: 1.1 anygate-test\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false, host: target",
        "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false, host: fixed.example",
        "GET / HTTP/1.1\r\nHost: site.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: fixed.example\r\n\r\n",
    ),
    (
        "x_forwarded: false, forwarded: true",
        "GET / HTTP/1.1\r\nHost: site.example\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.0 far\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: site.example\r\nVia: 1.0 far\r\n\
         Forwarded: for=127.0.0.1;host=site.example;proto=http\r\nVia: 1.1 anygate-test\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\n\
         Proxy-Connection: close\r\nUpgrade: h2c\r\nX_Forwarded_For: 1.2.3.4\r\nX-Kept: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Kept: 2\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false",
        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ),
    (
        "x_forwarded: false, via: false",
        "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\nHost: b\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false",
        "GET http://abs.example/x/../y//z HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET /y/z HTTP/1.1\r\nHost: abs.example\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false",
        "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n",
        "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 2\r\n\r\n",
    ),
    (
        "x_forwarded: false, via: false",
        "BREW /pot HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    ),
    ("x_forwarded: false, via: false", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n"),
];

#[test]
fn a_request_goes_on_to_the_byte() {
    both(|io| {
        for (settings, sent, expected) in FORWARDED {
            let backend = Backend::answering(OK);
            let gate = Gate::start(io, &backend.config_with(settings));
            let mut client = gate.client();
            client.send(sent.as_bytes());
            let answer = client.response();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{io:?}: {sent}: {answer}");
            let expected = expected.replace("PORT", &backend.address.port().to_string());
            assert_eq!(backend.request(), expected, "{io:?}");
        }
    });
}

/// A server's answer, and what the client gets; then the server closes.
const ANSWERED: &[(&str, &str, &str)] = &[
    (
        "GET",
        "HTTP/1.1 200 Fine\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nok",
        "HTTP/1.1 200 Fine\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    ),
    (
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    ),
    (
        "GET",
        "HTTP/1.1 200 OK\r\n\r\nuntil close",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nb\r\nuntil close\r\n0\r\n\r\n",
    ),
    (
        "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nConnection: close\r\n\r\n",
    ),
    (
        "GET",
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1234\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1234\r\nConnection: close\r\n\r\n",
    ),
    ("GET", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: y\r\nConnection: close\r\n\r\n"),
    (
        "GET",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: 3\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    (
        "GET",
        "HTTP/1.0 299 Odd\r\nX-Space : 1\r\nContent-Length: 1\r\n\r\n!",
        "HTTP/1.1 299 Odd\r\nX-Space: 1\r\nContent-Length: 1\r\nConnection: close\r\n\r\n!",
    ),
    (
        "GET",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    // What is no answer, or one that would split, or switches to what nobody asked for: 502.
    ("GET", "SSH-2.0-x\r\n\r\n", "502"),
    ("GET", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", "502"),
    ("GET", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", "502"),
    ("GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "502"),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "502"),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502"),
    ("GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "502"),
    ("GET", "HTTP/1.1 200 O", "502"),
    ("GET", "", "502"),
];

#[test]
fn an_answer_comes_back_to_the_byte() {
    both(|io| {
        for (method, answer, expected) in ANSWERED {
            let backend = Backend::start(move |served| {
                served.request();
                served.send(answer.as_bytes());
            });
            let gate = Gate::start(io, &backend.config_with("via: false"));
            let got = gate.once(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
            // Interim answers have no date of their own.
            let got: String = got.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
            if *expected == "502" {
                assert!(got.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{io:?}: {answer:?}: {got:?}");
                assert!(!got.contains("127.0.0.1"), "{io:?}: an error page shows no inner address: {got}");
            } else {
                assert_eq!(got, *expected, "{io:?}: {answer:?}");
            }
        }
    });
}

#[test]
fn http_1_0_gets_no_interim_answers_and_no_chunks() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        });
        let gate = Gate::start(io, &backend.config_with("via: false"));
        let answer = undated(&gate.once(b"GET / HTTP/1.0\r\n\r\n"));
        assert_eq!(answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", "{io:?}");
    });
}

#[test]
fn a_truncated_body_is_never_a_clean_end() {
    both(|io| {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ] {
            let backend = Backend::start(move |served| {
                served.request();
                served.send(answer.as_bytes());
            });
            let gate = Gate::start(io, &backend.config());
            let got = gate.once(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            // Less than the length that was announced, or no last chunk.
            assert!(!got.ends_with("\r\n0\r\n\r\n") && !got.contains("abcdefghij"), "{io:?}: {answer:?}: {got:?}");
            assert_eq!(gate.cells.upstream_failures.get(), 1, "{io:?}: {answer:?}");
        }
    });
}

#[test]
fn a_large_body_that_is_cut_short_is_cut_short_for_the_client() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            served.send(&pattern(500_000));
        });
        let gate = Gate::start(io, &backend.config());
        let got = gate.once(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(got.starts_with("HTTP/1.1 200 ") && got.contains("Content-Length: 1000000\r\n"), "{io:?}");
        assert_eq!(gate.cells.upstream_failures.get(), 1, "{io:?}");
    });
}

#[test]
fn an_upload_that_is_cut_short_is_cut_short_for_the_server() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            let (bytes, _) = served.rest();
            served.record(String::from_utf8_lossy(&bytes).into_owned());
        });
        let gate = Gate::start(io, &backend.config());
        for (head, body) in [
            ("Content-Length: 10", "abc"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\n"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\nnonsense\r\n"),
        ] {
            let mut client = gate.client();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}").as_bytes());
            client.finish();
            let answer = client.rest();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{io:?}: {head}: {answer}");
            let got = backend.request();
            assert!(got == "abc" || got == "3\r\nabc\r\n" || got.is_empty(), "{io:?}: {head}: {got}");
        }
    });
}

#[test]
fn long_values_pass_through_unchanged() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(head) = served.request() {
                let value = head.lines().find_map(|line| line.strip_prefix("X-Long: ")).unwrap_or_default().to_owned();
                served.send(
                    format!("HTTP/1.1 200 OK\r\nX-Back: {value}{value}\r\nContent-Length: 2\r\n\r\nok").as_bytes(),
                );
            }
        });
        let gate = Gate::start(io, &backend.config());
        let value: String = ('a'..='z').cycle().take(25_000).collect();
        let mut client = gate.client();
        for _ in 0..2 {
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {value}\r\n\r\n").as_bytes());
            let answer = client.response();
            assert!(answer.contains(&format!("\r\nX-Back: {value}{value}\r\n")) && answer.ends_with("ok"), "{io:?}");
        }
        assert_eq!(backend.connections(), 1, "{io:?}");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                served.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).as_bytes());
            }
        });
        let gate = Gate::start(io, &format!("routes: {{/: \"http://{}\", /ok: OK fixed}}\n", backend.address));
        let mut client = gate.client();
        let mut pipeline = String::new();
        for at in 0..30 {
            pipeline += &format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n");
            pipeline += "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";
            pipeline += &format!("POST /p{at} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        }
        client.send(pipeline.as_bytes());
        for at in 0..30 {
            for expected in [format!("/{at}"), "fixed".to_owned(), format!("/p{at}")] {
                let answer = client.response();
                assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{io:?}: {expected}: {answer}");
            }
        }
        assert_eq!(backend.connections(), 1, "{io:?}");
    });
}

#[test]
fn many_clients_share_the_connections_and_keep_their_own_answers() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let path = request.split(' ').nth(1).unwrap_or_default();
                let body = path.repeat(1 + path.len() * 37 % 600);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                served.send(answer.as_bytes());
            }
        });
        let gate = Gate::start(io, &backend.config());
        std::thread::scope(|scope| {
            for client in 0..16 {
                let gate = &gate;
                scope.spawn(move || {
                    let mut connection = gate.client();
                    for at in 0..40 {
                        let path = format!("/{client}/{}", "x".repeat(at));
                        connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
                        let answer = connection.response();
                        let body = path.repeat(1 + path.len() * 37 % 600);
                        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{io:?}: {path}");
                    }
                });
            }
        });
        assert!(backend.connections() <= 16, "{io:?}: {}", backend.connections());
    });
}

#[test]
fn a_pool_of_none_keeps_none() {
    both(|io| {
        let backend = Backend::answering(OK);
        let config = format!(
            "upstreams: {{app: {{servers: [\"{}\"], keep_alive: 0}}}}\nroutes: {{/: \"http://app\"}}\n",
            backend.address
        );
        let gate = Gate::start(io, &config);
        let mut client = gate.client();
        for _ in 0..3 {
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.response().ends_with("ok"), "{io:?}");
        }
        assert_eq!(backend.connections(), 3, "{io:?}");
    });
}

#[test]
fn connections_are_kept_and_used_again() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        for _ in 0..50 {
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.response().ends_with("ok"), "{io:?}");
        }
        for _ in 0..10 {
            gate.once(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
        }
        assert_eq!(backend.connections(), 1, "{io:?}");
        assert_eq!(gate.cells.upstream_connects.get(), 1, "{io:?}");
        assert_eq!(gate.cells.upstream_reuses.get(), 59, "{io:?}");
    });
}

#[test]
fn a_pool_outlives_a_reload_and_what_rests_in_it_an_absence() {
    both(|io| {
        let (one, two) = (Backend::answering(OK), Backend::answering(OK));
        let gate = Gate::start(io, &one.config());
        let get = || gate.once(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        get();
        gate.install(&one.config_with("via: false"));
        get();
        assert_eq!(one.connections(), 1, "{io:?}");
        gate.install(&two.config());
        get();
        assert_eq!((one.connections(), two.connections()), (1, 1), "{io:?}");
        gate.install(&one.config());
        get();
        assert_eq!((one.connections(), two.connections()), (1, 1), "{io:?}: it is not over yet");
    });
}

#[test]
fn requests_go_round_and_past_a_server_that_is_down() {
    both(|io| {
        let (one, two) = (Backend::answering(OK), Backend::answering(OK));
        let dead =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let config = format!("routes: {{/: \"http://{} http://{dead} http://{}\"}}\n", one.address, two.address);
        let gate = Gate::start(io, &config);
        for _ in 0..6 {
            let answer = gate.once(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
            assert!(answer.starts_with("HTTP/1.1 200"), "{io:?}: {answer}");
        }
        let count = |backend: &Backend| std::iter::from_fn(|| (!backend.is_quiet()).then_some(())).count();
        assert_eq!((count(&one), count(&two)), (3, 3), "{io:?}: nobody serves for two");
        // Found down once, it comes last for a while.
        assert_eq!(gate.cells.upstream_retries.get(), 1, "{io:?}");
        assert_eq!(gate.cells.upstream_failures.get(), 1, "{io:?}");
    });
}

#[test]
fn no_server_is_502_and_an_unresolved_one_503_until_it_is_resolved() {
    both(|io| {
        let dead =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let backend = Backend::answering(OK);
        let port = backend.address.port();
        let gate =
            Gate::start(io, &format!("routes: {{/dead: \"http://{dead}\", /: \"http://name.invalid:{port}\"}}\n"));
        let dead = gate.once(b"GET /dead HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(dead.starts_with("HTTP/1.1 502 "), "{io:?}: {dead}");
        let get = || gate.once(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(get().starts_with("HTTP/1.1 503 "), "{io:?}");
        let key = format!("http://name.invalid:{port}").into();
        // The first address refuses: the next one is tried, and remembered.
        let refusing = std::net::SocketAddr::from(([127, 0, 0, 77], port));
        gate.order(Order::Resolved { key, addresses: [refusing, backend.address].into() });
        assert!(get().starts_with("HTTP/1.1 200 "), "{io:?}");
        assert!(get().starts_with("HTTP/1.1 200 "), "{io:?}");
        assert_eq!(gate.cells.upstream_connects.get(), 1, "{io:?}");
    });
}

#[test]
fn a_name_that_moves_takes_its_requests_along() {
    both(|io| {
        let (old, new) = (Backend::answering(OK), Backend::answering(OK));
        let gate = Gate::start(io, "routes: {/: \"http://name.invalid:80\"}\n");
        let mut client = gate.client();
        let mut get = |addresses: &[std::net::SocketAddr]| {
            gate.order(Order::Resolved { key: "http://name.invalid:80".into(), addresses: addresses.into() });
            for _ in 0..3 {
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                assert!(client.response().ends_with("ok"), "{io:?}");
            }
            let count = |backend: &Backend| std::iter::from_fn(|| (!backend.is_quiet()).then_some(())).count();
            (count(&old), count(&new))
        };
        assert_eq!(get(&[old.address]), (3, 0), "{io:?}");
        assert_eq!(get(&[old.address, new.address]), (3, 0), "{io:?}: what is kept still leads there");
        assert_eq!(get(&[new.address]), (0, 3), "{io:?}: what is kept leads elsewhere");
        assert_eq!((old.connections(), new.connections()), (1, 1), "{io:?}");
    });
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_is_not_used() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(OK.as_bytes());
        });
        let gate = Gate::start(io, &backend.config());
        for _ in 0..5 {
            let answer = gate.once(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
            assert!(answer.ends_with("ok"), "{io:?}: {answer}");
            assert!(until(|| gate.counters.sockets.get() <= 1), "{io:?}: only the listener is left");
        }
        assert_eq!(gate.cells.upstream_retries.get(), 0, "{io:?}");
        assert_eq!(gate.cells.upstream_connects.get(), 5, "{io:?}");
    });
}

#[test]
fn a_request_that_meets_a_closing_connection_is_sent_again_only_if_that_is_safe() {
    both(|io| {
        // The second request of each connection is read and not answered.
        let backend = Backend::start(|served| {
            served.request();
            served.send(OK.as_bytes());
            served.request();
        });
        let gate = Gate::start(io, &backend.config_with("retries: 0"));
        let ask = |request: &str| gate.once(format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(ask("GET /1 HTTP/1.1").ends_with("ok"), "{io:?}");
        assert!(ask("GET /2 HTTP/1.1").ends_with("ok"), "{io:?}: sent again");
        assert_eq!(gate.cells.upstream_retries.get(), 1, "{io:?}");
        let unsafe_one = ask("POST /3 HTTP/1.1");
        assert!(unsafe_one.starts_with("HTTP/1.1 502 "), "{io:?}: {unsafe_one}");
        let paths = std::iter::from_fn(|| (!backend.is_quiet()).then_some(())).count();
        assert_eq!(paths, 4, "{io:?}: 1, 2, 2 again, 3");
    });
}

#[test]
fn slow_servers_get_504_in_time() {
    both(|io| {
        let mute = Backend::start(|served| {
            served.request();
            std::thread::sleep(PATIENCE * 2);
        });
        for setting in ["first_byte_timeout: 100ms", "timeout: 100ms"] {
            let gate = Gate::start(io, &mute.config_with(setting));
            let answer = gate.once(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 504 "), "{io:?}: {setting}: {answer}");
        }
        let stalling = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            std::thread::sleep(PATIENCE * 2);
        });
        for setting in ["read_timeout: 100ms", "timeout: 100ms"] {
            let gate = Gate::start(io, &stalling.config_with(setting));
            let began = std::time::Instant::now();
            let answer = gate.once(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert!(!answer.contains("0123456789") && began.elapsed() < PATIENCE / 2, "{io:?}: {setting}: {answer}");
        }
    });
}

#[test]
fn a_loop_is_found_and_max_forwards_ends_here() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate =
            Gate::start(io, &format!("routes: {{/: \"http://{0}\", TRACE /: \"http://{0}\"}}\n", backend.address));
        let ask = |request: &str| gate.once(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes());
        let looped = ask("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 anygate-test");
        assert!(looped.starts_with("HTTP/1.1 508 "), "{io:?}: {looped}");
        let other = ask("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 anygate-other");
        assert!(other.starts_with("HTTP/1.1 200 "), "{io:?}: {other}");
        let traced = ask("TRACE /t HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nCookie: secret");
        assert!(
            traced.starts_with("HTTP/1.1 200 ") && traced.contains("Content-Type: message/http"),
            "{io:?}: {traced}"
        );
        assert!(traced.contains("TRACE /t HTTP/1.1\r\nHost: a\r\n") && !traced.contains("secret"), "{io:?}: {traced}");
        assert!(backend.request().starts_with("GET / "), "{io:?}");
        assert!(backend.is_quiet(), "{io:?}");
    });
}

#[test]
fn the_client_is_told_to_continue_once_a_server_is_there() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &backend.config_with("x_forwarded: false, via: false"));
        let mut client = gate.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n", "{io:?}");
        client.send(b"hello");
        assert!(client.response().ends_with("ok"), "{io:?}");
        assert_eq!(backend.request(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "{io:?}");
    });
}

#[test]
fn a_client_with_much_to_send_is_told_to_continue_too() {
    const SIZE: usize = 300_000;
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(
            format!("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes(),
        );
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n", "{io:?}");
        client.send(&[b'x'; SIZE]);
        assert!(client.response().ends_with("ok"), "{io:?}");
    });
}

#[test]
fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            served.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
            std::thread::sleep(PATIENCE * 2);
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client.send(&[b'x'; 1000]);
        let answer = client.response();
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("no"), "{io:?}: {answer}");
        assert!(answer.contains("Connection: close"), "{io:?}: {answer}");
    });
}

#[test]
fn a_server_may_answer_while_it_reads() {
    both(|io| {
        // Sends back what comes, as it comes.
        let backend = Backend::start(|served| {
            served.head();
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
            for _ in 0..10 {
                let Some(byte) = served.bytes(1) else { return };
                served.send(&byte);
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01");
        assert!(client.head().starts_with("HTTP/1.1 200 "), "{io:?}");
        client.send(b"23456");
        std::thread::sleep(Duration::from_millis(20));
        client.send(b"789");
        assert_eq!(client.rest(), "0123456789", "{io:?}");
    });
}

/// Bytes that no two places have alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn large_bodies_come_through_whole_both_ways() {
    const SIZE: usize = 5_000_001;
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(head) = served.head() {
                if head.starts_with("POST") {
                    let Some(body) = served.bytes(SIZE) else { return };
                    served.record(format!("whole: {}", body == pattern(SIZE)));
                }
                let _ = write!(served.stream, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
                served.send(&pattern(SIZE));
            }
        });
        let gate = Gate::start(io, &format!("server: {{max_body_size: 0}}\n{}", backend.config()));
        let mut client = gate.client();
        for round in 0..3 {
            client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
            client.send(&pattern(SIZE));
            assert!(client.head().starts_with("HTTP/1.1 200 "), "{io:?} {round}");
            assert!(client.bytes(SIZE) == pattern(SIZE), "{io:?} {round}");
            assert_eq!(backend.request(), "whole: true", "{io:?} {round}");
        }
        assert_eq!(backend.connections(), 1, "{io:?}");
    });
}

#[test]
fn a_client_that_stalls_in_a_long_upload_gets_408_and_is_not_the_servers_fault() {
    both(|io| {
        let backend = Backend::start(|served| {
            while served.head().is_some() {
                served.rest();
            }
        });
        let gate = Gate::start(io, &format!("server: {{read_timeout: 200ms}}\n{}", backend.config()));
        let mut client = gate.client();
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client.send(&pattern(300_000));
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{io:?}: {answer}");
        assert_eq!(gate.cells.timeouts_read.get(), 1, "{io:?}");
        assert_eq!(gate.cells.upstream_failures.get(), 0, "{io:?}");
    });
}

#[test]
fn a_client_that_does_not_read_holds_its_server_back() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            served.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket option");
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65536], b"\r\n"].concat();
            let mut sent = 0;
            while sent < 200 << 20 && served.send(&chunk) {
                sent += chunk.len();
            }
            served.record(sent.to_string());
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let sent: usize = backend.request().parse().expect("a number");
        assert!(sent < 64 << 20, "{io:?}: {sent} bytes went nowhere");
    });
}

#[test]
fn a_unix_socket_is_a_server_too() {
    both(|io| {
        let path = std::env::temp_dir().join(format!("anygate-proxy-{}-{io:?}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the gate connects");
            let mut bytes = [0; 4096];
            let n = std::io::Read::read(&mut stream, &mut bytes).expect("a request");
            stream.write_all(OK.as_bytes()).expect("it is read");
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        });
        let settings = "proxy: {x_forwarded: false, via: false, host: target}";
        let gate = Gate::start(io, &format!("{settings}\nroutes: {{/a/: \"http+unix://{}:/b/\"}}\n", path.display()));
        let answer = gate.once(b"GET /a/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.ends_with("ok"), "{io:?}: {answer}");
        assert_eq!(thread.join().expect("no panic"), "GET /b/c HTTP/1.1\r\nHost: localhost\r\n\r\n", "{io:?}");
        let _ = std::fs::remove_file(&path);
        let answer = gate.once(b"GET /a/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 502 "), "{io:?}: {answer}");
    });
}
