//! How a server is asked: connections on the project's own runtime, paced by its answers or by the clock.

mod answers;
mod drive;
mod flood;
#[cfg(test)]
mod floored;
pub(crate) mod h2;
mod hold;
mod line;
#[cfg(test)]
mod loopback;
mod plan;
mod schedule;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod streams;
mod tally;
pub(crate) mod tls;
mod watch;

use std::thread;

pub use flood::{Flood, Flooded, flood};
pub use hold::{Held, hold};
pub use plan::{Group, Pace, Plan, Protocol, Reuse};
pub use tally::{Fault, Tally};
pub use tls::{Tls, Trust, Versions, system_roots};
pub use watch::{Phase, Watch};

/// An edge of the time that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It begins.
    Begin,
    /// It is over.
    End,
}

/// Runs a load on a thread of its own and says what came back. `edge` is called on that thread as the time that counts
/// begins and ends; what it takes lies outside of that time.
///
/// # Errors
/// The runtime cannot be made, or the plan asks for nothing.
pub fn run(plan: &Plan, edge: &mut (dyn FnMut(Edge) + Send)) -> Result<Tally, String> {
    watched(plan, &Watch::default(), edge)
}

/// As [`run`], for who wants to see how it goes and may end it early. A load that is stopped before it counts has no
/// [`elapsed`](Tally::elapsed) time.
///
/// # Errors
/// As [`run`].
pub fn watched(plan: &Plan, watch: &Watch, edge: &mut (dyn FnMut(Edge) + Send)) -> Result<Tally, String> {
    plan.check()?;
    on_own_thread(|| drive::run(plan, watch, edge))
}

/// A pinned thread must not be the one that starts servers: they would inherit its core.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err("the load's thread panicked".to_owned())))
}
