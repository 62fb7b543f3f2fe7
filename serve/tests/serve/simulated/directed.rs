//! What seeds have found, each as the smallest scene that shows it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::metrics::ShardCells;
use anygate_serve::control::{Order, Report};
use anygate_serve::door::Door;
use anygate_serve::server::{Parts, Server};
use anygate_serve::tls::Front;
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::sim::{Personality, World};
use anygate_shard::{Io, Options, Park, Shard, Wake};

use super::{BOTH, Quiet};
use crate::harness::plan;

/// One shard of a server, which gets its turns by hand.
struct Wing {
    world: World,
    shard: Shard,
    server: Rc<Server>,
    door: Door,
    orders: Sender<Order>,
    mailbox: Receiver<Order>,
    _reports: Receiver<Report>,
}

impl Wing {
    fn new(personality: Personality, yaml: &str) -> Wing {
        let world = World::new(1, personality);
        let shard = Shard::simulated(&world, &Options::new(0, Io::Sim)).unwrap();
        let (orders, mailbox) = mailbox::channel(16);
        let (control, reports) = mailbox::channel(16);
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::new(ShardCells::new()),
            plan: Box::new(plan(yaml, 1)),
            id: "sim".into(),
            control,
            shards: 1,
            peers: None,
        });
        Wing { door: Door::new(Rc::clone(&server)), world, shard, server, orders, mailbox, _reports: reports }
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok());
    }

    fn turns(&self, count: usize) {
        for _ in 0..count {
            self.world.turn_all(&mut [&mut |park| self.shard.turn(&self.door, &self.mailbox, park)]);
        }
    }

    /// One turn without anything happening elsewhere.
    fn turn(&self) {
        self.shard.turn(&self.door, &self.mailbox, Park::Never);
    }
}

#[test]
fn a_listener_that_goes_is_closed_though_another_shard_takes_whom_it_waited_for() {
    for personality in BOTH {
        let wing = Wing::new(personality, "routes: { /: OK }");
        let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], 80)));
        let fd = wing.world.bind(&address).unwrap();
        let other = Shard::simulated(&wing.world, &Options::new(1, Io::Sim)).unwrap();
        let shared = other.listen(fd.try_clone().unwrap()).unwrap();
        wing.order(Order::Listen { fd, number: 0, front: Front::default() });
        wing.turns(5);
        let _client = wing.world.connect(&address).unwrap();
        // It has knocked, and the listener was not told yet.
        wing.order(Order::Unlisten { number: 0 });
        wing.turn();
        let mut taken = false;
        let idle = mailbox::channel::<()>(1).1;
        for _ in 0..20 {
            other.turn(&Quiet, &idle, Park::Never);
            taken |= other.poll_accept(shared, Wake::NONE).is_ready();
            wing.world.pass(Duration::from_micros(50));
        }
        assert!(taken, "{personality:?}");
        wing.world.pass(Duration::from_secs(2));
        wing.turns(20);
        assert_eq!(wing.shard.cells().sockets.get(), 0, "{personality:?}: {:?}", wing.server.clients());
        wing.shard.shutdown();
        other.shutdown();
    }
}

/// Whatever a body's bytes are in when their way ends, they are of that body: none of the next request's is taken for them.
#[test]
fn a_request_behind_a_body_that_was_half_moved_is_not_taken_for_its_rest() {
    for personality in BOTH {
        let wing = Wing::new(personality, "routes: { /ok: OK fine, /p/: 'http://10.0.9.1:9000' }");
        let [door, behind] = [([10, 0, 0, 1], 80), ([10, 0, 9, 1], 9000)].map(|at| Address::Ip(SocketAddr::from(at)));
        wing.order(Order::Listen { fd: wing.world.bind(&door).unwrap(), number: 0, front: Front::default() });
        let behind = wing.world.listen(&behind).unwrap();
        wing.turns(5);
        let mut client = wing.world.connect(&door).unwrap();
        let size = 600_000;
        let mut bytes = format!("POST /p/ HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + size, b'x');
        bytes.extend_from_slice(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut sent, mut server, mut taken, mut answer) = (0, None, 0, Vec::new());
        // All but what fills the way to the server and 50 kB that have no room there, and lie in a pipe.
        let (enough, mut stalls) = (size - (256 << 10) - 50_000, 0);
        let mut into = vec![0; 1 << 16];
        for _ in 0..2000 {
            sent += client.write(&bytes[sent..]).unwrap_or(0);
            server = server.or_else(|| behind.accept().ok());
            match &mut server {
                Some(peer) if taken < enough => taken += peer.read(&mut into[..4000]).unwrap_or(0),
                Some(_) if wing.shard.at_rest().piped_bytes > 0 => stalls += 1,
                _ => {}
            }
            if stalls == 1 {
                server.take().into_iter().for_each(anygate_shard::sim::Peer::reset);
            }
            if let Ok(count) = client.read(&mut into) {
                answer.extend_from_slice(&into[..count]);
            }
            wing.turns(1);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 502"), "{personality:?}: {answer}");
        assert!(!answer.contains("HTTP/1.1 400"), "{personality:?}: {answer}");
        assert!(answer.contains("onnection: close") || answer.ends_with("fine"), "{personality:?}: {answer}");
        wing.shard.shutdown();
    }
}
