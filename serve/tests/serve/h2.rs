//! HTTP/2 at the front door: every action, content both ways, limits and ends of connections.

use std::sync::Arc;
use std::time::Duration;

use anygate_serve::control::Order;
use rustls::client::Resumption;

use crate::backend::Backend;
use crate::greedy::reached;
use crate::h2_client::{DATA, H2, PING, RST_STREAM, WINDOW_UPDATE};
use crate::harness::{Gate, both, plan};
use crate::papers::Papers;
use anygate_proto::h2::PREFACE;
use anygate_proto::websocket::accept_of;
use anygate_serve::observe::limit::Limit;
use anygate_serve::testing::{Spot, panic_once};

/// A WebSocket's opening handshake (RFC 8441 §5.1).
pub(crate) const WEBSOCKET: [(&str, &str); 7] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "a.test"),
    (":path", "/chat?r=1"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat"),
];

/// The beginning of the answer that agrees to a handshake of HTTP/1.1.
pub(crate) fn switching(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("there is a key");
    let accept = accept_of(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        String::from_utf8_lossy(&accept)
    )
}

const CANCEL: u32 = 8;
const CALM: u32 = 11;

#[test]
fn what_is_ready_is_answered_and_many_at_once() {
    both(|io| {
        let gate = Gate::start(io, "server: {name: gate}\nroutes: {/ok: OK hello}\n");
        let mut client = H2::plain(&gate);
        for stream in (1..65).step_by(2) {
            client.ask(stream, "GET", "/ok", &[], true);
        }
        for stream in (1..65).step_by(2) {
            let answer = client.answer(stream);
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{io:?}");
            assert_eq!(answer.get("content-length"), Some("5"), "{io:?}");
            assert_eq!(answer.get("server"), Some("gate"), "{io:?}");
            assert_eq!(answer.get("date").map(str::len), Some(29), "{io:?}");
        }
        client.ask(65, "HEAD", "/ok", &[], true);
        let head = client.answer(65);
        assert_eq!((head.status, head.get("content-length"), head.body.len()), (200, Some("5"), 0), "{io:?}");
        let none = client.get(67, "/nowhere");
        assert_eq!((none.status, none.text().as_str()), (404, "404 Not Found\n"), "{io:?}");
        assert_eq!(gate.cells.h2_requests.get(), 34, "{io:?}");
        assert_eq!((gate.cells.h2_connections.get(), gate.cells.requests.get()), (1, 34), "{io:?}");
    });
}

#[test]
fn the_preface_may_come_in_any_pieces_and_http_1_1_goes_on_beside_it() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK hello}\n");
        for at in 1..PREFACE.len() {
            let mut client = gate.client();
            client.send(&PREFACE[..at]);
            std::thread::sleep(Duration::from_millis(2));
            client.send(&PREFACE[at..]);
            client.send(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
            let first = client.bytes(9);
            assert_eq!(first[3], 4, "{io:?}: our settings come first, also after {at} bytes");
        }
        let mut client = gate.client();
        client.send(b"P");
        std::thread::sleep(Duration::from_millis(20));
        client.send(b"UT /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert!(client.response().starts_with("HTTP/1.1 200 "), "{io:?}");
    });
}

#[test]
fn a_listener_may_speak_http_1_1_alone() {
    both(|io| {
        let gate = Gate::start(io, "server: {listen: {addr: \":0\", h2: false}}\nroutes: {/ok: OK hello}\n");
        let mut client = gate.client();
        client.send(PREFACE);
        let said = client.rest();
        assert!(said.starts_with("HTTP/1.1 505 "), "{io:?}: {said}");
    });
}

#[test]
fn over_tls_it_is_agreed_on_in_the_handshake() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let yaml = papers.configuration(1, "hsts: {max_age: 1m}", "routes: {/ok: OK hello, /e: \"*\"}\n");
        let gate = Gate::serve(io, plan(&yaml, 1));
        let mut client = H2::tls(&gate, &papers.client(false), "a.test");
        for (stream, path) in [(1, "/ok"), (3, "/e")] {
            let answer = client.get(stream, path);
            assert_eq!(answer.status, 200, "{io:?}");
            assert_eq!(answer.get("strict-transport-security"), Some("max-age=60"), "{io:?}: {path}");
        }
    });
}

#[test]
fn requests_reach_a_server_behind_in_http_1_1() {
    both(|io| {
        let backend = Backend::answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nhi",
        );
        let gate = Gate::start(io, &backend.config_with("x_forwarded: false, via: false"));
        let mut client = H2::plain(&gate);
        for stream in [1, 3, 5] {
            let fields = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"), ("x-a", "é")];
            client.ask(stream, "GET", "/x?y=1", &fields, true);
            let answer = client.answer(stream);
            assert_eq!((answer.status, answer.text().as_str()), (200, "hi"), "{io:?}");
            let names: Vec<&str> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, [":status", "set-cookie", "set-cookie", "content-length", "date"], "{io:?}");
            assert_eq!(
                backend.request().replace("Host: a.test\r\n", ""),
                "GET /x?y=1 HTTP/1.1\r\ncookie: a=1; b=2\r\nx-a: é\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
                "{io:?}"
            );
        }
        let seen = gate.cells.snapshot();
        assert_eq!((seen.upstream_connects, seen.upstream_reuses, seen.responses_2xx), (1, 2, 3), "{io:?}");
    });
}

#[test]
fn content_goes_both_ways_with_trailers_and_interim_answers() {
    both(|io| {
        let backend = Backend::start(|served| {
            while served.request().is_some() {
                served.send(
                    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n\
                    Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n",
                );
            }
        });
        let gate = Gate::start(io, &backend.config_with("x_forwarded: false, via: false"));
        let mut client = H2::plain(&gate);
        client.ask(1, "POST", "/x", &[("expect", "100-continue"), ("trailer", "x-end")], false);
        client.until(|client| client.answers.get(&1).is_some_and(|answer| answer.interim == [100]));
        client.data(1, b"one", false);
        client.data(1, b"two", false);
        let end = client.head(1, &[("x-end", "6")], true);
        client.send(&end);
        let answer = client.answer(1);
        assert_eq!(
            (answer.status, answer.text().as_str(), &answer.interim[..]),
            (200, "hello", &[100, 103][..]),
            "{io:?}"
        );
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "5".to_owned())], "{io:?}");
        let asked = backend.request();
        assert!(asked.contains("\r\nTransfer-Encoding: chunked\r\n"), "{io:?}: {asked}");
        assert!(asked.ends_with("0\r\nx-end: 6\r\n\r\n"), "{io:?}: {asked}");
        client.ask(3, "POST", "/x", &[("content-length", "3")], false);
        client.data(3, b"abc", true);
        assert_eq!(client.answer(3).status, 200, "{io:?}");
        let asked = backend.request();
        assert!(asked.contains("\r\nContent-Length: 3\r\n") && asked.ends_with("\r\n\r\nabc"), "{io:?}: {asked}");
        // One that leaves at once, and whose answer needs more than that.
        let answer = client.get(5, "/y");
        assert_eq!(
            (answer.text().as_str(), &answer.interim[..], answer.trailers.len()),
            ("hello", &[103][..], 1),
            "{io:?}"
        );
        assert_eq!((backend.connections(), gate.cells.upstream_reuses.get()), (1, 2), "{io:?}");
    });
}

#[test]
fn much_content_goes_through_both_ways() {
    const SIZE: usize = 3_000_000;
    both(|io| {
        let backend = Backend::start(|served| {
            let Some(request) = served.request() else { return };
            let body = request.split_once("\r\n\r\n").expect("a head").1;
            served.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
            served.rest();
        });
        let yaml = format!("server: {{max_body_size: 8MiB}}\n{}", backend.config());
        let gate = Gate::start(io, &yaml);
        let mut client = H2::plain(&gate);
        let sent: Vec<u8> = (0..SIZE).map(|at| b'a' + (at % 23) as u8).collect();
        client.ask(1, "PUT", "/x", &[("content-length", &SIZE.to_string())], false);
        let mut room = 65_535usize;
        let mut stream_room = 0usize;
        let mut at = 0;
        while at < SIZE {
            let now = 16_384.min(room).min(stream_room).min(SIZE - at);
            if now > 0 {
                client.data(1, &sent[at..at + now], at + now == SIZE);
                (at, room, stream_room) = (at + now, room - now, stream_room - now);
                continue;
            }
            let frame = client.next().expect("the connection goes on");
            match (frame.kind, frame.stream) {
                (WINDOW_UPDATE, 0) => room += frame.number(0) as usize,
                (WINDOW_UPDATE, _) => stream_room += frame.number(0) as usize,
                (4, _) if frame.flags == 0 => {
                    let window = frame.payload.chunks(6).find(|one| one[..2] == [0, 4]).expect("it is said");
                    stream_room = u32::from_be_bytes(window[2..].try_into().expect("four bytes")) as usize;
                    client.frame(4, 1, 0, b"");
                }
                _ => {}
            }
        }
        let answer = client.answer(1);
        assert!(answer.status == 200 && answer.body == sent, "{io:?}: {} {}", answer.status, answer.body.len());
    });
}

#[test]
fn a_client_that_gives_up_is_noticed_and_others_go_on() {
    both(|io| {
        let backend = Backend::start(|served| {
            let Some(request) = served.request() else { return };
            if request.starts_with("GET /slow") {
                // Until the gate closes it.
                let (rest, _) = served.rest();
                served.record(format!("gone {}", rest.len()));
            } else {
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
                served.rest();
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        client.ask(1, "GET", "/slow", &[], true);
        assert!(backend.request().starts_with("GET /slow"), "{io:?}");
        client.frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
        assert_eq!(backend.request(), "gone 0", "{io:?}");
        assert_eq!(client.get(3, "/x").text(), "hi", "{io:?}");
        assert_eq!(gate.cells.h2_resets.get(), 1, "{io:?}");
    });
}

#[test]
fn a_truncated_answer_is_reset_and_never_ends_well() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        let answer = client.get(1, "/x");
        assert_eq!((answer.text().as_str(), answer.ended, answer.reset), ("half", false, Some(2)), "{io:?}");
        assert_eq!(client.get(3, "/x").reset, Some(2), "{io:?}: the connection goes on");
    });
}

#[test]
fn a_shut_window_holds_one_answer_back_and_no_other() {
    both(|io| {
        let body = "x".repeat(100_000);
        let gate =
            Gate::start(io, &format!("server: {{write_timeout: 400ms}}\nroutes: {{/long: OK {body}, /ok: OK hi}}\n"));
        let mut client = H2::with_settings(&gate, &[(4, 1000)]);
        client.gives_room = false;
        client.ask(1, "GET", "/long", &[], true);
        client.until(|client| client.answers.get(&1).is_some_and(|answer| answer.body.len() == 1000));
        assert_eq!(client.get(3, "/ok").text(), "hi", "{io:?}");
        let cut = client.answer(1);
        assert_eq!((cut.body.len(), cut.reset), (1000, Some(CANCEL)), "{io:?}");
        assert_eq!(client.get(5, "/ok").text(), "hi", "{io:?}: the connection goes on");
        reached(&gate, Limit::Write, 1);
    });
}

#[test]
fn limits_of_a_request_have_their_statuses() {
    both(|io| {
        let gate = Gate::start(
            io,
            "server: {max_body_size: 10, max_uri_size: 64, max_header_size: 1KiB, read_timeout: 300ms}\nroutes: {/e: \"*\"}\n",
        );
        let mut client = H2::plain(&gate);
        client.ask(1, "POST", "/e", &[("content-length", "11")], false);
        assert_eq!(client.answer(1).status, 413, "{io:?}");
        client.ask(3, "POST", "/e", &[], false);
        client.data(3, b"01234567890", false);
        assert_eq!(client.answer(3).status, 413, "{io:?}");
        let long = format!("/e{}", "x".repeat(64));
        assert_eq!(client.get(5, &long).status, 414, "{io:?}");
        client.ask(7, "GET", "/e", &[("x-long", &"y".repeat(1024))], true);
        assert_eq!(client.answer(7).status, 431, "{io:?}");
        client.ask(9, "POST", "/e", &[], false);
        client.data(9, b"0", false);
        assert_eq!(client.answer(9).status, 408, "{io:?}");
        assert_eq!(client.get(11, "/e").status, 200, "{io:?}: the connection goes on");
        let seen = gate.cells.snapshot();
        assert_eq!(
            (seen.bodies_too_large, seen.targets_too_long, seen.heads_too_large, seen.timeouts_read),
            (2, 1, 1, 1)
        );
    });
}

#[test]
fn an_idle_connection_is_told_and_closed() {
    both(|io| {
        let gate = Gate::start(io, "server: {idle_timeout: 300ms}\nroutes: {/ok: OK}\n");
        let mut client = H2::plain(&gate);
        assert_eq!(client.get(1, "/ok").status, 200, "{io:?}");
        client.drain();
        assert_eq!(client.goaways(), [(1, 0)], "{io:?}");
        reached(&gate, Limit::Idle, 1);
        assert!(gate.emptied(), "{io:?}");
    });
}

#[test]
fn a_head_that_does_not_come_to_its_end_has_its_time() {
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 300ms}\nroutes: {/ok: OK}\n");
        let mut client = H2::plain(&gate);
        assert_eq!(client.get(1, "/ok").status, 200, "{io:?}");
        client.frame(1, 1, 3, &[0x82]);
        client.drain();
        assert_eq!(client.goaways().len(), 1, "{io:?}");
        reached(&gate, Limit::Head, 1);
    });
}

#[test]
fn the_last_request_of_a_connection_is_said_to_be_the_last() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_requests_per_connection: 2}\nroutes: {/ok: OK}\n");
        let mut client = H2::plain(&gate);
        for stream in [1, 3] {
            client.ask(stream, "GET", "/ok", &[], true);
        }
        assert_eq!((client.answer(1).status, client.answer(3).status), (200, 200), "{io:?}");
        client.drain();
        assert_eq!(client.goaways(), [(3, 0)], "{io:?}");
        reached(&gate, Limit::Requests, 1);
    });
}

#[test]
fn a_drain_lets_what_is_under_way_end() {
    both(|io| {
        let backend = Backend::start(|served| {
            while served.request().is_some() {
                std::thread::sleep(Duration::from_millis(300));
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        client.ask(1, "GET", "/x", &[], true);
        backend.request();
        gate.order(Order::Drain);
        client.until(|client| !client.goaways().is_empty());
        client.ask(3, "GET", "/y", &[], true);
        assert_eq!((client.answer(1).text(), client.answer(3).text()), ("hi".to_owned(), "hi".to_owned()), "{io:?}");
        client.drain();
        assert_eq!(client.goaways(), [(0x7fff_ffff, 0), (3, 0)], "{io:?}");
        assert!(gate.drained(), "{io:?}");
    });
}

#[test]
fn a_flood_of_pings_is_told_to_calm_down() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let mut client = H2::plain(&gate);
        for _ in 0..100 {
            if !client.try_send(&crate::h2_client::frame(PING, 0, 0, &[0; 8])) {
                break;
            }
        }
        client.drain();
        assert_eq!(client.goaways(), [(0, CALM)], "{io:?}");
        reached(&gate, Limit::Pings, 1);
        assert!(gate.emptied(), "{io:?}");
    });
}

#[test]
fn who_does_not_read_is_not_read_from_and_ends() {
    both(|io| {
        let body = "x".repeat(60_000);
        let gate = Gate::start(io, &format!("server: {{write_timeout: 500ms}}\nroutes: {{/long: OK {body}}}\n"));
        let mut client = H2::with_settings(&gate, &[(4, 0x7fff_ffff)]);
        client.frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
        let mut stream = 1;
        // More than the kernel takes on its behalf.
        client.until(|client| !client.others.is_empty());
        for _ in 0..2000 {
            let head = client.head(
                stream,
                &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/long")],
                true,
            );
            if !client.try_send(&head) {
                break;
            }
            stream += 2;
        }
        assert!(gate.emptied(), "{io:?}");
        assert!(gate.cells.timeouts_write.get() == 1, "{io:?}: {:?}", gate.cells.snapshot());
    });
}

#[test]
fn a_websocket_comes_by_extended_connect() {
    both(|io| {
        let backend = Backend::start(|served| {
            let Some(head) = served.head() else { return };
            served.send(format!("{}Sec-WebSocket-Protocol: chat\r\n\r\nhello", switching(&head)).as_bytes());
            served.record(head);
            while let Some(byte) = served.bytes(1) {
                served.send(&byte);
            }
            served.send(b"bye");
            served.finish();
        });
        let gate = Gate::start(io, &backend.config_with("x_forwarded: false, via: false"));
        let mut client = H2::plain(&gate);
        let head = client.head(1, &WEBSOCKET, false);
        client.send(&head);
        client.until(|client| client.answers.get(&1).is_some_and(|answer| answer.body == b"hello"));
        let answer = &client.answers[&1];
        assert_eq!((answer.status, answer.get("sec-websocket-protocol")), (200, Some("chat")), "{io:?}");
        assert_eq!((answer.get("sec-websocket-accept"), answer.get("upgrade")), (None, None), "{io:?}");
        let asked = backend.request();
        assert!(asked.starts_with("GET /chat?r=1 HTTP/1.1\r\nHost: a.test\r\n"), "{io:?}: {asked}");
        assert!(asked.contains("\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"), "{io:?}: {asked}");
        assert!(asked.to_ascii_lowercase().contains("\r\nsec-websocket-key: "), "{io:?}: {asked}");
        for round in 0..5usize {
            client.data(1, b"ping", false);
            client.until(|client| client.answers[&1].body.len() == 5 + 4 * (round + 1));
        }
        client.frame(DATA, 1, 1, b"");
        let answer = client.answer(1);
        assert!(answer.ended && answer.text().ends_with("pingbye"), "{io:?}: {answer:?}");
        assert_eq!(gate.cells.tunnels.get(), 1, "{io:?}");
    });
}

#[test]
fn a_server_behind_that_did_not_read_the_websockets_key_opens_no_tunnel() {
    both(|io| {
        let backend = Backend::answering(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        let gate = Gate::start(io, &format!("routes: {{/chat: \"http://{}\", /ok: OK}}\n", backend.address));
        let mut client = H2::plain(&gate);
        let head = client.head(1, &WEBSOCKET, false);
        client.send(&head);
        assert_eq!(client.answer(1).status, 502, "{io:?}");
        let elsewhere = WEBSOCKET.map(|(name, value)| if name == ":path" { (name, "/ok") } else { (name, value) });
        let head = client.head(3, &elsewhere, false);
        client.send(&head);
        assert_eq!(client.answer(3).status, 501, "{io:?}: a 200 would say that there is a tunnel");
        assert_eq!(gate.cells.tunnels.get(), 0, "{io:?}");
    });
}

#[test]
fn a_request_that_panics_ends_alone_and_a_connection_that_does_ends_with_its_requests() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK hello, /e: \"*\"}\n");
        let mut client = H2::plain(&gate);
        assert_eq!(client.get(1, "/e").status, 200, "{io:?}");
        panic_once(&gate.cells, Spot::Task);
        assert_eq!(client.get(3, "/e").reset, Some(2), "{io:?}");
        assert_eq!(client.get(5, "/ok").status, 200, "{io:?}");
        panic_once(&gate.cells, Spot::Row);
        client.ask(7, "GET", "/ok", &[], true);
        client.drain();
        assert!(gate.emptied(), "{io:?}");
        assert_eq!(H2::plain(&gate).get(1, "/ok").status, 200, "{io:?}: the shard goes on");
        assert_eq!(gate.cells.panics.get(), 2, "{io:?}");
    });
}

#[test]
fn early_data_is_served_where_it_is_safe() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let gate = Gate::start(io, &papers.configuration(1, "early_data: true", "routes: {/: OK hello, /e: \"*\"}\n"));
        let mut config = (*papers.client(false)).clone();
        config.enable_early_data = true;
        config.resumption = Resumption::in_memory_sessions(8);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let config = Arc::new(config);
        assert_eq!(H2::tls(&gate, &config, "a.test").get(1, "/").status, 200, "{io:?}");
        let asked =
            |method, path| [(":method", method), (":scheme", "https"), (":authority", "a.test"), (":path", path)];
        let (get, post) = (asked("GET", "/"), asked("POST", "/e"));
        let mut websocket = WEBSOCKET;
        websocket[4].1 = "/e";
        let mut client = H2::early(&gate, &config, "a.test", &[(1, &get), (3, &post), (5, &websocket)]);
        assert_eq!((client.answer(1).status, client.answer(3).status), (200, 425), "{io:?}");
        assert_eq!(client.answer(5).status, 425, "{io:?}: what a tunnel carries would come again with it");
        assert_eq!(gate.cells.tls_early_data.get(), 1, "{io:?}");
        client.ask(7, "POST", "/e", &[], true);
        assert_eq!(client.answer(7).status, 200, "{io:?}: behind the handshake it is done");
    });
}
