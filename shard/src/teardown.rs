//! Does a shard end in peace, whatever is under way? Receives, sends, accepts, connects, polls, splices and closes begun
//! on many sockets, and then the shard is dropped at once, while its peers go on. The kernel must have let go of every
//! buffer by then: nothing may arrive in memory that is somebody else's now, and nothing may leave that was overwritten.
//!
//! `ANYGATE_TEARDOWN_SEEDS` makes more runs, `ANYGATE_TEARDOWN_SEED` repeats one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::thread;

use crate::anyorder::{Deaf, Dice, follows, stream};
use crate::driver::Io;
use crate::loopback::drivers;
use crate::net::Address;
use crate::{ArenaLimits, Bytes, Class, Close, Lease, Options, Park, Shard, Side, SocketId, Wake, mailbox, sys};

/// Sockets of one run.
const LINES: usize = 16;
/// What the arena of one run maps at most, and what is mapped in its place when it is gone.
const REGION: usize = 1 << 20;
const CANARY: u8 = 0xa5;

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("ANYGATE_TEARDOWN_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("ANYGATE_TEARDOWN_SEEDS").unwrap_or(12)).collect(),
    }
}

/// A socket of the shard, its peer, and how many bytes were queued for the peer.
struct Line {
    id: SocketId,
    peer: TcpStream,
    queued: usize,
    /// Another's bytes may have been spliced in between.
    mixed: bool,
}

fn line(shard: &Shard, listener: &TcpListener) -> Line {
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nonblocking(true).unwrap();
    let id = shard.adopt(OwnedFd::from(listener.accept().unwrap().0)).unwrap();
    Line { id, peer, queued: 0, mixed: false }
}

/// Begins something on a socket, and leaves it so.
fn begin(shard: &Shard, dice: &Dice, lines: &mut [Line], at: usize, kept: &mut Vec<Bytes>, elsewhere: SocketAddr) {
    let to = dice.roll(LINES);
    let other = lines[to].id;
    let Line { id, queued, peer, .. } = &mut lines[at];
    let (id, wake) = (*id, Wake::row(at as u32));
    match dice.roll(12) {
        0..=2 => {
            let want = Class::ALL[dice.roll(Class::ALL.len())];
            if let Poll::Ready(Ok(lease)) = shard.poll_recv(id, want, wake) {
                kept.push(lease.freeze());
            }
        }
        3 => {
            let room = shard.try_lease(Class::Head).unwrap_or_else(|| Lease::with_capacity(1000));
            if let Poll::Ready(Ok(lease)) = shard.poll_recv_into(id, &mut Some(room), wake) {
                kept.push(lease.freeze());
            }
        }
        4..=6 => {
            // More than a socket takes, in one piece or many.
            for _ in 0..=dice.roll(3) * 20 {
                let bytes = stream(*queued, 1 + dice.roll(200_000));
                *queued += bytes.len();
                shard.queue(id, Bytes::from(bytes));
            }
        }
        7 => {
            drop(shard.poll_splice(id, other, 1 << 20, wake));
            lines[to].mixed = true;
        }
        8 => drop(shard.poll_ready(id, if dice.roll(2) == 0 { Side::Read } else { Side::Write }, wake)),
        9 => {
            if let Ok(new) = shard.connect(&Address::Ip(elsewhere)) {
                drop(shard.poll_connected(new, wake));
                shard.queue(new, Bytes::from_static(b"hello"));
            }
        }
        10 => shard.close(id, [Close::Graceful, Close::Plain, Close::Abort][dice.roll(3)]),
        _ => drop(peer.write(&stream(0, 1 + dice.roll(30_000)))),
    }
}

/// One shard's short life.
fn live(io: Io, dice: &Dice) -> Vec<Line> {
    let arena = ArenaLimits { buffers: [256, 8, 8, 3], reserve: [0; 4] };
    let shard = Shard::new(&Options { arena, ..Options::new(0, io) }).unwrap();
    let (_sender, mailbox) = mailbox::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let mut lines: Vec<Line> = (0..LINES).map(|_| line(&shard, &listener)).collect();
    let accepts = shard.listen(OwnedFd::from(listener)).unwrap();
    let mut kept = Vec::new();
    for _ in 0..=dice.roll(3) {
        drop(shard.poll_accept(accepts, Wake::row(1000)));
        for _ in 0..dice.roll(60) {
            begin(&shard, dice, &mut lines, dice.roll(LINES), &mut kept, elsewhere);
        }
        for _ in 0..dice.roll(3) {
            shard.turn(&Deaf, &mailbox, Park::Never);
        }
    }
    let task = shard.clone();
    let id = lines[0].id;
    shard.spawn(async move {
        let _ = task.recv(id, Class::Bulk).await;
    });
    let before: Vec<Vec<u8>> = kept.iter().map(|bytes| bytes.to_vec()).collect();
    shard.shutdown();
    drop(shard);
    assert!(kept.iter().zip(&before).all(|(bytes, was)| **bytes == **was), "what was received outlives its shard");
    lines
}

fn one(io: Io, seed: u64) {
    let dice = Dice::new(seed);
    let mut lines = live(io, &dice);
    // Most likely where the arena was.
    let canaries: Vec<_> = (0..6).map(|_| sys::map_anonymous(REGION).unwrap()).collect();
    for canary in &canaries {
        // SAFETY: mapped just above with this length, for this test alone.
        unsafe { canary.as_ptr().write_bytes(CANARY, REGION) };
    }
    let litter: Vec<Vec<u8>> = (1..64).map(|size| vec![CANARY; size * 3000]).collect();
    for Line { peer, queued, mixed, .. } in &mut lines {
        drop(peer.write(&stream(0, 20_000)));
        let mut got = Vec::new();
        let mut room = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = peer.read(&mut room) {
            got.extend_from_slice(&room[..bytes]);
        }
        let right = *mixed || (got.len() <= *queued && follows(&got, 0));
        assert!(right, "{io}, seed {seed}: a peer got what was not sent to it");
    }
    thread::yield_now();
    assert!(litter.iter().flatten().all(|&byte| byte == CANARY), "{io}, seed {seed}: bytes came into freed memory");
    for canary in canaries {
        // SAFETY: as above; nobody else knows of it.
        let bytes = unsafe { std::slice::from_raw_parts(canary.as_ptr(), REGION) };
        assert!(
            bytes.iter().all(|&byte| byte == CANARY),
            "{io}, seed {seed}: bytes came into memory of a shard that is gone"
        );
        // SAFETY: mapped above with this length, and `bytes` is not used any more.
        unsafe { sys::unmap(canary, REGION) };
    }
}

#[test]
fn a_shard_that_is_dropped_with_everything_under_way_leaves_no_write_and_no_read_behind() {
    for io in drivers() {
        for seed in seeds() {
            one(io, seed);
        }
    }
}
