//! A running anygate: started as a person would start it, asked over real sockets, killed when the test is over.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::rig::Folder;

/// Longest wait for anything; a test that gets there has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on both drivers. A machine without io_uring is no reason to skip in silence.
pub(super) fn both(test: impl Fn(&'static str)) {
    test("epoll");
    match anygate_shard::probe_uring() {
        Ok(()) => test("uring"),
        Err(why) => {
            assert!(std::env::var_os("ANYGATE_TEST_NO_URING").is_some(), "io_uring is not available: {why}");
        }
    }
}

/// Waits until `done` gives something.
pub(super) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(3));
    }
}

/// The first core this process may use.
pub(super) fn a_core() -> String {
    anygate_shard::cores::allowed().unwrap()[0].to_string()
}

/// `anygate serve` on a free port, one core and this driver, with further arguments.
pub(super) fn serve(folder: &Folder, io: &str, arguments: &[&str]) -> Command {
    serve_on(&a_core(), folder, io, arguments)
}

/// The same on these cores.
pub(super) fn serve_on(cores: &str, folder: &Folder, io: &str, arguments: &[&str]) -> Command {
    folder.command(&[&["serve", "--io", io, "--cores", cores, "--listen", "127.0.0.1:0"], arguments].concat())
}

/// The start of a WebSocket, with the key and the answer of RFC 6455 §1.3.
pub(super) const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A running server.
pub(super) struct Gate {
    child: Child,
    log: std::path::PathBuf,
    /// What it said when it started.
    pub(super) banner: String,
}

impl Gate {
    /// [`serve`], started.
    pub(super) fn start(folder: &Folder, io: &str, arguments: &[&str]) -> Self {
        Self::run(folder, serve(folder, io, arguments))
    }

    /// Starts a command, and waits until it says that it listens.
    pub(super) fn run(folder: &Folder, mut command: Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = folder.path().join(format!("gate-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("\n  rules ") {
            if out.read_line(&mut banner).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!("it did not start: {status}\n{banner}{}", fs::read_to_string(&log).unwrap());
            }
        }
        Self { child, log, banner }
    }

    /// Where clients come in, as the start-up lines say.
    pub(super) fn listeners(&self) -> Vec<&str> {
        self.banner.lines().filter_map(|line| line.strip_prefix("  listening  ")).collect()
    }

    /// The first TCP listener with an address of its own.
    pub(super) fn address(&self) -> SocketAddr {
        let address = |line: &&str| line.split_once("://")?.1.parse().ok();
        self.listeners().iter().find_map(address).expect(&self.banner)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote to standard error so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How often the log has `words`.
    pub(super) fn logged(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Waits until the log has `words`, `times` times.
    pub(super) fn logs(&self, words: &str, times: usize) {
        let start = Instant::now();
        while self.logged(words) < times {
            assert!(start.elapsed() < PATIENCE, "not {times} times {words:?} in the log:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends `HUP`, `TERM` or `INT`.
    pub(super) fn signal(&self, name: &str) {
        // The shell's own `kill`: the program is not everywhere.
        let kill = format!("kill -s {name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Writes a configuration over `anygate.yml`, says so, and waits for the answer: true when it is installed.
    pub(super) fn reload(&self, folder: &Folder, yaml: &str) -> bool {
        let (installed, refused) = (self.logged("\"reloaded\""), self.logged("reload refused"));
        folder.write("anygate.yml", yaml);
        self.signal("HUP");
        until("the answer to a hang-up", || {
            if self.logged("reload refused") > refused {
                return Some(false);
            }
            (self.logged("\"reloaded\"") > installed).then_some(true)
        })
    }

    /// Waits for its end.
    pub(super) fn ends(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// A new connection.
    pub(super) fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// One GET on a connection of its own.
    pub(super) fn get(&self, path: &str) -> Answer {
        self.client().get(path).unwrap()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}its log:\n{}", self.banner, self.log());
        }
    }
}

/// A client's connection: it sends bytes as they are, and reads answers by their length.
pub(super) struct Client<S = TcpStream> {
    pub(super) stream: BufReader<S>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(super) fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_bytes())
    }

    pub(super) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        self.answer()
    }

    /// One whole answer to a GET.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let mut body = Vec::new();
        if answer.field("Transfer-Encoding") == Some("chunked") {
            loop {
                let line = self.line()?;
                let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                let mut chunk = vec![0; length + 2];
                self.stream.read_exact(&mut chunk)?;
                if length == 0 {
                    break;
                }
                body.extend_from_slice(&chunk[..length]);
            }
        } else if let Some(length) = answer.field("Content-Length") {
            body = vec![0; length.parse().map_err(io::Error::other)?];
            self.stream.read_exact(&mut body)?;
        } else if answer.status >= 200 && answer.status != 204 && answer.status != 304 {
            self.stream.read_to_end(&mut body)?;
        }
        answer.body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(answer)
    }

    /// A head alone.
    pub(super) fn head(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        loop {
            let line = self.line()?;
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?;
        Ok(Answer { status, head, body: String::new() })
    }

    /// Waits for the server to close, without another byte and without a reset.
    pub(super) fn closes(&mut self, what: &str) {
        let mut byte = [0];
        let read = self.stream.read_exact(&mut byte);
        let kind = read.as_ref().map_err(io::Error::kind);
        assert_eq!(kind, Err(io::ErrorKind::UnexpectedEof), "{what}: not closed: {read:?} {byte:?}");
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    /// A field's value.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (its_name, value) = line.split_once(':')?;
            its_name.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
