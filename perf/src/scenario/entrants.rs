//! Who takes part in a scenario: every subject that can do the work, started, and asked whether it does the same.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Ask, Method, Scenario, Task};
use crate::load::{Plan, Reuse};
use crate::server::{Answer, Folder, Launch, Server, all_same};
use crate::subject::{Duty, Subject, Work, io_word, route};

/// Ports a scenario uses at most.
pub(super) const PORTS: u16 = 64;

/// Everything that a scenario's runs have in common.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) subjects: &'a [&'a Subject],
    pub(super) files: &'a Path,
    pub(super) method: &'a Method,
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
    /// The server behind proxies.
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
                behind = Some(origin(address, self.method)?);
                Work::Proxy { origin: address }
            }
        };
        let mut all: Vec<Entrant> = Vec::new();
        let mut answers: Vec<(&str, Answer)> = Vec::new();
        for &routes in counts {
            let duty = Duty { close: ask.reuse == Reuse::PerRequest, work: work.clone(), routes, cores: Vec::new() };
            for subject in self.subjects.iter().filter(|subject| subject.can(&duty)) {
                let server = subject.start(place()?, self.method.server_core, &duty)?;
                let path = if routes == 0 { ask.path.to_owned() } else { route(routes - 1) };
                let answer = match ask.upload {
                    0 => server.ask(&path),
                    length => server.post(&path, length),
                };
                let answer = answer.map_err(|error| format!("{}: {error}\n{}", subject.name(), server.printed()))?;
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

    /// The load of one turn.
    pub(super) fn plan(&self, ask: &Ask, entrant: &Entrant, rate: Option<f64>, duration: Duration) -> Plan {
        Plan {
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

/// The server behind proxies: on the core of the load, where its processor time counts for nobody.
fn origin(listen: SocketAddr, method: &Method) -> Result<Server, String> {
    let (listening, core) = (listen.to_string(), method.load_core.to_string());
    let words = ["origin", "--io", io_word(method.load_io), "--listen", &listening, "--core", &core];
    let launch = Launch {
        program: std::env::current_exe().map_err(|error| format!("this program: {error}"))?,
        arguments: words.map(str::to_owned).to_vec(),
        ..Launch::default()
    };
    launch.start(listen, Folder::new("origin")?)
}
