//! What must hold for any bytes, told to libFuzzer: one module a target, each with `run`, which panics where it does not.
//!
//! `cargo xtask fuzz` builds the targets with coverage and runs them. Every oracle here compares with something that was
//! written apart from what it judges: the same bytes in pieces, the same message written again, a naive reader.
#![forbid(unsafe_code)]

pub mod chunked_body;
pub mod config;
pub mod connection;
pub mod h2_answers;
pub mod h2_connection;
mod h2_pipe;
pub mod h2_requests;
mod house;
pub mod hpack;
pub mod naive;
pub mod naive_hpack;
pub mod random;
pub mod request_head;
pub mod response_head;
pub mod route;
pub mod tls;

/// Bytes, as a person reads them in a panic's message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Numbers from the bytes at the front of an input; 0 where there are none.
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
}

impl<'a> Numbers<'a> {
    /// From these bytes.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte.
    pub(crate) fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    /// One of `0..bound`, which is at most 256.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}
