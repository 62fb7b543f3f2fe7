//! What stands before the requests of a listener.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

/// How the connections of a listener begin, the same on every shard.
#[derive(Clone, Default)]
pub struct Front {
    /// With a TLS handshake by this; none: with a request.
    pub tls: Option<Arc<ServerConfig>>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("tls", &self.tls.is_some()).finish()
    }
}
