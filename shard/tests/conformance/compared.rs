//! Does the simulated network come to the same as the kernel? Random scripts of one connection, each step waited for, so
//! that what they come to does not hang on time: bytes, ends and errors are compared between the drivers.
//!
//! `ANYGATE_SCRIPT_SEED` repeats one script, `ANYGATE_SCRIPTS` makes more of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::file::File;
use anygate_shard::sim::{Faults, Personality, World};
use anygate_shard::{Bytes, Class, Close, Lease, Shard, Side, SocketId, Wake};

use crate::peer::Peer;
use crate::rig::{Bench, Kind, Rig, has_uring, pattern};

/// Bytes unread in one direction at most: less than the smallest window of the simulated network.
const UNREAD: usize = 900;
/// How long what one side did may take to reach the other.
const SIM_SETTLES: Duration = Duration::from_millis(300);
const REAL_SETTLES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(100)];
/// Scripts of an ordinary run.
const SCRIPTS: u64 = 40;

struct Dice(Cell<u64>);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        (state >> 11) as usize % sides
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    PeerWrites(usize),
    PeerReads(usize),
    /// Receives so many bytes, by calls of this kind, and puts the rest back.
    Receives(usize, u8),
    /// Splices so many bytes to another socket.
    Splices(usize),
    /// Queues so many bytes in pieces, or sends them from a file, until the kernel has them.
    Sends(usize, bool),
    /// Waits for bytes and gives that up.
    GivesUp,
    /// Goes to the other shard.
    Moves,
    /// Says whether a side is ready.
    Ready(bool),
    PeerShutsDown,
    PeerCloses,
    PeerResets,
    /// After the peer's end: receives until something else than bytes comes.
    Ends(u8),
    /// After the peer's end: sends a byte and waits for that.
    SendsOn,
    ShutsDown,
    Closes(Close),
}

/// A script and what every step of it may count on.
fn script(seed: u64) -> Vec<Step> {
    let dice = Dice(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let mut steps = Vec::new();
    let (mut to_shard, mut to_peer, mut finished) = (0, 0, false);
    for _ in 0..8 + dice.roll(30) {
        let step = match dice.roll(14) {
            0..=2 if to_shard < UNREAD => Step::PeerWrites(1 + dice.roll(UNREAD - to_shard)),
            3..=5 if to_shard > 0 => Step::Receives(1 + dice.roll(to_shard), dice.roll(4) as u8),
            6 if to_shard > 0 => Step::Splices(1 + dice.roll(to_shard)),
            7 | 8 if to_peer < UNREAD && !finished => Step::Sends(1 + dice.roll(UNREAD - to_peer), dice.roll(3) == 0),
            9 if to_peer > 0 => Step::PeerReads(1 + dice.roll(to_peer)),
            10 => Step::GivesUp,
            11 if !finished => Step::Moves,
            12 => Step::Ready(dice.roll(2) == 0),
            13 if !finished && dice.roll(6) == 0 => Step::ShutsDown,
            _ => continue,
        };
        match step {
            Step::PeerWrites(bytes) => to_shard += bytes,
            Step::Receives(bytes, _) | Step::Splices(bytes) => to_shard -= bytes,
            Step::Sends(bytes, _) => to_peer += bytes,
            Step::PeerReads(bytes) => to_peer -= bytes,
            Step::ShutsDown => finished = true,
            _ => {}
        }
        steps.push(step);
    }
    // A reset may take what was not read with it, so everything is.
    if to_peer > 0 {
        steps.push(Step::PeerReads(to_peer));
    }
    if dice.roll(4) > 0 {
        if to_shard > 0 {
            steps.push(Step::Receives(to_shard, dice.roll(4) as u8));
        }
        steps.push([Step::PeerShutsDown, Step::PeerCloses, Step::PeerResets][dice.roll(3)]);
        for _ in 0..1 + dice.roll(5) {
            steps.push(match dice.roll(5) {
                0 | 1 => Step::Ends(dice.roll(3) as u8),
                2 | 3 => Step::SendsOn,
                _ => Step::Ready(dice.roll(2) == 0),
            });
        }
    }
    // A plain close that does not know of unread bytes resets, and a reset after a FIN is told as this or that.
    let choices = if finished {
        1
    } else if to_shard > 0 {
        2
    } else {
        3
    };
    let how = [Close::Graceful, Close::Abort, Close::Plain][dice.roll(choices)];
    steps.push(Step::Closes(how));
    steps
}

/// A connection on its way through a script.
struct Line<'a> {
    rig: &'a Rig,
    settle: Duration,
    benches: [Bench; 2],
    at: usize,
    socket: SocketId,
    peer: Option<Peer>,
    sink: (SocketId, Peer),
    bytes: Vec<u8>,
    file: File,
    /// How many bytes each direction has brought: written and received, sent and read.
    written: usize,
    received: usize,
    sent: usize,
    read: usize,
    seen: Vec<String>,
}

/// Receives at least one byte, by one of several calls; none is the end.
async fn receive(shard: &Shard, socket: SocketId, how: u8) -> io::Result<Lease> {
    match how {
        0 => shard.recv(socket, Class::Head).await,
        1 => shard.recv(socket, Class::Bulk).await,
        2 => shard.recv_into(socket, Lease::with_capacity(5000)).await,
        _ => {
            if let Poll::Ready(received) = shard.poll_recv(socket, Class::Head, Wake::NONE) {
                return received;
            }
            shard.readiness(socket, Side::Read).await?;
            shard.recv(socket, Class::Tls).await
        }
    }
}

fn kind(error: &io::Error) -> String {
    format!("{:?}", error.kind())
}

impl Line<'_> {
    fn bench(&self) -> Bench {
        self.benches[self.at].clone()
    }

    fn settle(&self) {
        self.rig.pass(self.settle);
    }

    fn step(&mut self, step: Step) {
        let (rig, shard, socket) = (self.rig, self.bench().shard, self.socket);
        match step {
            Step::PeerWrites(count) => {
                let bytes = self.bytes[self.written..self.written + count].to_vec();
                rig.write(self.peer.as_mut().expect("there"), &bytes);
                self.written += count;
            }
            Step::PeerReads(count) => {
                let bytes = rig.read(self.peer.as_mut().expect("there"), count);
                assert!(bytes == self.bytes[self.read..self.read + count], "what the peer read at {}", self.read);
                self.read += count;
            }
            Step::Receives(count, how) => {
                let task = rig.run(&shard.clone(), async move {
                    let mut bytes = Vec::new();
                    while bytes.len() < count {
                        let lease = receive(&shard, socket, how).await.expect("receives");
                        assert!(!lease.is_empty(), "a false end");
                        bytes.extend_from_slice(lease.filled());
                    }
                    let mut rest = Lease::with_capacity(bytes.len());
                    rest.extend_from_slice(&bytes[count..]);
                    shard.unread(socket, rest);
                    bytes.truncate(count);
                    bytes
                });
                let bytes = rig.wait(task);
                assert!(bytes == self.bytes[self.received..self.received + count], "received at {}", self.received);
                self.received += count;
            }
            Step::Splices(count) if self.at == 0 => {
                let to = self.sink.0;
                let task = rig.run(&shard.clone(), async move {
                    let mut moved = 0;
                    while moved < count {
                        let more = shard.splice(socket, to, count - moved).await.expect("splices");
                        assert!(more > 0, "a false end");
                        moved += more;
                    }
                    assert_eq!(moved, count);
                });
                rig.wait(task);
                let bytes = rig.read(&mut self.sink.1, count);
                assert!(bytes == self.bytes[self.received..self.received + count], "spliced at {}", self.received);
                self.received += count;
            }
            Step::Splices(count) => self.step(Step::Receives(count, 0)),
            Step::Sends(count, from_file) => {
                let (part, file) = (self.bytes[self.sent..self.sent + count].to_vec(), self.file.clone());
                let offset = self.sent;
                let task = rig.run(&shard.clone(), async move {
                    let mut left = 0;
                    while from_file && left < count {
                        let at = (offset + left) as u64;
                        left += shard.sendfile(socket, &file, at, count - left).await.expect("sends a file");
                    }
                    if !from_file {
                        for piece in part.chunks(100) {
                            shard.queue(socket, Bytes::from(piece.to_vec()));
                        }
                    }
                    shard.sent(socket, 0).await.expect("sends");
                });
                rig.wait(task);
                self.sent += count;
            }
            Step::GivesUp => {
                let (waiter, wake) = (shard.clone(), Wake::NONE);
                let got = waiter.poll_recv(socket, Class::Head, wake);
                rig.turn();
                if let Poll::Ready(Ok(lease)) = got {
                    waiter.unread(socket, lease);
                }
                waiter.forget(socket, Side::Read);
            }
            Step::Moves => self.moves(),
            Step::Ready(read) => {
                self.settle();
                let side = if read { Side::Read } else { Side::Write };
                let ready = match shard.poll_ready(socket, side, Wake::NONE) {
                    Poll::Ready(Ok(())) => "ready".to_owned(),
                    Poll::Ready(Err(error)) => kind(&error),
                    Poll::Pending => "not ready".to_owned(),
                };
                self.seen.push(format!("{side:?} {ready}"));
            }
            Step::PeerShutsDown => self.peer.as_mut().expect("there").shutdown(),
            Step::PeerCloses => drop(self.peer.take()),
            Step::PeerResets => self.peer.take().expect("there").reset(),
            Step::Ends(how) => {
                self.settle();
                let task = rig.run(&shard.clone(), async move { receive(&shard, socket, how).await });
                let end = match rig.wait(task) {
                    Ok(lease) if lease.is_empty() => "end".to_owned(),
                    Ok(lease) => format!("{} bytes", lease.len()),
                    Err(error) => kind(&error),
                };
                self.seen.push(format!("receives {end}"));
            }
            Step::SendsOn => {
                self.settle();
                let task = rig.run(&shard.clone(), async move {
                    shard.queue(socket, Bytes::from_static(b"!"));
                    shard.sent(socket, 0).await
                });
                let sent = rig.wait(task).map_or_else(|error| kind(&error), |()| "sent".to_owned());
                self.seen.push(format!("sends on: {sent}"));
            }
            Step::ShutsDown => {
                shard.shutdown_write(socket);
                self.settle();
                let peer = self.peer.as_mut().expect("there");
                if self.read == self.sent {
                    let (bytes, error) = rig.read_to_end(peer);
                    self.seen.push(format!("the peer reads {} bytes and {error:?}", bytes.len()));
                }
            }
            Step::Closes(how) => {
                self.settle();
                shard.close(socket, how);
                if let Some(mut peer) = self.peer.take() {
                    let end = rig.read_to_end(&mut peer).1;
                    self.seen.push(format!("{how:?}: the peer sees {end:?}"));
                }
            }
        }
    }

    fn moves(&mut self) {
        let (shard, socket) = (self.bench().shard, self.socket);
        let rig = self.rig;
        // What came into the shard's hands is taken and put back on the other side.
        let task = rig.run(&shard.clone(), async move {
            let mut held = Vec::new();
            loop {
                let asked = shard.clone();
                if let Some(fd) = poll_fn(move |cx| asked.poll_release(socket, Wake::of(cx))).await {
                    return (held, fd);
                }
                held.extend_from_slice(shard.recv(socket, Class::Head).await.expect("holds something").filled());
            }
        });
        let (held, fd) = rig.wait(task);
        self.at = 1 - self.at;
        let to = self.bench().shard;
        self.socket = to.adopt(fd).expect("adopts");
        let mut lease = Lease::with_capacity(held.len());
        lease.extend_from_slice(&held);
        to.unread(self.socket, lease);
    }
}

/// Plays a script on a driver; what it came to.
fn play(kind: Kind, seed: u64, faults: Faults, settle: Duration) -> Vec<String> {
    let world = match kind {
        Kind::Sim(personality) => {
            let world = World::new(seed, personality);
            world.set_faults(faults);
            Some(world)
        }
        _ => None,
    };
    let rig = Rig::new(kind, world);
    let benches = [rig.bench(), rig.bench()];
    let (socket, peer) = rig.pair(&benches[0]);
    let sink = rig.pair(&benches[0]);
    let bytes = pattern(64 << 10);
    let path = rig.path("bytes");
    std::fs::write(&path, &bytes).expect("a file");
    let file = File::open(&path).expect("opens");
    let (at, written, received, sent, read) = (0, 0, 0, 0, 0);
    let seen = Vec::new();
    let peer = Some(peer);
    let mut line =
        Line { rig: &rig, settle, benches, at, socket, peer, sink, bytes, file, written, received, sent, read, seen };
    for step in script(seed) {
        let known = line.seen.len();
        line.step(step);
        if line.seen.len() > known {
            line.seen[known].push_str(&format!(" [{step:?}]"));
        }
    }
    let Line { benches, sink, seen, .. } = line;
    benches[0].shard.close(sink.0, Close::Abort);
    rig.until("everything to be closed", || benches.iter().all(|bench| bench.shard.cells().sockets.get() == 0));
    for bench in &benches {
        let left = bench.shard.at_rest();
        assert!(left.is_rest() || kind == Kind::Uring && left.operations > 0, "left: {left}");
    }
    rig.finish();
    seen
}

#[test]
fn the_simulated_network_comes_to_the_same_as_the_kernel() {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds = match number("ANYGATE_SCRIPT_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("ANYGATE_SCRIPTS").unwrap_or(SCRIPTS),
    };
    let mut kinds = vec![(Kind::Epoll, false)];
    if has_uring() {
        kinds.push((Kind::Uring, false));
    }
    kinds.extend([true, false].map(|cruel| (Kind::Sim(Personality::Completion), cruel)));
    kinds.push((Kind::Sim(Personality::Readiness), true));
    let mut differ = Vec::new();
    for seed in seeds {
        let come_to = |kind, cruel: bool, settle| {
            let faults = if cruel { Faults::without_losses(seed) } else { Faults::none() };
            std::panic::catch_unwind(|| play(kind, seed, faults, settle)).unwrap_or_else(|_| {
                panic!("{kind:?} with faults {cruel}: again with ANYGATE_SCRIPT_SEED={seed}: {:#?}", script(seed))
            })
        };
        let expected = come_to(Kind::Sim(Personality::Readiness), false, SIM_SETTLES);
        for &(kind, cruel) in &kinds {
            let settles = if matches!(kind, Kind::Sim(_)) { &[SIM_SETTLES][..] } else { &REAL_SETTLES };
            // A kernel that is short of time takes its own, even on a loopback.
            let mut seen = settles.iter().map(|settle| come_to(kind, cruel, *settle));
            if !seen.any(|seen| seen == expected) {
                let (seen, steps) = (come_to(kind, cruel, settles[settles.len() - 1]), script(seed));
                differ.push(format!("{seed}, {kind:?}, faults {cruel}: {seen:?}\n  not {expected:?}\n  {steps:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}
