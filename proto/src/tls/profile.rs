//! Which versions, cipher suites and groups a listener offers, by name.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// A choice of versions, cipher suites and groups, after Mozilla's server-side guidelines.
///
/// A client's order counts: among suites that are all good it knows best what is quick for it, such as ChaCha20 without
/// AES instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 and 1.3; of TLS 1.2 only suites with forward secrecy and authenticated encryption.
    #[default]
    Intermediate,
    /// TLS 1.2 and 1.3 with AES-GCM, P-256 and P-384 alone, TLS 1.2 only with the extended master secret (RFC 7627): what
    /// SP 800-52 asks for. The module that computes is not the validated one: this is no FIPS 140 validation.
    FipsLike,
}

const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
/// Mozilla's `modern`.
const MODERN: &[SupportedCipherSuite] =
    &[suite::TLS13_AES_128_GCM_SHA256, suite::TLS13_AES_256_GCM_SHA384, suite::TLS13_CHACHA20_POLY1305_SHA256];
/// Mozilla's `intermediate`, without the finite-field suites, which rustls does not have.
const INTERMEDIATE: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
const FIPS_LIKE: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];
const GROUPS: &[&dyn SupportedKxGroup] =
    &[kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
const FIPS_LIKE_GROUPS: &[&dyn SupportedKxGroup] = &[kx_group::SECP256R1, kx_group::SECP384R1];

impl Profile {
    /// Every profile, the strictest first.
    pub const ALL: [Self; 3] = [Self::Modern, Self::Intermediate, Self::FipsLike];

    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Intermediate => "intermediate",
            Self::FipsLike => "fips-like",
        }
    }

    /// What it offers.
    #[must_use]
    pub fn offers(self) -> Offers {
        let name = |suite: &SupportedCipherSuite| suite.suite().as_str().unwrap_or("unknown");
        Offers {
            versions: self
                .versions()
                .iter()
                .map(|version| if version.version == TLS13.version { "TLS 1.3" } else { "TLS 1.2" })
                .collect(),
            suites: self.suites().iter().map(name).collect(),
            groups: self.groups().iter().map(|group| group.name().as_str().unwrap_or("unknown")).collect(),
            extended_master_secret: self == Self::FipsLike,
        }
    }

    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Modern => NEWEST,
            Self::Intermediate | Self::FipsLike => BOTH,
        }
    }

    fn suites(self) -> &'static [SupportedCipherSuite] {
        match self {
            Self::Modern => MODERN,
            Self::Intermediate => INTERMEDIATE,
            Self::FipsLike => FIPS_LIKE,
        }
    }

    fn groups(self) -> &'static [&'static dyn SupportedKxGroup] {
        match self {
            Self::Modern | Self::Intermediate => GROUPS,
            Self::FipsLike => FIPS_LIKE_GROUPS,
        }
    }

    pub(super) fn provider(self) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            cipher_suites: self.suites().to_vec(),
            kx_groups: self.groups().to_vec(),
            ..aws_lc_rs::default_provider()
        })
    }
}

/// What a profile offers, by the names of the registries (IANA's TLS parameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// Versions.
    pub versions: Vec<&'static str>,
    /// Cipher suites.
    pub suites: Vec<&'static str>,
    /// Key exchange groups, the first preferred.
    pub groups: Vec<&'static str>,
    /// True where TLS 1.2 demands the extended master secret (RFC 7627).
    pub extended_master_secret: bool,
}

/// Lines such as `versions: TLS 1.3, TLS 1.2`.
impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "versions: {}", self.versions.join(", "))?;
        writeln!(f, "cipher suites: {}", self.suites.join(", "))?;
        write!(f, "key exchange: {}", self.groups.join(", "))?;
        if self.extended_master_secret {
            write!(f, "\nTLS 1.2 only with the extended master secret")?;
        }
        Ok(())
    }
}
