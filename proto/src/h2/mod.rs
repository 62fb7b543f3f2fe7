//! How HTTP/2 is spoken by a server (RFC 9113): bytes of a connection to events, and answers to bytes.
//!
//! [`Connection`] is the whole of it: it knows no clock, no socket and no thread. `LIFECYCLE.md` beside this file shows
//! the states of connections and streams.
//!
//! | module | what it answers |
//! |---|---|
//! | `connection` | what a connection is, and how it begins, rests and ends |
//! | `receive` | what each frame means |
//! | `content` | how DATA is taken in |
//! | `block` | what a header block means |
//! | `section` | whether a list of fields is a good head, good trailers, or neither |
//! | `send` | how answers leave, and in which order |
//! | `stream`, `order`, `flow` | which streams there are, whose turn it is, how much may be sent |
//! | `priority`, `dictionary` | which of two answers goes first, and how that is said |
//! | `frame`, `settings`, `code` | how it looks on the wire |
//! | `floods`, `limits` | how much a client may ask for |
//! | [`hpack`] | how fields are compressed (RFC 7541) |

mod block;
mod code;
mod connection;
mod content;
mod dictionary;
mod event;
mod floods;
mod flow;
pub mod frame;
pub mod hpack;
mod limits;
mod order;
mod priority;
mod receive;
mod section;
mod send;
mod settings;
mod stream;

pub use code::ErrorCode;
pub use connection::Connection;
pub use event::{Event, Fatal, Flood, StreamKey};
pub use limits::Limits;
pub use priority::{Priority, PriorityField};
pub use settings::Settings;

/// What a client sends first (RFC 9113 §3.4); an HTTP/1.1 server must not take it for a request.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
