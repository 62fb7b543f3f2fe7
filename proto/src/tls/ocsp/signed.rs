//! Is what a responder says signed by who may say it?

use rustls::crypto::aws_lc_rs::default_provider;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::der::{self, Elements};

/// Certificates in a response that are looked at; one is all that a responder needs.
const CERTIFICATES_MOST: usize = 4;

/// Something with its signature, in the form that certificates (RFC 5280 §4.1) and OCSP responses (RFC 6960 §4.2.1) share.
pub(super) struct Signed<'b> {
    /// What was signed, with its tag.
    pub(super) content: &'b [u8],
    /// Which signature it is: the inside of the AlgorithmIdentifier.
    algorithm: &'b [u8],
    signature: &'b [u8],
    rest: Elements<'b>,
}

impl<'b> Signed<'b> {
    /// Reads DER; none where it has another form.
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut inside = Elements(bytes).enter(der::SEQUENCE)?;
        let content = inside.whole(der::SEQUENCE)?;
        let algorithm = inside.take(der::SEQUENCE)?;
        // No signature ends within a byte.
        let [0, signature @ ..] = inside.take(der::BIT_STRING)? else { return None };
        Some(Self { content, algorithm, signature, rest: inside })
    }

    /// Whether a response is signed by a certificate's issuer, or by somebody with a certificate of the issuer's own hand that
    /// is for this (RFC 6960 §4.2.2.2) and is valid `now`, in seconds since 1970.
    pub(super) fn is_by(&self, issuer: &X509Certificate<'_>, now: u64) -> bool {
        self.is_with(issuer.public_key()) || self.certificates().any(|der| self.is_by_delegate(der, issuer, now))
    }

    fn is_by_delegate(&self, der: &[u8], issuer: &X509Certificate<'_>, now: u64) -> bool {
        let Ok((_, delegate)) = X509Certificate::from_der(der) else { return false };
        let is_for_this = delegate.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
        let validity = delegate.validity();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        is_for_this
            && (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
            && Signed::read(der).is_some_and(|signed| signed.is_with(issuer.public_key()))
            && self.is_with(delegate.public_key())
    }

    /// Certificates that stand behind the signature of a response, DER.
    fn certificates(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let mut rest = self.rest;
        let mut list = rest.enter(der::context(0)).and_then(|mut list| list.enter(der::SEQUENCE));
        std::iter::from_fn(move || list.as_mut()?.whole(der::SEQUENCE)).take(CERTIFICATES_MOST)
    }

    /// Whether the signature was made with this key.
    fn is_with(&self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let kind = Elements(key.raw).enter(der::SEQUENCE).and_then(|mut key| key.take(der::SEQUENCE));
        let Some(kind) = kind else { return false };
        let bits = &key.subject_public_key.data;
        default_provider()
            .signature_verification_algorithms
            .all
            .iter()
            .filter(|one| one.signature_alg_id().as_ref() == self.algorithm && one.public_key_alg_id().as_ref() == kind)
            .any(|one| one.verify_signature(bits, self.content, self.signature).is_ok())
    }
}
