//! What stands before the requests of a listener.

use std::fmt;
use std::sync::Arc;

use anygate_core::config::HttpsRedirect;
use anygate_proto::date;
use anygate_proto::tls::Resolver;
use rustls::ServerConfig;

/// How the connections of a listener begin, the same on every shard.
#[derive(Clone, Default)]
pub struct Front {
    /// With a TLS handshake by this; none: with a request.
    pub tls: Option<Arc<ServerConfig>>,
    /// The certificates that are shown in the handshake.
    pub names: Option<Arc<Resolver>>,
    /// Where every request is sent in place of being served.
    pub redirect: Option<HttpsRedirect>,
    /// Whether they may go on in HTTP/2.
    pub h2: bool,
}

/// The certificate that a client is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// In words: its names, its key, the end of its validity.
    pub certificate: String,
    /// True where it is for the name that the client asked for.
    pub is_for_name: bool,
}

impl Front {
    /// The certificate for a client that asks for `name` and can verify any; none where the listener is plain.
    #[must_use]
    pub fn shown(&self, name: Option<&str>) -> Option<Shown> {
        let names = self.names.as_ref()?.names();
        let identity = names.find(name, &[])?;
        let (facts, all) = (identity.facts(), identity.names().join(", "));
        let until = date::format(facts.not_after);
        let certificate = format!("{all} ({}, until {})", facts.key, String::from_utf8_lossy(&until));
        Some(Shown { certificate, is_for_name: name.is_none_or(|name| names.covers(Some(name), name)) })
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("tls", &self.tls.is_some())
            .field("redirect", &self.redirect)
            .field("h2", &self.h2)
            .finish()
    }
}
