//! The certificate itself: its request, what came back, and what is to be known of one to renew it.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::{Identifier, MOST_CHAIN, base64};

/// A certificate that was issued, with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate and what leads to its root, in PEM, the certificate first.
    pub chain_pem: String,
    /// Its private key, PKCS#8 in PEM.
    pub key_pem: String,
    /// What the certificate says.
    pub facts: Facts,
}

/// What decides when a certificate is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The names it is for, in its order.
    pub names: Vec<Identifier>,
    /// The first second it is valid, since 1970.
    pub not_before: u64,
    /// The last one.
    pub not_after: u64,
    /// How renewal information calls it (RFC 9773 §4.1); `None` when it does not name its issuer's key.
    pub id: Option<String>,
}

/// A key that was made for one certificate, with the request for it.
pub(super) struct Wanted {
    key: KeyPair,
    names: Vec<Identifier>,
    /// PKCS#10, DER, base64url: as `finalize` takes it.
    pub(super) csr: String,
}

impl Wanted {
    /// A new ECDSA P-256 key, and a request that holds the names and nothing else.
    pub(super) fn new(names: &[Identifier]) -> Option<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).ok()?;
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).ok()?;
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).ok()?;
        Some(Self { csr: base64::encode(csr.der()), key, names: names.to_vec() })
    }

    /// Takes a chain in PEM for the request that was made.
    pub(super) fn issued(&self, chain: &[u8]) -> Result<Issued, &'static str> {
        let chain = read_chain(chain)?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|_| "a certificate that cannot be read")?;
        if &*leaf.public_key().subject_public_key.data != self.key.der_bytes() {
            return Err("a certificate for another key");
        }
        let facts = Facts::of_leaf(&leaf);
        if !self.names.iter().all(|name| facts.names.contains(name)) {
            return Err("a certificate without all the names that were asked for");
        }
        let chain_pem = chain.iter().map(|one| pem(one)).collect();
        Ok(Issued { chain_pem, key_pem: self.key.serialize_pem(), facts })
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Issued {
    /// A chain and its key as they were kept: the one file that [`Issued::entry`] writes, or both in any order.
    ///
    /// # Errors
    /// What is wrong with it, such as a key that is not the certificate's.
    pub fn read(text: &[u8]) -> Result<Self, &'static str> {
        let chain = read_chain(text)?;
        let key = std::str::from_utf8(text).ok().and_then(key_block).ok_or("no private key")?;
        let key = KeyPair::from_pem(key).map_err(|_| "a private key that cannot be read")?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|_| "a certificate that cannot be read")?;
        if &*leaf.public_key().subject_public_key.data != key.der_bytes() {
            return Err("a certificate for another key");
        }
        let chain_pem = chain.iter().map(|one| pem(one)).collect();
        Ok(Self { chain_pem, key_pem: key.serialize_pem(), facts: Facts::of_leaf(&leaf) })
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Facts {
    /// What a chain in PEM says of its first certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(chain_pem: &[u8]) -> Result<Self, &'static str> {
        let chain = read_chain(chain_pem)?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|_| "a certificate that cannot be read")?;
        Ok(Self::of_leaf(&leaf))
    }

    fn of_leaf(leaf: &X509Certificate<'_>) -> Self {
        let named = leaf.subject_alternative_name().ok().flatten();
        let names = named.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(Identifier::Dns(name.to_ascii_lowercase())),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| Identifier::Ip(octets.into())),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|octets| Identifier::Ip(octets.into())),
            },
            _ => None,
        });
        let second = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        Self {
            names: names.collect(),
            not_before: second(leaf.validity().not_before),
            not_after: second(leaf.validity().not_after),
            id: id(leaf),
        }
    }

    /// Seconds from the first second it is valid to the last.
    #[must_use]
    pub fn lifetime(&self) -> u64 {
        self.not_after.saturating_sub(self.not_before)
    }
}

/// `AKI.serial`, both base64url (RFC 9773 §4.1). The serial is its DER content, a leading zero included.
fn id(leaf: &X509Certificate<'_>) -> Option<String> {
    let issuer = leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => identifier.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    })?;
    Some(format!("{}.{}", base64::encode(issuer), base64::encode(leaf.raw_serial())))
}

/// At least one certificate, in its order; other blocks are skipped.
fn read_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).take(MOST_CHAIN + 1).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("no certificate in PEM"),
        Ok(chain) if chain.len() > MOST_CHAIN => Err("a chain of more than 10 certificates"),
        Ok(chain) => Ok(chain),
        Err(_) => Err("no certificates in PEM"),
    }
}

/// The first block of a private key, with its lines.
fn key_block(text: &str) -> Option<&str> {
    const END: &str = "-----END PRIVATE KEY-----";
    let block = &text[text.find("-----BEGIN PRIVATE KEY-----")?..];
    Some(&block[..block.find(END)? + END.len()])
}

/// A certificate in PEM (RFC 7468): standard base64, 64 digits a line.
fn pem(der: &[u8]) -> String {
    let mut digits = base64::encode(der).replace('-', "+").replace('_', "/");
    while !digits.len().is_multiple_of(4) {
        digits.push('=');
    }
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, IsCa, Issuer, SerialNumber, date_time_ymd};

    use super::*;

    /// A leaf for `key`, under an authority of its own.
    fn chain(key: &impl PublicKeyData, names: &[&str], serial: &[u8]) -> String {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let mut leaf = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        leaf.serial_number = Some(SerialNumber::from_slice(serial));
        leaf.use_authority_key_identifier_extension = true;
        leaf.not_before = date_time_ymd(2026, 1, 1);
        leaf.not_after = date_time_ymd(2026, 4, 1);
        leaf.signed_by(key, &Issuer::new(authority, authority_key)).unwrap().pem() + &authority_pem
    }

    fn names(names: &[&str]) -> Vec<Identifier> {
        names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
    }

    #[test]
    fn a_chain_for_our_key_is_taken_and_kept_with_it() {
        let wanted = Wanted::new(&names(&["a.example", "192.0.2.1"])).unwrap();
        let text = chain(&wanted.key, &["A.example", "192.0.2.1", "b.example"], &[0x87, 1, 2]);
        let issued = wanted.issued(text.replace('\n', "\r\n").as_bytes()).unwrap();
        assert_eq!(issued.chain_pem, text.replace("\r\n", "\n"));
        assert_eq!(issued.facts.names, names(&["a.example", "192.0.2.1", "b.example"]));
        assert_eq!((issued.facts.not_before, issued.facts.not_after), (1_767_225_600, 1_775_001_600));
        assert!(issued.facts.id.as_ref().unwrap().ends_with(&format!(".{}", base64::encode(&[0, 0x87, 1, 2]))));
        assert_eq!(Issued::read((issued.key_pem.clone() + &issued.chain_pem).as_bytes()).as_ref(), Ok(&issued));
        assert_eq!(Facts::of(issued.chain_pem.as_bytes()).as_ref(), Ok(&issued.facts));
        assert!(!format!("{issued:?}").contains("BEGIN"));
    }

    #[test]
    fn a_chain_that_is_not_what_was_asked_for_is_refused() {
        let wanted = Wanted::new(&names(&["a.example"])).unwrap();
        let other = chain(&KeyPair::generate().unwrap(), &["a.example"], &[1]);
        assert_eq!(wanted.issued(other.as_bytes()), Err("a certificate for another key"));
        let less = chain(&wanted.key, &["b.example"], &[1]);
        assert_eq!(wanted.issued(less.as_bytes()), Err("a certificate without all the names that were asked for"));
        let broken = pem(b"no certificate");
        assert_eq!(wanted.issued(broken.as_bytes()), Err("a certificate that cannot be read"));
        let good = chain(&wanted.key, &["a.example"], &[1]);
        assert_eq!(wanted.issued(good.repeat(6).as_bytes()), Err("a chain of more than 10 certificates"));
        for text in ["", "<html>", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            assert!(wanted.issued(text.as_bytes()).unwrap_err().contains("PEM"), "{text}");
        }
        assert_eq!(Issued::read(good.as_bytes()), Err("no private key"));
        let key = KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(Issued::read((good + &key).as_bytes()), Err("a certificate for another key"));
    }

    #[test]
    fn a_certificate_is_called_as_in_rfc_9773() {
        // The example of section 4.1: authority key identifier and serial of its certificate.
        let issuer = [
            0x69, 0x88, 0x5B, 0x6B, 0x87, 0x46, 0x40, 0x41, 0xE1, 0xB3, 0x7B, 0x84, 0x7B, 0xA0, 0xAE, 0x2C, 0xDE, 0x01,
            0xC8, 0xD4,
        ];
        let id = format!("{}.{}", base64::encode(&issuer), base64::encode(&[0, 0x87, 0x65, 0x43, 0x21]));
        assert_eq!(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }
}
