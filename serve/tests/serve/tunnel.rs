//! WebSockets and other switched protocols: bytes both ways, for those who asked.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anygate_shard::testing::reset;

use crate::backend::Backend;
use crate::harness::{Gate, at_once, both};

const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Agrees, says hello at once, then sends back what comes.
fn echoing() -> Backend {
    Backend::start(|served| {
        let Some(head) = served.head() else { return };
        served.record(head);
        served.send(format!("{ANSWER}hello").as_bytes());
        while let Some(byte) = served.bytes(1) {
            served.send(&byte);
        }
        served.send(b"bye");
        served.finish();
    })
}

#[test]
fn bytes_go_both_ways_until_both_have_said_their_end() {
    both(|io| {
        let backend = echoing();
        let gate = Gate::start(io, &backend.config_with("x_forwarded: false, via: false"));
        let mut client = gate.client();
        // Some of what belongs to the tunnel comes with the request.
        client.send(&[ASK, b"early"].concat());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{io:?}: {head}");
        let lower = head.to_ascii_lowercase();
        assert!(
            lower.contains("\r\nconnection: upgrade\r\n") && lower.contains("\r\nupgrade: websocket\r\n"),
            "{io:?}: {head}"
        );
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{io:?}: {head}");
        let asked = backend.request();
        assert!(asked.contains("\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"), "{io:?}: {asked}");
        assert!(asked.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{io:?}: {asked}");
        assert_eq!(client.bytes(10), b"helloearly", "{io:?}");
        for _ in 0..20 {
            client.send(b"ping");
            assert_eq!(client.bytes(4), b"ping", "{io:?}");
        }
        client.finish();
        assert_eq!(client.rest(), "bye", "{io:?}: the other half lives on");
        assert_eq!(gate.cells.tunnels.get(), 1, "{io:?}");
    });
}

#[test]
fn a_tunnel_carries_much_at_the_pace_of_the_slower_side() {
    const SIZE: usize = 3_000_000;
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            served.send(ANSWER.as_bytes());
            let Some(bytes) = served.bytes(SIZE) else { return };
            std::thread::sleep(Duration::from_millis(50));
            served.send(&bytes);
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(ASK);
        client.head();
        let sent: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        client.send(&sent);
        assert!(client.bytes(SIZE) == sent, "{io:?}");
        assert_eq!(client.rest(), "", "{io:?}");
    });
}

#[test]
fn an_answer_that_does_not_switch_is_an_ordinary_one() {
    both(|io| {
        let backend = Backend::answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        for _ in 0..2 {
            client.send(ASK);
            let answer = client.response();
            assert!(answer.starts_with("HTTP/1.1 426 ") && answer.ends_with("no"), "{io:?}: {answer}");
        }
        assert_eq!(gate.cells.tunnels.get(), 0, "{io:?}");
    });
}

#[test]
fn a_switch_to_something_else_is_502() {
    both(|io| {
        for answer in [
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ] {
            let backend = Backend::start(move |served| {
                served.request();
                served.send(answer.as_bytes());
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = gate.client();
            client.send(ASK);
            let got = client.response();
            assert!(got.starts_with("HTTP/1.1 502 "), "{io:?}: {answer:?}: {got}");
        }
    });
}

#[test]
fn another_protocol_is_a_tunnel_too() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
            let (bytes, _) = served.rest();
            served.send(&bytes);
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(b"POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}raw");
        assert!(client.head().starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{io:?}");
        client.finish();
        assert_eq!(client.rest(), "raw", "{io:?}");
    });
}

#[test]
fn a_silent_tunnel_is_closed_in_time() {
    at_once(|io| {
        let backend = echoing();
        let gate = Gate::start(io, &backend.config_with("tunnel_timeout: 2s"));
        let mut client = gate.client();
        client.send(ASK);
        client.head();
        assert_eq!(client.bytes(5), b"hello", "{io:?}");
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(600));
            client.send(b"x");
            assert_eq!(client.bytes(1), b"x", "{io:?}: it is not silent");
        }
        let rest = client.rest();
        assert!(rest.is_empty() || rest == "[reset]", "{io:?}: {rest}");
    });
}

#[test]
fn a_reset_of_one_side_ends_the_other() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            served.send(ANSWER.as_bytes());
            // Closing with bytes unread is a reset.
            std::thread::sleep(Duration::from_millis(100));
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(ASK);
        client.head();
        client.send(b"nobody reads this");
        let rest = client.rest();
        assert!(rest.is_empty() || rest == "[reset]", "{io:?}: {rest}");
    });
}

/// Whether all that was said on a connection of the gate has arrived there, read or not.
fn has_arrived(stream: &TcpStream) -> bool {
    let port = |at: std::io::Result<std::net::SocketAddr>| format!(":{:04X}", at.expect("it is connected").port());
    let (own, gate) = (port(stream.local_addr()), port(stream.peer_addr()));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut ours = lines.filter(|line| line.len() > 4 && line[1].ends_with(&own) && line[2].ends_with(&gate));
    ours.next().is_none_or(|line| line[4].starts_with("00000000:"))
}

#[test]
fn the_last_words_of_a_server_reach_a_client_that_talks_on() {
    // More than the kernel's buffers on the way take.
    const SIZE: usize = 16_000_000;
    both(|io| {
        let (over, is_over) = std::sync::mpsc::channel();
        let over = std::sync::Mutex::new(over);
        let backend = Backend::start(move |served| {
            served.head();
            served.send(ANSWER.as_bytes());
            served.bytes(2);
            served.send(&vec![b'w'; SIZE]);
            let _ = served.stream.shutdown(Shutdown::Both);
            // What has not arrived is lost with a reset.
            while !has_arrived(&served.stream) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = over.lock().map(|over| over.send(()));
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(ASK);
        client.head();
        client.send(b"go");
        // As little as makes room for all the server says: the rest waits in the gate.
        let mut read = 0;
        while is_over.recv_timeout(Duration::from_millis(2)).is_err() && read < SIZE {
            read += client.bytes(100_000).len();
        }
        // What comes now the server answers with a reset.
        for _ in 0..10 {
            client.send(b"more");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(client.bytes(SIZE - read) == vec![b'w'; SIZE - read], "{io:?}");
    });
}

#[test]
fn the_last_words_before_a_reset_reach_the_other_side() {
    static WORDS: [u8; 20_000] = [b'w'; 20_000];
    both(|io| {
        let backend = Backend::start(|served| {
            served.head();
            served.send(ANSWER.as_bytes());
            let (bytes, _) = served.rest();
            served.record(format!("{} bytes", bytes.len()));
        });
        let gate = Gate::start(io, &backend.config());
        for _ in 0..20 {
            let mut client = gate.client();
            client.send(ASK);
            client.head();
            client.send(&WORDS);
            reset(&client.stream);
            drop(client);
            assert_eq!(backend.request(), "20000 bytes", "{io:?}: the client's");
        }
        let backend = Backend::start(|served| {
            served.head();
            served.send(&[ANSWER.as_bytes(), &WORDS].concat());
            reset(&served.stream);
        });
        let gate = Gate::start(io, &backend.config());
        for _ in 0..20 {
            let mut client = gate.client();
            client.send(ASK);
            client.head();
            assert!(client.bytes(WORDS.len()) == WORDS, "{io:?}: the server's");
            assert_eq!(client.rest(), "", "{io:?}");
        }
    });
}
