//! Floods of HTTP/2: each is bounded in memory, ended with ENHANCE_YOUR_CALM where it is a count of frames, and counted.
//!
//! Server and client share a thread, so that every byte the server allocates is seen.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anygate_core::metrics::Snapshot;
use anygate_shard::testing::CountingAllocator;

use crate::backend::Backend;
use crate::costs::Bench;
use crate::h2_cases::client::PREFACE;
use crate::h2_cases::words::{Frame, code_name, items};
use crate::harness::both;

/// How long a flood may last before it is cut.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection may hold in a flood, beside what its streams may hold by their windows.
const HELD: i64 = 192 << 10;

/// The same in buffers of the arena.
const LENT: u64 = 8;

/// What may be left of a connection that was cut, beside what the first one left: tables that grew.
const LEFT: i64 = 4 << 10;

/// How often each flood comes to the same server.
const ROUNDS: u64 = 3;

/// The bytes of frames as a table writes them.
pub(crate) fn frames(text: &str) -> Vec<u8> {
    let frame = |item| Frame::of(&item).expect("right words").expect("a frame").bytes();
    items(text.as_bytes()).into_iter().flat_map(frame).collect()
}

/// A request's fields.
pub(crate) fn asks(path: &str) -> String {
    format!(":method=GET :scheme=http :authority=a :path={path}")
}

/// A client that floods.
pub(crate) struct Attacker {
    pub(crate) bench: Bench,
    stream: TcpStream,
    /// What waits to be sent, and how much of it is.
    out: Vec<u8>,
    pub(crate) sent: usize,
    heard: Vec<u8>,
    /// Whether it takes what the gate says.
    pub(crate) listens: bool,
    /// The code of a GOAWAY, and whether the connection ended.
    goaway: Option<String>,
    ended: bool,
    /// RST_STREAMs, heads and octets of DATA that came.
    resets: usize,
    pub(crate) heads: usize,
    pub(crate) content: usize,
    /// Memory before, and the most that there was beyond it.
    before: i64,
    pub(crate) most: i64,
    /// The same of the arena's buffers.
    lent_before: u64,
    lent: u64,
}

impl Attacker {
    /// Comes in and exchanges settings.
    pub(crate) fn new(bench: Bench, settings: &str) -> Self {
        let stream = bench.client();
        stream.set_nodelay(true).expect("a socket option");
        let mut attacker = Self {
            bench,
            stream,
            out: Vec::with_capacity(1 << 20),
            sent: 0,
            heard: Vec::with_capacity(1 << 20),
            listens: true,
            goaway: None,
            ended: false,
            resets: 0,
            heads: 0,
            content: 0,
            before: 0,
            most: 0,
            lent_before: 0,
            lent: 0,
        };
        attacker.out.extend_from_slice(PREFACE);
        attacker.say(&format!("SETTINGS {settings} ; SETTINGS ACK"));
        attacker.turns(20);
        attacker.before = CountingAllocator::live_bytes();
        attacker.lent_before = attacker.bench.shard.cells().buffers.get();
        (attacker.most, attacker.lent) = (0, 0);
        attacker
    }

    /// Has something to send.
    pub(crate) fn say(&mut self, text: &str) {
        let bytes = frames(text);
        self.out.extend_from_slice(&bytes);
    }

    /// One turn of the server, and what can be sent and read before and after it.
    pub(crate) fn turn(&mut self) {
        match self.stream.write(&self.out[self.sent..]) {
            Ok(n) => self.sent += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // The gate has had enough; what it said may still be read.
            Err(_) => self.sent = self.out.len(),
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        self.bench.turn();
        self.most = self.most.max(CountingAllocator::live_bytes() - self.before);
        self.lent = self.lent.max(self.bench.shard.cells().buffers.get().saturating_sub(self.lent_before));
        let mut bytes = [0; 64 << 10];
        while self.listens && !self.ended {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.heard.extend_from_slice(&bytes[..n]);
                    self.read();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(_) => self.ended = true,
            }
        }
    }

    fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| self.turn());
    }

    /// Takes the whole frames that came.
    fn read(&mut self) {
        let mut at = 0;
        while let Some([a, b, c, kind, ..]) = self.heard[at..].first_chunk::<9>() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let kind = *kind;
            let Some(payload) = self.heard.get(at + 9..at + 9 + length) else { break };
            match kind {
                0x0 => self.content += length,
                0x1 => self.heads += 1,
                0x3 => self.resets += 1,
                0x7 => {
                    let code = payload.get(4..8).and_then(|four| four.first_chunk()).expect("a code");
                    self.goaway = Some(code_name(u32::from_be_bytes(*code)));
                }
                _ => {}
            }
            at += 9 + length;
        }
        self.heard.drain(..at);
    }

    /// Sends what `next` says, over and over, until the gate ends the connection; how often.
    fn floods(&mut self, mut next: impl FnMut(usize) -> String) -> usize {
        let begun = Instant::now();
        let mut times = 0;
        while !self.ended {
            assert!(begun.elapsed() < PATIENCE, "it still stands after {times} rounds");
            if self.out.is_empty() && self.goaway.is_none() {
                while self.out.len() < 16 << 10 {
                    let bytes = frames(&next(times));
                    self.out.extend_from_slice(&bytes);
                    times += 1;
                }
            }
            self.turn();
        }
        times
    }

    /// The end of the connection, by a code or none.
    fn rests(self) -> Bench {
        let begun = Instant::now();
        while self.bench.cells.snapshot().connections_active() > 0 {
            assert!(begun.elapsed() < PATIENCE, "its connection is not given back");
            self.bench.turn();
        }
        // What its requests held behind goes, too.
        (0..50).for_each(|_| self.bench.turn());
        self.bench
    }
}

/// A flood, several times: each is cut with ENHANCE_YOUR_CALM and counted, holds no more than `most` bytes, and leaves nothing.
fn flood(
    context: &str,
    mut bench: Bench,
    most: i64,
    counter: impl Fn(&Snapshot) -> u64,
    mut next: impl FnMut(usize) -> String,
) -> Bench {
    let mut first = 0;
    for round in 1..=ROUNDS {
        let mut attacker = Attacker::new(bench, "");
        attacker.floods(&mut next);
        assert_eq!(attacker.goaway.as_deref(), Some("ENHANCE_YOUR_CALM"), "{context}");
        assert!(attacker.most <= most, "{context}: {} bytes were held", attacker.most);
        assert!(attacker.lent <= LENT, "{context}: {} buffers were held", attacker.lent);
        bench = attacker.rests();
        assert_eq!(counter(&bench.cells.snapshot()), round, "{context}: the counter");
        let left = CountingAllocator::live_bytes();
        assert!(round == 1 || left - first <= LEFT, "{context}: {} bytes are left", left - first);
        first = if round == 1 { left } else { first };
    }
    bench
}

/// A server behind that takes requests and answers none.
fn silent() -> Backend {
    Backend::start(|served| while served.head().is_some() {})
}

/// The `at`th stream.
pub(crate) fn stream(at: usize) -> usize {
    2 * at + 1
}

#[test]
fn requests_that_are_given_up_at_once_are_cut() {
    both(|io| {
        let behind = silent();
        let config = format!("server: {{h2: {{max_resets: 100}}}}\n{}", behind.config());
        flood(
            &format!("{io:?}"),
            Bench::new(io, &config),
            2 * HELD,
            |cells| cells.h2_reset_floods,
            |n| {
                let id = stream(n);
                format!("HEADERS {id} END_STREAM {} ; RST_STREAM {id} CANCEL", asks("/"))
            },
        );
        let connections = behind.connections();
        assert!(connections <= 110 * ROUNDS as usize, "{io:?}: {connections} connections to the server behind");
    });
}

#[test]
fn requests_that_the_gate_is_made_to_reset_are_cut() {
    both(|io| {
        let behind = silent();
        let config = format!("server: {{h2: {{max_resets: 100}}}}\n{}", behind.config());
        let ask = asks("/");
        for (how, begin, frame) in [
            ("a window that grows by nothing", "", "WINDOW_UPDATE ID 0"),
            ("a window that overflows", "", "WINDOW_UPDATE ID 0x7fffffff"),
            ("a PRIORITY of a wrong size", "", "PRIORITY ID hex:00000000"),
            ("DATA behind the end", "END_STREAM", "DATA ID abc"),
            ("HEADERS behind the end", "END_STREAM", "HEADERS ID END_STREAM x-a=b"),
            ("trailers that are no end", "", "HEADERS ID x-a=b"),
            ("content that is too long", "content-length=1", "DATA ID abc"),
        ] {
            let bench = Bench::new(io, &config);
            flood(
                &format!("{io:?}, {how}"),
                bench,
                2 * HELD,
                |cells| cells.h2_reset_floods,
                |n| {
                    let id = stream(n).to_string();
                    format!("HEADERS {id} {ask} {begin} ; {}", frame.replace("ID", &id))
                },
            );
        }
    });
}

#[test]
fn malformed_requests_without_end_are_cut() {
    both(|io| {
        let bench = Bench::new(io, "server: {h2: {max_resets: 100}}\nroutes: {/: OK}\n");
        flood(
            &format!("{io:?}"),
            bench,
            HELD,
            |cells| cells.h2_reset_floods,
            |n| format!("HEADERS {} END_STREAM {} X-A=b", stream(n), asks("/")),
        );
    });
}

#[test]
fn requests_above_the_number_of_streams_are_refused_and_cut() {
    both(|io| {
        let behind = silent();
        let config = format!("server: {{h2: {{max_streams: 10, max_resets: 100}}}}\n{}", behind.config());
        flood(
            &format!("{io:?}"),
            Bench::new(io, &config),
            HELD,
            |cells| cells.h2_reset_floods,
            |n| format!("HEADERS {} END_STREAM {}", stream(n), asks("/")),
        );
        let connections = behind.connections();
        assert!(connections <= 10 * ROUNDS as usize, "{io:?}: {connections} connections to the server behind");
    });
}

#[test]
fn a_head_that_goes_on_and_on_is_cut() {
    both(|io| {
        for (how, fields) in [
            ("empty", String::new()),
            ("a field each", "x-a=b".into()),
            ("full of fields", "x-abcdefghijklmnopqrstuvwxyz=b ".repeat(400)),
            ("one long value", format!("x-a={}", "b".repeat(16_000))),
            ("full of what the table has", "@16 ".repeat(16_000)),
        ] {
            let bench = Bench::new(io, "routes: {/: OK}\n");
            flood(
                &format!("{io:?}, {how}"),
                bench,
                3 * HELD,
                |cells| cells.h2_continuation_floods,
                |n| match n {
                    0 => format!("HEADERS 1 MORE END_STREAM {}", asks("/")),
                    _ => format!("CONTINUATION 1 MORE {fields}"),
                },
            );
        }
    });
}

#[test]
fn pings_are_cut_whether_their_answers_are_taken_or_not() {
    both(|io| {
        let context = format!("{io:?}");
        let bench = Bench::new(io, "routes: {/: OK}\n");
        let bench = flood(&context, bench, HELD, |cells| cells.h2_ping_floods, |_| "PING 12345678".into());
        // Nobody reads: the connection is closed all the same, and its last word is there.
        let mut attacker = Attacker::new(bench, "");
        attacker.listens = false;
        (0..10_000).for_each(|_| attacker.say("PING 12345678"));
        let before = CountingAllocator::live_bytes();
        attacker.turns(100);
        let held = CountingAllocator::live_bytes() - before;
        assert!(held <= HELD, "{context}: {held} bytes were held");
        attacker.listens = true;
        attacker.floods(|_| "PING 12345678".into());
        assert_eq!(attacker.goaway.as_deref(), Some("ENHANCE_YOUR_CALM"), "{context}");
        assert_eq!(attacker.rests().cells.snapshot().h2_ping_floods, ROUNDS + 1, "{context}");
    });
}

#[test]
fn settings_without_end_are_cut() {
    both(|io| {
        for settings in ["", "INITIAL_WINDOW_SIZE=1 HEADER_TABLE_SIZE=0", "0xff=1 0xfe=2"] {
            let bench = Bench::new(io, "routes: {/: OK}\n");
            let context = format!("{io:?}, {settings}");
            flood(&context, bench, HELD, |cells| cells.h2_settings_floods, |_| format!("SETTINGS {settings}"));
        }
    });
}

#[test]
fn content_without_content_is_cut() {
    both(|io| {
        let behind = silent();
        for data in ["DATA 1", "DATA 1 PADDED=0", "DATA 1 PADDED=255"] {
            let bench = Bench::new(io, &behind.config());
            flood(
                &format!("{io:?}, {data}"),
                bench,
                HELD,
                |cells| cells.h2_empty_frame_floods,
                |n| match n {
                    0 => format!("HEADERS 1 {}", asks("/")),
                    _ => data.into(),
                },
            );
        }
    });
}

#[test]
fn window_updates_without_end_are_cut() {
    both(|io| {
        let behind = silent();
        for update in ["WINDOW_UPDATE 0 1", "WINDOW_UPDATE 1 1"] {
            let config = format!("server: {{h2: {{max_window_updates: 1000}}}}\n{}", behind.config());
            let bench = Bench::new(io, &config);
            flood(
                &format!("{io:?}, {update}"),
                bench,
                HELD,
                |cells| cells.h2_window_update_floods,
                |n| match n {
                    0 => format!("HEADERS 1 {}", asks("/")),
                    _ => update.into(),
                },
            );
        }
    });
}

#[test]
fn priorities_without_end_are_cut_and_those_of_idle_streams_are_not_all_kept() {
    both(|io| {
        for (how, next) in [
            ("PRIORITY", (|n| format!("PRIORITY {} 0:15", stream(n))) as fn(usize) -> String),
            ("PRIORITY_UPDATE of idle streams", |n| format!("PRIORITY_UPDATE {} u=1", stream(n % 100))),
            ("PRIORITY_UPDATE of one stream", |_| "PRIORITY_UPDATE 1 u=1,i".into()),
            ("long PRIORITY_UPDATEs", |n| format!("PRIORITY_UPDATE {} {}", stream(n % 100), "u=1,".repeat(1000))),
        ] {
            let bench = Bench::new(io, "routes: {/: OK}\n");
            flood(&format!("{io:?}, {how}"), bench, HELD, |cells| cells.h2_priority_floods, next);
        }
    });
}

#[test]
fn frames_of_unknown_types_without_end_are_cut() {
    both(|io| {
        for frame in ["FRAME=0x20 0", "FRAME=0xff 7 abcdefgh"] {
            let bench = Bench::new(io, "routes: {/: OK}\n");
            flood(&format!("{io:?}, {frame}"), bench, HELD, |cells| cells.h2_unknown_frame_floods, |_| frame.into());
        }
    });
}

#[test]
fn a_small_block_that_is_a_huge_list_is_refused_and_holds_little() {
    both(|io| {
        let mut attacker = Attacker::new(Bench::new(io, "routes: {/: OK}\n"), "");
        let ask = asks("/");
        // 4,000 bytes in the table, and 16,000 references to them in a frame: 64 MB.
        attacker.say(&format!("HEADERS 1 END_STREAM {ask} +x-bomb={}", "b".repeat(3_900)));
        attacker.turns(5);
        let bomb = "@62 ".repeat(16_000);
        let begun = Instant::now();
        for at in 1..=8 {
            attacker.say(&format!("HEADERS {} END_STREAM {ask} {bomb}", stream(at)));
        }
        while attacker.heads < 9 && attacker.goaway.is_none() {
            assert!(begun.elapsed() < PATIENCE, "{io:?}: {} heads", attacker.heads);
            attacker.turn();
        }
        // Frames were made within: a head of 16,000 fields as a table writes it, and eight of them as bytes.
        assert!(attacker.most <= HELD, "{io:?}: {} bytes were held", attacker.most);
        if let Some(code) = &attacker.goaway {
            assert_eq!(code, "ENHANCE_YOUR_CALM", "{io:?}");
        } else {
            assert_eq!(attacker.bench.cells.snapshot().heads_too_large, 8, "{io:?}");
        }
    });
}

#[test]
fn a_huge_list_of_fields_is_refused_and_holds_little() {
    both(|io| {
        let mut attacker = Attacker::new(Bench::new(io, "routes: {/: OK}\n"), "");
        let ask = asks("/");
        for at in 0..8 {
            let id = stream(at);
            attacker.say(&format!("HEADERS {id} MORE END_STREAM {ask}"));
            for _ in 0..9 {
                attacker.say(&format!("CONTINUATION {id} MORE x-a={}", "b".repeat(16_000)));
            }
            attacker.say(&format!("CONTINUATION {id} x-a=b"));
            let begun = Instant::now();
            while attacker.heads <= at && attacker.goaway.is_none() {
                assert!(begun.elapsed() < PATIENCE, "{io:?}: {} heads", attacker.heads);
                attacker.turn();
            }
        }
        assert!(attacker.most <= 2 * HELD, "{io:?}: {} bytes were held", attacker.most);
        if let Some(code) = &attacker.goaway {
            assert_eq!(code, "ENHANCE_YOUR_CALM", "{io:?}");
        } else {
            assert_eq!(attacker.bench.cells.snapshot().heads_too_large, 8, "{io:?}");
        }
    });
}

/// Streams of a client that never opens a window.
const STALLED: usize = 100;
/// What each may hold of its answer, and for itself.
const STALLED_HELD: i64 = (64 << 10) + (16 << 10);

#[test]
fn answers_whose_window_stays_shut_hold_no_more_than_64_kib_each_and_are_given_up() {
    let folder = std::env::temp_dir().join(format!("anygate-h2-floods-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    std::fs::write(folder.join("large.bin"), vec![b'l'; 1 << 20]).expect("there is room");
    let large = "x".repeat(1 << 20);
    let behind = Backend::start(move |served| {
        while served.head().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
            if !served.send(head.as_bytes()) || !served.send(large.as_bytes()) {
                return;
            }
        }
    });
    both(|io| {
        for path in ["/up", "/files/large.bin", "/long"] {
            let config = format!(
                "server: {{write_timeout: 1s}}\nroutes:\n  /up: http://{}\n  /files/: {}/\n  /long: OK {}\n",
                behind.address,
                folder.display(),
                "f".repeat(30_000),
            );
            let mut attacker = Attacker::new(Bench::new(io, &config), "INITIAL_WINDOW_SIZE=0");
            for at in 0..STALLED {
                attacker.say(&format!("HEADERS {} END_STREAM {}", stream(at), asks(path)));
            }
            let begun = Instant::now();
            let over = |attacker: &Attacker| attacker.resets == STALLED || attacker.ended;
            while !over(&attacker) {
                assert!(begun.elapsed() < PATIENCE, "{io:?}, {path}: {} resets", attacker.resets);
                attacker.turn();
            }
            assert!(begun.elapsed() > Duration::from_millis(800), "{io:?}, {path}: {:?}", begun.elapsed());
            assert_eq!((attacker.heads, attacker.content), (STALLED, 0), "{io:?}, {path}");
            let most = STALLED as i64 * STALLED_HELD;
            assert!(attacker.most <= most, "{io:?}, {path}: {} bytes were held", attacker.most);
            // 64 KiB of each answer are in a buffer of the arena, and nowhere else; before 256 KiB wait in all, some are in two.
            assert!(
                attacker.lent <= STALLED as u64 + 3 * 16 + LENT,
                "{io:?}, {path}: {} buffers were held",
                attacker.lent
            );
            assert!(attacker.bench.cells.snapshot().timeouts_write > 0, "{io:?}, {path}: it is counted");
        }
    });
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn content_that_nobody_takes_stops_at_the_windows_and_more_of_it_is_an_error() {
    // Takes a head, and nothing more.
    let behind = Backend::start(|served| {
        served.head();
        std::thread::sleep(PATIENCE);
    });
    both(|io| {
        let config = format!(
            "server: {{max_body_size: 1GiB, read_timeout: 30s, h2: {{window: 64KiB, connection_window: 256KiB}}}}\n{}",
            behind.config()
        );
        let mut attacker = Attacker::new(Bench::new(io, &config), "");
        attacker.say("HEADERS 1 :method=POST :scheme=http :authority=a :path=/");
        let data = Frame { stream: 1, payload: vec![b'x'; 16 << 10], ..Frame::default() }.bytes();
        // The client minds no window: it goes on until the gate has had enough.
        let begun = Instant::now();
        let mut sent = 0;
        while attacker.resets == 0 && !attacker.ended {
            assert!(begun.elapsed() < PATIENCE, "{io:?}: {sent} bytes were taken");
            if attacker.out.is_empty() {
                attacker.out.extend_from_slice(&data);
                sent += data.len();
            }
            attacker.turn();
        }
        assert!(attacker.most <= (64 << 10) + HELD, "{io:?}: {} bytes were held", attacker.most);
        assert!(attacker.lent <= 2 * LENT, "{io:?}: {} buffers were held", attacker.lent);
        assert_eq!((attacker.goaway.as_deref(), attacker.resets), (None, 1), "{io:?}");
    });
}
