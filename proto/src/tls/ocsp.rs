//! What a certificate's issuer says of it today (OCSP, RFC 6960): whether a response can be stapled, and how to ask.

use std::fmt;

use aws_lc_rs::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::der::{self, Elements};

mod signed;

use self::signed::Signed;

/// `id-pkix-ocsp-basic` (RFC 6960 §4.2.1).
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
/// How far clocks may be apart: a response is taken that early.
const CLOCK_SKEW_SECONDS: u64 = 300;
/// How long a response is taken as recent that does not say when there is a newer one (RFC 6960 §3.2).
const UNDATED_SECONDS: u64 = 7 * 86_400;
/// Longest GeneralizedTime that is read, in bytes.
const TIME_MOST: usize = 32;

/// Until when a response may be stapled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staple {
    /// When what it says was known to be so, in seconds since 1970.
    pub this_update: u64,
    /// When there will be a newer one, in seconds since 1970: the last second it is good in. None for one that does not say.
    pub next_update: Option<u64>,
}

impl Staple {
    /// The last second it is good in, since 1970: a week in for one that does not say.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.next_update.unwrap_or_else(|| self.this_update.saturating_add(UNDATED_SECONDS))
    }
}

/// Why a response cannot be stapled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspFault {
    /// Not an OCSP response in DER.
    Malformed,
    /// The responder did not answer the question; the word of RFC 6960 §4.2.1.
    NotSuccessful(&'static str),
    /// It speaks of other certificates.
    OtherCertificate,
    /// The certificate is revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
    /// Its signature is neither the issuer's nor that of somebody whom the issuer named for this (RFC 6960 §4.2.2.2).
    Unsigned,
    /// It is from the future: valid from this second on.
    NotYet(u64),
    /// It was good until this second.
    Outdated(u64),
}

impl fmt::Display for OcspFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("it is no OCSP response in DER, as `openssl ocsp -respout` writes it"),
            Self::NotSuccessful(status) => write!(f, "the responder answered `{status}` and nothing else"),
            Self::OtherCertificate => f.write_str("it is about another certificate"),
            Self::Revoked => f.write_str("it says that the certificate is revoked"),
            Self::Unknown => f.write_str("the responder does not know the certificate"),
            Self::Unsigned => f.write_str("its signature is not that of the certificate's issuer"),
            Self::NotYet(from) => write!(f, "it counts only from {} on", Moment(*from)),
            Self::Outdated(until) => write!(f, "it was good until {}", Moment(*until)),
        }
    }
}

/// A second since 1970, for people.
pub(super) struct Moment(pub(super) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = crate::date::civil(self.0.min(crate::date::MAX) / 86_400);
        let second = self.0 % 86_400;
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
    }
}

/// Reads a response (RFC 6960 §4.2.1) to a question about `leaf`, DER; with `issuer`, DER, its hashes are looked at too, and
/// the signature is verified. `now` is in seconds since 1970.
///
/// # Errors
/// Why it cannot be stapled.
pub fn read(response: &[u8], leaf: &[u8], issuer: Option<&[u8]>, now: u64) -> Result<Staple, OcspFault> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| OcspFault::OtherCertificate)?;
    let issuer = issuer.and_then(|issuer| X509Certificate::from_der(issuer).ok()).map(|(_, issuer)| issuer);
    let signed = signed(response)?;
    let mut answers = answers(&signed).ok_or(OcspFault::Malformed)?;
    let answer = loop {
        if answers.0.is_empty() {
            return Err(OcspFault::OtherCertificate);
        }
        let mut answer = answers.enter(der::SEQUENCE).ok_or(OcspFault::Malformed)?;
        let id = answer.enter(der::SEQUENCE).ok_or(OcspFault::Malformed)?;
        if is_about(id, &leaf, issuer.as_ref()).ok_or(OcspFault::Malformed)? {
            break answer;
        }
    };
    let staple = judge(answer, now)?;
    match issuer {
        Some(issuer) if !signed.is_by(&issuer, now) => Err(OcspFault::Unsigned),
        _ => Ok(staple),
    }
}

/// What a response is about, as it was signed.
fn signed(response: &[u8]) -> Result<Signed<'_>, OcspFault> {
    let mut whole = Elements(response).enter(der::SEQUENCE).ok_or(OcspFault::Malformed)?;
    match whole.take(der::ENUMERATED) {
        Some([0]) => {}
        Some([1]) => return Err(OcspFault::NotSuccessful("malformedRequest")),
        Some([2]) => return Err(OcspFault::NotSuccessful("internalError")),
        Some([3]) => return Err(OcspFault::NotSuccessful("tryLater")),
        Some([5]) => return Err(OcspFault::NotSuccessful("sigRequired")),
        Some([6]) => return Err(OcspFault::NotSuccessful("unauthorized")),
        _ => return Err(OcspFault::Malformed),
    }
    let basic = (|| {
        let mut bytes = whole.enter(der::context(0))?.enter(der::SEQUENCE)?;
        let is_basic = bytes.take(der::OBJECT)? == BASIC;
        is_basic.then(|| Signed::read(bytes.take(der::OCTET_STRING)?)).flatten()
    })();
    basic.ok_or(OcspFault::Malformed)
}

/// The single answers in what was signed.
fn answers<'r>(signed: &Signed<'r>) -> Option<Elements<'r>> {
    let mut data = Elements(signed.content).enter(der::SEQUENCE)?;
    data.take(der::context(0));
    match data.next()? {
        (tag, _) if tag == der::context(1) || tag == der::context(2) => {}
        _ => return None,
    }
    data.take(der::GENERALIZED_TIME)?;
    data.enter(der::SEQUENCE)
}

/// Whether a CertID (RFC 6960 §4.1.1) is the certificate's. None where it is not in order.
fn is_about(mut id: Elements<'_>, leaf: &X509Certificate<'_>, issuer: Option<&X509Certificate<'_>>) -> Option<bool> {
    let algorithm = id.enter(der::SEQUENCE)?.take(der::OBJECT)?;
    let name_hash = id.take(der::OCTET_STRING)?;
    let key_hash = id.take(der::OCTET_STRING)?;
    let serial = id.take(der::INTEGER)?;
    let algorithm = match algorithm {
        SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SHA256 => &digest::SHA256,
        // Another hash cannot be looked at; the number can.
        _ => return Some(serial == leaf.raw_serial()),
    };
    let is = |bytes: &[u8], hash: &[u8]| digest::digest(algorithm, bytes).as_ref() == hash;
    Some(
        serial == leaf.raw_serial()
            && is(leaf.issuer().as_raw(), name_hash)
            && issuer.is_none_or(|issuer| is(&issuer.public_key().subject_public_key.data, key_hash)),
    )
}

/// What is behind the CertID: its status and times.
fn judge(mut answer: Elements<'_>, now: u64) -> Result<Staple, OcspFault> {
    match answer.next() {
        Some((0x80, [])) => {}
        Some((0xa1, _)) => return Err(OcspFault::Revoked),
        Some((0x82, [])) => return Err(OcspFault::Unknown),
        _ => return Err(OcspFault::Malformed),
    }
    let this_update = time(&mut answer).ok_or(OcspFault::Malformed)?;
    let next_update = match answer.enter(der::context(0)) {
        Some(mut next) => Some(time(&mut next).ok_or(OcspFault::Malformed)?),
        None => None,
    };
    if this_update > now.saturating_add(CLOCK_SKEW_SECONDS) {
        return Err(OcspFault::NotYet(this_update));
    }
    let staple = Staple { this_update, next_update };
    if staple.until() < now { Err(OcspFault::Outdated(staple.until())) } else { Ok(staple) }
}

/// The GeneralizedTime that comes next, in seconds since 1970.
fn time(elements: &mut Elements<'_>) -> Option<u64> {
    let content = elements.take(der::GENERALIZED_TIME).filter(|content| content.len() <= TIME_MOST)?;
    let element = der::element(der::GENERALIZED_TIME, &[content]);
    let (_, time) = ASN1Time::from_der(&element).ok()?;
    u64::try_from(time.timestamp()).ok()
}

/// A request about one certificate (RFC 6960 §4.1.1), to be sent with `Content-Type: application/ocsp-request` to its
/// [`ocsp_url`](super::certificate::Facts::ocsp_url). The hash is SHA-1, which every responder knows (RFC 5019 §2.1.1), and
/// there is no nonce, so that answers can come from a cache. None where either is no certificate.
#[must_use]
pub fn request(leaf: &[u8], issuer: &[u8]) -> Option<Vec<u8>> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let (_, issuer) = X509Certificate::from_der(issuer).ok()?;
    let hash = |bytes: &[u8]| {
        der::element(der::OCTET_STRING, &[digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()])
    };
    let algorithm = der::element(der::SEQUENCE, &[&der::element(der::OBJECT, &[SHA1]), &[0x05, 0]]);
    let name = hash(leaf.issuer().as_raw());
    let key = hash(&issuer.public_key().subject_public_key.data);
    let serial = der::element(der::INTEGER, &[leaf.raw_serial()]);
    let mut message = der::element(der::SEQUENCE, &[&algorithm, &name, &key, &serial]);
    // CertID, Request, requestList, TBSRequest, OCSPRequest.
    for _ in 0..4 {
        message = der::element(der::SEQUENCE, &[&message]);
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_another_length_is_none() {
        let read = |digits: &[u8]| {
            let mut bytes = vec![der::GENERALIZED_TIME, 0x83];
            bytes.extend(&(digits.len() as u32).to_be_bytes()[1..]);
            bytes.extend(digits);
            time(&mut Elements(&bytes))
        };
        assert_eq!(read(b"20261121120000Z"), Some(1_795_262_400));
        for length in [0, 1, 14, 70_000] {
            assert_eq!(read(&vec![b'1'; length]), None, "{length}");
        }
    }
}
