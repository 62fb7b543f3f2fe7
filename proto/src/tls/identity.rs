//! A certificate with its key: whether they serve, and what is odd about them.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::Facts;
use super::expiry::Expiry;
use super::names;
use super::ocsp::{self, Moment, OcspFault, Staple};

/// Schemes that a server's key may sign with (RFC 8446 §4.2.3), to learn which of them a key can.
const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// A certificate, those of its issuers, and its key.
pub struct Identity {
    key: Arc<CertifiedKey>,
    facts: Facts,
    /// Lower case, each once.
    names: Vec<Box<str>>,
    schemes: Vec<SignatureScheme>,
    staple: Option<Staple>,
    warnings: Vec<Warning>,
}

/// Why a certificate and its key cannot serve. It never holds bytes of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityError {
    /// There is no certificate among the PEM sections; what there is instead.
    NoCertificate(Box<str>),
    /// A PEM section that is broken, and whether it is one of the key's file.
    Pem {
        /// True in the key's file.
        in_key: bool,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A certificate that cannot be read; its place, from 1 on.
    NotACertificate(usize),
    /// There is no key among the PEM sections; what there is instead.
    NoKey(Box<str>),
    /// Several keys, where one is wanted.
    SeveralKeys(usize),
    /// The key wants a password.
    EncryptedKey,
    /// The key cannot be read, or is of a kind that is not supported.
    UnsupportedKey,
    /// The key is another certificate's.
    OtherKey {
        /// Subject of the first certificate.
        subject: Box<str>,
        /// The first certificate's kind of key.
        key: Box<str>,
    },
    /// The key is that of a certificate further back, at this place from 1 on: the order is wrong.
    LeafNotFirst(usize),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate(found) => {
                write!(f, "there is no certificate in it, but {found}; it should have a `-----BEGIN CERTIFICATE-----` section")
            }
            Self::Pem { in_key: true, what } => write!(f, "the key's PEM is broken: {what}"),
            Self::Pem { in_key: false, what } => write!(f, "the certificate's PEM is broken: {what}"),
            Self::NotACertificate(at) => write!(f, "certificate {at} in it is no X.509 certificate"),
            Self::NoKey(found) => write!(
                f,
                "there is no private key in it, but {found}; it should have a `-----BEGIN PRIVATE KEY-----` section \
                 (or `RSA PRIVATE KEY`, `EC PRIVATE KEY`)"
            ),
            Self::SeveralKeys(count) => write!(f, "there are {count} private keys in it, where one is wanted"),
            Self::EncryptedKey => f.write_str(
                "the private key is encrypted; decrypt it with `openssl pkey -in KEY -out PLAIN` and guard the file by its mode",
            ),
            Self::UnsupportedKey => f.write_str(
                "the private key cannot be used; RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, and Ed25519 can",
            ),
            Self::OtherKey { subject, key } => {
                write!(f, "the private key is not that of the certificate ({key}, {})", Subject(subject))
            }
            Self::LeafNotFirst(at) => write!(
                f,
                "the private key is that of certificate {at}: the order is wrong, the server's own certificate comes first, \
                 then that of its issuer, and so on"
            ),
        }
    }
}

impl std::error::Error for IdentityError {}

impl IdentityError {
    /// True where it is the key's bytes that are wrong, and not the certificate's.
    #[must_use]
    pub fn is_in_key(&self) -> bool {
        matches!(
            self,
            Self::Pem { in_key: true, .. }
                | Self::NoKey(_)
                | Self::SeveralKeys(_)
                | Self::EncryptedKey
                | Self::UnsupportedKey
        )
    }
}

/// What is odd about a certificate that serves all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// It is no longer valid, since this second.
    Expired(u64),
    /// It should have been renewed by now: it expires at this second, see [`Expiry::Soon`].
    ExpiresSoon(u64),
    /// It is not valid yet, until this second.
    NotYetValid(u64),
    /// The certificate of an issuer, at this place from 1 on, is no longer valid, since this second.
    IssuerExpired(usize, u64),
    /// It has no names in its subjectAltName; that of its subject is used, which clients do not look at.
    CommonNameOnly(Box<str>),
    /// It has no name at all: it serves only as the default.
    Nameless,
    /// A name that no client can ask for.
    UselessName(Box<str>),
    /// A name given by the configuration that the certificate does not have.
    NotCovered(Box<str>),
    /// The issuer's certificate is not there: clients that do not know it cannot verify this one.
    ChainIncomplete(Box<str>),
    /// The certificate at this place, from 1 on, is not that of the issuer of the one before.
    ChainOrder(usize),
    /// The last certificate is a root's: clients have it, or do not believe it; it costs bytes in each handshake.
    RootIncluded,
    /// The certificate may issue certificates: it is an authority's, not a server's.
    Authority,
    /// The OCSP response is not stapled.
    Ocsp(OcspFault),
    /// Clients may demand a stapled OCSP response (RFC 7633), and there is none.
    MustStaple,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(f, "the certificate expired at {}: clients refuse it", Moment(*at)),
            Self::ExpiresSoon(at) => write!(f, "the certificate expires at {}: renew it", Moment(*at)),
            Self::NotYetValid(at) => write!(f, "the certificate is valid only from {} on", Moment(*at)),
            Self::IssuerExpired(place, at) => write!(f, "certificate {place} of the chain expired at {}", Moment(*at)),
            Self::CommonNameOnly(name) => {
                write!(
                    f,
                    "the certificate names `{name}` only as its common name, which clients ignore: it should be in subjectAltName"
                )
            }
            Self::Nameless => f.write_str("the certificate has no DNS name: it serves only where it is the default"),
            Self::UselessName(name) => write!(f, "`{name}` is no name that a client can ask for"),
            Self::NotCovered(name) => {
                write!(f, "the certificate is not for `{name}`: clients that ask for it refuse it")
            }
            Self::ChainIncomplete(issuer) => write!(
                f,
                "the certificate of its issuer ({}) is missing: clients that do not have it refuse this one; \
                 use the file with the full chain",
                Subject(issuer)
            ),
            Self::ChainOrder(place) => {
                write!(f, "certificate {place} of the chain is not that of the issuer of the one before it")
            }
            Self::RootIncluded => {
                f.write_str("the chain holds the root's certificate, which each handshake carries for nothing")
            }
            Self::Authority => {
                f.write_str("it is the certificate of an authority, which many clients refuse as a server's")
            }
            Self::Ocsp(fault) => write!(f, "the OCSP response is not stapled: {fault}"),
            Self::MustStaple => {
                f.write_str("the certificate demands a stapled OCSP response, and there is none: clients may refuse it")
            }
        }
    }
}

/// A name for people, who should not be shown an empty one.
struct Subject<'n>(&'n str);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "without a name" } else { self.0 })
    }
}

impl Identity {
    /// Reads certificates, the server's own first, then its issuer's and so on, and the key: PEM, or DER for one of each;
    /// both may be the same bytes. `ocsp` is an OCSP response in DER. `now` is in seconds since 1970.
    ///
    /// What is wrong with times, names, the rest of the chain and the OCSP response does not keep it from serving: see
    /// [`Identity::warnings`].
    ///
    /// # Errors
    /// It cannot serve.
    pub fn load(cert: &[u8], key: &[u8], ocsp: Option<&[u8]>, now: u64) -> Result<Self, IdentityError> {
        let chain = certificates(cert)?;
        let mut parsed = Vec::with_capacity(chain.len());
        for (at, der) in chain.iter().enumerate() {
            let fault = || IdentityError::NotACertificate(at + 1);
            let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| fault())?;
            if !rest.is_empty() {
                return Err(fault());
            }
            parsed.push(certificate);
        }
        let leaf = chain.first().ok_or_else(|| IdentityError::NoCertificate("nothing".into()))?;
        let facts = Facts::read(leaf).ok_or(IdentityError::NotACertificate(1))?;
        let signing = any_supported_type(&private_key(key)?).map_err(|_| IdentityError::UnsupportedKey)?;
        let public = signing.public_key().ok_or(IdentityError::UnsupportedKey)?;
        match parsed.iter().position(|certificate| certificate.public_key().raw == public.as_ref()) {
            Some(0) => {}
            Some(at) => return Err(IdentityError::LeafNotFirst(at + 1)),
            None => return Err(IdentityError::OtherKey { subject: facts.subject, key: facts.key }),
        }
        let mut warnings = Vec::new();
        check_times(&facts, &parsed, now, &mut warnings);
        check_chain(&facts, &parsed, &mut warnings);
        let names = own_names(&facts, &mut warnings);
        drop(parsed);
        let schemes = SCHEMES.into_iter().filter(|scheme| signing.choose_scheme(&[*scheme]).is_some()).collect();
        let key = Arc::new(CertifiedKey::new(chain, signing));
        let identity = Self { key, facts, names, schemes, staple: None, warnings };
        Ok(match ocsp {
            Some(ocsp) => match identity.stapled(ocsp, now) {
                Ok(stapled) => stapled,
                Err(fault) => identity.unstapled(Some(fault)),
            },
            None => identity.unstapled(None),
        })
    }

    /// The same with an OCSP response, DER, which takes the place of an earlier one. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The response cannot be stapled; what was stapled before may still be good.
    pub fn stapled(&self, ocsp: &[u8], now: u64) -> Result<Self, OcspFault> {
        let chain = &self.key.cert;
        let leaf = chain.first().ok_or(OcspFault::OtherCertificate)?;
        let staple = ocsp::read(ocsp, leaf, chain.get(1).map(AsRef::as_ref), now)?;
        let mut next = self.unstapled(None);
        next.warnings.retain(|warning| *warning != Warning::MustStaple);
        let mut key = CertifiedKey::clone(&next.key);
        key.ocsp = Some(ocsp.to_vec());
        next.key = Arc::new(key);
        next.staple = Some(staple);
        Ok(next)
    }

    /// The same with nothing stapled, such as when what was stapled is no longer good.
    #[must_use]
    pub fn unstapled(&self, fault: Option<OcspFault>) -> Self {
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = None;
        let mut warnings = self.warnings.clone();
        warnings.retain(|warning| !matches!(warning, Warning::Ocsp(_) | Warning::MustStaple));
        warnings.extend(fault.map(Warning::Ocsp));
        warnings.extend(self.facts.must_staple.then_some(Warning::MustStaple));
        Self {
            key: Arc::new(key),
            facts: self.facts.clone(),
            names: self.names.clone(),
            schemes: self.schemes.clone(),
            staple: None,
            warnings,
        }
    }

    /// The same for other names than the certificate's own: whole ones, or with `*.` in front.
    #[must_use]
    pub fn named<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let own = |name: &str| {
            let covers = |own: &str| own == name || names::is_below(name, own);
            self.facts.names.iter().any(|own| covers(own))
        };
        let useless = |warning: &Warning| {
            matches!(warning, Warning::UselessName(_) | Warning::CommonNameOnly(_) | Warning::Nameless)
        };
        self.warnings.retain(|warning| !useless(warning));
        let mut taken: Vec<Box<str>> = Vec::new();
        for name in names {
            match names::normal(name) {
                Some(name) => {
                    if !own(&name) {
                        self.warnings.push(Warning::NotCovered(name.clone()));
                    }
                    taken.push(name);
                }
                None => self.warnings.push(Warning::UselessName(name.into())),
            }
        }
        taken.sort();
        taken.dedup();
        self.names = taken;
        self
    }

    /// Whether the other is the same certificate with the same issuers, for the same names; what is stapled may differ.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert && self.names == other.names
    }

    /// The certificates with the key, and what is stapled.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The certificates in DER, the server's own first.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.key.cert.iter().map(AsRef::as_ref)
    }

    /// What the server's own certificate says.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The names it serves, lower case, sorted.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// What its key can sign with.
    #[must_use]
    pub fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    /// Until when what is stapled is good; none where nothing is.
    #[must_use]
    pub fn staple(&self) -> Option<Staple> {
        self.staple
    }

    /// What is odd about it, as of when it was loaded.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What asks its issuer for an OCSP response ([`ocsp::request`]). None where the issuer's certificate is not there.
    #[must_use]
    pub fn ocsp_request(&self) -> Option<Vec<u8>> {
        let [leaf, issuer, ..] = &self.key.cert[..] else { return None };
        ocsp::request(leaf, issuer)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.facts.subject)
            .field("names", &self.names)
            .field("key", &self.facts.key)
            .field("staple", &self.staple)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Certificates out of PEM, or one out of DER.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    if is_der(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let mut certificates = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match section {
            Ok((SectionKind::Certificate, der)) => certificates.push(CertificateDer::from(der)),
            Ok(_) => {}
            Err(error) => return Err(IdentityError::Pem { in_key: false, what: pem_fault(&error) }),
        }
    }
    if certificates.is_empty() { Err(IdentityError::NoCertificate(contents(bytes))) } else { Ok(certificates) }
}

/// The one key in PEM or DER: PKCS#8, PKCS#1 or SEC1.
fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    if is_der(bytes) {
        return PrivateKeyDer::try_from(bytes.to_vec()).map_err(|_| IdentityError::UnsupportedKey);
    }
    // The first is PKCS#8's form (RFC 5958 §3), the second that of RFC 1421 §4.6.1.1.
    if ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| holds(bytes, mark)) {
        return Err(IdentityError::EncryptedKey);
    }
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match section {
            Ok((kind, der)) => keys.extend(PrivateKeyDer::from_pem(kind, der)),
            Err(error) => return Err(IdentityError::Pem { in_key: true, what: pem_fault(&error) }),
        }
    }
    match keys.len() {
        0 => Err(IdentityError::NoKey(contents(bytes))),
        1 => Ok(keys.remove(0)),
        count => Err(IdentityError::SeveralKeys(count)),
    }
}

/// DER of a certificate or a key is a sequence longer than 127 bytes; no text begins so.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

fn pem_fault(error: &rustls::pki_types::pem::Error) -> &'static str {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "a section has no `-----END` line; the file may have been cut off",
        Error::IllegalSectionStart { .. } => "a `-----BEGIN` line does not end with `-----`",
        Error::Base64Decode(_) => "a section is not base64",
        _ => "a section cannot be read",
    }
}

/// What is in a file instead of what was looked for: the labels of its sections, never what they hold.
fn contents(bytes: &[u8]) -> Box<str> {
    if bytes.trim_ascii().is_empty() {
        return "nothing".into();
    }
    let text = String::from_utf8_lossy(bytes);
    let labels: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .filter(|label| label.len() < 40 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' '))
        .take(4)
        .collect();
    if labels.is_empty() { "no PEM".into() } else { format!("`{}`", labels.join("`, `")).into() }
}

fn check_times(facts: &Facts, chain: &[X509Certificate<'_>], now: u64, warnings: &mut Vec<Warning>) {
    match facts.expiry(now) {
        Expiry::Far => {}
        Expiry::Soon => warnings.push(Warning::ExpiresSoon(facts.not_after)),
        Expiry::Over => warnings.push(Warning::Expired(facts.not_after)),
    }
    if facts.not_before > now {
        warnings.push(Warning::NotYetValid(facts.not_before));
    }
    for (at, issuer) in chain.iter().enumerate().skip(1) {
        let until = u64::try_from(issuer.validity().not_after.timestamp()).unwrap_or(0);
        if until < now {
            warnings.push(Warning::IssuerExpired(at + 1, until));
        }
    }
}

fn check_chain(facts: &Facts, chain: &[X509Certificate<'_>], warnings: &mut Vec<Warning>) {
    for (at, pair) in chain.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            warnings.push(Warning::ChainOrder(at + 2));
        }
    }
    let is_self_issued =
        |certificate: &X509Certificate<'_>| certificate.subject().as_raw() == certificate.issuer().as_raw();
    match chain {
        [_] if !facts.is_self_issued => warnings.push(Warning::ChainIncomplete(facts.issuer.clone())),
        [_, .., last] if is_self_issued(last) => warnings.push(Warning::RootIncluded),
        _ => {}
    }
    if facts.is_authority && !facts.is_self_issued {
        warnings.push(Warning::Authority);
    }
}

/// Names that a client can ask for. A common name counts only where there is no other (RFC 6125 §6.4.4).
fn own_names(facts: &Facts, warnings: &mut Vec<Warning>) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for name in &facts.names {
        match names::normal(name) {
            Some(name) => names.push(name),
            None => warnings.push(Warning::UselessName(name.clone())),
        }
    }
    if facts.names.is_empty() && facts.addresses.is_empty() {
        match facts.common_name.as_deref().and_then(names::normal) {
            Some(name) => {
                warnings.push(Warning::CommonNameOnly(name.clone()));
                names.push(name);
            }
            None => warnings.push(Warning::Nameless),
        }
    }
    names.sort();
    names.dedup();
    names
}
