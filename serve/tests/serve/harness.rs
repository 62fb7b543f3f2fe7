//! One shard with a server on a thread of its own, and clients that speak raw bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anygate_core::config::{Config, Env, load_text};
use anygate_core::diagnostic::render;
use anygate_core::metrics::ShardCells;
use anygate_serve::challenges::Challenges;
use anygate_serve::compile::{CompileEnv, compile};
use anygate_serve::control::{Order, Report};
use anygate_serve::door::Door;
use anygate_serve::observe::limit::Limit;
use anygate_serve::plan::Plan;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::{self, Address, Bind};
use anygate_shard::{Io, Options, Pool, Shard, ShardCounters};

use crate::pipe::Way;

/// How long a test waits for what must come before it fails: far longer than a busy machine stands still.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so; false when that takes too long.
pub(crate) fn until(mut so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if so() {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a test on every driver this machine has; epoll always.
pub(crate) fn both(test: impl Fn(Io)) {
    for io in [Io::Epoll, Io::Uring] {
        if io == Io::Uring {
            // A machine without io_uring is no reason to skip in silence.
            if let Err(why) = anygate_shard::probe_uring() {
                assert!(std::env::var_os("ANYGATE_TEST_NO_URING").is_some(), "io_uring is not available: {why}");
                continue;
            }
        }
        test(io);
    }
}

/// Runs a test that takes its time on all drivers at once.
pub(crate) fn at_once(test: impl Fn(Io) + Sync) {
    let drivers = std::cell::RefCell::new(Vec::new());
    both(|io| drivers.borrow_mut().push(io));
    std::thread::scope(|scope| {
        for io in drivers.take() {
            let test = &test;
            scope.spawn(move || test(io));
        }
    });
}

/// A running server.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) cells: Arc<ShardCells>,
    /// What the shard below counts.
    pub(crate) counters: Arc<ShardCounters>,
    orders: Sender<Order>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// Serves a configuration.
    pub(crate) fn start(io: Io, yaml: &str) -> Self {
        Self::serve(io, plan(yaml, 1))
    }

    /// Serves a configuration to clients that come in this way.
    pub(crate) fn behind(io: Io, way: Way, yaml: &str) -> Self {
        let mut plan = plan(yaml, 1);
        way.open(&mut plan);
        Self::serve(io, plan)
    }

    /// Serves what was compiled.
    pub(crate) fn serve(io: Io, plan: Plan) -> Self {
        let listener = net::bind(&Address::Ip(([127, 0, 0, 1], 0).into()), &Bind::default()).expect("a port is free");
        let address = TcpListener::from(listener.try_clone().expect("a descriptor")).local_addr().expect("it is bound");
        let (orders, mailbox) = mailbox::channel(64);
        let (control, reports) = mailbox::channel(64);
        let front = plan.fronts.first().map(|(_, front)| front.clone()).unwrap_or_default();
        let cells = Arc::new(ShardCells::new());
        let its_cells = Arc::clone(&cells);
        let (made, counters) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let helpers = Pool::new(1).expect("a thread");
            let shard = Shard::new(&Options { pool: Some(helpers), ..Options::new(0, io) }).expect("a driver");
            made.send(Arc::clone(shard.cells())).expect("the test waits");
            let server = Server::new(Parts {
                shard: shard.clone(),
                cells: its_cells,
                plan: Box::new(plan),
                id: "anygate-test".into(),
                control,
                shards: 1,
                peers: None,
            });
            shard.run(&Door::new(server), &mailbox);
        });
        let counters = counters.recv().expect("the shard stands");
        let gate = Self { address, cells, counters, orders, reports, thread: Some(thread) };
        gate.tell(Order::Listen { fd: listener, number: 0, front });
        gate
    }

    /// Tells the shard something that it does when it gets to it.
    pub(crate) fn tell(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the mailbox has room");
    }

    /// Tells the shard something, and waits until it is done. Open challenges are closed by it.
    pub(crate) fn order(&self, order: Order) {
        self.tell(order);
        // Orders are done one after the other, and the shard holds these until others come.
        let last = Arc::new(Challenges::default());
        self.tell(Order::Challenges(Arc::clone(&last)));
        self.tell(Order::Challenges(Arc::default()));
        assert!(until(|| Arc::strong_count(&last) == 1), "the shard does not read its orders");
    }

    /// Serves another configuration from the next request on.
    pub(crate) fn install(&self, yaml: &str) {
        self.order(Order::Install(Box::new(plan(yaml, 2))));
    }

    /// A new client.
    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the listener is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        Client { stream, read: Vec::new() }
    }

    /// One exchange on a connection of its own that the request must close; all bytes that came.
    pub(crate) fn once(&self, request: &[u8]) -> String {
        let mut client = self.client();
        client.send(request);
        client.rest()
    }

    /// Whether the shard has reported, since the last look, that it has no client left.
    pub(crate) fn reported(&self) -> bool {
        while let Some(report) = self.reports.try_recv() {
            if matches!(report, Report::Drained(_)) {
                return true;
            }
        }
        false
    }

    /// Whether the shard has given a table back since the last look.
    pub(crate) fn retired(&self) -> bool {
        std::iter::from_fn(|| self.reports.try_recv()).any(|report| matches!(report, Report::Retired(_)))
    }

    /// The limits that the shard has told the control thread of since the last look.
    pub(crate) fn reached(&self) -> Vec<Limit> {
        let limit = |report| match report {
            Report::Reached(limit, _) => Some(limit),
            _ => None,
        };
        std::iter::from_fn(|| self.reports.try_recv()).filter_map(limit).collect()
    }

    /// Waits until every client is gone; false when that takes too long.
    pub(crate) fn emptied(&self) -> bool {
        until(|| self.cells.snapshot().connections_active() == 0)
    }

    /// Waits for the shard to report that it has no client left.
    pub(crate) fn drained(&self) -> bool {
        until(|| self.reported())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the shard's thread panicked");
        }
    }
}

/// Compiles a configuration that must be right.
pub(crate) fn plan(yaml: &str, serial: u64) -> Plan {
    plan_for(1, yaml, serial)
}

/// The same for one of several shards.
pub(crate) fn plan_for(shards: usize, yaml: &str, serial: u64) -> Plan {
    let loaded = load_text("test.yml", yaml, &Env::new(), &[]);
    let show =
        |list: &[anygate_core::Diagnostic]| list.iter().map(|d| render(&loaded.sources, d, false)).collect::<String>();
    let config = loaded.config.as_ref().unwrap_or_else(|| panic!("{}", show(&loaded.diagnostics)));
    let compiled = compile(config, &CompileEnv { shards, descriptors: 10_000, serial });
    compiled.plan.unwrap_or_else(|| panic!("{}", show(&compiled.diagnostics)))
}

/// Loads a configuration that must be right.
pub(crate) fn loaded(yaml: &str) -> Config {
    load_text("test.yml", yaml, &Env::new(), &[]).config.expect("a good configuration")
}

/// A raw client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes bytes");
    }

    /// No more bytes will come from here.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the socket is open");
    }

    /// One whole response: head and the body its `Content-Length` announces.
    pub(crate) fn response(&mut self) -> String {
        let head_end = self.until(b"\r\n\r\n");
        let head = String::from_utf8_lossy(&self.read[..head_end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|v| v.trim().to_owned()))
            .map_or(0, |value| value.parse::<usize>().expect("a number"));
        while self.read.len() < head_end + length {
            assert!(self.more(), "the connection ended in a body");
        }
        let response = String::from_utf8_lossy(&self.read[..head_end + length]).into_owned();
        self.read.drain(..head_end + length);
        response
    }

    /// One response to `HEAD`, or another without a body: the head alone.
    pub(crate) fn head(&mut self) -> String {
        let end = self.until(b"\r\n\r\n");
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end);
        head
    }

    /// Exactly that many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more(), "the connection ended after {} bytes", self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// Everything up to the end of the stream; a reset counts as `[reset]`.
    pub(crate) fn rest(&mut self) -> String {
        let mut reset = "";
        loop {
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(n) => self.read.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    reset = "[reset]";
                    break;
                }
                Err(error) => panic!("the server neither answered nor closed: {error}; so far: {:?}", self.text()),
            }
        }
        let text = self.text() + reset;
        self.read.clear();
        text
    }

    /// True when nothing comes within `time` and the connection stays open.
    pub(crate) fn silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a socket option");
        let mut byte = [0; 1];
        let silent = loop {
            match self.stream.peek(&mut byte) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                Ok(_) => break false,
            }
        };
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        silent && self.read.is_empty()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    fn until(&mut self, end: &[u8]) -> usize {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return at + end.len();
            }
            assert!(self.more(), "the connection ended; so far: {:?}", self.text());
        }
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let n = loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.unwrap_or_else(|error| panic!("{error}; so far: {:?}", self.text())),
            }
        };
        self.read.extend_from_slice(&bytes[..n]);
        n > 0
    }
}

/// A response without its `Date`, so that it can be compared.
pub(crate) fn undated(response: &str) -> String {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
    let lines: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
