//! What a listener's connections are set up with: profile, names, protocols, client certificates, sessions that go on.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ServerConfig, VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{Error, RootCertStore};

use super::identity::{self, IdentityError};
use super::names::Resolver;
use super::profile::Profile;
use super::tickets::{SessionCache, TicketKeys};

/// Tickets that a client gets after a handshake of TLS 1.3. OpenSSL gives two, for a second connection at once; each costs
/// 3 % of a handshake, and 175 bytes on the way and in the client's store. A browser speaks HTTP/2 over one connection, and
/// clients that open several reuse the ticket they have: one serves all but those that use each once and open two
/// connections at a time, who pay with one full handshake.
const TICKETS: usize = 1;
/// Early data that a client may send before the handshake ended, in bytes, where it is on: one request without a body.
const EARLY_DATA_MOST: u32 = 16 << 10;

/// Whose certificates clients show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked, and may do without. One that is shown must verify.
    Optional(Authorities),
    /// They are asked, and get no connection without.
    Required(Authorities),
}

/// Certificates of those who may issue clients' certificates.
#[derive(Debug, Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    digest: [u8; 32],
}

/// Why a listener cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The authorities' certificates cannot be read.
    Authorities(IdentityError),
    /// A certificate among the authorities', at this place from 1 on, cannot be one to verify by.
    NotAnAuthority(usize),
    /// Early data, and tickets besides: early data may be taken once (RFC 8446 §8), which a ticket cannot assure. Leave the
    /// tickets out, and give a cache.
    EarlyDataWithTickets,
    /// The library refuses it.
    Engine(Box<str>),
}

/// The same certificates, in whatever order, are the same.
impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Authorities {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorities(error) => write!(f, "{error}"),
            Self::NotAnAuthority(at) => {
                write!(f, "certificate {at} in it cannot be used to verify clients' certificates")
            }
            Self::EarlyDataWithTickets => f.write_str(
                "early data needs a session cache instead of tickets, as each session's may be taken only once",
            ),
            Self::Engine(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<Error> for ConfigError {
    fn from(error: Error) -> Self {
        Self::Engine(error.to_string().into())
    }
}

impl From<VerifierBuilderError> for ConfigError {
    fn from(error: VerifierBuilderError) -> Self {
        Self::Engine(error.to_string().into())
    }
}

impl Authorities {
    /// Reads a bundle: PEM, or one certificate in DER.
    ///
    /// # Errors
    /// There is none in it, or one that is of no use.
    pub fn load(bundle: &[u8]) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        let mut context = digest::Context::new(&digest::SHA256);
        let mut certificates: Vec<CertificateDer<'static>> =
            identity::certificates(bundle).map_err(ConfigError::Authorities)?;
        for (at, certificate) in certificates.iter().enumerate() {
            roots.add(certificate.clone()).map_err(|_| ConfigError::NotAnAuthority(at + 1))?;
        }
        // In any order they are the same demand.
        certificates.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        certificates.dedup();
        certificates.iter().for_each(|certificate| context.update(certificate));
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Ok(Self { roots: Arc::new(roots), digest })
    }
}

/// What a listener's connections are set up with. Two of the same are good for each other's sessions, as after a reload.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Versions, suites and groups.
    pub profile: Profile,
    /// Application protocols (RFC 7301), the preferred one first, such as `http/1.1`. A client that offers others alone is
    /// refused; one that offers none at all is not.
    pub protocols: Vec<Vec<u8>>,
    /// Whose certificates clients show. A session that began under other demands does not go on. One that goes on is not
    /// verified again: a certificate that expired since then counts for up to a lifetime of tickets.
    pub client_auth: ClientAuth,
    /// Keys of tickets; none for no tickets.
    pub tickets: Option<Arc<TicketKeys>>,
    /// Sessions of clients without tickets; none for no such cache.
    pub sessions: Option<Arc<SessionCache>>,
    /// Whether a client whose session goes on may send early data (RFC 8446 §2.3), which anybody may repeat. Not with
    /// tickets.
    pub early_data: bool,
    /// A word that sessions are kept apart by besides the demands on clients: listeners with different ones do not go on
    /// with each other's.
    pub realm: Box<str>,
    /// Where the time comes from; none for the system's.
    pub time: Option<Arc<dyn TimeProvider>>,
}

impl Settings {
    /// A configuration for all the connections of a listener, on all shards. The resolver's names can be replaced later.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn build(&self, resolver: Arc<Resolver>) -> Result<Arc<ServerConfig>, ConfigError> {
        if self.early_data && self.tickets.is_some() {
            return Err(ConfigError::EarlyDataWithTickets);
        }
        let provider = self.profile.provider();
        let time = self.time.clone().unwrap_or_else(|| Arc::new(DefaultTimeProvider));
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), time)
            .with_protocol_versions(self.profile.versions())?;
        let verifier = |authorities: &Authorities| {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&authorities.roots), Arc::clone(&provider))
        };
        let builder = match &self.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Optional(authorities) => {
                builder.with_client_cert_verifier(verifier(authorities).allow_unauthenticated().build()?)
            }
            ClientAuth::Required(authorities) => builder.with_client_cert_verifier(verifier(authorities).build()?),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&self.protocols);
        config.require_ems = self.profile == Profile::FipsLike;
        config.ignore_client_order = false;
        config.send_tls13_tickets = TICKETS;
        let realm = self.realm();
        config.session_storage = match &self.sessions {
            Some(sessions) => sessions.of_realm(realm),
            None => Arc::new(NoServerSessionStorage {}),
        };
        match &self.tickets {
            Some(tickets) => config.ticketer = tickets.of_realm(realm),
            // Without either, a ticket would be good for nothing.
            None if self.sessions.is_none() => config.send_tls13_tickets = 0,
            None => {}
        }
        if self.early_data {
            config.max_early_data_size = EARLY_DATA_MOST;
            // An answer to it goes with the server's part of the handshake, or early data would save nothing.
            config.send_half_rtt_data = true;
        }
        Ok(Arc::new(config))
    }

    /// Everything that a session that goes on is not asked again.
    fn realm(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let (kind, authorities): (&[u8], &[u8]) = match &self.client_auth {
            ClientAuth::None => (b"none", &[]),
            ClientAuth::Optional(authorities) => (b"optional", &authorities.digest),
            ClientAuth::Required(authorities) => (b"required", &authorities.digest),
        };
        for part in [self.profile.name().as_bytes(), kind, authorities, self.realm.as_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut realm = [0; 32];
        realm.copy_from_slice(context.finish().as_ref());
        realm
    }
}
