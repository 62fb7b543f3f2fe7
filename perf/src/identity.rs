//! The certificate that every subject shows: ECDSA P-256, signed by itself, made once a run.

use std::sync::OnceLock;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

/// The name it is for.
pub const NAME: &str = "localhost";

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    /// PEM.
    pub(crate) certificate: String,
    /// PEM (PKCS #8).
    pub(crate) key: String,
}

/// The pair of this run.
///
/// # Panics
/// The system has no random numbers.
pub(crate) fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| make().expect("a certificate of one name can be made"))
}

fn make() -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let names = vec![NAME.to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Its files, as most servers read them, and both in one.
pub(crate) fn files() -> Vec<(&'static str, String)> {
    let Pair { certificate, key } = pair();
    vec![("cert.pem", certificate.clone()), ("key.pem", key.clone()), ("both.pem", format!("{certificate}{key}"))]
}
