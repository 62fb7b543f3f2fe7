//! The runtime of one core: executor, driver, arena, timers, mailbox, sockets, files, pinning. No HTTP.
//!
//! A [`Shard`] is one thread. It owns its sockets, buffers, timers and tasks, and shares nothing on its hot path. What
//! the kernel writes belongs to a socket's slot, never to a future, so a future may be dropped at any time.

#[cfg(test)]
mod anyorder;
mod arena;
mod bell;
mod block;
mod blocking;
mod bytes;
mod chunks;
mod close;
pub mod cores;
#[cfg(test)]
mod corners;
pub mod counters;
mod driver;
mod executor;
pub mod file;
mod futures;
pub mod heap;
mod lease;
pub mod limits;
mod listen;
#[cfg(test)]
mod loopback;
pub mod mailbox;
#[cfg(test)]
mod model;
pub mod net;
mod out;
mod poison;
mod pool;
mod random;
mod receive;
mod release;
mod remains;
mod send;
mod shard;
pub mod signals;
mod socket;
mod sync;
mod sys;
#[cfg(test)]
mod teardown;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
mod timer;
mod transfer;
#[cfg(any(test, feature = "testing"))]
mod waits;
mod wake;

pub use arena::{ArenaLimits, Class};
pub use blocking::{Blocking, Gone};
pub use bytes::Bytes;
pub use close::Close;
pub use counters::ShardCounters;
pub use driver::sim;
pub use driver::{Io, Socket, probe_uring};
pub use lease::Lease;
pub use net::Address;
pub use pool::Pool;
pub use receive::Accepted;
pub use remains::Remains;
pub use shard::{Effort, Options, Park, Progress, Service, Shard};
pub use socket::Side;
pub use time::{Tick, wall_clock};
pub use timer::{Deadline, LaneEntry, LaneId};
pub use transfer::SENDFILE_STEP;
#[cfg(any(test, feature = "testing"))]
pub use waits::Waits;
pub use wake::{SocketId, TaskId, Wake};
