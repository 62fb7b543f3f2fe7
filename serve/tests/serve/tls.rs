//! TLS towards clients: what a connection needs to begin, what ends it, and what it costs others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;

use crate::backend::Backend;
use crate::exchange::soon;
use crate::harness::{Gate, both};
use crate::pipe::{Pipe, Way, keys};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn raw(gate: &Gate) -> TcpStream {
    let stream = TcpStream::connect(gate.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Everything up to the end, however that comes.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn requests_are_answered_over_tls_and_the_end_is_said() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "routes: {/: OK hello}");
        let mut client = Pipe::connect(gate.address, Way::Tls);
        for _ in 0..3 {
            client.write_all(GET).unwrap();
            let mut answer = [0; 4096];
            let n = client.read(&mut answer).unwrap();
            assert!(answer[..n].ends_with(b"hello"), "{io:?}: {}", String::from_utf8_lossy(&answer[..n]));
        }
        client.write_all(LAST).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("the end is said");
        assert!(answer.ends_with("hello") && answer.contains("Connection: close"), "{io:?}: {answer}");
        assert_eq!(gate.cells.tls_handshakes.get() + gate.cells.tls_resumed.get(), 1, "{io:?}");
    });
}

#[test]
fn a_session_is_resumed_by_a_ticket() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "routes: {/: OK hello}");
        let mut config = (*keys().client).clone();
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for _ in 0..2 {
            let mut client = Pipe::secured(raw(&gate), Arc::clone(&config));
            client.write_all(LAST).unwrap();
            assert!(rest(&mut client).ends_with(b"hello"), "{io:?}");
        }
        assert_eq!((gate.cells.tls_handshakes.get(), gate.cells.tls_resumed.get()), (1, 1), "{io:?}");
    });
}

#[test]
fn plain_http_on_a_tls_listener_is_400_in_plain_text() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "routes: {/: OK hello}");
        let mut client = raw(&gate);
        client.write_all(GET).unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut client)).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{io:?}: {answer}");
        assert_eq!(gate.cells.tls_plain_http.get(), 1, "{io:?}");
    });
}

#[test]
fn what_is_no_tls_ends_its_connection_alone_and_is_counted() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "routes: {/: OK hello}");
        let mut other = Pipe::connect(gate.address, Way::Tls);
        for garbage in [&b"\0\0\0\0"[..], b"SSH-2.0-x\r\n", b"\x16\x02\x00\x00\x05hello", &[0xff; 3000]] {
            let mut client = raw(&gate);
            client.write_all(garbage).unwrap();
            assert_eq!(rest(&mut client), b"", "{io:?}: {garbage:?}");
        }
        assert_eq!(gate.cells.tls_not_tls.get(), 4, "{io:?}");
        // What begins as TLS and goes on otherwise is told so by an alert.
        let mut client = raw(&gate);
        client.write_all(b"\x16\x03\x01\x00\x08\x01\x00\x00\x04oops").unwrap();
        assert_eq!(rest(&mut client).first(), Some(&21), "{io:?}: an alert");
        assert_eq!(gate.cells.tls_protocol_errors.get(), 1, "{io:?}");
        other.write_all(LAST).unwrap();
        assert!(rest(&mut other).ends_with(b"hello"), "{io:?}");
    });
}

#[test]
fn a_large_file_and_a_large_upload_come_whole() {
    both(|io| {
        let folder = std::env::temp_dir().join(format!("anygate-tls-{}-{io:?}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(folder.join("big"), &content).unwrap();
        let backend = Backend::start(|served| {
            let head = served.head().unwrap_or_default();
            let body = served.bytes(3_000_000).unwrap_or_default();
            served.record(format!("{} {}", head.contains("X-Forwarded-Proto: https"), body.len()));
            let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n".to_vec();
            answer.extend_from_slice(&body);
            served.send(&answer);
        });
        let yaml = format!("routes: {{/f/: {}/, /up: '{}'}}", folder.display(), backend.origin());
        let gate = Gate::behind(io, Way::Tls, &yaml);
        let mut client = Pipe::connect(gate.address, Way::Tls);
        client.write_all(b"GET /f/big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let answer = rest(&mut client);
        assert!(answer.ends_with(&content), "{io:?}: {} bytes", answer.len());
        let mut client = Pipe::connect(gate.address, Way::Tls);
        client
            .write_all(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\nConnection: close\r\n\r\n")
            .unwrap();
        client.write_all(&content).unwrap();
        let answer = rest(&mut client);
        assert_eq!(backend.request(), "true 3000000", "{io:?}");
        assert!(answer.ends_with(&content), "{io:?}: {} bytes", answer.len());
        let _ = std::fs::remove_dir_all(&folder);
    });
}

#[test]
fn a_handshake_that_stalls_or_trickles_ends_in_time() {
    both(|io| {
        let mut plan = crate::harness::plan("routes: {/: OK hello}", 1);
        Way::Tls.open(&mut plan);
        plan.client.handshake_timeout = Duration::from_secs(1);
        let gate = Gate::serve(io, plan);
        let mut silent = raw(&gate);
        let mut trickling = raw(&gate);
        for byte in b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03AAAAAAAAAAAA" {
            if trickling.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!((rest(&mut silent), rest(&mut trickling)), (Vec::new(), Vec::new()), "{io:?}");
        assert!(soon(|| gate.cells.timeouts_handshake.get(), 2), "{io:?}");
        // Who has ended the handshake may rest.
        let mut client = Pipe::connect(gate.address, Way::Tls);
        std::thread::sleep(Duration::from_millis(1200));
        client.write_all(LAST).unwrap();
        assert!(rest(&mut client).ends_with(b"hello"), "{io:?}");
    });
}
