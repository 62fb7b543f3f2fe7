//! Clients that do not take their answers, or hardly: whatever the answer is made of, they are cut in time, and hold little.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anygate_serve::control::Order;
use anygate_serve::observe::limit::Limit;
use anygate_serve::tls::Front;
use anygate_shard::Io;
use anygate_shard::net::{self, Address, Bind};

use crate::backend::Backend;
use crate::greedy::reached;
use crate::harness::{Gate, PATIENCE, at_once, both, until};

const MIB: usize = 1 << 20;
/// What may be asked for: each is sent in another way.
const KINDS: [&str; 6] = ["/fixed", "/small.bin", "/large.bin", "/chunked", "/length", "/echo"];

/// A folder, and a socket in it, of this test's own.
struct Scene {
    folder: PathBuf,
    behind: Backend,
}

impl Scene {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("anygate-greedy-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("files")).expect("a folder of our own");
        std::fs::write(folder.join("files/small.bin"), vec![b's'; 10_000]).expect("there is room");
        // Takes no room on the disk.
        let large = File::create(folder.join("files/large.bin")).expect("a file of our own");
        large.set_len(1 << 30).expect("a length");
        let behind = Backend::start(|served| {
            while let Some(head) = served.head() {
                let piece = vec![b'p'; 64 << 10];
                let chunked = head.starts_with("GET /chunked");
                let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 1073741824" };
                served.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
                let frame =
                    |bytes: &[u8]| if chunked { [b"10000\r\n", bytes, b"\r\n"].concat() } else { bytes.to_vec() };
                let piece = frame(&piece);
                for _ in 0..(1 << 30) / (64 << 10) {
                    if !served.send(&piece) {
                        return;
                    }
                }
                served.send(if chunked { b"0\r\n\r\n" } else { b"" });
            }
        });
        Self { folder, behind }
    }

    fn gate(&self, io: Io, server: &str) -> Gate {
        let gate = Gate::start(
            io,
            &format!(
                "server: {{{server}}}\nroutes:\n  /: {}/\n  /fixed: OK {}\n  /echo: \"*\"\n  /chunked: http://{}\n  \
                 /length: http://{}\n",
                self.folder.join("files").display(),
                "f".repeat(30_000),
                self.behind.address,
                self.behind.address
            ),
        );
        // A unix socket's buffer does not grow, as a window that stays small.
        let _ = std::fs::remove_file(self.socket());
        let fd = net::bind(&Address::Unix(Some(self.socket())), &Bind::default()).expect("a path of our own");
        gate.order(Order::Listen { fd, number: 7, front: Front::default() });
        gate
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("gate.sock")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asks for more than any socket holds; short answers are asked for again and again, until no more requests are taken.
fn ask(socket: &Path, path: &str) -> UnixStream {
    let begun = Instant::now();
    let mut client = loop {
        match UnixStream::connect(socket) {
            Ok(client) => break client,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200));
    if ["/large.bin", "/chunked", "/length"].contains(&path) {
        client.write_all(request.as_bytes()).expect("a fresh connection");
        return client;
    }
    client.set_write_timeout(Some(Duration::from_millis(50))).expect("a socket option");
    let requests = request.repeat(100);
    while client.write(requests.as_bytes()).is_ok_and(|n| n > 0) {}
    client
}

/// Asks once, and reads nothing.
pub(crate) fn ask_once(socket: &Path) -> UnixStream {
    let begun = Instant::now();
    loop {
        if let Ok(mut client) = UnixStream::connect(socket) {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a fresh connection");
            return client;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody listens");
    }
}

/// How a connection ends for who reads it at last: the bytes that were on their way, then a reset or the end.
fn ends(mut client: UnixStream) -> (usize, bool) {
    client.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut all = 0;
    let mut bytes = vec![0; MIB];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => return (all, false),
            Ok(n) => all += n,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, true),
            Err(error) => panic!("{error} after {all} bytes"),
        }
    }
}

#[test]
fn an_answer_that_nobody_takes_is_cut_whatever_it_is_made_of() {
    let scene = Scene::new();
    both(|io| {
        for kind in KINDS {
            let gate = scene.gate(io, "write_timeout: 300ms");
            let begun = Instant::now();
            let client = ask(&scene.socket(), kind);
            assert!(until(|| gate.cells.requests.get() > 0), "{io:?} {kind}: it is not served");
            assert!(gate.emptied(), "{io:?} {kind}: it is held");
            let after = begun.elapsed();
            assert!(after.as_millis() >= 250, "{io:?} {kind}: {after:?}");
            reached(&gate, Limit::Write, 1);
            assert_eq!(gate.cells.upstream_failures.get(), 0, "{io:?} {kind}: no fault of who is behind");
            assert_eq!(gate.cells.timeouts_upstream.get(), 0, "{io:?} {kind}: no fault of who is behind");
            let (all, _) = ends(client);
            assert!(all < 4 * MIB, "{io:?} {kind}: {all} bytes");
        }
    });
}

#[test]
fn who_takes_some_of_an_answer_now_and_then_is_served_to_its_end() {
    at_once(|io| {
        std::thread::scope(|scope| {
            for kind in ["/large.bin", "/chunked", "/length"] {
                scope.spawn(move || {
                    let scene = Scene::new();
                    let gate = scene.gate(io, "write_timeout: 2s, min_send_rate: 1MiB/s");
                    let mut client = ask(&scene.socket(), kind);
                    let begun = Instant::now();
                    let mut bytes = vec![0; 256 << 10];
                    while begun.elapsed() < Duration::from_secs(4) {
                        client.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{io:?} {kind}: {error}"));
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    assert_eq!(gate.cells.timeouts_write.get(), 0, "{io:?} {kind}");
                    drop(client);
                    assert!(gate.emptied(), "{io:?} {kind}");
                });
            }
        });
    });
}

/// Reads so many bytes at a time, every 100 ms, for so long; how long it took until the gate had enough, if it had.
fn sip(mut client: UnixStream, bytes: usize, time: Duration) -> Option<Duration> {
    let begun = Instant::now();
    let mut sip = vec![0; bytes];
    client.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket option");
    while begun.elapsed() < time {
        match client.read(&mut sip) {
            Ok(0) => return Some(begun.elapsed()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(begun.elapsed()),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    None
}

#[test]
fn an_answer_taken_below_the_least_rate_is_cut_after_ten_seconds_of_waiting() {
    at_once(|io| {
        std::thread::scope(|scope| {
            for (kind, path) in [("file", "/large.bin"), ("copied", "/chunked"), ("spliced", "/length")] {
                // 160 KiB a second is too slow for one of them, and well enough for the other.
                for (rate, cut) in [("10MiB/s", true), ("16KiB/s", false)] {
                    scope.spawn(move || {
                        let scene = Scene::new();
                        let gate = scene.gate(io, &format!("write_timeout: 5s, min_send_rate: {rate}"));
                        let taken =
                            sip(ask(&scene.socket(), path), 16 << 10, Duration::from_secs(if cut { 25 } else { 12 }));
                        assert_eq!(taken.is_some(), cut, "{io:?} {kind} {rate}: {taken:?}");
                        if let Some(after) = taken {
                            assert!((9..25).contains(&after.as_secs()), "{io:?} {kind}: {after:?}");
                            reached(&gate, Limit::SendRate, 1);
                        }
                    });
                }
            }
        });
    });
}

#[test]
fn a_body_below_the_least_rate_gets_408_after_ten_seconds_of_waiting_and_a_slow_server_is_not_held_against_it() {
    at_once(|io| {
        // It takes nothing for longer than the rate allows, and then everything.
        let lazy = Backend::start(|served| {
            std::thread::sleep(Duration::from_secs(12));
            served.rest();
        });
        let behind = Backend::start(|served| drop(served.rest()));
        std::thread::scope(|scope| {
            for (path, framing) in [
                ("/echo", "Content-Length: 60000"),
                ("/", "Content-Length: 60000"),
                ("/", "Content-Length: 6000000"),
                ("/", "Transfer-Encoding: chunked"),
            ] {
                let gate = Gate::start(
                    io,
                    &format!(
                        "server: {{min_body_rate: 1KiB/s}}\nroutes: {{/echo: \"*\", /: \"http://{}\"}}\n",
                        behind.address
                    ),
                );
                scope.spawn(move || {
                    let mut client = gate.client();
                    client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes());
                    let begun = Instant::now();
                    client.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket option");
                    let mut said = [0; 12];
                    let bytes = "x".repeat(100);
                    let chunked = framing.starts_with('T');
                    let piece = if chunked { format!("64\r\n{bytes}\r\n") } else { bytes }.into_bytes();
                    while begun.elapsed() < Duration::from_secs(25) {
                        if client.stream.read_exact(&mut said).is_ok() {
                            break;
                        }
                        // 500 bytes a second.
                        let _ = client.stream.write_all(&piece);
                    }
                    assert_eq!(&said, b"HTTP/1.1 408", "{io:?} {path} {framing}");
                    assert!(
                        (9..25).contains(&begun.elapsed().as_secs()),
                        "{io:?} {path} {framing}: {:?}",
                        begun.elapsed()
                    );
                    reached(&gate, Limit::BodyRate, 1);
                });
            }
            // Fast, but not taken: its time is the server's.
            for framing in ["Content-Length: 50000000", "Transfer-Encoding: chunked"] {
                let gate = Gate::start(
                    io,
                    &format!(
                        "server: {{min_body_rate: 10MiB/s, max_body_size: 0}}\nroutes: {{/: \"http://{}\"}}\n",
                        lazy.address
                    ),
                );
                scope.spawn(move || {
                    let mut client = gate.client();
                    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes());
                    let begun = Instant::now();
                    let chunk = [b"10000\r\n", &[b'x'; 65536][..], b"\r\n"].concat();
                    let piece = if framing.starts_with('T') { &chunk[..] } else { &chunk[7..7 + 65536] };
                    client.stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a socket option");
                    for _ in 0..700 {
                        client
                            .stream
                            .write_all(piece)
                            .unwrap_or_else(|error| panic!("{io:?} {framing}: {error} after {:?}", begun.elapsed()));
                    }
                    assert!(begun.elapsed() > Duration::from_secs(10), "{io:?} {framing}: it was not held up");
                    assert_eq!(gate.cells.bodies_too_slow.get(), 0, "{io:?} {framing}");
                });
            }
        });
    });
}

#[test]
fn small_pieces_that_nobody_takes_keep_no_buffer_each() {
    const CLIENTS: usize = 6;
    const PIECES: usize = 3000;
    both(|io| {
        // As events come: one at a time, for as long as somebody takes them.
        let behind = Backend::start(|served| {
            while served.head().is_some() {
                served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for _ in 0..PIECES {
                    if !served.send(b"64\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n") {
                        return;
                    }
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        });
        let gate = Gate::start(io, &behind.config());
        let path = std::env::temp_dir().join(format!("anygate-pieces-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let fd = net::bind(&Address::Unix(Some(path.clone())), &Bind::default()).expect("a path of our own");
        gate.order(Order::Listen { fd, number: 7, front: Front::default() });
        let idle = gate.counters.buffers.get();
        let clients: Vec<UnixStream> = (0..CLIENTS).map(|_| ask_once(&path)).collect();
        let mut most = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1500) {
            most = most.max(gate.counters.buffers.get().saturating_sub(idle));
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(&path).expect("it is ours");
        assert!(most < 16 * CLIENTS as u64, "{io:?}: {most} buffers for {CLIENTS} clients that take nothing");
        // They are served to the end once they read.
        for mut client in clients {
            client.set_read_timeout(Some(PATIENCE)).expect("a socket option");
            let (mut all, mut bytes) = (Vec::new(), vec![0; 64 << 10]);
            while !all.ends_with(b"0\r\n\r\n") && all.len() < PIECES * 106 {
                let n = client.read(&mut bytes).unwrap_or_else(|error| panic!("{io:?}: {error} after {}", all.len()));
                assert!(n > 0, "{io:?}: the end after {}", all.len());
                all.extend_from_slice(&bytes[..n]);
            }
        }
    });
}
