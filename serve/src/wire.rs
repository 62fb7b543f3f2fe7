//! What carries a connection's bytes: a plain socket today, a TLS session over one in time.

use std::io;
use std::task::Poll;

use anygate_shard::{Bytes, Class, Close, Lease, Shard, SocketId, Wake};

/// A connection's transport. Protocol code sees only this, never a socket.
#[derive(Debug)]
pub enum Wire {
    /// Bytes go to the socket as they are.
    Plain(SocketId),
}

impl Wire {
    /// More bytes; an empty lease is the end of the stream.
    ///
    /// # Errors
    /// Whatever the socket reports; a reset is [`io::ErrorKind::ConnectionReset`].
    pub fn poll_recv(&self, shard: &Shard, want: Class, wake: Wake) -> Poll<io::Result<Lease>> {
        match self {
            Self::Plain(socket) => shard.poll_recv(*socket, want, wake),
        }
    }

    /// Queues bytes; they leave with everything else of this turn.
    pub fn queue(&self, shard: &Shard, bytes: Bytes) {
        match self {
            Self::Plain(socket) => shard.queue(*socket, bytes),
        }
    }

    /// Bytes queued and not yet taken by the kernel.
    #[must_use]
    pub fn queued(&self, shard: &Shard) -> usize {
        match self {
            Self::Plain(socket) => shard.queued(*socket),
        }
    }

    /// Ready when at most `low_water` bytes are queued.
    ///
    /// # Errors
    /// The send side failed.
    pub fn poll_sent(&self, shard: &Shard, low_water: usize, wake: Wake) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => shard.poll_sent(*socket, low_water, wake),
        }
    }

    /// The socket, when bytes on it are the message's own bytes and may bypass user memory.
    #[must_use]
    pub fn bypass(&self) -> Option<SocketId> {
        match self {
            Self::Plain(socket) => Some(*socket),
        }
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        match self {
            Self::Plain(socket) => *socket,
        }
    }

    /// Ends the connection; never fails.
    pub fn close(self, shard: &Shard, how: Close) {
        match self {
            Self::Plain(socket) => shard.close(socket, how),
        }
    }
}
