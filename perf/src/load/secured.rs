//! Whether a load over TLS counts what a server does: over real sockets, on both drivers.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anygate_shard::Io;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::loopback::{Server, request};
use super::*;
use crate::floor::testing::drivers;
use crate::identity::{self, NAME, Pair};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A server with a thread for each connection, which agrees on this protocol, and goes on with earlier sessions by tickets.
pub(super) fn server(protocol: &[u8], serve: impl Fn(Stream) + Send + Sync + 'static) -> Server {
    let Pair { certificate, key } = identity::pair();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.ticketer = Ticketer::new().unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let config = Arc::new(config);
    Server::start(move |stream, _| serve(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)))
}

/// Answers every request, and keeps the connection.
fn answering() -> Server {
    server(b"http/1.1", |mut stream| {
        let mut left = Vec::new();
        while request(&mut stream, &mut left).is_some() && stream.write_all(OK).is_ok() {}
    })
}

/// Sends `answer` to the first request, and ends with the word that nothing follows, or without.
fn once(answer: &'static [u8], says_so: bool) -> Server {
    server(b"http/1.1", move |mut stream| {
        if request(&mut stream, &mut Vec::new()).is_some() {
            let _ = stream.write_all(answer);
            if says_so {
                stream.conn.send_close_notify();
            }
            let _ = stream.flush();
        }
    })
}

fn tls() -> Tls {
    Tls { name: NAME.to_owned(), ..Tls::default() }
}

fn plan(server: &Server, io: Io) -> Plan {
    Plan { tls: Some(tls()), ..server.plan(io) }
}

#[test]
fn every_request_is_answered_over_tls_on_both_drivers_in_both_versions() {
    let server = answering();
    for io in drivers() {
        for (versions, said) in [
            (Versions::Both, "TLS 1.3, TLS13_AES_128_GCM_SHA256, X25519"),
            (Versions::Tls12, "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, X25519"),
        ] {
            for depth in [1, 8] {
                let tls = Some(Tls { versions, ..tls() });
                let tally = server.seen(&Plan { tls, depth, ..plan(&server, io) }, |tally| tally.answers > 20);
                assert_eq!(tally.all_faults(), 0, "{io}: {:?}", tally.refused);
                assert_eq!(tally.agreed.as_deref(), Some(said), "{io}");
            }
        }
        let rated = server.seen(&Plan { rate: Some(200.0), ..plan(&server, io) }, |tally| tally.answers >= 30);
        assert_eq!((rated.all_faults(), rated.connects), (0, 0), "{io}: all stand before it counts");
    }
}

#[test]
fn the_key_exchange_with_two_parts_is_offered_first_where_that_is_asked_for() {
    let server = answering();
    let tls = Some(Tls { post_quantum: true, ..tls() });
    let tally = server.seen(&Plan { tls, ..plan(&server, Io::Epoll) }, |tally| tally.answers > 0);
    assert!(tally.agreed.as_ref().is_some_and(|said| said.ends_with("X25519MLKEM768")), "{:?}", tally.agreed);
}

#[test]
fn a_connection_goes_on_with_an_earlier_session_only_where_that_is_asked_for() {
    let server = once(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true);
    for io in drivers() {
        for versions in [Versions::Tls12, Versions::Tls13] {
            for resume in [false, true] {
                let tls = Some(Tls { versions, resume, ..tls() });
                let plan = Plan { tls, reuse: Reuse::PerRequest, ..plan(&server, io) };
                let tally = server.seen(&plan, |tally| tally.connects > 8);
                assert_eq!(tally.all_faults(), 0, "{io}: {:?}", tally.refused);
                // Each of the four connections may begin its first one after the warm-up.
                let full = tally.connects - tally.resumed;
                assert!(if resume { full <= 4 } else { tally.resumed == 0 }, "{io}, {versions:?}: {full} full");
            }
        }
    }
}

#[test]
fn bodies_are_sealed_whole_on_both_drivers() {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let server = server(b"http/1.1", |mut stream| {
        let mut left = Vec::new();
        while let Some((head, length)) = request(&mut stream, &mut left) {
            TAKEN.fetch_add(length, Ordering::Relaxed);
            assert!(head.starts_with("POST / HTTP/1.1\r\nHost: localhost:"), "{head}");
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    for io in drivers() {
        for (upload, depth) in [(5, 3), (700_000, 1)] {
            TAKEN.store(0, Ordering::Relaxed);
            let plan = Plan { upload, depth, connections: 2, ..plan(&server, io) };
            let tally = server.seen(&plan, |tally| tally.answers > 0);
            assert_eq!(tally.all_faults(), 0, "{io}: {:?}", tally.refused);
            assert!(TAKEN.load(Ordering::Relaxed) >= tally.answers * upload, "{io}");
        }
    }
}

#[test]
fn a_body_is_whole_only_after_the_word_that_nothing_follows() {
    for io in drivers() {
        for says_so in [true, false] {
            let server = once(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", says_so);
            let tally = server.seen(&plan(&server, io), |tally| tally.answers + tally.all_faults() > 0);
            let (answers, cut) = (tally.answers, tally.faults(Fault::Ended) + tally.faults(Fault::Reset));
            assert!(if says_so { answers > 0 && cut == 0 } else { answers == 0 && cut > 0 }, "{io}: {answers}, {cut}");
        }
    }
}

#[test]
fn who_is_not_trusted_or_speaks_no_tls_is_a_handshake_that_failed_and_says_why() {
    let secure = answering();
    let plain = Server::start(|mut stream, _| drop(stream.write_all(b"220 ready\r\n")));
    let silent = Server::start(|stream, _| drop(stream));
    let trust = Trust::Roots(Arc::new(RootCertStore::empty()));
    for io in drivers() {
        let strict = Plan { tls: Some(Tls { trust: trust.clone(), ..tls() }), ..plan(&secure, io) };
        for (server, plan, why) in
            [(&secure, strict, "certificate"), (&plain, plan(&plain, io), "message"), (&silent, plan(&silent, io), "")]
        {
            let failed = |tally: &Tally| tally.faults(Fault::Handshake) + tally.faults(Fault::Reset) > 0;
            let tally = server.seen(&plan, failed);
            assert_eq!((tally.answers, tally.connects), (0, 0), "{io}, {why}");
            assert!(tally.refused.iter().all(|said| said.contains(why)), "{io}, {why}: {:?}", tally.refused);
        }
    }
}

#[test]
fn a_certificate_that_a_root_vouches_for_is_believed_for_its_name_alone() {
    let server = answering();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity::pair().certificate.as_bytes()).unwrap()).unwrap();
    for (name, believed) in [(NAME, true), ("127.0.0.1", true), ("example.com", false)] {
        let tls = Some(Tls { name: name.to_owned(), trust: Trust::Roots(Arc::new(roots.clone())), ..tls() });
        let plan = Plan { tls, ..plan(&server, Io::Epoll) };
        let tally = server.seen(&plan, |tally| tally.answers + tally.all_faults() > 0);
        assert_eq!(tally.answers > 0, believed, "{name}: {:?}", tally.refused);
    }
}

#[test]
fn connections_are_held_over_tls() {
    let server = answering();
    for io in drivers() {
        let mut steps = Vec::new();
        hold(&plan(&server, io), &[5, 40], Duration::from_millis(10), &mut |count| steps.push(count)).unwrap();
        assert_eq!(steps, [5, 40], "{io}");
    }
}

#[test]
fn a_flood_is_answered_and_ends_no_handshake() {
    static ESTABLISHED: AtomicU64 = AtomicU64::new(0);
    let server = server(b"http/1.1", |mut stream| {
        if request(&mut stream, &mut Vec::new()).is_some() {
            ESTABLISHED.fetch_add(1, Ordering::Relaxed);
        }
    });
    for io in drivers() {
        let duration = Duration::from_millis(300);
        let began = Instant::now();
        let seen = flood(&Flood { target: server.address, tls: tls(), rate: 200.0, duration, io, core: None }).unwrap();
        // It may have ended late on a machine that is busy.
        let due = began.elapsed().as_secs_f64() * 200.0 + 1.0;
        assert!(seen.answered > 0 && seen.begun >= seen.answered, "{io}: {seen:?}");
        assert!(seen.begun as f64 <= due, "{io}: {seen:?} of {due}");
    }
    assert_eq!(ESTABLISHED.load(Ordering::Relaxed), 0);
}
