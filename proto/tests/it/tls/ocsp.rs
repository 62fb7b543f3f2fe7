//! OCSP responses, as OpenSSL's responder writes them.

use anygate_proto::tls::ocsp::{self, OcspFault};
use anygate_proto::tls::{Identity, Warning};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SigningKey};

use super::{AUTHORITY, Authority, DAY, NOW};

/// When the responses were made.
const MADE: u64 = 1_795_264_330;
const GOOD: &[u8] = include_bytes!("fixtures/ocsp.good.der");
const CHAIN: &str = concat!(include_str!("fixtures/leaf.pem"), include_str!("fixtures/ca.pem"));
const KEY: &str = include_str!("fixtures/leaf.pkcs8.pem");

fn load(ocsp: Option<&[u8]>, now: u64) -> Identity {
    Identity::load(CHAIN.as_bytes(), KEY.as_bytes(), ocsp, now).unwrap()
}

#[test]
fn a_good_response_is_stapled_until_the_next_is_due() {
    let identity = load(Some(GOOD), MADE);
    assert_eq!(identity.key().ocsp.as_deref(), Some(GOOD));
    assert_eq!(identity.warnings(), [Warning::RootIncluded]);
    let staple = identity.staple().unwrap();
    assert_eq!((staple.this_update, staple.next_update), (MADE, Some(MADE + 7 * DAY)));
    assert!(load(Some(GOOD), MADE + 7 * DAY).staple().is_some());
    let sha256 = load(Some(include_bytes!("fixtures/ocsp.good256.der")), MADE);
    assert!(sha256.staple().is_some());
    assert_eq!(staple.until(), MADE + 7 * DAY);
}

#[test]
fn a_response_that_names_no_end_is_good_for_a_week() {
    let response = include_bytes!("fixtures/ocsp.undated.der");
    let staple = load(Some(response), MADE).staple().unwrap();
    assert_eq!((staple.next_update, staple.until()), (None, staple.this_update + 7 * DAY));
    assert!(load(Some(response), staple.until()).staple().is_some());
    let old = load(Some(response), staple.until() + 1);
    assert!(old.staple().is_none() && old.warnings().contains(&Warning::Ocsp(OcspFault::Outdated(staple.until()))));
}

#[test]
fn what_cannot_be_stapled_is_said_and_the_certificate_serves_without() {
    let cases: [(&[u8], u64, OcspFault); 7] = [
        (include_bytes!("fixtures/ocsp.revoked.der"), MADE, OcspFault::Revoked),
        (include_bytes!("fixtures/ocsp.unknown.der"), MADE, OcspFault::Unknown),
        (GOOD, MADE + 7 * DAY + 1, OcspFault::Outdated(MADE + 7 * DAY)),
        (GOOD, MADE - DAY, OcspFault::NotYet(MADE)),
        (b"", MADE, OcspFault::Malformed),
        (&[0x30, 3, 0x0a, 1, 3], MADE, OcspFault::NotSuccessful("tryLater")),
        (include_bytes!("fixtures/ocsp.request.der"), MADE, OcspFault::Malformed),
    ];
    for (response, now, fault) in cases {
        let identity = load(Some(response), now);
        assert!(identity.warnings().contains(&Warning::Ocsp(fault)), "{fault}: {:?}", identity.warnings());
        assert!(identity.warnings().contains(&Warning::MustStaple));
        assert_eq!((identity.staple(), &identity.key().ocsp), (None, &None));
    }
}

#[test]
fn a_response_about_another_certificate_is_not_stapled() {
    let other = AUTHORITY.identity(&["other.test"]);
    assert_eq!(other.stapled(GOOD, MADE).unwrap_err(), OcspFault::OtherCertificate);
    let leaf = load(None, MADE);
    let mut chain = leaf.chain();
    let (leaf, issuer) = (chain.next().unwrap(), chain.next().unwrap());
    assert!(ocsp::read(GOOD, leaf, Some(issuer), MADE).is_ok());
    assert!(ocsp::read(GOOD, leaf, None, MADE).is_ok());
    // The same name, and another key.
    assert_eq!(ocsp::read(GOOD, leaf, Some(leaf), MADE), Err(OcspFault::OtherCertificate));
}

#[test]
fn a_response_can_be_stapled_later_and_taken_away_again() {
    let identity = load(None, MADE);
    assert!(identity.warnings().contains(&Warning::MustStaple));
    let stapled = identity.stapled(GOOD, MADE).unwrap();
    assert!(!stapled.warnings().contains(&Warning::MustStaple) && stapled.key().ocsp.is_some());
    let outdated = stapled.unstapled(Some(OcspFault::Outdated(MADE)));
    assert!(outdated.warnings().contains(&Warning::MustStaple) && outdated.key().ocsp.is_none());
}

/// An element of DER.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        middle @ 0x80..=0xff => vec![0x81, middle as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag][..], &length, &content].concat()
}

/// Says of the certificate that a request is about that it is good, signed by this key and vouched for by `certificates`.
fn vouch(request: &[u8], key: &KeyPair, certificates: &[&[u8]]) -> Vec<u8> {
    // The lengths of OCSPRequest, TBSRequest, requestList and Request are below 128: CertID is behind two bytes of each.
    let time = element(0x18, &[b"20261121120000Z"]);
    let answer =
        element(0x30, &[&request[8..], &[0x80, 0], &time, &element(0xa0, &[&element(0x18, &[b"20261128120000Z"])])]);
    let data = element(0x30, &[&element(0xa2, &[&element(4, &[b"key"])]), &time, &element(0x30, &[&answer])]);
    let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let signature = element(3, &[&[0], &key.sign(&data).unwrap()]);
    let list = element(0xa0, &[&element(0x30, certificates)]);
    let list = if certificates.is_empty() { &[][..] } else { &list[..] };
    let basic = element(0x30, &[&data, &algorithm, &signature, list]);
    let kind = element(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
    element(0x30, &[&[10, 1, 0], &element(0xa0, &[&element(0x30, &[&kind, &element(4, &[&basic])])])])
}

#[test]
fn a_response_counts_when_the_issuer_signed_it_or_who_the_issuer_named_for_it() {
    let (authority, stranger) = (Authority::new("Issuer"), Authority::new("Issuer"));
    let key = KeyPair::generate().unwrap();
    let chain = authority.issue(&["a.test"], &key) + &authority.pem();
    let identity = Identity::load(chain.as_bytes(), key.serialize_pem().as_bytes(), None, NOW).unwrap();
    let request = identity.ocsp_request().unwrap();
    let named = |by: &Authority, edit: fn(&mut CertificateParams)| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        edit(&mut params);
        (params.signed_by(&key, &by.0).unwrap().der().to_vec(), key)
    };
    let is_for_it =
        |params: &mut CertificateParams| params.insert_extended_key_usage(ExtendedKeyUsagePurpose::OcspSigning);
    let (delegate, its_key) = named(&authority, is_for_it);
    let (pretender, pretended) = named(&stranger, is_for_it);
    let (server, servers) = named(&authority, |_| ());
    let (old, olds) = named(&authority, |params| {
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::OcspSigning);
        params.not_after = rcgen::date_time_ymd(2026, 11, 20);
    });
    let read = |response: &[u8]| identity.stapled(response, NOW).map(|_| ());
    assert_eq!(read(&vouch(&request, authority.0.key(), &[])), Ok(()));
    assert_eq!(read(&vouch(&request, &its_key, &[&server, &delegate])), Ok(()));
    for (what, key, certificates) in [
        ("nobody vouches for it", &its_key, &[][..]),
        ("another issuer of the same name", stranger.0.key(), &[]),
        ("another issuer's delegate", &pretended, &[&pretender[..]]),
        ("a certificate that is not for this", &servers, &[&server]),
        ("a delegate of yesterday", &olds, &[&old]),
        ("a delegate's certificate, and another's signature", &pretended, &[&delegate]),
    ] {
        assert_eq!(read(&vouch(&request, key, certificates)), Err(OcspFault::Unsigned), "{what}");
    }
    let mut touched = vouch(&request, authority.0.key(), &[]);
    let last = touched.len() - 1;
    touched[last] ^= 1;
    assert_eq!(read(&touched), Err(OcspFault::Unsigned));
}

#[test]
fn a_request_is_byte_for_byte_that_of_openssl() {
    assert_eq!(load(None, MADE).ocsp_request().unwrap(), include_bytes!("fixtures/ocsp.request.der"));
    assert_eq!(AUTHORITY.identity(&["alone.test"]).ocsp_request(), None);
}

#[test]
fn no_bytes_of_a_response_do_harm() {
    let leaf = load(None, MADE).chain().next().unwrap().to_vec();
    for cut in 0..GOOD.len() {
        // Signature and certificates behind it are not looked at.
        let _ = ocsp::read(&GOOD[..cut], &leaf, None, MADE);
    }
    for at in 0..GOOD.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bent = GOOD.to_vec();
            bent[at] ^= flip;
            let _ = ocsp::read(&bent, &leaf, None, MADE);
        }
    }
}
