//! A client's HTTP/2 connection (RFC 9113): a row like any other client's, without a task.
//!
//! What comes is taken in by the row (`link`): requests whose answers are ready are answered on the spot (`short`), each
//! of the others becomes a task (`serve`), which speaks with its client through a [`Stream`]. What leaves is gathered at the
//! turn's end (`output`): frames of the connection and heads first, then content in the order of RFC 9218. Bytes and frames
//! are [`anygate_proto::h2`]'s.

mod body;
mod fields;
mod half;
pub(crate) mod link;
mod links;
mod output;
mod receive;
mod received;
mod relay;
mod serve;
mod short;
mod stream;
mod watch;
mod websocket;

pub use body::StreamBody;
pub use stream::Stream;

pub use link::Link;
pub(crate) use link::{begin, drain, expired, ready, turn_ended};
pub(crate) use links::Links;

use anygate_proto::h2::PREFACE;

use crate::wire::Wire;

/// The protocol's name in a TLS handshake (RFC 7301).
pub(crate) const PROTOCOL: &[u8] = b"h2";

/// Bytes of the preface from which on it cannot be a request of HTTP/1.1: its method.
const METHOD: usize = 4;

/// True where these first bytes of a plain connection begin HTTP/2 with prior knowledge (RFC 9113 §3.3).
#[inline]
pub(crate) fn is_meant(bytes: &[u8]) -> bool {
    bytes.len() >= METHOD && bytes[..METHOD] == PREFACE[..METHOD]
}

/// True where HTTP/2 was agreed on in the TLS handshake.
pub(crate) fn is_agreed(wire: &Wire) -> bool {
    wire.tls().is_some_and(|tls| tls.agreed.protocol.as_deref() == Some(PROTOCOL))
}
