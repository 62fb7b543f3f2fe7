//! What a peer did wrong, and what it gets for it.

use std::fmt;

/// A message that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reject {
    /// The status to answer with: 4xx and 5xx for a request, 502 for an upstream's response.
    pub status: u16,
    /// What was wrong, for the log; holds nothing of what the peer sent.
    pub reason: &'static str,
    /// Whether the connection must be closed after the answer, because where the next message starts is not known.
    pub close: bool,
}

impl Reject {
    /// Refuses and closes.
    pub(crate) const fn closing(status: u16, reason: &'static str) -> Self {
        Self { status, reason, close: true }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for Reject {}
