//! Whether a load counts what a floor answers: over real sockets, on both drivers.

use std::time::Duration;

use anygate_shard::Io;

use super::loopback::TRIES;
use super::{Edge, Fault, Plan, Reuse, Tally, hold, run};
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

/// The first of some loads that was answered at all: on a machine that stands still none may be in so short a time.
fn seen(load: impl Fn() -> Tally) -> Tally {
    let mut loads = std::iter::repeat_with(load).take(TRIES);
    loads.find(|tally| tally.answers > 0).expect("a load is answered")
}

#[test]
fn every_request_is_answered_once_on_both_drivers() {
    for io in drivers() {
        let floor = Running::fixed(io, false);
        for depth in [1, 16] {
            let plan = Plan { depth, ..plan_for(&floor, io) };
            let tally = seen(|| {
                let mut edges = Vec::new();
                let tally = run(&plan, &mut |edge| edges.push(edge)).unwrap();
                assert_eq!(edges, [Edge::Begin, Edge::End]);
                tally
            });
            assert_eq!(tally.all_faults(), 0, "{io}, {depth}");
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
        let tally = seen(|| run(&plan, &mut |_| {}).unwrap());
        assert_eq!(tally.all_faults(), 0, "{io}");
        assert!(tally.connects.abs_diff(tally.answers) <= 8, "{io}: {} for {}", tally.connects, tally.answers);
    }
}

#[test]
fn a_server_that_is_not_there_is_counted() {
    // A port that is given to nobody who does not ask for it.
    let target = ([127, 0, 0, 1], 1).into();
    for io in drivers() {
        let plan = Plan { warm_up: Duration::ZERO, duration: Duration::from_millis(50), ..Plan::new(target, io) };
        let seen = (0..TRIES).any(|_| {
            let tally = run(&plan, &mut |_| {}).unwrap();
            assert_eq!((tally.answers, tally.all_faults()), (0, tally.faults(Fault::Connect)), "{io}");
            tally.all_faults() > 0
        });
        assert!(seen, "{io}");
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
