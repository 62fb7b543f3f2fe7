//! What went wrong with one exchange, whose fault it was, how far it had come, and whether it may be tried again.

use std::fmt;
use std::io;

use crate::observe::limit::Limit;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message that breaks the protocol; `status` is what the requirement names (400, 414, 431, 501, 505 …).
    Malformed {
        /// Answer for a fault of the client.
        status: u16,
    },
    /// A body longer than its limit (413).
    TooLarge,
    /// A peer was too slow: 408 towards a client, 504 for an upstream.
    Timeout,
    /// A body slower than `min_body_rate` (408).
    TooSlow,
    /// A client that took nothing of its answer for too long: cut.
    NotTaken,
    /// A client that took its answer more slowly than `min_send_rate`: cut.
    TakenTooSlowly,
    /// The peer closed where more was due: a truncated head or body.
    Truncated,
    /// The connection broke: reset, unreachable.
    Broken,
    /// The client left while its answer was awaited: nobody is there to be told.
    Gone,
    /// No connection to an upstream could be made (502).
    Connect,
    /// There is no usable upstream: nothing resolved, nothing up (503).
    Unavailable,
    /// A request that came back to the gate that sent it (508).
    Loop,
    /// A fault of our own (500).
    Internal,
}

/// Who caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Downstream,
    /// A server behind.
    Upstream,
    /// This process.
    Internal,
}

/// How far the message had come that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of its head was used.
    BeforeHead,
    /// Its head was complete, its body had not begun.
    AfterHead,
    /// In its body: nothing but cutting the connection tells the receiver.
    InBody,
}

/// Whether another try may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// Yes: no byte of the request has left.
    Safe,
    /// When the method is idempotent (RFC 9110 §9.2.2).
    IfIdempotent,
}

/// The error of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// Who caused it.
    pub side: Side,
    /// How far it had come.
    pub phase: Phase,
    /// Whether another try may be made.
    pub retry: Retry,
}

impl Error {
    /// An error of `side`, never to be retried.
    #[must_use]
    pub fn new(kind: Kind, side: Side, phase: Phase) -> Self {
        Self { kind, side, phase, retry: Retry::Never }
    }

    /// The same with a word on retrying.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// What a socket's error means for an exchange.
    #[must_use]
    pub fn from_io(error: &io::Error, side: Side, phase: Phase) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => Kind::Timeout,
            io::ErrorKind::UnexpectedEof => Kind::Truncated,
            _ => Kind::Broken,
        };
        Self::new(kind, side, phase)
    }

    /// The status an h1 or h2 client gets, while its head has not been sent (RFC 9110 §15).
    #[must_use]
    pub fn status(self) -> u16 {
        match (self.kind, self.side) {
            (Kind::Malformed { status }, Side::Downstream) => status,
            (Kind::TooLarge, Side::Downstream) => 413,
            (Kind::Timeout | Kind::TooSlow | Kind::NotTaken | Kind::TakenTooSlowly, Side::Downstream) => 408,
            (Kind::Truncated | Kind::Broken | Kind::Gone, Side::Downstream) => 400,
            (Kind::Timeout | Kind::TooSlow, Side::Upstream) => 504,
            (Kind::Unavailable, _) => 503,
            (Kind::Loop, _) => 508,
            (_, Side::Upstream) => 502,
            _ => 500,
        }
    }

    /// The limit that a client reached, where that is what went wrong.
    #[must_use]
    pub fn limit(self) -> Option<Limit> {
        if self.side != Side::Downstream {
            return None;
        }
        match self.kind {
            Kind::TooLarge => Some(Limit::Body),
            Kind::Timeout => Some(Limit::Read),
            Kind::TooSlow => Some(Limit::BodyRate),
            Kind::NotTaken => Some(Limit::Write),
            Kind::TakenTooSlowly => Some(Limit::SendRate),
            _ => None,
        }
    }

    /// True when the client's connection must be closed after the answer.
    #[must_use]
    pub fn closes_downstream(self) -> bool {
        self.side == Side::Downstream || self.phase == Phase::InBody
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Downstream => "client",
            Side::Upstream => "upstream",
            Side::Internal => "server",
        };
        let kind = match self.kind {
            Kind::Malformed { .. } => "sent a malformed message",
            Kind::TooLarge => "sent a body over its limit",
            Kind::Timeout => "was too slow",
            Kind::TooSlow => "fell below the minimum body rate",
            Kind::NotTaken => "took nothing of its answer",
            Kind::TakenTooSlowly => "took its answer too slowly",
            Kind::Truncated => "closed in mid-message",
            Kind::Broken => "broke the connection",
            Kind::Gone => "left before its answer",
            Kind::Connect => "refused the connection",
            Kind::Unavailable => "is not available",
            Kind::Loop => "sent the request in a loop",
            Kind::Internal => "failed",
        };
        write!(f, "{side} {kind}")
    }
}

impl std::error::Error for Error {}

/// True when there was no descriptor, for the process or the whole system (EMFILE, ENFILE): closing others cures it.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
