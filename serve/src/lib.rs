//! The server: connections, the pipeline, actions, filters, upstreams, and the control thread.
#![forbid(unsafe_code)]

pub mod action;
mod balance;
pub mod body;
pub mod challenges;
pub mod compile;
pub mod connection;
pub mod control;
pub mod door;
pub mod error;
pub mod exchange;
pub mod filter;
pub mod hsts;
mod id;
pub mod observe;
pub mod pages;
pub mod peers;
mod pipeline;
pub mod plan;
pub mod response;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(not(feature = "testing"))]
#[allow(unreachable_pub, reason = "reached from outside by tests alone")]
mod testing;
pub mod tls;
pub mod upstream;
pub mod wire;
