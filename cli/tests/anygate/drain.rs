//! What happens to those who are served when the process is told to end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::gate::{Client, Gate, HANDSHAKE, PATIENCE, both, serve, until};
use super::rig::Folder;

/// What takes less does not wait for anything; a busy machine is given time.
const AT_ONCE: Duration = Duration::from_secs(15);

/// How long a client at rest is waited for in a drain, less what a machine that is not busy takes itself.
const GRACE: Duration = Duration::from_millis(150);

/// A gate before a backend with a slow answer.
fn before(backend: &Backend, io: &str, settings: &str) -> (Folder, Gate) {
    let folder =
        Folder::with(&format!("{settings}\nroutes:\n  /: http://{}\n  /ok: OK\n  /echo: '*'\n", backend.address));
    let gate = Gate::start(&folder, io, &[]);
    (folder, gate)
}

/// A client whose slow answer has begun and not ended.
fn in_flight(gate: &Gate, backend: &Backend) -> Client {
    let mut client = gate.client();
    client.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    backend.has(1);
    client
}

fn drains_by(signal: &str) {
    both(|io| {
        let backend = Backend::start();
        let (_folder, mut gate) = before(&backend, io, "");
        let mut slow = in_flight(&gate, &backend);
        let mut resting: Vec<Client> = (0..5).map(|_| gate.client()).collect();
        for client in &mut resting {
            assert_eq!(client.get("/ok").unwrap().status, 200);
        }
        let mut silent = gate.client();

        gate.signal(signal);
        for client in resting.iter_mut().chain([&mut silent]) {
            client.closes(&format!("{io}: resting connections, and one that never asked"));
        }
        let refused = Client::connect(gate.address()).and_then(|mut client| client.get("/ok"));
        assert!(refused.is_err(), "{io}: nobody new is served: {refused:?}");

        backend.release();
        let answer = slow.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello world"), "{io}");
        slow.closes(&format!("{io}: its connection ends with it"));
        assert_eq!(gate.ends().code(), Some(0), "{io}");
        assert_eq!(gate.logged("\"drained\""), 1, "{io}: {}", gate.log());
        assert_eq!(gate.logged("panic"), 0, "{io}: {}", gate.log());
    });
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_with_0() {
    drains_by("TERM");
}

#[test]
fn sigint_finishes_what_is_in_flight_and_exits_with_0() {
    drains_by("INT");
}

#[test]
fn an_idle_server_ends_at_once() {
    both(|io| {
        let folder = Folder::new();
        let mut gate = Gate::start(&folder, io, &["-r", "/: OK"]);
        let _silent = gate.client();
        gate.get("/");
        let start = Instant::now();
        gate.signal("TERM");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
        assert!(start.elapsed() < AT_ONCE, "{io}: {:?}", start.elapsed());
    });
}

#[test]
fn a_request_that_arrives_while_draining_is_told_that_the_connection_closes() {
    both(|io| {
        let backend = Backend::start();
        let (_folder, mut gate) = before(&backend, io, "");
        let mut slow = in_flight(&gate, &backend);
        let mut halfway = gate.client();
        let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        halfway.send(head).unwrap();
        assert_eq!(halfway.head().unwrap().status, 100, "{io}: its head is read");
        halfway.send("he").unwrap();
        gate.signal("TERM");
        gate.logs("\"draining\"", 1);
        thread::sleep(Duration::from_millis(50));
        halfway.send("llo").unwrap();
        let answer = halfway.answer().unwrap();
        assert_eq!(answer.status, 200, "{io}");
        assert_eq!(answer.field("Connection"), Some("close"), "{io}: {}", answer.head);
        halfway.closes(io);
        backend.release();
        slow.answer().unwrap();
        assert_eq!(gate.ends().code(), Some(0), "{io}");
    });
}

#[test]
fn the_drain_s_time_cuts_what_does_not_end() {
    both(|io| {
        let backend = Backend::start();
        let (_folder, mut gate) = before(&backend, io, "server: {drain_timeout: 1s}");
        let mut slow = in_flight(&gate, &backend);
        let start = Instant::now();
        gate.signal("TERM");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(900) && took < AT_ONCE, "{io}: {took:?}");
        assert!(slow.answer().is_err(), "{io}: a cut answer never looks whole");
        assert!(gate.logged("the drain's time is over") == 1, "{io}: {}", gate.log());
        assert_eq!(gate.logged("panic"), 0, "{io}: {}", gate.log());
    });
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    both(|io| {
        for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
            let backend = Backend::start();
            let (_folder, mut gate) = before(&backend, io, "");
            let mut slow = in_flight(&gate, &backend);
            let start = Instant::now();
            gate.signal(first);
            gate.logs("\"draining\"", 1);
            gate.signal(second);
            assert_eq!(gate.ends().code(), Some(0), "{io}: {first}, {second}");
            assert!(start.elapsed() < AT_ONCE, "{io}: {:?}", start.elapsed());
            assert!(slow.answer().is_err(), "{io}");
        }
    });
}

#[test]
fn a_tunnel_lives_until_the_drain_s_time_is_over() {
    both(|io| {
        let backend = Backend::start();
        let (_folder, mut gate) = before(&backend, io, "server: {drain_timeout: 1s}");
        let mut tunnel = gate.client();
        tunnel.send(HANDSHAKE).unwrap();
        assert_eq!(tunnel.head().unwrap().status, 101, "{io}");
        gate.signal("TERM");
        gate.logs("\"draining\"", 1);
        tunnel.send("HTTP/1.1 200 still here\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert!(tunnel.answer().unwrap().head.contains("still here"), "{io}: what was sent comes back");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
        assert!(tunnel.answer().is_err(), "{io}");
    });
}

#[test]
fn a_large_download_is_finished_by_the_drain() {
    both(|io| {
        let folder = Folder::with("routes:\n  /: ./dist/\n");
        folder.write("dist/large.txt", &"0123456789".repeat(800_000));
        let mut gate = Gate::start(&folder, io, &[]);
        let mut slow = gate.client();
        slow.send("GET /large.txt HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert_eq!(slow.head().unwrap().status, 200, "{io}");
        gate.signal("TERM");
        gate.logs("\"draining\"", 1);
        thread::sleep(Duration::from_millis(100));
        let mut body = String::new();
        slow.stream.read_to_string(&mut body).unwrap();
        assert_eq!(body.len(), 8_000_000, "{io}: every byte, then the end");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
    });
}

#[test]
fn another_server_can_have_the_address_while_this_one_drains() {
    both(|io| {
        let backend = Backend::start();
        let (folder, mut gate) = before(&backend, io, "");
        let mut slow = in_flight(&gate, &backend);
        gate.signal("TERM");
        gate.logs("\"draining\"", 1);
        let address = gate.address();
        until("the listener to be closed", || Client::connect(address).is_err().then_some(()));
        let next = folder.command(&["serve", "--io", io, "--listen", &address.to_string(), "-r", "/next: OK next"]);
        let next = Gate::run(&folder, next);
        assert_eq!(next.get("/next").body, "next", "{io}");
        backend.release();
        assert_eq!(slow.answer().unwrap().body, "hello world", "{io}");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
        assert_eq!(next.get("/next").body, "next", "{io}");
    });
}

#[test]
fn a_hang_up_while_draining_changes_nothing() {
    both(|io| {
        let backend = Backend::start();
        let (folder, mut gate) = before(&backend, io, "");
        let mut slow = in_flight(&gate, &backend);
        gate.signal("TERM");
        gate.logs("\"draining\"", 1);
        folder.write("anygate.yml", "routes:\n  /: OK\n");
        gate.signal("HUP");
        thread::sleep(Duration::from_millis(100));
        assert_eq!(gate.logged("reload"), 0, "{io}: {}", gate.log());
        backend.release();
        assert_eq!(slow.answer().unwrap().body, "hello world", "{io}");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
    });
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_server_nor_its_end() {
    both(|io| {
        let folder = Folder::with("routes:\n  /: OK\n");
        let mut command = serve(&folder, io, &[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut banner = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(banner.any(|line| line.unwrap().contains("  rules ")), "{io}");
        // Longer lines than the pipe holds.
        let broken: String = (0..90).map(|n| format!("  /{n}: OOK\n")).collect();
        folder.write("anygate.yml", &format!("routes:\n{broken}"));
        let signal = |name: &str| {
            let kill = format!("kill -s {name} {}", child.id());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        };
        for _ in 0..30 {
            signal("HUP");
            thread::sleep(Duration::from_millis(10));
        }
        signal("TERM");
        let start = Instant::now();
        let ended = loop {
            match child.try_wait().unwrap() {
                None if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
                ended => break ended,
            }
        };
        let _ = child.kill();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{io}");
    });
}

#[test]
fn a_drain_under_load_loses_no_request() {
    both(|io| {
        let backend = Backend::start();
        let (_folder, mut gate) = before(&backend, io, "");
        thread::scope(|scope| {
            let mut busy = Vec::new();
            for number in 0..8 {
                let mut client = gate.client();
                let path = ["/ok", "/behind"][number % 2];
                busy.push(scope.spawn(move || {
                    // A client that asks again at once, until it is told that its connection closes.
                    let mut asked = Instant::now();
                    for answers in 1.. {
                        let before = std::mem::replace(&mut asked, Instant::now());
                        let sent = client.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                        let late = before.elapsed() > GRACE;
                        let answer = match sent.and_then(|()| client.answer()) {
                            Ok(answer) => answer,
                            // It stood still for as long as the server waits for who may have asked again.
                            Err(_) if late => return,
                            Err(error) => panic!("{io}: {path}: {answers}: {error}"),
                        };
                        assert_eq!(answer.status, 200, "{io}: {path}");
                        if answer.field("Connection") == Some("close") {
                            client.closes(io);
                            return;
                        }
                    }
                }));
            }
            thread::sleep(Duration::from_millis(100));
            gate.signal("TERM");
            for client in busy {
                client.join().unwrap();
            }
        });
        assert_eq!(gate.ends().code(), Some(0), "{io}");
    });
}
