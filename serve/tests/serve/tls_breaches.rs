//! Clients that break TLS: each costs its own connection, is told so where it can understand it, and is counted by kind.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anygate_core::metrics::Snapshot;
use rustls::{AlertDescription, ClientConnection, Error};

use crate::backend::Backend;
use crate::exchange::soon;
use crate::harness::{Gate, both};
use crate::pipe::{Pipe, Way, keys};

const RULES: &str = "routes: {/: OK hello}";
const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Alerts (RFC 8446 §6) without a key to seal them by.
const ALERT: u8 = 21;

fn raw(gate: &Gate) -> TcpStream {
    let stream = TcpStream::connect(gate.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Everything up to the end, however that comes.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "neither answered nor closed; so far: {all:?}");
    }
    all
}

/// A client with its handshake behind it, in two parts.
fn shaken(gate: &Gate) -> (ClientConnection, TcpStream) {
    match Pipe::connect(gate.address, Way::Tls) {
        Pipe::Tls(stream) => {
            let (connection, socket) = (*stream).into_parts();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            (connection, socket)
        }
        Pipe::Plain(_) => unreachable!("it came by TLS"),
    }
}

/// A client's hello, as it leaves.
fn hello() -> Vec<u8> {
    let mut client = ClientConnection::new(Arc::clone(&keys().client), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Records of `type` 22 around so many bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |piece: &[u8]| [&[22, 3, 1], &(piece.len() as u16).to_be_bytes()[..], piece].concat();
    message.chunks(size).flat_map(record).collect()
}

/// What a breach counts as.
fn count(gate: &Gate, kind: fn(&Snapshot) -> u64) -> u64 {
    kind(&gate.cells.snapshot())
}

/// Nothing of it concerns anybody else.
fn others_are_served(gate: &Gate, mut other: Pipe) {
    other.write_all(LAST).unwrap();
    assert!(rest(&mut other).ends_with(b"hello"));
    let mut fresh = Pipe::connect(gate.address, Way::Tls);
    fresh.write_all(LAST).unwrap();
    assert!(rest(&mut fresh).ends_with(b"hello"));
}

#[test]
fn a_hello_may_come_in_single_bytes_and_in_records_of_one_byte() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, RULES);
        let message = hello()[5..].to_vec();
        for (bytes, step) in [(hello(), 1), (records(&message, 1), 4096), (records(&message, 100), 7)] {
            let mut client = raw(&gate);
            for piece in bytes.chunks(step) {
                client.write_all(piece).unwrap();
            }
            let mut first = [0; 6];
            client.read_exact(&mut first).unwrap();
            // A server's hello in a handshake's record.
            assert_eq!((first[0], first[5]), (22, 2), "{io:?}: {first:?}");
        }
    });
}

#[test]
fn a_hello_that_is_too_long_is_refused_before_all_of_it_has_come() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, RULES);
        let other = Pipe::connect(gate.address, Way::Tls);
        // One that claims 16 MiB, and one that is wrapped in five bytes for each of its own.
        let claims = records(b"\x01\xff\xff\xff\x03\x03", 6);
        let wrapped = records(&[b"\x01\x00\x4e\x20\x03\x03".as_slice(), &[0; 8000]].concat(), 1);
        for (at, bytes) in [claims, wrapped].into_iter().enumerate() {
            let mut client = raw(&gate);
            // What is not listened to any more may be refused.
            let _ = client.write_all(&bytes);
            assert_eq!(rest(&mut client), b"", "{io:?}");
            assert!(soon(|| count(&gate, |seen| seen.tls_protocol_errors), at as u64 + 1), "{io:?}: {at}");
        }
        others_are_served(&gate, other);
    });
}

#[test]
fn who_has_no_version_or_protocol_in_common_is_told_by_an_alert() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, RULES);
        let other = Pipe::connect(gate.address, Way::Tls);
        // TLS 1.0 and nothing else: version, random, no session, one suite, no compression.
        let body = [&[3, 1], &[7; 32][..], &[0, 0, 2, 0xc0, 0x09, 1, 0]].concat();
        let message = [&[1, 0, 0, body.len() as u8], &body[..]].concat();
        let mut client = raw(&gate);
        client.write_all(&records(&message, 4096)).unwrap();
        assert_eq!(rest(&mut client).get(..6), Some(&[ALERT, 3, 3, 0, 2, 2][..]), "{io:?}");
        let mut config = (*keys().client).clone();
        config.alpn_protocols = vec![b"gopher".to_vec()];
        let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut socket = raw(&gate);
        let refused = loop {
            match client.complete_io(&mut socket) {
                Err(error) => break error,
                Ok(_) => assert!(client.is_handshaking(), "{io:?}: it was let in"),
            }
        };
        let why = refused.get_ref().and_then(|error| error.downcast_ref::<Error>());
        let expected = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(why, Some(&expected), "{io:?}: {refused}");
        assert!(soon(|| count(&gate, |seen| seen.tls_nothing_in_common), 2), "{io:?}");
        others_are_served(&gate, other);
    });
}

#[test]
fn a_record_that_nobody_sealed_and_one_that_is_too_long_end_the_connection_with_an_alert() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, RULES);
        let other = Pipe::connect(gate.address, Way::Tls);
        let cases: [(&[u8], AlertDescription); 3] = [
            (b"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345", AlertDescription::BadRecordMac),
            (b"\x17\x03\x03\x48\x01", AlertDescription::DecodeError),
            (b"\x63\x03\x03\x00\x01a", AlertDescription::DecodeError),
        ];
        for (at, (bytes, alert)) in cases.into_iter().enumerate() {
            let (mut client, mut socket) = shaken(&gate);
            socket.write_all(bytes).unwrap();
            let told = loop {
                assert_ne!(client.read_tls(&mut socket).unwrap(), 0, "{io:?}: no alert for {bytes:?}");
                if let Err(error) = client.process_new_packets() {
                    break error;
                }
            };
            assert_eq!(told, Error::AlertReceived(alert), "{io:?}: {bytes:?}");
            assert_eq!(rest(&mut socket), b"", "{io:?}");
            assert!(soon(|| count(&gate, |seen| seen.tls_protocol_errors), at as u64 + 1), "{io:?}");
        }
        others_are_served(&gate, other);
    });
}

#[test]
fn a_body_whose_stream_ends_without_a_word_for_it_has_no_clean_end() {
    both(|io| {
        let backend = Backend::start(|served| {
            let head = served.head().unwrap_or_default();
            let (body, _) = served.rest();
            served.record(format!("{} {}", head.contains("chunked"), String::from_utf8_lossy(&body)));
        });
        let gate = Gate::behind(io, Way::Tls, &backend.config());
        let cases = [("Transfer-Encoding: chunked", "5\r\nhello\r\n"), ("Content-Length: 9", "hello")];
        for (at, (framing, body)) in cases.into_iter().enumerate() {
            let (mut client, mut socket) = shaken(&gate);
            write!(client.writer(), "POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}").unwrap();
            client.write_tls(&mut socket).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let seen = backend.request();
            assert!(!seen.contains("0\r\n\r\n") && seen.len() < "false ".len() + 9 + 6, "{io:?}: {seen:?}");
            assert!(soon(|| count(&gate, |seen| seen.tls_truncated), at as u64 + 1), "{io:?}: {framing}");
            assert!(gate.emptied(), "{io:?}");
        }
    });
}

#[test]
fn an_alert_in_the_middle_of_a_body_ends_it_and_is_counted() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            let (body, _) = served.rest();
            served.record(String::from_utf8_lossy(&body).into_owned());
        });
        let gate = Gate::behind(io, Way::Tls, &backend.config());
        let (mut client, mut socket) = shaken(&gate);
        client
            .writer()
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
            .unwrap();
        client.write_tls(&mut socket).unwrap();
        // A client that cannot read a record says so, and that is the end.
        let _ = client.read_tls(&mut &b"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345"[..]);
        assert!(client.process_new_packets().is_err());
        client.write_tls(&mut socket).unwrap();
        let seen = backend.request();
        assert!(!seen.contains("\n0\r\n"), "{io:?}: {seen:?}");
        assert!(soon(|| count(&gate, |seen| seen.tls_refused_by_client), 1), "{io:?}");
        assert!(gate.emptied(), "{io:?}");
    });
}

/// RFC 9112 §9.8: clients that have what they want may just go.
#[test]
fn a_request_that_came_whole_is_answered_though_its_stream_ends_without_a_word() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "routes: {/: OK hello, /e: '*'}");
        for (request, answer) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "hello"),
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "\"body\": \"hi\""),
        ] {
            let (mut client, mut socket) = shaken(&gate);
            client.writer().write_all(request.as_bytes()).unwrap();
            client.write_tls(&mut socket).unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let mut came = String::new();
            while client.read_tls(&mut socket).is_ok_and(|count| count > 0) {
                client.process_new_packets().unwrap();
                let _ = client.reader().read_to_string(&mut came);
            }
            assert!(came.contains(answer), "{io:?}: {request:?} was answered {came:?}");
        }
    });
}

#[test]
fn a_record_that_trickles_is_no_request_and_keeps_no_connection() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "server: {idle_timeout: 500ms}\nroutes: {/: OK hello}");
        let (_client, mut socket) = shaken(&gate);
        socket.write_all(b"\x17\x03\x03\x40\x00").unwrap();
        let mut trickle = socket.try_clone().unwrap();
        let dripping = std::thread::spawn(move || {
            while trickle.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        assert!(soon(|| count(&gate, |seen| seen.timeouts_idle), 1), "{io:?}");
        let _ = socket.shutdown(Shutdown::Both);
        dripping.join().unwrap();
    });
}
