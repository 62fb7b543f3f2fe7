//! How a load speaks TLS: what it offers, whom it believes, and whether it goes on with earlier sessions.

mod client;

use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::{Plan, Protocol};
pub(crate) use client::{Client, agreed};

/// What is offered by name (RFC 7301, RFC 9113 §3.2).
const HTTP_1_1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";
/// Sessions that are kept to go on with: those of one server.
const SESSIONS: usize = 256;

/// Cipher suites, as browsers order them.
const SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Those with AES-128-GCM.
const ONE_CIPHER: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// Where systems keep the certificates they trust, most usual first.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Names a file to take instead of those, as OpenSSL has it.
const BUNDLE: &str = "SSL_CERT_FILE";

/// Which versions are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 alone.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// Which certificates are believed.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Any at all, and any signature: the load has no secrets.
    #[default]
    Anybody,
    /// Those that these roots vouch for.
    Roots(Arc<RootCertStore>),
}

/// How a load speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The server's name or address, which goes into the hello (a name alone) and is looked for in its certificate.
    pub name: String,
    /// Versions that are offered.
    pub versions: Versions,
    /// New connections go on with the session of an earlier one where the server lets them.
    pub resume: bool,
    /// X25519MLKEM768 is offered before X25519; without this, it is not offered.
    pub post_quantum: bool,
    /// AES-128-GCM alone is offered, so that servers with an order of their own do the same work.
    pub one_cipher: bool,
    /// Certificates that are believed.
    pub trust: Trust,
}

/// What the connections of one load have in common.
pub(crate) struct Sessions {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: Protocol,
}

impl Sessions {
    /// # Errors
    /// The name is none.
    pub(crate) fn new(tls: &Tls, protocol: Protocol) -> Result<Self, String> {
        let name = ServerName::try_from(tls.name.clone()).map_err(|_| format!("`{}` is no name", tls.name))?;
        Ok(Self { config: Arc::new(config(tls, protocol)?), name, protocol })
    }

    /// Those of a plan; none where it speaks no TLS.
    pub(super) fn of(plan: &Plan) -> Result<Option<Self>, String> {
        plan.tls.as_ref().map(|tls| Self::new(tls, plan.protocol)).transpose()
    }

    /// # Errors
    /// Another protocol was agreed on than the one that was offered. For HTTP/1.1 none need be.
    pub(crate) fn check(&self, agreed: Option<&[u8]>) -> Result<(), &'static str> {
        if self.protocol == Protocol::Http2 && agreed != Some(H2) {
            return Err("the server does not agree on HTTP/2");
        }
        Ok(())
    }

    /// For who reads and writes streams.
    pub(crate) fn connection(&self) -> Result<rustls::ClientConnection, rustls::Error> {
        rustls::ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("name", &self.name).finish_non_exhaustive()
    }
}

fn config(tls: &Tls, protocol: Protocol) -> Result<ClientConfig, String> {
    let versions: &[&SupportedProtocolVersion] = match tls.versions {
        Versions::Both => &[&TLS13, &TLS12],
        Versions::Tls12 => &[&TLS12],
        Versions::Tls13 => &[&TLS13],
    };
    let mut groups: Vec<&'static dyn SupportedKxGroup> =
        vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    if tls.post_quantum {
        groups.insert(0, kx_group::X25519MLKEM768);
    }
    let mut suites = SUITES.to_vec();
    suites.retain(|suite| !tls.one_cipher || ONE_CIPHER.contains(suite));
    let provider = CryptoProvider { cipher_suites: suites, kx_groups: groups, ..default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions);
    let builder = builder.map_err(|error| format!("TLS: {error}"))?;
    let builder: ConfigBuilder<ClientConfig, WantsClientCert> = match &tls.trust {
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
        Trust::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
    };
    let mut config = builder.with_no_client_auth();
    let offered = if protocol == Protocol::Http2 { H2 } else { HTTP_1_1 };
    config.alpn_protocols = vec![offered.to_vec()];
    config.resumption = if tls.resume { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
    Ok(config)
}

/// The certificates this system trusts.
///
/// # Errors
/// There are none, or they cannot be read.
pub fn system_roots() -> Result<Trust, String> {
    let named = std::env::var_os(BUNDLE).map(PathBuf::from);
    let usual = || BUNDLES.iter().map(PathBuf::from).find(|file| file.is_file());
    let file =
        named.or_else(usual).ok_or("this system has no file of certificates that it trusts (ca-certificates)")?;
    let roots = roots(&file).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(Trust::Roots(Arc::new(roots)))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let reader = BufReader::new(File::open(file).map_err(|error| error.to_string())?);
    let mut roots = RootCertStore::empty();
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(reader).collect();
    roots.add_parsable_certificates(found.map_err(|error| error.to_string())?);
    if roots.is_empty() { Err(ErrorKind::NotFound.to_string()) } else { Ok(roots) }
}

/// Believes anybody: what is measured is the server's work, not who it is.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
