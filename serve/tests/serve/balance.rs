//! Do shards even out what they have to do? Several on threads of their own; everybody knocks at the first one's door.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anygate_core::metrics::{ShardCells, Snapshot};
use anygate_serve::control::{Order, Report};
use anygate_serve::door::Door;
use anygate_serve::peers::Peers;
use anygate_serve::server::{Parts, Server};
use anygate_serve::tls::Front;
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::{self, Address, Bind};
use anygate_shard::{Io, Options, Shard};

use crate::backend::Backend;
use crate::harness::{both, plan_for};

const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    address: SocketAddr,
    cells: Vec<Arc<ShardCells>>,
    orders: Vec<Sender<Order>>,
    _reports: Receiver<Report>,
    threads: Vec<JoinHandle<()>>,
}

impl House {
    fn start(io: Io, shards: usize, yaml: &str) -> House {
        let listener = net::bind(&Address::Ip(([127, 0, 0, 1], 0).into()), &Bind::default()).expect("a port is free");
        let address = TcpListener::from(listener.try_clone().expect("a descriptor")).local_addr().expect("it is bound");
        let (orders, mailboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| mailbox::channel(64)).unzip();
        let (control, reports) = mailbox::channel(1024);
        let peers = Peers::with_period(orders.clone(), Duration::from_millis(20));
        let cells: Vec<_> = (0..shards).map(|_| Arc::new(ShardCells::new())).collect();
        let threads = mailboxes.into_iter().enumerate().map(|(index, mailbox)| {
            let (cells, peers, control) = (Arc::clone(&cells[index]), Arc::clone(&peers), control.clone());
            let plan = Box::new(plan_for(shards, yaml, 1));
            thread::spawn(move || {
                let shard = Shard::new(&Options::new(index as u16, io)).expect("a driver");
                let peers = peers.around(index);
                let parts = Parts { shard: shard.clone(), cells, plan, id: "test".into(), control, shards, peers };
                shard.run(&Door::new(Server::new(parts)), &mailbox);
            })
        });
        let threads = threads.collect();
        assert!(
            orders[0].send(Order::Listen { fd: listener, number: 0, front: Front::default() }).is_ok(),
            "the mailbox has room"
        );
        House { address, cells, orders, _reports: reports, threads }
    }

    fn seen(&self) -> Vec<Snapshot> {
        self.cells.iter().map(|cells| cells.snapshot()).collect()
    }

    fn end(self) {
        for orders in &self.orders {
            assert!(orders.send(Order::Stop).is_ok(), "the mailbox has room");
        }
        self.threads.into_iter().for_each(|thread| thread.join().expect("a shard ends"));
    }
}

/// Some bytes; what a signal interrupts goes on.
fn read(stream: &mut TcpStream, part: &mut [u8]) -> usize {
    loop {
        match stream.read(part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.expect("an answer"),
        }
    }
}

/// Clients that ask for `path` on one connection each, as fast as they are answered, until `done`; every answer must be `body`.
fn hurry(house: &House, clients: usize, request: &str, body: &str, done: impl Fn() -> bool) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(house.address).expect("the listener is there");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
                stream.set_nodelay(true).expect("a socket option");
                let mut bytes = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    stream.write_all(request.as_bytes()).expect("writes");
                    bytes.clear();
                    while !bytes.ends_with(body.as_bytes()) {
                        let mut part = [0; 4096];
                        let count = read(&mut stream, &mut part);
                        assert!(count > 0, "closed amid its requests");
                        bytes.extend_from_slice(&part[..count]);
                    }
                    let text = String::from_utf8_lossy(&bytes);
                    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
                    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
                }
            });
        }
        let start = Instant::now();
        while !done() && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
    });
}

fn evens_out(io: Io, yaml: &str, request: &str, body: &str) {
    let house = House::start(io, 2, yaml);
    // So few that no acceptor hands one over.
    hurry(&house, 4, request, body, || {
        let seen = house.seen();
        seen[0].connections_active() == 2 && seen[1].connections_active() == 2
    });
    let seen = house.seen();
    let moved: u64 = seen.iter().map(|seen| seen.connections_rebalanced).sum();
    assert_eq!(seen[0].connections_accepted, 4, "{io}");
    assert!((2..=6).contains(&moved), "{io}: {moved} moves");
    assert!(seen.iter().all(|seen| seen.requests > 0 && seen.requests == seen.responses_2xx), "{io}: {seen:?}");
    house.end();
}

#[test]
fn four_busy_clients_of_one_shard_become_two_of_each() {
    both(|io| evens_out(io, "routes:\n  /ok: OK fine\n", "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\nfine"));
}

#[test]
fn clients_of_a_server_behind_move_between_two_of_their_requests() {
    both(|io| {
        let backend = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback");
        evens_out(io, &backend.config(), "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\nback");
    });
}

#[test]
fn one_busy_client_stays_where_it_is() {
    both(|io| {
        let house = House::start(io, 2, "routes:\n  /ok: OK fine\n");
        let start = Instant::now();
        hurry(&house, 1, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", "fine", || start.elapsed() > Duration::from_secs(1));
        assert_eq!(house.seen()[0].connections_rebalanced, 0, "{io}");
        house.end();
    });
}

/// One request and its answer, whole.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"fine") {
        let mut part = [0; 4096];
        let count = read(stream, &mut part);
        assert!(count > 0, "closed amid its requests: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&bytes).to_ascii_lowercase()
}

#[test]
fn an_address_gets_no_more_connections_by_having_them_moved() {
    both(|io| {
        // Two of an address on each shard.
        let house = House::start(io, 2, "server: {max_connections_per_ip: 4}\nroutes:\n  /ok: OK fine\n");
        let come = || {
            let stream = TcpStream::connect(house.address).expect("the listener is there");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
            stream.set_nodelay(true).expect("a socket option");
            stream
        };
        let (mut first, mut second, mut moved) = (come(), come(), Vec::new());
        let ended = (1..=4).any(|round| {
            let start = Instant::now();
            let mut last = false;
            while house.seen()[1].connections_resumed < round {
                assert!(start.elapsed() < PATIENCE, "{io}: nobody moves in round {round}");
                last |= ask(&mut first).contains("connection: close") || ask(&mut second).contains("connection: close");
                if last {
                    return true;
                }
            }
            let before = house.seen()[1].requests;
            let close = ask(&mut first).contains("connection: close");
            if house.seen()[1].requests == before {
                std::mem::swap(&mut first, &mut second);
                last = ask(&mut first).contains("connection: close");
            }
            // The first is the other shard's now. Another takes its place.
            moved.push(std::mem::replace(&mut first, come()));
            close || last
        });
        let open: u64 = house.seen().iter().map(Snapshot::connections_active).sum();
        assert!(ended, "{io}: {open} connections of one address, and none was told to end");
        drop((first, second, moved));
        house.end();
    });
}
