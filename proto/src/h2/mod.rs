//! How HTTP/2 is spoken (RFC 9113): bytes of a connection to events, and answers to bytes.

pub mod hpack;
