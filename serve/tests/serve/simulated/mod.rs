//! Does the whole server hold on a cruel network? Control, shards, clients and servers behind, simulated, seeded.
//!
//! `ANYGATE_SIM_SEED=n` replays one seed, `ANYGATE_SIM_FROM=n` and `ANYGATE_SIM_SEEDS=n` choose which and how many;
//! `cargo xtask sim` does so for many.

mod behind;
mod breach;
mod client;
mod directed;
mod frames;
mod house;
mod ledger;
mod line;
mod moving;
mod offence;
mod reloading;
mod replies;
mod scene;
mod streams;
mod wire;

use std::collections::BTreeSet;

use anygate_core::config::{LogFormat, LogLevel};
use anygate_serve::control::{Desk, First, Opening, ShardHandle, Startup};
use anygate_serve::observe::log::{Kept, Log};
use anygate_shard::sim::Personality;
use anygate_shard::{Service, Shard};

use self::house::{House, Seen};
use self::ledger::Outcome;
use self::scene::{Ask, Scene, What};

/// Every script runs as both.
pub(crate) const BOTH: [Personality; 2] = [Personality::Readiness, Personality::Completion];
/// Seeds of an ordinary test run.
const SEEDS: u64 = 12;

/// The service of a shard without rows: of clients, or of servers behind.
pub(crate) struct Quiet;

impl Service for Quiet {
    type Message = ();
    fn ready(&self, _row: u32) {}
    fn expired(&self, _row: u32) {}
    fn message(&self, (): ()) {}
}

/// Opens the house on a simulated control shard, and keeps what its log says.
pub(crate) fn open(control: &Shard, startup: Startup, first: First, shards: Vec<ShardHandle>) -> (Desk, Kept) {
    let (log, said) = Log::kept(LogLevel::Info, LogFormat::Text);
    let doors = first.listen(control).expect("the address is free");
    let shard = control.clone();
    (Desk::open(Opening { shard, signals: None, startup, first, doors, fallback: None, shards, log }), said)
}

fn seeds() -> impl Iterator<Item = u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let (from, count) = match number("ANYGATE_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("ANYGATE_SIM_FROM").unwrap_or(1), number("ANYGATE_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    from..from + count
}

/// One run, and what is wrong with it.
fn run(seed: u64, lossy: bool, personality: Personality) -> Result<Seen, String> {
    let scene = Scene::new(seed, lossy);
    let show = std::env::var_os("ANYGATE_SIM_SHOW").is_some();
    if show {
        eprintln!("{scene:#?}");
    }
    let which = format!("seed {seed}, {} losses, {personality:?}", if lossy { "with" } else { "without" });
    let caught = std::panic::catch_unwind(|| House::new(scene, personality).run());
    let seen = caught.map_err(|_| format!("{which}: the run itself panicked"))?;
    if show {
        eprintln!("{:#?} after {} rounds\n{}", seen.outcomes, seen.rounds, seen.log.join(""));
    }
    if seen.faults.is_empty() { Ok(seen) } else { Err(format!("{which}:\n  {}", seen.faults.join("\n  "))) }
}

/// Runs every seed, and then says which failed and how to see it again.
fn each_seed(test: &str, run: impl Fn(u64, &mut Count) -> Result<(), String>) {
    let mut count = Count::default();
    let mut failed = Vec::new();
    for seed in seeds() {
        if let Err(why) = run(seed, &mut count) {
            eprintln!("{why}");
            failed.push(seed);
        }
    }
    eprintln!("{test}: {count:?}");
    assert!(
        failed.is_empty(),
        "{} seeds failed: {failed:?}; again: ANYGATE_SIM_SEED={} cargo test -p anygate-serve --test serve simulated::{test}",
        failed.len(),
        failed[0]
    );
}

#[test]
fn without_losses_every_request_gets_its_one_right_answer_from_either_personality() {
    let test = "without_losses_every_request_gets_its_one_right_answer_from_either_personality";
    each_seed(test, |seed, count| {
        let [one, other] = [run(seed, false, BOTH[0])?, run(seed, false, BOTH[1])?];
        count.add(&one);
        count.add(&other);
        // When the house ends in the middle, it is time that decides who is served before that.
        let ends = Scene::new(seed, false).may().drains;
        let differ = |(number, outcome): &(&u32, &Outcome)| !ends && other.outcomes.get(number) != Some(outcome);
        match one.outcomes.iter().find(differ) {
            None => Ok(()),
            Some((number, outcome)) => {
                Err(format!("seed {seed}: request {number} is {outcome:?} or {:?}", other.outcomes.get(number)))
            }
        }
    });
}

#[test]
fn with_losses_an_answer_is_right_or_an_error_and_nothing_is_left() {
    each_seed("with_losses_an_answer_is_right_or_an_error_and_nothing_is_left", |seed, count| {
        for personality in BOTH {
            count.add(&run(seed, true, personality)?);
        }
        Ok(())
    });
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    // Seeds in whose runs a WebSocket comes by HTTP/2 over TLS, and in the clear.
    let tunnels = |seed: u64, secure| {
        let is_one = |ask: &Ask| ask.multi && ask.secure == secure && matches!(ask.what, What::Tunnel { .. });
        Scene::new(seed, true).clients.iter().flat_map(|client| &client.asks).any(is_one)
    };
    let all = [true, false].into_iter().flat_map(|secure| seeds().find(|seed| tunnels(*seed, secure)));
    let chosen: BTreeSet<u64> = all.chain(seeds().take(2)).collect();
    for seed in chosen {
        for personality in BOTH {
            let prints = || run(seed, true, personality).map(|seen| (seen.trace, seen.heard));
            assert_eq!(prints(), prints(), "seed {seed}, {personality:?}");
        }
    }
}

/// What requests came to, in all.
#[derive(Debug, Default)]
struct Count {
    right: usize,
    refused: usize,
    lost: usize,
    unanswered: usize,
    left: usize,
    moved: u64,
    rounds: u64,
}

impl Count {
    fn add(&mut self, seen: &Seen) {
        for outcome in seen.outcomes.values() {
            *match outcome {
                Outcome::Right(_) => &mut self.right,
                Outcome::Status(_) => &mut self.refused,
                Outcome::Lost(_) | Outcome::Stray | Outcome::Wrong(_) => &mut self.lost,
                Outcome::Unanswered => &mut self.unanswered,
                Outcome::Left => &mut self.left,
            } += 1;
        }
        self.moved += seen.counts.connections_rebalanced + seen.counts.connections_handed_over;
        self.rounds += u64::from(seen.rounds);
    }
}
