//! Panics on a simulated network: what they cost, what control tells of them, and what ends the house.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anygate_core::config::{Env, load_text};
use anygate_core::metrics::ShardCells;
use anygate_serve::control::{Desk, First, Order, Report, ShardHandle, StartError, Startup};
use anygate_serve::door::Door;
use anygate_serve::observe::log::Kept;
use anygate_serve::peers::{Neighbours, Peers};
use anygate_serve::server::{Parts, Server};
use anygate_serve::testing::{Spot, panic_once};
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::signals::Signal;
use anygate_shard::sim::{Listener, Peer, Personality, World};
use anygate_shard::{Io, Options, Park, Progress, Shard, Wake};

use crate::simulated::{BOTH, Quiet, open};

const CONFIG: &str = "server: {listen: \"10.0.0.1:80\", idle_timeout: 5s}\nroutes:\n  /fixed: OK fixed\n  /echo: '*'\n  \
    /dressed: {to: '*', headers: {X-A: b}}\n  /behind: \"http://10.0.9.1:9000\"\n";
const GET: &[u8] = b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n";
const PROXIED: &[u8] = b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Turns that anything here may take.
const TURNS: usize = 5000;

fn address(text: &str) -> Address {
    Address::Ip(text.parse::<SocketAddr>().expect("an address"))
}

/// A control shard, one shard it rules, and a server behind that is driven by hand.
struct House {
    world: World,
    control: Shard,
    desk: Desk,
    reports: Receiver<Report>,
    say: Sender<Report>,
    shard: Shard,
    door: Door,
    mailbox: Receiver<Order>,
    cells: Arc<ShardCells>,
    log: Kept,
    /// The next look at the configuration panics.
    bad_load: Arc<AtomicBool>,
    behind: Listener,
    served: Vec<(Peer, Vec<u8>)>,
}

impl House {
    fn new(personality: Personality) -> House {
        let world = World::new(1, personality);
        let bad_load = Arc::new(AtomicBool::new(false));
        let bad = Arc::clone(&bad_load);
        let startup = Startup {
            load: Box::new(move || {
                assert!(!bad.swap(false, Ordering::Relaxed), "a load was told to panic");
                load_text("sim.yml", CONFIG, &Env::new(), &[])
            }),
            started: Box::new(|_| ()),
            warned: Box::new(|_, _| ()),
        };
        let first = First::load(&startup, Some(vec![0]), 10_000).expect("a right configuration");
        let simulated = |index| Shard::simulated(&world, &Options::new(index, Io::Sim)).expect("a driver");
        let (control, shard) = (simulated(200), simulated(0));
        let (say, reports) = mailbox::channel(64);
        let (orders, mailbox) = mailbox::channel(32);
        let cells = Arc::new(ShardCells::new());
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::clone(&cells),
            plan: Box::new(first.plan.clone()),
            id: "sim".into(),
            control: say.clone(),
            shards: 1,
            peers: None,
        });
        let (desk, log) = open(&control, startup, first, vec![ShardHandle::new(orders, None, Arc::clone(&cells))]);
        let behind = world.listen(&address("10.0.9.1:9000")).expect("the address is free");
        let door = Door::new(server);
        let mut house = House {
            world,
            control,
            desk,
            reports,
            say,
            shard,
            door,
            mailbox,
            cells,
            log,
            bad_load,
            behind,
            served: vec![],
        };
        house.until("the listener is open", |house| house.shard.cells().sockets.get() == 1);
        house
    }

    fn turn(&mut self) {
        self.world.turn_all(&mut [&mut |park| self.shard.turn(&self.door, &self.mailbox, park), &mut |park| {
            self.control.turn(&self.desk, &self.reports, park)
        }]);
        if let Ok(peer) = self.behind.accept() {
            self.served.push((peer, Vec::new()));
        }
        for (peer, request) in &mut self.served {
            let mut part = [0; 4096];
            if let Ok(count) = peer.read(&mut part) {
                request.extend_from_slice(&part[..count]);
            }
            if request.ends_with(b"\r\n\r\n") {
                request.clear();
                assert!(peer.write(OK).is_ok_and(|count| count == OK.len()));
            }
        }
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut House) -> bool) {
        for _ in 0..TURNS {
            if is_so(self) {
                return;
            }
            self.turn();
        }
        panic!("never so: {what}; {}; {:?}", self.shard.at_rest(), self.log.lines());
    }

    fn client(&mut self, request: &[u8]) -> Peer {
        let mut client = self.world.connect(&address("10.0.0.1:80")).expect("the listener is there");
        assert!(client.write(request).is_ok_and(|count| count == request.len()));
        client
    }

    /// What comes until there is an answer, or the end.
    fn answer(&mut self, client: &mut Peer) -> String {
        let mut text = Vec::new();
        self.until("an answer or the end", |_| {
            let mut part = [0; 4096];
            match client.read(&mut part) {
                Ok(0) => true,
                Ok(count) => {
                    text.extend_from_slice(&part[..count]);
                    text.ends_with(b"ok") || text.ends_with(b"fixed")
                }
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            }
        });
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Both kinds of answer are had, and then nothing is left but the listener.
    fn goes_on(mut self, what: &str, panics: u64) {
        for request in [GET, PROXIED] {
            let mut client = self.client(request);
            let answer = self.answer(&mut client);
            assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
        }
        self.served.clear();
        self.until(what, |house| {
            let mut left = house.shard.at_rest();
            // The listener, which waits.
            left.listeners -= 1;
            left.operations = left.operations.saturating_sub(1);
            left.is_rest() && house.cells.snapshot().connections_active() == 0
        });
        assert_eq!(self.cells.panics.get(), panics, "{what}");
        let (ended, lines) = self.end();
        assert!(ended.is_ok(), "{what}: {ended:?} {lines:?}");
    }

    fn end(self) -> (Result<(), StartError>, Vec<String>) {
        self.shard.shutdown();
        let ended = self.desk.close();
        self.control.shutdown();
        (ended, self.log.lines())
    }
}

#[test]
fn a_panic_costs_one_connection_is_counted_and_stands_in_the_log() {
    let half: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab";
    let dressed: &[u8] = b"POST /dressed HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n.";
    let sent: &[u8] = b"POST /behind HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab";
    let provoked =
        [(Spot::Row, GET), (Spot::Task, half), (Spot::Filter, dressed), (Spot::Attempt, sent), (Spot::Expired, GET)];
    for personality in BOTH {
        for (spot, request) in provoked {
            let what = format!("{personality:?}, {spot:?}");
            let mut house = House::new(personality);
            panic_once(&house.cells, spot);
            let mut client = house.client(request);
            let answer = house.answer(&mut client);
            // Only who was served already, and rests, has an answer.
            assert_eq!(answer.contains("200"), spot == Spot::Expired, "{what}: {answer}");
            house.until(&what, |house| house.cells.panics.get() == 1);
            drop(client);
            let mut lines = Vec::new();
            house.until(&what, |house| {
                lines.extend(house.log.lines());
                lines
                    .iter()
                    .any(|line| line.contains("error a panic was caught; the connection it served is closed shard=0"))
            });
            house.goes_on(&what, 1);
        }
    }
}

#[test]
fn a_panic_at_a_turns_end_is_told_without_anything_else_happening() {
    for personality in BOTH {
        let mut house = House::new(personality);
        // Nothing is under way: the panicking turn and the next are all there is.
        for _ in 0..50 {
            house.turn();
        }
        panic_once(&house.cells, Spot::Turn);
        let turn = |house: &House| house.shard.turn(&house.door, &house.mailbox, Park::Never);
        assert!(turn(&house).runnable, "{personality:?}");
        turn(&house);
        assert_eq!(house.cells.panics.get(), 1, "{personality:?}");
        house.goes_on("a turn's end", 1);
    }
}

#[test]
fn a_reload_that_panics_is_told_and_the_next_one_is_made() {
    for personality in BOTH {
        let mut house = House::new(personality);
        house.bad_load.store(true, Ordering::Relaxed);
        let mut lines = Vec::new();
        for line in ["error a panic was caught in the control thread", "reloaded"] {
            house.desk.signal(Signal::Hangup);
            house.until(line, |house| {
                lines.extend(house.log.lines());
                lines.iter().any(|said| said.contains(line))
            });
        }
        house.goes_on("reloads", 0);
    }
}

#[test]
fn when_a_shards_thread_dies_the_house_stops_and_says_why() {
    for personality in BOTH {
        let mut house = House::new(personality);
        assert!(house.say.send(Report::Died(0)).is_ok());
        house.until("it stops", |house| house.desk.is_stopping());
        let (ended, lines) = house.end();
        assert!(matches!(ended, Err(StartError::Died(_))), "{personality:?}: {ended:?}");
        let said =
            lines.iter().any(|line| line.contains("a shard's thread panicked; nothing can be served without it"));
        assert!(said, "{personality:?}: {lines:?}");
    }
}

/// A shard that hands whoever knocks to the other one.
fn hand_over(world: &World, from: &Shard, view: &Neighbours) -> Peer {
    let at = address("10.0.0.2:80");
    let listener = from.listen(world.bind(&at).expect("the address is free")).expect("there is room");
    let mut client = world.connect(&at).expect("the listener is there");
    assert!(client.write(GET).is_ok());
    let idle = mailbox::channel::<()>(1).1;
    let accepted = (0..TURNS).find_map(|_| {
        let _: Progress = from.turn(&Quiet, &idle, Park::Never);
        world.pass(std::time::Duration::from_micros(50));
        match from.poll_accept(listener, Wake::NONE) {
            std::task::Poll::Ready(Ok(accepted)) => Some(accepted),
            _ => None,
        }
    });
    let accepted = accepted.expect("a client knocked");
    let socket = from.release(accepted.socket).expect("nothing was read from it");
    assert!(view.hand_over(1, Order::Adopt { socket, peer: accepted.peer, listener: 0 }).is_ok());
    client
}

#[test]
fn a_client_whose_first_request_panics_where_it_was_handed_to_is_on_its_way_no_more() {
    for personality in BOTH {
        let world = World::new(1, personality);
        let simulated = |index| Shard::simulated(&world, &Options::new(index, Io::Sim)).expect("a driver");
        let (from, to) = (simulated(0), simulated(1));
        let (orders, mailbox) = mailbox::channel(8);
        let peers = Peers::new([mailbox::channel(1).0, orders.clone()]);
        let view = peers.around(0).expect("there is another");
        let cells = Arc::new(ShardCells::new());
        let (control, reports) = mailbox::channel(8);
        let door = Door::new(Server::new(Parts {
            shard: to.clone(),
            cells: Arc::clone(&cells),
            plan: Box::new(crate::harness::plan("routes: { /fixed: OK fixed }", 1)),
            id: "sim".into(),
            control,
            shards: 2,
            peers: peers.around(1),
        }));
        panic_once(&cells, Spot::Row);
        let client = hand_over(&world, &from, &view);
        assert!(view.are_moving(), "{personality:?}");
        let turns = Rc::new(Cell::new(0));
        while cells.panics.get() == 0 || turns.get() < 20 {
            world.turn_all(&mut [&mut |park| to.turn(&door, &mailbox, park)]);
            turns.set(turns.get() + 1);
            assert!(turns.get() < TURNS, "{personality:?}: no panic");
        }
        assert!(!view.are_moving(), "{personality:?}: a drain would wait for it");
        assert!(orders.send(Order::Drain).is_ok());
        let drained = (0..TURNS).any(|_| {
            world.turn_all(&mut [&mut |park| to.turn(&door, &mailbox, park)]);
            std::iter::from_fn(|| reports.try_recv()).any(|report| matches!(report, Report::Drained(1)))
        });
        assert!(drained, "{personality:?}");
        drop(client);
        from.shutdown();
        to.shutdown();
    }
}
