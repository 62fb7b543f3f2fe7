//! A client's connection, from accept to close.
//!
//! Between requests it is a row ([`row`]). What can be answered at once is answered without a task (`short`); the rest is
//! a task (`converse`) that ends when the connection comes to rest again.

pub mod accept;
mod before;
mod converse;
mod drain;
pub mod h2;
pub mod inform;
pub(crate) mod moving;
pub(crate) mod outgoing;
pub mod outlet;
pub mod reader;
pub mod relay;
mod respond;
pub mod row;
pub(crate) mod short;
mod way;

pub use inform::Informer;
