//! A server under test: a process that is started, awaited, and stopped.

mod answer;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use answer::ask;
pub use answer::{Answer, all_same};

use crate::account::Account;
use crate::load::Protocol;

/// A server listens within this time, and ends within it after it was told to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of a file that are shown to a reader.
const SHOWN_LINES: usize = 120;
/// How often a server is looked at.
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

/// How a server is started: a command line, and the files it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is set in its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Names in the server's folder, and texts.
    pub files: Vec<(&'static str, String)>,
    /// The certificate and key that TLS is spoken with, in the same way; none: it is not spoken.
    pub secrets: Vec<(&'static str, String)>,
    /// The cores it is pinned to by `taskset`; none where it pins itself.
    pub pinned: Vec<usize>,
}

impl Launch {
    /// The command line and the files, as a reader would type them; of long files, the beginning and the end.
    #[must_use]
    pub fn shown(&self) -> String {
        let (program, arguments) = self.words();
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let quoted = arguments
            .iter()
            .map(|word| if word.contains([' ', '"', '\'']) { format!("'{word}'") } else { word.clone() });
        let mut text = environment.chain([name.into_owned()]).chain(quoted).collect::<Vec<_>>().join(" ");
        for (name, file) in &self.files {
            text.push_str(&format!("\n\n# --- {name}\n{}", shortened(file).trim_end()));
        }
        text
    }

    /// Writes the files, starts the server and waits until `address` takes connections.
    ///
    /// # Errors
    /// A file cannot be written, or the server cannot be started; with what it printed.
    pub fn start(&self, address: SocketAddr, folder: Folder) -> Result<Server, String> {
        for (name, text) in self.files.iter().chain(&self.secrets) {
            let file = folder.path().join(name);
            fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let (program, arguments) = self.words();
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut server = Server::start(command, address, folder)?;
        server.tls = !self.secrets.is_empty();
        Ok(server)
    }

    /// The program and its arguments, under `taskset` where that pins it.
    fn words(&self) -> (PathBuf, Vec<String>) {
        if self.pinned.is_empty() {
            return (self.program.clone(), self.arguments.clone());
        }
        let words = ["-c".to_owned(), list(&self.pinned), self.program.display().to_string()];
        ("taskset".into(), words.into_iter().chain(self.arguments.iter().cloned()).collect())
    }
}

/// Cores as `taskset -c` and AnyGate's `--cores` take them: `0,2`.
#[must_use]
pub fn list(cores: &[usize]) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// At most [`SHOWN_LINES`] lines.
fn shortened(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    if lines.len() <= SHOWN_LINES {
        return text.to_owned();
    }
    let (first, last) = (&lines[..SHOWN_LINES / 2], &lines[lines.len() - SHOWN_LINES / 2..]);
    let left_out = format!("# ... {} lines ...", lines.len() - first.len() - last.len());
    [first, &[left_out.as_str()], last].concat().join("\n")
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: Folder,
    /// Where it listens.
    pub address: SocketAddr,
    /// It speaks TLS there.
    pub tls: bool,
    /// What it is asked in.
    pub protocol: Protocol,
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
        let mut server = Self { child, folder, address, tls: false, protocol: Protocol::Http1 };
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

    /// What it answers to a `GET`, read to the end.
    ///
    /// # Errors
    /// It does not answer, or not in HTTP.
    pub fn ask(&self, path: &str) -> Result<Answer, String> {
        let answer = ask(self.address, path, None, self.tls, self.protocol);
        answer.map_err(|error| format!("GET {}{path}: {error}", self.address))
    }

    /// What it answers to a `POST` with a body of `length` bytes.
    ///
    /// # Errors
    /// It does not take them, does not answer, or not in HTTP.
    pub fn post(&self, path: &str, length: u64) -> Result<Answer, String> {
        let answer = ask(self.address, path, Some(length), self.tls, self.protocol);
        answer.map_err(|error| format!("POST {}{path}: {error}", self.address))
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
    fn a_launch_is_shown_as_one_would_type_it() {
        let launch = Launch {
            program: "/usr/sbin/server".into(),
            arguments: vec!["--say".to_owned(), "a b".to_owned()],
            environment: vec![("THREADS", "1".to_owned())],
            files: vec![("server.conf", (0..1000).map(|at| format!("line {at}\n")).collect())],
            secrets: vec![("key.pem", "hidden".to_owned())],
            pinned: Vec::new(),
        };
        let shown = launch.shown();
        assert!(shown.starts_with("THREADS=1 server --say 'a b'\n\n# --- server.conf\nline 0\n"), "{shown}");
        assert!(shown.contains("# ... 880 lines ...") && shown.ends_with("line 999"), "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
        let pinned = Launch { pinned: vec![0, 2], files: Vec::new(), ..launch };
        assert_eq!(pinned.shown(), "THREADS=1 taskset -c 0,2 /usr/sbin/server --say 'a b'");
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
