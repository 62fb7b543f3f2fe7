//! Certificates and keys: those that serve, those that do not, and what is said of them.

use anygate_proto::tls::{Facts, Identity, IdentityError, Warning, self_signed};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};

use super::{AUTHORITY, Authority, DAY, NOW, RSA};

const LEAF: &str = include_str!("fixtures/leaf.pem");
const CA: &str = include_str!("fixtures/ca.pem");
const KEY: &str = include_str!("fixtures/leaf.pkcs8.pem");

fn load(cert: &str, key: &str) -> Result<Identity, IdentityError> {
    Identity::load(cert.as_bytes(), key.as_bytes(), None, NOW)
}

fn chain() -> String {
    format!("{LEAF}{CA}")
}

#[test]
fn what_openssl_made_is_read_as_openssl_reads_it() {
    let identity = load(&chain(), KEY).unwrap();
    let facts = identity.facts();
    assert_eq!(facts.names, ["www.example.org".into(), "*.example.org".into()]);
    assert_eq!(facts.addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap(), "2001:db8::7".parse().unwrap()]);
    assert_eq!(facts.uris, ["spiffe://example.org/web".into()]);
    assert_eq!(facts.emails, ["web@example.org".into()]);
    assert_eq!(&*facts.subject, "CN=www.example.org,OU=Web+UID=w1,O=Example\\, Inc.,C=FR");
    assert_eq!(&*facts.issuer, "CN=Example Test CA,O=Example\\, Inc.,C=FR");
    assert_eq!(&*facts.serial, "00f1e2d3c4b5a69788");
    assert_eq!((facts.not_before, facts.not_after), (1_795_264_329, 4_948_864_329));
    assert_eq!(facts.fingerprint_hex(), "07f4bf7fa3ed56153d9bbbcbd8e1b1a92e288ba31e50452ca67cb6f4a80e23db");
    assert_eq!((&*facts.key, facts.must_staple, facts.is_self_issued), ("ECDSA P-256", true, false));
    assert_eq!(facts.ocsp_url.as_deref(), Some("http://ocsp.example.org/r3"));
    assert_eq!(identity.names(), ["*.example.org".into(), "www.example.org".into()]);
    assert_eq!(identity.chain().len(), 2);
    assert_eq!(identity.warnings(), [Warning::RootIncluded, Warning::MustStaple]);
}

#[test]
fn keys_are_read_in_every_form_they_come_in() {
    for key in [KEY, include_str!("fixtures/leaf.sec1.pem")] {
        load(&chain(), key).unwrap();
        load(LEAF, &format!("{LEAF}{key}")).unwrap();
        load(&format!("text before\n{key}{LEAF}"), key).unwrap();
        load(&LEAF.replace('\n', "\r\n"), &key.replace('\n', "\r\n")).unwrap();
    }
    let cert = AUTHORITY.issue(&["rsa.test"], &*RSA);
    for key in [include_str!("fixtures/rsa.pkcs1.pem"), include_str!("fixtures/rsa.pkcs8.pem")] {
        assert_eq!(&*load(&cert, key).unwrap().facts().key, "RSA 2048");
    }
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let cert = AUTHORITY.issue(&["ed.test"], &key);
    assert_eq!(&*load(&cert, &key.serialize_pem()).unwrap().facts().key, "Ed25519");
    for (algorithm, name) in
        [(&rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA P-384"), (&rcgen::PKCS_ECDSA_P521_SHA512, "ECDSA P-521")]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = AUTHORITY.issue(&["ec.test"], &key);
        assert_eq!(&*load(&cert, &key.serialize_pem()).unwrap().facts().key, name);
    }
}

#[test]
fn der_is_taken_as_well() {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["der.test".into()]).unwrap().self_signed(&key).unwrap();
    let identity = Identity::load(cert.der(), key.serialized_der(), None, NOW).unwrap();
    assert_eq!(identity.names(), ["der.test".into()]);
    assert_eq!(identity.warnings(), []);
}

#[test]
fn an_error_says_what_is_wrong_and_what_would_be_right() {
    let other = KeyPair::generate().unwrap().serialize_pem();
    let cut = &KEY[..KEY.len() - 40];
    let cases = [
        (load("", KEY), "no certificate in it, but nothing"),
        (load("hello", KEY), "no certificate in it, but no PEM"),
        (load(KEY, KEY), "no certificate in it, but `PRIVATE KEY`; it should have a `-----BEGIN CERTIFICATE-----`"),
        (load(&LEAF[..LEAF.len() - 30], KEY), "the certificate's PEM is broken: a section has no `-----END` line"),
        (load(&LEAF.replace("MII", "M!!"), KEY), "the certificate's PEM is broken: a section is not base64"),
        (
            load(&format!("{LEAF}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), KEY),
            "certificate 2 in it is no X.509",
        ),
        (load(LEAF, CA), "no private key in it, but `CERTIFICATE`"),
        (load(LEAF, cut), "the key's PEM is broken: a section has no `-----END` line"),
        (load(LEAF, &format!("{KEY}{other}")), "there are 2 private keys"),
        (load(LEAF, include_str!("fixtures/leaf.pkcs8.encrypted.pem")), "encrypted; decrypt it with `openssl pkey"),
        (load(LEAF, include_str!("fixtures/leaf.sec1.encrypted.pem")), "encrypted; decrypt it with `openssl pkey"),
        (load(LEAF, &other), "not that of the certificate (ECDSA P-256, CN=www.example.org"),
        (load(&format!("{CA}{LEAF}"), KEY), "that of certificate 2: the order is wrong"),
        (
            load(LEAF, "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
            "the private key cannot be used; RSA of 2048",
        ),
    ];
    for (outcome, wanted) in cases {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
    }
}

#[test]
fn no_error_and_no_debug_text_holds_a_key() {
    let secret = KEY.lines().nth(1).unwrap();
    let texts = [
        format!("{:?}", load(&chain(), KEY).unwrap()),
        format!("{:?}", load("", KEY).unwrap_err()),
        format!("{:?}", load(LEAF, &KEY[..KEY.len() - 40]).unwrap_err()),
        format!("{:?}", load(LEAF, &KEY.replace('M', "!")).unwrap_err()),
        format!("{:?}", load(KEY, LEAF).unwrap_err()),
    ];
    for text in texts {
        assert!(!text.contains(&secret[8..24]), "{text}");
    }
}

#[test]
fn times_are_warned_of_and_serve() {
    let key = KEY.as_bytes();
    let at = |now| Identity::load(LEAF.as_bytes(), key, None, now).unwrap().warnings().to_vec();
    assert!(at(1_795_264_328).contains(&Warning::NotYetValid(1_795_264_329)));
    assert!(!at(1_795_264_329).contains(&Warning::NotYetValid(1_795_264_329)));
    assert!(!at(4_948_864_329).contains(&Warning::Expired(4_948_864_329)));
    assert!(at(4_948_864_330).contains(&Warning::Expired(4_948_864_329)));
    let expired = Identity::load(chain().as_bytes(), key, None, u64::MAX).unwrap();
    let texts: Vec<_> = expired.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "the certificate expired at 2126-10-28 12:32:09 UTC: clients refuse it");
    assert!(texts[1].starts_with("certificate 2 of the chain expired at 2126-"), "{texts:?}");
}

#[test]
fn what_is_odd_about_a_chain_is_said() {
    assert_eq!(
        load(LEAF, KEY).unwrap().warnings(),
        [Warning::ChainIncomplete("CN=Example Test CA,O=Example\\, Inc.,C=FR".into()), Warning::MustStaple]
    );
    let stranger = Authority::new("Stranger").pem();
    let strange = load(&format!("{LEAF}{stranger}{CA}"), KEY).unwrap();
    assert_eq!(strange.warnings()[..2], [Warning::ChainOrder(2), Warning::ChainOrder(3)]);
    let key = KeyPair::generate().unwrap();
    let authority = AUTHORITY.issue_with(&["ca.test"], &key, |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    assert!(load(&authority, &key.serialize_pem()).unwrap().warnings().contains(&Warning::Authority));
}

#[test]
fn a_common_name_serves_only_where_there_is_no_other_name() {
    let key = KeyPair::generate().unwrap();
    let common = |params: &mut CertificateParams| params.distinguished_name.push(DnType::CommonName, "Only.Test");
    let cert = AUTHORITY.issue_with(&[], &key, common);
    let identity = load(&cert, &key.serialize_pem()).unwrap();
    assert_eq!(identity.names(), ["only.test".into()]);
    assert!(identity.warnings().contains(&Warning::CommonNameOnly("only.test".into())));
    let cert = AUTHORITY.issue_with(&["san.test"], &key, common);
    assert_eq!(load(&cert, &key.serialize_pem()).unwrap().names(), ["san.test".into()]);
    let cert = AUTHORITY.issue_with(&[], &key, |params| params.distinguished_name = rcgen::DistinguishedName::new());
    let nameless = load(&cert, &key.serialize_pem()).unwrap();
    assert!(nameless.warnings().contains(&Warning::Nameless) && nameless.names().is_empty());
}

#[test]
fn names_that_no_client_can_ask_for_are_left_out_and_told() {
    let key = KeyPair::generate().unwrap();
    let cert = AUTHORITY.issue_with(&["good.test"], &key, |params| {
        for name in ["w*.test", "*", "a.*.test", "dot..test", "sp ace.test"] {
            params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        }
    });
    let identity = load(&cert, &key.serialize_pem()).unwrap();
    assert_eq!(identity.names(), ["good.test".into()]);
    let useless = identity.warnings().iter().filter(|warning| matches!(warning, Warning::UselessName(_)));
    assert_eq!(useless.count(), 5);
}

#[test]
fn names_of_the_configuration_take_the_place_of_its_own() {
    let identity =
        load(LEAF, KEY).unwrap().named(["WWW.example.org", "a.example.org", "a.b.example.org", "other.test", "b*d"]);
    let names = ["a.b.example.org", "a.example.org", "other.test", "www.example.org"];
    assert_eq!(identity.names(), names.map(Into::into));
    let told: Vec<_> = identity
        .warnings()
        .iter()
        .filter(|warning| matches!(warning, Warning::NotCovered(_) | Warning::UselessName(_)))
        .cloned()
        .collect();
    assert_eq!(
        told,
        [
            Warning::NotCovered("a.b.example.org".into()),
            Warning::NotCovered("other.test".into()),
            Warning::UselessName("b*d".into())
        ]
    );
}

#[test]
fn a_clients_certificate_cannot_write_into_a_field() {
    let key = KeyPair::generate().unwrap();
    let cert = AUTHORITY.issue_with(&[], &key, |params| {
        params.distinguished_name.push(DnType::CommonName, "eve\r\nX-Admin: 1, CN=root");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    });
    let identity = load(&cert, &key.serialize_pem()).unwrap();
    assert!(identity.facts().subject.contains("eve\\0d\\0aX-Admin: 1\\, CN=root"), "{}", identity.facts().subject);
}

#[test]
fn bytes_that_are_no_certificate_are_none() {
    let der = load(LEAF, KEY).unwrap().chain().next().unwrap().to_vec();
    assert!(Facts::read(&der).is_some());
    assert!((0..der.len()).all(|cut| Facts::read(&der[..cut]).is_none()));
    assert_eq!(Facts::read(&[&der[..], b"x"].concat()), None);
    for at in 0..der.len() {
        let mut bent = der.clone();
        bent[at] ^= 0x55;
        let _ = Facts::read(&bent);
        let _ = Identity::load(&bent, KEY.as_bytes(), None, NOW);
    }
}

#[test]
fn a_self_signed_pair_serves_and_nothing_is_odd_about_it() {
    let pair = self_signed::make(&["localhost", "*.localhost", "127.0.0.1", "::1"], NOW).unwrap();
    let identity = load(&pair.cert, &pair.key).unwrap();
    assert_eq!(identity.warnings(), []);
    assert_eq!(identity.names(), ["*.localhost".into(), "localhost".into()]);
    let facts = identity.facts();
    assert_eq!((facts.addresses.len(), &*facts.subject), (2, "CN=localhost"));
    assert_eq!(facts.not_after - facts.not_before, self_signed::VALID_DAYS * DAY);
    assert!((NOW - 2 * DAY..NOW).contains(&facts.not_before));
    assert!(!format!("{pair:?}").contains("PRIVATE"));
    assert!(self_signed::make(&[], NOW).is_err());
    assert!(self_signed::make(&["n\u{e4}me"], NOW).is_err());
    self_signed::make(&["late.test"], u64::MAX).unwrap();
}
