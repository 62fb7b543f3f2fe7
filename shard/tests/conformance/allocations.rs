//! Does a shard in steady state allocate nothing?

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use anygate_shard::testing::CountingAllocator;
use anygate_shard::{Bytes, Class, Shard, SocketId, Wake};

use crate::rig::{Rig, pattern};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

scripts!(
    an_echo_allocates_nothing,
    a_flood_to_a_row_allocates_little,
    spawning_a_task_again_allocates_nothing,
    deadlines_and_lanes_allocate_nothing,
);

/// Rounds before counting starts: free lists and queues have their size then.
const WARM_UP: u32 = 200;
/// Rounds that are counted.
const ROUNDS: u32 = 300;

/// Allocations of `round`, called again and again after a warm-up.
fn allocations(mut round: impl FnMut()) -> u64 {
    for _ in 0..WARM_UP {
        round();
    }
    let before = CountingAllocator::allocations();
    for _ in 0..ROUNDS {
        round();
    }
    CountingAllocator::allocations() - before
}

async fn echo(shard: Shard, socket: SocketId) {
    loop {
        let lease = shard.recv(socket, Class::Head).await.expect("receives");
        if lease.is_empty() {
            return;
        }
        shard.queue(socket, lease.freeze());
        shard.queue(socket, Bytes::from_static(b"!"));
        shard.sent(socket, 1 << 16).await.expect("sends");
    }
}

fn an_echo_allocates_nothing(rig: &Rig) {
    // The simulated network allocates for its bytes.
    if rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.spawn(echo(bench.shard.clone(), socket));
    let mut answer = [0; 64];
    let count = allocations(|| {
        assert_eq!(peer.write(b"GET / HTTP/1.1\r\n\r\n").expect("room"), 18);
        let mut length = 0;
        rig.until("the echo", || {
            length += peer.read(&mut answer).unwrap_or(0);
            length == 19
        });
    });
    assert_eq!(count, 0);
}

fn a_flood_to_a_row_allocates_little(rig: &Rig) {
    if rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let flood = pattern(120_000);
    let mut rounds = 0;
    let count = allocations(|| {
        rounds += 1;
        let (mut written, mut received) = (0, 0);
        rig.until("the flood", || {
            written += peer.write(&flood[written..]).unwrap_or(0);
            while let Poll::Ready(lease) = bench.shard.poll_recv(socket, Class::Head, Wake::row(1)) {
                let lease = lease.expect("receives");
                assert!(lease.filled() == &flood[received..received + lease.len()], "the bytes differ");
                received += lease.len();
            }
            received == flood.len()
        });
    });
    // One buffer after the other, each time with twice the room, is 5 steps to 128 KiB; a block and its bytes are two.
    assert!(count / u64::from(ROUNDS) <= 12, "{count} allocations for {rounds} floods");
}

fn spawning_a_task_again_allocates_nothing(rig: &Rig) {
    if rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let ended = Rc::new(Cell::new(0_u32));
    let count = allocations(|| {
        let before = ended.get();
        for _ in 0..10 {
            let (shard, ended) = (bench.shard.clone(), ended.clone());
            bench.shard.spawn(async move {
                shard.yield_now().await;
                ended.set(ended.get() + 1);
            });
        }
        rig.until("ten tasks", || ended.get() == before + 10);
    });
    assert_eq!(count, 0);
}

fn deadlines_and_lanes_allocate_nothing(rig: &Rig) {
    if rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let lane = bench.shard.lane(std::time::Duration::from_secs(60));
    let mut deadline = bench.shard.deadline(std::time::Duration::from_secs(5));
    let count = allocations(|| {
        let entries: [_; 4] = std::array::from_fn(|row| bench.shard.lane_push(lane, u32::try_from(row).expect("few")));
        let other = bench.shard.deadline(std::time::Duration::from_millis(50));
        deadline.reset(std::time::Duration::from_secs(7));
        rig.turn();
        drop(other);
        for entry in entries {
            assert!(bench.shard.lane_remove(entry));
        }
    });
    assert_eq!(count, 0);
}
