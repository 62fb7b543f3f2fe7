//! Who is measured: a floor, AnyGate, or a peer, each started on one core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anygate_shard::Io;

use crate::peers::{Peer, nginx};
use crate::server::{Folder, Server};

/// Who is measured.
#[derive(Clone, Debug)]
pub enum Subject {
    /// This program's own floor.
    Floor(Io),
    /// AnyGate.
    AnyGate {
        /// The driver.
        io: Io,
        /// Its binary.
        program: PathBuf,
    },
    /// nginx.
    Nginx(Peer),
}

/// What a subject does besides answering.
#[derive(Clone, Copy, Debug, Default)]
pub struct Duty {
    /// Connections are asked to be closed after one request. A floor, which does not read that, closes them all.
    pub close: bool,
}

impl Subject {
    /// The name in reports and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Floor(Io::Uring) => "floor-uring",
            Self::Floor(_) => "floor-epoll",
            Self::AnyGate { io: Io::Uring, .. } => "anygate-uring",
            Self::AnyGate { .. } => "anygate-epoll",
            Self::Nginx(_) => "nginx",
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started; with what it printed.
    pub fn start(&self, listen: SocketAddr, core: usize, duty: Duty) -> Result<Server, String> {
        match self {
            Self::Floor(_) | Self::AnyGate { .. } => {
                let (program, arguments) = self.command_line(listen, core, duty).ok_or("no command line")?;
                let mut command = Command::new(program);
                command.args(arguments);
                Server::start(command, listen, Folder::new(self.name())?)
            }
            Self::Nginx(peer) => nginx::start(peer, listen, core),
        }
    }

    /// The configuration, for a reader of the report: a command line or a file.
    #[must_use]
    pub fn configuration(&self, listen: SocketAddr, core: usize, duty: Duty) -> String {
        match (self.command_line(listen, core, duty), self) {
            (Some((program, arguments)), _) => {
                let name = program.file_name().unwrap_or_default().to_string_lossy();
                let quoted = arguments
                    .iter()
                    .map(|word| if word.contains([' ', '"', '\'']) { format!("'{word}'") } else { word.clone() });
                std::iter::once(name.into_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
            }
            _ => nginx::configuration(listen, core, Path::new("FOLDER")),
        }
    }

    fn command_line(&self, listen: SocketAddr, core: usize, duty: Duty) -> Option<(PathBuf, Vec<String>)> {
        let (listen, core) = (listen.to_string(), core.to_string());
        match self {
            Self::Floor(io) => {
                let mut words = vec!["floor", "--io", io_word(*io), "--listen", &listen, "--core", &core];
                if duty.close {
                    words.push("--close");
                }
                let program = std::env::current_exe().ok()?;
                Some((program, words.into_iter().map(str::to_owned).collect()))
            }
            Self::AnyGate { io, program } => {
                let words = ["serve", "-r", "/: OK", "--listen", &listen, "--cores", &core, "--io", io_word(*io)];
                Some((program.clone(), words.into_iter().map(str::to_owned).collect()))
            }
            Self::Nginx(_) => None,
        }
    }
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

    #[test]
    fn a_command_line_is_shown_as_one_would_type_it() {
        let subject = Subject::AnyGate { io: Io::Epoll, program: "/x/anygate".into() };
        let shown = subject.configuration("127.0.0.1:80".parse().unwrap(), 0, Duty::default());
        assert_eq!(shown, "anygate serve -r '/: OK' --listen 127.0.0.1:80 --cores 0 --io epoll");
    }

    #[test]
    fn a_floor_closes_only_where_connections_are_used_once() {
        let listen = "127.0.0.1:80".parse().unwrap();
        let shown = |close| Subject::Floor(Io::Uring).configuration(listen, 1, Duty { close });
        assert!(shown(true).ends_with("floor --io uring --listen 127.0.0.1:80 --core 1 --close"));
        assert!(!shown(false).contains("--close"));
    }
}
