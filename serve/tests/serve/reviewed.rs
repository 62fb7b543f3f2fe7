//! What a review found: who waits at a door that closes, answers that are still on their way, limits that must not drift.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anygate_serve::control::Order;
use anygate_serve::tls::Front;
use anygate_shard::net::{self, Address, Bind};

use crate::harness::{Gate, PATIENCE, both, until};

const ASK: &[u8] = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";

/// A listener no shard has yet, and where it stands.
fn listener() -> (OwnedFd, SocketAddr) {
    let fd = net::bind(&Address::Ip(([127, 0, 0, 1], 0).into()), &Bind::default()).expect("a port is free");
    let address = TcpListener::from(fd.try_clone().expect("a descriptor")).local_addr().expect("it is bound");
    (fd, address)
}

/// Everything up to the end; a reset is an error.
fn all(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Clients that knocked and asked before a shard had the listener.
fn knock(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("the backlog has room");
            stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("a fresh connection");
            stream
        })
        .collect()
}

#[test]
fn a_listener_that_goes_takes_all_who_knocked_before() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let (fd, address) = listener();
        let mut waiting = knock(address, 100);
        gate.tell(Order::Listen { fd, number: 7, front: Front::default() });
        gate.tell(Order::Unlisten { number: 7 });
        for (number, client) in waiting.iter_mut().enumerate() {
            let answer = all(client).unwrap_or_else(|error| panic!("{io:?}: client {number}: {error}"));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{io:?}: client {number}: {answer:?}");
        }
        assert!(until(|| TcpStream::connect(address).is_err()), "{io:?}: the listener is closed");
    });
}

#[test]
fn a_drain_serves_all_who_knocked_before() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let (fd, address) = listener();
        let mut waiting = knock(address, 100);
        gate.tell(Order::Listen { fd, number: 7, front: Front::default() });
        gate.tell(Order::Drain);
        for (number, client) in waiting.iter_mut().enumerate() {
            let answer = all(client).unwrap_or_else(|error| panic!("{io:?}: client {number}: {error}"));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{io:?}: client {number}: {answer:?}");
        }
        assert!(gate.drained(), "{io:?}");
    });
}

#[test]
fn a_request_that_crosses_the_drain_is_answered() {
    both(|io| {
        let crossed = until(|| {
            let gate = Gate::start(io, "routes: {/ok: OK}\n");
            let mut kept = gate.client();
            kept.send(ASK);
            kept.response();
            let mut fresh = gate.client();
            assert!(until(|| gate.cells.connections_accepted.get() == 2), "{io:?}");
            let begun = Instant::now();
            gate.order(Order::Drain);
            std::thread::sleep(Duration::from_millis(50));
            for client in [&mut kept, &mut fresh] {
                let _ = client.stream.write_all(ASK);
            }
            // A resting client is waited for so long; on a machine that stood still meanwhile this says nothing.
            let in_time = begun.elapsed() < Duration::from_millis(200);
            for client in [&mut kept, &mut fresh].into_iter().filter(|_| in_time) {
                let answer = client.rest();
                let served = answer.starts_with("HTTP/1.1 200 ") && answer.contains("Connection: close");
                assert!(served, "{io:?}: {answer:?}");
            }
            assert!(gate.drained(), "{io:?}");
            in_time
        });
        assert!(crossed, "{io:?}: the machine is too busy");
    });
}

/// A client that asks, a request at a time, and reads nothing, until an answer does not come or it asked `most` times. With
/// how often it was answered.
fn greedy(gate: &Gate, path: &Path, most: u64) -> (UnixStream, u64) {
    let mut client = UnixStream::connect(path).expect("the listener is there");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let before = gate.cells.requests.get();
    let answered = || gate.cells.requests.get() - before;
    for asked in 0..most {
        client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("requests are small");
        let begun = Instant::now();
        while answered() == asked {
            if begun.elapsed() > Duration::from_secs(1) {
                return (client, asked);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    (client, most)
}

#[test]
fn a_drain_waits_for_answers_that_are_still_queued() {
    both(|io| {
        let body = "x".repeat(40_000);
        let path = std::env::temp_dir().join(format!("anygate-drain-{}.sock", std::process::id()));
        let start = || {
            let gate = Gate::start(io, &format!("routes: {{/big: OK {body}}}\n"));
            // A unix socket's buffer does not grow: the same answers fill it every time.
            let fd = net::bind(&Address::Unix(Some(path.clone())), &Bind::default()).expect("a path of our own");
            gate.order(Order::Listen { fd, number: 7, front: Front::default() });
            gate
        };
        let (_, full) = greedy(&start(), &path, u64::MAX);
        let mut waited = 0;
        // The last answers before the server holds back are partly in its own queue.
        for most in full - 2..=full {
            let gate = start();
            let (mut client, asked) = greedy(&gate, &path, most);
            gate.order(Order::Drain);
            std::thread::sleep(Duration::from_millis(350));
            let done = gate.reported();
            if done {
                // As the control thread does.
                gate.tell(Order::Stop);
            }
            waited += usize::from(!done);
            let mut text = String::new();
            client.read_to_string(&mut text).expect("no reset");
            assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count() as u64, asked, "{io:?}: {most} of {full}: {done}");
            assert!(text.ends_with(&body), "{io:?}: {most} of {full}: the last answer is whole");
            assert!(done || gate.drained(), "{io:?}");
        }
        assert!(waited > 0, "{io:?}: {full} answers fill the socket");
        std::fs::remove_file(&path).expect("it is ours");
    });
}

#[test]
fn a_client_handed_over_during_the_drain_is_served() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        gate.order(Order::Drain);
        assert!(gate.drained(), "{io:?}: nobody is there");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let mut client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        client.write_all(ASK).expect("a fresh connection");
        let (socket, peer) = listener.accept().expect("it knocked");
        gate.order(Order::Adopt { socket: OwnedFd::from(socket).into(), peer: Address::Ip(peer), listener: 0 });
        let answer = all(&mut client).expect("no reset");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Connection: close"), "{io:?}: {answer:?}");
        assert!(gate.drained(), "{io:?}: it says so again");
    });
}

#[test]
fn a_full_shard_lets_clients_wait_until_one_leaves() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_connections: 2}\nroutes: {/ok: OK}\n");
        let mut first = gate.client();
        let mut second = gate.client();
        for client in [&mut first, &mut second] {
            client.send(ASK);
            client.response();
        }
        let mut third = gate.client();
        third.send(ASK);
        assert!(until(|| gate.cells.connections_full.get() == 1), "{io:?}: it is seen");
        assert!(third.silent_for(Duration::from_millis(100)), "{io:?}: it waits, and is not reset");
        drop(first);
        assert!(third.response().starts_with("HTTP/1.1 200 "), "{io:?}");
        // A reload makes room as well.
        let mut fourth = gate.client();
        fourth.send(ASK);
        assert!(fourth.silent_for(Duration::from_millis(100)), "{io:?}");
        gate.install("server: {max_connections: 3}\nroutes: {/ok: OK}\n");
        assert!(fourth.response().starts_with("HTTP/1.1 200 "), "{io:?}");
        assert_eq!(gate.cells.connections_refused.get(), 0, "{io:?}");
    });
}

#[test]
fn clients_from_before_a_limit_do_not_lower_its_count() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let ask = || {
            let mut client = gate.client();
            client.send(ASK);
            client.response();
            client
        };
        let early = [ask(), ask()];
        gate.install("server: {max_connections_per_ip: 2}\nroutes: {/ok: OK}\n");
        let _counted = [ask(), ask()];
        drop(early);
        assert!(until(|| gate.cells.snapshot().connections_active() == 2), "{io:?}");
        assert!(gate.client().rest().starts_with("HTTP/1.1 429 "), "{io:?}");
    });
}

#[test]
fn a_body_that_came_unasked_is_not_asked_for() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/echo: *}\n");
        let mut client = gate.client();
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\nhello");
        std::thread::sleep(Duration::from_millis(50));
        client.send(b"world");
        let answer = client.response();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("helloworld"), "{io:?}: {answer}");
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up_in_time() {
    both(|io| {
        let body = "x".repeat(3000);
        let gate = Gate::start(io, &format!("server: {{write_timeout: 200ms}}\nroutes: {{/big: OK {body}}}\n"));
        let mut greedy = TcpStream::connect(gate.address).expect("the listener is there");
        greedy.set_nonblocking(true).expect("a socket option");
        let request = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
        let begun = Instant::now();
        while gate.cells.connections_closed.get() == 0 {
            assert!(begun.elapsed() < PATIENCE, "{io:?}: it is still served");
            let _ = greedy.write(&request);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn a_long_head_may_trickle_in_and_its_limits_hold() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_uri_size: 1KiB, max_header_size: 4KiB}\nroutes: {/ok: OK}\n");
        let mut client = gate.client();
        let head = format!("GET /ok HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "y".repeat(3900));
        for piece in head.as_bytes().chunks(97) {
            client.send(piece);
            std::thread::sleep(Duration::from_micros(200));
        }
        assert!(client.response().starts_with("HTTP/1.1 200 "), "{io:?}");
        let long = format!("GET /{}", "z".repeat(3000));
        for (request, status) in [(long.as_str(), 414), (&*("GET /ok HTTP/1.1\r\nA: ".to_owned() + &long + &long), 431)]
        {
            let mut client = gate.client();
            for piece in request.as_bytes().chunks(97) {
                // It may have been refused already.
                let _ = client.stream.write(piece);
                std::thread::sleep(Duration::from_micros(200));
            }
            let answer = client.rest();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{io:?}: {status}: {answer:?}");
        }
    });
}

#[test]
fn connect_is_no_tunnel_where_a_rule_answers_it() {
    both(|io| {
        for (rule, body) in [("OK hello", "hello"), ("OK", ""), ("FORBIDDEN no", "no")] {
            let gate = Gate::start(io, &format!("routes: {{\"CONNECT GET /\": {rule}}}\n"));
            let mut client = gate.client();
            // What follows is bytes for a tunnel, and no request.
            client.send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.rest();
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{io:?}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{io:?}: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{io:?}: {answer}");
            assert_eq!(answer.contains("Content-Length"), answer.contains(" 403 "), "{io:?}: {answer}");
        }
    });
}

/// Numbers that look random and are the same for a seed (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// What one request of a pipeline must bring.
struct Due {
    number: usize,
    status: u16,
    /// The end of the answer, or for echo a part of it.
    holds: String,
    bodiless: bool,
}

/// One request of any kind, and what it must bring.
fn request(number: usize, dice: &mut Dice) -> (Vec<u8>, Due) {
    let chunked = |body: &str, dice: &mut Dice| {
        let mut text = String::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (front, back) = rest.split_at((dice.below(200) + 1).min(rest.len()));
            text += &format!("{:x};ext=\"v\"\r\n{front}\r\n", front.len());
            rest = back;
        }
        text + "0\r\nX-Trailer: t\r\n\r\n"
    };
    let pad = "p".repeat(dice.below(3000));
    let body = format!("{pad}<{number}>");
    let len = body.len();
    let (text, status, holds, bodiless) = match dice.below(13) {
        0 | 1 => ("GET /one HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200, "\r\n\r\n1".to_owned(), false),
        2 => (
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"),
            200,
            format!("<{number}>"),
            false,
        ),
        3 => (
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunked(&body, dice)),
            200,
            format!("<{number}>"),
            false,
        ),
        4 => (
            format!("PUT /one HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"),
            200,
            "\r\n\r\n1".to_owned(),
            false,
        ),
        5 => (
            format!("PUT /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunked(&body, dice)),
            200,
            "\r\n\r\n1".to_owned(),
            false,
        ),
        6 => ("HEAD /one HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200, "Content-Length: 1\r\n\r\n".to_owned(), true),
        7 => (
            format!("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"),
            404,
            "404 Not Found\n".to_owned(),
            false,
        ),
        8 => ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 204, String::new(), true),
        9 => (
            "GET /one HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            200,
            "Connection: keep-alive\r\n\r\n1".to_owned(),
            false,
        ),
        10 => (
            format!("GET /one?{} HTTP/1.1\r\nHost: a\r\nX: {pad}{pad}\r\n\r\n", "q".repeat(dice.below(2000))),
            200,
            "\r\n\r\n1".to_owned(),
            false,
        ),
        11 => ("\r\nGET /big HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200, "xxx<big>".to_owned(), false),
        _ => (
            format!("HEAD /old/{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            301,
            format!("Location: /new/{number}\r\n"),
            true,
        ),
    };
    (text.into_bytes(), Due { number, status, holds, bodiless })
}

#[test]
fn any_pipeline_in_any_pieces_is_answered_in_its_order() {
    both(|io| {
        let big = "x".repeat(3000);
        let gate = Gate::start(
            io,
            &format!("routes: {{/one: OK 1, /echo: \"*\", /big: OK {big}<big>, \"/old/:n\": \"MOVED /new/:n\"}}\n"),
        );
        for seed in 1..=6 {
            let mut dice = Dice(seed);
            let (mut bytes, mut all) = (Vec::new(), Vec::new());
            for number in 0..400 {
                let (text, due) = request(number, &mut dice);
                bytes.extend_from_slice(&text);
                all.push(due);
            }
            let mut client = gate.client();
            let mut sender = client.stream.try_clone().expect("a descriptor");
            let largest = [40, 500, 5000, 50_000][dice.below(4)];
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        let (front, back) = rest.split_at((dice.below(largest) + 1).min(rest.len()));
                        sender.write_all(front).expect("the server takes bytes");
                        rest = back;
                        if dice.below(20) == 0 {
                            std::thread::sleep(Duration::from_micros(200));
                        }
                    }
                });
                for Due { number, status, holds, bodiless } in all {
                    let answer = if bodiless { client.head() } else { client.response() };
                    let right = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(&holds);
                    assert!(right, "{io:?}: seed {seed}: request {number}: {status} {holds:?}, got {answer:?}");
                }
            });
            assert!(client.silent_for(Duration::from_millis(20)), "{io:?}: seed {seed}: nothing follows");
        }
    });
}
