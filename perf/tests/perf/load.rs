//! The load and the floors over real sockets, on both drivers.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anygate_perf::floor::{self, Floor, Stop};
use anygate_perf::load::{self, Edge, Fault, Plan, Reuse};
use anygate_shard::mailbox::{self, Sender};
use anygate_shard::{Io, probe_uring};

/// A floor on a thread of its own, stopped when dropped.
struct Running {
    address: SocketAddr,
    stop: Sender<Stop>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Running {
    fn start(io: Io, close: bool) -> Self {
        let (stop, mailbox) = mailbox::channel(1);
        let (listening, address) = mpsc::channel();
        let thread = thread::spawn(move || {
            let floor = Floor { listen: "127.0.0.1:0".parse().unwrap(), io, core: None, close };
            floor.serve(&mailbox, |address| listening.send(address).unwrap())
        });
        Self { address: address.recv().expect("the floor listens"), stop, thread: Some(thread) }
    }

    fn plan(&self, io: Io) -> Plan {
        Plan {
            connections: 8,
            warm_up: Duration::from_millis(50),
            duration: Duration::from_millis(200),
            ..Plan::new(self.address, io)
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(Stop);
        if let Some(thread) = self.thread.take() {
            assert_eq!(thread.join().expect("the floor does not panic"), Ok(()));
        }
    }
}

fn drivers() -> Vec<Io> {
    let mut drivers = vec![Io::Epoll];
    match probe_uring() {
        Ok(()) => drivers.push(Io::Uring),
        Err(why) => println!("io_uring is left out: {why}"),
    }
    drivers
}

#[test]
fn every_request_is_answered_once_on_both_drivers() {
    for io in drivers() {
        let floor = Running::start(io, false);
        for depth in [1, 16] {
            let mut edges = Vec::new();
            let plan = Plan { depth, ..floor.plan(io) };
            let tally = load::run(&plan, &mut |edge| edges.push(edge)).unwrap();
            assert_eq!(edges, [Edge::Begin, Edge::End]);
            assert_eq!(tally.all_faults(), 0, "{io}, {depth}");
            assert!(tally.answers >= 100, "{io}, {depth}: {} answers", tally.answers);
            assert_eq!(tally.latency.len(), tally.answers);
            assert_eq!(tally.bytes_in, tally.answers * floor::answer(false).len() as u64, "{io}, {depth}");
            assert!(tally.elapsed >= plan.duration);
        }
    }
}

#[test]
fn a_connection_per_request_is_made_for_each_answer() {
    for io in drivers() {
        let floor = Running::start(io, true);
        let plan = Plan { reuse: Reuse::PerRequest, ..floor.plan(io) };
        let tally = load::run(&plan, &mut |_| {}).unwrap();
        assert_eq!(tally.all_faults(), 0, "{io}");
        assert!(tally.answers >= 50, "{io}: {} answers", tally.answers);
        assert!(tally.connects.abs_diff(tally.answers) <= 8, "{io}: {} for {}", tally.connects, tally.answers);
    }
}

#[test]
fn a_server_that_is_not_there_is_counted() {
    // A port that was free a moment ago.
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for io in drivers() {
        let plan = Plan { warm_up: Duration::ZERO, duration: Duration::from_millis(50), ..Plan::new(target, io) };
        let tally = load::run(&plan, &mut |_| {}).unwrap();
        assert_eq!(tally.answers, 0);
        assert!(tally.faults(Fault::Connect) > 0, "{io}");
    }
}

#[test]
fn connections_are_held_in_steps() {
    for io in drivers() {
        let floor = Running::start(io, false);
        let mut steps = Vec::new();
        load::hold(&floor.plan(io), &[10, 200], Duration::from_millis(10), &mut |count| steps.push(count)).unwrap();
        assert_eq!(steps, [10, 200]);
        let broken = Running::start(io, true);
        assert!(load::hold(&broken.plan(io), &[10], Duration::from_millis(50), &mut |_| {}).is_err(), "{io}");
    }
}
