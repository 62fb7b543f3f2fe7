//! What a certificate says (RFC 5280): a server's own, or the one a client showed.

use std::fmt::Write;
use std::net::IpAddr;

use aws_lc_rs::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::asn1_rs::Any;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::der::{self, Elements};

/// TLS feature (RFC 7633 §4.1).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// OCSP responder (RFC 5280 §4.2.2.1).
const OCSP_RESPONDER: &str = "1.3.6.1.5.5.7.48.1";
/// The number of `status_request` among TLS extensions (RFC 6066 §8).
const STATUS_REQUEST: u8 = 5;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// DNS names of its subjectAltName, lower case; `*.` begins those for every name one label below.
    pub names: Vec<Box<str>>,
    /// Addresses of its subjectAltName.
    pub addresses: Vec<IpAddr>,
    /// URIs of its subjectAltName, such as SPIFFE's.
    pub uris: Vec<Box<str>>,
    /// Mail addresses of its subjectAltName.
    pub emails: Vec<Box<str>>,
    /// The subject's common name, lower case; the last one where it has several.
    pub common_name: Option<Box<str>>,
    /// The subject, as RFC 4514 writes it: the last part first, with control characters escaped.
    pub subject: Box<str>,
    /// The issuer, as RFC 4514 writes it.
    pub issuer: Box<str>,
    /// The serial number, lower-case hexadecimal.
    pub serial: Box<str>,
    /// The first second it is valid in, since 1970; 0 for those before.
    pub not_before: u64,
    /// The last second it is valid in, since 1970.
    pub not_after: u64,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// Its key, such as `RSA 2048` or `ECDSA P-256`.
    pub key: Box<str>,
    /// True where clients may demand a stapled OCSP response (RFC 7633).
    pub must_staple: bool,
    /// Where its OCSP responder is (RFC 6960 §3.1).
    pub ocsp_url: Option<Box<str>>,
    /// True where subject and issuer are the same.
    pub is_self_issued: bool,
    /// True where it may issue certificates (RFC 5280 §4.2.1.9).
    pub is_authority: bool,
}

impl Facts {
    /// Reads a certificate; none where it is not one. Nothing is verified.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then(|| Self::of(&certificate, der))
    }

    fn of(certificate: &X509Certificate<'_>, der: &[u8]) -> Self {
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let mut facts = Self {
            names: Vec::new(),
            addresses: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            common_name: certificate
                .subject()
                .iter_common_name()
                .last()
                .and_then(|name| name.as_str().ok())
                .map(|name| name.to_ascii_lowercase().into()),
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            serial: hex(certificate.raw_serial()).into(),
            not_before: seconds(certificate.validity().not_before.timestamp()),
            not_after: seconds(certificate.validity().not_after.timestamp()),
            fingerprint: sha256(der),
            key: key(certificate).into(),
            must_staple: false,
            ocsp_url: None,
            is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            is_authority: certificate.is_ca(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    names.general_names.iter().for_each(|name| facts.add(name));
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    let url = access.iter().find_map(|access| match access.access_location {
                        GeneralName::URI(url) if access.access_method.to_id_string() == OCSP_RESPONDER => Some(url),
                        _ => None,
                    });
                    facts.ocsp_url = url.map(Into::into);
                }
                _ if extension.oid.to_id_string() == TLS_FEATURE => {
                    let mut features = Elements(extension.value).enter(der::SEQUENCE).unwrap_or(Elements(&[]));
                    facts.must_staple = std::iter::from_fn(|| features.next())
                        .any(|feature| feature == (der::INTEGER, &[STATUS_REQUEST]));
                }
                _ => {}
            }
        }
        facts
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.names.push(name.to_ascii_lowercase().into()),
            GeneralName::URI(uri) => self.uris.push((*uri).into()),
            GeneralName::RFC822Name(mail) => self.emails.push((*mail).into()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                self.addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }

    /// The fingerprint in lower-case hexadecimal, as `openssl x509 -fingerprint -sha256` without its colons.
    #[must_use]
    pub fn fingerprint_hex(&self) -> String {
        hex(&self.fingerprint)
    }
}

/// SHA-256 of bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn key(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            // The point's coordinates are whole bytes.
            528 => "ECDSA P-521".into(),
            bits => format!("ECDSA P-{bits}"),
        },
        _ => match certificate.public_key().algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => "Ed25519".into(),
            other => other.into(),
        },
    }
}

/// A name as RFC 4514 writes it.
fn distinguished(name: &X509Name<'_>) -> Box<str> {
    let mut out = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.iter().rev() {
        for (at, attribute) in part.iter().enumerate() {
            if !out.is_empty() {
                out.push(if at == 0 { ',' } else { '+' });
            }
            let oid = attribute.attr_type().to_id_string();
            match short(&oid) {
                Some(short) => out.push_str(short),
                None => out.push_str(&oid),
            }
            out.push('=');
            match attribute.as_str() {
                Ok(text) => escape(text, &mut out),
                Err(_) => out.push_str(&raw(attribute.attr_value())),
            }
        }
    }
    out.into()
}

/// A value that is no text (RFC 4514 §2.4): its content alone where it should be its whole encoding, which is not kept.
fn raw(value: &Any<'_>) -> String {
    format!("#{}", hex(value.data))
}

/// Short names of attributes: those of RFC 4514 §3, and two that are common in certificates.
fn short(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// Escapes a value (RFC 4514 §2.4). Control characters are escaped as well, so that it can stand in a field or a line.
fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (at, char) in text.chars().enumerate() {
        match char {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', char]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            _ if char.is_control() => {
                let mut bytes = [0; 4];
                for byte in char.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            _ => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_name_cannot_break_out_of_the_field_it_stands_in() {
        let mut out = String::new();
        escape("# a,b=\"c\"\r\nX: y\u{85} ", &mut out);
        assert_eq!(out, "\\# a\\,b=\\\"c\\\"\\0d\\0aX: y\\c2\\85\\ ");
    }
}
