//! Who takes part in a scenario: every subject that can do the work, started, and asked whether it does the same.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Ask, Method, Scenario, Secure, Task};
use crate::load::{Plan, Reuse};
use crate::server::{Answer, Server, all_same};
use crate::subject::{Duty, Subject, Work, origin, route};

/// Ports a scenario uses at most.
pub(super) const PORTS: u16 = 64;

/// Everything that a scenario's runs have in common.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) subjects: &'a [&'a Subject],
    pub(super) files: &'a Path,
    pub(super) method: &'a Method,
    /// A line for each who was to take part and could not.
    pub(super) left_out: &'a RefCell<Vec<String>>,
}

/// A server that runs, and what it is asked for.
pub(super) struct Entrant {
    pub(super) name: String,
    pub(super) server: Server,
    pub(super) path: String,
    /// The head of its answer.
    pub(super) answer: String,
    /// Bytes of the answer's body.
    pub(super) length: u64,
}

/// All servers of a scenario. They run until this is dropped.
pub(super) struct Entrants {
    pub(super) all: Vec<Entrant>,
    /// The server behind proxies: on the core of the load, where its processor time counts for nobody.
    _origin: Option<Server>,
}

impl Stage<'_> {
    /// Starts everybody who can do this, with each of these numbers of routes; 0 is one route for everything.
    pub(super) fn start(&self, ask: &Ask, counts: &[usize]) -> Result<Entrants, String> {
        let mut ports = (self.method.port..=u16::MAX).take(usize::from(PORTS));
        let mut place = || ports.next().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).ok_or("no port is left");
        let mut behind = None;
        let work = match ask.task {
            Task::Fixed => Work::Fixed,
            Task::Files => Work::Files { root: self.files.to_owned() },
            Task::Proxy => {
                let address = place()?;
                behind = Some(origin(address, self.method.load_io, self.method.load_core)?);
                Work::Proxy { origin: address }
            }
        };
        let mut all: Vec<Entrant> = Vec::new();
        let mut answers: Vec<(&str, Answer)> = Vec::new();
        for &routes in counts {
            let (close, tls) = (ask.reuse == Reuse::PerRequest, ask.secure != Secure::Plain);
            let duty = Duty { close, work: work.clone(), routes, tls, protocol: ask.protocol, cores: Vec::new() };
            for subject in self.subjects.iter().filter(|subject| subject.can(&duty)) {
                let Some(server) = self.start_one(subject, place()?, &duty)? else { continue };
                let path = if routes == 0 { ask.path.to_owned() } else { route(routes - 1) };
                let answer = match ask.upload {
                    0 => server.ask(&path),
                    length => server.post(&path, length),
                };
                let answer = match (answer, subject) {
                    (Ok(answer), _) => answer,
                    (Err(error), Subject::Peer(_)) => {
                        self.leave_out(subject.name(), &error);
                        continue;
                    }
                    (Err(error), _) => return Err(format!("{}: {error}\n{}", subject.name(), server.printed())),
                };
                let name = match routes {
                    0 => subject.name().to_owned(),
                    count => format!("{}, {count} routes", subject.name()),
                };
                all.push(Entrant { name, server, path, length: answer.length, answer: answer.head.clone() });
                answers.push((subject.name(), answer));
            }
        }
        all_same(&answers)?;
        Ok(Entrants { all, _origin: behind })
    }

    /// One server. A server of others that does not start here is left out; everybody else must.
    pub(super) fn start_one(
        &self,
        subject: &Subject,
        listen: SocketAddr,
        duty: &Duty,
    ) -> Result<Option<Server>, String> {
        match (subject.start(listen, self.method.server_core, duty), subject) {
            (Ok(server), _) => Ok(Some(server)),
            (Err(error), Subject::Peer(_)) => {
                self.leave_out(subject.name(), &error);
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Notes who cannot take part, with the last thing that was said about it.
    fn leave_out(&self, name: &str, error: &str) {
        let last = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        self.left_out.borrow_mut().push(format!("{name} is left out of {}: {last}", self.scenario.name));
    }

    /// The load of one turn.
    pub(super) fn plan(&self, ask: &Ask, entrant: &Entrant, rate: Option<f64>, duration: Duration) -> Plan {
        Plan {
            protocol: ask.protocol,
            tls: ask.secure.tls(),
            path: entrant.path.clone(),
            connections: self.method.connections(ask.connections),
            depth: ask.depth,
            reuse: ask.reuse,
            upload: ask.upload,
            rate,
            warm_up: self.method.warm_up,
            duration,
            core: Some(self.method.load_core),
            ..Plan::new(entrant.server.address, self.method.load_io)
        }
    }
}
