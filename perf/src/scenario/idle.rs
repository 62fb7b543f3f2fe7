//! What a connection at rest costs in memory of the server's own.

use std::net::SocketAddr;
use std::time::Duration;

use super::Method;
use crate::load::{self, Plan};
use crate::subject::{Duty, Subject};

/// Connections that rest already when memory is first looked at: what a server needs once is there then.
const FIRST: usize = 64;
/// How long connections rest before memory is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// Memory of all subjects at rest.
#[derive(Clone, Debug)]
pub struct Idle {
    /// How many connections rest in the end.
    pub connections: usize,
    /// By subject: its name, and its bytes with 64 connections and with all of them.
    pub subjects: Vec<(&'static str, u64, u64)>,
}

impl Idle {
    /// Bytes a connection.
    #[must_use]
    pub fn each(&self, subject: &str) -> Option<f64> {
        let &(_, first, all) = self.subjects.iter().find(|(name, ..)| *name == subject)?;
        Some((all as f64 - first as f64) / (self.connections - FIRST) as f64)
    }
}

pub(super) fn run(
    connections: usize,
    subjects: &[Subject],
    method: &Method,
    progress: &mut dyn FnMut(&str),
) -> Result<Idle, String> {
    if connections <= FIRST {
        return Err(format!("more than {FIRST} connections are needed to see what one costs"));
    }
    let mut idle = Idle { connections, subjects: Vec::new() };
    for (subject, port) in subjects.iter().zip(method.port..) {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let server = subject.start(listen, method.server_core, &Duty::default())?;
        let account = server.account()?;
        let plan = Plan { core: Some(method.load_core), ..Plan::new(listen, method.load_io) };
        let mut seen = Vec::new();
        load::hold(&plan, &[FIRST, connections], SETTLE, &mut |_| seen.push(account.memory()))
            .map_err(|error| format!("{}: {error}\n{}", subject.name(), server.printed()))?;
        let seen: Vec<u64> =
            seen.into_iter().collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", subject.name()))?;
        idle.subjects.push((subject.name(), seen[0], seen[1]));
        progress(&format!("{}: {:.0} B a connection", subject.name(), idle.each(subject.name()).unwrap_or(0.0)));
    }
    Ok(idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_needs_once_is_not_counted_for_a_connection() {
        let idle = Idle { connections: FIRST + 1000, subjects: vec![("a", 1_000_000, 1_250_000)] };
        assert_eq!(idle.each("a"), Some(250.0));
        assert_eq!(idle.each("b"), None);
    }
}
