//! The instrument over real sockets: the whole report.
#![allow(missing_docs, reason = "tests")]

mod report;
