//! Which certificate a name gets.

use std::sync::Arc;

use anygate_proto::tls::{Identity, Names};
use proptest::prelude::*;
use rcgen::KeyPair;
use rustls::SignatureScheme;

use super::{AUTHORITY, NOW, RSA};

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const PSS: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

fn place(names: &Names, name: Option<&str>, offered: &[SignatureScheme]) -> Option<usize> {
    let found = names.find(name, offered)?;
    names.identities().iter().position(|identity| Arc::ptr_eq(identity, found))
}

/// Certificates for these names, without making a key for each.
fn named(all: &[&[&str]]) -> Vec<Arc<Identity>> {
    let base = AUTHORITY.identity(&["base.test"]);
    all.iter().map(|names| Arc::new(base.unstapled(None).named(names.iter().copied()))).collect()
}

#[test]
fn a_whole_name_goes_before_a_wildcard_and_a_wildcard_before_the_default() {
    let identities = named(&[&["default.test"], &["*.example.com", "example.com"], &["www.example.com"]]);
    let names = Names::new(identities.clone(), false);
    let cases = [
        (Some("www.example.com"), 2),
        (Some("WWW.Example.COM"), 2),
        (Some("www.example.com."), 2),
        (Some("mail.example.com"), 1),
        (Some("example.com"), 1),
        (Some("a.b.example.com"), 0),
        (Some(".example.com"), 0),
        (Some("*.example.com"), 1),
        (Some("xexample.com"), 0),
        (Some("other.test"), 0),
        (Some(""), 0),
        (Some("."), 0),
        (None, 0),
    ];
    for (name, wanted) in cases {
        assert_eq!(place(&names, name, ECDSA), Some(wanted), "{name:?}");
    }
    let long = format!("{}.example.com", "a".repeat(300));
    assert_eq!(place(&names, Some(&long), ECDSA), Some(0));
    let strict = Names::new(identities, true);
    for (name, wanted) in cases {
        let known = name.is_none() || wanted != 0;
        assert_eq!(place(&strict, name, ECDSA), known.then_some(wanted), "{name:?}");
        assert_eq!(strict.refuses(name), !known, "{name:?}");
        assert!(!names.refuses(name));
        assert_eq!(name.is_some_and(|name| names.knows(name)), name.is_some() && wanted != 0);
    }
}

#[test]
fn no_certificates_are_none() {
    for strict in [false, true] {
        let names = Names::new(Vec::new(), strict);
        assert_eq!(place(&names, None, ECDSA), None);
        assert_eq!(place(&names, Some("a.test"), ECDSA), None);
    }
}

#[test]
fn a_client_gets_a_certificate_it_can_verify_and_a_cheap_one_if_it_can() {
    let rsa = AUTHORITY.identity_of(&["both.test", "rsa.test"], &RSA);
    let ecdsa = AUTHORITY.identity(&["both.test", "ec.test"]);
    let names = Names::new(vec![rsa, ecdsa], false);
    assert_eq!(place(&names, Some("both.test"), ECDSA), Some(1));
    assert_eq!(place(&names, Some("both.test"), PSS), Some(0));
    assert_eq!(place(&names, Some("both.test"), &[PSS, ECDSA].concat()), Some(1));
    // It can do with neither, and is told so by what it gets.
    assert_eq!(place(&names, Some("both.test"), &[]), Some(1));
    assert_eq!(place(&names, Some("rsa.test"), ECDSA), Some(0));
    assert_eq!(names.shadowed(), []);
}

#[test]
fn of_two_of_a_kind_the_one_that_is_valid_for_longer_is_used_and_the_other_told() {
    let until = |year| {
        let key = KeyPair::generate().unwrap();
        let cert = AUTHORITY.issue_with(&["twice.test", "*.twice.test"], &key, |params| {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        });
        Arc::new(Identity::load(cert.as_bytes(), key.serialize_pem().as_bytes(), None, NOW).unwrap())
    };
    let (old, new) = (until(2020), until(2090));
    let names = Names::new(vec![old, new], false);
    assert_eq!(place(&names, Some("twice.test"), ECDSA), Some(1));
    assert_eq!(place(&names, Some("x.twice.test"), ECDSA), Some(1));
    assert_eq!(names.shadowed(), [("*.twice.test".into(), 1, 0), ("twice.test".into(), 1, 0)]);
}

#[test]
fn a_certificate_whose_names_all_belong_to_another_is_never_chosen_unless_it_is_the_default() {
    let of = |all: &[&[&str]]| Names::new(named(all), false).never_chosen();
    assert_eq!(of(&[&["a.test"], &["b.test", "c.test"], &["c.test", "b.test"], &["b.test", "d.test"]]), [(1, 2)]);
    assert_eq!(of(&[&["a.test"], &["a.test"], &["a.test"]]), [(0, 1), (1, 2)]);
    assert_eq!(of(&[&["x.test"], &["*.a.test"], &["w.a.test"]]), []);
    assert_eq!(of(&[&["x.test"], &[]]), []);
}

/// What the documentation says, word by word.
fn naive(all: &[Vec<String>], name: &str) -> usize {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let first = |fits: &dyn Fn(&str) -> bool| {
        all.iter().position(|names| names.iter().any(|own| fits(&own.to_ascii_lowercase())))
    };
    let below = |own: &str| match (own.split_once('.'), name.split_once('.')) {
        (Some(("*", own)), Some((label, name))) => !label.is_empty() && own == name,
        _ => false,
    };
    first(&|own| own == name).or_else(|| first(&below)).unwrap_or(0)
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "bb"]), 1..4).prop_map(|labels| labels.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_lookup_finds_what_a_naive_one_finds(
        all in prop::collection::vec(prop::collection::vec((any::<bool>(), name()), 1..4), 1..5),
        asked in name(),
        dot in any::<bool>(),
    ) {
        let all: Vec<Vec<String>> = all
            .into_iter()
            .map(|names| names.into_iter().map(|(wild, name)| if wild { format!("*.{name}") } else { name }).collect())
            .collect();
        let slices: Vec<Vec<&str>> = all.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
        let identities = named(&slices.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let asked = if dot { format!("{asked}.") } else { asked };
        let found = place(&Names::new(identities, false), Some(&asked), ECDSA);
        prop_assert_eq!(found, Some(naive(&all, &asked)), "{} among {:?}", asked, all);
    }
}
