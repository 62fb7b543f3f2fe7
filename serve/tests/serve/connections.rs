//! What becomes of a connection: keep-alive, pipelines, bodies nobody wanted, patience, draining.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anygate_serve::control::Order;

use crate::harness::{Gate, PATIENCE, both, undated, until};

const OK: &str = "HTTP/1.1 200 OK\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_connection_carries_many_requests() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let mut client = gate.client();
        for _ in 0..100 {
            client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(undated(&client.response()), OK);
        }
        assert_eq!(gate.cells.connections_accepted.get(), 1);
        assert_eq!(gate.cells.requests.get(), 100);
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order_by_the_short_way_and_the_long() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK, /one: OK 1, /two: OK 2, /echo: *}\n");
        let mut client = gate.client();
        let mut pipeline = Vec::new();
        for _ in 0..50 {
            pipeline.extend_from_slice(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
            pipeline.extend_from_slice(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
            pipeline.extend_from_slice(b"GET /two HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        client.send(&pipeline);
        for round in 0..50 {
            assert!(client.response().ends_with("\r\n\r\n1"), "{io:?} {round}");
            assert!(client.response().contains("abc"), "{io:?} {round}");
            assert!(client.response().ends_with("\r\n\r\n2"), "{io:?} {round}");
        }
    });
}

/// Some clients end a `POST` by a line end that belongs to nothing (RFC 9112 §2.2). Unread at the connection's close, it would
/// reset it before the answer was read.
#[test]
fn a_line_end_behind_a_post_does_not_take_its_answer_along() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK, /echo: *}\n");
        for path in ["/ok", "/echo"] {
            for round in 0..150 {
                let mut client = TcpStream::connect(gate.address).unwrap();
                client.set_nodelay(true).unwrap();
                client.write_all(format!("POST {path} HTTP/1.0\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
                client.write_all(b"\r").unwrap();
                std::thread::sleep(Duration::from_millis(1));
                let _ = client.write_all(b"\n");
                let mut answer = Vec::new();
                let _ = client.read_to_end(&mut answer);
                assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{io:?} {path} {round}");
            }
        }
    });
}

#[test]
fn a_request_may_come_a_byte_at_a_time() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/echo: *}\n");
        let mut client = gate.client();
        for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
            client.send(&[*byte]);
            std::thread::sleep(Duration::from_micros(300));
        }
        assert!(client.response().contains("abc"));
        client.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.response().starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn a_client_that_reads_nothing_does_not_make_the_server_hoard() {
    both(|io| {
        let body = "x".repeat(3000);
        let gate = Gate::start(io, &format!("routes: {{/big: OK {body}, /ok: OK}}\n"));
        let mut greedy = gate.client();
        greedy.stream.set_nonblocking(true).expect("a socket option");
        let request = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
        let mut sent = 0;
        for _ in 0..2000 {
            match Write::write(&mut greedy.stream, &request) {
                Ok(n) => sent += n,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        let asked = sent / (request.len() / 200);
        let answered = gate.cells.requests.get();
        assert!(answered < asked as u64, "{io:?}: asked {asked}, answered {answered}: nothing held it back");
        assert!(gate.once(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let answer = gate.once(b"GET /ok HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let mut client = gate.client();
        client.send(b"GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert!(client.response().contains("\r\nConnection: keep-alive\r\n"));
        client.send(b"GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert!(client.response().starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn continue_is_sent_when_the_body_is_wanted() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/echo: *, /ok: OK}\n");
        let mut client = gate.client();
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send(b"hello");
        assert!(client.response().contains("hello"));
        // Nobody wants this one's body: the answer comes first, and the connection cannot be kept.
        client.send(b"POST /ok HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Connection: close"), "{io:?} {answer}");
    });
}

#[test]
fn a_body_nobody_wants_is_read_over() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let mut client = gate.client();
        client.send(b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        client.send(&[b'x'; 1000]);
        assert!(client.response().starts_with("HTTP/1.1 200 OK\r\n"));
        client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(undated(&client.response()), OK);
    });
}

#[test]
fn an_answer_to_an_unread_upload_is_not_lost_to_a_reset() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_body_size: 1KiB}\nroutes: {/echo: *}\n");
        let mut client = gate.client();
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
        client.send(&[b'x'; 60000]);
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{io:?} {answer}");
        assert!(!answer.ends_with("[reset]"), "{io:?}");
    });
}

#[test]
fn a_head_that_takes_too_long_gets_408() {
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 100ms}\nroutes: {/ok: OK}\n");
        let mut client = gate.client();
        client.send(b"GET /ok HTT");
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{io:?} {answer}");
        assert_eq!(gate.cells.timeouts_header.get(), 1);
    });
}

#[test]
fn a_body_that_stalls_gets_408() {
    both(|io| {
        let gate = Gate::start(io, "server: {read_timeout: 100ms}\nroutes: {/echo: *}\n");
        let mut client = gate.client();
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{io:?} {answer}");
    });
}

#[test]
fn an_idle_connection_is_closed_in_time_and_not_before() {
    both(|io| {
        let gate = Gate::start(io, "server: {idle_timeout: 300ms}\nroutes: {/ok: OK}\n");
        let begun = Instant::now();
        let mut client = gate.client();
        client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response();
        assert_eq!(client.rest(), "", "{io:?}");
        assert!(begun.elapsed() >= Duration::from_millis(290), "{io:?}: {:?}", begun.elapsed());
        assert_eq!(gate.cells.timeouts_idle.get(), 1);
    });
}

#[test]
fn a_reset_costs_its_own_connection_only() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/echo: *, /ok: OK}\n");
        for _ in 0..20 {
            let mut client = gate.client();
            // Closing with an answer unread makes the kernel send a reset.
            client.send(
                b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhe",
            );
            assert!(!client.silent_for(PATIENCE));
            drop(client);
        }
        assert!(gate.once(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200"));
        assert!(gate.emptied(), "{io:?}: {} connections are left", gate.cells.snapshot().connections_active());
    });
}

#[test]
fn a_connection_lives_through_a_reload_and_serves_by_the_new_table() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/v: OK 1}\n");
        let mut client = gate.client();
        client.send(b"GET /v HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.response().ends_with("\r\n\r\n1"));
        gate.install("routes: {/v: OK 2}\n");
        client.send(b"GET /v HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.response().ends_with("\r\n\r\n2"), "{io:?}");
        assert_eq!(gate.cells.connections_accepted.get(), 1);
    });
}

#[test]
fn draining_finishes_what_is_in_flight_and_says_close() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/echo: *, /ok: OK}\n");
        let mut idle = gate.client();
        idle.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        idle.response();
        let mut busy = gate.client();
        busy.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
        assert!(until(|| gate.cells.requests.get() == 2), "{io:?}: its head is read");
        gate.order(Order::Drain);
        assert_eq!(idle.rest(), "", "{io:?}");
        busy.send(b"llo");
        let answer = busy.rest();
        assert!(answer.contains("hello") && answer.contains("Connection: close"), "{io:?} {answer}");
        assert!(gate.drained(), "{io:?}");
        assert!(TcpStream::connect(gate.address).is_err(), "{io:?}: the listener is closed");
    });
}

#[test]
fn requests_per_connection_are_limited() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_requests_per_connection: 3}\nroutes: {/ok: OK}\n");
        let mut client = gate.client();
        client.send(&b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
        assert_eq!(undated(&client.response()), OK);
        assert_eq!(undated(&client.response()), OK);
        let last = client.rest();
        assert_eq!(last.matches("HTTP/1.1 200").count(), 1, "{io:?} {last}");
        assert!(last.contains("Connection: close"), "{io:?} {last}");
    });
}

#[test]
fn connections_per_address_are_limited() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_connections_per_ip: 2}\nroutes: {/ok: OK}\n");
        let mut first = gate.client();
        let mut second = gate.client();
        for client in [&mut first, &mut second] {
            client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
            client.response();
        }
        assert!(gate.client().rest().starts_with("HTTP/1.1 429 "), "{io:?}");
        drop(first);
        assert!(until(|| gate.cells.snapshot().connections_active() == 1), "{io:?}");
        let mut third = gate.client();
        third.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(third.response().starts_with("HTTP/1.1 200"), "{io:?}");
    });
}
