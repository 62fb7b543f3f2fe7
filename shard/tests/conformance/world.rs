//! Is the simulated network itself what it says: repeatable by its seed, cruel as told, and leaving nothing behind?

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anygate_shard::net::Address;
use anygate_shard::sim::{Faults, Personality, World};
use anygate_shard::{Bytes, Class, Close, Shard, SocketId, Tick};

use crate::rig::{Replay, Rig, pattern, seeds};

/// A client's answer, and whether its connection ended well.
type Answer = (Vec<u8>, bool);

/// What the clients of one run saw.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    answers: Vec<Answer>,
    trace: u64,
    open_ends: usize,
}

const CLIENTS: usize = 12;

/// The answer to a request: its bytes, doubled and marked.
fn answer_to(request: &[u8]) -> Vec<u8> {
    request.iter().flat_map(|byte| [*byte, byte ^ 0x55]).collect()
}

fn request_of(client: usize) -> Vec<u8> {
    pattern(1000 * client + 17)
}

/// Answers one request, which ends with the client's end of stream.
async fn answer(shard: Shard, socket: SocketId) {
    loop {
        match shard.recv(socket, Class::Head).await {
            Ok(lease) if lease.is_empty() => break,
            Ok(lease) => {
                shard.queue(socket, Bytes::from(answer_to(lease.filled())));
                if shard.sent(socket, 1 << 14).await.is_err() {
                    return shard.close(socket, Close::Abort);
                }
            }
            Err(_) => return shard.close(socket, Close::Abort),
        }
    }
    shard.close(socket, Close::Graceful);
}

/// Clients on one shard ask a server on another; everything a run shows.
fn run(seed: u64, personality: Personality, faults: Faults) -> Seen {
    let _replay = Replay { seed, personality };
    let world = World::new(seed, personality);
    world.set_faults(faults);
    let rig = Rig::simulated(world.clone());
    let (server, client) = (rig.bench(), rig.bench());
    let (listener, address) = rig.listen(&server);
    let shard = server.shard.clone();
    let acceptor = server.shard.spawn(async move {
        loop {
            match shard.accept(listener).await {
                Ok(accepted) => drop(shard.spawn(answer(shard.clone(), accepted.socket))),
                Err(_) => return,
            }
        }
    });
    let answers: Rc<RefCell<Vec<Answer>>> = Rc::new(RefCell::new(vec![(Vec::new(), false); CLIENTS]));
    let left = Rc::new(Cell::new(CLIENTS));
    for number in 0..CLIENTS {
        let (shard, answers, left, address) = (client.shard.clone(), answers.clone(), left.clone(), address.clone());
        client.shard.spawn(async move {
            let result = ask(&shard, &address, request_of(number), |bytes| {
                answers.borrow_mut()[number].0.extend_from_slice(bytes);
            });
            answers.borrow_mut()[number].1 = result.await.is_ok();
            left.set(left.get() - 1);
        });
    }
    rig.until("every client's end", || left.get() == 0);
    server.shard.cancel(acceptor);
    server.shard.close(listener, Close::Abort);
    rig.until("both shards at rest", || {
        server.shard.cells().sockets.get() == 0 && client.shard.cells().sockets.get() == 0
    });
    for bench in [&server, &client] {
        assert_eq!(bench.shard.cells().buffers.get(), 0, "buffers left");
        assert_eq!(bench.shard.cells().tasks.get(), 0, "tasks left");
        assert_eq!(bench.shard.cells().panics.get(), 0, "panics");
    }
    let answers = answers.borrow().clone();
    Seen { answers, trace: world.trace(), open_ends: world.open_ends() }
}

/// Sends a request in one task and takes the answer in another, so that neither waits for the other.
async fn ask(shard: &Shard, address: &Address, request: Vec<u8>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let socket = shard.connect(address)?;
    let result = async {
        shard.connected(socket).await?;
        shard.queue(socket, Bytes::from(request));
        shard.shutdown_write(socket);
        loop {
            let lease = shard.recv(socket, Class::Bulk).await?;
            if lease.is_empty() {
                return Ok(());
            }
            take(lease.filled());
        }
    }
    .await;
    shard.close(socket, if result.is_ok() { Close::Graceful } else { Close::Abort });
    result
}

const BOTH: [Personality; 2] = [Personality::Readiness, Personality::Completion];

#[test]
fn the_same_seed_gives_the_same_trace() {
    for personality in BOTH {
        for seed in seeds() {
            let first = run(seed, personality, Faults::all(seed));
            assert_eq!(first, run(seed, personality, Faults::all(seed)), "seed {seed} on {personality:?}");
        }
    }
}

#[test]
fn other_seeds_give_other_traces() {
    let mut traces: Vec<_> =
        (1..20).map(|seed| run(seed, Personality::Readiness, Faults::without_losses(seed)).trace).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 19);
}

#[test]
fn both_personalities_give_every_client_the_same_bytes() {
    for seed in seeds() {
        for personality in BOTH {
            let seen = run(seed, personality, Faults::without_losses(seed));
            for (number, (bytes, well)) in seen.answers.iter().enumerate() {
                assert!(*well, "client {number} of seed {seed} on {personality:?} failed");
                assert!(*bytes == answer_to(&request_of(number)), "client {number} of seed {seed} on {personality:?}");
            }
            assert_eq!(seen.open_ends, 0, "seed {seed}: nothing is left in the world");
        }
    }
}

#[test]
fn with_resets_a_client_has_a_true_prefix_or_everything() {
    let mut failed = 0;
    for seed in seeds() {
        for personality in BOTH {
            let faults = Faults { reset: 15, ..Faults::without_losses(seed) };
            let seen = run(seed, personality, faults);
            for (number, (bytes, well)) in seen.answers.iter().enumerate() {
                let whole = answer_to(&request_of(number));
                assert!(whole.starts_with(bytes), "client {number} of seed {seed} on {personality:?}: wrong bytes");
                assert!(!well || *bytes == whole, "client {number} of seed {seed} on {personality:?}: a false end");
                failed += usize::from(!well);
            }
        }
    }
    assert!(failed > 0, "no reset has ever struck");
}

#[test]
fn a_lack_of_descriptors_pauses_accepting_and_it_goes_on() {
    for personality in BOTH {
        let world = World::new(1, personality);
        let rig = Rig::simulated(world.clone());
        let bench = rig.bench();
        let (listener, address) = rig.listen(&bench);
        world.set_descriptor_limit(3);
        let peers: Vec<_> = (0..5).map(|_| rig.peer(&address)).collect();
        let accepted: Rc<RefCell<Vec<(SocketId, Tick)>>> = Rc::default();
        let (shard, list) = (bench.shard.clone(), accepted.clone());
        bench.shard.spawn(async move {
            while let Ok(accept) = shard.accept(listener).await {
                list.borrow_mut().push((accept.socket, shard.now()));
            }
        });
        rig.until("the limit", || accepted.borrow().len() == 2);
        rig.pass(Duration::from_secs(1));
        assert_eq!(accepted.borrow().len(), 2, "the listener and two connections are all there may be");
        let pauses = bench.shard.cells().accept_pauses.get();
        assert!((8..12).contains(&pauses), "{pauses} tries in a second");
        // One goes, soon after a try has failed: one more comes at once, not with the next try 100 ms after that.
        let (shard, first) = (bench.shard.clone(), accepted.borrow()[0].0);
        let closer = rig.run(&bench.shard, async move {
            while shard.cells().accept_pauses.get() == pauses {
                shard.sleep(Duration::from_millis(5)).await;
            }
            shard.close(first, Close::Abort);
            shard.now()
        });
        let closed_at = rig.wait(closer);
        rig.until("a third", || accepted.borrow().len() == 3);
        let waited = accepted.borrow()[2].1 - closed_at;
        assert!(waited < Duration::from_millis(50), "{waited:?}");
        // Descriptors come back without this shard's doing: the timer finds out.
        world.set_descriptor_limit(100);
        rig.until("all five", || accepted.borrow().len() == 5);
        drop(peers);
    }
}

#[test]
fn accepts_that_fail_by_a_fault_lose_no_connection() {
    for seed in seeds() {
        for personality in BOTH {
            let faults = Faults { no_descriptor: 300, ..Faults::without_losses(seed) };
            let seen = run(seed, personality, faults);
            assert!(seen.answers.iter().all(|(_, well)| *well), "seed {seed} on {personality:?}");
        }
    }
}

#[test]
fn time_passes_only_as_far_as_something_is_due() {
    let world = World::new(1, Personality::Readiness);
    let rig = Rig::simulated(world.clone());
    let bench = rig.bench();
    let start = world.now_ns();
    let wall = std::time::Instant::now();
    rig.pass(Duration::from_secs(24 * 3600));
    let passed = Duration::from_nanos(world.now_ns() - start);
    assert!(passed >= Duration::from_secs(24 * 3600) && passed < Duration::from_secs(24 * 3600 + 10));
    assert!(wall.elapsed() < Duration::from_secs(5));
    assert!(bench.shard.unix_time() >= 1_790_000_000 + 24 * 3600);
}

#[test]
fn names_resolve_to_what_the_world_was_told() {
    let world = World::new(1, Personality::Completion);
    world.set_host("backend.test", &[IpAddr::from([10, 1, 2, 3])]);
    let rig = Rig::simulated(world);
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let known = shard.blocking(|| anygate_shard::net::resolve("backend.test", 80)).await.expect("done");
        let unknown = shard.blocking(|| anygate_shard::net::resolve("nowhere.test", 80)).await.expect("done");
        (known, unknown)
    });
    let (known, unknown) = rig.wait(task);
    assert_eq!(known.expect("known"), [SocketAddr::from(([10, 1, 2, 3], 80))]);
    assert!(unknown.is_err());
}

#[test]
fn a_listeners_descriptor_and_its_copies_keep_it_open() {
    let world = World::new(1, Personality::Readiness);
    let rig = Rig::simulated(world.clone());
    let (first, second) = (rig.bench(), rig.bench());
    let (fd, address) = rig.bind();
    let copy = fd.try_clone().expect("a copy");
    let one = first.shard.listen(fd).expect("listens");
    let two = second.shard.listen(copy).expect("listens");
    let mut peers: Vec<_> = (0..6).map(|_| rig.peer(&address)).collect();
    let accepted = Rc::new(Cell::new(0));
    for (bench, listener) in [(&first, one), (&second, two)] {
        let (shard, count) = (bench.shard.clone(), accepted.clone());
        bench.shard.spawn(async move {
            while shard.accept(listener).await.is_ok() {
                count.set(count.get() + 1);
            }
        });
    }
    rig.until("all six, on either", || accepted.get() == 6);
    first.shard.close(one, Close::Abort);
    rig.turn();
    peers.push(rig.peer(&address));
    rig.until("one more on the other", || accepted.get() == 7);
    second.shard.close(two, Close::Abort);
    rig.until("nobody", || rig.try_peer(&address).is_err());
}
