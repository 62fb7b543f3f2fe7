//! What a session's certificates mean to the requests of one HTTP/2 connection: hosts it is not for, and rules that demand one
//! of the client.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::backend::Backend;
use crate::h2_client::H2;
use crate::harness::{Gate, both};
use crate::papers::Papers;

/// The status of the answer to a request on this stream.
fn ask(client: &mut H2, stream: u32, method: &str, host: &str, path: &str) -> u16 {
    let fields = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)];
    let head = client.head(stream, &fields, true);
    client.send(&head);
    client.answer(stream).status
}

#[test]
fn each_request_for_a_host_with_another_certificate_is_misdirected_and_the_connection_goes_on() {
    const SERVERS: [&[&str]; 4] = [&["a.test", "also.test"], &["b.test"], &["*.c.test"], &["x.c.test"]];
    both(|io| {
        let papers = Papers::new(&SERVERS);
        let gate = Gate::start(io, &papers.configuration(4, "", "routes: {/here: OK here, /echo: \"*\"}\n"));
        let mut refused = 0;
        for (asked, hosts) in [
            ("a.test", [("a.test", 200), ("A.TEST:8443", 200), ("b.test", 421), ("also.test", 200), ("b.test", 421)]),
            ("b.test", [("a.test", 421), ("b.test", 200), ("none.test", 200), ("also.test", 421), ("b.test:1", 200)]),
            ("x.c.test", [("y.c.test", 421), ("x.c.test", 200), ("a.test", 421), ("[::1]", 200), ("x.c.test.", 200)]),
        ] {
            let mut client = H2::tls(&gate, &papers.client(false), asked);
            let mut stream = 1;
            for (host, expected) in hosts {
                // By the short way, by the long one, and where no rule is.
                for (method, path, status) in [("GET", "/here", 200), ("POST", "/echo", 200), ("GET", "/none", 404)] {
                    let status = if expected == 200 { status } else { expected };
                    let got = ask(&mut client, stream, method, host, path);
                    assert_eq!(got, status, "{io:?}: {method} {path} of {host} in a session for {asked}");
                    refused += u64::from(expected == 421);
                    stream += 2;
                }
            }
        }
        assert_eq!(gate.cells.misdirected.get(), refused, "{io:?}");
    });
}

#[test]
fn a_rule_that_demands_a_certificate_is_403_without_one_on_that_stream_alone() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let behind = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup");
        let rules = format!(
            "routes: {{/open: OK open, /fixed: {{to: OK staff, client_auth: required}}, \
             /up: {{to: \"{}\", client_auth: required}}}}\n",
            behind.origin()
        );
        let gate = Gate::start(io, &papers.configuration(1, "client_ca: CLIENTS", &rules));
        let statuses = |config: &Arc<ClientConfig>| {
            let mut client = H2::tls(&gate, config, "a.test");
            let asked = [(1, "/open"), (3, "/fixed"), (5, "/up"), (7, "/open")];
            asked.map(|(stream, path)| ask(&mut client, stream, "GET", "a.test", path))
        };
        assert_eq!(statuses(&papers.client(false)), [200, 403, 403, 200], "{io:?}");
        assert_eq!(gate.cells.client_certificates_missing.get(), 2, "{io:?}");
        assert_eq!(behind.connections(), 0, "{io:?}: a server behind hears nothing of it");
        assert_eq!(statuses(&papers.client(true)), [200, 200, 200, 200], "{io:?}");
    });
}
