//! A whole server in this process: a control thread and two shards on real sockets, told what to do as by signals.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anygate_core::config::{Env, LogFormat, LogLevel, load_text};
use anygate_core::metrics::ShardCells;
use anygate_serve::control::{Desk, First, Opening, Order, Report, ShardHandle, Startup};
use anygate_serve::door::Door;
use anygate_serve::observe::log::{Kept, Log};
use anygate_serve::plan::Plan;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox::{self, Receiver as Mailbox, Sender as Orders};
use anygate_shard::signals::Signal;
use anygate_shard::{Io, Options, Park, Pool, Shard};

const SHARDS: usize = 2;
/// How long something is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped.
pub(super) struct House {
    /// Where its listeners stand, in the order of the configuration.
    pub(super) addresses: Vec<SocketAddr>,
    log: Arc<Mutex<String>>,
    text: Arc<Mutex<String>>,
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl House {
    /// Opens one with this configuration.
    pub(super) fn open(io: Io, yaml: &str) -> Self {
        let text = Arc::new(Mutex::new(yaml.to_owned()));
        let log = Arc::new(Mutex::new(String::new()));
        let (started, stands) = channel();
        let (signals, asked) = channel();
        let (its_text, its_log) = (Arc::clone(&text), Arc::clone(&log));
        let thread = std::thread::spawn(move || run(io, its_text, &its_log, &asked, started));
        let addresses = stands.recv_timeout(PATIENCE).expect("the house opens");
        Self { addresses, log, text, signals, thread: Some(thread) }
    }

    /// Has it read another configuration.
    pub(super) fn reload(&self, yaml: &str) {
        yaml.clone_into(&mut self.text.lock().unwrap());
        self.signals.send(Signal::Hangup).expect("it runs");
    }

    /// What the log has said so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The first line that says this, once it does so `times` times.
    pub(super) fn says(&self, what: &str, times: usize) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().filter(|line| line.contains(what)).nth(times - 1) {
                return line.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "it never said `{what}` {times} times:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Terminate);
        let _ = self.signals.send(Signal::Terminate);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the control thread panicked");
        }
    }
}

fn run(
    io: Io,
    text: Arc<Mutex<String>>,
    said: &Mutex<String>,
    asked: &Receiver<Signal>,
    started: Sender<Vec<SocketAddr>>,
) {
    let startup = Startup {
        load: Box::new(move || load_text("test.yml", &text.lock().unwrap(), &Env::new(), &[])),
        started: Box::new(move |house| {
            let stands = house.listeners.iter().filter_map(|(address, _)| address.ip());
            let _ = started.send(stands.collect());
        }),
        warned: Box::new(|_, _| {}),
    };
    let first = match First::load(&startup, Some((0..SHARDS).collect()), 1000) {
        Ok(first) => first,
        Err(why) => panic!("{why:?}"),
    };
    let (reports, mailbox) = mailbox::channel(256);
    let shards = (0..SHARDS).map(|index| hire(io, index, &first.plan, &reports)).collect();
    let helpers = Pool::new(2).expect("threads");
    let shard = Shard::new(&Options { pool: Some(helpers), ..Options::new(u16::MAX, io) }).expect("a driver");
    let doors = first.listen(&shard).expect("the addresses are free");
    let (log, kept) = Log::kept(LogLevel::Info, LogFormat::Text);
    let opening = Opening { shard: shard.clone(), signals: None, startup, first, doors, fallback: None, shards, log };
    let desk = Desk::open(opening);
    while !desk.is_stopping() {
        shard.turn(&desk, &mailbox, Park::AtMost(Duration::from_millis(5)));
        note(&kept, said);
        while let Ok(signal) = asked.try_recv() {
            desk.signal(signal);
        }
    }
    desk.close().expect("no shard died");
    note(&kept, said);
}

fn note(kept: &Kept, said: &Mutex<String>) {
    let lines = kept.lines();
    if !lines.is_empty() {
        said.lock().unwrap().extend(lines);
    }
}

/// A shard on a thread of its own.
fn hire(io: Io, index: usize, plan: &Plan, reports: &Orders<Report>) -> ShardHandle {
    let (orders, mailbox): (Orders<Order>, Mailbox<Order>) = mailbox::channel(64);
    let cells = Arc::new(ShardCells::new());
    let (plan, control, its_cells) = (Box::new(plan.clone()), reports.clone(), Arc::clone(&cells));
    let thread = std::thread::spawn(move || {
        let helpers = Pool::new(1).expect("a thread");
        let options = Options { pool: Some(helpers), ..Options::new(index as u16, io) };
        let shard = Shard::new(&options).expect("a driver");
        let id = "anygate-test".into();
        let parts = Parts { shard: shard.clone(), cells: its_cells, plan, id, control, shards: SHARDS, peers: None };
        shard.run(&Door::new(Server::new(parts)), &mailbox);
    });
    ShardHandle::new(orders, Some(thread), cells)
}
