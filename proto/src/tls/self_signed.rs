//! A certificate that nobody vouches for, for trying things out.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

/// The days of a certificate that [`make`] makes: more, and browsers refuse it (CA/Browser Forum, Apple).
pub const VALID_DAYS: u64 = 397;
/// Of these, the days that are yet to come in whole.
pub const DAYS: u64 = VALID_DAYS - 2;
/// Names and addresses of this machine: what it is for where nothing else is said.
pub const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: u64 = 86_400;

/// A certificate and its key, PEM.
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The key, PKCS#8.
    pub key: String,
}

/// The key is not shown.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// Makes a certificate for these names and addresses, with a new key on P-256, valid from the day before `now` on, in
/// seconds since 1970, for [`VALID_DAYS`].
///
/// # Errors
/// What is wrong: a name that is none, or no random bytes.
pub fn make(names: &[&str], now: u64) -> Result<Pair, Box<str>> {
    make_for(names, DAYS, now)
}

/// The same, valid for so many whole days from `now` on.
///
/// # Errors
/// As [`make`].
pub fn make_for(names: &[&str], days: u64, now: u64) -> Result<Pair, Box<str>> {
    let told = |error: rcgen::Error| error.to_string().into_boxed_str();
    let names: Vec<String> = names.iter().map(|name| String::from(*name)).collect();
    let first = names.first().cloned().ok_or("a certificate needs a name")?;
    let mut params = CertificateParams::new(names).map_err(told)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let midnight = |at: u64| {
        let (year, month, day) = crate::date::civil(at.min(crate::date::MAX) / DAY);
        rcgen::date_time_ymd(year.try_into().unwrap_or(i32::MAX), month as u8, day as u8)
    };
    let from = now.saturating_sub(DAY);
    params.not_before = midnight(from);
    params.not_after = midnight(from.saturating_add(days.saturating_add(2).saturating_mul(DAY)));
    let key = KeyPair::generate().map_err(told)?;
    let cert = params.self_signed(&key).map_err(told)?;
    Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
}
