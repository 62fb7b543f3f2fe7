//! Who is measured: a floor, AnyGate, or a peer, each started for the same work.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anygate_shard::Io;

use crate::identity;
use crate::load::Protocol;
use crate::peers::{self, Kind, Peer};
use crate::server::{Folder, Launch, Server, list};

/// Idle connections to a server behind that a proxy keeps: more than any load has connections.
pub(crate) const KEPT: usize = 16_384;

/// Who is measured.
#[derive(Clone, Debug)]
pub enum Subject {
    /// This program's own floor: answers without reading.
    Floor(Io),
    /// This program's own relay: copies bytes to and from a server behind without reading them.
    Relay(Io),
    /// AnyGate.
    AnyGate {
        /// The driver.
        io: Io,
        /// Its binary.
        program: PathBuf,
    },
    /// A server of others.
    Peer(Peer),
}

/// What a subject does for each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// Answers 200 without a body.
    #[default]
    Fixed,
    /// Sends files.
    Files {
        /// The folder: `/1k` is its file `1k`.
        root: PathBuf,
    },
    /// Passes requests on.
    Proxy {
        /// To whom.
        origin: SocketAddr,
    },
}

/// What a subject must do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duty {
    /// Connections are asked to be closed after one request. A floor, which does not read that, closes them all.
    pub close: bool,
    /// The work.
    pub work: Work,
    /// Rules to choose from, each for one [`route`]; 0: one rule for everything. Only with [`Work::Fixed`].
    pub routes: usize,
    /// TLS is spoken, with the certificate of [`identity`].
    pub tls: bool,
    /// What is spoken.
    pub protocol: Protocol,
    /// Several cores to run on, one thread each; empty: the one that [`Subject::start`] is told.
    pub cores: Vec<usize>,
}

/// The path of a rule, for a [`Duty`] with many: of two segments, many rules share a first one.
#[must_use]
pub fn route(at: usize) -> String {
    format!("/tenant-{:03}/resource-{:03}", at % 316, at / 316)
}

/// Programs that are not where they would be looked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Programs {
    /// AnyGate's binary; without it, only the others are measured
    #[arg(long, value_name = "FILE")]
    pub anygate: Option<PathBuf>,
    /// nginx's binary, instead of the installed one
    #[arg(long, value_name = "FILE")]
    pub nginx: Option<PathBuf>,
    /// HAProxy's binary, instead of the installed one
    #[arg(long, value_name = "FILE")]
    pub haproxy: Option<PathBuf>,
    /// h2o's binary, instead of the installed one
    #[arg(long, value_name = "FILE")]
    pub h2o: Option<PathBuf>,
    /// Caddy's binary, instead of the installed one
    #[arg(long, value_name = "FILE")]
    pub caddy: Option<PathBuf>,
}

/// Who can be measured here.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of reports: floors, relays, AnyGate, peers; epoll before io_uring.
    pub subjects: Vec<Subject>,
    /// Names and versions of what is not built with this program.
    pub versions: Vec<(String, String)>,
    /// A line for each who cannot be measured, and why.
    pub left_out: Vec<String>,
}

impl Found {
    /// Looks for everybody, on these drivers.
    #[must_use]
    pub fn here(programs: &Programs, drivers: &[Io]) -> Self {
        let mut found = Self::default();
        found.subjects.extend(drivers.iter().map(|&io| Subject::Floor(io)));
        found.subjects.extend(drivers.iter().map(|&io| Subject::Relay(io)));
        if let Some(program) = &programs.anygate {
            found.versions.push(("anygate".to_owned(), crate::machine::version(program)));
            found.subjects.extend(drivers.iter().map(|&io| Subject::AnyGate { io, program: program.clone() }));
        }
        for kind in Kind::ALL {
            let named = match kind {
                Kind::Nginx => &programs.nginx,
                Kind::Haproxy => &programs.haproxy,
                Kind::H2o => &programs.h2o,
                Kind::Caddy => &programs.caddy,
            };
            match Peer::find(kind, named.as_deref()) {
                Ok(peer) => {
                    found.versions.push((kind.name().to_owned(), peer.version.clone()));
                    found.subjects.push(Subject::Peer(peer));
                }
                Err(why) => found.left_out.push(format!("{} is not measured: {why}", kind.name())),
            }
        }
        found
    }
}

impl Subject {
    /// The name in reports and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Floor(Io::Uring) => "floor-uring",
            Self::Floor(_) => "floor-epoll",
            Self::Relay(Io::Uring) => "relay-uring",
            Self::Relay(_) => "relay-epoll",
            Self::AnyGate { io: Io::Uring, .. } => "anygate-uring",
            Self::AnyGate { .. } => "anygate-epoll",
            Self::Peer(peer) => peer.kind.name(),
        }
    }

    /// Whether it can do this at all.
    #[must_use]
    pub fn can(&self, duty: &Duty) -> bool {
        if duty.routes > 0 && duty.work != Work::Fixed {
            return false;
        }
        match (self, &duty.work) {
            (Self::Floor(_) | Self::Relay(_), _) if duty.tls || duty.protocol == Protocol::Http2 => false,
            (Self::Floor(_), work) => *work == Work::Fixed && duty.cores.len() <= 1,
            (Self::Relay(_), work) => matches!(work, Work::Proxy { .. }) && duty.cores.len() <= 1,
            (Self::AnyGate { .. }, _) => true,
            (Self::Peer(peer), _) => peer.can(duty),
        }
    }

    /// Starts it on `core`, or on the duty's cores.
    ///
    /// # Errors
    /// It cannot do this, or cannot be started; with what it printed.
    pub fn start(&self, listen: SocketAddr, core: usize, duty: &Duty) -> Result<Server, String> {
        if !self.can(duty) {
            return Err(format!("{} cannot do this: {duty:?}", self.name()));
        }
        let folder = Folder::new(self.name())?;
        let mut server = self.launch(listen, core, duty, folder.path()).start(listen, folder)?;
        server.protocol = duty.protocol;
        Ok(server)
    }

    /// How it is started, for a reader of the report: a command line and files.
    #[must_use]
    pub fn configuration(&self, listen: SocketAddr, core: usize, duty: &Duty) -> String {
        self.launch(listen, core, duty, Path::new("FOLDER")).shown()
    }

    fn launch(&self, listen: SocketAddr, core: usize, duty: &Duty, folder: &Path) -> Launch {
        let cores = if duty.cores.is_empty() { vec![core] } else { duty.cores.clone() };
        match self {
            Self::Floor(io) => {
                let mut launch = own("floor", *io, listen, core);
                launch.arguments.extend(duty.close.then(|| "--close".to_owned()));
                launch
            }
            Self::Relay(io) => {
                let mut launch = own("relay", *io, listen, core);
                if let Work::Proxy { origin } = duty.work {
                    launch.arguments.extend(["--to".to_owned(), origin.to_string()]);
                }
                launch
            }
            Self::AnyGate { io, program } => anygate(program, *io, listen, &cores, duty, folder),
            Self::Peer(peer) => peer.launch(&peers::Job { listen, cores: &cores, duty, folder }),
        }
    }
}

/// This program, as something else than the instrument.
fn own(what: &str, io: Io, listen: SocketAddr, core: usize) -> Launch {
    let words = [what, "--io", io_word(io), "--listen", &listen.to_string(), "--core", &core.to_string()];
    Launch {
        program: std::env::current_exe().unwrap_or_default(),
        arguments: words.map(str::to_owned).to_vec(),
        ..Launch::default()
    }
}

fn anygate(program: &Path, io: Io, listen: SocketAddr, cores: &[usize], duty: &Duty, folder: &Path) -> Launch {
    if duty.tls {
        return anygate_tls(program, io, listen, cores, duty, folder);
    }
    let file = folder.join("anygate.yml").display().to_string();
    let (words, files) = match &duty.work {
        Work::Fixed if duty.routes == 0 => (["-r".to_owned(), "/: OK".to_owned()], Vec::new()),
        Work::Fixed => (["-c".to_owned(), file], vec![("anygate.yml", rules(duty))]),
        Work::Files { root } => (["-r".to_owned(), format!("/: {}/", root.display())], Vec::new()),
        Work::Proxy { origin } => {
            let text = format!("server: {{max_body_size: 0}}\n{}", passing_on(*origin));
            (["-c".to_owned(), file], vec![("anygate.yml", text)])
        }
    };
    let common = ["--listen", &listen.to_string(), "--cores", &list(cores), "--io", io_word(io)].map(str::to_owned);
    let arguments = std::iter::once("serve".to_owned()).chain(words).chain(common).collect();
    Launch { program: program.to_owned(), arguments, files, ..Launch::default() }
}

/// The same over TLS: where it listens is said in its file, for there the certificate is said as well.
fn anygate_tls(program: &Path, io: Io, listen: SocketAddr, cores: &[usize], duty: &Duty, folder: &Path) -> Launch {
    let file = |name: &str| folder.join(name).display().to_string();
    let work = match &duty.work {
        Work::Fixed if duty.routes == 0 => "routes:\n  /: OK\n".to_owned(),
        Work::Fixed => rules(duty),
        Work::Files { root } => format!("routes:\n  /: {}/\n", root.display()),
        Work::Proxy { origin } => passing_on(*origin),
    };
    let text = format!(
        "server:\n  listen: [{{addr: \"{listen}\", tls: true}}]\n  max_body_size: 0\n\
         tls:\n  certificates: [{{cert: {}, key: {}}}]\n{work}",
        file("cert.pem"),
        file("key.pem")
    );
    let words = ["serve", "-c", &file("anygate.yml"), "--cores", &list(cores), "--io", io_word(io)];
    Launch {
        program: program.to_owned(),
        arguments: words.map(str::to_owned).to_vec(),
        files: vec![("anygate.yml", text)],
        secrets: identity::files(),
        ..Launch::default()
    }
}

/// One rule for each route.
fn rules(duty: &Duty) -> String {
    let rules: String = (0..duty.routes).map(|at| format!("  {}: OK\n", route(at))).collect();
    format!("routes:\n{rules}")
}

/// Uploads of any length, and as many kept connections as the peers have; like them it adds no field.
fn passing_on(origin: SocketAddr) -> String {
    format!(
        "proxy: {{x_forwarded: false, via: false}}\n\
         upstreams:\n  origin: {{servers: [\"{origin}\"], keep_alive: {KEPT}}}\nroutes:\n  /: http://origin\n"
    )
}

/// Starts the server behind of [`Work::Proxy`] on a core that is not a subject's: it answers [`BODIES`](crate::floor::BODIES)
/// and takes uploads.
///
/// # Errors
/// It cannot be started; with what it printed.
pub fn origin(listen: SocketAddr, io: Io, core: usize) -> Result<Server, String> {
    own("origin", io, listen, core).start(listen, Folder::new("origin")?)
}

/// A driver as command lines name it.
#[must_use]
pub fn io_word(io: Io) -> &'static str {
    match io {
        Io::Uring => "uring",
        Io::Epoll => "epoll",
        Io::Sim => "sim",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(subject: &Subject, duty: &Duty) -> String {
        subject.configuration("127.0.0.1:80".parse().unwrap(), 1, duty)
    }

    #[test]
    fn a_command_line_is_shown_as_one_would_type_it() {
        let subject = Subject::AnyGate { io: Io::Epoll, program: "/x/anygate".into() };
        let fixed = shown(&subject, &Duty::default());
        assert_eq!(fixed, "anygate serve -r '/: OK' --listen 127.0.0.1:80 --cores 1 --io epoll");
        let files = Duty { work: Work::Files { root: "/files".into() }, cores: vec![0, 1], ..Duty::default() };
        let files = shown(&subject, &files);
        assert_eq!(files, "anygate serve -r '/: /files/' --listen 127.0.0.1:80 --cores 0,1 --io epoll");
        let proxy = Duty { work: Work::Proxy { origin: "127.0.0.1:9".parse().unwrap() }, ..Duty::default() };
        let proxy = shown(&subject, &proxy);
        assert!(proxy.starts_with("anygate serve -c FOLDER/anygate.yml --listen"), "{proxy}");
        assert!(proxy.contains("servers: [\"127.0.0.1:9\"]"), "{proxy}");
    }

    #[test]
    fn a_floor_closes_only_where_connections_are_used_once() {
        let with = |close| shown(&Subject::Floor(Io::Uring), &Duty { close, ..Duty::default() });
        assert!(with(true).ends_with("floor --io uring --listen 127.0.0.1:80 --core 1 --close"));
        assert!(!with(false).contains("--close"));
    }

    #[test]
    fn who_parses_nothing_does_only_what_needs_no_parsing() {
        let proxy = Duty { work: Work::Proxy { origin: "127.0.0.1:9".parse().unwrap() }, ..Duty::default() };
        let files = Duty { work: Work::Files { root: "/files".into() }, ..Duty::default() };
        let (floor, relay) = (Subject::Floor(Io::Epoll), Subject::Relay(Io::Epoll));
        assert!(floor.can(&Duty::default()) && !floor.can(&files) && !floor.can(&proxy));
        assert!(!relay.can(&Duty::default()) && !relay.can(&files) && relay.can(&proxy));
        assert!(shown(&relay, &proxy).ends_with("--to 127.0.0.1:9"));
        assert!(!floor.can(&Duty { tls: true, ..Duty::default() }));
    }

    #[test]
    fn anygate_is_told_of_its_certificate_and_nobody_sees_the_key() {
        let subject = Subject::AnyGate { io: Io::Epoll, program: "/x/anygate".into() };
        let shown = shown(&subject, &Duty { tls: true, ..Duty::default() });
        assert!(shown.contains("listen: [{addr: \"127.0.0.1:80\", tls: true}]"), "{shown}");
        assert!(shown.contains("{cert: FOLDER/cert.pem, key: FOLDER/key.pem}"), "{shown}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn every_rule_has_its_own_path() {
        let mut paths: Vec<_> = (0..100_000).map(route).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), 100_000);
    }
}
