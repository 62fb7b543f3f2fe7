//! Does every request get its answer to the byte, and does a server behind get of it what it must and nothing else?
//!
//! Each case runs on both drivers and on the simulation, sent whole and sent in pieces. `ANYGATE_CASE=word` runs those whose name has the word.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anygate_shard::Io;

use super::text::{Case, Table, table, tables};
use super::{CLIENT_STEPS, Client, Cut, End, NOBODY, PATIENCE, SILENCE, settled};
use crate::ground::{Duplex, Field, Ground, Job, Stand, everywhere};
use crate::harness::plan;
use crate::pipe::{WAYS, Way};

const COLUMNS: &[&str] = &["name", "send", "get", "then", "upstream"];

/// Asked for on every gate, to see that a connection carries another request and where that begins.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
const PROBED: &str =
    "HTTP/1.1 204 No Content\r\nDate: <date>\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n";

/// Recorded where a connection ends in mid-request; alone in a cell: perhaps a part of a request, and nothing whole.
const CUT: &[u8] = b"<cut>";

/// How many failures are told at once.
const TOLD: usize = 40;

#[test]
fn every_request_gets_its_answer_to_the_byte() {
    let tables = tables("requests", COLUMNS, CLIENT_STEPS);
    let wanted = std::env::var("ANYGATE_CASE").unwrap_or_default();
    let chosen = tables.iter().flat_map(|table| &table.cases).filter(|case| case.word("name").contains(&wanted));
    assert!(chosen.count() > 0, "no case has {wanted:?} in its name");
    let folder = Folder::new();
    let gates = || tables.iter().flat_map(|table| (0..table.gates.len()).map(move |at| (table, at)));
    everywhere(|ground| {
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for ((table, at), way) in gates().flat_map(|gate| WAYS.map(|way| (gate, way))) {
                let (failures, wanted, folder) = (&failures, &wanted, &folder);
                scope.spawn(move || {
                    let wrong = run(ground, way, table, at, wanted, folder);
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

#[test]
fn a_case_that_is_wrong_fails_with_its_place_and_its_name() {
    const TABLE: &str = r"columns: name | send | get | then | upstream
gate g
    proxy: {x_forwarded: false, via: false}
    routes: {/probe: NO_CONTENT, /none: NO_CONTENT, /up: http://$BACKEND}
let none = HTTP/1.1 204 No Content\r\nDate: <date>\r\nX-Content-Type-Options: nosniff\r\n\r\n
let up = HTTP/1.1 200 OK\r\nDate: <date>\r\nContent-Length: 2\r\n\r\nup
right | GET /none HTTP/1.1\r\nHost: a\r\n\r\n | {none} | stays | -
wrong answer | GET /none HTTP/1.1\r\nHost: b\r\n\r\n | HTTP/1.1 205 | stays | -
wrong end | GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n | HTTP/1.1 204 No Content\r\nDate: <date>\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n | resets | -
wrong record | GET /up HTTP/1.1\r\nHost: a\r\n\r\n | {up} | stays | -
not cut | GET /up HTTP/1.1\r\nHost: a\r\n\r\n | {up} | stays | <cut>
";
    let table = table("t.txt", TABLE, COLUMNS, CLIENT_STEPS).unwrap_or_else(|why| panic!("{why}"));
    let wrong = run(Ground::Kernel(Io::Epoll), Way::Plain, &table, 0, "", &Folder::new());
    for place in ["t.txt:8: wrong answer: ", "t.txt:9: wrong end: ", "t.txt:10: wrong record: ", "t.txt:11: not cut: "]
    {
        let told = wrong.iter().filter(|text| text.starts_with(place)).count();
        assert_eq!(told, 2, "{place}: whole and in pieces: {wrong:#?}");
    }
    assert_eq!(wrong.len(), 8, "{wrong:#?}");
}

/// The cases of one gate; what is wrong.
fn run(ground: Ground, way: Way, table: &Table, at: usize, wanted: &str, folder: &Folder) -> Vec<String> {
    let (name, config) = &table.gates[at];
    let field = Field::new(ground);
    let start = |recorder: &Recorder| {
        let config = config
            .replace("$BACKEND", &recorder.address.to_string())
            .replace("$NOBODY", NOBODY)
            .replace("$DIR", &folder.0.display().to_string());
        let mut plan = plan(&config, 1);
        way.open(&mut plan);
        field.gate(plan)
    };
    let recorder = Recorder::start(&field);
    let gate = start(&recorder);
    let mut wrong = Vec::new();
    for case in table.cases.iter().filter(|case| case.gate == at && case.word("name").contains(wanted)) {
        let then = Then::of(case);
        for cut in [Cut::Whole, Cut::Pieces(case.place.bytes().map(u64::from).sum())] {
            if cut == Cut::Whole || !then.whole {
                let context = format!("{ground:?}, {way:?}, gate {name}, {cut:?}");
                let result = if case.bytes("upstream") == CUT {
                    // How much of it arrives is chance, so nothing is shared with other cases.
                    let recorder = Recorder::start(&field);
                    let gate = start(&recorder);
                    let result = tried(case, &then, (cut, way), (&field, &gate, &recorder));
                    drop(gate);
                    result.and_then(|()| recorder.nothing_whole())
                } else {
                    tried(case, &then, (cut, way), (&field, &gate, &recorder))
                };
                if result.is_err() {
                    recorder.forget();
                }
                wrong.extend(result.map_err(|why| why.told(case, &format!("{context}, {}", blamed(&gate)))).err());
            }
        }
    }
    if gate.panics() > 0 {
        wrong.push(format!("{ground:?}, {way:?}, gate {name}: a connection panicked"));
    }
    let left = field.left();
    if !left.is_empty() {
        wrong.push(format!("{ground:?}, {way:?}, gate {name}: left when everybody had gone: {left:?}"));
    }
    wrong
}

/// What of all that a gate counts may tell why a connection ended.
fn blamed(gate: &Stand) -> String {
    let (cells, shard) = gate.counts();
    let told = [
        ("panics", cells.panics.get()),
        ("clients gone", cells.clients_gone.get()),
        ("idle", cells.timeouts_idle.get()),
        ("handshakes too long", cells.timeouts_handshake.get()),
        ("no TLS", cells.tls_protocol_errors.get()),
        ("cut", cells.tls_truncated.get()),
        ("no descriptors", shard.out_of_descriptors.get()),
        ("no buffers", shard.out_of_buffers.get()),
    ];
    told.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what}: {count} ")).collect()
}

/// What becomes of the connection.
struct Then {
    kind: Kind,
    /// The case depends on where the bytes are cut.
    whole: bool,
    /// What is long comes in pieces even if it was sent whole: chunks may be cut at other places.
    joined: bool,
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
        let (kind, how) = text.split_once(", ").unwrap_or((&text, ""));
        let (whole, joined) = (how == "whole", how == "joined");
        let kind = match kind {
            "stays" => Kind::Stays,
            "closes" => Kind::Closes,
            "resets" => Kind::Resets,
            "waits" => Kind::Waits,
            _ => panic!("{}: then is stays, closes, resets or waits", case.place),
        };
        assert!(how.is_empty() || whole || joined, "{}: then is followed by `, whole` or `, joined`", case.place);
        Self { kind, whole, joined }
    }
}

/// How a case failed: what about, what was wanted and what came.
struct Wrong(&'static str, Vec<u8>, Vec<u8>);

impl Wrong {
    fn told(&self, case: &Case, context: &str) -> String {
        case.differs(context, self.0, &self.1, &self.2)
    }
}

fn tried(
    case: &Case,
    then: &Then,
    (cut, way): (Cut, Way),
    (field, gate, recorder): (&Field, &Stand, &Recorder),
) -> Result<(), Wrong> {
    let upstream = recorder.address.to_string();
    let own = gate.address().to_string();
    let known = [(upstream.as_str(), "backend"), (own.as_str(), "gate")];
    let mut client = Client::come(field, gate.address(), way);
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
        let end = format!("<end: {:?}>", client.end());
        return Err(Wrong("the answer", want, [got, end.into_bytes()].concat()));
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
    if case.bytes("upstream") == CUT {
        return Ok(());
    }
    recorder
        .recorded(&way.told(case.bytes("upstream")), then.joined || cut != Cut::Whole, &known)
        .map_err(|(want, got)| Wrong("upstream", want, got))
}

/// A server behind that writes everything down that comes, and answers each request.
struct Recorder {
    address: SocketAddr,
    field: Field,
    record: Arc<Mutex<Vec<u8>>>,
    /// Connections that are open, and requests that came whole.
    counts: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Recorder {
    fn start(field: &Field) -> Self {
        let record = Arc::new(Mutex::new(Vec::new()));
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let (its, its_counts) = (Arc::clone(&record), Arc::clone(&counts));
        let accept = move |stream| -> Job {
            let (record, counts) = (Arc::clone(&its), Arc::clone(&its_counts));
            counts.0.fetch_add(1, Ordering::SeqCst);
            let recorded = Recorded { stream, bytes: Vec::new(), record, counts };
            Box::new(move || recorded.serve())
        };
        Self { address: field.listen(accept), field: field.clone(), record, counts }
    }

    /// Waits until every connection ended, and says whether a request came whole.
    fn nothing_whole(&self) -> Result<(), Wrong> {
        // Once this one is answered, nobody before it waits to be accepted.
        let mut last = self.field.connect(self.address, None);
        last.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it takes bytes");
        last.read_exact(&mut [0; 8]).expect("it answers");
        drop(last);
        self.field.until(PATIENCE, || self.counts.0.load(Ordering::SeqCst) == 0);
        if self.counts.1.load(Ordering::SeqCst) == 1 {
            return Ok(());
        }
        let got = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(Wrong("upstream, of which nothing must be whole", CUT.to_vec(), got))
    }

    /// What came since this was last asked must be what is wanted; waits for it. In `pieces` chunks may be cut at other
    /// places.
    fn recorded(&self, want: &[u8], pieces: bool, known: &[(&str, &str)]) -> Result<(), (Vec<u8>, Vec<u8>)> {
        let shape = |bytes: &[u8]| if pieces { joined(bytes) } else { bytes.to_vec() };
        let want = shape(want);
        let got = || shape(&settled(&self.record.lock().unwrap_or_else(PoisonError::into_inner), known));
        // What came and is not wanted does not go away.
        self.field.until(PATIENCE, || {
            let got = got();
            got == want || want.is_empty() && !got.is_empty()
        });
        let got = got();
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if got == want { Ok(()) } else { Err((want, got)) }
    }

    /// Forgets what a case that failed left.
    fn forget(&self) {
        self.field.pause(SILENCE);
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Requests with the chunks of each body joined to one; from where they are none, as they are.
pub(crate) fn joined(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(head) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let (front, mut after) = rest.split_at(head + 4);
        let text = String::from_utf8_lossy(front).into_owned();
        out.extend_from_slice(front);
        if text.contains("\r\nTransfer-Encoding: chunked\r\n") {
            let mut content = Vec::new();
            while let Some((chunk, behind)) = chunk(after) {
                content.extend_from_slice(chunk);
                after = behind;
            }
            if !content.is_empty() {
                out.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
                out.extend_from_slice(&content);
                out.extend_from_slice(b"\r\n");
            }
        } else if let Some((_, value)) = text.split_once("\r\nContent-Length: ") {
            let length = value.split("\r\n").next().and_then(|value| value.parse().ok()).unwrap_or(0);
            let (body, behind) = after.split_at(usize::min(length, after.len()));
            out.extend_from_slice(body);
            after = behind;
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// The content of the chunk that `bytes` begins with, and what is behind it; none at the last chunk.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok().filter(|size| *size > 0)?;
    let content = bytes.get(line + 2..line + 2 + size)?;
    Some((content, bytes.get(line + 2 + size + 2..)?))
}

/// One connection of the gate.
struct Recorded {
    stream: Box<dyn Duplex>,
    bytes: Vec<u8>,
    record: Arc<Mutex<Vec<u8>>>,
    counts: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.counts.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Recorded {
    /// Answers each request once all of it is there. One that does not come whole is recorded with `<cut>` behind it.
    fn serve(mut self) {
        loop {
            let whole = self.request();
            if whole.is_none() {
                if !self.bytes.is_empty() {
                    self.note(CUT);
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
        self.counts.1.fetch_add(1, Ordering::SeqCst);
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
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Self(std::env::temp_dir().join(format!("anygate-cases-{}-{number}", std::process::id())));
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

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
