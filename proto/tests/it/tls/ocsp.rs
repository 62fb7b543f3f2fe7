//! OCSP responses, as OpenSSL's responder writes them.

use anygate_proto::tls::ocsp::{self, OcspFault};
use anygate_proto::tls::{Identity, Warning};

use super::{AUTHORITY, DAY};

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
    assert_eq!(staple.refresh_at(), Some(MADE + 7 * DAY / 2));
    assert!(load(Some(GOOD), MADE + 7 * DAY).staple().is_some());
    let sha256 = load(Some(include_bytes!("fixtures/ocsp.good256.der")), MADE);
    assert!(sha256.staple().is_some());
    let undated = load(Some(include_bytes!("fixtures/ocsp.undated.der")), MADE + 400 * DAY);
    assert_eq!(undated.staple().unwrap().next_update, None);
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
