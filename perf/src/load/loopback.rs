//! Whether a load counts what a server does: over real sockets, on both drivers, against servers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anygate_shard::Io;

use super::*;
use crate::floor::testing::drivers;

/// How often what depends on time is tried.
pub(super) const TRIES: usize = 20;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server with a thread for each connection; `serve` gets the stream and how many were accepted before.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(serve: impl Fn(TcpStream, u64) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (serve, ended) = (Arc::new(serve), over.clone());
        let thread = thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (serve, stream) = (serve.clone(), stream.unwrap());
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || serve(stream, number as u64));
            }
        });
        Self { address, over, thread: Some(thread) }
    }

    pub(super) fn plan(&self, io: Io) -> Plan {
        Plan {
            connections: 4,
            warm_up: Duration::from_millis(20),
            duration: Duration::from_millis(200),
            ..Plan::new(self.address, io)
        }
    }

    pub(super) fn run(&self, plan: &Plan) -> Tally {
        assert_eq!(plan.target, self.address);
        run(plan, &mut |_| {}).unwrap()
    }

    /// What a load counts that is as it must be. So short a one shows nothing on a machine that stands still in it; what a
    /// fault makes wrong is wrong each time.
    pub(super) fn seen(&self, plan: &Plan, fine: impl Fn(&Tally) -> bool) -> Tally {
        let mut last = self.run(plan);
        for _ in 0..TRIES {
            if fine(&last) {
                return last;
            }
            last = self.run(plan);
        }
        panic!("never as it must be: {} answers of {} due, {} faults", last.answers, last.due, last.all_faults());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Reads one request with its body; `None` at the stream's end. What follows it stays in `left`.
pub(super) fn request(stream: &mut impl Read, left: &mut Vec<u8>) -> Option<(String, u64)> {
    let mut piece = [0; 65_536];
    loop {
        if let Some(end) = left.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8(left.drain(..end + 4).collect()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            let mut missing = length as usize - left.drain(..left.len().min(length as usize)).len();
            while missing > 0 {
                let room = missing.min(piece.len());
                missing -= stream.read(&mut piece[..room]).ok().filter(|&read| read > 0)?;
            }
            return Some((head, length));
        }
        let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
        left.extend_from_slice(&piece[..read]);
    }
}

/// Answers every request with `answer`.
fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Server {
    Server::start(move |mut stream, _| {
        let mut left = Vec::new();
        while request(&mut stream, &mut left).is_some() && stream.write_all(answer.as_ref()).is_ok() {}
    })
}

/// A server that answers at once, but for one stretch of 200 ms when nobody is answered.
fn stalling() -> Server {
    let began = Instant::now();
    Server::start(move |mut stream, _| {
        let mut left = Vec::new();
        while request(&mut stream, &mut left).is_some() {
            let passed = began.elapsed();
            let stall = Duration::from_millis(300)..Duration::from_millis(500);
            if stall.contains(&passed) {
                thread::sleep(stall.end - passed);
            }
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_stall_of_200_ms_counts_for_every_request_that_was_due_in_it() {
    let duration = Duration::from_millis(700);
    let late = |tally: &Tally| tally.latency.count_between(100_000_000, u64::MAX);
    for io in drivers() {
        let mut told = Vec::new();
        let seen = (0..TRIES).any(|_| {
            let server = stalling();
            let plan = Plan { rate: Some(1000.0), warm_up: Duration::from_millis(50), duration, ..server.plan(io) };
            let tally = server.run(&plan);
            assert_eq!(tally.all_faults(), 0, "{io}");
            let (late, p99_us) = (late(&tally), tally.latency_us(0.99));
            told.push(format!("{late} of {}, of {} due, waited for 100 ms, p99 {p99_us} us", tally.answers, tally.due));
            // 200 were due in the stall, at even distances: 100 of them waited for more than half of it.
            let near = tally.answers.abs_diff(tally.due) <= 30;
            (90..=130).contains(&late) && (150e3..260e3).contains(&p99_us) && near
        });
        assert!(seen, "{io}: {told:#?}");

        // What a closed loop sees of it: one request on each connection.
        let seen = (0..TRIES).any(|_| {
            let server = stalling();
            late(&server.run(&Plan { duration, ..server.plan(io) })) <= 4
        });
        assert!(seen, "{io}");
    }
}

#[test]
fn a_rate_that_the_server_cannot_hold_is_told() {
    for io in drivers() {
        let server = Server::start(|mut stream, _| {
            let mut left = Vec::new();
            while request(&mut stream, &mut left).is_some() {
                thread::sleep(Duration::from_millis(10));
                if stream.write_all(OK).is_err() {
                    return;
                }
            }
        });
        let plan = Plan { rate: Some(2000.0), duration: Duration::from_millis(400), ..server.plan(io) };
        // What waits for a connection counts the wait.
        let tally = server.seen(&plan, |tally| tally.answers > 0 && tally.latency_us(1.0) > 250e3);
        assert!(!tally.is_held(), "{io}");
        let due = tally.elapsed.as_secs_f64() * 2000.0;
        assert!((tally.due as f64 - due).abs() <= 2.0, "{io}: {} of {due} due", tally.due);
        // Four connections, 10 ms each: a fifth at most.
        assert!(tally.answers * 4 <= tally.due, "{io}: {} answers", tally.answers);
        assert!(tally.waiting >= 500, "{io}: {} waiting", tally.waiting);
    }
}

#[test]
fn a_rate_is_kept_by_whatever_connections_there_are() {
    for io in drivers() {
        let server = answering(OK);
        for (depth, reuse) in [(1, Reuse::KeepAlive), (8, Reuse::KeepAlive), (1, Reuse::PerRequest)] {
            let plan = Plan { rate: Some(1000.0), depth, reuse, ..server.plan(io) };
            let tally = server.seen(&plan, |tally| tally.answers.abs_diff(tally.due) <= 30);
            assert_eq!(tally.all_faults(), 0, "{io}, {depth}, {reuse:?}");
            let due = tally.elapsed.as_secs_f64() * 1000.0;
            assert!((tally.due as f64 - due).abs() <= 2.0, "{io}, {depth}, {reuse:?}: {} of {due} due", tally.due);
            if reuse == Reuse::PerRequest {
                assert!(tally.connects.abs_diff(tally.answers) <= 8, "{io}: {} connects", tally.connects);
            }
        }
    }
}

#[test]
fn groups_of_connections_run_side_by_side_and_are_told_apart() {
    for io in drivers() {
        let server = answering(OK);
        let light = Group { connections: 40, depth: 1, pace: Pace::Each(Duration::from_millis(100)) };
        let plan = Plan { connections: 2, depth: 16, beside: vec![light], ..server.plan(io) };
        let tally = server.seen(&plan, |tally| {
            let [heavy, light] = &tally.groups[..] else { return false };
            light.answers.abs_diff(light.due) <= 30 && heavy.answers > light.answers
        });
        assert_eq!((tally.all_faults(), tally.groups.len()), (0, 2), "{io}");
        let [heavy, light] = &tally.groups[..] else { unreachable!() };
        // 40 connections, each every 100 ms, for 200 ms.
        assert!(light.due.abs_diff((tally.elapsed.as_secs_f64() * 400.0) as u64) <= 2, "{io}: {} due", light.due);
        assert_eq!(heavy.due, 0, "a closed loop asks for no rate");
        assert_eq!(tally.answers, heavy.answers + light.answers);
    }
}

#[test]
fn uploads_arrive_whole_and_their_bytes_are_counted() {
    for io in drivers() {
        let got = Arc::new(AtomicU64::new(0));
        let sum = got.clone();
        let server = Server::start(move |mut stream, _| {
            let mut left = Vec::new();
            while let Some((head, length)) = request(&mut stream, &mut left) {
                assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
                sum.fetch_add(length, Ordering::Relaxed);
                if stream.write_all(OK).is_err() {
                    return;
                }
            }
        });
        let upload = 3_000_000;
        let plan = Plan { upload, connections: 2, warm_up: Duration::ZERO, ..server.plan(io) };
        let tally = server.seen(&plan, |tally| tally.answers >= 2);
        assert_eq!(tally.all_faults(), 0, "{io}");
        let (sent, answered) = (tally.bytes_out, tally.answers * upload);
        assert!(sent + 2 * upload > answered && sent < answered + 4 * upload, "{io}: {sent} for {answered}");
        assert!(got.load(Ordering::Relaxed) >= answered, "{io}");
    }
}

#[test]
fn long_answers_are_counted_to_the_byte() {
    const LENGTH: usize = 3 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let server = answering([head.as_bytes(), &vec![b'.'; LENGTH]].concat());
    for io in drivers() {
        let tally = server.seen(&Plan { connections: 2, ..server.plan(io) }, |tally| tally.answers >= 2);
        assert_eq!(tally.all_faults(), 0, "{io}");
        let whole = tally.answers * (LENGTH + head.len()) as u64;
        assert!(tally.bytes_in.abs_diff(whole) <= 2 * LENGTH as u64, "{io}: {} for {whole}", tally.bytes_in);
    }
}

#[test]
fn errors_are_told_apart() {
    let closing = |text: &'static str| {
        Server::start(move |mut stream, _| {
            if request(&mut stream, &mut Vec::new()).is_some() {
                let _ = stream.write_all(text.as_bytes());
            }
        })
    };
    for io in drivers() {
        for (server, fault) in [
            (closing("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour"), Fault::Ended),
            (closing("SSH-2.0-OpenSSH\r\n\r\n"), Fault::Malformed),
            (answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), Fault::Status),
            // What is not read when it closes is answered by a reset.
            (Server::start(|mut stream, _| drop(stream.read(&mut [0; 4]))), Fault::Reset),
            (Server::start(|_stream, _| thread::sleep(Duration::from_millis(800))), Fault::Stalled),
        ] {
            let usual = server.plan(io);
            let patience = if fault == Fault::Stalled { Duration::from_millis(50) } else { usual.patience };
            let tally = server.seen(&Plan { patience, ..usual }, |tally| tally.faults(fault) > 0);
            assert_eq!(tally.faults(fault), tally.all_faults(), "{io}: more than {}", fault.name());
            assert_eq!(tally.answers, 0, "{io}, {}", fault.name());
            if fault == Fault::Status {
                assert_eq!(tally.statuses(5), tally.faults(fault), "{io}");
            }
        }
    }
}

#[test]
fn a_pipeline_that_the_server_cuts_short_after_saying_so_loses_nothing() {
    // Three answers a connection, the third of which says that it is the last.
    let server = Server::start(|mut stream, _| {
        let mut left = Vec::new();
        for answer in 1..=3 {
            if request(&mut stream, &mut left).is_none() {
                return;
            }
            let last = if answer == 3 { "Connection: close\r\n" } else { "" };
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{last}Content-Length: 0\r\n\r\n").as_bytes());
        }
        // The rest is read, so that the end is no reset.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        while request(&mut stream, &mut left).is_some() {}
    });
    for io in drivers() {
        let tally = server.seen(&Plan { depth: 8, ..server.plan(io) }, |tally| tally.answers >= 24);
        assert_eq!(tally.all_faults(), 0, "{io}");
        assert!(tally.connects >= tally.answers / 4, "{io}: {} for {}", tally.connects, tally.answers);
    }
}

#[test]
fn a_connection_for_one_request_is_left_when_the_server_keeps_it() {
    let server = answering(OK);
    for io in drivers() {
        let tally = server.seen(&Plan { reuse: Reuse::PerRequest, ..server.plan(io) }, |tally| tally.answers > 20);
        assert_eq!(tally.all_faults(), 0, "{io}");
    }
}

#[test]
fn a_load_is_seen_and_ended_from_outside() {
    let server = answering(OK);
    for io in drivers() {
        let watch = Watch::default();
        let plan = Plan { duration: Duration::from_secs(60), ..server.plan(io) };
        let tally = thread::scope(|scope| {
            let load = scope.spawn(|| watched(&plan, &watch, &mut |_| {}).unwrap());
            while watch.phase() < Phase::Counting || watch.answers() == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            watch.stop();
            load.join().unwrap()
        });
        assert_eq!(watch.phase(), Phase::Over, "{io}");
        assert!(tally.answers > 0 && tally.elapsed < Duration::from_secs(30), "{io}: {:?}", tally.elapsed);
    }
}

#[test]
fn hundreds_of_connections_all_stand_before_it_counts() {
    let server = answering(OK);
    for io in drivers() {
        let plan = Plan { connections: 300, rate: Some(1000.0), warm_up: Duration::ZERO, ..server.plan(io) };
        let tally = server.seen(&plan, |tally| tally.answers >= 100);
        assert_eq!((tally.all_faults(), tally.connects), (0, 0), "{io}");
    }
}
