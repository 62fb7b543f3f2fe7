//! Does any order of calls keep every byte in its place, and give everything back at the end? Random calls on random
//! sockets of one shard, on each driver; `ANYGATE_CALLS_SEED` repeats one run, `ANYGATE_CALLS_RUNS` makes more of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::driver::Io;
use crate::file::File;
use crate::loopback::{drivers, with_server};
use crate::mailbox;
use crate::{ArenaLimits, Bytes, Class, Close, Lease, Options, Park, Service, Shard, Side, SocketId, Wake};

pub(crate) struct Deaf;

impl Service for Deaf {
    type Message = ();

    fn ready(&self, _row: u32) {}

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}
}

/// xorshift64.
pub(crate) struct Dice(Cell<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    pub(crate) fn roll(&self, sides: usize) -> usize {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        (state >> 11) as usize % sides
    }
}

/// The byte at a place of every stream.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

pub(crate) fn stream(at: usize, length: usize) -> Vec<u8> {
    (at..at + length).map(byte).collect()
}

pub(crate) fn follows(bytes: &[u8], at: usize) -> bool {
    bytes.iter().enumerate().all(|(offset, &found)| found == byte(at + offset))
}

/// What is in a lease before the stream's bytes; it is none of them.
const MARK: u8 = 255;

fn without_marks(lease: Lease) -> Vec<u8> {
    lease.filled().iter().copied().filter(|&byte| byte != MARK).collect()
}

/// A socket of the shard and its peer, and how far both directions have come.
struct Line {
    id: SocketId,
    peer: TcpStream,
    /// What this socket receives is spliced to that of the next line.
    relays: bool,
    /// Bytes the peer wrote; the shard received; the shard sent; the peer read.
    written: usize,
    received: usize,
    sent: usize,
    read: usize,
    /// Its wait into a lease is under way.
    continues: bool,
}

impl Line {
    fn new(shard: &Shard, relays: bool) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nonblocking(true).unwrap();
        let id = shard.adopt(OwnedFd::from(listener.accept().unwrap().0)).unwrap();
        Line { id, peer, relays, written: 0, received: 0, sent: 0, read: 0, continues: false }
    }

    fn peer_writes(&mut self, most: usize) {
        if let Ok(written) = self.peer.write(&stream(self.written, most)) {
            self.written += written;
        }
    }

    fn peer_reads(&mut self, most: usize) {
        let mut room = vec![0; most];
        if let Ok(read) = self.peer.read(&mut room) {
            assert!(follows(&room[..read], self.read), "what the peer reads at {}", self.read);
            self.read += read;
        }
    }

    fn arrived(&mut self, bytes: &[u8]) {
        assert!(follows(bytes, self.received), "what the shard receives at {}", self.received);
        self.received += bytes.len();
    }
}

fn run(io: Io, seed: u64) {
    let dice = Dice::new(seed);
    let mut options = Options::new(0, io);
    options.submission_entries = [8, 64, 512][dice.roll(3)];
    options.completion_entries = [16, 128, 4096][dice.roll(3)].max(options.submission_entries * 2);
    options.arena = ArenaLimits { buffers: [[2, 40, 2000][dice.roll(3)], 3, 2, 2], reserve: [1, 1, 0, 0] };
    let path = std::env::temp_dir().join(format!("anygate-calls-{}-{io}-{seed}", std::process::id()));
    std::fs::write(&path, stream(0, 251 * 400)).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();

    let (_, mailbox) = mailbox::channel(1);
    let shard = Shard::new(&options).unwrap();
    let turn = || shard.turn(&Deaf, &mailbox, Park::Never);
    let mut lines: Vec<Line> = (0..8).map(|at| Line::new(&shard, at % 4 == 0)).collect();
    for _ in 0..3000 {
        let at = dice.roll(lines.len());
        let next = lines[(at + 1) % lines.len()].id;
        // The last line of each four is a row at rest, as good as always.
        let rests = at % 4 == 3 && dice.roll(100) > 0;
        let class = if rests { Class::Head } else { Class::ALL[dice.roll(4)] };
        let line = &mut lines[at];
        let wake = Wake::row(at as u32);
        match dice.roll(22) {
            0..=4 => drop(turn()),
            5 | 6 => line.peer_writes(1 + dice.roll(100_000)),
            7 | 8 => line.peer_reads(1 + dice.roll(200_000)),
            9 | 10 if line.relays && shard.in_pipe(line.id) == 0 => {
                if let Poll::Ready(Ok(lease)) = shard.poll_recv(line.id, class, wake) {
                    line.arrived(lease.filled());
                    lines[at + 1].sent += lease.len();
                    shard.queue(next, lease.freeze());
                }
            }
            9..=12 if line.relays => {
                if let Poll::Ready(Ok(moved)) = shard.poll_splice(line.id, next, 1 + dice.roll(300_000), wake) {
                    lines[at].received += moved;
                    lines[at + 1].sent += moved;
                }
            }
            9 | 10 => {
                if let Poll::Ready(Ok(lease)) = shard.poll_recv(line.id, class, wake) {
                    let mut bytes = without_marks(lease);
                    let rest = bytes.split_off(dice.roll(bytes.len() + 1));
                    line.arrived(&bytes);
                    if !rest.is_empty() {
                        let mut back = Lease::with_capacity(rest.len() + dice.roll(10));
                        back.extend_from_slice(&rest);
                        shard.unread(line.id, back);
                    }
                }
            }
            11 | 12 if !rests => {
                let mut lease = None;
                if !line.continues || dice.roll(10) == 0 {
                    let before = dice.roll(3);
                    let mut fresh = Lease::with_capacity(before + 1 + dice.roll(10_000));
                    fresh.extend_from_slice(&[MARK; 3][..before]);
                    lease = Some(fresh);
                }
                let got = shard.poll_recv_into(line.id, &mut lease, wake);
                line.continues = got.is_pending();
                if let Poll::Ready(Ok(lease)) = got {
                    line.arrived(&without_marks(lease));
                }
            }
            13 | 14 if at % 4 != 1 => {
                let part = stream(line.sent, 1 + dice.roll(50_000));
                line.sent += part.len();
                shard.queue(line.id, Bytes::from(part));
            }
            15 if at % 4 != 1 => {
                let offset = (line.sent % 251) as u64;
                let length = 1 + dice.roll(100_000);
                if let Poll::Ready(Ok(sent)) = shard.poll_sendfile(line.id, &file, offset, length, wake) {
                    line.sent += sent;
                }
            }
            16 => drop(shard.poll_sent(line.id, dice.roll(2) * 10_000, wake)),
            17 => drop(shard.poll_ready(line.id, [Side::Read, Side::Write][dice.roll(2)], wake)),
            18 => shard.flush_now(line.id, true),
            19 => shard.forget(line.id, Side::Read),
            21 => {
                if let Poll::Ready(Some(socket)) = shard.poll_release(line.id, wake) {
                    line.id = shard.adopt(socket).unwrap();
                }
            }
            20 if dice.roll(10) == 0 => {
                match dice.roll(6) {
                    0 => shard.close(line.id, Close::Abort),
                    1 => shard.close(line.id, Close::Graceful),
                    2 => shard.shutdown_write(line.id),
                    3 => drop(line.peer.shutdown(Shutdown::Write)),
                    4 => drop(shard.release(line.id)),
                    _ => {}
                }
                // Whoever was relayed to has bytes of a stream that ended: both begin anew.
                let first = at - at % 4;
                for (place, line) in lines.iter_mut().enumerate().skip(first).take(2) {
                    shard.close(line.id, Close::Abort);
                    *line = Line::new(&shard, place % 4 == 0);
                }
                if at > first + 1 {
                    shard.close(lines[at].id, Close::Graceful);
                    lines[at] = Line::new(&shard, false);
                }
            }
            _ => {}
        }
    }
    // What was sent arrives, whatever came before; or the shard ends amid all of it.
    let start = Instant::now();
    while !seed.is_multiple_of(3) && lines.iter().any(|line| line.read < line.sent) {
        turn();
        lines.iter_mut().for_each(|line| line.peer_reads(1 << 20));
        assert!(start.elapsed() < Duration::from_secs(20), "bytes are missing");
    }
    assert_eq!(shard.cells().panics.get(), 0);
    shard.shutdown();
    assert_eq!((shard.0.sockets.open.get(), shard.0.arena.out()), (0, 0));
    for line in &mut lines {
        let ended = line.peer.read(&mut [0; 1]);
        assert!(!matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock), "the peer's socket is open");
    }
}

/// How many runs there are, and which seeds they have.
fn seeds(usual: u64) -> std::ops::RangeInclusive<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("ANYGATE_CALLS_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("ANYGATE_CALLS_RUNS").unwrap_or(usual),
    }
}

#[test]
fn any_order_of_calls_keeps_every_byte_and_gives_everything_back() {
    for seed in seeds(8) {
        for io in drivers() {
            let told = std::panic::catch_unwind(|| run(io, seed));
            assert!(told.is_ok(), "{io}: again with ANYGATE_CALLS_SEED={seed}");
        }
    }
}

/// Sends back what comes, by calls in random order: some waits are begun and given up, for another that is waited for.
async fn echo_somehow(shard: Shard, id: SocketId, dice: Dice) {
    loop {
        let class = Class::ALL[dice.roll(4)];
        // A wait that is begun only.
        poll_fn(|cx| {
            let wake = Wake::of(cx);
            match dice.roll(6) {
                0 => {
                    if let Poll::Ready(Ok(lease)) = shard.poll_recv(id, class, wake) {
                        shard.queue(id, lease.freeze());
                    }
                }
                1 => {
                    let mut lease = Some(Lease::with_capacity(1 + dice.roll(5000)));
                    if let Poll::Ready(Ok(lease)) = shard.poll_recv_into(id, &mut lease, wake) {
                        shard.queue(id, lease.freeze());
                    }
                }
                2 => drop(shard.poll_splice(id, id, 1 + dice.roll(9000), wake)),
                3 => drop(shard.poll_ready(id, [Side::Read, Side::Write][dice.roll(2)], wake)),
                4 => shard.flush_now(id, true),
                _ => {}
            }
            Poll::Ready(())
        })
        .await;
        if shard.in_pipe(id) > 0 || dice.roll(3) == 0 {
            match shard.splice(id, id, 1 + dice.roll(300_000)).await {
                Ok(moved) if moved > 0 => continue,
                _ => break,
            }
        }
        if dice.roll(5) == 0 && shard.readiness(id, Side::Read).await.is_err() {
            break;
        }
        match shard.recv(id, class).await {
            Ok(lease) if !lease.is_empty() => shard.queue(id, lease.freeze()),
            _ => break,
        }
        if dice.roll(2) == 0 && shard.sent(id, dice.roll(2) * 50_000).await.is_err() {
            break;
        }
    }
    shard.close(id, Close::Graceful);
}

#[test]
fn whatever_was_waited_for_before_the_present_wait_is_woken() {
    for seed in seeds(6) {
        for io in drivers() {
            let dice = Dice::new(seed);
            let few = [2, 3, 100][dice.roll(3)];
            let change = move |options: &mut Options| {
                options.arena = ArenaLimits { buffers: [few; 4], reserve: [0; 4] };
                options.on_panic = |why| eprintln!("{why}");
            };
            let serve = move |shard: &Shard, id: SocketId| {
                let dice = Dice::new(dice.roll(usize::MAX) as u64);
                shard.spawn(echo_somehow(shard.clone(), id, dice));
            };
            with_server(io, change, serve, |address| {
                let clients: Vec<_> =
                    (1..=6).map(|number| thread::spawn(move || talk(address, seed + number))).collect();
                let all = clients.into_iter().all(|client| client.join().is_ok());
                assert!(all, "{io}: again with ANYGATE_CALLS_SEED={seed}");
            });
        }
    }
}

/// A client that writes in pieces, with pauses, and expects all of it back.
fn talk(address: SocketAddr, seed: u64) {
    const LENGTH: usize = 400_000;
    let dice = Dice::new(seed);
    let mut stream_back = TcpStream::connect(address).unwrap();
    stream_back.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut to = stream_back.try_clone().unwrap();
    let writing = thread::spawn(move || {
        let mut written = 0;
        while written < LENGTH {
            let piece = (1 + dice.roll([10, 3000, 100_000][dice.roll(3)])).min(LENGTH - written);
            to.write_all(&stream(written, piece)).unwrap();
            written += piece;
            if dice.roll(4) == 0 {
                thread::sleep(Duration::from_micros(dice.roll(800) as u64));
            }
        }
        to.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream_back.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got.len() == LENGTH && follows(&got, 0), "{} bytes came back", got.len());
}
