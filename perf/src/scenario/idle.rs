//! What a connection at rest costs in memory of the server's own.

use std::time::Duration;

use super::entrants::Stage;
use super::outcome::{Idle, Outcome, Resting};
use super::{Ask, Secure, Task};
use crate::load::{self, Plan, Protocol, Reuse};

/// Connections that rest already when memory is first looked at: what a server needs once is there then.
const FIRST: usize = 64;
/// How long connections rest before memory is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// What each is asked before it rests.
const fn asked(secure: Secure, protocol: Protocol) -> Ask {
    Ask {
        task: Task::Fixed,
        path: "/",
        connections: 64,
        depth: 1,
        reuse: Reuse::KeepAlive,
        upload: 0,
        secure,
        protocol,
    }
}

pub(super) fn run(
    stage: &Stage<'_>,
    connections: usize,
    secure: Secure,
    protocol: Protocol,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<Outcome>, String> {
    let connections = stage.method.connections(u32::try_from(connections).unwrap_or(u32::MAX)) as usize;
    if connections <= FIRST {
        return Err(format!("more than {FIRST} connections are needed to see what one costs"));
    }
    let entrants = stage.start(&asked(secure, protocol), &[0])?;
    let mut idle = Idle { first: FIRST, connections, subjects: Vec::new() };
    for entrant in &entrants.all {
        let fault = |error: String| format!("{}: {error}\n{}", entrant.name, entrant.server.printed());
        let account = entrant.server.account().map_err(fault)?;
        let core = Some(stage.method.load_core);
        let target = Plan::new(entrant.server.address, stage.method.load_io);
        let plan = Plan { core, protocol, tls: secure.tls(), ..target };
        let mut seen = Vec::new();
        load::hold(&plan, &[FIRST, connections], SETTLE, &mut |_| seen.push(account.memory())).map_err(fault)?;
        let seen: Vec<u64> = seen.into_iter().collect::<Result<_, _>>().map_err(|error| fault(error.to_string()))?;
        idle.subjects.push(Resting { name: entrant.name.clone(), first: seen[0], all: seen[1] });
        progress(&format!("{}: {:.0} B a connection", entrant.name, idle.each(&entrant.name).unwrap_or(0.0)));
    }
    Ok(Some(Outcome::Idle(idle)))
}
