//! Whether a load counts what a floor answers: over real sockets, on both drivers.

use std::time::Duration;

use anygate_shard::Io;

use super::{Edge, Fault, Plan, Reuse, hold, run};
use crate::floor;
use crate::floor::testing::{Running, drivers};

/// A short load of a floor.
fn plan_for(floor: &Running, io: Io) -> Plan {
    Plan {
        connections: 8,
        warm_up: Duration::from_millis(50),
        duration: Duration::from_millis(200),
        ..Plan::new(floor.address, io)
    }
}

#[test]
fn every_request_is_answered_once_on_both_drivers() {
    for io in drivers() {
        let floor = Running::fixed(io, false);
        for depth in [1, 16] {
            let mut edges = Vec::new();
            let plan = Plan { depth, ..plan_for(&floor, io) };
            let tally = run(&plan, &mut |edge| edges.push(edge)).unwrap();
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
        let floor = Running::fixed(io, true);
        let plan = Plan { reuse: Reuse::PerRequest, ..plan_for(&floor, io) };
        let tally = run(&plan, &mut |_| {}).unwrap();
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
        let tally = run(&plan, &mut |_| {}).unwrap();
        assert_eq!(tally.answers, 0);
        assert!(tally.faults(Fault::Connect) > 0, "{io}");
    }
}

#[test]
fn connections_are_held_in_steps() {
    for io in drivers() {
        let floor = Running::fixed(io, false);
        let mut steps = Vec::new();
        hold(&plan_for(&floor, io), &[10, 200], Duration::from_millis(10), &mut |count| steps.push(count)).unwrap();
        assert_eq!(steps, [10, 200]);
        let broken = Running::fixed(io, true);
        assert!(hold(&plan_for(&broken, io), &[10], Duration::from_millis(50), &mut |_| {}).is_err(), "{io}");
    }
}
