//! The measuring instrument: load, floors to compare with, peers, scenarios and their report.
//!
//! [`load`] asks and keeps time, [`floor`] answers without reading, [`scenario`] lets subjects take turns under the same
//! load and compares them by the processor time the kernel accounts to them.
#![forbid(unsafe_code)]

pub mod account;
pub mod bench;
pub mod floor;
pub mod identity;
pub mod load;
pub mod machine;
pub mod peers;
pub mod report;
pub mod scenario;
pub mod server;
pub mod soak;
pub mod stat;
pub mod subject;
