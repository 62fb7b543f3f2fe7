//! How field sections are compressed in HTTP/2: HPACK (RFC 7541).
//!
//! Both directions keep a dynamic table that lives as long as the connection; blocks must be decoded and written in the
//! order of the wire. A [`Block`] needs no table: it is compiled once and serves every connection.

mod block;
mod decode;
mod encode;
mod huffman;
mod integer;
mod name;
mod statics;
mod table;

pub use block::Block;
pub use decode::{Decoder, Line};
pub use encode::{Encoder, Indexing};
pub use name::Name;

use std::fmt;

/// The size of a dynamic table before a SETTINGS frame says another, in bytes as RFC 7541 §4.1 counts them
/// (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_SIZE: u32 = 4096;

/// What a field counts beyond its name and value, in a dynamic table and against a limit on header lists (RFC 7541 §4.1,
/// RFC 9113 §6.5.2).
pub const FIELD_OVERHEAD: usize = 32;

/// Why a block cannot be decoded. The tables of both sides differ from then on: the connection ends with
/// COMPRESSION_ERROR (RFC 9113 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The block ends within a representation.
    Truncated,
    /// An integer is above 2^32 - 1, or in more bytes than that needs (RFC 7541 §5.1).
    Integer,
    /// A Huffman code that ends in anything but up to seven ones, or holds the end-of-string symbol (RFC 7541 §5.2).
    Huffman,
    /// Index 0, or one beyond both tables (RFC 7541 §2.3.3).
    Index,
    /// A table size above what was announced (RFC 7541 §6.3).
    TableSize,
    /// A table size update behind a field (RFC 7541 §4.2).
    LateUpdate,
    /// A list of more than [`Decoder::bounded`] allows.
    TooLong,
    /// No table size update although the announced size was reduced below the table's (RFC 9113 §4.3.1).
    NoUpdate,
}

impl Error {
    /// The error in words, for a log or GOAWAY's debug data.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Truncated => "a field block ends within a field",
            Self::Integer => "an integer in a field block is too large",
            Self::Huffman => "a Huffman code in a field block is not valid",
            Self::Index => "a field block names an entry that is in no table",
            Self::TableSize => "a table size update is above the announced size",
            Self::LateUpdate => "a table size update stands behind a field",
            Self::TooLong => "a field block means too much",
            Self::NoUpdate => "a table size update is missing after a reduction",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for Error {}
