//! How does a shard open listeners, with a kernel or on a simulated network?

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use crate::driver::Driver;
use crate::net::{self, Address, Bind};
use crate::shard::Shard;
use crate::wake::SocketId;

impl Shard {
    /// Opens a listener for any shard's [`listen`](Self::listen), as [`net::bind`] does, and says where it stands: port 0
    /// has become a port. On a simulated network all that share an address by `reuse_port` share one queue.
    ///
    /// # Errors
    /// As [`net::bind`].
    pub fn bind(&self, address: &Address, how: &Bind) -> io::Result<(OwnedFd, Address)> {
        if let Driver::Sim(sim) = &self.0.driver {
            return Ok((sim.calls.world.bind_again(address, how.reuse_port)?, address.clone()));
        }
        let socket = net::bind(address, how)?;
        match address {
            Address::Ip(ip) if ip.port() == 0 => {
                let actual = TcpListener::from(socket.try_clone()?).local_addr()?;
                Ok((socket, Address::Ip(actual)))
            }
            _ => Ok((socket, address.clone())),
        }
    }

    /// Finds out whether anybody listens at a TCP address, as [`net::probe`] does.
    ///
    /// # Errors
    /// As [`net::probe`].
    pub fn probe(&self, address: SocketAddr, v6_only: bool) -> io::Result<()> {
        match &self.0.driver {
            Driver::Sim(sim) => {
                drop(sim.calls.world.bind(&Address::Ip(address))?);
                sim.calls.world.sweep();
                Ok(())
            }
            _ => net::probe(address, v6_only),
        }
    }

    /// Changes how many connections wait at a listener until they are accepted.
    ///
    /// # Errors
    /// Not a listener, or closed (ENOTCONN).
    pub fn set_backlog(&self, id: SocketId, backlog: u32) -> io::Result<()> {
        let slot = self.0.sockets.get(id).ok_or_else(crate::socket::gone)?;
        match &self.0.driver {
            Driver::Sim(_) => Ok(()),
            _ => crate::sys::listen(slot.fd.get(), backlog),
        }
    }
}
