//! HTTP/2 under a hostile eye: what a client may hold, for how long, and what one connection may do to others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anygate_serve::observe::limit::Limit;
use anygate_serve::testing::{Spot, panic_once};
use anygate_shard::Class;
use anygate_shard::testing::CountingAllocator;
use rustls::client::Resumption;

use crate::backend::Backend;
use crate::costs::Bench;
use crate::greedy::reached;
use crate::h2::{WEBSOCKET, switching};
use crate::h2_client::{DATA, H2, HEADERS, PING, SETTINGS, WINDOW_UPDATE};
use crate::h2_floods::{Attacker, asks, frames, stream};
use crate::harness::{Gate, both};
use crate::papers::Papers;

/// A kind of frames that means nothing.
const UNKNOWN: u8 = 0xbb;
const CONTINUATION: u8 = 9;

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

#[test]
fn a_head_has_one_time_however_many_frames_it_comes_in() {
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 500ms}\nroutes: {/ok: OK}\n");
        let mut client = H2::plain(&gate);
        assert_eq!(client.get(1, "/ok").status, 200, "{io:?}");
        let begun = Instant::now();
        client.frame(HEADERS, 1, 3, &[0x82]);
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(150));
            if !client.try_send(&crate::h2_client::frame(CONTINUATION, 0, 3, &[0x86])) {
                break;
            }
        }
        assert_eq!(gate.cells.timeouts_header.get(), 1, "{io:?}: after {:?}", begun.elapsed());
        client.drain();
        reached(&gate, Limit::Head, 1);
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

/// Answers late, at length, never whole, or switches, as the path says.
fn behind() -> Backend {
    Backend::start(|served| {
        while let Some(head) = served.head() {
            if head.contains("sec-websocket-key") {
                served.send(format!("{}\r\nhello", switching(&head)).as_bytes());
                while let Some(byte) = served.bytes(1) {
                    served.send(&byte);
                }
                return;
            }
            if head.contains("/late") {
                std::thread::sleep(Duration::from_millis(30));
            }
            let (length, sent) = if head.contains("/cut") { (100, 10) } else { (100_000, 100_000) };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            if !served.send(head.as_bytes()) || !served.send(&vec![b'b'; sent]) || sent < length {
                return;
            }
        }
    })
}

/// How far a client gets.
fn stages() -> Vec<String> {
    let get = |id, path| format!("HEADERS {id} END_STREAM {}", asks(path));
    let post = |id, path| format!("HEADERS {id} :method=POST :scheme=http :authority=a :path={path}");
    let socket: Vec<String> = WEBSOCKET.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let socket = socket.join(" ");
    let many: Vec<String> = (1..60)
        .map(|at| match at % 4 {
            0 => get(stream(at), "/late"),
            1 => format!("{} ; DATA {} abc", post(stream(at), "/e"), stream(at)),
            2 => get(stream(at), "/files/large.bin"),
            _ => format!("HEADERS {} {socket}", stream(at)),
        })
        .collect();
    vec![
        get(1, "/ok"),
        get(1, "/late"),
        get(1, "/cut"),
        get(1, "/long"),
        get(1, "/files/large.bin"),
        format!("{} ; DATA 1 abc", post(1, "/up")),
        format!("{} expect=100-continue", post(1, "/e")),
        format!("{} ; DATA 1 abc", post(1, "/e")),
        format!("{} ; DATA 1 LEN=100 abc", post(1, "/up")),
        format!("HEADERS 1 {socket} ; DATA 1 ping"),
        format!("HEADERS 1 {socket} ; DATA 1 END_STREAM ping"),
        format!("HEADERS 1 MORE {}", asks("/ok")),
        format!("HEADERS 1 END_STREAM {} x={}", asks("/ok"), "y".repeat(20_000)),
        many.join(" ; "),
    ]
}

#[test]
fn nothing_is_left_of_connections_that_end_at_any_stage_in_any_way() {
    let folder = std::env::temp_dir().join(format!("anygate-h2-review-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    std::fs::write(folder.join("large.bin"), vec![b'l'; 1 << 20]).expect("there is room");
    let behind = behind();
    both(|io| {
        let config = format!(
            "routes: {{/: \"http://{}\", /ok: OK hello, /e: \"*\", /long: OK {}, /files/: {}/}}\n",
            behind.address,
            "l".repeat(200_000),
            folder.display()
        );
        let bench = Bench::new(io, &config);
        let mut held = Vec::new();
        for round in 0..5 {
            for stage in stages() {
                // It is closed, reset, or closed behind the reset of each request; at once, or a while later.
                for way in 0..6 {
                    let mut client = raw(&bench);
                    (0..3).for_each(|_| bench.turn());
                    client.write_all(&frames(&stage)).expect("the socket takes it");
                    (0..1 + 20 * (way / 3)).for_each(|_| bench.turn());
                    if way % 3 == 1 {
                        // What was not read makes a reset of it.
                        let _ = client.read(&mut [0; 1]);
                    }
                    if way % 3 == 2 {
                        let resets = (0..60).map(|at| format!("RST_STREAM {} CANCEL", stream(at)));
                        let asked = resets.take(if stage.contains("HEADERS 3 ") { 60 } else { 1 });
                        let _ = client.write_all(&frames(&asked.collect::<Vec<_>>().join(" ; ")));
                        (0..2).for_each(|_| bench.turn());
                    }
                    drop(client);
                    let cells = bench.shard.cells();
                    until(&bench, |bench| bench.cells.snapshot().connections_active() == 0 && cells.tasks.get() == 0);
                }
            }
            (0..50).for_each(|_| bench.turn());
            held.push(CountingAllocator::live_bytes());
            assert_eq!(bench.cells.panics.get(), 0, "{io:?}: round {round}");
        }
        assert!(held[4] - held[1] <= LEFT, "{io:?}: {held:?}");
    });
    let _ = std::fs::remove_dir_all(&folder);
}

/// What may be left after rounds of connections: tables that grew.
const LEFT: i64 = 16 << 10;

#[test]
fn requests_that_are_refused_count_among_those_of_a_connection() {
    both(|io| {
        let gate =
            Gate::start(io, "server: {max_requests_per_connection: 3, max_header_size: 1KiB}\nroutes: {/ok: OK}\n");
        let mut client = H2::plain(&gate);
        for stream in [1, 3, 5] {
            client.ask(stream, "GET", "/ok", &[("x-long", &"y".repeat(1024))], true);
            assert_eq!(client.answer(stream).status, 431, "{io:?}");
        }
        client.drain();
        assert_eq!(client.goaways(), [(5, 0)], "{io:?}");
    });
}

#[test]
fn what_comes_with_the_handshake_is_counted() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let gate = Gate::start(io, &papers.configuration(1, "early_data: true", "routes: {/: OK hello}\n"));
        let mut config = (*papers.client(false)).clone();
        config.enable_early_data = true;
        config.resumption = Resumption::in_memory_sessions(8);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let config = Arc::new(config);
        assert_eq!(H2::tls(&gate, &config, "a.test").get(1, "/").status, 200, "{io:?}");
        let before = gate.cells.bytes_in.get();
        let asked = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")];
        let mut client = H2::early(&gate, &config, "a.test", &[(1, &asked)]);
        assert_eq!(client.answer(1).status, 200, "{io:?}");
        let came = gate.cells.bytes_in.get() - before;
        assert!(came > 24 + 9 + 9, "{io:?}: {came} bytes of preface, settings and head");
    });
}

/// Large buffers that the bench could lend now.
fn large_buffers(bench: &Bench) -> usize {
    let lent: Vec<_> = std::iter::from_fn(|| bench.shard.try_lease(Class::Bulk)).collect();
    lent.len()
}

/// Files whose windows stay shut.
const SHUT: usize = 100;

#[test]
fn files_whose_windows_stay_shut_keep_no_large_buffers_from_others() {
    let folder = std::env::temp_dir().join(format!("anygate-h2-shut-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    std::fs::write(folder.join("large.bin"), vec![b'l'; 1 << 20]).expect("there is room");
    both(|io| {
        let bench = Bench::new(io, &format!("routes: {{/files/: {}/}}\n", folder.display()));
        let before = large_buffers(&bench);
        let mut attacker = Attacker::new(bench, "INITIAL_WINDOW_SIZE=0");
        for at in 0..SHUT {
            attacker.say(&format!("HEADERS {} END_STREAM {}", stream(at), asks("/files/large.bin")));
        }
        let begun = Instant::now();
        while attacker.heads < SHUT {
            assert!(begun.elapsed() < Duration::from_secs(5), "{io:?}: {} heads", attacker.heads);
            attacker.turn();
        }
        (0..50).for_each(|_| attacker.turn());
        let taken = before - large_buffers(&attacker.bench);
        assert!(taken <= 4, "{io:?}: {taken} of {before} are taken");
    });
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn much_content_comes_whole_over_tls_however_late_its_client_reads() {
    let folder = std::env::temp_dir().join(format!("anygate-h2-much-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    std::fs::write(folder.join("large.bin"), vec![b'm'; 6 << 20]).expect("there is room");
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let routes = format!("routes: {{/files/: {}/}}\n", folder.display());
        let gate = Gate::start(io, &papers.configuration(1, "", &routes));
        for room in [0, 0x7000_0000_u32] {
            let mut client = H2::tls(&gate, &papers.client(false), "a.test");
            if room > 0 {
                let settings = [&[0, 4][..], &room.to_be_bytes()].concat();
                client.frame(SETTINGS, 0, 0, &settings);
                client.frame(WINDOW_UPDATE, 0, 0, &room.to_be_bytes());
            }
            for stream in [1, 3, 5] {
                client.ask(stream, "GET", "/files/large.bin", &[], true);
            }
            // The way fills up meanwhile.
            std::thread::sleep(Duration::from_millis(300));
            for stream in [1, 3, 5] {
                let answer = client.answer(stream);
                assert_eq!((answer.status, answer.body.len(), answer.reset), (200, 6 << 20, None), "{io:?}: {room}");
            }
        }
    });
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn who_reads_nothing_ends_though_it_sends_on_and_on() {
    let folder = std::env::temp_dir().join(format!("anygate-h2-unread-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    // More than the kernel takes on behalf of both sides.
    let file = std::fs::File::create(folder.join("huge.bin")).expect("there is room");
    file.set_len(64 << 20).expect("there is room");
    both(|io| {
        let limits = "server: {write_timeout: 500ms, header_timeout: 1m}";
        let gate = Gate::start(io, &format!("{limits}\nroutes: {{/files/: {}/}}\n", folder.display()));
        let mut client = H2::with_settings(&gate, &[(4, 0x7fff_ffff)]);
        client.frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
        client.until(|client| !client.others.is_empty());
        client.ask(1, "GET", "/files/huge.bin", &[], true);
        // Some part of a frame is always there, and none takes long.
        let pings = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &[0; 8]].concat();
        let begun = Instant::now();
        for byte in pings.iter().cycle() {
            if gate.cells.timeouts_write.get() == 1 || !client.try_send(&[*byte]) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(8), "{io:?}: it still stands");
            std::thread::sleep(Duration::from_millis(40));
        }
        assert!(gate.emptied(), "{io:?}");
        reached(&gate, Limit::Write, 1);
    });
    let _ = std::fs::remove_dir_all(&folder);
}
