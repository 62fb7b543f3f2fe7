//! One shard of the server on a simulated network: where do whole connections come to?

use std::rc::Rc;
use std::sync::Arc;

use anygate_core::config::{Env, load_text};
use anygate_core::metrics::ShardCells;
use anygate_serve::compile::{CompileEnv, compile};
use anygate_serve::control::{Order, Report};
use anygate_serve::door::Door;
use anygate_serve::plan::Plan;
use anygate_serve::server::{Parts, Server};
use anygate_serve::tls::Front;
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::sim::{Faults, Personality, World};
use anygate_shard::{Io, Options, Park, Progress, Shard};

/// A server with one listener.
pub(crate) struct House {
    pub(crate) world: World,
    shard: Shard,
    server: Rc<Server>,
    door: Door,
    orders: Sender<Order>,
    mailbox: Receiver<Order>,
    reports: Receiver<Report>,
}

/// What is served by this configuration.
pub(crate) fn plan(yaml: &str) -> Plan {
    let loaded = load_text("fuzz.yml", yaml, &Env::new(), &[]);
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    let compiled = compile(&config, &CompileEnv { shards: 1, descriptors: 64, serial: 1 });
    compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

impl House {
    /// A world without faults (0), with those that lose nothing (1), or with every fault, and who listens in it.
    pub(crate) fn open(
        personality: Personality,
        seed: u64,
        faults: u8,
        plan: Plan,
        at: &Address,
        front: Front,
    ) -> Self {
        let world = World::new(seed, personality);
        world.set_faults(match faults {
            0 => Faults::none(),
            1 => Faults::without_losses(seed),
            _ => Faults::all(seed),
        });
        let options = Options { max_sockets: 64, ..Options::new(0, Io::Sim) };
        let shard = Shard::simulated(&world, &options).expect("room for a shard");
        let (orders, mailbox) = mailbox::channel(8);
        let (control, reports) = mailbox::channel(64);
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::new(ShardCells::new()),
            plan: Box::new(plan),
            id: "gate".into(),
            control,
            shards: 1,
            peers: None,
        });
        let door = Door::new(Rc::clone(&server));
        let fd = world.bind(at).expect("nobody listens there");
        assert!(orders.send(Order::Listen { fd, number: 0, front }).is_ok());
        Self { world, shard, server, door, orders, mailbox, reports }
    }

    /// What the server does in one turn.
    pub(crate) fn turn(&self) {
        let mut turn = |park: Park| -> Progress { self.shard.turn(&self.door, &self.mailbox, park) };
        self.world.turn_all(&mut [&mut turn]);
        while self.reports.try_recv().is_some() {}
    }

    /// Has the server finish, in at most so many turns, while others go on: nothing may be left of it. `case` says what was
    /// tried.
    pub(crate) fn close(self, most_turns: u32, mut others: impl FnMut(), case: impl Fn() -> String) {
        assert!(self.orders.send(Order::Drain).is_ok());
        // A draining server has one task left, which looks whether it is done.
        let (cells, mut turns) = (self.shard.cells(), 0);
        while cells.sockets.get() > 0 || cells.tasks.get() > 1 {
            others();
            self.turn();
            turns += 1;
            let (sockets, tasks) = (cells.sockets.get(), cells.tasks.get());
            assert!(turns < most_turns, "{sockets} sockets, {tasks} tasks are left: {}", case());
        }
        assert_eq!((cells.buffers.get(), cells.panics.get()), (0, 0), "buffers and panics: {}", case());
        assert_eq!(self.server.cells.snapshot().connections_active(), 0, "{}", case());
        self.shard.shutdown();
    }
}
