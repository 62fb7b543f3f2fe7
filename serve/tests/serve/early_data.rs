//! Requests in the first flight of a session that goes on (0-RTT, RFC 8470): answered before the handshake ends where
//! repeating them does no harm, and never twice.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anygate_shard::Io;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection};

use crate::backend::Backend;
use crate::exchange::soon;
use crate::harness::{Gate, both};
use crate::papers::{Papers, Visitor, status};

const HOST: &str = "Host: a.test\r\n";
const ON: &str = "early_data: true";

/// A client that sends what it can before the handshake ends.
struct Hasty {
    connection: ClientConnection,
    stream: TcpStream,
    /// What of its bytes left before the server said anything.
    first_flight: Vec<u8>,
}

impl Hasty {
    fn connect(address: SocketAddr, config: &Arc<ClientConfig>, request: &str) -> Self {
        Self::followed(address, config, request, b"")
    }

    /// One behind whose first flight somebody puts these bytes.
    fn followed(address: SocketAddr, config: &Arc<ClientConfig>, request: &str, behind: &[u8]) -> Self {
        let name = "a.test".try_into().expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
        let mut early = connection.early_data().expect("its session may bring early data");
        early.write_all(request.as_bytes()).expect("it is short");
        let mut first_flight = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut first_flight).expect("into memory");
        }
        let mut stream = TcpStream::connect(address).expect("the gate listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
        stream.write_all(&[&first_flight, behind].concat()).expect("the gate takes bytes");
        Self { connection, stream, first_flight }
    }

    /// One answer, whose content ends so, heard while the handshake is kept from ending.
    fn answer(&mut self, end: &str) -> String {
        let mut answer = String::new();
        while !answer.ends_with(end) {
            let mut bytes = [0; 4096];
            match self.connection.reader().read(&mut bytes) {
                Ok(n @ 1..) => answer.push_str(&String::from_utf8_lossy(&bytes[..n])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.hear();
                }
                other => panic!("{other:?} behind {answer}"),
            }
        }
        answer
    }

    /// Takes what came.
    fn hear(&mut self) {
        let n = loop {
            match self.connection.read_tls(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.expect("more of the answer"),
            }
        };
        assert!(n > 0, "cut");
        self.connection.process_new_packets().expect("it is TLS");
    }

    /// Ends the handshake.
    fn finish(&mut self) {
        assert!(self.connection.is_early_data_accepted(), "early data was taken");
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream).expect("the gate takes bytes");
        }
    }

    fn ask(&mut self, request: &str, end: &str) -> String {
        self.connection.writer().write_all(request.as_bytes()).expect("into memory");
        self.finish();
        self.answer(end)
    }
}

/// Settings with a session that may bring early data once.
fn met(gate: &Gate, papers: &Papers) -> Arc<ClientConfig> {
    let mut config = (*papers.client(false)).clone();
    config.enable_early_data = true;
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    let mut visitor = Visitor::connect(gate.address, "a.test", &config);
    assert_eq!(status(&visitor.ask("GET /", HOST)), "200");
    config
}

/// A gate that takes early data, before a server that answers everything so.
fn before(io: Io, answer: &'static str) -> (Papers, Backend, Gate) {
    let papers = Papers::new(&[&["a.test"]]);
    let behind = Backend::answering(answer);
    let rules = format!("routes: {{/: OK hello, /up: \"{}\"}}\n", behind.origin());
    let gate = Gate::start(io, &papers.configuration(1, ON, &rules));
    (papers, behind, gate)
}

#[test]
fn a_safe_request_is_answered_before_the_handshake_ends_and_the_connection_goes_on() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let gate = Gate::start(io, &papers.configuration(1, ON, "routes: {/: OK hello, /post: OK posted}\n"));
        let config = met(&gate, &papers);
        let mut client = Hasty::connect(gate.address, &config, &format!("GET / HTTP/1.1\r\n{HOST}\r\n"));
        assert_eq!(status(&client.answer("hello")), "200", "{io:?}");
        assert_eq!((gate.cells.tls_early_data.get(), gate.cells.tls_resumed.get()), (1, 0), "{io:?}");
        let again = format!("POST /post HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\nhi");
        assert_eq!(status(&client.ask(&again, "posted")), "200", "{io:?}: what comes later is not early");
        assert_eq!(gate.cells.tls_resumed.get(), 1, "{io:?}");
    });
}

#[test]
fn what_changes_something_is_425_until_the_handshake_has_ended() {
    both(|io| {
        let (papers, behind, gate) = before(io, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        // What a tunnel carries would come again with it.
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let nothing = "Content-Length: 0\r\n";
        for (request, fields) in
            [("POST /up", nothing), ("PUT /", nothing), ("DELETE /up", nothing), ("GET /up", upgrade)]
        {
            let config = met(&gate, &papers);
            let request = format!("{request} HTTP/1.1\r\n{HOST}{fields}\r\n");
            let mut client = Hasty::connect(gate.address, &config, &request);
            assert_eq!(status(&client.answer("425 Too Early\n")), "425", "{io:?}: {request}");
            assert_eq!(behind.connections(), 0, "{io:?}: a server behind hears nothing of it");
        }
        let config = met(&gate, &papers);
        let request = format!("POST /up HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n");
        let mut client = Hasty::connect(gate.address, &config, &request);
        client.answer("425 Too Early\n");
        assert_eq!(status(&client.ask(&request, "done")), "200", "{io:?}: it may come again");
        assert!(!behind.request().contains("Early-Data"), "{io:?}");
    });
}

#[test]
fn a_server_behind_is_told_of_early_data_and_its_own_425_passes() {
    both(|io| {
        let (papers, behind, gate) = before(io, "HTTP/1.1 425 Too Early\r\nContent-Length: 5\r\n\r\nlater");
        let config = met(&gate, &papers);
        let request = format!("GET /up HTTP/1.1\r\n{HOST}\r\n");
        let mut client = Hasty::connect(gate.address, &config, &request);
        assert_eq!(status(&client.answer("later")), "425", "{io:?}");
        assert!(behind.request().contains("\r\nEarly-Data: 1\r\n"), "{io:?}");
        client.ask(&request, "later");
        assert!(!behind.request().contains("Early-Data"), "{io:?}: what comes later is not early");
    });
}

#[test]
fn the_same_flight_sent_again_is_not_answered_again() {
    both(|io| {
        let (papers, behind, gate) = before(io, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        let config = met(&gate, &papers);
        let mut client = Hasty::connect(gate.address, &config, &format!("GET /up HTTP/1.1\r\n{HOST}\r\n"));
        client.answer("done");
        behind.request();
        for _ in 0..3 {
            let mut replay = TcpStream::connect(gate.address).unwrap();
            replay.write_all(&client.first_flight).unwrap();
            // The server's part of a whole handshake comes, and waits for an answer nobody can give.
            replay.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            replay.read_exact(&mut [0; 1]).unwrap();
        }
        assert!(behind.is_quiet(), "{io:?}");
        assert_eq!(gate.cells.tls_early_data.get(), 1, "{io:?}");
    });
}

/// Else who sits on the way could have it done now, and once more when the client tries again.
#[test]
fn what_comes_early_with_a_record_that_breaks_the_handshake_is_not_done() {
    both(|io| {
        let (papers, behind, gate) = before(io, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        for method in ["GET", "POST"] {
            let config = met(&gate, &papers);
            let request = format!("{method} /up HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\n");
            let broken = b"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345";
            let mut client = Hasty::followed(gate.address, &config, &request, broken);
            let mut heard = Vec::new();
            let _ = client.stream.read_to_end(&mut heard);
            assert!(behind.is_quiet(), "{io:?}: {method}");
        }
        assert_eq!(gate.cells.tls_protocol_errors.get(), 2, "{io:?}");
        assert_eq!(gate.cells.requests.get(), 2, "{io:?}: of those that were met before");
    });
}

#[test]
fn early_data_gives_a_handshake_no_more_time() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let rules = "routes: {/: OK hello}\n";
        let gate = Gate::start(io, &papers.configuration(1, "early_data: true, handshake_timeout: 1s", rules));
        let config = met(&gate, &papers);
        let mut client = Hasty::connect(gate.address, &config, &format!("GET / HTTP/1.1\r\n{HOST}\r\n"));
        client.answer("hello");
        // Parts of a record that never ends.
        client.stream.write_all(b"\x17\x03\x03\x40\x00").expect("the gate takes bytes");
        let mut trickle = client.stream.try_clone().expect("a descriptor");
        let dripping = std::thread::spawn(move || {
            while trickle.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let _ = client.stream.read_to_end(&mut Vec::new());
        assert!(soon(|| gate.cells.timeouts_handshake.get(), 1), "{io:?}");
        let _ = client.stream.shutdown(std::net::Shutdown::Both);
        dripping.join().expect("it ends with the connection");
    });
}

#[test]
fn a_connection_that_is_to_end_says_so_before_the_handshake_ends() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let gate = Gate::start(io, &papers.configuration(1, ON, "routes: {/: OK hello}\n"));
        let config = met(&gate, &papers);
        let request = format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
        let mut client = Hasty::connect(gate.address, &config, &request);
        client.answer("hello");
        let mut ended = false;
        while !ended {
            match client.connection.reader().read(&mut [0; 16]) {
                Ok(0) => ended = true,
                Ok(n) => panic!("{n} more bytes"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.hear(),
                Err(error) => panic!("{io:?}: {error}"),
            }
        }
    });
}

#[test]
fn it_is_off_unless_it_is_asked_for() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let gate = Gate::start(io, &papers.configuration(1, "", "routes: {/: OK hello}\n"));
        let config = met(&gate, &papers);
        let mut connection = ClientConnection::new(config, "a.test".try_into().unwrap()).unwrap();
        assert!(connection.early_data().is_none(), "{io:?}: the session does not allow it");
    });
}
