//! Does every request get its answer to the byte, and does a server behind get of it what it must and nothing else?
//!
//! Each case runs on both drivers, sent whole and sent in pieces. `ANYGATE_CASE=word` runs those whose name has the word.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anygate_shard::Io;

use super::text::{Case, Table, tables};
use super::{CLIENT_STEPS, Client, Cut, End, PATIENCE, SILENCE, settled};
use crate::harness::{Gate, both};

const COLUMNS: &[&str] = &["name", "send", "get", "then", "upstream"];

/// Asked for on every gate, to see that a connection carries another request and where that begins.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
const PROBED: &str =
    "HTTP/1.1 204 No Content\r\nDate: <date>\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";

/// How many failures are told at once.
const TOLD: usize = 40;

#[test]
fn every_request_gets_its_answer_to_the_byte() {
    let tables = tables("requests", COLUMNS, CLIENT_STEPS);
    let wanted = std::env::var("ANYGATE_CASE").unwrap_or_default();
    let folder = Folder::new();
    both(|io| {
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (table, at) in tables.iter().flat_map(|table| (0..table.gates.len()).map(move |at| (table, at))) {
                let (failures, wanted, folder) = (&failures, &wanted, &folder);
                scope.spawn(move || {
                    let wrong = run(io, table, at, wanted, folder);
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
                });
            }
        });
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let told = failures.iter().take(TOLD).fold(String::new(), |mut text, failure| {
            let _ = writeln!(text, "{failure}");
            text
        });
        assert!(failures.is_empty(), "{} cases failed\n{told}", failures.len());
    });
}

/// The cases of one gate; what is wrong.
fn run(io: Io, table: &Table, at: usize, wanted: &str, folder: &Folder) -> Vec<String> {
    let (name, config) = &table.gates[at];
    let recorder = Recorder::start();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it is bound");
    let config = config
        .replace("$BACKEND", &recorder.address.to_string())
        .replace("$NOBODY", &nobody.to_string())
        .replace("$DIR", &folder.0.display().to_string());
    let gate = Gate::start(io, &config);
    let mut wrong = Vec::new();
    for case in table.cases.iter().filter(|case| case.gate == at && case.word("name").contains(wanted)) {
        let then = Then::of(case);
        for cut in [Cut::Whole, Cut::Pieces(case.place.bytes().map(u64::from).sum())] {
            if cut == Cut::Whole || !then.whole {
                let context = format!("{io:?}, gate {name}, {cut:?}");
                wrong.extend(tried(case, &then, cut, &gate, &recorder).map_err(|why| why.told(case, &context)).err());
            }
        }
    }
    if gate.cells.panics.get() > 0 {
        wrong.push(format!("{io:?}, gate {name}: a connection panicked"));
    }
    wrong
}

/// What becomes of the connection.
struct Then {
    kind: Kind,
    /// The case depends on where the bytes are cut.
    whole: bool,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// The next request is answered.
    Stays,
    /// It ends well.
    Closes,
    /// It is cut.
    Resets,
    /// More is awaited.
    Waits,
}

impl Then {
    fn of(case: &Case) -> Self {
        let text = case.word("then");
        let (kind, whole) = text.strip_suffix(", whole").map_or((text.as_str(), false), |kind| (kind, true));
        let kind = match kind {
            "stays" => Kind::Stays,
            "closes" => Kind::Closes,
            "resets" => Kind::Resets,
            "waits" => Kind::Waits,
            _ => panic!("{}: then is stays, closes, resets or waits, and perhaps `, whole`", case.place),
        };
        Self { kind, whole }
    }
}

/// How a case failed: what about, what was wanted and what came.
struct Wrong(&'static str, Vec<u8>, Vec<u8>);

impl Wrong {
    fn told(&self, case: &Case, context: &str) -> String {
        case.differs(context, self.0, &self.1, &self.2)
    }
}

fn tried(case: &Case, then: &Then, cut: Cut, gate: &Gate, recorder: &Recorder) -> Result<(), Wrong> {
    let upstream = recorder.address.to_string();
    let own = gate.address.to_string();
    let known = [(upstream.as_str(), "backend"), (own.as_str(), "gate")];
    let mut client = Client::connect(gate.address);
    let itself = client.address();
    let known = [known[0], known[1], (itself.as_str(), "client")];
    let mut want = case.bytes("get");
    client.speak(case.pieces("send"), cut);
    let came = |heard: &[u8]| settled(heard, &known).len() >= want.len();
    match then.kind {
        Kind::Stays => {
            client.hear(PATIENCE, came);
            client.speak_plain(PROBE);
            want.extend_from_slice(PROBED.as_bytes());
            client.hear(PATIENCE, |_| false);
        }
        Kind::Waits => {
            client.hear(PATIENCE, came);
            client.hear(SILENCE, |_| false);
        }
        Kind::Closes | Kind::Resets => {
            client.hear(PATIENCE, |_| false);
        }
    }
    let got = settled(client.hear(Duration::ZERO, |_| true), &known);
    if got != want {
        return Err(Wrong("the answer", want, got));
    }
    let end = match then.kind {
        Kind::Stays | Kind::Closes => Some(End::Closed),
        Kind::Resets => Some(End::Reset),
        Kind::Waits => None,
    };
    if client.end() != end {
        let told = |end: Option<End>| format!("{end:?}").into_bytes();
        return Err(Wrong("the connection's end", told(end), told(client.end())));
    }
    drop(client);
    recorder.recorded(&case.bytes("upstream"), &known).map_err(|(want, got)| Wrong("upstream", want, got))
}

/// A server behind that writes everything down that comes, and answers each request.
struct Recorder {
    address: SocketAddr,
    record: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let record = Arc::new(Mutex::new(Vec::new()));
        let its = Arc::clone(&record);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let record = Arc::clone(&its);
                std::thread::spawn(move || Recorded { stream, bytes: Vec::new(), record }.serve());
            }
        });
        Self { address, record }
    }

    /// What came since this was last asked; waits for what is wanted.
    fn recorded(&self, want: &[u8], known: &[(&str, &str)]) -> Result<(), (Vec<u8>, Vec<u8>)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            let got = settled(&record, known);
            if got == want || got.len() > want.len() || !want.starts_with(&got) || Instant::now() > until {
                record.clear();
                return if got == want { Ok(()) } else { Err((want.to_vec(), got)) };
            }
            drop(record);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One connection of the gate.
struct Recorded {
    stream: TcpStream,
    bytes: Vec<u8>,
    record: Arc<Mutex<Vec<u8>>>,
}

impl Recorded {
    /// Answers each request once all of it is there. One that does not come whole is recorded with `<cut>` behind it.
    fn serve(mut self) {
        loop {
            let whole = self.request();
            if whole.is_none() {
                if !self.bytes.is_empty() {
                    self.note(b"<cut>");
                }
                return;
            }
        }
    }

    fn request(&mut self) -> Option<()> {
        let head = self.until(b"\r\n\r\n", 0)?;
        let text = String::from_utf8_lossy(&self.bytes[..head]).into_owned();
        let field = |name: &str| {
            text.lines().find_map(|line| line.split_once(": ").filter(|(one, _)| *one == name)).map(|(_, value)| value)
        };
        let mut end = head;
        if field("Transfer-Encoding").is_some() {
            loop {
                let line = self.until(b"\r\n", end)?;
                let size = String::from_utf8_lossy(&self.bytes[end..line - 2]).into_owned();
                let size = usize::from_str_radix(&size, 16).ok()?;
                end = line;
                if size == 0 {
                    break;
                }
                end += size + 2;
                self.enough(end)?;
            }
            while self.until(b"\r\n", end)? != end + 2 {
                end = self.until(b"\r\n", end)?;
            }
            end += 2;
        } else if let Some(length) = field("Content-Length") {
            end += length.parse::<usize>().ok()?;
            self.enough(end)?;
        }
        self.bytes.drain(..end);
        let mut answer =
            b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Length: 2\r\n\r\n".to_vec();
        if !text.starts_with("HEAD ") {
            answer.extend_from_slice(b"up");
        }
        self.stream.write_all(&answer).ok()
    }

    /// The end of the first `end` from `from` on.
    fn until(&mut self, end: &[u8], from: usize) -> Option<usize> {
        loop {
            self.enough(from)?;
            if let Some(at) = self.bytes[from..].windows(end.len()).position(|window| window == end) {
                return Some(from + at + end.len());
            }
            self.more()?;
        }
    }

    fn enough(&mut self, count: usize) -> Option<()> {
        while self.bytes.len() < count {
            self.more()?;
        }
        Some(())
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        let n = self.stream.read(&mut bytes).ok().filter(|n| *n > 0)?;
        self.bytes.extend_from_slice(&bytes[..n]);
        self.note(&bytes[..n]);
        Some(())
    }

    fn note(&self, bytes: &[u8]) {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

/// The folder that `$DIR` stands for, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = Self(std::env::temp_dir().join(format!("anygate-cases-{}", std::process::id())));
        for (name, content) in [
            ("index.html", "<h1>home</h1>"),
            ("ten.txt", "0123456789"),
            ("docs/index.html", "<h1>docs</h1>"),
            (".env", "KEY=1"),
        ] {
            let path = folder.0.join(name);
            std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
            std::fs::write(&path, content).expect("a file");
            let file = std::fs::File::options().write(true).open(&path).expect("it was written");
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("its time");
        }
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
