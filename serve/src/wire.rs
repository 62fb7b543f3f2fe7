//! What carries a connection's bytes: a plain socket, or a TLS session over one.

use std::io;
use std::rc::Rc;
use std::task::Poll;

use anygate_proto::head::Scheme;
use anygate_proto::tls::Fault;
use anygate_shard::{Bytes, Class, Close, Lease, Shard, SocketId, Wake};

use crate::tls::{Session, TlsInfo};

/// A connection's transport. Protocol code sees only this, never a socket.
#[derive(Debug, Clone)]
pub enum Wire {
    /// Bytes go to the socket as they are.
    Plain(SocketId),
    /// Bytes go into records.
    Tls(Rc<Session>),
}

impl Wire {
    /// More bytes; an empty lease is the end of the stream.
    ///
    /// # Errors
    /// Whatever the socket reports; a reset is [`io::ErrorKind::ConnectionReset`]. What is no TLS is `InvalidData`, and a TLS
    /// stream that ends without the peer's word for it `UnexpectedEof`.
    pub fn poll_recv(&self, shard: &Shard, want: Class, wake: Wake) -> Poll<io::Result<Lease>> {
        match self {
            Self::Plain(socket) => shard.poll_recv(*socket, want, wake),
            Self::Tls(session) => session.poll_recv(want, wake),
        }
    }

    /// Queues bytes; they leave with everything else of this turn.
    pub fn queue(&self, shard: &Shard, bytes: Bytes) {
        match self {
            Self::Plain(socket) => shard.queue(*socket, bytes),
            Self::Tls(session) => session.queue(bytes),
        }
    }

    /// Bytes queued and not yet taken by the kernel.
    #[must_use]
    pub fn queued(&self, shard: &Shard) -> usize {
        match self {
            Self::Plain(socket) => shard.queued(*socket),
            Self::Tls(session) => session.queued(),
        }
    }

    /// Ready when at most `low_water` bytes are queued.
    ///
    /// # Errors
    /// The send side failed.
    pub fn poll_sent(&self, shard: &Shard, low_water: usize, wake: Wake) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => shard.poll_sent(*socket, low_water, wake),
            Self::Tls(session) => session.poll_sent(low_water, wake),
        }
    }

    /// Hands the kernel what it takes of what is queued.
    pub fn flush(&self, shard: &Shard) {
        match self {
            Self::Plain(socket) => shard.flush_now(*socket, false),
            Self::Tls(session) => session.flush(),
        }
    }

    /// Ends the sending half once everything queued is sent. Nothing can be queued after it.
    pub fn shutdown_write(&self, shard: &Shard) {
        match self {
            Self::Plain(socket) => shard.shutdown_write(*socket),
            Self::Tls(session) => session.shutdown_write(),
        }
    }

    /// The socket, when bytes on it are the message's own bytes and may bypass user memory.
    #[must_use]
    pub fn bypass(&self) -> Option<SocketId> {
        match self {
            Self::Plain(socket) => Some(*socket),
            Self::Tls(_) => None,
        }
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        match self {
            Self::Plain(socket) => *socket,
            Self::Tls(session) => session.socket(),
        }
    }

    /// The scheme of requests that come by it.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Plain(_) => Scheme::Http,
            Self::Tls(_) => Scheme::Https,
        }
    }

    /// What TLS knows of the peer; none on a plain connection.
    #[must_use]
    pub fn tls(&self) -> Option<Rc<TlsInfo>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(session) => session.info(),
        }
    }

    /// True while requests come as TLS early data, which anybody may have repeated.
    #[inline]
    #[must_use]
    pub fn is_early(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.is_early(),
        }
    }

    /// True until a TLS handshake has ended, whether or not it brought early data.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.is_handshaking(),
        }
    }

    /// Why TLS ended before its time, if it did.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(session) => session.fault(),
        }
    }

    /// Ends the connection; never fails.
    pub fn close(self, shard: &Shard, how: Close) {
        match self {
            Self::Plain(socket) => shard.close(socket, how),
            Self::Tls(session) => session.close(how),
        }
    }
}
