//! TLS without sockets (RFC 8446, RFC 5246): records in and out, and what a connection is set up with.

mod fault;
pub mod hello;
pub mod records;

pub use fault::Fault;
pub use hello::Hello;
pub use records::Records;
