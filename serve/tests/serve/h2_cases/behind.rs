//! What does a server behind get of the requests, and what does it answer?

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anygate_shard::testing::reset;

use super::words::Item;
use crate::cases::requests::joined;
use crate::cases::{PATIENCE, SILENCE, settled};

/// Recorded where a connection ends in mid-request; alone in a cell: perhaps a part of a request, and nothing whole.
pub(crate) const CUT: &[u8] = b"<cut>";

/// Answered where the table says nothing.
const UP: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Length: 2\r\n\r\n";

/// A server behind that writes everything down that comes.
pub(crate) struct Behind {
    pub(crate) address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    record: Vec<u8>,
    /// What is done with the next requests.
    scripts: VecDeque<Item>,
    /// Requests that came whole.
    whole: usize,
}

fn locked(of: &Mutex<State>) -> MutexGuard<'_, State> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Behind {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let its = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_nodelay(true).expect("a socket option");
                let state = Arc::clone(&its);
                std::thread::spawn(move || Served { stream, bytes: Vec::new(), state }.serve());
            }
        });
        Self { address, state }
    }

    /// Says what is done with a request, behind what was said of others: the words of `script` are bytes, or one of the steps
    /// `body` (the whole request is awaited), `pause`, `fin`, `close`, `reset` and `raw` (bytes are taken to their end).
    pub(crate) fn expect(&self, script: Item) {
        locked(&self.state.0).scripts.push_back(script);
    }

    /// Waits until this came, in however many chunks; false when it does not.
    pub(crate) fn heard(&self, what: &[u8]) -> bool {
        let missing = |state: &mut State| !joined(&state.record).windows(what.len()).any(|window| window == what);
        let waited = self.state.1.wait_timeout_while(locked(&self.state.0), PATIENCE, missing);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        *locked(&self.state.0) = State::default();
    }

    /// What came since this was last asked must be what is wanted; waits for it. Chunks may be cut anywhere.
    pub(crate) fn recorded(&self, want: &[u8], known: &[(&str, &str)]) -> Result<(), (Vec<u8>, Vec<u8>)> {
        if want == CUT {
            std::thread::sleep(SILENCE);
            let state = locked(&self.state.0);
            let fine = state.whole == 0;
            let got = state.record.clone();
            drop(state);
            self.forget();
            return if fine { Ok(()) } else { Err((CUT.to_vec(), got)) };
        }
        let want = joined(want);
        let until = Instant::now() + PATIENCE;
        let mut state = locked(&self.state.0);
        loop {
            let got = joined(&settled(&state.record, known));
            // What came and is not wanted does not go away.
            if got == want || Instant::now() > until || (want.is_empty() && !got.is_empty()) {
                *state = State::default();
                return if got == want { Ok(()) } else { Err((want, got)) };
            }
            let left = until.saturating_duration_since(Instant::now());
            state = self.state.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One connection of the gate.
struct Served {
    stream: TcpStream,
    bytes: Vec<u8>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Served {
    fn serve(mut self) {
        while self.request().is_some() {}
        if !self.bytes.is_empty() {
            self.note(CUT);
        }
    }

    fn request(&mut self) -> Option<()> {
        let head = self.until(b"\r\n\r\n", 0)?;
        let text = String::from_utf8_lossy(&self.bytes[..head]).into_owned();
        let script = locked(&self.state.0).scripts.pop_front();
        let mut end = None;
        match script {
            None => {
                end = Some(self.body(&text, head)?);
                self.stream.write_all(UP).ok()?;
                if !text.starts_with("HEAD ") {
                    self.stream.write_all(b"up").ok()?;
                }
            }
            Some(script) => {
                for word in &script {
                    match word.as_slice() {
                        b"body" => end = Some(self.body(&text, head)?),
                        b"pause" => std::thread::sleep(SILENCE),
                        b"fin" => self.stream.shutdown(Shutdown::Write).ok()?,
                        step @ (b"reset" | b"raw" | b"close") => {
                            self.bytes.clear();
                            if step == b"reset" {
                                reset(&self.stream);
                            }
                            while step == b"raw" && self.more().is_some() {
                                self.bytes.clear();
                            }
                            return None;
                        }
                        bytes => self.stream.write_all(bytes).ok()?,
                    }
                }
            }
        }
        let end = match end {
            Some(end) => end,
            None => self.body(&text, head)?,
        };
        self.bytes.drain(..end);
        Some(())
    }

    /// Where the body ends of the request with this head.
    fn body(&mut self, text: &str, head: usize) -> Option<usize> {
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
        locked(&self.state.0).whole += 1;
        Some(end)
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
        locked(&self.state.0).record.extend_from_slice(bytes);
        self.state.1.notify_all();
    }
}
