//! Who do shards talk to? Connections and listeners of the standard library, or in-memory ones, with the same few calls.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use anygate_shard::net::Address;
use anygate_shard::sim;

use crate::rig::Rig;

/// A connection outside of every shard. All calls return at once.
pub(crate) enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
    Sim(sim::Peer),
}

impl Peer {
    /// Takes some of `bytes`; `WouldBlock` if none.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.write(bytes),
            Peer::Unix(stream) => stream.write(bytes),
            Peer::Sim(peer) => peer.write(bytes),
        }
    }

    /// Gives some bytes; 0 is the end, `WouldBlock` none yet.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.read(into),
            Peer::Unix(stream) => stream.read(into),
            Peer::Sim(peer) => peer.read(into),
        }
    }

    /// The same connection for another thread; a simulated one stays on its own.
    pub(crate) fn for_thread(&self) -> Option<File> {
        let fd: OwnedFd = match self {
            Peer::Tcp(stream) => stream.try_clone().expect("a descriptor").into(),
            Peer::Unix(stream) => stream.try_clone().expect("a descriptor").into(),
            Peer::Sim(_) => return None,
        };
        Some(fd.into())
    }

    /// Says that nothing more will be written.
    pub(crate) fn shutdown(&mut self) {
        match self {
            Peer::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write).expect("shuts down"),
            Peer::Unix(stream) => stream.shutdown(std::net::Shutdown::Write).expect("shuts down"),
            Peer::Sim(peer) => peer.shutdown(),
        }
    }

    /// Goes away with a reset.
    pub(crate) fn reset(self) {
        match self {
            Peer::Tcp(stream) => {
                let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                let size = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("small");
                // SAFETY: the descriptor is open for the whole call and `linger` lives longer than it.
                let result = unsafe {
                    libc::setsockopt(
                        stream.as_raw_fd(),
                        libc::SOL_SOCKET,
                        libc::SO_LINGER,
                        (&raw const linger).cast(),
                        size,
                    )
                };
                assert_eq!(result, 0, "SO_LINGER");
            }
            Peer::Unix(_) => panic!("a unix socket has no reset"),
            Peer::Sim(peer) => peer.reset(),
        }
    }
}

/// A listener outside of every shard.
pub(crate) struct Outside {
    pub(crate) address: Address,
    pub(crate) listener: OutsideKind,
}

pub(crate) enum OutsideKind {
    Tcp(TcpListener),
    Unix(UnixListener),
    Sim(sim::Listener),
}

impl Outside {
    /// Takes one connection; `WouldBlock` if there is none yet.
    pub(crate) fn try_accept(&self) -> io::Result<Peer> {
        match &self.listener {
            OutsideKind::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Peer::Tcp(stream))
            }
            OutsideKind::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Peer::Unix(stream))
            }
            OutsideKind::Sim(listener) => listener.accept().map(Peer::Sim),
        }
    }

    /// Takes one connection, turning the rig until there is one.
    #[track_caller]
    pub(crate) fn accept(&self, rig: &Rig) -> Peer {
        let mut peer = None;
        rig.until("a connection from a shard", || {
            peer = self.try_accept().ok();
            peer.is_some()
        });
        peer.expect("just seen")
    }
}
