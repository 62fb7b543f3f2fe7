//! A server under test: a process that is started, awaited, and stopped.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::account::Account;

/// A server listens within this time, and ends within it after it was told to.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A folder for one server's files, removed in the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("anygate-perf-{}-{count}-{name}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: Folder,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `command` and waits until `address` takes connections. What it prints goes to a file in `folder`.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not listen; with what it printed.
    pub fn start(mut command: Command, address: SocketAddr, folder: Folder) -> Result<Self, String> {
        let shown = format!("{command:?}");
        let log = folder.path().join("output");
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let both = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file).stderr(both);
        let child = command.spawn().map_err(|error| format!("{shown}: {error}"))?;
        let mut server = Self { child, folder, address };
        let begin = Instant::now();
        loop {
            let ended = server.child.try_wait().map_err(|error| format!("{shown}: {error}"))?;
            if let Some(status) = ended {
                return Err(format!("{shown}: {status}\n{}", server.printed()));
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("{shown}: nobody listens on {address}\n{}", server.printed()));
            }
            thread::sleep(LOOK);
        }
    }

    /// The kernel's account of this server. Make it once all its processes and threads run.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn account(&self) -> Result<Account, String> {
        Account::of(self.child.id()).map_err(|error| format!("/proc: {error}"))
    }

    /// The head of what it answers to `GET /`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask(&self) -> Result<String, String> {
        let asked = || {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
            let mut head = Vec::new();
            let mut piece = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece)? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    length => head.extend_from_slice(&piece[..length]),
                }
            }
            Ok(String::from_utf8_lossy(&head).into_owned())
        };
        asked().map_err(|error: std::io::Error| format!("{}: {error}", self.address))
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, which a shell knows how to send: a server that is killed leaves its workers behind.
        let pid = self.child.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).stderr(Stdio::null()).status();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Server, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Server::start(command, "127.0.0.1:1".parse().unwrap(), Folder::new("test").unwrap())
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_what_it_printed() {
        let error = start("echo no such core; exit 3").unwrap_err();
        assert!(error.contains("no such core") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_folder_is_gone_with_its_server() {
        let folder = Folder::new("gone").unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}
