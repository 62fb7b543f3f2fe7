//! What is told as reloaded is what every shard answers by: control and two shards, which get their turns by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use anygate_core::config::{Env, load_text};
use anygate_core::metrics::ShardCells;
use anygate_serve::control::{Desk, First, Order, Report, ShardHandle, StartError, Startup};
use anygate_serve::door::Door;
use anygate_serve::observe::log::Kept;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::signals::Signal;
use anygate_shard::sim::{Peer, Personality, World};
use anygate_shard::{Io, Options, Park, Progress, Shard};

use super::{BOTH, open};

/// Rounds that anything here may take.
const ROUNDS: usize = 2000;
/// Rounds in which whatever does not wait for the shard that stands still has happened.
const LONG: usize = 200;
/// The shard that stands still, and everyone.
const STILL: usize = 1;
const ALL: &[usize] = &[0, 1];

/// What the configurations answer.
const WORDS: [&str; 3] = ["one", "two", "three"];

fn config(word: &str) -> String {
    format!("server: {{listen: \"10.0.0.1:80\", name: \"\"}}\nlog: {{format: text}}\nroutes:\n  /: OK {word}\n")
}

/// One shard of the server, and where control puts its orders.
struct Wing {
    shard: Shard,
    door: Door,
    mailbox: Receiver<Order>,
    orders: Sender<Order>,
    server: Rc<Server>,
}

struct House {
    world: World,
    wings: Vec<Wing>,
    control: Shard,
    desk: Desk,
    reports: Receiver<Report>,
    say: Sender<Report>,
    text: Arc<Mutex<String>>,
    log: Kept,
    lines: Vec<String>,
    /// One of each shard's.
    clients: Vec<Peer>,
}

impl House {
    /// A house that answers `one`, with a client on each shard; each mailbox has this much room.
    fn new(personality: Personality, room: usize) -> House {
        let world = World::new(1, personality);
        let text = Arc::new(Mutex::new(config("one")));
        let reading = Arc::clone(&text);
        let startup = Startup {
            load: Box::new(move || load_text("sim.yml", &reading.lock().unwrap(), &Env::new(), &[])),
            started: Box::new(|_| ()),
            warned: Box::new(|_, _| ()),
        };
        let first = First::load(&startup, Some(ALL.to_vec()), 10_000).expect("a right configuration");
        let simulated = |index| Shard::simulated(&world, &Options::new(index, Io::Sim)).expect("a driver");
        let control = simulated(200);
        let (say, reports) = mailbox::channel(room);
        let (wings, shards) = ALL
            .iter()
            .map(|&index| {
                let (shard, cells) = (simulated(index as u16), Arc::new(ShardCells::new()));
                let (orders, mailbox) = mailbox::channel(room);
                let handle = ShardHandle::new(orders.clone(), None, Arc::clone(&cells));
                let server = Server::new(Parts {
                    shard: shard.clone(),
                    cells,
                    plan: Box::new(first.plan.clone()),
                    id: "sim".into(),
                    control: say.clone(),
                    shards: ALL.len(),
                    peers: None,
                });
                (Wing { shard, door: Door::new(Rc::clone(&server)), mailbox, orders, server }, handle)
            })
            .unzip();
        let (desk, log) = open(&control, startup, first, shards);
        let (lines, clients) = (Vec::new(), Vec::new());
        let mut house = House { world, wings, control, desk, reports, say, text, log, lines, clients };
        house.until("both listen", ALL, |house| house.wings.iter().all(|wing| wing.shard.cells().sockets.get() == 1));
        let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], 80)));
        // Which shard lets one in is the network's to say; who is one too many leaves.
        let (mut clients, mut spare) = (BTreeMap::new(), Vec::new());
        while clients.len() < ALL.len() {
            let client = house.world.connect(&address).expect("a listener is there");
            let counts = |house: &House| ALL.iter().map(|&at| house.wings[at].server.clients()).collect::<Vec<_>>();
            let before = counts(&house);
            house.until("it is let in", ALL, |house| counts(house) != before);
            let at = ALL.iter().copied().find(|&at| counts(&house)[at] != before[at]).expect("it is let in");
            spare.extend(clients.insert(at, client));
        }
        house.clients = clients.into_values().collect();
        house
    }

    /// A round in which control and these shards have their turn; time does not leap while another one has none.
    fn round(&mut self, who: &[usize]) {
        let mut turns: Vec<Box<dyn FnMut(Park) -> Progress + '_>> = Vec::new();
        for (index, wing) in self.wings.iter().enumerate() {
            turns.push(match who.contains(&index) {
                true => Box::new(|park| wing.shard.turn(&wing.door, &wing.mailbox, park)),
                false => Box::new(|_| Progress { runnable: true, next: None }),
            });
        }
        turns.push(Box::new(|park| self.control.turn(&self.desk, &self.reports, park)));
        let mut turns: Vec<&mut dyn FnMut(Park) -> Progress> = turns.iter_mut().map(|turn| &mut **turn as _).collect();
        self.world.turn_all(&mut turns);
        self.lines.extend(self.log.lines());
    }

    fn until(&mut self, what: &str, who: &[usize], mut is_so: impl FnMut(&mut House) -> bool) {
        for _ in 0..ROUNDS {
            if is_so(self) {
                return;
            }
            self.round(who);
        }
        panic!("never so: {what}; {:?}", self.lines);
    }

    /// Asks for another configuration.
    fn reload(&self, word: &str) {
        *self.text.lock().unwrap() = config(word);
        self.desk.signal(Signal::Hangup);
    }

    /// The tables that were told as reloaded, in their order.
    fn told(&self) -> Vec<u64> {
        let serial = |line: &String| line.split_once("reloaded serial=")?.1.trim().parse().ok();
        self.lines.iter().filter_map(serial).collect()
    }

    fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }

    /// What the clients of these shards are answered: all ask before anybody has a turn.
    fn answers(&mut self, who: &[usize]) -> Vec<String> {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for &index in who {
            assert_eq!(self.clients[index].write(request).ok(), Some(request.len()));
        }
        let mut answers = vec![String::new(); who.len()];
        self.until("answers", who, |house| {
            for (answer, &index) in answers.iter_mut().zip(who) {
                let mut part = [0; 4096];
                if let Ok(count) = house.clients[index].read(&mut part) {
                    answer.push_str(&String::from_utf8_lossy(&part[..count]));
                }
            }
            answers.iter().all(|answer| WORDS.iter().any(|word| answer.ends_with(&format!("\r\n\r\n{word}"))))
        });
        answers.iter().filter_map(|answer| Some(answer.rsplit_once("\r\n")?.1.to_owned())).collect()
    }

    fn end(mut self) -> Result<(), StartError> {
        self.clients.clear();
        self.wings.iter().for_each(|wing| wing.shard.shutdown());
        let ended = self.desk.close();
        self.control.shutdown();
        ended
    }
}

#[test]
fn once_a_reload_is_told_no_shard_answers_by_the_old_table() {
    // With room for one, orders wait at the control thread and reports at the shards.
    for (personality, room) in BOTH.into_iter().flat_map(|personality| [(personality, 1), (personality, 64)]) {
        let what = format!("{personality:?}, room for {room}");
        let mut house = House::new(personality, room);
        assert_eq!(house.answers(ALL), ["one", "one"], "{what}");
        // The shard that stands still has something to read already.
        assert!(house.wings[STILL].orders.send(Order::Unlisten { number: 99 }).is_ok());
        house.reload("two");
        for _ in 0..LONG {
            if house.told().is_empty() {
                house.round(&[0]);
            }
        }
        house.until("it is told", ALL, |house| !house.told().is_empty());
        assert_eq!(house.answers(ALL), ["two", "two"], "{what}");
        assert_eq!(house.told(), [2], "{what}");
        assert!(house.end().is_ok(), "{what}");
    }
}

#[test]
fn a_shard_that_stands_still_holds_up_no_other_no_reload_and_no_drain() {
    for personality in BOTH {
        let mut house = House::new(personality, 64);
        for word in ["two", "three"] {
            house.reload(word);
            (0..LONG).for_each(|_| house.round(&[0]));
            let first = house.wings[0].server.live().plan.serial;
            assert_eq!(first, if word == "two" { 2 } else { 3 }, "{personality:?}");
        }
        house.reload("three\n  /x: http:/");
        house.until("it is refused", &[0], |house| house.says("reload refused"));
        assert!(house.told().is_empty(), "{personality:?}: {:?}", house.lines);
        assert_eq!(house.answers(&[0]), ["three"], "{personality:?}");
        house.until("both are told", ALL, |house| house.told().len() == 2);
        assert_eq!(house.told(), [2, 3], "{personality:?}");
        house.reload("four");
        (0..LONG).for_each(|_| house.round(&[0]));
        house.desk.signal(Signal::Terminate);
        (0..LONG).for_each(|_| house.round(&[0]));
        assert!(house.says("draining") && !house.desk.is_stopping(), "{personality:?}: {:?}", house.lines);
        house.desk.signal(Signal::Terminate);
        assert!(house.desk.is_stopping(), "{personality:?}");
        assert_eq!(house.told(), [2, 3], "{personality:?}");
        assert!(house.end().is_ok(), "{personality:?}");
    }
}

#[test]
fn a_shard_that_dies_before_it_took_the_table_ends_the_house_and_no_reload_is_told() {
    for personality in BOTH {
        let mut house = House::new(personality, 64);
        house.reload("two");
        (0..LONG).for_each(|_| house.round(&[0]));
        assert!(house.say.send(Report::Died(STILL as u16)).is_ok());
        house.until("it stops", &[0], |house| house.desk.is_stopping());
        assert!(house.told().is_empty(), "{personality:?}: {:?}", house.lines);
        assert!(matches!(house.end(), Err(StartError::Died(_))), "{personality:?}");
    }
}
