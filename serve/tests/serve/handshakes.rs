//! How many handshakes an address may begin.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anygate_serve::observe::limit::Limit;

use crate::greedy::reached;
use crate::harness::{Gate, PATIENCE, both, plan, until};
use crate::pipe::{Pipe, Way, keys};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// One more client, if the gate lets it in; it has sent nothing.
fn is_let_in(gate: &Gate) -> Option<TcpStream> {
    let refused = || gate.cells.handshakes_refused.get();
    let came = || gate.cells.connections_accepted.get() + refused();
    let before = (came(), refused());
    let mut stream = TcpStream::connect(gate.address).expect("the kernel takes it");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    assert!(until(|| came() > before.0), "it is seen");
    if refused() == before.1 {
        return Some(stream);
    }
    // Closed, or reset.
    let end = stream.read(&mut [0]);
    assert!(end.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |n| *n == 0), "{end:?}");
    None
}

/// Whether it is served.
fn is_served(stream: TcpStream) -> bool {
    asks(&mut Pipe::secured(stream, Arc::clone(&keys().client)))
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
        let more: Vec<TcpStream> = (0..3).filter_map(|_| is_let_in(&gate)).collect();
        let refused = 3 - more.len() as u64;
        // On a machine that stands still for half a second another one may begin.
        assert!(refused == 3 || begun.elapsed() > Duration::from_millis(450), "{io:?}: {refused}");
        assert!(asks(&mut first) && asks(&mut second) && more.into_iter().all(is_served), "{io:?}: who is in goes on");
        reached(&gate, Limit::HandshakeRate, refused);
        assert_eq!(gate.cells.tls_handshakes.get() + gate.cells.tls_resumed.get(), 2 + 3 - refused, "{io:?}");
        std::thread::sleep(Duration::from_millis(1100));
        assert!(is_served(is_let_in(&gate).expect("a second has passed")), "{io:?}");
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
