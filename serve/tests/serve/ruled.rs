//! Shards on real drivers, ruled by a control thread in the test's own process: what changes while clients are served.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anygate_core::config::{Env, LogFormat, LogLevel, load_text};
use anygate_core::metrics::{Gauge, ShardCells};
use anygate_serve::control::{Desk, First, Opening, Order, Report, ShardHandle, Startup};
use anygate_serve::door::Door;
use anygate_serve::observe::log::Log;
use anygate_serve::peers::Peers;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox;
use anygate_shard::net::Address;
use anygate_shard::signals::Signal;
use anygate_shard::{Io, Options, Pool, Service, Shard};

/// How long anything may take that the test waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How soon the control thread sees what the test wants.
const PULSE: Duration = Duration::from_millis(2);
const SHARDS: usize = 2;

/// What a test has the control thread do.
enum Wish {
    Look,
    Reload,
    Gauges(mpsc::Sender<Vec<Gauge>>),
    Stop,
}

/// A folder of a test's own, gone at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("anygate-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file in a folder of our own");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Shards and the control thread that rules them.
pub(crate) struct Ruled {
    /// Where clients come in, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) cells: Vec<Arc<ShardCells>>,
    text: Arc<Mutex<String>>,
    said: Arc<Mutex<Vec<String>>>,
    wishes: mpsc::Sender<Wish>,
    control: Option<JoinHandle<()>>,
}

impl Ruled {
    /// Serves a configuration, whose listeners are at port 0.
    pub(crate) fn start(io: Io, yaml: &str) -> Self {
        let text = Arc::new(Mutex::new(yaml.to_owned()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let (wishes, wanted) = mpsc::channel();
        let (opened, opening) = mpsc::channel();
        let (its_text, its_said) = (Arc::clone(&text), Arc::clone(&said));
        let control = std::thread::spawn(move || rule(io, its_text, its_said, wanted, opened));
        let (addresses, cells) = opening.recv_timeout(PATIENCE).expect("the house opens");
        Self { addresses, cells, text, said, wishes, control: Some(control) }
    }

    fn wish(&self, wish: Wish) {
        self.wishes.send(wish).expect("the control thread is there");
    }

    /// Has it look at the files of certificates.
    pub(crate) fn look(&self) {
        self.wish(Wish::Look);
    }

    /// Has it read this configuration.
    pub(crate) fn reload(&self, yaml: &str) {
        yaml.clone_into(&mut self.text.lock().expect("nobody panics with it"));
        self.wish(Wish::Reload);
    }

    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let (tell, told) = mpsc::channel();
        self.wish(Wish::Gauges(tell));
        told.recv_timeout(PATIENCE).expect("the control thread answers")
    }

    /// The lines of the log so far that hold these words.
    pub(crate) fn said(&self, words: &str) -> Vec<String> {
        let said = self.said.lock().expect("nobody panics with it");
        said.iter().filter(|line| line.contains(words)).cloned().collect()
    }

    /// Waits until the log has so many lines with these words.
    pub(crate) fn says(&self, words: &str, times: usize) {
        let begun = Instant::now();
        while self.said(words).len() < times {
            assert!(begun.elapsed() < PATIENCE, "never said {times} times: {words}; but {:#?}", self.said(""));
            std::thread::sleep(PULSE);
        }
    }

    /// Has it look again and again until the log has so many lines with these words.
    pub(crate) fn looks_until(&self, words: &str, times: usize) {
        let begun = Instant::now();
        while self.said(words).len() < times {
            assert!(begun.elapsed() < PATIENCE, "never said {times} times: {words}; but {:#?}", self.said(""));
            self.look();
            std::thread::sleep(5 * PULSE);
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[0]).expect("the gate listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        stream
    }

    /// The sum of a counter over the shards.
    pub(crate) fn count(&self, counter: impl Fn(&ShardCells) -> u64) -> u64 {
        self.cells.iter().map(|cells| counter(cells)).sum()
    }
}

impl Drop for Ruled {
    fn drop(&mut self) {
        let _ = self.wishes.send(Wish::Stop);
        if let Some(control) = self.control.take()
            && control.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the control thread panicked");
        }
    }
}

/// The control thread's service.
struct Office(Rc<Desk>);

impl Service for Office {
    type Message = Report;

    fn ready(&self, row: u32) {
        self.0.ready(row);
    }

    fn expired(&self, row: u32) {
        self.0.expired(row);
    }

    fn message(&self, report: Report) {
        self.0.message(report);
    }

    fn turn_ended(&self) {
        self.0.turn_ended();
    }
}

/// The control thread.
fn rule(
    io: Io,
    text: Arc<Mutex<String>>,
    said: Arc<Mutex<Vec<String>>>,
    wishes: mpsc::Receiver<Wish>,
    opened: mpsc::Sender<(Vec<SocketAddr>, Vec<Arc<ShardCells>>)>,
) {
    let (sender, reports) = mailbox::channel::<Report>(1024);
    let (orders, mailboxes): (Vec<_>, Vec<_>) = (0..SHARDS).map(|_| mailbox::channel::<Order>(1024)).unzip();
    let cells: Vec<_> = (0..SHARDS).map(|_| Arc::new(ShardCells::new())).collect();
    let its_cells = cells.clone();
    let startup = Startup {
        load: Box::new(move || {
            let text = text.lock().expect("nobody panics with it");
            load_text("test.yml", &text, &Env::new(), &[])
        }),
        started: Box::new(move |started| {
            let ip = |address: &Address| address.ip().expect("an address of TCP");
            let addresses = started.listeners.iter().map(|(address, _)| ip(address)).collect();
            let _ = opened.send((addresses, its_cells.clone()));
        }),
        warned: Box::new(|_, _| ()),
    };
    let first = First::load(&startup, Some((0..SHARDS).collect()), 10_000).expect("a right configuration");
    let peers = Peers::new(orders.clone());
    let mut handles = Vec::new();
    for (index, (orders, mailbox)) in orders.into_iter().zip(mailboxes).enumerate() {
        let (plan, control, cells) = (Box::new(first.plan.clone()), sender.clone(), Arc::clone(&cells[index]));
        let (peers, its_cells) = (peers.around(index), Arc::clone(&cells));
        let thread = std::thread::spawn(move || {
            let pool = Some(Pool::new(1).expect("a thread"));
            let shard = Shard::new(&Options { pool, ..Options::new(index as u16, io) }).expect("a driver");
            let id = "anygate-test".into();
            let parts = Parts { shard: shard.clone(), cells: its_cells, plan, id, control, shards: SHARDS, peers };
            shard.run(&Door::new(Server::new(parts)), &mailbox);
        });
        handles.push(ShardHandle::new(orders, Some(thread), cells));
    }
    let pool = Some(Pool::new(2).expect("a thread"));
    let shard = Shard::new(&Options { pool, ..Options::new(u16::MAX, io) }).expect("a driver");
    let (log, kept) = Log::kept(LogLevel::Info, LogFormat::Text);
    let doors = first.listen(&shard).expect("the ports are free");
    let desk = Rc::new(Desk::open(Opening {
        shard: shard.clone(),
        signals: None,
        startup,
        first,
        doors,
        fallback: None,
        shards: handles,
        log,
    }));
    // The shard holds its tasks: one of them must not hold the desk, which holds the shard.
    let (its_desk, its_shard) = (Rc::downgrade(&desk), shard.clone());
    shard.spawn(async move {
        while let Some(its_desk) = its_desk.upgrade() {
            said.lock().expect("nobody panics with it").extend(kept.lines());
            for wish in wishes.try_iter() {
                match wish {
                    Wish::Look => its_desk.look_at_certificates(),
                    Wish::Reload => its_desk.signal(Signal::Hangup),
                    Wish::Gauges(tell) => _ = tell.send(its_desk.gauges()),
                    // Asked twice, it waits for nobody.
                    Wish::Stop => (0..2).for_each(|_| its_desk.signal(Signal::Terminate)),
                }
            }
            drop(its_desk);
            its_shard.sleep(PULSE).await;
        }
    });
    let office = Office(Rc::clone(&desk));
    shard.run(&office, &reports);
    drop((office, shard));
    if let Some(desk) = Rc::into_inner(desk) {
        desk.close().expect("no shard died");
    }
}
