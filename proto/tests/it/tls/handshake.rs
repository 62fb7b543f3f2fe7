//! Handshakes: what profiles take and refuse, names, protocols, client certificates.

use std::sync::Arc;

use anygate_proto::tls::challenge::PROTOCOL;
use anygate_proto::tls::{
    Authorities, Challenges, ClientAuth, ConfigError, Fault, Hello, Identity, Names, Profile, Resolver, SessionCache,
    Settings, TicketKeys, UNRECOGNIZED_NAME, hello, self_signed,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, ClientConnection, Error, NamedGroup, ProtocolVersion, RootCertStore,
};

use super::{AUTHORITY, Authority, Client, Met, NOW, RSA, server};

fn www() -> Arc<Identity> {
    AUTHORITY.identity(&["www.test"])
}

fn profile(profile: Profile) -> Arc<rustls::ServerConfig> {
    server(&[&www()], |settings| settings.profile = profile)
}

fn alert(met: &Met) -> AlertDescription {
    match &met.client_error {
        Some(Error::AlertReceived(alert)) => *alert,
        other => panic!("no alert came, but {other:?}; the server says {:?}", met.server_fault),
    }
}

#[test]
fn a_client_and_a_server_agree_in_both_versions() {
    for (client, is_tls13) in [(Client::tls13(), true), (Client::tls12(), false)] {
        let mut met = client.protocols(&["h2", "http/1.1"]).meets(&profile(Profile::Intermediate), "www.test");
        let agreed = met.succeeded().records.agreed();
        assert_eq!((agreed.is_tls13, agreed.protocol.as_deref()), (is_tls13, Some(&b"http/1.1"[..])));
        assert_eq!((agreed.resumed, agreed.client_chain.len()), (false, 0));
        assert!(agreed.suite.contains("_AES_"), "{}", agreed.suite);
        assert_eq!(met.echo(b"hello"), b"hello");
    }
}

#[test]
fn the_modern_profile_refuses_tls_1_2() {
    let met = Client::tls12().meets(&profile(Profile::Modern), "www.test");
    assert_eq!((alert(&met), met.server_fault), (AlertDescription::ProtocolVersion, Some(Fault::NothingInCommon)));
    Client::tls13().meets(&profile(Profile::Modern), "www.test").succeeded();
}

#[test]
fn the_post_quantum_group_is_agreed_on_where_both_have_it() {
    let group = |profile_name, groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>| {
        let mut provider = default_provider();
        provider.kx_groups = groups;
        let met = Client::of(rustls::ALL_VERSIONS, provider).meets(&profile(profile_name), "www.test");
        met.client.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name)
    };
    let all = || vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
    assert_eq!(group(Profile::Intermediate, all()), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(group(Profile::Modern, all()), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(group(Profile::Modern, vec![kx_group::X25519]), Some(NamedGroup::X25519));
    assert_eq!(group(Profile::Modern, vec![kx_group::SECP384R1]), Some(NamedGroup::secp384r1));
    assert_eq!(group(Profile::FipsLike, all()), Some(NamedGroup::secp256r1));
    assert_eq!(group(Profile::FipsLike, vec![kx_group::X25519]), None);
}

#[test]
fn the_fips_like_profile_takes_aes_and_nist_curves_alone() {
    for refused in [suite::TLS13_CHACHA20_POLY1305_SHA256, suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256] {
        // A client of one version is told by which it is not.
        let versions: &[_] =
            if refused.tls13().is_some() { &[&rustls::version::TLS13] } else { &[&rustls::version::TLS12] };
        let mut provider = default_provider();
        provider.cipher_suites = vec![refused];
        let met = Client::of(versions, provider).meets(&profile(Profile::FipsLike), "www.test");
        assert_eq!((alert(&met), met.server_fault), (AlertDescription::HandshakeFailure, Some(Fault::NothingInCommon)));
    }
    let mut tls12 = default_provider();
    tls12.cipher_suites = vec![suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
    let met = Client::of(&[&rustls::version::TLS12], tls12).meets(&profile(Profile::FipsLike), "www.test");
    assert_eq!(met.succeeded().records.agreed().suite, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    let mut tls13 = default_provider();
    tls13.cipher_suites = vec![suite::TLS13_AES_128_GCM_SHA256];
    Client::of(&[&rustls::version::TLS13], tls13).meets(&profile(Profile::FipsLike), "www.test").succeeded();
}

#[test]
fn the_clients_order_of_suites_counts() {
    for first in
        [suite::TLS13_CHACHA20_POLY1305_SHA256, suite::TLS13_AES_256_GCM_SHA384, suite::TLS13_AES_128_GCM_SHA256]
    {
        let mut provider = default_provider();
        provider.cipher_suites.retain(|suite| suite.suite() != first.suite());
        provider.cipher_suites.insert(0, first);
        let met = Client::of(&[&rustls::version::TLS13], provider).meets(&profile(Profile::Intermediate), "www.test");
        assert_eq!(met.client.negotiated_cipher_suite().unwrap().suite(), first.suite());
    }
}

#[test]
fn a_profile_says_what_it_offers() {
    let modern = Profile::Modern.offers();
    assert_eq!(modern.versions, ["TLS 1.3"]);
    assert_eq!(modern.groups[0], "X25519MLKEM768");
    assert!(modern.suites.iter().all(|suite| suite.starts_with("TLS13_")), "{modern:?}");
    let intermediate = Profile::Intermediate.offers();
    assert_eq!((intermediate.versions.len(), intermediate.suites.len()), (2, 9));
    assert_eq!(
        Profile::FipsLike.offers().to_string(),
        "versions: TLS 1.3, TLS 1.2\n\
         cipher suites: TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
         TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
         TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n\
         key exchange: secp256r1, secp384r1\n\
         TLS 1.2 only with the extended master secret"
    );
    assert_eq!(Profile::ALL.map(Profile::name), ["modern", "intermediate", "fips-like"]);
}

#[test]
fn each_name_is_shown_its_certificate() {
    let (default, wild) = (AUTHORITY.identity(&["default.test"]), AUTHORITY.identity(&["*.wild.test"]));
    let config = server(&[&default, &www(), &wild], |_| {});
    for client in [Client::tls12(), Client::tls13()] {
        assert_eq!(client.meets(&config, "www.test").succeeded().shown(), "www.test");
        assert_eq!(client.meets(&config, "a.wild.test").succeeded().shown(), "*.wild.test");
        // Another name gets the default, which is not the client's liking.
        let met = client.meets(&config, "unknown.test");
        assert!(matches!(met.client_error, Some(Error::InvalidCertificate(_))), "{:?}", met.client_error);
    }
}

#[test]
fn a_client_that_sends_no_name_is_shown_the_default() {
    let config = server(&[&www(), &AUTHORITY.identity(&["other.test"])], |_| {});
    let mut client = Client::new();
    client.config.enable_sni = false;
    assert_eq!(client.meets(&config, "www.test").succeeded().shown(), "www.test");
}

#[test]
fn an_unknown_name_is_refused_where_names_are_strict() {
    let names = Arc::new(Names::new(vec![www()], true));
    let resolver = Resolver::new(Arc::clone(&names));
    let config = Settings::default().build(Arc::clone(&resolver)).unwrap();
    Client::new().meets(&config, "www.test").succeeded();
    let met = Client::new().meets(&config, "unknown.test");
    assert_eq!((alert(&met), met.server_fault), (AlertDescription::AccessDenied, Some(Fault::UnknownName)));
    // With the word of RFC 6066, before anything is spent.
    let name = ServerName::try_from("unknown.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(Client::new().config), name).unwrap();
    let mut sent = Vec::new();
    client.write_tls(&mut sent).unwrap();
    let Ok(Hello::Whole { server_name }) = hello::read(&sent) else { panic!("no hello") };
    assert!(names.refuses(server_name.as_deref()));
    client.read_tls(&mut &UNRECOGNIZED_NAME[..]).unwrap();
    let error = client.process_new_packets().unwrap_err();
    assert_eq!(error, Error::AlertReceived(AlertDescription::UnrecognisedName));
}

#[test]
fn names_are_replaced_while_they_serve() {
    let resolver = Resolver::new(Arc::new(Names::new(vec![www()], false)));
    let config = Settings::default().build(Arc::clone(&resolver)).unwrap();
    let before = Client::new().meets(&config, "www.test").client.peer_certificates().unwrap().to_vec();
    resolver.replace(Arc::new(Names::new(vec![www(), AUTHORITY.identity(&["new.test"])], false)));
    let after = Client::new().meets(&config, "www.test").client.peer_certificates().unwrap().to_vec();
    assert_ne!(before, after);
    assert_eq!(Client::new().meets(&config, "new.test").succeeded().shown(), "new.test");
}

#[test]
fn a_client_is_shown_a_certificate_by_what_it_can_verify() {
    let (rsa, ecdsa) = (AUTHORITY.identity_of(&["www.test"], &RSA), www());
    let config = server(&[&rsa, &ecdsa], |_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let met = Client::of(&[version], default_provider()).meets(&config, "www.test");
        assert_eq!(met.succeeded().client.peer_certificates().unwrap()[0].as_ref(), ecdsa.chain().next().unwrap());
    }
    // TLS 1.2 with suites for RSA alone.
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let met = Client::of(&[&rustls::version::TLS12], provider).meets(&config, "www.test");
    assert_eq!(met.succeeded().client.peer_certificates().unwrap()[0].as_ref(), rsa.chain().next().unwrap());
    let suite = met.client.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
}

#[test]
fn a_client_that_offers_other_protocols_alone_is_refused() {
    for client in [Client::tls12(), Client::tls13()] {
        let met = client.protocols(&["h2", "spdy/3"]).meets(&profile(Profile::Intermediate), "www.test");
        assert_eq!(
            (alert(&met), met.server_fault),
            (AlertDescription::NoApplicationProtocol, Some(Fault::NothingInCommon))
        );
    }
    let met = Client::new().meets(&profile(Profile::Intermediate), "www.test");
    assert_eq!(met.succeeded().records.agreed().protocol, None);
}

#[test]
fn the_servers_order_of_protocols_counts() {
    let config = server(&[&www()], |settings| settings.protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()]);
    let met = Client::new().protocols(&["http/1.1", "h2"]).meets(&config, "www.test");
    assert_eq!(met.succeeded().records.agreed().protocol.as_deref(), Some(&b"h2"[..]));
}

/// A certificate for a client.
fn client_cert(authority: &Authority, edit: impl FnOnce(&mut CertificateParams)) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let cert = authority.issue_with(&["client.test"], &key, |params| {
        params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        edit(params);
    });
    (cert, key)
}

fn asking(kind: fn(Authorities) -> ClientAuth, authority: &Authority) -> Arc<rustls::ServerConfig> {
    let authorities = Authorities::load(authority.pem().as_bytes()).unwrap();
    server(&[&www()], |settings| settings.client_auth = kind(authorities))
}

#[test]
fn a_client_certificate_is_taken_verified_or_missed() {
    let clients = Authority::new("Clients");
    let strangers = Authority::new("Strangers");
    let good = client_cert(&clients, |_| {});
    let strange = client_cert(&strangers, |_| {});
    let expired = client_cert(&clients, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let not_a_clients = client_cert(&clients, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let (optional, required) = (asking(ClientAuth::Optional, &clients), asking(ClientAuth::Required, &clients));
    for config in [&optional, &required] {
        let met = Client::showing(&good.0, &good.1).meets(config, "www.test");
        let chain = met.succeeded().records.agreed().client_chain;
        assert_eq!(anygate_proto::tls::Facts::read(&chain[0]).unwrap().names, ["client.test".into()]);
        for (bad, why) in [
            (&strange, AlertDescription::UnknownCA),
            (&expired, AlertDescription::CertificateExpired),
            (&not_a_clients, AlertDescription::UnsupportedCertificate),
        ] {
            let met = Client::showing(&bad.0, &bad.1).meets(config, "www.test");
            assert_eq!(met.server_fault, Some(Fault::ClientCertificate));
            assert_eq!(alert(&met), why);
        }
    }
    let met = Client::new().meets(&optional, "www.test");
    assert_eq!(met.succeeded().records.agreed().client_chain.len(), 0);
    for (client, why) in [
        (Client::tls13(), AlertDescription::CertificateRequired),
        (Client::tls12(), AlertDescription::HandshakeFailure),
    ] {
        let met = client.meets(&required, "www.test");
        assert_eq!((met.server_fault, met.established), (Some(Fault::ClientCertificate), 0));
        assert!([why, AlertDescription::CertificateRequired].contains(&alert(&met)));
    }
}

#[test]
fn a_client_certificate_that_nobody_asks_for_is_not_shown() {
    let (cert, key) = client_cert(&AUTHORITY, |_| {});
    let met = Client::showing(&cert, &key).meets(&profile(Profile::Intermediate), "www.test");
    assert_eq!(met.succeeded().records.agreed().client_chain.len(), 0);
}

#[test]
fn a_bundle_of_authorities_that_is_no_good_is_said() {
    let text = |bundle: &str| Authorities::load(bundle.as_bytes()).unwrap_err().to_string();
    assert!(text("").contains("no certificate in it, but nothing"));
    assert!(text(include_str!("fixtures/leaf.pkcs8.pem")).contains("but `PRIVATE KEY`"));
    let junk = format!("{}-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", AUTHORITY.pem());
    assert_eq!(text(&junk), "certificate 2 in it cannot be used to verify clients' certificates");
}

#[test]
fn early_data_and_tickets_do_not_go_together() {
    let build = |tickets, sessions| {
        let settings = Settings { early_data: true, tickets, sessions, ..Settings::default() };
        settings.build(Resolver::new(Arc::new(Names::new(vec![www()], false))))
    };
    let tickets = TicketKeys::new(3600, NOW).unwrap();
    assert_eq!(build(Some(tickets), None).unwrap_err(), ConfigError::EarlyDataWithTickets);
    assert!(build(None, Some(SessionCache::new(10, 3600, NOW))).unwrap().max_early_data_size > 0);
    assert_eq!(profile(Profile::Intermediate).max_early_data_size, 0);
}

#[test]
fn a_challenge_is_answered_where_there_is_one_and_refused_where_there_is_none() {
    let challenges = Challenges::new();
    assert!(challenges.is_empty());
    let key = KeyPair::generate().unwrap();
    let cert = AUTHORITY.issue_with(&["prove.test"], &key, |params| {
        params.custom_extensions.push(rcgen::CustomExtension::new_acme_identifier(&[7; 32]));
    });
    // The extension is critical, and rustls' client knows it no better than any other but the authority's own.
    let plain = AUTHORITY.issue(&["prove.test"], &key);
    challenges.set("Prove.test", plain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert!(!challenges.is_empty());
    let config = challenges.config().unwrap();
    let authority = || Client::new().protocols(&["acme-tls/1"]);
    let met = authority().meets(&config, "prove.test");
    assert_eq!(met.succeeded().records.agreed().protocol.as_deref(), Some(PROTOCOL));
    let met = authority().meets(&config, "other.test");
    assert_eq!((alert(&met), met.server_fault), (AlertDescription::AccessDenied, Some(Fault::UnknownName)));
    challenges.set("prove.test", cert.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let met = authority().meets(&config, "prove.test");
    assert!(matches!(met.client_error, Some(Error::InvalidCertificate(_))), "{:?}", met.client_error);
    challenges.remove("PROVE.test");
    assert!(challenges.is_empty());
    // The listener's own configuration has nothing for it.
    let met = authority().meets(&profile(Profile::Intermediate), "www.test");
    assert_eq!(alert(&met), AlertDescription::NoApplicationProtocol);
}

#[test]
fn a_self_signed_pair_is_believed_by_a_client_that_was_given_it() {
    let pair = self_signed::make(&["localhost"], NOW).unwrap();
    let identity = Identity::load(pair.cert.as_bytes(), pair.key.as_bytes(), None, NOW).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.chain().next().unwrap().to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::with(config).meets(&server(&[&Arc::new(identity)], |_| {}), "localhost").succeeded();
}

#[test]
fn versions_are_those_that_were_offered() {
    let met = Client::new().meets(&profile(Profile::Intermediate), "www.test");
    assert_eq!(met.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}
