//! What does a server behind get of the requests, and what does it answer?

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

use super::words::Item;
use crate::cases::requests::joined;
use crate::cases::{PATIENCE, SILENCE, settled};
use crate::ground::{Duplex, Field, Job};

/// Recorded where a connection ends in mid-request; alone in a cell: perhaps a part of a request, and nothing whole.
pub(crate) const CUT: &[u8] = b"<cut>";

/// Before the key of a WebSocket, in small letters.
const KEY: &str = "sec-websocket-key: ";

/// Answered where the table says nothing.
const UP: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Length: 2\r\n\r\n";

/// A server behind that writes everything down that comes.
pub(crate) struct Behind {
    pub(crate) address: SocketAddr,
    field: Field,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    record: Vec<u8>,
    /// What is done with the next requests.
    scripts: VecDeque<Item>,
    /// Requests that came whole.
    whole: usize,
    /// How often all was forgotten.
    epoch: usize,
}

impl State {
    fn forget(&mut self) {
        *self = Self { epoch: self.epoch + 1, ..Self::default() };
    }
}

fn locked(of: &Mutex<State>) -> MutexGuard<'_, State> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Behind {
    pub(crate) fn start(field: &Field) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let its = Arc::clone(&state);
        let accept = move |stream| -> Job {
            let served = Served { stream, bytes: Vec::new(), epoch: 0, state: Arc::clone(&its) };
            Box::new(move || served.serve())
        };
        Self { address: field.listen(accept), field: field.clone(), state }
    }

    /// Says what is done with a request, behind what was said of others: the words of `script` are bytes, or one of the steps
    /// `body` (the whole request is awaited), `pause`, `fin`, `close`, `reset`, `raw` (bytes are taken to their end) and `echo`
    /// (and sent back). In bytes `$ACCEPT` is what goes with the key of a WebSocket.
    pub(crate) fn expect(&self, script: Item) {
        locked(&self.state).scripts.push_back(script);
    }

    /// Waits until this came, in however many chunks; false when it does not.
    pub(crate) fn heard(&self, what: &[u8]) -> bool {
        let came = || joined(&locked(&self.state).record).windows(what.len()).any(|window| window == what);
        self.field.until(PATIENCE, came)
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        locked(&self.state).forget();
    }

    /// What came since this was last asked must be what is wanted; waits for it. Chunks may be cut anywhere.
    pub(crate) fn recorded(&self, want: &[u8], known: &[(&str, &str)]) -> Result<(), (Vec<u8>, Vec<u8>)> {
        if want == CUT {
            self.field.pause(SILENCE);
            let state = locked(&self.state);
            let fine = state.whole == 0;
            let got = state.record.clone();
            drop(state);
            self.forget();
            return if fine { Ok(()) } else { Err((CUT.to_vec(), got)) };
        }
        let want = joined(want);
        let got = || joined(&settled(&without_keys(&locked(&self.state).record), known));
        // What came and is not wanted does not go away.
        self.field.until(PATIENCE, || {
            let got = got();
            got == want || (want.is_empty() && !got.is_empty())
        });
        let got = got();
        self.forget();
        if got == want { Ok(()) } else { Err((want, got)) }
    }
}

/// One connection of the gate.
struct Served {
    stream: Box<dyn Duplex>,
    bytes: Vec<u8>,
    /// When the request began that is coming.
    epoch: usize,
    state: Arc<Mutex<State>>,
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
        let script = locked(&self.state).scripts.pop_front();
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
                        b"pause" => self.stream.pause(SILENCE),
                        b"fin" => self.stream.fin().ok()?,
                        step @ (b"reset" | b"raw" | b"echo" | b"close") => {
                            self.bytes.drain(..head);
                            if step == b"reset" {
                                self.stream.reset();
                            }
                            if matches!(step, b"raw" | b"echo") {
                                self.tunnel(step == b"echo");
                            }
                            self.bytes.clear();
                            return None;
                        }
                        bytes => self.stream.write_all(&accepting(bytes, &text)).ok()?,
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

    /// Takes bytes to their end, and perhaps sends them back.
    fn tunnel(&mut self, echoes: bool) -> Option<()> {
        loop {
            if echoes {
                self.stream.write_all(&self.bytes).ok()?;
            }
            self.bytes.drain(..);
            self.more()?;
        }
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
        locked(&self.state).whole += 1;
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
        if self.bytes.is_empty() {
            self.epoch = locked(&self.state).epoch;
        }
        self.bytes.extend_from_slice(&bytes[..n]);
        self.note(&bytes[..n]);
        Some(())
    }

    /// Writes down what belongs to a request that began since all was forgotten last.
    fn note(&self, bytes: &[u8]) {
        let mut state = locked(&self.state);
        if state.epoch == self.epoch {
            state.record.extend_from_slice(bytes);
        }
    }
}

/// Bytes with what goes with the key in this head (RFC 6455 §4.2.2) for `$ACCEPT`.
fn accepting(bytes: &[u8], head: &str) -> Vec<u8> {
    const NAME: &str = "$ACCEPT";
    let Some(at) = bytes.windows(NAME.len()).position(|window| window == NAME.as_bytes()) else {
        return bytes.to_vec();
    };
    let key = head.lines().find_map(|line| line.to_ascii_lowercase().starts_with(KEY).then(|| &line[KEY.len()..]));
    let text = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap_or_default());
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    [&bytes[..at], base64(digest.as_ref()).as_bytes(), &bytes[at + NAME.len()..]].concat()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(*three.get(at).unwrap_or(&0)));
        let digit = |at: usize| {
            if at > three.len() { '=' } else { char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]) }
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// A record with `<key>` for the key of a WebSocket, which is another each time.
fn without_keys(record: &[u8]) -> Vec<u8> {
    let lower = record.to_ascii_lowercase();
    match lower.windows(KEY.len()).position(|window| window == KEY.as_bytes()) {
        Some(at) => {
            let (front, rest) = record.split_at(at + KEY.len());
            let end = rest.iter().position(|byte| *byte == b'\r').unwrap_or(rest.len());
            [front, b"<key>", &without_keys(&rest[end..])].concat()
        }
        None => record.to_vec(),
    }
}

#[test]
fn the_example_of_the_rfc_is_accepted_as_it_is_there() {
    let head = "GET /chat HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(accepting(b"a: $ACCEPT;", head), b"a: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=;");
    assert_eq!(without_keys(head.as_bytes()), b"GET /chat HTTP/1.1\r\nSec-WebSocket-Key: <key>\r\n\r\n");
}
