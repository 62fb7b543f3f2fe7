//! A simulated network for tables: gates of one shard each, servers behind, clients that block, and a clock that stands still
//! while nobody waits.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::metrics::ShardCells;
use anygate_serve::control::{Order, Report};
use anygate_serve::door::Door;
use anygate_serve::plan::Plan;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::sim::{Listener, Peer, Personality, World};
use anygate_shard::{Io, Options, Park, Progress, Shard, ShardCounters, Tick};

use super::actor::{Actor, Duplex, Job};
use crate::cases::PATIENCE;
use crate::pipe::Socket;

/// Where gates and servers behind are, one after another.
const FIRST_PORT: u16 = 8000;
/// How long a gate may have for what is under way when its network ends: longer than any of its timeouts.
const REST: Duration = Duration::from_secs(600);

/// The most that passes between two pieces that a client sends.
const STEP: Duration = Duration::from_millis(1);

type Accept = dyn Fn(Box<dyn Duplex>) -> Job;

/// One gate.
struct Wing {
    shard: Shard,
    door: Door,
    server: Rc<Server>,
    cells: Arc<ShardCells>,
    mailbox: Receiver<Order>,
    _orders: Sender<Order>,
    _reports: Receiver<Report>,
}

pub(crate) struct Simulated {
    world: World,
    wings: RefCell<Vec<Rc<Wing>>>,
    doors: RefCell<Vec<(Listener, Box<Accept>)>>,
    actors: RefCell<Vec<Actor>>,
    ports: Cell<u16>,
}

impl Simulated {
    pub(super) fn new(personality: Personality) -> Self {
        Self {
            world: World::new(1, personality),
            wings: RefCell::default(),
            doors: RefCell::default(),
            actors: RefCell::default(),
            ports: Cell::new(FIRST_PORT),
        }
    }

    fn address(&self) -> SocketAddr {
        let port = self.ports.get();
        self.ports.set(port + 1);
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Opens a gate; its address and its number.
    pub(super) fn gate(&self, plan: Plan) -> (SocketAddr, usize) {
        let address = self.address();
        let number = self.wings.borrow().len();
        let index = u16::try_from(number).expect("few gates");
        let shard = Shard::simulated(&self.world, &Options::new(index, Io::Sim)).expect("room for a shard");
        let (orders, mailbox) = mailbox::channel(16);
        let (control, reports) = mailbox::channel(1024);
        let front = plan.fronts.first().map(|(_, front)| front.clone()).unwrap_or_default();
        let cells = Arc::new(ShardCells::new());
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::clone(&cells),
            plan: Box::new(plan),
            id: "anygate-test".into(),
            control,
            shards: 1,
            peers: None,
        });
        let fd = self.world.bind(&Address::Ip(address)).expect("nobody is there");
        assert!(orders.send(Order::Listen { fd, number: 0, front }).is_ok(), "the mailbox has room");
        let door = Door::new(Rc::clone(&server));
        let wing = Wing { shard, door, server, cells, mailbox, _orders: orders, _reports: reports };
        self.wings.borrow_mut().push(Rc::new(wing));
        (address, number)
    }

    /// Opens a server behind.
    pub(super) fn listen(&self, accept: Box<Accept>) -> SocketAddr {
        let address = self.address();
        let door = self.world.listen(&Address::Ip(address)).expect("nobody is there");
        self.doors.borrow_mut().push((door, accept));
        address
    }

    pub(super) fn counts(&self, number: usize) -> (Arc<ShardCells>, Arc<ShardCounters>) {
        let wing = &self.wings.borrow()[number];
        (Arc::clone(&wing.cells), Arc::clone(wing.shard.cells()))
    }

    /// Gives everybody turns until `fine`, or for `patience`; whether it is.
    pub(super) fn until(&self, patience: Duration, mut fine: impl FnMut() -> bool) -> bool {
        let until = Tick::from_nanos(self.world.now_ns()) + patience;
        loop {
            if fine() {
                return true;
            }
            if self.world.now_ns() >= until.as_nanos() {
                return false;
            }
            self.round(until);
        }
    }

    /// One turn for everybody; the clock goes no further than `until` at once.
    fn round(&self, until: Tick) {
        self.serve();
        let wings = self.wings.borrow().clone();
        let pauses = self.actors.borrow().iter().filter_map(|actor| actor.pauses).min();
        let until = pauses.map_or(until, |pause| until.min(Tick::from_nanos(pause)));
        let turn = |wing: &Rc<Wing>| {
            let wing = Rc::clone(wing);
            move |park| wing.shard.turn(&wing.door, &wing.mailbox, park)
        };
        let mut turns: Vec<Box<dyn FnMut(Park) -> Progress>> =
            wings.iter().map(|wing| Box::new(turn(wing)) as Box<dyn FnMut(Park) -> Progress>).collect();
        turns.push(Box::new(move |_| Progress { runnable: false, next: Some(until) }));
        self.world.turn_all(&mut turns.iter_mut().map(|turn| &mut **turn as _).collect::<Vec<_>>());
        self.serve();
    }

    /// Servers behind do what they can.
    fn serve(&self) {
        let mut actors = self.actors.take();
        for (door, accept) in self.doors.borrow().iter() {
            while let Ok(peer) = door.accept() {
                actors.push(Actor::begin(peer, accept));
            }
        }
        let now = self.world.now_ns();
        *self.actors.borrow_mut() = actors.into_iter().filter_map(|actor| actor.serve(now)).collect();
    }

    /// What is left at the end, when everybody has gone.
    pub(super) fn left(&self) -> Vec<String> {
        let rests = |wing: &Rc<Wing>| wing.server.clients() == 0 && wing.shard.at_rest().leases == 0;
        let wings = self.wings.borrow().clone();
        self.until(REST, || wings.iter().all(rests));
        let told = |wing: &Rc<Wing>| format!("{} clients, {}", wing.server.clients(), wing.shard.at_rest());
        wings.iter().filter(|wing| !rests(wing)).map(told).collect()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.actors.take();
        self.wings.take().iter().for_each(|wing| wing.shard.shutdown());
    }
}

/// A client's connection, or a server's that is asked for itself.
pub(super) struct Line {
    field: Rc<Simulated>,
    peer: RefCell<Peer>,
    patience: Cell<Duration>,
}

impl Line {
    pub(super) fn connect(field: &Rc<Simulated>, address: SocketAddr) -> Self {
        let peer = RefCell::new(field.world.connect(&Address::Ip(address)).expect("somebody listens"));
        Self { field: Rc::clone(field), peer, patience: Cell::new(PATIENCE) }
    }

    /// Tries until it is done, or for `patience`.
    fn patiently(&self, patience: Duration, mut act: impl FnMut(&mut Peer) -> io::Result<usize>) -> io::Result<usize> {
        let mut done = Err(ErrorKind::WouldBlock.into());
        self.field.until(patience, || {
            done = act(&mut self.peer.borrow_mut());
            !matches!(&done, Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        done
    }
}

impl Read for Line {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.patiently(self.patience.get(), |peer| peer.read(into))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.patiently(PATIENCE, |peer| peer.write(bytes))?;
        // What is sent in pieces comes in pieces.
        self.field.round(Tick::from_nanos(self.field.world.now_ns()) + STEP);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Line {
    fn wait_at_most(&self, patience: Duration) {
        self.patience.set(patience);
    }

    fn end(&self) -> io::Result<()> {
        self.peer.borrow_mut().shutdown();
        Ok(())
    }

    fn local(&self) -> SocketAddr {
        match self.peer.borrow().local() {
            Address::Ip(address) => address,
            Address::Unix(path) => panic!("it came to {path:?}"),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.field.world.now_ns())
    }

    fn pause(&self, time: Duration) {
        self.field.until(time, || false);
    }
}
