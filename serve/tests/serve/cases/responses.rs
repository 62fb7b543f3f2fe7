//! Does whatever a server behind answers reach the client to the byte, or as an error the client can see?
//!
//! Each case runs on both drivers, on a new connection to the server and on one that carried a request before, the server's
//! bytes sent whole and in pieces. `ANYGATE_CASE=word` runs those whose name has the word.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anygate_shard::Io;
use anygate_shard::testing::reset;

use super::text::{Case, Piece, Table, tables};
use super::{Client, Cut, End, NOBODY, PATIENCE, SILENCE, settled};
use crate::harness::{Gate, both};
use crate::pipe::{WAYS, Way};

const COLUMNS: &[&str] = &["name", "send", "server", "get", "then"];

/// Steps of clients and of servers behind.
const STEPS: &[&str] = &["answered", "pause", "fin", "body", "close", "reset", "next"];

/// Asked on a connection before the case, to have one that was used.
const WARM: &[u8] = b"GET /warm HTTP/1.1\r\nHost: warm\r\n\r\n";
const WARMED: &str = "HTTP/1.1 204 No Content\r\nDate: <date>\r\n";

/// Asked behind the case: it shows where the answer ended, and which connection to the server comes next.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
const PROBED: &str = "HTTP/1.1 204 No Content\r\nDate: <date>\r\nConnection: close\r\n";

/// What ends both answers where the gate's name is not left out.
const VIA: &str = "Via: 1.1 anygate-test\r\n\r\n";

/// What the server answers to both.
const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n\r\n";

/// How many failures are told at once.
const TOLD: usize = 40;

#[test]
fn every_response_reaches_the_client_to_the_byte_or_as_an_error_it_can_see() {
    let tables = tables("responses", COLUMNS, STEPS);
    let wanted = std::env::var("ANYGATE_CASE").unwrap_or_default();
    let gates = || tables.iter().flat_map(|table| (0..table.gates.len()).map(move |at| (table, at)));
    both(|io| {
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for ((table, at), way) in gates().flat_map(|gate| WAYS.map(|way| (gate, way))) {
                let (failures, wanted) = (&failures, &wanted);
                scope.spawn(move || locked(failures).extend(run(io, way, table, at, wanted)));
            }
        });
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let told: String = failures.iter().take(TOLD).map(|failure| format!("{failure}\n")).collect();
        assert!(failures.is_empty(), "{} cases failed\n{told}", failures.len());
    });
}

/// The cases of one gate; what is wrong.
fn run(io: Io, way: Way, table: &Table, at: usize, wanted: &str) -> Vec<String> {
    let (name, config) = &table.gates[at];
    let behind = Behind::start();
    let config = config.replace("$BACKEND", &behind.address.to_string()).replace("$NOBODY", NOBODY);
    let end = if config.contains("via: false") { "\r\n" } else { VIA };
    let due = Due { warmed: format!("{WARMED}{end}").into(), probed: format!("{PROBED}{end}").into() };
    let gate = Gate::behind(io, way, &config);
    let mut wrong = Vec::new();
    for case in table.cases.iter().filter(|case| case.gate == at && case.word("name").contains(wanted)) {
        let then = Then::of(case);
        for kept in [false, true].into_iter().filter(|kept| then.kept.is_none_or(|only| only == *kept)) {
            for cut in [Cut::Whole, Cut::Pieces(case.place.bytes().map(u64::from).sum())] {
                if cut == Cut::Whole || !then.whole {
                    let on = if kept { "a connection used before" } else { "a new connection" };
                    let context = format!("{io:?}, {way:?}, gate {name}, {on}, {cut:?}");
                    let tried = tried(case, &then, &due, kept, (cut, way), &gate, &behind);
                    wrong.extend(tried.map_err(|(what, want, got)| case.differs(&context, what, &want, &got)).err());
                }
            }
        }
    }
    if gate.cells.panics.get() > 0 {
        wrong.push(format!("{io:?}, {way:?}, gate {name}: a connection panicked"));
    }
    wrong
}

/// The answers to [`WARM`] and [`PROBE`].
struct Due {
    warmed: Vec<u8>,
    probed: Vec<u8>,
}

/// What becomes of the connections.
struct Then {
    /// How the client's ends; `None`: it carries another request.
    end: Option<End>,
    /// The server's carries another request.
    reused: bool,
    /// Whether the case is for connections to the server that were used before, or for new ones; `None`: for both.
    kept: Option<bool>,
    /// The case depends on where the server's bytes are cut.
    whole: bool,
    /// A reset drops what is on its way: the client gets the head and as much of the rest as it has taken by then.
    part: bool,
}

impl Then {
    fn of(case: &Case) -> Self {
        let text = case.word("then");
        let words: Vec<&str> = text.split(", ").collect();
        let (client, server, rest) = match words[..] {
            [client, server, ref rest @ ..] => (client, server, rest),
            _ => panic!("{}: then says what becomes of both connections", case.place),
        };
        let known = |word: &&str| matches!(*word, "whole" | "part" | "fresh" | "kept");
        assert!(rest.iter().all(known), "{}: then may end in whole, part, fresh or kept", case.place);
        Self {
            end: match client {
                "stays" => None,
                "closes" => Some(End::Closed),
                "resets" => Some(End::Reset),
                _ => panic!("{}: the client's connection stays, closes or resets", case.place),
            },
            reused: match server {
                "reused" => true,
                "new" => false,
                _ => panic!("{}: the next request's connection to the server is reused or new", case.place),
            },
            kept: if rest.contains(&"kept") { Some(true) } else { rest.contains(&"fresh").then_some(false) },
            whole: rest.contains(&"whole"),
            part: rest.contains(&"part"),
        }
    }
}

/// How a case failed: what about, what was wanted and what came.
type Wrong = (&'static str, Vec<u8>, Vec<u8>);

fn tried(
    case: &Case,
    then: &Then,
    due: &Due,
    kept: bool,
    (cut, way): (Cut, Way),
    gate: &Gate,
    behind: &Behind,
) -> Result<(), Wrong> {
    behind.forget();
    behind.forget();
    behind.expect(case.pieces("server"), cut);
    let mut client = Client::connect(gate.address, way);
    if kept {
        client.speak_plain(WARM);
        client.hear(PATIENCE, |heard| heard.ends_with(b"\r\n\r\n"));
        same("the answer before", &due.warmed, &settled(&client.heard, &[]))?;
        client.heard.clear();
    }
    let mut want = case.bytes("get");
    client.speak(case.pieces("send"), Cut::Whole);
    if then.end.is_none() {
        client.hear(PATIENCE, |heard| heard.len() >= want.len() && settled(heard, &[]).len() >= want.len());
        client.speak_plain(PROBE);
        want.extend_from_slice(&due.probed);
    }
    client.hear(PATIENCE, |_| false);
    let got = settled(&client.heard, &[]);
    if then.part && got.windows(4).any(|four| four == b"\r\n\r\n") {
        want.truncate(got.len());
    }
    same("the answer", &want, &got)?;
    let told = |end: Option<End>| format!("{end:?}").into_bytes();
    same("the client's end", &told(Some(then.end.unwrap_or(End::Closed))), &told(client.end()))?;
    drop(client);
    // Until the gate has seen the end or the bytes that make it give the connection up, the next request may still go there.
    let over = || {
        if then.reused || behind.left() { Ok(()) } else { Err(("the server's end", b"ended".into(), b"open".into())) }
    };
    if then.end.is_some() {
        over()?;
        let mut other = Client::connect(gate.address, way);
        other.speak_plain(PROBE);
        other.hear(PATIENCE, |_| false);
        same("the next client's answer", &due.probed, &settled(&other.heard, &[]))?;
    }
    let (reused, unasked) = behind.told();
    let word = |reused: bool| if reused { b"reused".to_vec() } else { b"new".to_vec() };
    same("the next request's connection", &word(then.reused), &word(reused))?;
    same("answers nobody asked for", b"0", unasked.to_string().as_bytes())?;
    over()
}

fn same(what: &'static str, want: &[u8], got: &[u8]) -> Result<(), Wrong> {
    if want == got { Ok(()) } else { Err((what, want.to_vec(), got.to_vec())) }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server behind that does what a case says.
struct Behind {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// What is done with the case's requests, in their order.
    scripts: VecDeque<Vec<Piece>>,
    cut: Option<Cut>,
    /// Connections that the gate has, by number.
    open: HashMap<usize, TcpStream>,
    made: usize,
    /// Which carried the case's last request.
    case: Option<usize>,
    /// Which carried the probe's answer.
    probe: Option<usize>,
    /// Requests that came where the case has none.
    unasked: usize,
}

impl Behind {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let its = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_nodelay(true).expect("a socket option");
                let number = {
                    let mut state = locked(&its.0);
                    state.made += 1;
                    let number = state.made;
                    state.open.insert(number, stream.try_clone().expect("a descriptor"));
                    number
                };
                let state = Arc::clone(&its);
                std::thread::spawn(move || {
                    let mut served = Served { stream, seen: Vec::new(), number, state };
                    while served.serve().is_some() {}
                    let Served { stream, state, .. } = served;
                    locked(&state.0).open.remove(&number);
                    drop(stream);
                    state.1.notify_all();
                });
            }
        });
        Self { address, state }
    }

    /// Ends all connections and waits until that is done.
    fn forget(&self) {
        let mut state = locked(&self.state.0);
        for stream in state.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        while !state.open.is_empty() {
            state = self.state.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        *state = State { made: state.made, ..State::default() };
    }

    fn expect(&self, pieces: &[Piece], cut: Cut) {
        let mut state = locked(&self.state.0);
        let scripts = pieces.split(|piece| *piece == Piece::Step("next"));
        state.scripts = scripts.filter(|script| !script.is_empty()).map(<[Piece]>::to_vec).collect();
        state.cut = Some(cut);
    }

    /// Whether the probe came on the case's connection, and how many requests and answers were one too many.
    fn told(&self) -> (bool, usize) {
        let state = locked(&self.state.0);
        (state.case.is_some() && state.case == state.probe, state.unasked + state.scripts.len())
    }

    /// Whether the gate ends the case's connection in time.
    fn left(&self) -> bool {
        let state = locked(&self.state.0);
        let open = |state: &mut State| state.case.is_some_and(|case| state.open.contains_key(&case));
        let waited = self.state.1.wait_timeout_while(state, PATIENCE, open);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// One connection of the gate.
struct Served {
    stream: TcpStream,
    /// What came and was not used.
    seen: Vec<u8>,
    number: usize,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Served {
    /// Serves one request; `None` at the connection's end.
    fn serve(&mut self) -> Option<()> {
        let end = self.until(b"\r\n\r\n")?;
        let head: Vec<u8> = self.seen.drain(..end).collect();
        let head = String::from_utf8_lossy(&head);
        let (script, cut) = {
            let mut state = locked(&self.state.0);
            let path = head.split(' ').nth(1).unwrap_or_default();
            if path == "/probe" {
                // The gate asks elsewhere what is not answered here.
                if self.stream.write_all(EMPTY).is_ok() {
                    state.probe = Some(self.number);
                }
                return Some(());
            }
            if path == "/warm" {
                (vec![Piece::Bytes(EMPTY.to_vec())], Cut::Whole)
            } else {
                state.case = Some(self.number);
                state.unasked += usize::from(state.scripts.is_empty());
                (state.scripts.pop_front()?, state.cut?)
            }
        };
        for piece in &script {
            self.act(piece, cut, &head)?;
        }
        Some(())
    }

    fn act(&mut self, piece: &Piece, cut: Cut, head: &str) -> Option<()> {
        match piece {
            Piece::Bytes(bytes) => {
                cut.send(&mut self.stream, bytes);
                Some(())
            }
            Piece::Step("pause") => {
                std::thread::sleep(SILENCE);
                Some(())
            }
            Piece::Step("body") => self.body(head),
            Piece::Step("fin") => self.stream.shutdown(Shutdown::Write).ok(),
            Piece::Step("close") => None,
            Piece::Step("reset") => {
                reset(&self.stream);
                None
            }
            Piece::Step(step) => panic!("no server can {step}"),
        }
    }

    /// The rest of a request's body.
    fn body(&mut self, head: &str) -> Option<()> {
        let lower = head.to_ascii_lowercase();
        let mut end = 0;
        if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
            end = self.until(b"0\r\n\r\n")?;
        } else if let Some(length) = lower.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            end = length.parse::<usize>().expect("a number");
            while self.seen.len() < end {
                self.more()?;
            }
        }
        self.seen.drain(..end);
        Some(())
    }

    /// Where the first `end` ends.
    fn until(&mut self, end: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.seen.windows(end.len()).position(|window| window == end) {
                return Some(at + end.len());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 64 * 1024];
        let n = self.stream.read(&mut bytes).ok().filter(|n| *n > 0)?;
        self.seen.extend_from_slice(&bytes[..n]);
        Some(())
    }
}
