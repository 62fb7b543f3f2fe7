//! By whom must the certificates of servers that we ask be vouched for?

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where systems keep the authorities that they trust.
const BUNDLES: [&str; 6] = [
    // Debian, Ubuntu, Arch, Gentoo, NixOS.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL and theirs.
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // openSUSE.
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    // Alpine.
    "/etc/ssl/cert.pem",
];

/// Authorities that vouch for servers.
#[derive(Debug, Clone)]
pub(in crate::control) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities of a bundle in PEM, each of which must be one.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub(in crate::control) fn of_file(path: &Path) -> Result<Self, String> {
        let told = |why: &dyn std::fmt::Display| format!("`{}`: {why}", path.display());
        let bundle = std::fs::read(path).map_err(|error| told(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&bundle) {
            let certificate = certificate.map_err(|error| told(&error))?;
            roots.add(certificate).map_err(|error| told(&error))?;
        }
        if roots.is_empty() { Err(told(&"there is no certificate in it")) } else { Self::of(roots) }
    }

    /// The authorities that this system trusts.
    ///
    /// # Errors
    /// It says so nowhere.
    pub(in crate::control) fn of_system() -> Result<Self, String> {
        for path in BUNDLES {
            let Ok(bundle) = std::fs::read(path) else { continue };
            let mut roots = RootCertStore::empty();
            // One of many that is odd keeps nobody from using the others.
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok));
            if !roots.is_empty() {
                return Self::of(roots);
            }
        }
        Err(format!(
            "this system names no authorities to trust, for example in `{}`: install `ca-certificates`",
            BUNDLES[0]
        ))
    }

    fn of(roots: RootCertStore) -> Result<Self, String> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}
