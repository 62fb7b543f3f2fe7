//! The instrument over real sockets: the load, the floors, and the whole report.
#![allow(missing_docs, reason = "tests")]

mod load;
mod report;
