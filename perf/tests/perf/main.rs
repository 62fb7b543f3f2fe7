//! The instrument over real sockets: the whole report, and the whole soak.
#![allow(missing_docs, reason = "tests")]

mod report;
mod soak;
