//! A message's content on its way, in either direction: pulled a chunk at a time, so that the slower side sets the pace.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_proto::head::Fields;
use anygate_shard::file::File;
use anygate_shard::{Bytes, SocketId};

use crate::connection::h2::StreamBody;
use crate::connection::reader::Reader;
use crate::error::{Error, Side};
use crate::upstream::Content;

/// A message's content.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// All of it, in memory.
    Bytes(Bytes),
    /// A range of a file.
    File(FileRange),
    /// What an HTTP/1.1 connection delivers.
    H1(Rc<RefCell<Reader>>),
    /// What a stream of HTTP/2 delivers.
    H2(Box<StreamBody>),
    /// What a server behind delivers.
    Upstream(Box<Content>),
}

/// A range of an open file.
#[derive(Debug, Clone)]
pub struct FileRange {
    /// The file.
    pub file: File,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// One pull's result.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes, never none.
    Bytes(Bytes),
    /// A range of a file, to be sent by the kernel.
    File(FileRange),
    /// The trailer section, and the clean end.
    Trailers(Box<Trailers>),
    /// The clean end.
    End,
}

/// A trailer section (RFC 9110 §6.5).
#[derive(Debug)]
pub struct Trailers {
    /// Its field lines as they came.
    pub lines: Vec<u8>,
    /// Where in them the fields are.
    pub fields: Fields,
}

/// What the kernel may move without us: `len` bytes that arrive on `socket`.
#[derive(Debug, Clone, Copy)]
pub struct SpliceSource {
    /// Where they arrive.
    pub socket: SocketId,
    /// How many are still due.
    pub len: u64,
    /// Who sends them.
    pub side: Side,
    /// Longest wait for more of them.
    pub timeout: Duration,
}

/// Least known remainder, in bytes, from which a splice beats copying.
pub const SPLICE_MIN: u64 = 64 * 1024;

impl Body {
    /// The next chunk. The first pull of a request's body sends `100 Continue` where it is awaited.
    ///
    /// # Errors
    /// The sender failed; a truncated body is an error, never an end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        match self {
            Self::Empty => Poll::Ready(Ok(Chunk::End)),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Ok(if bytes.is_empty() { Chunk::End } else { Chunk::Bytes(bytes) }))
            }
            Self::File(range) => {
                let range = range.clone();
                *self = Self::Empty;
                Poll::Ready(Ok(if range.len == 0 { Chunk::End } else { Chunk::File(range) }))
            }
            Self::H1(reader) => reader.borrow_mut().poll_chunk(cx),
            Self::H2(body) => body.poll_chunk(cx),
            Self::Upstream(content) => content.poll_chunk(cx),
        }
    }

    /// The same as a future.
    ///
    /// # Errors
    /// As [`Body::poll_chunk`].
    pub async fn chunk(&mut self) -> Result<Chunk, Error> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Bytes still to come, where that is known.
    #[must_use]
    pub fn len_hint(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(range) => Some(range.len),
            Self::H1(reader) => reader.borrow().body_left(),
            Self::H2(body) => body.len_hint(),
            Self::Upstream(content) => content.len_hint(),
        }
    }

    /// True when it is known that nothing comes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_hint() == Some(0)
    }

    /// Where the rest can be spliced from, when it is long enough and nothing looks at it on the way.
    #[must_use]
    pub fn splice_source(&self) -> Option<SpliceSource> {
        match self {
            Self::H1(reader) => reader.borrow().splice_source(),
            Self::Upstream(content) => content.splice_source(),
            _ => None,
        }
        .filter(|source| source.len >= SPLICE_MIN)
    }

    /// `n` bytes of the [`SpliceSource`] were moved, for which its sender was `waited` for.
    ///
    /// # Errors
    /// They came too slowly.
    pub fn spliced(&mut self, n: u64, waited: Duration) -> Result<(), Error> {
        match self {
            Self::H1(reader) => reader.borrow_mut().spliced(n, waited),
            Self::Upstream(content) => content.spliced(n, waited),
            _ => Ok(()),
        }
    }
}
