//! The house: a control shard, the shards it rules, clients and the servers behind, all on one simulated network and
//! one thread; how a run goes, and what must be left at its end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anygate_core::config::{Env, load_text};
use anygate_core::metrics::{ShardCells, Snapshot};
use anygate_serve::control::{Desk, First, Order, Report, ShardHandle, Startup};
use anygate_serve::door::Door;
use anygate_serve::observe::log::Kept;
use anygate_serve::peers::Peers;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::signals::Signal;
use anygate_shard::sim::{Personality, World};
use anygate_shard::{ArenaLimits, Close, Io, Options, Park, Progress, Remains, Service, Shard, SocketId, TaskId};

use super::behind::Behind;
use super::client::Life;
use super::ledger::{Ledger, May, Outcome, file_size};
use super::line::{CERTIFICATES, Clock, Heard, certificate};
use super::scene::{Breach, Dice, Event, Scene, TLS_DOOR};
use super::wire::content;
use super::{Quiet, open};

/// Rounds a run may take until every client is through, and until the house is at rest.
const ROUNDS: u32 = 400_000;
/// Rounds in which shards hear that they are to stop.
const LAST_ROUNDS: u32 = 50;
/// Rounds that a shard may stand still after a reload was asked for.
const STILL_ROUNDS: usize = 32;
/// How long descriptors may be short while nobody gets on.
const STUCK: Duration = Duration::from_secs(60);
/// How long a client may take, on the virtual clock.
const PATIENCE: Duration = Duration::from_secs(7200);
/// Addresses of the house, and of the servers behind.
const DOORS: [&str; 3] = ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.1:443"];
const BEHIND: [[u8; 4]; 2] = [[10, 0, 9, 1], [10, 0, 9, 2]];

/// What a run came to.
pub(super) struct Seen {
    pub(super) outcomes: BTreeMap<u32, Outcome>,
    pub(super) faults: Vec<String>,
    pub(super) counts: Snapshot,
    pub(super) trace: u64,
    /// A print of all that was said to clients and to servers behind.
    pub(super) heard: u64,
    pub(super) rounds: u32,
    pub(super) log: Vec<String>,
}

/// The control shard's service, and a book of what it is told.
struct Office {
    desk: Desk,
    servers: Vec<Rc<Server>>,
    log: Kept,
    lines: RefCell<Vec<String>>,
    /// What was told as reloaded while a shard served by an older table.
    early: RefCell<Vec<String>>,
    retired: Cell<usize>,
    panics: Cell<usize>,
}

impl Service for Office {
    type Message = Report;

    fn ready(&self, row: u32) {
        self.desk.ready(row);
    }

    fn expired(&self, row: u32) {
        self.desk.expired(row);
    }

    fn message(&self, report: Report) {
        match &report {
            Report::Retired(_) => self.retired.set(self.retired.get() + 1),
            Report::Panicked(_) | Report::Died(_) => self.panics.set(self.panics.get() + 1),
            _ => {}
        }
        self.desk.message(report);
    }

    fn turn_ended(&self) {
        self.desk.turn_ended();
        for line in self.log.lines() {
            let told: Option<u64> =
                line.split_once("reloaded serial=").and_then(|(_, serial)| serial.trim().parse().ok());
            for (index, server) in self.servers.iter().enumerate() {
                let serial = server.live().plan.serial;
                if let Some(told) = told.filter(|told| serial < *told) {
                    let early = format!("{told} is told while shard {index} serves by {serial}");
                    self.early.borrow_mut().push(early);
                }
            }
            self.lines.borrow_mut().push(line);
        }
    }
}

/// One shard of the server.
struct Wing {
    shard: Shard,
    door: Door,
    mailbox: Receiver<Order>,
    server: Rc<Server>,
    cells: Arc<ShardCells>,
}

/// What the configuration says at the moment.
#[derive(Clone, Copy)]
struct Words {
    /// Addresses without TLS.
    doors: usize,
    certificate: usize,
    word: &'static str,
    upstream: usize,
    cap: usize,
    nonsense: bool,
}

impl Words {
    fn text(&self) -> String {
        let listen: Vec<String> = DOORS[..self.doors].iter().map(|door| format!("\"{door}\"")).collect();
        let [certificate, key] = certificate(self.certificate);
        let cap = self.cap;
        let wrong = if self.nonsense { "  /x: http:/\n" } else { "" };
        format!(
            "server:\n  listen: [{}, {{addr: \"{}\", tls: true}}]\n  max_requests_per_connection: {cap}\n  name: sim\n  \
             h2: {{max_streams: 30, window: 30KiB, connection_window: 64KiB}}\n\
             tls: {{certificates: {{cert: {}, key: {}}}}}\n\
             log: {{format: text}}\n\
             proxy: {{first_byte_timeout: 5s, connect_timeout: 2s}}\n\
             routes:\n  GET /ok: OK {}\n  /echo: \"*\"\n  /p/: http://behind{}.test:9000\n  /away: PERM_REDIRECT /elsewhere\n  \
             /files/: \"{}/\"\n{wrong}",
            listen.join(", "),
            DOORS[TLS_DOOR],
            certificate.display(),
            key.display(),
            self.word,
            self.upstream,
            folder().display()
        )
    }
}

/// What is left on a shard of the server beside its listeners, which wait.
fn left(wing: &Wing, doors: usize) -> Remains {
    let left = wing.shard.at_rest();
    let (listeners, operations) = (left.listeners.abs_diff(doors), left.operations.saturating_sub(doors));
    Remains { listeners, operations, ..left }
}

/// Whether somebody waited for more turns than there were others.
fn starves(turns: usize, others: usize) -> bool {
    turns > others + 2
}

/// Kinds of breaches of TLS that were counted more often than they happened, or not as often.
fn breaches_that_are_not_counted(scene: &Scene, counts: &Snapshot) -> Vec<&'static str> {
    let happened = |wanted: fn(&Breach) -> bool| {
        let asks = scene.clients.iter().flat_map(|client| &client.asks);
        asks.filter_map(|ask| ask.breach).filter(wanted).count() as u64
    };
    // Of the streams that were not said to end, most belong to clients that had what they wanted.
    let cut = happened(|breach| *breach == Breach::Cut);
    let broken = happened(|breach| matches!(breach, Breach::Noise(_) | Breach::Record));
    let kinds = [
        (happened(|breach| *breach == Breach::Plain), counts.tls_plain_http, "requests without TLS"),
        (broken, counts.tls_not_tls + counts.tls_protocol_errors, "what is no TLS"),
        (happened(|breach| matches!(breach, Breach::Stall(_))), counts.timeouts_handshake, "handshakes that stall"),
        (happened(|breach| *breach == Breach::Alarm), counts.tls_refused_by_client, "alerts of clients"),
        (cut, counts.tls_truncated.min(cut), "streams that were cut"),
    ];
    kinds.into_iter().filter(|(happened, counted, _)| happened != counted).map(|(_, _, kind)| kind).collect()
}

/// Two files, made once.
fn folder() -> PathBuf {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let path = std::env::temp_dir().join("anygate-simulated");
    ONCE.call_once(|| {
        fs::create_dir_all(&path).unwrap();
        for (large, name) in [(false, "small.bin"), (true, "large.bin")] {
            let (file, bytes) = (path.join(name), content(u32::from(large), file_size(large)));
            if fs::read(&file).is_ok_and(|there| there == bytes) {
                continue;
            }
            // Put in place whole: another run of these tests may be serving it.
            let new = path.join(format!("{name}.{}", std::process::id()));
            fs::write(&new, bytes).unwrap();
            fs::rename(new, file).unwrap();
        }
    });
    path
}

pub(super) struct House {
    scene: Scene,
    world: World,
    wings: Vec<Wing>,
    office: Office,
    control: Shard,
    reports: Receiver<Report>,
    clients: Shard,
    back: Rc<Behind>,
    back_doors: RefCell<Vec<(SocketId, TaskId)>>,
    quiet: [Receiver<()>; 2],
    ledger: Rc<RefCell<Ledger>>,
    heard: Heard,
    left: Rc<Cell<usize>>,
    /// What the clients' clocks show.
    clock: Arc<Clock>,
    words: Cell<Words>,
    text: Arc<Mutex<String>>,
    faults: RefCell<Vec<String>>,
    next_event: Cell<usize>,
    /// How many requests had come to their end when it was looked last, and since when.
    progress: Cell<(usize, Duration)>,
    terminated: Cell<bool>,
    rounds: Cell<u32>,
    /// A shard without turns, and until which round.
    still: Cell<(usize, u32)>,
}

impl House {
    pub(super) fn new(scene: Scene, personality: Personality) -> House {
        let world = World::new(scene.seed, personality);
        world.set_faults(scene.faults);
        for (number, address) in BEHIND.into_iter().enumerate() {
            world.set_host(&format!("behind{number}.test"), &[IpAddr::from(address)]);
        }
        let options = |index| Options::new(index, Io::Sim);
        let words = Words { doors: 1, certificate: 0, word: "fine", upstream: 0, cap: scene.cap, nonsense: false };
        let text = Arc::new(Mutex::new(words.text()));
        let reading = Arc::clone(&text);
        let startup = Startup {
            load: Box::new(move || load_text("sim.yml", &reading.lock().unwrap(), &Env::new(), &[])),
            started: Box::new(|_| ()),
            warned: Box::new(|_, _| ()),
        };
        let first = First::load(&startup, Some((0..scene.shards).collect()), 10_000).expect("a right configuration");
        let control = Shard::simulated(&world, &options(200)).unwrap();
        let (sender, reports) = mailbox::channel::<Report>(256);
        let (orders, mailboxes): (Vec<Sender<Order>>, Vec<Receiver<Order>>) =
            (0..scene.shards).map(|_| mailbox::channel(32)).unzip();
        // Compared often, so that clients move while they are served.
        let peers = Peers::with_period(orders.clone(), Duration::from_millis(2));
        let wings: Vec<Wing> = mailboxes
            .into_iter()
            .enumerate()
            .map(|(index, mailbox)| {
                let mut options = options(index as u16);
                if let Some(most) = scene.buffers {
                    options.arena = ArenaLimits { buffers: [most; 4], reserve: [most / 3; 4] };
                }
                let shard = Shard::simulated(&world, &options).unwrap();
                let cells = Arc::new(ShardCells::new());
                let server = Server::new(Parts {
                    shard: shard.clone(),
                    cells: Arc::clone(&cells),
                    plan: Box::new(first.plan.clone()),
                    id: "sim".into(),
                    control: sender.clone(),
                    shards: scene.shards,
                    peers: peers.around(index),
                });
                Wing { shard, door: Door::new(Rc::clone(&server)), mailbox, server, cells }
            })
            .collect();
        let handle = |(orders, wing): (Sender<Order>, &Wing)| ShardHandle::new(orders, None, Arc::clone(&wing.cells));
        let shards = orders.into_iter().zip(&wings).map(handle).collect();
        let (desk, log) = open(&control, startup, first, shards);
        let clients = Shard::simulated(&world, &options(100)).unwrap();
        let calm = !scene.harsh && scene.buffers.is_none();
        let ledger = Rc::new(RefCell::new(Ledger::new(calm)));
        let back = Shard::simulated(&world, &options(101)).unwrap();
        let heard = Heard::default();
        let back =
            Rc::new(Behind { shard: back, ledger: Rc::clone(&ledger), heard: heard.clone(), dead: Cell::new(false) });
        let house = House {
            left: Rc::new(Cell::new(scene.clients.len())),
            clock: Arc::default(),
            office: Office {
                desk,
                servers: wings.iter().map(|wing| Rc::clone(&wing.server)).collect(),
                log,
                lines: RefCell::default(),
                early: RefCell::default(),
                retired: Cell::new(0),
                panics: Cell::new(0),
            },
            quiet: [mailbox::channel(1).1, mailbox::channel(1).1],
            back_doors: RefCell::default(),
            words: Cell::new(words),
            faults: RefCell::default(),
            next_event: Cell::new(0),
            progress: Cell::new((0, Duration::ZERO)),
            terminated: Cell::new(false),
            rounds: Cell::new(0),
            still: Cell::new((0, 0)),
            scene,
            world,
            wings,
            control,
            reports,
            clients,
            back,
            ledger,
            heard,
            text,
        };
        house.open_behind();
        house
    }

    /// False while an address is still being closed.
    fn open_behind(&self) -> bool {
        let open = self.back_doors.borrow().len();
        for address in &BEHIND[open..] {
            let address = Address::Ip(SocketAddr::from((*address, 9000)));
            let Ok(socket) = self.world.bind(&address) else { return false };
            let door = self.back.shard.listen(socket).unwrap();
            let task = self.back.open(door);
            self.back_doors.borrow_mut().push((door, task));
        }
        true
    }

    fn close_behind(&self) {
        for (door, task) in self.back_doors.take() {
            self.back.shard.cancel(task);
            self.back.shard.close(door, Close::Abort);
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now_ns())
    }

    fn start_clients(&self) {
        for client in &self.scene.clients {
            let to = Address::Ip(DOORS[client.door].parse().unwrap());
            let (ledger, may) = (Rc::clone(&self.ledger), self.scene.may());
            let life = Life::new(&self.clients, client.clone(), to, ledger, may, (&self.clock, &self.heard));
            let left = Rc::clone(&self.left);
            self.clients.spawn(async move {
                life.run().await;
                left.set(left.get() - 1);
            });
        }
    }

    fn fault(&self, what: String) {
        self.faults.borrow_mut().push(what);
    }

    /// Gives everybody turns until `done`; false when that takes too long.
    fn until(&self, mut done: impl FnMut() -> bool) -> bool {
        let mut turns: Vec<Box<dyn FnMut(Park) -> Progress + '_>> = Vec::new();
        for (index, wing) in self.wings.iter().enumerate() {
            turns.push(Box::new(move |park| match self.still.get() {
                (still, until) if still == index && self.rounds.get() < until => {
                    Progress { runnable: true, next: None }
                }
                _ => wing.shard.turn(&wing.door, &wing.mailbox, park),
            }));
        }
        turns.push(Box::new(|park| self.control.turn(&self.office, &self.reports, park)));
        turns.push(Box::new(|park| self.clients.turn(&Quiet, &self.quiet[0], park)));
        turns.push(Box::new(|park| self.back.shard.turn(&Quiet, &self.quiet[1], park)));
        let mut turns: Vec<&mut dyn FnMut(Park) -> Progress> = turns.iter_mut().map(|turn| &mut **turn as _).collect();
        let begun = self.world.now_ns();
        for _ in 0..ROUNDS {
            if done() {
                return true;
            }
            self.clock.set(self.world.unix_time());
            self.world.turn_all(&mut turns);
            self.rounds.set(self.rounds.get() + 1);
            if u128::from(self.world.now_ns() - begun) > PATIENCE.as_nanos() {
                return false;
            }
        }
        done()
    }

    /// What is due by the number of requests that came to their end.
    fn events(&self) {
        let over = self.ledger.borrow().outcomes.len();
        let (before, since) = self.progress.get();
        if over != before || self.now() - since > STUCK {
            self.progress.set((over, self.now()));
        }
        // Who took all the descriptors gives them back, also when nobody gets on without: time goes by too.
        let stuck = over == before && self.now() - since > STUCK;
        while let Some((at, event)) = self.scene.events.get(self.next_event.get()) {
            if over < *at && self.left.get() > 0 && !stuck {
                return;
            }
            self.next_event.set(self.next_event.get() + 1);
            self.happen(*event);
            if self.back.dead.get() {
                return;
            }
        }
    }

    fn happen(&self, event: Event) {
        let mut words = self.words.get();
        words.nonsense = false;
        match event {
            Event::Reload => {}
            Event::Doors => words.doors = 3 - words.doors,
            Event::Words => {
                words.word = if words.word == "fine" { "good" } else { "fine" };
                words.cap = if words.cap == 0 { 3 } else { 0 };
            }
            Event::Upstream => words.upstream = 1 - words.upstream,
            Event::Certificate => words.certificate = (words.certificate + 1) % CERTIFICATES,
            Event::Nonsense => words.nonsense = true,
            Event::Death if self.back.dead.get() => {
                self.back.dead.set(!self.open_behind());
                let again = usize::from(self.back.dead.get());
                return self.next_event.set(self.next_event.get() - again);
            }
            Event::Death => {
                self.back.dead.set(true);
                return self.close_behind();
            }
            Event::Descriptors(limit) => return self.world.set_descriptor_limit(limit),
            Event::Terminate => return self.terminate(),
        }
        *self.text.lock().unwrap() = words.text();
        words.nonsense = false;
        self.words.set(words);
        let mut dice = Dice::new(self.scene.seed, self.next_event.get() as u64);
        self.still.set((dice.below(self.wings.len()), self.rounds.get() + dice.below(STILL_ROUNDS) as u32));
        self.office.desk.signal(Signal::Hangup);
    }

    fn terminate(&self) {
        if !self.terminated.replace(true) {
            self.office.desk.signal(Signal::Terminate);
        }
    }

    /// The whole run.
    pub(super) fn run(self) -> Seen {
        // Clients come when the house is open.
        self.until(|| self.wings.iter().all(|wing| wing.shard.cells().sockets.get() == self.doors() as u64));
        self.start_clients();
        let mut after = 0;
        let through = self.until(|| {
            self.events();
            // A stopped shard's thread ends, and with it everything it has.
            after += u32::from(self.office.desk.is_stopping());
            if after == LAST_ROUNDS {
                self.wings.iter().for_each(|wing| wing.shard.shutdown());
                self.control.shutdown();
            }
            self.left.get() == 0
        });
        if !through {
            self.fault(format!("a client hangs at {} s: {:?}", self.world.now_ns() / 1_000_000_000, self.world));
        }
        self.world.set_descriptor_limit(usize::MAX);
        if through && !self.terminated.get() {
            self.rest();
        }
        self.terminate();
        if through && !self.until(|| self.office.desk.is_stopping()) {
            self.fault("a drain without an end".to_owned());
        }
        self.close_behind();
        for _ in 0..20 {
            let mut once = false;
            self.until(|| std::mem::replace(&mut once, true));
        }
        let lines = self.office.lines.take();
        let forced = lines.iter().any(|line| line.contains("connections are cut"));
        if through && !forced {
            // Sockets may be left that wait for their peer's end.
            self.drained();
        }
        self.end(&lines, through && !forced, forced)
    }

    /// When everybody is served and gone, nothing is left but listeners, and the last configuration is everyone's.
    fn rest(&self) {
        // One that was put in place and taken back before it was read left nothing to see: this one is read.
        *self.text.lock().unwrap() = self.words.get().text();
        self.office.desk.signal(Signal::Hangup);
        let doors = self.doors() as u64;
        let quiet = |wing: &Wing| {
            let cells = wing.shard.cells();
            cells.sockets.get() == doors && cells.tasks.get() == 0
        };
        let others = |shard: &Shard| shard.cells().sockets.get() == 0;
        let rests = self.until(|| {
            self.wings.iter().all(quiet)
                && others(&self.clients)
                && self.back.shard.cells().tasks.get() <= 2
                && self.is_same_table()
                && self.office.retired.get() == self.wings.len() * self.installed()
                // Somebody may still wait at a door that pauses, and have left long ago.
                && self.wings.iter().all(|wing| left(wing, doors as usize).is_rest())
        });
        if !self.is_same_table() {
            self.fault("shards serve by different tables".to_owned());
        }
        if !rests {
            let state: Vec<String> = [&self.control, &self.clients, &self.back.shard]
                .into_iter()
                .chain(self.wings.iter().map(|wing| &wing.shard))
                .map(|shard| {
                    let cells = shard.cells();
                    format!("{}: {} sockets {} tasks", shard.index(), cells.sockets.get(), cells.tasks.get())
                })
                .collect();
            self.fault(format!(
                "no rest with {doors} doors: {state:?} {:?} {:#?}",
                self.office.lines.borrow(),
                self.world
            ));
        }
        self.at_rest(doors as usize);
        // The last table is in use, every other one came home.
        let (retired, due) = (self.office.retired.get(), self.wings.len() * self.installed());
        if retired != due {
            self.fault(format!("{retired} tables came home of {due}"));
        }
    }

    /// Listeners of each shard.
    fn doors(&self) -> usize {
        self.words.get().doors + 1
    }

    fn installed(&self) -> usize {
        let serial = self.wings.iter().map(|wing| wing.server.live().plan.serial).max().unwrap_or(1);
        serial as usize - 1
    }

    fn is_same_table(&self) -> bool {
        let mut serials = self.wings.iter().map(|wing| wing.server.live().plan.serial);
        let first = serials.next();
        serials.all(|serial| Some(serial) == first)
    }

    fn at_rest(&self, doors: usize) {
        for wing in &self.wings {
            let left = left(wing, doors);
            if !left.is_rest() || wing.server.clients() != 0 {
                let clients = wing.server.clients();
                self.fault(format!("left on shard {}: {left}, {clients} clients", wing.shard.index()));
            }
        }
    }

    /// After a drain that had the time it needed, soon nothing is left but connections kept to servers behind and the task
    /// that looks whether the drain is done. A kept connection's deadline, of the answer that came, is forgotten when it
    /// passes; a stopped shard sees no time pass.
    fn drained(&self) {
        let left = |wing: &Wing| {
            let (left, kept) = (wing.shard.at_rest(), wing.server.upstreams.idle());
            Remains {
                sockets: left.sockets.saturating_sub(kept),
                lane_entries: left.lane_entries.saturating_sub(kept),
                operations: left.operations.saturating_sub(kept),
                tasks: left.tasks.saturating_sub(1),
                deadlines: left.deadlines.saturating_sub(1 + kept as u32),
                timers: left.timers.saturating_sub(1 + kept),
                runnable: left.runnable.saturating_sub(1),
                ..left
            }
        };
        if !self.until(|| self.wings.iter().all(|wing| left(wing).is_rest() && wing.server.clients() == 0)) {
            for wing in &self.wings {
                let (index, left, clients) = (wing.shard.index(), left(wing), wing.server.clients());
                self.fault(format!("left on shard {index} after a drain: {left}, {clients} clients"));
            }
        }
    }

    /// A turn runs some of those who are to run, in their order: nobody waits for more turns than there are others.
    fn nobody_starved(&self) {
        for shard in self.wings.iter().map(|wing| &wing.shard).chain([&self.control]) {
            let waits = shard.waits();
            if starves(waits.rows.max(waits.tasks) as usize, waits.left) {
                self.fault(format!("somebody starved on shard {}: {waits:?}", shard.index()));
            }
        }
    }

    fn end(self, lines: &[String], whole: bool, forced: bool) -> Seen {
        let mut counts = Snapshot::default();
        for wing in &self.wings {
            if wing.shard.cells().panics.get() != 0 {
                self.fault(format!("a panic on shard {}", wing.shard.index()));
            }
            counts += wing.cells.snapshot();
        }
        self.nobody_starved();
        self.faults.borrow_mut().append(&mut self.office.early.borrow_mut());
        self.wings.iter().for_each(|wing| wing.shard.shutdown());
        let Office { desk, panics, .. } = self.office;
        let ended = desk.close();
        if ended.is_err() || panics.get() > 0 {
            self.faults.borrow_mut().push(format!("it ended with {ended:?}"));
        }
        self.control.shutdown();
        self.clients.shutdown();
        self.back.shard.shutdown();
        // Who knocks in vain does so for two minutes.
        self.world.pass(Duration::from_secs(300));
        let wrong = |what: String| self.faults.borrow_mut().push(what);
        let ends = self.world.open_ends();
        if ends != 0 && !self.scene.harsh {
            wrong(format!("{ends} ends of connections are left after everything ended"));
        }
        for wing in &self.wings {
            let leases = wing.shard.at_rest().leases;
            if leases != 0 {
                wrong(format!("{leases} buffers are left after shard {} ended", wing.shard.index()));
            }
        }
        if whole {
            let wrong = |what: &str| self.faults.borrow_mut().push(format!("{what}: {counts:?}"));
            if counts.connections_rebalanced != counts.connections_resumed {
                wrong("a client was lost between shards");
            }
            if counts.connections_active() != 0 {
                wrong("clients are counted that are gone");
            }
            if counts.panics != 0 {
                wrong("panics");
            }
            if !self.scene.may().lose && !self.scene.may().drains {
                breaches_that_are_not_counted(&self.scene, &counts).into_iter().for_each(wrong);
            }
        }
        for line in lines.iter().filter(|line| line.contains(" error ") && !line.contains("reload refused")) {
            self.faults.borrow_mut().push(format!("in the log: {line}"));
        }
        let ledger = self.ledger.borrow();
        // Who has not ended when a drain's time is over is cut.
        let may = self.scene.may();
        self.faults.borrow_mut().extend(ledger.judge(May { lose: may.lose || forced, ..may }));
        Seen {
            outcomes: ledger.outcomes.clone(),
            faults: self.faults.take(),
            counts,
            trace: self.world.trace(),
            heard: self.heard.print(),
            rounds: self.rounds.get(),
            log: lines.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use anygate_shard::Class;

    use super::*;

    /// What is found in a calm run in which something is kept that nobody may keep.
    fn faults_with<T>(keep: impl Fn(&House) -> T) -> String {
        let mut scene = Scene::new(1, false);
        scene.events.clear();
        let house = House::new(scene, Personality::Completion);
        let kept = keep(&house);
        let seen = house.run();
        drop(kept);
        seen.faults.join("; ")
    }

    #[test]
    fn what_is_kept_beyond_the_end_is_found() {
        assert_eq!(faults_with(|_| ()), "");
        let lease = faults_with(|house| house.wings[0].shard.try_lease(Class::Head));
        assert!(lease.contains("left on shard 0: 1 leases") && lease.contains("after a drain: 1 leases"), "{lease}");
        assert!(lease.contains("1 buffers are left after shard 0 ended"), "{lease}");
        let timer = faults_with(|house| house.wings[1].shard.deadline_unset());
        assert!(timer.contains("left on shard 1: 1 timers"), "{timer}");
        let set = faults_with(|house| house.wings[1].shard.deadline(PATIENCE * 9));
        assert!(set.contains("left on shard 1: 1 deadlines, 1 timers"), "{set}");
        let end = faults_with(|house| house.world.connect(&Address::Ip(DOORS[0].parse().unwrap())));
        assert!(end.contains("1 ends of connections are left after everything ended"), "{end}");
        assert!(starves(6, 3) && !starves(5, 3));
    }
}
