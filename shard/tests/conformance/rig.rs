//! What do the scripts stand on? Shards of one driver kind, and peers outside of them: sockets of the standard library
//! around real shards, in-memory ones around simulated shards.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::sim::{Faults, Personality, World};
use anygate_shard::{Class, Io, Options, Park, Pool, Service, Shard, Socket, SocketId};

use crate::peer::{Outside, OutsideKind, Peer};

/// How long a script on a real driver may wait for one thing.
const REAL_PATIENCE: Duration = Duration::from_secs(10);
/// How many turns a script on the simulated network may wait for one thing.
const SIM_PATIENCE: u32 = 400_000;
/// Seeds each script runs with on the simulated network, a personality each; `ANYGATE_SIM_SEEDS` changes it.
const SIM_SEEDS: u64 = 16;

/// Which driver a script runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Epoll,
    Uring,
    Sim(Personality),
}

/// Makes one test a driver of each script named.
macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        mod epoll {
            $(#[test] fn $name() { crate::rig::run(crate::rig::Kind::Epoll, super::$name); })+
        }
        mod uring {
            $(#[test] fn $name() { crate::rig::run(crate::rig::Kind::Uring, super::$name); })+
        }
        mod sim_readiness {
            $(#[test] fn $name() {
                crate::rig::run(crate::rig::Kind::Sim(anygate_shard::sim::Personality::Readiness), super::$name);
            })+
        }
        mod sim_completion {
            $(#[test] fn $name() {
                crate::rig::run(crate::rig::Kind::Sim(anygate_shard::sim::Personality::Completion), super::$name);
            })+
        }
    };
}

/// Runs a script on one driver; on the simulated network once a seed, with the seed printed when it fails.
pub(crate) fn run(kind: Kind, script: fn(&Rig)) {
    let Kind::Sim(personality) = kind else {
        if kind == Kind::Uring && !has_uring() {
            return;
        }
        let rig = Rig::new(kind, None);
        script(&rig);
        rig.finish();
        return;
    };
    for seed in seeds() {
        let _replay = Replay { seed, personality };
        let world = World::new(seed, personality);
        world.set_faults(Faults::without_losses(seed));
        let rig = Rig::new(kind, Some(world));
        script(&rig);
        rig.finish();
    }
}

/// Whether this machine has io_uring. One that has not is skipped only when `ANYGATE_TEST_NO_URING` says so.
pub(crate) fn has_uring() -> bool {
    match anygate_shard::probe_uring() {
        Ok(()) => true,
        Err(why) => {
            assert!(std::env::var_os("ANYGATE_TEST_NO_URING").is_some(), "io_uring is not available: {why}");
            false
        }
    }
}

/// The seeds to run: `ANYGATE_SIM_SEED` alone if it is set, else `ANYGATE_SIM_SEEDS` many from 1.
pub(crate) fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("ANYGATE_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("ANYGATE_SIM_SEEDS").unwrap_or(SIM_SEEDS)).collect(),
    }
}

/// Says how to run a failed seed again.
pub(crate) struct Replay {
    pub(crate) seed: u64,
    pub(crate) personality: Personality,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed on {:?}; again with ANYGATE_SIM_SEED={}", self.personality, self.seed);
        }
    }
}

/// A message of the scripts' mailboxes.
#[derive(Debug)]
pub(crate) enum Note {
    Word(u32),
    Socket(Socket),
}

/// A service that writes down what it is told.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) ready: RefCell<Vec<u32>>,
    pub(crate) expired: RefCell<Vec<u32>>,
    pub(crate) notes: RefCell<Vec<Note>>,
    pub(crate) turns: Cell<u32>,
    pub(crate) panic_on_row: Cell<Option<u32>>,
    /// Ends of turns that are to panic.
    pub(crate) bad_ends: Cell<u32>,
}

impl Service for Probe {
    type Message = Note;

    fn ready(&self, row: u32) {
        if self.panic_on_row.get() == Some(row) {
            panic!("row {row} was told to panic");
        }
        self.ready.borrow_mut().push(row);
    }

    fn expired(&self, row: u32) {
        self.expired.borrow_mut().push(row);
    }

    fn message(&self, message: Note) {
        self.notes.borrow_mut().push(message);
    }

    fn turn_ended(&self) {
        self.turns.set(self.turns.get() + 1);
        if let Some(left) = self.bad_ends.get().checked_sub(1) {
            self.bad_ends.set(left);
            panic!("a turn's end was told to panic");
        }
    }
}

/// A shard with its service and its mailbox.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) shard: Shard,
    pub(crate) probe: Rc<Probe>,
    pub(crate) mailbox: Rc<Receiver<Note>>,
    pub(crate) sender: Sender<Note>,
}

/// The result of a task, once it is there.
pub(crate) struct Done<T>(Rc<RefCell<Option<T>>>);

impl<T> Done<T> {
    pub(crate) fn is_done(&self) -> bool {
        self.0.borrow().is_some()
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.borrow_mut().take()
    }
}

/// Shards of one kind and the way to their peers.
pub(crate) struct Rig {
    pub(crate) kind: Kind,
    pub(crate) world: Option<World>,
    benches: RefCell<Vec<Bench>>,
    directory: RefCell<Option<PathBuf>>,
    addresses: Cell<u16>,
    pool: std::cell::OnceCell<Pool>,
}

impl Rig {
    pub(crate) fn new(kind: Kind, world: Option<World>) -> Rig {
        Rig {
            kind,
            world,
            benches: RefCell::default(),
            directory: RefCell::default(),
            addresses: Cell::new(0),
            pool: std::cell::OnceCell::new(),
        }
    }

    /// A rig on a world a test made.
    pub(crate) fn simulated(world: World) -> Rig {
        Rig::new(Kind::Sim(world.personality()), Some(world))
    }

    /// More bytes than any pair of socket buffers takes.
    pub(crate) fn much(&self) -> usize {
        if self.is_sim() { 2 << 20 } else { 24 << 20 }
    }

    /// Whether this is the simulated network.
    pub(crate) fn is_sim(&self) -> bool {
        self.world.is_some()
    }

    /// Switches the faults of a simulated network off, for scripts that count operations.
    pub(crate) fn calm(&self) {
        if let Some(world) = &self.world {
            world.set_faults(Faults::none());
        }
    }

    /// Gives every connection of a simulated network its full window, for scripts whose peer writes before anybody reads.
    pub(crate) fn roomy(&self) {
        if let Some(world) = &self.world {
            world.set_faults(Faults { small_window: 0, ..world.faults() });
        }
    }

    /// A new shard.
    pub(crate) fn bench(&self) -> Bench {
        self.bench_with(|_| ())
    }

    /// A new shard whose options a script changes first.
    pub(crate) fn bench_with(&self, change: impl FnOnce(&mut Options)) -> Bench {
        let index = u16::try_from(self.benches.borrow().len()).expect("few shards");
        let io = match self.kind {
            Kind::Epoll => Io::Epoll,
            Kind::Uring => Io::Uring,
            Kind::Sim(_) => Io::Sim,
        };
        let mut options = Options::new(index, io);
        if !self.is_sim() {
            options.pool = Some(self.pool.get_or_init(|| Pool::new(2).expect("threads start")).clone());
        }
        change(&mut options);
        let shard = match &self.world {
            Some(world) => Shard::simulated(world, &options),
            None => Shard::new(&options),
        };
        let (sender, mailbox) = mailbox::channel(64);
        let shard = shard.expect("a shard starts");
        let bench = Bench { shard, probe: Rc::default(), mailbox: Rc::new(mailbox), sender };
        self.benches.borrow_mut().push(bench.clone());
        bench
    }

    /// One turn of every shard; where nothing was to do, a little time passes.
    pub(crate) fn turn(&self) {
        if let Some(world) = &self.world {
            let benches = self.benches.borrow().clone();
            let mut turns: Vec<_> =
                benches.iter().map(|bench| move |park| bench.shard.turn(&*bench.probe, &bench.mailbox, park)).collect();
            let mut turns: Vec<&mut dyn FnMut(Park) -> anygate_shard::Progress> =
                turns.iter_mut().map(|turn| turn as _).collect();
            world.turn_all(&mut turns);
            return;
        }
        let benches = self.benches.borrow();
        for bench in benches.iter() {
            let park = if benches.len() == 1 { Park::AtMost(Duration::from_micros(500)) } else { Park::Never };
            bench.shard.turn(&*bench.probe, &bench.mailbox, park);
        }
        if benches.len() != 1 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Turns until `condition` holds; a script that waits too long has failed.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        let mut turns = 0;
        while !condition() {
            self.turn();
            turns += 1;
            let late = if self.is_sim() { turns > SIM_PATIENCE } else { start.elapsed() > REAL_PATIENCE };
            assert!(!late, "waited too long for: {what}");
        }
    }

    /// Turns for `time`, of the rig's own clock.
    pub(crate) fn pass(&self, time: Duration) {
        let clock = self.benches.borrow()[0].shard.clone();
        let task = self.run(&clock.clone(), async move { clock.sleep(time).await });
        self.wait(task);
    }

    /// Starts a task and keeps its result.
    pub(crate) fn run<T: 'static>(&self, shard: &Shard, task: impl Future<Output = T> + 'static) -> Done<T> {
        let done = Done(Rc::new(RefCell::new(None)));
        let result = done.0.clone();
        shard.spawn(async move {
            let value = task.await;
            *result.borrow_mut() = Some(value);
        });
        done
    }

    /// Turns until a task is done.
    #[track_caller]
    pub(crate) fn wait<T>(&self, done: Done<T>) -> T {
        self.until("a task", || done.is_done());
        done.take().expect("just seen")
    }

    /// A listener on a fresh address of this shard.
    pub(crate) fn listen(&self, bench: &Bench) -> (SocketId, Address) {
        let (fd, address) = self.bind();
        (bench.shard.listen(fd).expect("listens"), address)
    }

    /// A bound, listening descriptor on a fresh address.
    pub(crate) fn bind(&self) -> (OwnedFd, Address) {
        if let Some(world) = &self.world {
            let port = self.fresh();
            let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], 1000 + port)));
            return (world.bind(&address).expect("a free address"), address);
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("O_NONBLOCK");
        let address = Address::Ip(listener.local_addr().expect("bound"));
        (listener.into(), address)
    }

    /// A bound, listening descriptor on a fresh path.
    pub(crate) fn bind_unix(&self) -> (OwnedFd, Address) {
        let path = self.path(&format!("listener-{}", self.fresh()));
        let address = Address::Unix(Some(path.clone()));
        if let Some(world) = &self.world {
            return (world.bind(&address).expect("a free address"), address);
        }
        let listener = UnixListener::bind(path).expect("a fresh path");
        listener.set_nonblocking(true).expect("O_NONBLOCK");
        (listener.into(), address)
    }

    /// A path in a directory of this rig's own, which goes with it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let mut directory = self.directory.borrow_mut();
        let directory = directory.get_or_insert_with(|| {
            let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("anygate-rig-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a directory");
            path
        });
        directory.join(name)
    }

    fn fresh(&self) -> u16 {
        self.addresses.set(self.addresses.get() + 1);
        self.addresses.get()
    }

    /// A peer that connects from outside.
    pub(crate) fn peer(&self, to: &Address) -> Peer {
        self.try_peer(to).expect("the listener is there")
    }

    /// A peer that connects from outside, if somebody listens.
    pub(crate) fn try_peer(&self, to: &Address) -> io::Result<Peer> {
        if let Some(world) = &self.world {
            return world.connect(to).map(Peer::Sim);
        }
        match to {
            Address::Ip(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Peer::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path.as_ref().expect("a named socket"))?;
                stream.set_nonblocking(true)?;
                Ok(Peer::Unix(stream))
            }
        }
    }

    /// A listener outside of every shard.
    pub(crate) fn outside(&self) -> Outside {
        if let Some(world) = &self.world {
            let address = Address::Ip(SocketAddr::from(([10, 0, 9, 1], 1000 + self.fresh())));
            return Outside {
                address: address.clone(),
                listener: OutsideKind::Sim(world.listen(&address).expect("free")),
            };
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("O_NONBLOCK");
        Outside { address: Address::Ip(listener.local_addr().expect("bound")), listener: OutsideKind::Tcp(listener) }
    }

    /// A listener on a path, outside of every shard.
    pub(crate) fn outside_unix(&self) -> Outside {
        let path = self.path(&format!("outside-{}", self.fresh()));
        let address = Address::Unix(Some(path.clone()));
        let listener = match &self.world {
            Some(world) => OutsideKind::Sim(world.listen(&address).expect("free")),
            None => {
                let listener = UnixListener::bind(path).expect("a fresh path");
                listener.set_nonblocking(true).expect("O_NONBLOCK");
                OutsideKind::Unix(listener)
            }
        };
        Outside { address, listener }
    }

    /// A shard's socket connected with a peer, through a listener of its own.
    pub(crate) fn pair(&self, bench: &Bench) -> (SocketId, Peer) {
        let (listener, address) = self.listen(bench);
        let peer = self.peer(&address);
        let accepted = self.accept(bench, listener);
        bench.shard.close(listener, anygate_shard::Close::Abort);
        (accepted, peer)
    }

    /// A shard's socket connected with a peer that gets one record a send, where there are real sends.
    pub(crate) fn record_pair(&self, bench: &Bench) -> (SocketId, Peer) {
        if self.is_sim() {
            return self.pair(bench);
        }
        let mut ends = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the kernel writes two descriptors to `ends`.
        let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
        assert_eq!(result, 0, "socketpair");
        // SAFETY: both are new and nobody else's.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        (bench.shard.adopt(ours).expect("adopts"), Peer::Unix(UnixStream::from(theirs)))
    }

    /// Accepts one connection.
    pub(crate) fn accept(&self, bench: &Bench, listener: SocketId) -> SocketId {
        let shard = bench.shard.clone();
        let task = self.run(&bench.shard, async move { shard.accept(listener).await });
        self.wait(task).expect("accepts").socket
    }

    /// Writes all of `bytes` as the peer.
    #[track_caller]
    pub(crate) fn write(&self, peer: &mut Peer, bytes: &[u8]) {
        let mut rest = bytes;
        self.until("the peer to write", || {
            match peer.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "the peer writes"),
            }
            rest.is_empty()
        });
    }

    /// Reads exactly `length` bytes as the peer.
    #[track_caller]
    pub(crate) fn read(&self, peer: &mut Peer, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        self.until("the peer to read", || {
            let mut part = vec![0; (length - bytes.len()).min(1 << 16)];
            match peer.read(&mut part) {
                Ok(0) if bytes.len() < length => panic!("ended after {} of {length} bytes", bytes.len()),
                Ok(count) => bytes.extend_from_slice(&part[..count]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "the peer reads"),
            }
            bytes.len() == length
        });
        bytes
    }

    /// Reads as the peer until the end of the stream; what was read, and the error that ended it, if one did.
    #[track_caller]
    pub(crate) fn read_to_end(&self, peer: &mut Peer) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut bytes = Vec::new();
        let mut part = vec![0; 1 << 16];
        let mut end = None;
        self.until("the peer to see the end", || match peer.read(&mut part) {
            Ok(0) => true,
            Ok(count) => {
                bytes.extend_from_slice(&part[..count]);
                false
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                end = Some(error.kind());
                true
            }
        });
        (bytes, end)
    }

    /// Reads as the shard until `length` bytes are there or the stream ends.
    #[track_caller]
    pub(crate) fn recv(&self, bench: &Bench, socket: SocketId, length: usize) -> Vec<u8> {
        let shard = bench.shard.clone();
        let task = self.run(&bench.shard, async move {
            let mut bytes = Vec::new();
            while bytes.len() < length {
                let lease = shard.recv(socket, Class::Head).await.expect("receives");
                if lease.is_empty() {
                    break;
                }
                bytes.extend_from_slice(lease.filled());
            }
            bytes
        });
        self.wait(task)
    }

    /// After a script: every socket is closed and nothing of the shards may be left.
    pub(crate) fn finish(&self) {
        for bench in self.benches.borrow().iter() {
            bench.shard.shutdown();
            assert_eq!(bench.shard.cells().sockets.get(), 0, "sockets left after the end");
            assert_eq!(bench.shard.cells().buffers.get(), 0, "buffers left after the end");
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Tasks hold their shard, which holds them.
            self.benches.borrow().iter().for_each(|bench| bench.shard.shutdown());
        }
        if let Some(directory) = self.directory.take() {
            // What a failed script left is not worth a second panic.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// `length` bytes that differ from place to place, so that a lost, doubled or moved byte shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(length);
    bytes
}
