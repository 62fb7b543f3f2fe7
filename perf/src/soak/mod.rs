//! Whether the server stays what it is, for as long as one likes: every kind of client, good and bad, at once, while the
//! configuration is read again and again and servers behind die.
//!
//! Every byte of every answer is checked. What must not happen is a failure: a wrong byte, a cut that looks whole, an error
//! while the server behind lives, a hang, an error in the log, a descriptor or a thread that stays, memory that grows.

mod behind;
mod conn;
mod crowd;
mod gate;
mod habits;
mod ledger;
mod pattern;
mod report;
mod rude;
mod run;
mod setting;
mod slow;
mod visit;

use std::path::PathBuf;
use std::time::Duration;

use anygate_shard::Io;

pub use behind::serve;
pub use crowd::{Crowded, Outcome, Round};
pub use gate::Sample;
pub use ledger::Entry;
pub use report::{Memory, Report};
pub use run::run;
pub use slow::Crowd;

/// What is done.
#[derive(Clone, Debug)]
pub struct Soak {
    /// AnyGate's binary.
    pub program: PathBuf,
    /// The driver.
    pub io: Io,
    /// The cores it runs on, as `--cores` takes them.
    pub cores: String,
    /// When it ends.
    pub until: Until,
    /// Between two reloads.
    pub reload_every: Duration,
    /// Between a server's return and its next death; none lives on.
    pub death_every: Option<Duration>,
    /// Clients that break the rules take part.
    pub rude: bool,
    /// So many times the usual clients.
    pub crowd: u32,
    /// The longest pause between two acts of a client.
    pub pause: Duration,
}

/// When a soak ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After so many reloads.
    Reloads(u64),
}
