//! Does every driver keep the same promises? The same scripts run on epoll, on io_uring and on the simulated network,
//! the last with many seeds and in both of its personalities.

#[macro_use]
mod rig;

mod accept;
mod allocations;
mod close;
mod compared;
mod connect;
mod descriptors;
mod handover;
mod house;
mod parking;
mod peer;
mod receive;
mod send;
mod splice;
mod tasks;
mod timers;
mod world;
