//! Does a small proxy of several shards hold on a cruel network? Clients, two fronts that hand connections to each
//! other, and an upstream, all simulated: echoes, files, relays with and without copies, early answers.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::file::File;
use anygate_shard::net::Address;
use anygate_shard::sim::{Faults, Personality, World};
use anygate_shard::{Bytes, Class, Close, Shard, SocketId};

use crate::rig::{Bench, Note, Replay, Rig, pattern, seeds};

scripts!(a_proxy_of_several_shards_answers_every_client);

const CLIENTS: usize = 18;
/// A request: what is asked for, and a length in four bytes; then the body.
const HEAD: usize = 5;
/// How long a client waits for its answer, of the world's time.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// The body back, from the front itself.
    Echo = 0,
    /// The first bytes of a file.
    File = 1,
    /// The body to the upstream and its answer back, through pipes.
    Splice = 2,
    /// The same through buffers.
    Copy = 3,
    /// A refusal before the body was read.
    Refuse = 4,
    /// The body back, from the front the connection is handed to.
    Handed = 5,
}

const ASKS: [Ask; 6] = [Ask::Echo, Ask::File, Ask::Splice, Ask::Copy, Ask::Refuse, Ask::Handed];

fn ask_of(client: usize) -> (Ask, usize) {
    (ASKS[client % ASKS.len()], 300 + client * client * 97 % 40_000)
}

fn answer_to(client: usize) -> Vec<u8> {
    match ask_of(client) {
        (Ask::Refuse, _) => b"too large".to_vec(),
        (_, length) => pattern(length),
    }
}

/// Receives until `length` bytes are in the lease.
async fn at_least(shard: &Shard, socket: SocketId, length: usize) -> io::Result<anygate_shard::Lease> {
    let mut lease = shard.recv(socket, Class::Head).await?;
    while lease.len() < length {
        let before = lease.len();
        lease = shard.recv_into(socket, lease).await?;
        if lease.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(lease)
}

/// Moves `length` bytes through buffers.
async fn copy(shard: &Shard, from: SocketId, to: SocketId, mut length: usize) -> io::Result<()> {
    while length > 0 {
        let mut lease = shard.recv(from, Class::Bulk).await?;
        if lease.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let part = lease.split_to(lease.len().min(length));
        length -= part.len();
        shard.unread(from, lease);
        shard.queue(to, part);
        shard.sent(to, 16 << 10).await?;
    }
    Ok(())
}

/// Moves `length` bytes through a pipe.
async fn splice(shard: &Shard, from: SocketId, to: SocketId, mut length: usize) -> io::Result<()> {
    while length > 0 {
        match shard.splice(from, to, length).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => length -= count,
        }
    }
    Ok(())
}

/// What every connection of a front or an upstream is served with.
#[derive(Clone)]
struct Front {
    shard: Shard,
    upstream: Address,
    file: File,
    /// Where connections are handed to, if anywhere.
    other: Option<anygate_shard::mailbox::Sender<Note>>,
}

impl Front {
    /// Serves one request, and closes as it deserves.
    async fn serve(self, socket: SocketId) {
        let result = self.answer(socket).await;
        self.shard.close(socket, if result.is_ok() { Close::Graceful } else { Close::Abort });
    }

    async fn answer(&self, socket: SocketId) -> io::Result<()> {
        let shard = &self.shard;
        let mut lease = at_least(shard, socket, HEAD).await?;
        let head = lease.split_to(HEAD);
        shard.unread(socket, lease);
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        match ASKS.get(usize::from(head[0])).ok_or(io::ErrorKind::InvalidData)? {
            Ask::Echo | Ask::Handed => copy(shard, socket, socket, length).await?,
            Ask::Refuse => shard.queue(socket, Bytes::from_static(b"too large")),
            Ask::File => {
                let mut offset = 0;
                while offset < length {
                    offset += shard.sendfile(socket, &self.file, offset as u64, length - offset).await?;
                }
            }
            ask @ (Ask::Splice | Ask::Copy) => {
                let upstream = shard.connect(&self.upstream)?;
                let result = self.relay(socket, upstream, *ask, length).await;
                shard.close(upstream, if result.is_ok() { Close::Graceful } else { Close::Abort });
                result?;
            }
        }
        shard.sent(socket, 0).await
    }

    /// Both directions at once, as the upstream answers while it is still being asked.
    async fn relay(&self, client: SocketId, upstream: SocketId, ask: Ask, length: usize) -> io::Result<()> {
        let shard = self.shard.clone();
        shard.connected(upstream).await?;
        let mut head = vec![Ask::Echo as u8];
        head.extend_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
        shard.queue(upstream, Bytes::from(head));
        let there = async {
            match ask {
                Ask::Splice => splice(&shard, client, upstream, length).await,
                _ => copy(&shard, client, upstream, length).await,
            }
        };
        let back = async {
            match ask {
                Ask::Splice => splice(&shard, upstream, client, length).await,
                _ => copy(&shard, upstream, client, length).await,
            }
        };
        let (mut there, mut back) = (std::pin::pin!(there), std::pin::pin!(back));
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if !asked && let Poll::Ready(result) = there.as_mut().poll(cx) {
                asked = true;
                result?;
            }
            back.as_mut().poll(cx)
        })
        .await
    }

    /// Accepts until the listener is closed; every third connection goes to the other front.
    async fn accept(self, listener: SocketId) {
        let mut count = 0;
        while let Ok(accepted) = self.shard.accept(listener).await {
            count += 1;
            if count % 3 == 0
                && let Some(other) = &self.other
                && let Some(socket) = self.shard.release(accepted.socket)
            {
                // A full mailbox gives it back, and dropping it closes the connection.
                drop(other.send(Note::Socket(socket)));
                continue;
            }
            self.shard.spawn(self.clone().serve(accepted.socket));
        }
    }

    /// Adopts what the other front hands over.
    async fn adopt(self, bench: Bench) {
        loop {
            let note = bench.probe.notes.borrow_mut().pop();
            match note {
                Some(Note::Socket(socket)) => {
                    if let Ok(socket) = self.shard.adopt(socket) {
                        self.shard.spawn(self.clone().serve(socket));
                    }
                }
                _ => self.shard.sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

/// Asks, and gives every byte of the answer to `take`.
async fn ask(shard: Shard, front: Address, client: usize, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let (ask, length) = ask_of(client);
    let socket = shard.connect(&front)?;
    let mut patience = shard.deadline(PATIENCE);
    let talk = async {
        shard.connected(socket).await?;
        let mut head = vec![ask as u8];
        head.extend_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
        shard.queue(socket, Bytes::from(head));
        if ask != Ask::File {
            for part in pattern(length).chunks(1000) {
                shard.queue(socket, Bytes::from(part.to_vec()));
            }
        }
        loop {
            let lease = shard.recv(socket, Class::Tls).await?;
            if lease.is_empty() {
                return Ok(());
            }
            take(lease.filled());
        }
    };
    let mut talk = std::pin::pin!(talk);
    let result = std::future::poll_fn(|cx| match patience.poll_expired(cx) {
        Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        Poll::Pending => talk.as_mut().poll(cx),
    })
    .await;
    shard.close(socket, if result.is_ok() { Close::Graceful } else { Close::Abort });
    result
}

/// A client's bytes, and how its connection ended.
type Answer = (Vec<u8>, Result<(), io::ErrorKind>);

/// Lets every client ask once; nothing may be left of it at the end.
fn play(rig: &Rig) -> Vec<Answer> {
    let path = rig.path("file");
    fs::write(&path, pattern(50_000)).expect("our own directory");
    let file = File::open(path).expect("just written");

    let (clients, first, second, upstream) = (rig.bench(), rig.bench(), rig.bench(), rig.bench());
    let (upstream_listener, upstream_address) = rig.listen(&upstream);
    let (front_listener, front_address) = rig.listen(&first);
    let front = |bench: &Bench, other: Option<&Bench>| Front {
        shard: bench.shard.clone(),
        upstream: upstream_address.clone(),
        file: file.clone(),
        other: other.map(|other| other.sender.clone()),
    };
    let acceptors = [
        (&first, first.shard.spawn(front(&first, Some(&second)).accept(front_listener))),
        (&second, second.shard.spawn(front(&second, None).adopt(second.clone()))),
        (&upstream, upstream.shard.spawn(front(&upstream, None).accept(upstream_listener))),
    ];

    let answers = Rc::new(RefCell::new(vec![(Vec::new(), Ok(())); CLIENTS]));
    let left = Rc::new(Cell::new(CLIENTS));
    for client in 0..CLIENTS {
        let (shard, answers, left, front) =
            (clients.shard.clone(), answers.clone(), left.clone(), front_address.clone());
        clients.shard.spawn(async move {
            let take = |bytes: &[u8]| answers.borrow_mut()[client].0.extend_from_slice(bytes);
            let result = ask(shard, front, client, take).await;
            answers.borrow_mut()[client].1 = result.map_err(|error| error.kind());
            left.set(left.get() - 1);
        });
    }
    rig.until("every client's end", || left.get() == 0);
    for (bench, acceptor) in acceptors {
        bench.shard.cancel(acceptor);
    }
    first.shard.close(front_listener, Close::Abort);
    upstream.shard.close(upstream_listener, Close::Abort);
    let all = [&clients, &first, &second, &upstream];
    rig.until("everybody at rest", || all.iter().all(|bench| bench.shard.cells().sockets.get() == 0));
    for (name, bench) in ["clients", "first", "second", "upstream"].into_iter().zip(all) {
        let cells = bench.shard.cells();
        assert_eq!((cells.buffers.get(), cells.tasks.get(), cells.panics.get()), (0, 0, 0), "left at {name}");
    }
    // What was handed over when nobody adopted any more.
    second.probe.notes.borrow_mut().clear();
    rig.turn();
    let answers = answers.borrow();
    answers.clone()
}

fn a_proxy_of_several_shards_answers_every_client(rig: &Rig) {
    for (client, (bytes, end)) in play(rig).iter().enumerate() {
        assert_eq!(*end, Ok(()), "{:?}", ask_of(client));
        assert!(*bytes == answer_to(client), "{:?}: {} bytes", ask_of(client), bytes.len());
    }
}

/// What a run shows: each client's answer, and the trace.
#[derive(PartialEq, Eq)]
struct Seen {
    answers: Vec<Answer>,
    trace: u64,
}

fn run(seed: u64, personality: Personality, faults: Faults) -> Seen {
    let _replay = Replay { seed, personality };
    let world = World::new(seed, personality);
    world.set_faults(faults);
    let answers = play(&Rig::simulated(world.clone()));
    assert_eq!(world.open_ends(), 0, "left: {world:?}");
    Seen { answers, trace: world.trace() }
}

const BOTH: [Personality; 2] = [Personality::Readiness, Personality::Completion];

#[test]
fn with_every_fault_a_client_gets_its_answer_or_an_error() {
    let mut failed = 0;
    for seed in seeds() {
        for personality in BOTH {
            let seen = run(seed, personality, Faults::all(seed));
            for (client, (bytes, end)) in seen.answers.iter().enumerate() {
                let (asked, whole) = (ask_of(client), answer_to(client));
                assert!(whole.starts_with(bytes), "{asked:?}, seed {seed}, {personality:?}: wrong bytes");
                assert!(end.is_err() || *bytes == whole, "{asked:?}, seed {seed}, {personality:?}: a false end");
                failed += usize::from(end.is_err());
            }
        }
    }
    assert!(failed > 0, "no fault has ever cost a connection");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in seeds().into_iter().take(6) {
        for personality in BOTH {
            let first = run(seed, personality, Faults::all(seed));
            let again = run(seed, personality, Faults::all(seed));
            assert_eq!(first.trace, again.trace, "seed {seed}, {personality:?}");
            assert!(first == again, "seed {seed}, {personality:?}");
        }
    }
}
