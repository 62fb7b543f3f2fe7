//! Conformance in tables: one line a case, raw bytes in, exact bytes out, on both drivers.
//!
//! `tests/cases/requests*.txt` says what clients send and what servers behind get of it ([`requests`]). The line format is told
//! in [`text`]; each file's first lines tell its columns. To add a case, add a line.

pub(crate) mod requests;
mod responses;
pub(crate) mod text;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use text::Piece;

use crate::ground::Field;
use crate::pipe::{Carrier, Pipe, Way, keys};

/// How long a case waits for bytes that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing may come where nothing must.
pub(crate) const SILENCE: Duration = Duration::from_millis(25);

/// Where nobody listens, nor any other test: a port that is given to nobody who does not ask for it.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// Steps a client takes between bytes.
const CLIENT_STEPS: &[&str] = &["answered", "pause", "fin"];

/// How a client's bytes are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As few pieces as the steps allow.
    Whole,
    /// A byte at a time; long ones, at places this seed chooses.
    Pieces(u64),
}

impl Cut {
    /// Sends as much as the gate takes, cut so.
    pub(crate) fn send(self, stream: &mut impl Write, bytes: &[u8]) {
        let mut dice = match self {
            Cut::Whole => {
                let _ = stream.write_all(bytes);
                return;
            }
            Cut::Pieces(seed) => Dice(seed | 1),
        };
        let largest = bytes.len() / 64 + 1;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((dice.below(largest) + 1).min(rest.len()));
            if stream.write_all(piece).is_err() {
                return;
            }
            rest = after;
            std::thread::yield_now();
        }
    }
}

/// A client's end of a conversation.
pub(crate) struct Client {
    stream: Box<dyn Carrier>,
    heard: Vec<u8>,
    /// Where the last head ends that was awaited.
    noticed: usize,
    end: Option<End>,
}

/// How the gate ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, way: Way) -> Self {
        Self::over(Box::new(Pipe::connect(address, way)))
    }

    /// Comes to a gate on this field.
    pub(crate) fn come(field: &Field, address: SocketAddr, way: Way) -> Self {
        Self::over(field.connect(address, (way == Way::Tls).then(|| Arc::clone(&keys().client))))
    }

    fn over(stream: Box<dyn Carrier>) -> Self {
        Self { stream, heard: Vec::new(), noticed: 0, end: None }
    }

    /// Sends what a cell says. That the gate takes no more is no failure: it may have refused already.
    pub(crate) fn speak(&mut self, pieces: &[Piece], cut: Cut) {
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => cut.send(&mut self.stream, bytes),
                Piece::Step("answered") => self.answered(),
                Piece::Step("pause") => self.stream.pause(SILENCE),
                Piece::Step("fin") => {
                    let _ = self.stream.finish();
                }
                Piece::Step(step) => panic!("no client can {step}"),
            }
        }
    }

    /// Waits for one more head.
    fn answered(&mut self) {
        let since = self.noticed;
        let end =
            |heard: &[u8]| heard[since..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| since + at + 4);
        self.noticed = end(self.hear(PATIENCE, |heard| end(heard).is_some())).unwrap_or(since);
    }

    /// Listens until `enough`, the end of the stream, or for `patience`.
    pub(crate) fn hear(&mut self, patience: Duration, enough: impl Fn(&[u8]) -> bool) -> &[u8] {
        let until = self.stream.now() + patience;
        while self.end.is_none() && !enough(&self.heard) {
            let left = until.saturating_sub(self.stream.now());
            if left.is_zero() {
                break;
            }
            self.stream.wait_at_most(left);
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(n) => self.heard.extend_from_slice(&bytes[..n]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    ErrorKind::ConnectionReset => self.end = Some(End::Reset),
                    _ => panic!("{error}"),
                },
            }
        }
        &self.heard
    }

    /// Sends bytes in one piece.
    pub(crate) fn speak_plain(&mut self, bytes: &[u8]) {
        Cut::Whole.send(&mut self.stream, bytes);
    }

    /// Its own address, as the gate sees it.
    pub(crate) fn address(&self) -> String {
        self.stream.local().to_string()
    }

    /// How the connection ended, if it did.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }
}

/// Numbers that look random and are the same for a seed (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// What differs from run to run, replaced: `Date: <date>`, and `<as>` for what each of `known` is.
pub(crate) fn settled(bytes: &[u8], known: &[(&str, &str)]) -> Vec<u8> {
    const DATE: &[u8] = b"\r\nDate: ";
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if rest.starts_with(DATE) && rest.get(DATE.len() + 25..DATE.len() + 31) == Some(b" GMT\r\n") {
            out.extend_from_slice(b"\r\nDate: <date>");
            rest = &rest[DATE.len() + 29..];
        } else if let Some((what, name)) = known.iter().find(|(what, _)| rest.starts_with(what.as_bytes())) {
            out.extend_from_slice(format!("<{name}>").as_bytes());
            rest = &rest[what.len()..];
        } else {
            let special = |b: u8| b == b'\r' || known.iter().any(|(what, _)| what.as_bytes().first() == Some(&b));
            let plain = 1 + rest[1..].iter().take_while(|b| !special(**b)).count();
            out.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
        }
    }
    out
}
