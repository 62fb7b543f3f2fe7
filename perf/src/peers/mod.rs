//! Servers of others, configured for the same work: found if they are installed.

mod caddy;
mod h2o;
mod haproxy;
mod nginx;
#[cfg(test)]
mod testing;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::identity;
use crate::server::Launch;
use crate::subject::{Duty, KEPT, Work};

/// Which server of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// h2o.
    H2o,
    /// Caddy.
    Caddy,
}

impl Kind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::H2o, Self::Caddy];

    /// The name in reports and on the command line, which is the program's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::H2o => "h2o",
            Self::Caddy => "caddy",
        }
    }
}

/// A peer that is installed.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which.
    pub kind: Kind,
    /// Its program.
    pub program: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// What a peer is started for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// One thread each.
    pub(crate) cores: &'a [usize],
    /// What it does.
    pub(crate) duty: &'a Duty,
    /// A folder of its own.
    pub(crate) folder: &'a Path,
}

impl Peer {
    /// The peer at `program`, or the installed one.
    ///
    /// # Errors
    /// There is none, or it does not say its version; in words for who misses it.
    pub fn find(kind: Kind, program: Option<&Path>) -> Result<Self, String> {
        let program = match program {
            Some(path) => path.to_owned(),
            None => find(kind.name()).ok_or("not installed (cargo xtask bench --install-peers)")?,
        };
        let words = match kind {
            Kind::Nginx => nginx::VERSION,
            Kind::Haproxy => haproxy::VERSION,
            Kind::H2o => h2o::VERSION,
            Kind::Caddy => caddy::VERSION,
        };
        let said = Command::new(&program).args(words).output();
        let said = said.map_err(|error| format!("{}: {error}", program.display()))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        let version = match kind {
            Kind::Nginx => nginx::version(&said),
            Kind::Haproxy => haproxy::version(&said),
            Kind::H2o => h2o::version(&said),
            Kind::Caddy => caddy::version(&said),
        };
        let version = version.ok_or_else(|| format!("{} says no version of it: {said}", program.display()))?;
        let version = format!("{} {version}", kind.name());
        Ok(Self { kind, program, version })
    }

    /// Whether it can do this.
    #[must_use]
    pub fn can(&self, duty: &Duty) -> bool {
        match self.kind {
            Kind::Nginx => nginx::can(&self.version, duty),
            Kind::Haproxy => haproxy::can(duty),
            Kind::H2o => h2o::can(duty),
            Kind::Caddy => caddy::can(duty),
        }
    }

    pub(crate) fn launch(&self, job: &Job<'_>) -> Launch {
        let launch = match self.kind {
            Kind::Nginx => nginx::launch(job),
            Kind::Haproxy => haproxy::launch(job),
            Kind::H2o => h2o::launch(job),
            Kind::Caddy => caddy::launch(job),
        };
        let secrets = if job.duty.tls { identity::files() } else { Vec::new() };
        Launch { program: self.program.clone(), secrets, ..launch }
    }
}

impl Job<'_> {
    /// A template with its places filled in: `{listen}`, `{port}`, `{threads}`, `{folder}`, `{root}`, `{origin}`,
    /// `{kept}`.
    fn fill(&self, template: &str) -> String {
        let (root, origin) = match &self.duty.work {
            Work::Fixed => (String::new(), String::new()),
            Work::Files { root } => (root.display().to_string(), String::new()),
            Work::Proxy { origin } => (String::new(), origin.to_string()),
        };
        template
            .replace("{listen}", &self.listen.to_string())
            .replace("{address}", &self.listen.ip().to_string())
            .replace("{port}", &self.listen.port().to_string())
            .replace("{threads}", &self.cores.len().to_string())
            .replace("{folder}", &self.folder.display().to_string())
            .replace("{root}", &root)
            .replace("{origin}", &origin)
            .replace("{kept}", &KEPT.to_string())
    }

    /// What stands in a configuration where TLS is spoken, with the folder filled in; else nothing.
    fn tls(&self, text: &str) -> String {
        if self.duty.tls { text.replace("{folder}", &self.folder.display().to_string()) } else { String::new() }
    }

    /// A file's path within the folder.
    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// The program of this name on the search path, or where system daemons are.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What follows `name` in what a program says, to the next blank.
fn behind<'s>(said: &'s str, name: &str) -> Option<&'s str> {
    said.split_once(name)?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Protocol;

    #[test]
    fn what_is_not_installed_is_not_found() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
        let other = Peer::find(Kind::Nginx, Some(Path::new("/bin/true"))).unwrap_err();
        assert!(other.contains("says no version"), "{other}");
    }

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(nginx::version("nginx version: nginx/1.31.5\nbuilt by gcc"), Some("1.31.5"));
        let said = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: long-term";
        assert_eq!(haproxy::version(said), Some("2.6.12-1+deb12u4"));
        assert_eq!(h2o::version("h2o version 2.2.5\nOpenSSL: OpenSSL 3.0.19"), Some("2.2.5"));
        assert_eq!(caddy::version("2.6.2\n"), Some("2.6.2"));
        assert_eq!(caddy::version("v2.10.0 h1:fonubSaQKF1YANl8TXqGcn4IbIRUDdfAkpcsfI/vX5U=\n"), Some("v2.10.0"));
        assert_eq!(caddy::version("no such option\n"), None);
    }

    #[test]
    fn every_place_of_every_configuration_is_filled_in() {
        let works = [
            Duty::default(),
            Duty { routes: 3, ..Duty::default() },
            Duty { work: Work::Files { root: "/files".into() }, ..Duty::default() },
            Duty { work: Work::Proxy { origin: "127.0.0.1:9".parse().unwrap() }, ..Duty::default() },
        ];
        let works = works.into_iter().flat_map(|duty| [Duty { tls: true, ..duty.clone() }, duty]);
        let h2 = |duty: Duty| [Duty { protocol: Protocol::Http2, ..duty.clone() }, duty];
        let works = works.flat_map(h2).collect::<Vec<_>>();
        for kind in Kind::ALL {
            let peer = Peer { kind, program: kind.name().into(), version: format!("{} 1.31.5", kind.name()) };
            for duty in works.iter().filter(|duty| peer.can(duty)) {
                let listen = "127.0.0.1:8081".parse().unwrap();
                let launch = peer.launch(&Job { listen, cores: &[2], duty, folder: Path::new("/run/x") });
                let shown = launch.shown();
                assert!(shown.contains("8081"), "{shown}");
                for place in [
                    "listen",
                    "address",
                    "port",
                    "threads",
                    "folder",
                    "root",
                    "origin",
                    "kept",
                    "tls",
                    "scheme",
                    "h2",
                    "protocols",
                ] {
                    assert!(!shown.contains(&format!("{{{place}}}")), "{place} in {shown}");
                }
                assert_eq!(duty.tls, shown.contains("/run/x/cert.pem") || shown.contains("/run/x/both.pem"), "{shown}");
                assert_eq!(duty.tls, !launch.secrets.is_empty());
                match &duty.work {
                    Work::Files { .. } => assert!(shown.contains("/files"), "{shown}"),
                    Work::Proxy { .. } => assert!(shown.contains("127.0.0.1:9"), "{shown}"),
                    Work::Fixed => assert!(duty.routes == 0 || shown.contains("/tenant-002/resource-000"), "{shown}"),
                }
            }
        }
    }
}
