//! What answering costs when nothing is read: the distance to the limit becomes a number.
//!
//! Floors run on the project's own runtime. [`Floor`] takes what comes, counts the ends of heads in it and sends as many
//! canned answers; [`Relay`] copies what comes to a server behind, and back: both parse nothing, route nothing, check
//! nothing. [`Origin`] is that server behind, for every proxy that is measured, and as cheap as one can be.

mod command;
mod fixed;
mod heads;
mod origin;
mod relay;
mod rows;
#[cfg(test)]
pub(crate) mod testing;

use std::net::SocketAddr;

use anygate_shard::net::{self, Bind};
use anygate_shard::{Address, Io, Options, Shard, SocketId, Wake};

pub use command::{Command, Driver, Place};
pub use fixed::{Floor, answer};
pub use origin::{BODIES, Origin};
pub use relay::Relay;

/// The listener's row; connections follow.
const LISTENER: u32 = 0;

/// Tells a floor to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

/// A shard that listens.
struct Open {
    shard: Shard,
    listener: SocketId,
    address: SocketAddr,
}

/// A shard on the calling thread; the listener's row is called in its first turn.
fn open(listen: SocketAddr, io: Io, core: Option<usize>) -> Result<Open, String> {
    let mut options = Options::new(0, io);
    options.core = core;
    let shard = Shard::new(&options).map_err(|error| format!("a shard for the floor: {error}"))?;
    let fault = |error| format!("listening on {listen}: {error}");
    let fd = net::bind(&Address::Ip(listen), &Bind::default()).map_err(fault)?;
    let listener = shard.listen(fd).map_err(fault)?;
    let address = shard.local(listener).ok().and_then(|address| address.ip()).unwrap_or(listen);
    shard.wake(Wake::row(LISTENER));
    Ok(Open { shard, listener, address })
}
