//! What does the `tls` section say: which certificates, which versions, who must show a certificate?

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::schema;
use crate::diagnostic::{Located, Span};

/// The `tls` section: what holds for every listener with `tls: true`.
///
/// That the files exist, and what is in them, is for the server to find out.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates with their keys, or folders of them; chosen by the name a client asks for, the first is the default.
    #[schemars(with = "schema::OneOrMany<schema::CertificateForm>", extend("default" = []))]
    pub certificates: Vec<Certificate>,
    /// Versions and cipher suites: `modern` (TLS 1.3), `intermediate` (1.2 and 1.3), `fips-like`. Listeners may have their own.
    #[schemars(extend("default" = "intermediate"))]
    pub profile: TlsProfile,
    /// Whether clients are asked for a certificate. Where it is not written, `client_ca` is and a rule demands one, it is `optional`. Listeners may have their own.
    #[schemars(extend("default" = "none"))]
    pub client_auth: ClientAuth,
    /// The authorities whose client certificates count: a file of PEM certificates. Listeners may have their own.
    #[schemars(with = "Option<String>", extend("default" = null))]
    pub client_ca: Option<LocatedPath>,
    /// Whether sessions are resumed by tickets (RFC 5077, RFC 8446 §2.2).
    #[schemars(extend("default" = true))]
    pub session_tickets: bool,
    /// How long a ticket is good for, 1m to 7d (RFC 8446 §4.6.1).
    #[schemars(with = "schema::Time", extend("default" = "12h"))]
    pub ticket_lifetime: Duration,
    /// Most TLS 1.2 sessions that are kept for clients without tickets, in all; 0 for none.
    #[schemars(extend("default" = 10_000))]
    pub session_cache: usize,
    /// Whether requests are taken from a resumed handshake's first flight (0-RTT, RFC 8470). Sessions are kept in the cache then, and no tickets are given.
    #[schemars(extend("default" = false))]
    pub early_data: bool,
    /// Longest handshake (close).
    #[schemars(with = "schema::Time", extend("default" = "10s"))]
    pub handshake_timeout: Duration,
    /// Most handshakes of one address in a second; 0 for no limit.
    #[schemars(with = "u64", extend("default" = 0))]
    pub max_handshakes_per_ip: Option<u32>,
    /// Certificate status (RFC 6960).
    #[schemars(extend("default" = {"stapling": true}))]
    pub ocsp: Ocsp,
    /// `Strict-Transport-Security` on every answer over TLS (RFC 6797); `off` for none.
    #[schemars(with = "schema::OffOr<Hsts>", extend("default" = "off"))]
    pub hsts: Option<Hsts>,
    /// Automatic certificates (RFC 8555); `off` for none.
    #[schemars(with = "schema::OffOr<Acme>", extend("default" = "off"))]
    pub acme: Option<Acme>,
    /// True where the command line wants a certificate that the server makes itself to stand in for none.
    #[schemars(skip)]
    pub self_signed: bool,
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// One certificate with its chain and key.
    Pair(CertificatePair),
    /// Every pair of a folder: `NAME.crt`, `NAME.pem` or `NAME.cer` with `NAME.key`, and `fullchain.pem` with `privkey.pem` in
    /// it and in its folders.
    Folder(LocatedPath),
}

/// One certificate with its chain and key.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Certificate")]
pub struct CertificatePair {
    /// The certificate and those that lead to its authority, in PEM, its own first.
    #[schemars(with = "String")]
    pub cert: LocatedPath,
    /// Its private key in PEM, not encrypted.
    #[schemars(with = "String")]
    pub key: LocatedPath,
    /// An OCSP response in DER to staple.
    #[schemars(with = "Option<String>", default)]
    pub ocsp: Option<LocatedPath>,
    /// Names it serves in place of those it carries: `a.example`, `*.example`; lower case.
    #[schemars(with = "Vec<String>", default)]
    pub names: Vec<LocatedName>,
}

/// A path, joined to the folder of the file that names it. Two are equal wherever they are written.
#[derive(Debug, Clone)]
pub struct LocatedPath {
    /// The path.
    pub path: PathBuf,
    /// Where it is written; `None` for one that no file names.
    pub span: Option<Span>,
}

/// A host name in lower case, perhaps with `*` for its first label. Two are equal wherever they are written.
#[derive(Debug, Clone)]
pub struct LocatedName(pub Located);

/// Which versions and cipher suites are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, schemars::JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum TlsProfile {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 with forward secrecy and authenticated encryption, and TLS 1.3.
    #[default]
    Intermediate,
    /// The same with the algorithms FIPS 140-3 approves; no validated module.
    FipsLike,
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It is not asked for one.
    #[default]
    None,
    /// It is asked for one, and may have none; one that does not verify ends the handshake.
    Optional,
    /// Without one that verifies there is no handshake, or (on a rule) no answer.
    Required,
}

/// What a group or a rule says of client certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientDemand {
    /// True for `required`, false for `none`, which lifts a group's demand.
    pub required: bool,
    /// Where it is written.
    pub span: Span,
}

/// What a listener with `tls: true` has of its own; `None` leaves the section's.
#[derive(Debug, Clone, Default)]
pub struct ListenTls {
    /// Where `tls: true` is written; `None` for a listener that no file names.
    pub span: Option<Span>,
    /// See [`Tls::profile`].
    pub profile: Option<TlsProfile>,
    /// See [`Tls::client_auth`].
    pub client_auth: Option<ClientAuth>,
    /// See [`Tls::client_ca`].
    pub client_ca: Option<LocatedPath>,
}

/// What counts for a listener: listeners for which this is equal may share everything they make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Versions and cipher suites.
    pub profile: TlsProfile,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// The authorities; always there unless `client_auth` is none, never there if it is.
    pub client_ca: Option<LocatedPath>,
}

/// The `ocsp` settings.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Ocsp {
    /// Whether a certificate's status goes with it (RFC 6066 §8).
    #[schemars(extend("default" = true))]
    pub stapling: bool,
}

/// The `Strict-Transport-Security` field.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Hsts {
    /// How long browsers use https alone, at most 10y; 0 makes them forget.
    #[schemars(with = "schema::Time", extend("default" = "1y"))]
    pub max_age: Duration,
    /// Whether that counts for every name below too.
    #[schemars(extend("default" = false))]
    pub include_subdomains: bool,
    /// Whether browsers may build it in; wants `max_age` of a year and `include_subdomains`.
    #[schemars(extend("default" = false))]
    pub preload: bool,
}

/// Automatic certificates.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Acme {
    /// Where the authority may write to.
    #[schemars(default)]
    pub email: Option<String>,
    /// Names of the certificate, at least one; wildcards need a challenge this version does not have.
    #[schemars(with = "schema::OneOrMany<String>")]
    pub domains: Vec<LocatedName>,
    /// The authority: `letsencrypt`, `letsencrypt-staging`, or the https URL of its directory.
    #[schemars(with = "Option<String>", extend("default" = "letsencrypt"))]
    pub directory: String,
    /// Folder for the account, keys and certificates.
    #[schemars(with = "Option<String>", extend("default" = "/var/lib/anygate/acme"))]
    pub storage: LocatedPath,
    /// How the authority is shown that the names are ours.
    #[schemars(default)]
    pub challenge: AcmeChallenge,
    /// The authorities whose certificate the directory's server must have: a file of PEM certificates; without it the system's.
    #[schemars(with = "Option<String>", default)]
    pub ca: Option<LocatedPath>,
}

/// How an authority is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
pub enum AcmeChallenge {
    /// A file that a plain listener serves on port 80 (RFC 8555 §8.3).
    #[default]
    #[schemars(rename = "http-01")]
    Http01,
    /// A certificate that a TLS listener shows on port 443 (RFC 8737).
    #[schemars(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Certificate {
    /// The certificate's file, or the folder.
    #[must_use]
    pub fn place(&self) -> &LocatedPath {
        match self {
            Self::Pair(pair) => &pair.cert,
            Self::Folder(folder) => folder,
        }
    }
}

impl Acme {
    /// Let's Encrypt's directory: `letsencrypt`.
    pub const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
    /// The directory of its staging environment, whose certificates nobody trusts: `letsencrypt-staging`.
    pub const LETSENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
    /// `storage` where it is not given.
    pub const STORAGE: &str = "/var/lib/anygate/acme";
}

impl Hsts {
    /// The least `max_age` with `preload`.
    pub const PRELOAD_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
}

impl LocatedPath {
    /// A path that no file names.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), span: None }
    }
}

impl LocatedName {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            profile: TlsProfile::Intermediate,
            client_auth: ClientAuth::None,
            client_ca: None,
            session_tickets: true,
            ticket_lifetime: Duration::from_secs(12 * 3600),
            session_cache: 10_000,
            early_data: false,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes_per_ip: None,
            ocsp: Ocsp::default(),
            hsts: None,
            acme: None,
            self_signed: false,
        }
    }
}

impl Default for Ocsp {
    fn default() -> Self {
        Self { stapling: true }
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age: Self::PRELOAD_AGE, include_subdomains: false, preload: false }
    }
}

impl PartialEq for LocatedPath {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for LocatedPath {}

impl PartialEq for LocatedName {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for LocatedName {}

/// The field's value (RFC 6797 §6.1).
impl fmt::Display for Hsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max-age={}", self.max_age.as_secs())?;
        if self.include_subdomains {
            f.write_str("; includeSubDomains")?;
        }
        if self.preload {
            f.write_str("; preload")?;
        }
        Ok(())
    }
}

/// The word the file uses.
impl fmt::Display for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modern => "modern",
            Self::Intermediate => "intermediate",
            Self::FipsLike => "fips-like",
        })
    }
}
