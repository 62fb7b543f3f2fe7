//! What a client's certificate is good for: rules that demand one, servers behind that are told of it, and hosts that a
//! session is not for.

use anygate_proto::tls::ClientCert;

use crate::backend::Backend;
use crate::harness::{Gate, both};
use crate::papers::{Papers, Visitor, status};

const HOST: &str = "Host: a.test\r\n";

#[test]
fn a_rule_that_demands_a_certificate_is_403_without_one() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let behind = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup");
        let rules = format!(
            "routes: {{/open: OK open, /fixed: {{to: OK staff, client_auth: required}}, /up: {{to: \"{}\", client_auth: required}}, \
             /echo: {{to: \"*\", client_auth: required, headers: {{X-A: b}}}}}}\n",
            behind.origin()
        );
        let gate = Gate::start(io, &papers.configuration(1, "client_ca: CLIENTS", &rules));
        let demanded = ["GET /fixed", "GET /up", "POST /up", "GET /echo", "HEAD /fixed"];
        let mut stranger = Visitor::connect(gate.address, "a.test", &papers.client(false));
        for request in demanded {
            assert_eq!(status(&stranger.ask(request, HOST)), "403", "{io:?} {request}");
            assert_eq!(status(&stranger.ask("GET /open", HOST)), "200", "{io:?} after {request}");
        }
        assert_eq!(gate.cells.client_certificates_missing.get(), demanded.len() as u64, "{io:?}");
        assert_eq!(behind.connections(), 0, "{io:?}: a server behind hears nothing of it");
        // A pipeline does not slip by.
        stranger
            .send(&"GET /open HTTP/1.1\r\nHost: a.test\r\n\r\nGET /fixed HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(20));
        for _ in 0..20 {
            let answers = (stranger.response(false), stranger.response(false));
            assert_eq!((status(&answers.0), status(&answers.1)), ("200", "403"), "{io:?}");
        }
        let mut staff = Visitor::connect(gate.address, "a.test", &papers.client(true));
        for request in demanded.into_iter().chain(["GET /open", "GET /up"]) {
            assert_eq!(status(&staff.ask(request, HOST)), "200", "{io:?} {request}");
        }
    });
}

#[test]
fn a_plain_connection_meets_no_demand() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let rules = "routes: {/: OK open, /staff: {to: OK staff, client_auth: required}}\n";
        let listeners = "server: {listen: [\":0\", {addr: \"127.0.0.1:0\", tls: true}]}\n";
        let gate = Gate::start(io, &format!("{listeners}{}", papers.section(1, "client_ca: CLIENTS", rules)));
        let mut client = gate.client();
        for (path, expected) in [("/", "200"), ("/staff", "403"), ("/", "200")] {
            client.send(format!("GET {path} HTTP/1.1\r\n{HOST}\r\n").as_bytes());
            assert_eq!(status(&client.response()), expected, "{io:?} {path}");
        }
    });
}

#[test]
fn a_groups_demand_is_lifted_by_a_rule_of_it() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let rules = "groups: [{client_auth: required, routes: {/staff/: OK in, /staff/door: {to: OK door, client_auth: none}}}]\n";
        let gate = Gate::start(io, &papers.configuration(1, "client_ca: CLIENTS", rules));
        let mut client = Visitor::connect(gate.address, "a.test", &papers.client(false));
        assert_eq!(status(&client.ask("GET /staff/room", HOST)), "403", "{io:?}");
        assert_eq!(status(&client.ask("GET /staff/door", HOST)), "200", "{io:?}");
    });
}

#[test]
fn a_request_for_a_host_with_another_certificate_is_misdirected() {
    const SERVERS: [&[&str]; 4] = [&["a.test", "also.test"], &["b.test"], &["*.c.test"], &["x.c.test"]];
    both(|io| {
        let papers = Papers::new(&SERVERS);
        let gate = Gate::start(io, &papers.configuration(4, "", "routes: {/here: OK here, /echo: \"*\"}\n"));
        let cases = [
            ("a.test", "a.test", "200"),
            ("a.test", "A.TEST:8443", "200"),
            ("a.test", "a.test.", "200"),
            ("a.test", "also.test", "200"),
            ("a.test", "b.test", "421"),
            ("a.test", "B.test.:443", "421"),
            ("b.test", "a.test", "421"),
            // There is no certificate for it that the client should have been shown.
            ("a.test", "none.test", "200"),
            ("a.test", "10.0.0.1", "200"),
            ("a.test", "[::1]:443", "200"),
            // The session's own is for it too.
            ("y.c.test", "x.c.test", "200"),
            ("x.c.test", "y.c.test", "421"),
        ];
        let mut refused = 0;
        for (asked, host, expected) in cases {
            let mut client = Visitor::connect(gate.address, asked, &papers.client(false));
            for request in ["GET /here", "POST /echo", "GET /none", "GET /here"] {
                let answer = client.ask(request, &format!("Host: {host}\r\n"));
                let expected = if expected == "200" && request == "GET /none" { "404" } else { expected };
                assert_eq!(status(&answer), expected, "{io:?} {asked} {request} {host}: {answer}");
                refused += u64::from(expected == "421");
            }
            // What the session is for is served on the same connection.
            assert_eq!(status(&client.ask("GET /here", &format!("Host: {asked}\r\n"))), "200", "{io:?} {asked}");
        }
        assert_eq!(gate.cells.misdirected.get(), refused, "{io:?}");
    });
}

#[test]
fn a_certificate_that_was_shown_to_one_host_meets_no_demand_of_another() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let rules = "routes: {/: OK open, /staff: {to: OK staff, client_auth: required}}\n";
        let gate = Gate::start(io, &papers.configuration(1, "client_ca: CLIENTS", rules));
        let mut client = Visitor::connect(gate.address, "a.test", &papers.client(true));
        for (path, host, expected) in [
            ("/staff", "a.test", "200"),
            ("/staff", "z.test", "421"),
            ("/", "z.test", "200"),
            ("/staff", "a.test:1", "200"),
        ] {
            let answer = client.ask(&format!("GET {path}"), &format!("Host: {host}\r\n"));
            assert_eq!(status(&answer), expected, "{io:?} {path} {host}");
        }
    });
}

#[test]
fn a_server_behind_is_told_of_the_certificate_and_nothing_that_the_client_says_of_one() {
    const LIES: &str = "Client-Cert: :bGll:\r\nclient-cert-chain: :bGll:\r\nClient_Cert: lie\r\nX-A: b\r\n";
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let behind = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup");
        let rules = format!("routes: {{/: \"{}\"}}\n", behind.origin());
        let said = |on: bool, client: bool| {
            let tls = "client_ca: CLIENTS, client_auth: optional";
            let rules = format!("proxy: {{client_cert: {on}}}\n{rules}");
            let gate = Gate::start(io, &papers.configuration(1, tls, &rules));
            let mut client = Visitor::connect(gate.address, "a.test", &papers.client(client));
            // The first by a new connection to the server, the second by a kept one; the third has content.
            let requests = [
                ("GET /", ""),
                ("GET /", ""),
                ("POST /", "Content-Length: 0\r\n"),
                ("GET /", "Connection: Client-Cert\r\n"),
            ];
            for (request, more) in requests {
                assert_eq!(status(&client.ask(request, &format!("{HOST}{LIES}{more}"))), "200", "{io:?}");
            }
            let heads: Vec<String> = requests.iter().map(|_| behind.request()).collect();
            for head in &heads {
                assert!(head.contains("X-A: b\r\n") && head.contains("X-Forwarded-Proto: https\r\n"), "{io:?}: {head}");
            }
            let about = |head: &String| {
                head.lines()
                    .filter(|line| line.to_ascii_lowercase().replace('_', "-").starts_with("client-cert"))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            heads.iter().map(about).collect::<Vec<_>>()
        };
        let expected = ClientCert::of(&papers.shown()).expect("two certificates");
        let told = vec![
            format!("Client-Cert: {}", expected.own),
            format!("Client-Cert-Chain: {}", expected.chain.expect("one was sent along")),
        ];
        assert_eq!(said(true, true), vec![told; 4], "{io:?}");
        assert_eq!(said(true, false), vec![Vec::<String>::new(); 4], "{io:?}");
        assert_eq!(said(false, true), vec![Vec::<String>::new(); 4], "{io:?}");
    });
}

#[test]
fn a_gate_in_front_that_is_trusted_may_tell_of_a_certificate_where_this_one_does_not() {
    both(|io| {
        let behind = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup");
        for (on, kept) in [(false, true), (true, false)] {
            let yaml = format!(
                "server: {{trust: [127.0.0.0/8]}}\nproxy: {{client_cert: {on}}}\nroutes: {{/: \"{}\"}}\n",
                behind.origin()
            );
            let gate = Gate::start(io, &yaml);
            let request = format!("GET / HTTP/1.1\r\n{HOST}Client-Cert: :Zm9v:\r\nConnection: close\r\n\r\n");
            assert!(gate.once(request.as_bytes()).starts_with("HTTP/1.1 200 "), "{io:?}");
            assert_eq!(behind.request().contains("Client-Cert: :Zm9v:\r\n"), kept, "{io:?} {on}");
        }
    });
}
