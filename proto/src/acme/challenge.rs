//! How control over a name is proved: HTTP-01 (RFC 8555 §8.3) and TLS-ALPN-01 (RFC 8737, for addresses RFC 8738).

use std::fmt;

use aws_lc_rs::digest;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};

use super::{Account, Identifier, MOST_TOKEN, base64};

/// Where HTTP-01 asks, on port 80 of the name, in plain text or wherever that redirects to; the token follows.
pub const HTTP_PATH: &str = "/.well-known/acme-challenge/";

/// How to prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// By an answer to a plain HTTP request.
    Http01,
    /// By a certificate in a TLS handshake.
    TlsAlpn01,
}

/// What is to be answered while the server looks.
#[derive(Clone, PartialEq, Eq)]
pub enum Challenge {
    /// `GET` of [`HTTP_PATH`] and `token` is 200 with `key_authorization` as its body, whatever `Host` says.
    Http01 {
        /// The name it proves.
        name: Identifier,
        /// Digits of base64url.
        token: String,
        /// The body; `application/octet-stream`.
        key_authorization: String,
    },
    /// A handshake on port 443 for `server_name` that offers [`crate::tls::challenge::PROTOCOL`] is led with this
    /// certificate, agrees on that protocol, and closes.
    TlsAlpn01 {
        /// The name it proves.
        name: Identifier,
        /// The SNI to look for, in lower case.
        server_name: String,
        /// DER.
        certificate: Vec<u8>,
        /// PKCS#8, DER.
        key: Vec<u8>,
    },
}

impl ChallengeKind {
    /// `http-01` or `tls-alpn-01`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl Challenge {
    /// The answer to a challenge of this `kind`; `None` when `token` is none, or no certificate could be made.
    pub(super) fn new(kind: ChallengeKind, name: &Identifier, token: &str, account: &Account) -> Option<Self> {
        if token.len() > MOST_TOKEN || !base64::is_base64url(token) {
            return None;
        }
        let key_authorization = format!("{token}.{}", account.thumbprint());
        let name = name.clone();
        Some(match kind {
            ChallengeKind::Http01 => Self::Http01 { name, token: token.to_owned(), key_authorization },
            ChallengeKind::TlsAlpn01 => {
                let (certificate, key) = proof(&name, key_authorization.as_bytes()).ok()?;
                Self::TlsAlpn01 { server_name: name.server_name(), name, certificate, key }
            }
        })
    }

    /// The name it proves.
    #[must_use]
    pub fn name(&self) -> &Identifier {
        match self {
            Self::Http01 { name, .. } | Self::TlsAlpn01 { name, .. } => name,
        }
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http01 { name, token, .. } => write!(f, "http-01 for {name} ({token})"),
            Self::TlsAlpn01 { name, server_name, .. } => write!(f, "tls-alpn-01 for {name} ({server_name})"),
        }
    }
}

/// A certificate for the name alone that holds the digest of the key authorization, and its key (RFC 8737 §3).
fn proof(name: &Identifier, key_authorization: &[u8]) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ACME challenge");
    params.subject_alt_names = vec![match name {
        Identifier::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        Identifier::Ip(address) => SanType::IpAddress(*address),
    }];
    let digest = digest::digest(&digest::SHA256, key_authorization);
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    Ok((params.self_signed(&key)?.der().to_vec(), key.serialize_der()))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;

    fn challenge(kind: ChallengeKind, name: &str, token: &str) -> (Account, Option<Challenge>) {
        let account = Account::generate("https://ca.example/directory", None).unwrap();
        let challenge = Challenge::new(kind, &Identifier::parse(name).unwrap(), token, &account);
        (account, challenge)
    }

    #[test]
    fn http_01_answers_with_token_and_thumbprint() {
        let (account, challenge) = challenge(ChallengeKind::Http01, "a.example", "tok_en-1");
        let Some(Challenge::Http01 { token, key_authorization, .. }) = challenge else { panic!() };
        assert_eq!(token, "tok_en-1");
        assert_eq!(key_authorization, format!("tok_en-1.{}", account.thumbprint()));
    }

    #[test]
    fn tls_alpn_01_shows_a_certificate_with_the_digest_in_a_critical_extension() {
        for (name, san) in
            [("a.example", GeneralName::DNSName("a.example")), ("192.0.2.1", GeneralName::IPAddress(&[192, 0, 2, 1]))]
        {
            let (account, challenge) = challenge(ChallengeKind::TlsAlpn01, name, "token");
            let Some(Challenge::TlsAlpn01 { certificate, key, .. }) = challenge else { panic!() };
            let (rest, certificate) = X509Certificate::from_der(&certificate).unwrap();
            assert!(rest.is_empty());
            let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
            assert_eq!(names, &vec![san]);
            let extension =
                certificate.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
            let digest = digest::digest(&digest::SHA256, format!("token.{}", account.thumbprint()).as_bytes());
            assert!(extension.critical);
            assert_eq!(extension.value, [&[4, 32], digest.as_ref()].concat());
            let key = KeyPair::from_pkcs8_der_and_sign_algo(&key.into(), &PKCS_ECDSA_P256_SHA256).unwrap();
            assert_eq!(&*certificate.public_key().subject_public_key.data, rcgen::PublicKeyData::der_bytes(&key));
        }
    }

    #[test]
    fn a_token_that_could_lead_elsewhere_is_none() {
        for token in ["", "../secret", "a/b", "a b", "a%2f", "a+b", "a\r\n", &"x".repeat(MOST_TOKEN + 1)] {
            assert_eq!(challenge(ChallengeKind::Http01, "a.example", token).1, None, "{token:?}");
        }
    }

    #[test]
    fn no_key_is_ever_printed() {
        let challenge = challenge(ChallengeKind::TlsAlpn01, "192.0.2.1", "t").1.unwrap();
        assert_eq!(format!("{challenge:?}"), "tls-alpn-01 for 192.0.2.1 (1.2.0.192.in-addr.arpa)");
    }
}
