//! What a connection of HTTP/2 holds in memory while one of its sides takes nothing: no more than its windows, whatever the
//! content comes in, and nothing once it is gone.
//!
//! Server and client share a thread, so that every byte the server allocates is seen. The sockets are unix sockets, whose
//! buffers do not grow.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anygate_shard::Io;
use anygate_shard::testing::CountingAllocator;

use crate::costs::Bench;
use crate::h2::{WEBSOCKET, switching};
use crate::h2_cases::client::PREFACE;
use crate::h2_floods::{asks, frames, stream};
use crate::harness::both;

/// What a request holds for itself: its head, its task, its connection to a server behind.
const REQUEST: i64 = 16 << 10;
/// What a connection holds for itself.
const CONNECTION: i64 = 192 << 10;
/// Buffers of the arena that it may have beside those of its answers.
const BUFFERS: u64 = 8;
/// What the kernel takes for a unix socket that nobody reads.
const KERNEL: u64 = 300 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

/// A folder of sockets and files, which goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("anygate-h2-memory-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder of our own");
        Self(path)
    }

    /// A server behind that reads a head, answers it with what `answer` makes of it, and reads nothing any more; its target.
    fn server(&self, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
        let path = self.0.join("behind.sock");
        let listener = UnixListener::bind(&path).expect("a path of our own");
        std::thread::spawn(move || {
            let mut all = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.expect("the gate connects");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    match connection.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => break,
                    }
                }
                connection.set_nonblocking(true).expect("a socket option");
                // As much as the kernel takes.
                let _ = connection.write(&answer(&String::from_utf8_lossy(&head)));
                all.push(connection);
            }
        });
        format!("http+unix://{}:/", path.display())
    }

    fn bench(&self, io: Io, yaml: &str) -> Bench {
        Bench::at(io, yaml, &self.0.join("gate.sock"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client that keeps to the windows it is given.
struct Client<'b> {
    bench: &'b Bench,
    socket: UnixStream,
    out: Vec<u8>,
    sent: usize,
    heard: Vec<u8>,
    /// Whether it takes what the gate says.
    listens: bool,
    /// What it may send in all, and on each stream, in bytes.
    room: i64,
    rooms: Vec<i64>,
    window: i64,
    /// What it sent on each stream.
    uploaded: Vec<u64>,
    /// Frames and content that came.
    came: [usize; 10],
    content: usize,
    /// Memory before, and the most that there was beyond it; the same of the arena's buffers.
    before: (i64, u64),
    most: (i64, u64),
}

impl<'b> Client<'b> {
    fn new(folder: &Folder, bench: &'b Bench, settings: &str) -> Self {
        let socket = UnixStream::connect(folder.0.join("gate.sock")).expect("the listener is there");
        socket.set_nonblocking(true).expect("a socket option");
        let mut client = Self {
            bench,
            socket,
            out: Vec::with_capacity(1 << 20),
            sent: 0,
            heard: Vec::with_capacity(1 << 20),
            listens: true,
            room: 65_535,
            rooms: Vec::with_capacity(256),
            window: 65_535,
            uploaded: Vec::with_capacity(256),
            came: [0; 10],
            content: 0,
            before: (0, 0),
            most: (0, 0),
        };
        client.out.extend_from_slice(PREFACE);
        client.say(&format!("SETTINGS {settings} ; SETTINGS ACK"));
        (0..20).for_each(|_| client.turn());
        client.before = (CountingAllocator::live_bytes(), bench.shard.cells().buffers.get());
        client.most = (0, 0);
        client
    }

    fn say(&mut self, text: &str) {
        let bytes = frames(text);
        self.out.extend_from_slice(&bytes);
    }

    /// Begins requests with content to come, each as `fields` say.
    fn begin(&mut self, count: usize, fields: &str) {
        for at in 0..count {
            self.say(&format!("HEADERS {} {fields}", stream(at)));
            self.rooms.push(self.window);
            self.uploaded.push(0);
            self.turn();
        }
    }

    /// Sends content on each stream, `piece` bytes in a frame, while its windows are open.
    fn upload(&mut self, piece: i64) {
        for at in 0..self.rooms.len() {
            let len = piece.min(self.room).min(self.rooms[at]);
            if len <= 0 || self.out.len() > 512 << 10 {
                continue;
            }
            self.room -= len;
            self.rooms[at] -= len;
            self.uploaded[at] += len as u64;
            self.out.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
            self.out.extend_from_slice(&[DATA, 0]);
            self.out.extend_from_slice(&(stream(at) as u32).to_be_bytes());
            self.out.resize(self.out.len() + len as usize, b'u');
        }
    }

    fn turn(&mut self) {
        match self.socket.write(&self.out[self.sent..]) {
            Ok(n) => self.sent += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => panic!("the gate has gone: {error}"),
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        self.bench.turn();
        let now = (CountingAllocator::live_bytes(), self.bench.shard.cells().buffers.get());
        self.most.0 = self.most.0.max(now.0 - self.before.0);
        self.most.1 = self.most.1.max(now.1.saturating_sub(self.before.1));
        let mut bytes = [0; 64 << 10];
        while self.listens {
            match self.socket.read(&mut bytes) {
                Ok(0) => panic!("the gate has gone"),
                Ok(n) => self.heard.extend_from_slice(&bytes[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(error) => panic!("the gate has gone: {error}"),
            }
            self.read();
        }
    }

    fn read(&mut self) {
        let mut at = 0;
        while let Some(header) = self.heard[at..].first_chunk::<9>() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let (kind, flags) = (header[3], header[4]);
            let on = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
            let Some(payload) = self.heard.get(at + 9..at + 9 + length) else { break };
            let number = |at: usize| i64::from(u32::from_be_bytes(*payload[at..].first_chunk().expect("four octets")));
            self.came[usize::from(kind).min(9)] += 1;
            match kind {
                DATA => self.content += length,
                SETTINGS if flags == 0 => {
                    for at in (0..length).step_by(6).filter(|&at| payload[at..at + 2] == [0, 4]) {
                        self.window = number(at + 2);
                    }
                }
                WINDOW_UPDATE if on == 0 => self.room += number(0),
                WINDOW_UPDATE => self.rooms[on / 2] += number(0),
                _ => {}
            }
            at += 9 + length;
        }
        self.heard.drain(..at);
    }

    /// Uploads until nothing moves any more, however long it waits.
    fn uploads_all_it_may(&mut self, piece: i64) {
        let begun = Instant::now();
        let mut still = 0;
        while still < 300 {
            assert!(begun.elapsed() < PATIENCE, "{:?} were sent", self.uploaded);
            let before = (self.uploaded.iter().sum::<u64>(), self.room, self.out.len() - self.sent);
            self.upload(piece);
            self.turn();
            let now = (self.uploaded.iter().sum::<u64>(), self.room, self.out.len() - self.sent);
            still = if before == now { still + 1 } else { 0 };
        }
        assert_eq!(self.sent, self.out.len(), "the gate reads no more");
    }
}

const POST: &str = ":method=POST :scheme=http :authority=a :path=/";

fn websocket() -> String {
    let fields: Vec<String> = WEBSOCKET.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.join(" ")
}

/// Takes a head, agrees to a tunnel, and reads nothing.
fn deaf(head: &str) -> Vec<u8> {
    if head.contains("websocket") { format!("{}\r\n", switching(head)).into_bytes() } else { Vec::new() }
}

const LIMITS: &str = "max_body_size: 1GiB, min_body_rate: 0B/s";

#[test]
fn content_that_its_server_does_not_take_holds_no_more_than_its_window() {
    both(|io| {
        for (how, fields) in [("POST", POST.into()), ("a tunnel", websocket())] {
            for (streams, window) in [(1, 1 << 20), (1, 256 << 10), (1, 16 << 10), (30, 128 << 10)] {
                let context = format!("{io:?}, {how}: {streams} of {window}");
                let folder = Folder::new("window");
                let target = folder.server(deaf);
                let h2 = format!("h2: {{window: {window}, connection_window: 32MiB}}");
                let bench = folder.bench(io, &format!("server: {{{LIMITS}, {h2}}}\nroutes: {{/: \"{target}\"}}\n"));
                let mut client = Client::new(&folder, &bench, "");
                client.begin(streams, &fields);
                client.uploads_all_it_may(16 << 10);
                for &uploaded in &client.uploaded {
                    assert!(uploaded >= window, "{context}: {uploaded} were let come");
                    assert!(uploaded <= window + KERNEL, "{context}: {uploaded} were let come");
                }
                let most = CONNECTION + streams as i64 * (window as i64 + REQUEST);
                assert!(client.most.0 <= most, "{context}: {} bytes were held", client.most.0);
                assert!(client.most.1 <= BUFFERS, "{context}: {} buffers were held", client.most.1);
            }
        }
    });
}

#[test]
fn content_of_many_requests_holds_no_more_than_their_connections_window() {
    both(|io| {
        for (how, fields) in [("POST", POST.into()), ("a tunnel", websocket())] {
            let context = format!("{io:?}, {how}");
            let folder = Folder::new("connection");
            let target = folder.server(deaf);
            let bench = folder.bench(io, &format!("server: {{{LIMITS}}}\nroutes: {{/: \"{target}\"}}\n"));
            let mut client = Client::new(&folder, &bench, "");
            client.begin(100, &fields);
            client.uploads_all_it_may(16 << 10);
            let most = CONNECTION + (1 << 20) + 100 * REQUEST;
            assert!(client.most.0 <= most, "{context}: {} bytes were held", client.most.0);
            assert!(client.most.1 <= BUFFERS, "{context}: {} buffers were held", client.most.1);
        }
    });
}

#[test]
fn content_that_comes_byte_by_byte_holds_memory_in_proportion() {
    both(|io| {
        for (how, fields) in [("POST", POST.into()), ("a tunnel", websocket())] {
            let context = format!("{io:?}, {how}");
            let folder = Folder::new("bytes");
            let target = folder.server(deaf);
            let bench = folder.bench(io, &format!("server: {{{LIMITS}}}\nroutes: {{/: \"{target}\"}}\n"));
            let mut client = Client::new(&folder, &bench, "");
            client.begin(20, &fields);
            for _ in 0..4000 {
                client.upload(1);
                client.turn();
            }
            let most = CONNECTION + 20 * REQUEST;
            assert!(client.most.0 <= most, "{context}: {} bytes were held", client.most.0);
            assert!(client.most.1 <= BUFFERS, "{context}: {} buffers were held", client.most.1);
        }
    });
}

#[test]
fn an_upload_goes_on_as_its_server_takes_it_and_comes_whole() {
    let folder = Folder::new("whole");
    let path = folder.0.join("reader.sock");
    let listener = UnixListener::bind(&path).expect("a path of our own");
    // Reads slowly, and answers with how much it was.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("the gate connects");
            std::thread::spawn(move || {
                let mut came = 0;
                let mut bytes = [0; 20_000];
                let mut tail = Vec::new();
                while !tail.ends_with(b"0\r\n\r\n") {
                    let n = connection.read(&mut bytes).unwrap_or(0);
                    if n == 0 {
                        return;
                    }
                    came += bytes[..n].iter().filter(|byte| **byte == b'u').count();
                    tail.extend_from_slice(&bytes[..n]);
                    tail.drain(..tail.len().saturating_sub(5));
                    std::thread::sleep(Duration::from_micros(200));
                }
                let text = came.to_string();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                let _ = connection.write_all(answer.as_bytes());
            });
        }
    });
    both(|io| {
        for (window, piece) in [(16 << 10, 16 << 10), (64 << 10, 1000), (256 << 10, 16 << 10)] {
            let config = format!(
                "server: {{{LIMITS}, h2: {{window: {window}}}}}\nproxy: {{via: false}}\nroutes: {{/: \"http+unix://{}:/\"}}\n",
                path.display()
            );
            let bench = folder.bench(io, &config);
            let mut client = Client::new(&folder, &bench, "");
            client.begin(4, ":method=POST :scheme=http :authority=a :path=/");
            let begun = Instant::now();
            let whole = 3_000_000;
            while client.uploaded.iter().any(|&uploaded| uploaded < whole) {
                assert!(begun.elapsed() < PATIENCE, "{io:?}, {window}: {:?}", client.uploaded);
                for at in 0..4 {
                    client.rooms[at] = client.rooms[at].min((whole - client.uploaded[at]) as i64);
                }
                client.upload(piece);
                client.turn();
            }
            for at in 0..4 {
                client.say(&format!("DATA {} END_STREAM", stream(at)));
            }
            while client.content < 4 * 7 {
                assert!(begun.elapsed() < PATIENCE, "{io:?}, {window}: {} of the answers", client.content);
                client.turn();
            }
            assert_eq!((client.came[3], client.content), (0, 4 * 7), "{io:?}, {window}");
        }
    });
}

/// Answers of a client that reads nothing, though it lets everything come.
const UNREAD: usize = 100;

#[test]
fn answers_that_are_not_read_hold_one_piece_each() {
    let folder = Folder::new("unread");
    std::fs::write(folder.0.join("large.bin"), vec![b'l'; 1 << 20]).expect("there is room");
    let target = folder.server(|_| {
        let content = "x".repeat(180 << 10);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{content}").into_bytes()
    });
    both(|io| {
        for path in ["/up", "/files/large.bin", "/long"] {
            let config = format!(
                "routes:\n  /up: \"{target}\"\n  /files/: {}/\n  /long: OK {}\n",
                folder.0.display(),
                "f".repeat(30_000),
            );
            let bench = folder.bench(io, &config);
            let mut client = Client::new(&folder, &bench, "INITIAL_WINDOW_SIZE=2147483647");
            client.say("WINDOW_UPDATE 0 2147418112");
            client.listens = false;
            client.begin(UNREAD, &format!("END_STREAM {}", asks(path)));
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(700) {
                client.turn();
            }
            assert!(bench.cells.requests.get() >= 10, "{io:?}, {path}: {} requests", bench.cells.requests.get());
            let most = CONNECTION + UNREAD as i64 * REQUEST;
            assert!(client.most.0 <= most, "{io:?}, {path}: {} bytes were held", client.most.0);
            // 256 KiB wait at the socket, in frames of 16 KiB with a buffer each for their headers; and before there was as much
            // in all, some answers had pieces of no more than that.
            let most = UNREAD as u64 + 3 * 16 + 2 * BUFFERS;
            assert!(client.most.1 <= most, "{io:?}, {path}: {} buffers were held", client.most.1);
        }
    });
}

#[test]
fn an_answer_that_leaves_byte_by_byte_and_is_not_read_holds_memory_in_proportion() {
    both(|io| {
        let folder = Folder::new("sip");
        let bench = folder.bench(io, &format!("routes: {{/long: OK {}}}\n", "l".repeat(60_000)));
        let mut client = Client::new(&folder, &bench, "INITIAL_WINDOW_SIZE=0");
        client.listens = false;
        client.begin(1, &format!("END_STREAM {}", asks("/long")));
        for _ in 0..6000 {
            client.say("WINDOW_UPDATE 1 1");
            client.turn();
        }
        // Ten octets for each that was let come, and what doubles to make room for them.
        let most = 6000 * 20 + REQUEST + (16 << 10);
        assert!(client.most.0 <= most, "{io:?}: {} bytes were held", client.most.0);
        assert!(client.most.1 <= 2 * BUFFERS, "{io:?}: {} buffers were held", client.most.1);
        // Nothing of it is lost.
        client.listens = true;
        let begun = Instant::now();
        while client.content < 6000 {
            assert!(begun.elapsed() < PATIENCE, "{io:?}: {} octets came", client.content);
            client.turn();
        }
        assert_eq!((client.content, client.came[3]), (6000, 0), "{io:?}");
    });
}

/// Bytes that may be left of a server with requests under way, beside what is left of one without: its thread frees not all that
/// this one allocates.
const LEFT: i64 = 1 << 10;

#[test]
fn nothing_is_left_of_a_server_that_ends_with_requests_under_way() {
    let folder = Folder::new("ends");
    let target = folder.server(deaf);
    both(|io| {
        // The most that is left of some servers whose client has begun such requests.
        let left = |fields: &str| {
            let rounds = (0..4).map(|_| {
                let before = CountingAllocator::live_bytes();
                let bench = folder.bench(io, &format!("server: {{{LIMITS}}}\nroutes: {{/: \"{target}\"}}\n"));
                if !fields.is_empty() {
                    let mut client = Client::new(&folder, &bench, "");
                    client.begin(10, fields);
                    if !fields.contains("END_STREAM") {
                        client.uploads_all_it_may(16 << 10);
                    }
                    assert!(bench.shard.cells().tasks.get() >= 5, "{io:?}: {} tasks", bench.shard.cells().tasks.get());
                    bench.shard.shutdown();
                }
                drop(bench);
                CountingAllocator::live_bytes() - before
            });
            rounds.max().unwrap_or(0)
        };
        let bare = left("");
        for fields in [POST.into(), websocket(), format!("END_STREAM {}", asks("/"))] {
            let more = left(&fields) - bare;
            assert!(more <= LEFT, "{io:?}, {fields}: {more} bytes are left");
        }
    });
}
