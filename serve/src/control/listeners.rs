//! The listening sockets: bound once by the control thread, handed to the shards, never reopened while they stay configured.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anygate_core::config::{ListenAddr, Steer};
use anygate_shard::net::{self, Address, Bind};
use anygate_shard::{Shard, Tick};

use crate::tls::Terms;

/// Shards have closed a listener this long after they were told to: a busy one is told late.
const LEAVING: Duration = Duration::from_secs(10);

/// Every listener of the process.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: Vec<Listener>,
    /// Where listeners stood that shards may not have closed yet, and since when they go.
    leaving: Vec<(SocketAddr, Tick)>,
    next: u32,
}

#[derive(Debug)]
struct Listener {
    configured: ListenAddr,
    /// Where it really stands: port 0 has become a port.
    address: Address,
    number: u32,
    /// Under which terms its connections begin; none before the first were agreed.
    terms: Option<Terms>,
}

impl Drop for Listener {
    /// Removes a unix socket's file, however the listener ends: closed, or never used.
    fn drop(&mut self) {
        if let Address::Unix(Some(path)) = &self.address {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A listener that was opened: one socket for each shard.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) number: u32,
    /// Where, as configured.
    pub(super) address: ListenAddr,
    pub(super) sockets: Vec<OwnedFd>,
}

/// How listeners are opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    /// Opens them.
    pub(super) shard: &'a Shard,
    /// One shard on each.
    pub(super) cores: &'a [usize],
    /// Connections the kernel queues.
    pub(super) backlog: u32,
    /// How the kernel spreads connections over the shards.
    pub(super) steer: Steer,
}

/// What a change of the configured addresses asks for.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// New ones, open and not yet accepting.
    pub(super) opened: Vec<Opened>,
    /// Numbers of those that go.
    pub(super) closed: Vec<u32>,
    leaving: Vec<(SocketAddr, Tick)>,
    commit: Vec<Listener>,
}

impl Listeners {
    /// Where clients can come in, in the order of the configuration, and where that is configured to be.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&Address, &ListenAddr)> {
        self.open.iter().map(|listener| (&listener.address, &listener.configured))
    }

    /// Every listener's number, and where it is configured to stand.
    pub(super) fn numbers(&self) -> Vec<(u32, ListenAddr)> {
        self.open.iter().map(|listener| (listener.number, listener.configured.clone())).collect()
    }

    /// Has every listener's connections begin under these terms. One whose terms change gets another number, so that those
    /// who came before can be told from those who come: the old numbers and the new ones.
    pub(super) fn agree(&mut self, terms: impl Fn(&ListenAddr) -> Terms) -> Vec<(u32, u32)> {
        let mut renumbered = Vec::new();
        for listener in &mut self.open {
            let terms = terms(&listener.configured);
            if listener.terms.as_ref().is_some_and(|before| *before != terms) {
                renumbered.push((listener.number, self.next));
                listener.number = self.next;
                self.next += 1;
            }
            listener.terms = Some(terms);
        }
        renumbered
    }

    /// Opens what is new and names what is gone; nothing that stays is touched. Without [`Listeners::commit`] nothing happened.
    ///
    /// # Errors
    /// The address that cannot be opened, and why.
    pub(super) fn change(&mut self, wanted: &[ListenAddr], how: &How<'_>) -> Result<Change, (ListenAddr, io::Error)> {
        let (mut change, now) = (Change::default(), how.shard.now());
        self.leaving.retain(|(_, since)| now - *since < LEAVING);
        for address in wanted {
            if self.open.iter().any(|listener| listener.configured == *address) {
                continue;
            }
            let (actual, sockets) = self.open(address, how).map_err(|error| (address.clone(), error))?;
            let number = self.next;
            self.next += 1;
            change.commit.push(Listener { configured: address.clone(), address: actual, number, terms: None });
            change.opened.push(Opened { number, address: address.clone(), sockets });
        }
        for listener in self.open.iter().filter(|listener| !wanted.contains(&listener.configured)) {
            change.closed.push(listener.number);
            change.leaving.extend(listener.address.ip().map(|address| (address, now)));
        }
        Ok(change)
    }

    /// Makes a change true.
    pub(super) fn commit(&mut self, change: &mut Change) {
        self.open.retain(|listener| !change.closed.contains(&listener.number));
        self.open.append(&mut change.commit);
        self.leaving.append(&mut change.leaving);
    }

    /// One socket for each shard, and where they stand.
    fn open(&self, address: &ListenAddr, how: &How<'_>) -> io::Result<(Address, Vec<OwnedFd>)> {
        match address {
            ListenAddr::Ip(address) => self.split(*address, true, how),
            ListenAddr::Any(port) => match self.split(SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port)), false, how) {
                Err(error)
                    if error.kind() != io::ErrorKind::AddrInUse && error.kind() != io::ErrorKind::PermissionDenied =>
                {
                    self.split(SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)), false, how)
                }
                done => done,
            },
            ListenAddr::Unix(path) => shared(path, how),
        }
    }

    /// TCP: one socket a shard, on one address. The first bind is exclusive, so that a second server is an error; where a
    /// listener of our own stands in its way, it has kept others out since it was opened.
    fn split(&self, address: SocketAddr, v6_only: bool, how: &How<'_>) -> io::Result<(Address, Vec<OwnedFd>)> {
        let bind = Bind { backlog: how.backlog, reuse_port: true, v6_only, ..Bind::default() };
        let open = self.open.iter().filter_map(|listener| listener.address.ip());
        let mut own = open.chain(self.leaving.iter().map(|(leaving, _)| *leaving));
        if address.port() != 0 && !own.any(|own| overlap(own, address)) {
            how.shard.probe(address, v6_only)?;
        }
        let mut actual = Address::Ip(address);
        let mut sockets = Vec::with_capacity(how.cores.len());
        for _ in how.cores {
            let (socket, stands) = how.shard.bind(&actual, &bind)?;
            actual = stands;
            sockets.push(socket);
        }
        if how.steer == Steer::Cpu
            && let Some(first) = sockets.first()
        {
            net::steer_by_cpu(first, how.cores)?;
        }
        Ok((actual, sockets))
    }
}

/// Whether a listener at one address keeps another program from listening at the other: the same port, and the same
/// address or all of them.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same = |one: IpAddr, other: IpAddr| one == other || one.is_unspecified() || other.is_unspecified();
    one.port() == other.port() && same(one.ip(), other.ip())
}

/// A unix socket: one, shared by all shards.
fn shared(path: &Path, how: &How<'_>) -> io::Result<(Address, Vec<OwnedFd>)> {
    let address = Address::Unix(Some(PathBuf::from(path)));
    let (socket, _) = how.shard.bind(&address, &Bind { backlog: how.backlog, ..Bind::default() })?;
    let mut sockets = Vec::with_capacity(how.cores.len());
    for _ in 1..how.cores.len() {
        sockets.push(socket.try_clone()?);
    }
    sockets.push(socket);
    Ok((address, sockets))
}

#[cfg(test)]
mod tests {
    use anygate_shard::{Io, Options};

    use super::*;

    #[test]
    fn a_listener_that_goes_may_come_back_before_a_busy_shard_has_closed_it() {
        let shard = Shard::new(&Options::new(0, Io::Epoll)).unwrap();
        let how = How { shard: &shard, cores: &[0], backlog: 16, steer: Steer::Hash };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = [ListenAddr::Ip(free.local_addr().unwrap())];
        let mut listeners = Listeners::default();
        let refused = listeners.change(&wanted, &how);
        assert!(refused.is_err(), "somebody else listens there");
        drop(free);
        let mut first = listeners.change(&wanted, &how).unwrap();
        listeners.commit(&mut first);
        let mut gone = listeners.change(&[], &how).unwrap();
        assert_eq!(gone.closed.len(), 1);
        listeners.commit(&mut gone);
        // The shard's socket is in `first`, and open.
        let again = listeners.change(&wanted, &how).unwrap();
        assert_eq!((again.opened.len(), first.opened.len()), (1, 1));
    }
}
