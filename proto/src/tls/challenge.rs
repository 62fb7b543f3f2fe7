//! How a name is proved to an authority within TLS (ACME TLS-ALPN-01, RFC 8737).
//!
//! A client that offers [`PROTOCOL`] and nothing else is such an authority. It gets a configuration of its own: no client
//! certificate is asked for, no session goes on, and no request can follow.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;

use super::config::ConfigError;
use super::identity::{Identity, IdentityError};
use super::profile::Profile;

/// The application protocol of a challenge (RFC 8737 §4). A connection that agreed on it is closed after its handshake.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// Certificates that answer challenges, by name.
#[derive(Default)]
pub struct Challenges {
    certificates: RwLock<HashMap<Box<str>, Arc<CertifiedKey>>>,
    /// So that nobody looks further while there are none, which is nearly always.
    count: AtomicUsize,
}

impl Challenges {
    /// No challenges.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Answers challenges for `name` by this certificate and key, PEM or DER; `name` is what the authority asks for: that of
    /// an address is the one under `in-addr.arpa` or `ip6.arpa` (RFC 8738 §6).
    ///
    /// # Errors
    /// The certificate or the key is of no use.
    pub fn set(&self, name: &str, cert: &[u8], key: &[u8]) -> Result<(), IdentityError> {
        let identity = Identity::load(cert, key, None, 0)?;
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.insert(name.to_ascii_lowercase().into(), Arc::clone(identity.key()));
        self.count.store(certificates.len(), Ordering::Release);
        Ok(())
    }

    /// Answers challenges for `name` no longer.
    pub fn remove(&self, name: &str) {
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.remove(name.to_ascii_lowercase().as_str());
        self.count.store(certificates.len(), Ordering::Release);
    }

    /// True while there is nothing to answer: no hello need be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The configuration for clients that offer [`PROTOCOL`] alone, as [`hello::offers_only`](super::hello::offers_only)
    /// finds out. A name without a challenge is refused.
    ///
    /// # Errors
    /// The library refuses it.
    pub fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, ConfigError> {
        let profile = Profile::Intermediate;
        let mut config = ServerConfig::builder_with_provider(profile.provider())
            .with_protocol_versions(profile.versions())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        // The engine gives the name in lower case.
        certificates.get(hello.server_name()?).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("count", &self.count).finish_non_exhaustive()
    }
}
