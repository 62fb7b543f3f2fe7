//! HTTP/1.1 and HTTP/1.0 on the wire (RFC 9112): reading heads and chunked bodies, writing and forwarding heads.

pub mod chunked;
pub mod forward;
mod framing;
mod hop;
pub mod request;
pub mod response;
pub mod sink;
pub mod write;

pub(crate) use hop::may_be_trailer;

/// What a head may weigh. What is over it is refused with the status that names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a request target: 414 beyond.
    pub max_uri: usize,
    /// Bytes of a whole head: 431 beyond (502 in a response).
    pub max_header_size: usize,
    /// Field lines: 431 beyond (502 in a response). At most [`Limits::MOST_HEADERS`] count.
    pub max_headers: usize,
}

impl Limits {
    /// What `max_headers` can be at most.
    pub const MOST_HEADERS: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_uri: 8 << 10, max_header_size: 32 << 10, max_headers: 100 }
    }
}

/// The outcome of reading something that may not be there whole yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<T> {
    /// All of it was there.
    Complete(T),
    /// More bytes are needed; call again with all of them, from the same first byte.
    Partial,
}

/// Field storage on the stack for httparse; uninitialised, so its size costs nothing.
macro_rules! headers_on_stack {
    () => {
        [const { std::mem::MaybeUninit::<httparse::Header<'_>>::uninit() }; $crate::h1::Limits::MOST_HEADERS]
    };
}
use headers_on_stack;
