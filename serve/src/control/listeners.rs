//! The listening sockets: bound once by the control thread, handed to the shards, never reopened while they stay configured.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anygate_core::config::{ListenAddr, Steer};
use anygate_shard::Shard;
use anygate_shard::net::{self, Address, Bind};

/// Every listener of the process.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: Vec<Listener>,
    next: u32,
}

#[derive(Debug)]
struct Listener {
    configured: ListenAddr,
    /// Where it really stands: port 0 has become a port.
    address: Address,
    number: u32,
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
    commit: Vec<Listener>,
}

impl Listeners {
    /// Where clients can come in, in the order of the configuration.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.open.iter().map(|listener| listener.address.clone()).collect()
    }

    /// Opens what is new and names what is gone; nothing that stays is touched. Without [`Listeners::commit`] nothing happened.
    ///
    /// # Errors
    /// The address that cannot be opened, and why.
    pub(super) fn change(&mut self, wanted: &[ListenAddr], how: &How<'_>) -> Result<Change, (ListenAddr, io::Error)> {
        let mut change = Change::default();
        for address in wanted {
            if self.open.iter().any(|listener| listener.configured == *address) {
                continue;
            }
            let (actual, sockets) = self.open(address, how).map_err(|error| (address.clone(), error))?;
            let number = self.next;
            self.next += 1;
            change.commit.push(Listener { configured: address.clone(), address: actual, number });
            change.opened.push(Opened { number, sockets });
        }
        change.closed = self
            .open
            .iter()
            .filter(|listener| !wanted.contains(&listener.configured))
            .map(|listener| listener.number)
            .collect();
        Ok(change)
    }

    /// Makes a change true.
    pub(super) fn commit(&mut self, change: &mut Change) {
        self.open.retain(|listener| !change.closed.contains(&listener.number));
        self.open.append(&mut change.commit);
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
        let own = |listener: &Listener| listener.address.ip().is_some_and(|ip| overlap(ip, address));
        if address.port() != 0 && !self.open.iter().any(own) {
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
