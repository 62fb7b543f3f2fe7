//! How a server is asked: connections on the project's own runtime, paced by its answers.

mod answers;
mod drive;
mod hold;
mod tally;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anygate_shard::Io;

pub use hold::{Held, hold};
pub use tally::{Fault, Tally};

/// How often a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Until the server closes it.
    KeepAlive,
    /// For one request, which says `Connection: close`.
    PerRequest,
}

/// A load: closed loop, so that the next batch leaves when the one before is answered.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is asked.
    pub target: SocketAddr,
    /// The path that is asked for.
    pub path: String,
    /// Connections open at a time, at least 1.
    pub connections: u32,
    /// Requests in a batch: they leave in one write, and the next batch when all of them are answered. At least 1; 1 with
    /// [`Reuse::PerRequest`].
    pub depth: u32,
    /// How often a connection is used.
    pub reuse: Reuse,
    /// How long the load runs before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub duration: Duration,
    /// The driver the load runs on.
    pub io: Io,
    /// The core it is pinned to.
    pub core: Option<usize>,
}

impl Plan {
    /// A keep-alive load of one request at a time on 64 connections, for 1 s after 0.3 s.
    #[must_use]
    pub fn new(target: SocketAddr, io: Io) -> Self {
        Self {
            target,
            path: "/".to_owned(),
            connections: 64,
            depth: 1,
            reuse: Reuse::KeepAlive,
            warm_up: Duration::from_millis(300),
            duration: Duration::from_secs(1),
            io,
            core: None,
        }
    }

    /// The bytes of one request.
    fn request(&self) -> Vec<u8> {
        let close = if self.reuse == Reuse::PerRequest { "Connection: close\r\n" } else { "" };
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", self.path, self.target).into_bytes()
    }
}

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
    if plan.connections == 0 || plan.depth == 0 || (plan.reuse == Reuse::PerRequest && plan.depth > 1) {
        return Err(
            "a load has at least one connection and one request, and one connection per request no pipeline".into()
        );
    }
    on_own_thread(|| drive::run(plan, edge))
}

/// A pinned thread must not be the one that starts servers: they would inherit its core.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err("the load's thread panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_asks_for_nothing_is_refused() {
        let target = "127.0.0.1:9".parse().unwrap();
        let plan = Plan { connections: 0, ..Plan::new(target, Io::Epoll) };
        assert!(run(&plan, &mut |_| {}).is_err());
        let plan = Plan { depth: 2, reuse: Reuse::PerRequest, ..Plan::new(target, Io::Epoll) };
        assert!(run(&plan, &mut |_| {}).is_err());
    }

    #[test]
    fn a_request_names_its_host_and_says_when_it_is_the_only_one() {
        let mut plan = Plan::new("127.0.0.1:8080".parse().unwrap(), Io::Epoll);
        assert_eq!(plan.request(), b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
        plan.reuse = Reuse::PerRequest;
        assert!(plan.request().ends_with(b"\r\nConnection: close\r\n\r\n"));
    }
}
