//! Servers behind: where they are, the idle connections to them, and the tunnels that lead to them.
//!
//! An [`endpoint::Endpoint`] is part of a plan and says where a server is. Each shard has a pool for it, which outlives
//! reloads. A request takes a connection as a [`checkout::Checkout`], which goes back by itself when the
//! response was read to its end, and is closed otherwise.

use std::time::Duration;

use crate::response::Response;

pub mod checkout;
pub mod connect;
pub mod content;
pub mod endpoint;
pub mod pool;
pub mod tunnel;

pub use checkout::Checkout;
pub use content::Content;
pub use endpoint::{Endpoint, Key, Name, Place};
pub use pool::{Idle, Pools, Upstreams};

/// A switched protocol: after the response, bytes go both ways unread (RFC 9110 §7.8, RFC 6455, RFC 8441).
#[derive(Debug)]
pub struct Tunnel {
    /// The answer that opens it: 101 on h1.
    pub response: Response,
    /// The upstream's side of it; what it holds already belongs to the tunnel. Dropped, it closes the connection.
    pub upstream: Checkout,
    /// Longest silence in both directions.
    pub idle_timeout: Duration,
}

impl Tunnel {
    /// What is left once the response was sent. A tunnel lives long: it holds no more than it needs.
    fn opened(self: Box<Self>) -> (Checkout, Duration) {
        (self.upstream, self.idle_timeout)
    }
}
