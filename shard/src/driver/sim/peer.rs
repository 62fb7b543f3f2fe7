//! Who talks to simulated shards from outside? Connections and listeners that tests hold and drive by hand.

use std::io;

use super::net::{DoorId, EndId};
use super::world::World;
use crate::net::Address;

/// A connection's end outside of every shard. All calls return at once; no fault strikes them but delay.
///
/// Dropping it closes the connection, with a reset if something is unread, as `close(2)` does.
pub struct Peer {
    world: World,
    end: EndId,
}

impl Peer {
    pub(crate) fn new(world: World, end: EndId) -> Peer {
        Peer { world, end }
    }

    /// Takes as many bytes as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `BrokenPipe` or `ConnectionReset` when nobody is there.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.network().send(self.end, &[bytes])
    }

    /// Gives as many bytes as have arrived; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived; `ConnectionReset`, once.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.world.network().recv(self.end, into)
    }

    /// Sends the end of the stream; reading goes on.
    pub fn shutdown(&mut self) {
        self.world.network().shutdown(self.end);
    }

    /// Goes away with a reset.
    pub fn reset(self) {
        self.world.network().abort(self.end);
    }

    /// This end's address.
    pub fn local(&self) -> Address {
        self.world.network().addresses(self.end).0
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.world.network().close(self.end);
    }
}

/// A listener outside of every shard. Dropping it closes it.
pub struct Listener {
    world: World,
    door: DoorId,
}

impl Listener {
    pub(crate) fn new(world: World, door: DoorId) -> Listener {
        Listener { world, door }
    }

    /// Takes a connection that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does.
    pub fn accept(&self) -> io::Result<Peer> {
        let end = self.world.network().accept(self.door, None)?;
        Ok(Peer::new(self.world.clone(), end))
    }

    /// The address it listens at.
    pub fn address(&self) -> Address {
        self.world.network().door_address(self.door)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.world.network().close_door(self.door);
    }
}
