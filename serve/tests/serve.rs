//! The server over real sockets: raw bytes in, exact bytes out, on both drivers.

#[path = "serve/harness.rs"]
mod harness;

#[path = "serve/answers.rs"]
mod answers;
#[path = "serve/connections.rs"]
mod connections;
