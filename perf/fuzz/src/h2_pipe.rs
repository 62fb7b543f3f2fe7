//! A connection in memory, for the h2 crate: what one end writes the other takes, and nobody waits.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions, seen from the crate.
#[derive(Debug, Default)]
struct Ways {
    inward: Vec<u8>,
    /// Bytes of it that were read.
    read: usize,
    outward: Vec<u8>,
    /// Most bytes a read gives, and a write takes.
    step: usize,
    ended: bool,
}

/// The crate's end, and with another handle the other one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe(Rc<RefCell<Ways>>);

impl Pipe {
    /// Reads and writes of at most so many bytes.
    pub(crate) fn new(step: usize) -> Self {
        Self(Rc::new(RefCell::new(Ways { step, ..Ways::default() })))
    }

    /// Gives the crate something to read.
    pub(crate) fn give(&self, bytes: &[u8]) {
        self.0.borrow_mut().inward.extend_from_slice(bytes);
    }

    /// What the crate wrote.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().outward)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ways = self.0.borrow_mut();
        let rest = &ways.inward[ways.read..];
        if rest.is_empty() {
            return if ways.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let size = rest.len().min(into.remaining()).min(ways.step);
        into.put_slice(&rest[..size]);
        ways.read += size;
        if ways.read == ways.inward.len() {
            ways.inward.clear();
            ways.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut ways = self.0.borrow_mut();
        let size = bytes.len().min(ways.step);
        ways.outward.extend_from_slice(&bytes[..size]);
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().ended = true;
        Poll::Ready(Ok(()))
    }
}
