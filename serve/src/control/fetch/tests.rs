//! Whether requests and answers come whole over real sockets, on both drivers, and what is said where they do not.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anygate_shard::{Io, Options, Park, Pool, Service, mailbox, probe_uring};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

struct Quiet;

impl Service for Quiet {
    type Message = ();
    fn ready(&self, _row: u32) {}
    fn expired(&self, _row: u32) {}
    fn message(&self, (): ()) {}
}

/// Runs a test on every driver this machine has.
fn both(test: impl Fn(Io)) {
    test(Io::Epoll);
    if probe_uring().is_ok() {
        test(Io::Uring);
    }
}

/// What is wanted of a request beside where it goes.
struct Asked<'a> {
    method: &'a str,
    body: &'a [u8],
    limit: usize,
    timeout: Duration,
    trust: Option<&'a Trust>,
}

const ASKED: Asked<'static> =
    Asked { method: "GET", body: b"", limit: 1 << 20, timeout: Duration::from_secs(5), trust: None };

fn ask(io: Io, url: &str, asked: &Asked<'_>) -> Result<Answer, String> {
    let helpers = Pool::new(1).unwrap();
    let shard = Shard::new(&Options { pool: Some(helpers), ..Options::new(u16::MAX, io) }).unwrap();
    let (_orders, mailbox) = mailbox::channel(1);
    let came = Rc::new(RefCell::new(None));
    let (told, its) = (Rc::clone(&came), shard.clone());
    let Asked { limit, timeout, .. } = *asked;
    let (method, url, body, trust) =
        (asked.method.to_owned(), url.to_owned(), asked.body.to_vec(), asked.trust.cloned());
    shard.spawn(async move {
        let fields = [("Content-Type", "text/plain")];
        let (method, url, body, trust) = (&*method, &*url, &*body, trust.as_ref());
        let request = Request { method, url, fields: &fields, body, limit, timeout, trust };
        *told.borrow_mut() = Some(fetch(&its, &request).await);
    });
    let begun = Instant::now();
    while came.borrow().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{io:?}: no end");
        shard.turn(&Quiet, &mailbox, Park::AtMost(Duration::from_millis(20)));
    }
    let came = came.borrow_mut().take();
    came.expect("it came").map_err(|error| error.to_string())
}

/// Answers one connection after another by what `answer` makes of the request; over TLS with `tls`.
fn server(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            match &tls {
                None => exchange_on(stream, &answer),
                Some(config) => {
                    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                    exchange_on(StreamOwned::new(connection, stream), &answer);
                }
            }
        }
    });
    address
}

fn exchange_on(mut stream: impl Read + Write, answer: &impl Fn(&str) -> Vec<u8>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(n @ 1..) = stream.read(&mut piece) else { return };
        request.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            let _ = stream.write_all(&answer(&text));
            let _ = stream.flush();
            return;
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX: y\r\n\r\n{body}", body.len()).into_bytes()
}

/// An authority in a file, and a server's settings with its certificate for `name`.
fn authority(name: &str) -> (PathBuf, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let file = std::env::temp_dir().join(format!(
        "anygate-fetch-{}-{:?}.pem",
        std::process::id(),
        key.serialize_der().len() + std::ptr::from_ref(&key).addr()
    ));
    std::fs::write(&file, root.self_signed(&key).unwrap().pem()).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&leaf_key, &Issuer::new(root, key));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.unwrap().der().clone()], PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()));
    (file, Arc::new(config.unwrap()))
}

#[test]
fn a_request_arrives_whole_and_so_does_its_answer() {
    both(|io| {
        let to = server(None, |request| ok(&request.replace("\r\n", "|")));
        let answer =
            ask(io, &format!("http://localhost:{}/a?b", to.port()), &Asked { method: "POST", body: b"c", ..ASKED });
        let answer = answer.unwrap();
        let expected = format!(
            "POST /a?b HTTP/1.1|Host: localhost:{}|Content-Type: text/plain|Content-Length: 1|Connection: close||c",
            to.port()
        );
        assert_eq!((answer.status, String::from_utf8(answer.body).unwrap()), (200, expected), "{io:?}");
        assert_eq!(answer.headers[1], ("X".to_owned(), "y".to_owned()));
        let to = server(None, |_| {
            b"HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".to_vec()
        });
        let answer = ask(io, &format!("http://{to}"), &ASKED).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (302, &b"x"[..]), "{io:?}: not followed");
    });
}

#[test]
fn over_tls_a_server_counts_whom_the_authorities_vouch_for() {
    both(|io| {
        let (file, config) = authority("127.0.0.1");
        let trust = Trust::of_file(&file).unwrap();
        let long = "x".repeat(300_000);
        let its = long.clone();
        let to = server(Some(Arc::clone(&config)), move |_| ok(&its));
        let asked = Asked { trust: Some(&trust), ..ASKED };
        let answer = ask(io, &format!("https://{to}/"), &asked).unwrap();
        assert!(answer.body == long.as_bytes(), "{io:?}: {} bytes", answer.body.len());
        let why = ask(io, &format!("https://localhost:{}/", to.port()), &asked).unwrap_err();
        assert!(why.contains("TLS: invalid peer certificate: certificate not valid for name"), "{io:?}: {why}");
        let (other, _) = authority("127.0.0.1");
        let strange = Trust::of_file(&other).unwrap();
        let why = ask(io, &format!("https://{to}/"), &Asked { trust: Some(&strange), ..ASKED }).unwrap_err();
        assert!(why.contains("UnknownIssuer") || why.contains("BadSignature"), "{io:?}: {why}");
        let why = ask(io, &format!("https://{to}/"), &ASKED).unwrap_err();
        assert_eq!(why, "nobody vouches for servers of `https` here");
        for file in [file, other] {
            let _ = std::fs::remove_file(file);
        }
    });
}

#[test]
fn an_answer_over_tls_without_its_length_ends_by_word_and_not_by_a_cut() {
    both(|io| {
        let (file, config) = authority("127.0.0.1");
        let trust = Trust::of_file(&file).unwrap();
        // The server's stream is dropped without `close_notify`.
        let to = server(Some(config), |_| b"HTTP/1.1 200 OK\r\n\r\nhalf".to_vec());
        let why = ask(io, &format!("https://{to}/"), &Asked { trust: Some(&trust), ..ASKED }).unwrap_err();
        assert_eq!(why, "the connection ended before the answer did", "{io:?}");
        let _ = std::fs::remove_file(file);
    });
}

#[test]
fn what_does_not_come_is_not_waited_for_for_ever() {
    both(|io| {
        let soon = Duration::from_millis(200);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = silent.local_addr().unwrap();
        let why = ask(io, &format!("http://{to}/"), &Asked { timeout: soon, ..ASKED }).unwrap_err();
        assert_eq!(why, "no whole answer in time", "{io:?}");
        let (file, _) = authority("127.0.0.1");
        let trust = Trust::of_file(&file).unwrap();
        let why =
            ask(io, &format!("https://{to}/"), &Asked { timeout: soon, trust: Some(&trust), ..ASKED }).unwrap_err();
        assert_eq!(why, "no TLS handshake in time", "{io:?}");
        let _ = std::fs::remove_file(file);
        drop(silent);
        let why = ask(io, &format!("http://{to}/"), &ASKED).unwrap_err();
        assert!(why.starts_with(&format!("no connection to {to}: ")), "{io:?}: {why}");
        let why = ask(io, "http://no-such-name.invalid/", &ASKED).unwrap_err();
        assert!(why.starts_with("the name does not resolve: no-such-name.invalid: "), "{io:?}: {why}");
        assert_eq!(ask(io, "ftp://a/", &ASKED).unwrap_err(), "not a URL of `http` or `https`");
    });
}

#[test]
fn an_answer_beyond_its_limit_and_one_that_is_cut_are_errors() {
    both(|io| {
        let to = server(None, |_| ok("0123456789"));
        let asked = |limit| ask(io, &format!("http://{to}/"), &Asked { limit, ..ASKED });
        assert_eq!(asked(10).unwrap().body, b"0123456789", "{io:?}");
        assert_eq!(asked(9).unwrap_err(), "the answer is longer than 9 bytes", "{io:?}");
        let to = server(None, |_| b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec());
        let why = ask(io, &format!("http://{to}/"), &ASKED).unwrap_err();
        assert_eq!(why, "the connection ended before the answer did", "{io:?}");
    });
}

#[test]
fn who_is_to_be_trusted_is_read_strictly_from_a_file_and_found_in_the_system() {
    let file = std::env::temp_dir().join(format!("anygate-fetch-none-{}.pem", std::process::id()));
    assert!(Trust::of_file(&file).unwrap_err().contains("No such file"));
    std::fs::write(&file, "nothing").unwrap();
    assert!(Trust::of_file(&file).unwrap_err().ends_with("there is no certificate in it"));
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(Trust::of_file(&file).is_err());
    let _ = std::fs::remove_file(&file);
    if let Err(why) = Trust::of_system() {
        assert!(why.contains("install `ca-certificates`"), "{why}");
    }
}

#[test]
fn a_server_that_is_asked_and_left_sees_the_end() {
    both(|io| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let heard = std::thread::spawn(move || {
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            all.len()
        });
        let timeout = Duration::from_millis(100);
        assert!(ask(io, &format!("http://{to}/"), &Asked { timeout, ..ASKED }).is_err());
        assert!(heard.join().unwrap() > 0, "{io:?}");
    });
}
