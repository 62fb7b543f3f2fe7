//! Is everything given back, however connections end? Thousands of them, of every kind; afterwards descriptors, tasks and
//! buffers are as many as after the first ones.
//!
//! `cargo xtask leaks` runs this with 100,000 connections, alone in its process, and asks the process for its descriptors
//! and memory too.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anygate_shard::Io;

use crate::backend::Backend;
use crate::harness::{Gate, both};

/// Set by `cargo xtask leaks`: how many connections, in a process where nothing else runs.
const CONNECTIONS: &str = "ANYGATE_LEAKS_CONNECTIONS";
/// Connections in an ordinary test run.
const FEW: usize = 1500;
/// Clients at a time.
const CLIENTS: usize = 6;
/// Memory may differ by this, in KiB, and by a twentieth: the allocator keeps what it likes.
const MEMORY_KIB: u64 = 2048;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Answers, resets in mid-answer, hangs up, or switches, as the path says.
fn behind() -> Backend {
    Backend::start(|served| {
        while let Some(head) = served.head() {
            if head.contains("websocket") {
                served.send(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
                );
                while let Some(byte) = served.bytes(1) {
                    served.send(&byte);
                }
                return;
            }
            if head.contains("/reset") {
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegun");
                return;
            }
            let body = if head.contains("/large") { 200_000 } else { 10 };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n{}", "x".repeat(body));
            if head.contains("/vanish") || !served.send(answer.as_bytes()) {
                return;
            }
        }
    })
}

/// One connection of the `number`th kind, from its beginning to its end. Errors are the point of some.
fn connection(to: SocketAddr, number: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let ask = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n").into_bytes();
    let mut rest = Vec::new();
    match number % 16 {
        // Short, and as long as its client likes.
        0 => stream.write_all(&ask("/fixed", "Connection: close\r\n"))?,
        1 | 2 => {
            for _ in 0..3 {
                stream.write_all(&ask(if number.is_multiple_of(2) { "/fixed" } else { "/p/" }, ""))?;
                stream.read_exact(&mut [0; 64])?;
            }
            return Ok(());
        }
        3 => stream.write_all(&ask("/p/", "Connection: close\r\n"))?,
        // Gone with the answer unread, or on its way: a reset.
        4 => {
            stream.write_all(&[ask("/fixed", ""), ask("/fixed", "")].concat())?;
            stream.peek(&mut [0; 1])?;
            return Ok(());
        }
        5 => {
            stream.write_all(&ask("/p/large", ""))?;
            stream.read_exact(&mut [0; 1000])?;
            return Ok(());
        }
        6 => return stream.write_all(&ask("/p/large", "")),
        // Half-closed.
        7 | 8 => {
            stream.write_all(&ask(if number.is_multiple_of(2) { "/fixed" } else { "/p/" }, ""))?;
            stream.shutdown(Shutdown::Write)?;
        }
        // Never a whole request.
        9 => return stream.write_all(b"GET /fixed HTTP/1.1\r\nHo"),
        10 => stream.write_all(b"GET /fixed HTTP/1.1\r\nHost: a b\r\n\r\n")?,
        // A body that never comes whole.
        11 => return stream.write_all(b"POST /p/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"),
        // A server behind that resets or vanishes.
        12 => stream.write_all(&ask("/p/reset", ""))?,
        13 => stream.write_all(&ask("/p/vanish", "Connection: close\r\n"))?,
        // A tunnel, closed or cut.
        14 | 15 => {
            stream.write_all(&ask("/p/", UPGRADE))?;
            stream.write_all(b"ping")?;
            stream.read_exact(&mut [0; 100])?;
            if number % 32 < 16 {
                return Ok(());
            }
            stream.shutdown(Shutdown::Write)?;
        }
        _ => unreachable!("all sixteen are there"),
    }
    stream.read_to_end(&mut rest).map(drop)
}

/// A connection whose time runs out: a silent one, and one that does not go on.
fn timed_out(to: SocketAddr) {
    let mut streams = [TcpStream::connect(to), TcpStream::connect(to)].map(|stream| stream.expect("there is room"));
    streams[1].write_all(b"GET / HTTP/1.1\r\n").expect("the gate listens");
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

fn run(gate: &Gate, connections: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < connections) {
                    let _ = connection(gate.address, number);
                }
            });
        }
        scope.spawn(|| timed_out(gate.address));
    });
}

/// What is held once nobody is there any more.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    clients: u64,
    tasks: u64,
    /// Beyond one for each resting connection to the server behind.
    buffers: u64,
    /// Sockets of the shard beyond what its pool may keep.
    sockets: u64,
}

/// Waits until nothing is held beyond what may rest: the listener, and connections to the server behind.
fn at_rest(io: Io, gate: &Gate) {
    let look = || Held {
        clients: gate.cells.snapshot().connections_active(),
        tasks: gate.counters.tasks.get(),
        buffers: gate.counters.buffers.get().saturating_sub(gate.counters.sockets.get()),
        sockets: gate.counters.sockets.get().saturating_sub(1 + CLIENTS as u64),
    };
    let begun = Instant::now();
    while look() != (Held { clients: 0, tasks: 0, buffers: 0, sockets: 0 }) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{io:?}: never at rest: {:?}", look());
        std::thread::sleep(Duration::from_millis(20));
        // What is counted once a turn wants a turn.
        let _ = connection(gate.address, 0);
    }
}

/// Descriptors of this process, and its resident memory in KiB.
fn process() -> (usize, u64) {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("a process has a list of them").count();
    let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    (descriptors, memory.trim().trim_end_matches(" kB").parse().expect("a number"))
}

#[test]
fn nothing_is_left_of_thousands_of_connections_of_every_kind() {
    let alone = std::env::var(CONNECTIONS).ok().map(|text| text.parse::<usize>().expect("a number"));
    both(|io| {
        let backend = behind();
        let limits = "server: {idle_timeout: 2s, header_timeout: 2s}";
        let gate =
            Gate::start(io, &format!("{limits}\nroutes: {{/fixed: OK fixed, /p/*: \"http://{}\"}}\n", backend.address));
        let connections = alone.unwrap_or(FEW);
        run(&gate, (connections / 10).max(1000).min(connections));
        at_rest(io, &gate);
        let before = process();
        let begun = Instant::now();
        run(&gate, connections);
        at_rest(io, &gate);
        let took = begun.elapsed();
        assert_eq!(gate.cells.panics.get(), 0, "{io:?}");
        if alone.is_some() {
            let after = process();
            println!("{io}: {connections} connections in {took:.1?}: descriptors and KiB {before:?}, then {after:?}");
            assert!(after.0 <= before.0 + CLIENTS, "{io:?}: descriptors: {before:?}, then {after:?}");
            let most = before.1 + (before.1 / 20).max(MEMORY_KIB);
            assert!(after.1 <= most, "{io:?}: KiB of memory: {before:?}, then {after:?}");
        }
    });
}

#[test]
fn a_server_that_is_dropped_under_load_ends_at_once() {
    both(|io| {
        for _ in 0..2 {
            let backend = behind();
            let gate =
                Gate::start(io, &format!("routes: {{/fixed: OK fixed, /p/*: \"http://{}\"}}\n", backend.address));
            let address = gate.address;
            let next = AtomicUsize::new(0);
            let over = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            let _ = connection(address, next.fetch_add(1, Ordering::Relaxed));
                        }
                    });
                }
                std::thread::sleep(Duration::from_millis(60));
                let begun = Instant::now();
                drop(gate);
                let took = begun.elapsed();
                over.store(true, Ordering::Relaxed);
                assert!(took < Duration::from_secs(4), "{io:?}: the end took {took:?}");
            });
        }
    });
}
