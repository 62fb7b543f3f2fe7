//! What a request and a resting connection cost in memory.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anygate_core::metrics::ShardCells;
use anygate_serve::control::Order;
use anygate_serve::door::Door;
use anygate_serve::server::{Parts, Server};
use anygate_serve::tls::Front;
use anygate_shard::mailbox::{self, Receiver};
use anygate_shard::net::{self, Address, Bind};
use anygate_shard::testing::CountingAllocator;
use anygate_shard::{Io, Options, Park, Pool, Shard};

use crate::harness::{both, plan};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A server on the test's own thread, turned by hand, so that every allocation of the thread is seen.
pub(crate) struct Bench {
    pub(crate) shard: Shard,
    door: Door,
    mailbox: Receiver<Order>,
    address: SocketAddr,
    pub(crate) cells: Arc<ShardCells>,
}

impl Bench {
    pub(crate) fn new(io: Io, yaml: &str) -> Self {
        let listener = net::bind(&Address::Ip(([127, 0, 0, 1], 0).into()), &Bind::default()).expect("a port is free");
        let address = TcpListener::from(listener.try_clone().expect("a descriptor")).local_addr().expect("it is bound");
        Self::behind(io, yaml, listener, address)
    }

    /// The same with a listener at a path: its clients are not [`client`](Self::client)s.
    pub(crate) fn at(io: Io, yaml: &str, path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = net::bind(&Address::Unix(Some(path.into())), &Bind::default()).expect("a path of our own");
        Self::behind(io, yaml, listener, ([127, 0, 0, 1], 0).into())
    }

    fn behind(io: Io, yaml: &str, listener: OwnedFd, address: SocketAddr) -> Self {
        let (orders, mailbox) = mailbox::channel(8);
        let (control, _reports) = mailbox::channel(8);
        let pool = Pool::new(1).expect("a thread");
        let shard = Shard::new(&Options { pool: Some(pool), ..Options::new(0, io) }).expect("a driver");
        let cells = Arc::new(ShardCells::new());
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::clone(&cells),
            plan: Box::new(plan(yaml, 1)),
            id: "anygate-test".into(),
            control,
            shards: 1,
            peers: None,
        });
        let front = Front { h2: true, ..Front::default() };
        assert!(orders.send(Order::Listen { fd: listener, number: 0, front }).is_ok());
        Self { shard, door: Door::new(server), mailbox, address, cells }
    }

    pub(crate) fn turn(&self) {
        self.shard.turn(&self.door, &self.mailbox, Park::AtMost(Duration::from_millis(1)));
    }

    pub(crate) fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("the listener is there");
        client.set_nonblocking(true).expect("a socket option");
        client
    }

    /// Sends `request` and turns until `length` bytes of answer came.
    fn exchange(&self, client: &mut TcpStream, request: &[u8], mut length: usize) {
        client.write_all(request).expect("the socket takes a request");
        let mut answer = [0; 16 * 1024];
        for _ in 0..1000 {
            self.turn();
            match client.read(&mut answer) {
                Ok(n) => length = length.checked_sub(n).expect("no more than was asked for"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
            if length == 0 {
                return;
            }
        }
        panic!("{length} bytes of the answer did not come");
    }
}

const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

#[test]
fn a_request_for_a_fixed_answer_allocates_nothing() {
    both(|io| {
        let bench = Bench::new(io, "routes: {/ok: OK hello}\n");
        let mut client = bench.client();
        client.write_all(REQUEST).expect("the socket takes a request");
        let mut answer = [0; 4096];
        let mut length = 0;
        while length == 0 {
            bench.turn();
            length = client.read(&mut answer).unwrap_or(0);
        }
        let pipeline = REQUEST.repeat(16);
        for _ in 0..100 {
            bench.exchange(&mut client, REQUEST, length);
            bench.exchange(&mut client, &pipeline, length * 16);
        }
        let before = CountingAllocator::allocations();
        for _ in 0..1000 {
            bench.exchange(&mut client, REQUEST, length);
            bench.exchange(&mut client, &pipeline, length * 16);
        }
        let made = CountingAllocator::allocations() - before;
        assert_eq!(made, 0, "{io:?}: {made} allocations in 17,000 requests");
        assert_eq!(bench.cells.requests.get(), 1 + 17 * 1100);
    });
}

/// Allocations of one look at a file whose answer is remembered, by the long way.
const LOOK: u64 = 100;

#[test]
fn a_request_for_a_small_file_allocates_nothing_but_one_look_a_second() {
    let folder = std::env::temp_dir().join(format!("anygate-costs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("ok"), [b'x'; 1000]).expect("a file");
    both(|io| {
        let bench = Bench::new(io, &format!("routes: {{\"/\": \"{}/\"}}\n", folder.display()));
        let mut client = bench.client();
        let length = answer_length(&bench);
        assert!(length > 1000);
        let pipeline = REQUEST.repeat(16);
        for _ in 0..100 {
            bench.exchange(&mut client, REQUEST, length);
            bench.exchange(&mut client, &pipeline, length * 16);
        }
        let (start, before) = (Instant::now(), CountingAllocator::allocations());
        for _ in 0..500 {
            bench.exchange(&mut client, REQUEST, length);
            bench.exchange(&mut client, &pipeline, length * 16);
        }
        let made = CountingAllocator::allocations() - before;
        let looks = start.elapsed().as_secs() + 2;
        assert!(made <= LOOK * looks, "{io:?}: {made} allocations in 8,500 requests and {looks} looks");
    });
    std::fs::remove_dir_all(&folder).expect("the folder");
}

/// Connections the idle test holds; each needs two descriptors of this process.
const IDLE: usize = 2_000;
/// What one may cost, in bytes.
const IDLE_BYTES: i64 = 400;

#[test]
fn a_resting_connection_costs_less_than_400_bytes() {
    both(|io| {
        let bench = Bench::new(io, "routes: {/ok: OK hello}\n");
        let mut first = bench.client();
        bench.exchange(&mut first, REQUEST, answer_length(&bench));
        let length = answer_length(&bench);
        let before = CountingAllocator::live_bytes();
        let mut clients = Vec::with_capacity(IDLE);
        for _ in 0..IDLE {
            let mut client = bench.client();
            bench.exchange(&mut client, REQUEST, length);
            clients.push(client);
        }
        let own = (clients.capacity() * size_of::<TcpStream>()) as i64;
        let each = (CountingAllocator::live_bytes() - before - own) / IDLE as i64;
        assert!(each <= IDLE_BYTES, "{io:?}: {each} bytes a connection");
    });
}

/// Bytes of the answer to [`REQUEST`].
fn answer_length(bench: &Bench) -> usize {
    let mut client = bench.client();
    client.write_all(REQUEST).expect("the socket takes a request");
    let mut answer = [0; 4096];
    loop {
        bench.turn();
        if let Ok(n) = client.read(&mut answer) {
            return n;
        }
    }
}
