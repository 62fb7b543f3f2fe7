//! How many handshakes an address may begin.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anygate_serve::observe::limit::Limit;

use crate::greedy::reached;
use crate::harness::{Gate, both, plan};
use crate::pipe::{Pipe, Way};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Whether the gate lets one more in.
fn is_let_in(gate: &Gate) -> Option<Pipe> {
    let stream = TcpStream::connect(gate.address).expect("the kernel takes it");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket option");
    match stream.peek(&mut [0]) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
            Some(Pipe::secured(stream, std::sync::Arc::clone(&crate::pipe::keys().client)))
        }
        // Closed, or reset.
        _ => None,
    }
}

fn asks(client: &mut Pipe) -> bool {
    let mut answer = [0; 4096];
    client.write_all(ASK).is_ok() && client.read(&mut answer).is_ok_and(|n| answer[..n].ends_with(b"hello"))
}

#[test]
fn an_address_that_begins_too_many_is_closed_before_a_byte_of_its_hello_is_read() {
    both(|io| {
        let mut plan = plan("routes: {/: OK hello}", 1);
        Way::Tls.open(&mut plan);
        // So few that waiting for the next takes longer than this test.
        plan.client.max_handshakes_per_ip = Some(2);
        let gate = Gate::serve(io, plan);
        let begun = std::time::Instant::now();
        let (mut first, mut second) = (Pipe::connect(gate.address, Way::Tls), Pipe::connect(gate.address, Way::Tls));
        let refused = (0..3).filter(|_| is_let_in(&gate).is_none()).count() as u64;
        // On a machine that stands still for half a second another one may begin.
        assert!(refused == 3 || begun.elapsed() > Duration::from_millis(450), "{io:?}: {refused}");
        assert!(asks(&mut first) && asks(&mut second), "{io:?}: who is in goes on");
        reached(&gate, Limit::HandshakeRate, refused);
        assert_eq!(gate.cells.tls_handshakes.get() + gate.cells.tls_resumed.get(), 2 + 3 - refused, "{io:?}");
        std::thread::sleep(Duration::from_millis(1100));
        assert!(asks(&mut is_let_in(&gate).expect("a second has passed")), "{io:?}");
    });
}

#[test]
fn plain_connections_are_not_held_to_it() {
    both(|io| {
        let mut plan = plan("routes: {/: OK hello}", 1);
        plan.client.max_handshakes_per_ip = Some(1);
        let gate = Gate::serve(io, plan);
        for _ in 0..5 {
            assert!(asks(&mut Pipe::connect(gate.address, Way::Plain)), "{io:?}");
        }
        assert_eq!(gate.cells.handshakes_refused.get(), 0, "{io:?}");
    });
}
