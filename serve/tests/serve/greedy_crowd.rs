//! Greedy clients in crowds, and those who go on sending: what they hold is bounded, and it costs nobody else.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anygate_serve::compile::{CompileEnv, compile};
use anygate_serve::control::Order;
use anygate_serve::tls::Front;
use anygate_shard::net::{self, Address, Bind};

use crate::backend::Backend;
use crate::greedy_answers::ask_once;
use crate::harness::{Client, Gate, PATIENCE, both, loaded, until};

/// Downloads that nobody takes.
const STALLED: usize = 400;
/// A chunk of 64 KiB, and how many of them an answer has: more than the client's socket and the gate hold.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 10;

/// A server behind whose every answer is large and chunked.
fn large_answers() -> Backend {
    let frame = [b"10000\r\n", &[b'x'; CHUNK][..], b"\r\n"].concat();
    Backend::start(move |served| {
        while served.head().is_some() {
            served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            if !(0..CHUNKS).all(|_| served.send(&frame)) || !served.send(b"0\r\n\r\n") {
                return;
            }
        }
    })
}

#[test]
fn hundreds_of_downloads_that_nobody_takes_hold_little_each_and_hold_up_nobody_else() {
    let behind = large_answers();
    let folder = std::env::temp_dir().join(format!("anygate-crowd-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    std::fs::write(folder.join("small.bin"), vec![b's'; 10_000]).expect("there is room");
    std::fs::write(folder.join("large.bin"), vec![b'l'; 100_000]).expect("there is room");
    both(|io| {
        let config = format!(
            "routes:\n  /: http://{}\n  /fixed: OK fixed\n  /long: OK {}\n  /echo: \"*\"\n  /files/: {}/\n",
            behind.address,
            "f".repeat(30_000),
            folder.display()
        );
        let gate = Gate::start(io, &config);
        // A unix socket's buffer does not grow, as a window that stays small.
        let socket = folder.join("gate.sock");
        let _ = std::fs::remove_file(&socket);
        let fd = net::bind(&Address::Unix(Some(socket.clone())), &Bind::default()).expect("a path of our own");
        gate.order(Order::Listen { fd, number: 7, front: Front::default() });
        let idle = gate.counters.buffers.get();
        let stalled: Vec<UnixStream> = (0..STALLED).map(|_| ask_once(&socket)).collect();
        let begun = Instant::now();
        let mut before = u64::MAX;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let taken = gate.cells.bytes_out.get();
            if gate.cells.requests.get() == STALLED as u64 && taken == before {
                break;
            }
            before = taken;
            assert!(begun.elapsed() < 2 * PATIENCE, "{io:?}: {} served", gate.cells.requests.get());
        }
        let held = gate.counters.buffers.get().saturating_sub(idle);
        assert!(held < 5 * STALLED as u64, "{io:?}: {held} buffers for {STALLED} clients that take nothing");

        let begun = Instant::now();
        for path in ["/fixed", "/long", "/files/small.bin", "/files/large.bin"] {
            let mut client = gate.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            assert!(client.response().starts_with("HTTP/1.1 200 "), "{io:?} {path}");
        }
        let mut client = gate.client();
        let upload =
            [&b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"[..], &[b'u'; 200_000]].concat();
        client.send(&upload);
        assert!(client.response().contains("\"body_size\": 200000"), "{io:?}");
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.head().starts_with("HTTP/1.1 200 "), "{io:?}");
        let _ = client.bytes(CHUNKS * (CHUNK + 9) + 5);
        assert!(begun.elapsed() < PATIENCE / 2, "{io:?}: {:?}", begun.elapsed());

        // Who reads at last has all of it.
        let mut all = Vec::new();
        let mut late = stalled.into_iter().next().expect("there are many");
        late.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        let mut bytes = vec![0; 64 << 10];
        while !all.ends_with(b"0\r\n\r\n") {
            let n = late.read(&mut bytes).unwrap_or_else(|error| panic!("{io:?}: {error} after {}", all.len()));
            assert!(n > 0, "{io:?}: the end after {}", all.len());
            all.extend_from_slice(&bytes[..n]);
        }
        drop((late, client));
        assert!(gate.emptied(), "{io:?}: they are gone");
    });
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_refusal_reaches_a_client_that_writes_4_mib_before_it_reads() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_body_size: 1KiB}\nroutes: {/ok: OK, /echo: \"*\"}\n");
        let heads = [
            ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n", 413),
            ("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n", 404),
            ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST /echo HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400),
        ];
        for (head, status) in heads {
            let mut client = gate.client();
            client.send(head.as_bytes());
            for _ in 0..64 {
                client.send(&[b'x'; 64 << 10]);
            }
            let said = client.rest();
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{io:?} {head:?}: {said}");
            assert!(!said.ends_with("[reset]"), "{io:?} {head:?}");
        }
        assert_eq!(gate.counters.forced_closes.get(), 0, "{io:?}");
    });
}

#[test]
fn who_never_stops_sending_after_a_refusal_is_cut() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK}\n");
        let mut client = gate.client();
        client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n");
        let mut sent = 0usize;
        while std::io::Write::write_all(&mut client.stream, &[b'x'; 64 << 10]).is_ok() {
            sent += 64 << 10;
            assert!(sent < 64 << 20, "{io:?}");
        }
        assert!(sent > 12 << 20, "{io:?}: {sent}");
        assert!(until(|| gate.counters.forced_closes.get() == 1), "{io:?}");
    });
}

#[test]
fn near_the_end_of_the_descriptors_nobody_more_is_let_in_until_some_leave() {
    both(|io| {
        let config = loaded("routes: {/ok: OK}\n");
        // Of 40 sockets, 35 may be in use before clients wait.
        let compiled = compile(&config, &CompileEnv { shards: 1, descriptors: 40, serial: 1 });
        let gate = Gate::serve(io, compiled.plan.expect("a good configuration"));
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..34 {
            let mut client = gate.client();
            client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.response().starts_with("HTTP/1.1 200 "), "{io:?}");
            clients.push(client);
        }
        let mut late = gate.client();
        late.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(late.silent_for(Duration::from_millis(100)), "{io:?}: the listener and 34 clients are 35");
        clients.pop();
        assert!(late.response().starts_with("HTTP/1.1 200 "), "{io:?}");
    });
}
