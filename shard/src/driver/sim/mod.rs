//! How does a shard run without a kernel? On an in-memory network with a virtual clock and seeded faults, behind the
//! same surface as the real drivers, many shards interleaved on one thread.
//!
//! A [`World`] is made of a seed. Whatever goes wrong in it is decided by hashes of (seed, kind of fault, connection,
//! operation number), so a failed run is repeated by its seed. Descriptors of a world are tickets: pipes that stand for
//! its sockets, so that listeners and connections move between shards as they do in earnest. Files are real ones;
//! whether one is in memory is for the seed to say, not for the kernel.

mod calls;
mod choice;
mod driver;
mod faults;
pub(crate) mod memory;
mod net;
mod operations;
mod peer;
pub(crate) mod resolver;
mod world;

pub(crate) use driver::Sim;
pub use faults::Faults;
pub use peer::{Listener, Peer};
pub use world::{Personality, World};
