//! A panic in one connection's work costs that connection and nothing else: it is counted and reported, everything the
//! connection had is given back, and the shard serves on.

use std::time::{Duration, Instant};

use anygate_serve::control::Order;
use anygate_serve::testing::{Spot, panic_once};
use anygate_shard::Io;

use crate::backend::Backend;
use crate::harness::{Client, Gate, PATIENCE, both};

const GET: &[u8] = b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n";
const PROXIED: &[u8] = b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Routes of every kind; two clients at most, and of one address no more than two.
fn config(backend: &Backend) -> String {
    let behind = backend.address;
    format!(
        "server: {{max_connections: 2, max_connections_per_ip: 2, idle_timeout: 2s}}\nroutes:\n  /fixed: OK fixed\n  \
         /echo: '*'\n  /dressed: {{to: '*', headers: {{X-A: b}}}}\n  /behind: \"http://{behind}\"\n"
    )
}

fn waits_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What must hold after a panic, whatever it hit: as many clients as ever are let in and answered, and once they are
/// gone nothing is left.
fn goes_on(io: Io, gate: &Gate, spot: Spot) {
    waits_for(&format!("{io:?}, {spot:?}: a panic is counted"), || gate.cells.panics.get() == 1);
    waits_for(&format!("{io:?}, {spot:?}: nobody is here"), || gate.cells.snapshot().connections_active() == 0);
    for _ in 0..3 {
        let clients = [(); 2].map(|()| {
            let mut client = gate.client();
            for (request, body) in [(GET, "fixed"), (PROXIED, "ok")] {
                client.send(request);
                let answer = client.response();
                assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(body), "{io:?}, {spot:?}: {answer}");
            }
            client
        });
        drop(clients);
        waits_for(&format!("{io:?}, {spot:?}: they left"), || gate.cells.snapshot().connections_active() == 0);
    }
    let left = || {
        let counters = &gate.counters;
        (counters.tasks.get(), counters.buffers.get(), gate.cells.panics.get())
    };
    waits_for(&format!("{io:?}, {spot:?}: something is left: tasks, buffers, panics {:?}", left()), || {
        left() == (0, 0, 1)
    });
}

/// Provokes one panic on each driver, by what `provoke` sends on a connection of its own, which is cut.
fn costs_one_connection(spot: Spot, provoke: impl Fn(&mut Client)) {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &config(&backend));
        let mut client = gate.client();
        panic_once(&gate.cells, spot);
        provoke(&mut client);
        let got = client.rest();
        assert!(!got.contains("HTTP/1.1 200"), "{io:?}, {spot:?}: {got}");
        drop(client);
        goes_on(io, &gate, spot);
    });
}

#[test]
fn in_the_row_path_of_a_fresh_connection() {
    // Its first request is served within the accept: the listener goes on too.
    costs_one_connection(Spot::Row, |client| client.send(GET));
}

#[test]
fn in_the_row_path_of_a_connection_at_rest() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &config(&backend));
        let mut client = gate.client();
        client.send(GET);
        client.response();
        panic_once(&gate.cells, Spot::Row);
        client.send(GET);
        client.rest();
        goes_on(io, &gate, Spot::Row);
    });
}

#[test]
fn while_a_request_waits_in_its_row_for_a_server_behind() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &config(&backend));
        let mut client = gate.client();
        // A connection to the server behind is there to be used, so that the next request needs no task.
        client.send(PROXIED);
        client.response();
        panic_once(&gate.cells, Spot::Relay);
        client.send(PROXIED);
        client.rest();
        goes_on(io, &gate, Spot::Relay);
    });
}

#[test]
fn when_a_resting_clients_time_is_over() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &config(&backend));
        panic_once(&gate.cells, Spot::Expired);
        let mut client = gate.client();
        client.send(GET);
        client.response();
        client.rest();
        goes_on(io, &gate, Spot::Expired);
    });
}

#[test]
fn in_a_task_that_has_read_a_head() {
    costs_one_connection(Spot::Task, |client| {
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    });
}

#[test]
fn in_a_filter() {
    costs_one_connection(Spot::Filter, |client| {
        client.send(b"POST /dressed HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n.");
    });
}

#[test]
fn before_an_answer_is_sent_while_its_body_still_comes_from_behind() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let is_long = request.contains("long");
                served.send(if is_long {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nbegun"
                } else {
                    OK.as_bytes()
                });
            }
        });
        let gate = Gate::start(io, &config(&backend));
        let mut client = gate.client();
        panic_once(&gate.cells, Spot::Answer);
        client.send(b"GET /behind?long HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(!client.rest().contains("200"), "{io:?}");
        goes_on(io, &gate, Spot::Answer);
    });
}

#[test]
fn while_a_task_waits_for_a_server_behind() {
    costs_one_connection(Spot::Attempt, |client| {
        client.send(b"POST /behind HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    });
}

#[test]
fn in_a_tunnel() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let asks = request.contains("websocket");
                let switches: &[u8] =
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                served.send(if asks { switches } else { OK.as_bytes() });
            }
        });
        let gate = Gate::start(io, &config(&backend));
        let mut client = gate.client();
        client.send(
            b"GET /behind HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101"), "{io:?}: {head}");
        panic_once(&gate.cells, Spot::Tunnel);
        client.send(b"ping");
        client.rest();
        goes_on(io, &gate, Spot::Tunnel);
    });
}

#[test]
fn when_a_resting_connection_to_a_server_behind_is_heard_of() {
    both(|io| {
        // Nothing is sent: its end is what the server waits for.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let backend = Backend::start(move |served| {
            if served.request().is_some() {
                served.send(OK.as_bytes());
                let _ = wait.lock().map(|wait| wait.recv());
            }
        });
        let gate = Gate::start(io, &config(&backend));
        let mut client = gate.client();
        client.send(PROXIED);
        client.response();
        panic_once(&gate.cells, Spot::Idle);
        drop(go);
        waits_for(&format!("{io:?}: the server behind hangs up"), || gate.cells.panics.get() == 1);
        drop(client);
        goes_on(io, &gate, Spot::Idle);
        waits_for(&format!("{io:?}: only the listener is left"), || gate.counters.sockets.get() <= 1);
    });
}

#[test]
fn when_a_message_is_acted_on_and_when_a_turn_has_ended() {
    for spot in [Spot::Message, Spot::Turn] {
        both(|io| {
            let backend = Backend::answering(OK);
            let gate = Gate::start(io, &config(&backend));
            let mut client = gate.client();
            client.send(GET);
            client.response();
            drop(client);
            panic_once(&gate.cells, spot);
            gate.order(Order::Unlisten { number: 7 });
            // What the end of a turn does not get to, the end of the next one does.
            std::thread::sleep(Duration::from_millis(20));
            gate.order(Order::Unlisten { number: 7 });
            goes_on(io, &gate, spot);
        });
    }
}
