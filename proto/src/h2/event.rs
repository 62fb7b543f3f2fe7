//! What the codec tells its user, and how it is told that a connection is at its end.

use std::fmt;
use std::ops::Range;

use super::code::ErrorCode;

/// A stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamKey {
    /// A dense number, below [`super::Limits::max_streams`]: for tables of the user's own. It is used again once the
    /// stream is over.
    pub index: u32,
    /// The stream identifier (RFC 9113 §5.1.1); never used again.
    pub id: u32,
}

/// What came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A good request head: [`super::Connection::request`].
    Request {
        /// The stream it opened.
        stream: StreamKey,
        /// Whether no content and no trailers follow.
        end: bool,
    },
    /// A head that breaks a limit, or HTTP but not HTTP/2: answer this status, then the stream is over. What of the head
    /// was read before it was refused is in [`super::Connection::request`], for the log.
    Refused {
        /// The stream it opened.
        stream: StreamKey,
        /// 400, 414 or 431.
        status: u16,
        /// Whether no content and no trailers follow.
        end: bool,
    },
    /// Content. Give it back by [`super::Connection::consumed`] once it is taken.
    Data {
        /// The stream it belongs to.
        stream: StreamKey,
        /// Where it is in the input; empty only together with `end`.
        range: Range<usize>,
        /// Whether the request ends here.
        end: bool,
    },
    /// The trailers of a request, [`super::Connection::trailers`], and with them its end.
    Trailers {
        /// The stream they belong to.
        stream: StreamKey,
    },
    /// The stream is over. What is done for it is dropped; nothing can be sent on it any more.
    Reset {
        /// The stream.
        stream: StreamKey,
        /// Why.
        code: ErrorCode,
        /// By RST_STREAM; else because the client broke the protocol on this stream, and was sent an RST_STREAM.
        by_client: bool,
    },
    /// GOAWAY: the client will be gone once its open streams are done.
    GoAway {
        /// Why.
        code: ErrorCode,
    },
}

/// The connection is at its end: GOAWAY is in [`super::Connection::output`]; send it and close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fatal {
    /// What GOAWAY says.
    pub code: ErrorCode,
    /// What was wrong, for the log; holds nothing of what the peer sent.
    pub why: &'static str,
    /// Which budget was used up, where that was it.
    pub flood: Option<Flood>,
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.why)
    }
}

impl std::error::Error for Fatal {}

/// What a client does too much of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flood {
    /// Streams that it resets, or makes us reset.
    Resets,
    /// PING.
    Pings,
    /// SETTINGS.
    Settings,
    /// DATA and CONTINUATION that carry nothing and end nothing.
    EmptyData,
    /// WINDOW_UPDATE.
    WindowUpdates,
    /// PRIORITY and PRIORITY_UPDATE.
    Priorities,
    /// Frames of unknown kinds.
    Unknown,
    /// Frames or bytes of one header block, or of what it means.
    Continuations,
}
