//! HTTP/2 under a hostile eye: what a client may hold, for how long, and what one connection may do to others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anygate_serve::observe::limit::Limit;
use anygate_serve::testing::{Spot, panic_once};

use crate::backend::Backend;
use crate::costs::Bench;
use crate::greedy::reached;
use crate::h2::{WEBSOCKET, switching};
use crate::h2_client::{DATA, H2};
use crate::h2_floods::{Attacker, asks, frames, stream};
use crate::harness::{Gate, both};

/// A kind of frames that means nothing.
const UNKNOWN: u8 = 0xbb;

#[test]
fn a_frame_that_means_nothing_keeps_no_connection_that_does_not_end_it() {
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 300ms, idle_timeout: 5m}\nroutes: {/ok: OK}\n");
        // The payload of each is to come: of an unknown kind, and of content that is nobody's, padded or not.
        for (kind, flags, on) in [(UNKNOWN, 0, 0), (DATA, 0, 1), (DATA, 8, 1)] {
            let mut client = H2::plain(&gate);
            assert_eq!(client.get(1, "/ok").status, 200, "{io:?}");
            client.send(&[0, 0, 100, kind, flags, 0, 0, 0, on]);
            client.drain();
            assert_eq!(client.goaways().len(), 1, "{io:?}: {kind} {flags}");
        }
        reached(&gate, Limit::Head, 3);
        assert!(gate.emptied(), "{io:?}");
    });
}

/// Lets a bench turn until `so`, or for too long.
fn until(bench: &Bench, so: impl Fn(&Bench) -> bool) {
    let begun = Instant::now();
    while !so(bench) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it did not come to that");
        bench.turn();
    }
}

#[test]
fn what_one_connection_does_at_a_turns_end_is_no_others_harm() {
    both(|io| {
        let bench = Bench::new(io, "routes: {/ok: OK hello}\n");
        let mut attackers: Vec<_> = (0..8).map(|_| raw(&bench)).collect();
        (0..50).for_each(|_| bench.turn());
        panic_once(&bench.cells, Spot::Settle);
        let head = frames(&format!("HEADERS 1 END_STREAM {}", asks("/ok")));
        for client in &mut attackers {
            client.write_all(&head).expect("the socket takes it");
        }
        until(&bench, |bench| bench.cells.requests.get() == 8);
        (0..50).for_each(|_| bench.turn());
        let answered = attackers.iter_mut().map(has_content).filter(|had| *had).count();
        assert_eq!(answered, 7, "{io:?}: all but the one that panicked");
        assert_eq!(bench.cells.snapshot().connections_active(), 7, "{io:?}");
    });
}

/// A client that has said its first words.
fn raw(bench: &Bench) -> TcpStream {
    let mut client = bench.client();
    client.write_all(crate::h2_cases::client::PREFACE).expect("the socket takes it");
    client.write_all(&frames("SETTINGS ; SETTINGS ACK")).expect("the socket takes it");
    client
}

/// Whether `hello` came.
fn has_content(client: &mut TcpStream) -> bool {
    let mut all = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(n) = client.read(&mut bytes) {
        if n == 0 {
            break;
        }
        all.extend_from_slice(&bytes[..n]);
    }
    all.windows(5).any(|five| five == b"hello")
}

/// Tunnels of a client that keeps their windows shut.
const TUNNELS: usize = 20;
/// What each may hold for itself, and what of the answer: a buffer that waits, and one that is being put behind it.
const TUNNEL_HELD: i64 = 24 << 10;
const TUNNEL_BUFFERS: u64 = 3;

#[test]
fn a_tunnel_whose_window_stays_shut_holds_no_more_than_an_answer() {
    let behind = Backend::start(|served| {
        let Some(head) = served.head() else { return };
        served.send(format!("{}\r\n", switching(&head)).as_bytes());
        served.send(&vec![b't'; 1 << 20]);
        std::thread::sleep(Duration::from_secs(5));
    });
    both(|io| {
        let mut attacker = Attacker::new(Bench::new(io, &behind.config()), "INITIAL_WINDOW_SIZE=0");
        let fields: Vec<String> = WEBSOCKET.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for at in 0..TUNNELS {
            attacker.say(&format!("HEADERS {} {}", stream(at), fields.join(" ")));
        }
        let begun = Instant::now();
        let mut buffers = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            attacker.turn();
            buffers = buffers.max(attacker.bench.shard.cells().buffers.get());
        }
        assert_eq!((attacker.heads, attacker.content), (TUNNELS, 0), "{io:?}");
        let most = TUNNELS as i64 * TUNNEL_HELD;
        assert!(attacker.most <= most, "{io:?}: {} bytes were held", attacker.most);
        assert!(buffers <= TUNNELS as u64 * TUNNEL_BUFFERS, "{io:?}: {buffers} buffers were held");
    });
}

/// Answers in tiny pieces that nobody reads.
const TINY: usize = 10;
const TINY_HELD: i64 = (64 << 10) + (64 << 10) + (160 << 10);

#[test]
fn tiny_pieces_that_are_not_taken_hold_no_more_than_large_ones() {
    let behind = Backend::start(|served| {
        while served.head().is_some() {
            // Others fill the way to the client meanwhile.
            std::thread::sleep(Duration::from_secs(1));
            if !served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                || !served.send(&b"1\r\nt\r\n".repeat(1 << 16))
                || !served.send(b"0\r\n\r\n")
            {
                return;
            }
        }
    });
    both(|io| {
        let config = format!("routes: {{/: \"http://{}\", /long: OK {}}}\n", behind.address, "l".repeat(60_000));
        let mut attacker = Attacker::new(Bench::new(io, &config), "INITIAL_WINDOW_SIZE=2147483647");
        attacker.listens = false;
        attacker.say("WINDOW_UPDATE 0 2147418112");
        for at in 0..TINY {
            attacker.say(&format!("HEADERS {} END_STREAM {}", stream(at), asks("/tiny")));
        }
        for at in TINY..TINY + 800 {
            attacker.say(&format!("HEADERS {} END_STREAM {}", stream(at), asks("/long")));
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            attacker.turn();
        }
        assert!(attacker.sent > 0 || attacker.bench.cells.requests.get() < 800, "{io:?}: the way is not full");
        let most = TINY as i64 * TINY_HELD + (640 << 10);
        assert!(attacker.most <= most, "{io:?}: {} bytes were held", attacker.most);
    });
}
