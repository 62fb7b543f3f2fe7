//! A plain listener that sends everybody to https.

use anygate_serve::control::Order;
use anygate_serve::tls::Front;

use crate::harness::{Gate, both, undated};

const HERE: &str = "server: {listen: [{addr: \":0\", redirect: https}]}\nroutes: {/: OK served, POST /up: \"*\"}\n";

#[test]
fn every_request_is_sent_to_https_and_the_connection_stays() {
    both(|io| {
        let gate = Gate::start(io, HERE);
        let mut client = gate.client();
        for (method, target, fields, location) in [
            ("GET", "/", "Host: a.example\r\n", "https://a.example/"),
            ("GET", "/a/b?c=d&e", "Host: a.example:8080\r\n", "https://a.example/a/b?c=d&e"),
            ("POST", "/up", "Host: b.example\r\nContent-Length: 4\r\n", "https://b.example/up"),
            ("PUT", "/", "Host: b.example\r\nTransfer-Encoding: chunked\r\n", "https://b.example/"),
            ("BREW", "/none", "Host: [::1]:80\r\n", "https://[::1]/none"),
            ("OPTIONS", "/", "Host: a.example\r\n", "https://a.example/"),
            ("GET", "http://c.example/x", "Host: a.example\r\n", "https://c.example/x"),
        ] {
            let body = match fields {
                fields if fields.contains("Content-Length") => "body",
                fields if fields.contains("chunked") => "4\r\nbody\r\n0\r\n\r\n",
                _ => "",
            };
            client.send(format!("{method} {target} HTTP/1.1\r\n{fields}\r\n{body}").as_bytes());
            let expected =
                format!("HTTP/1.1 308 Permanent Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(undated(&client.response()), expected, "{io:?} {method} {target}");
        }
        assert_eq!(gate.cells.snapshot().connections_active(), 1, "{io:?}");
    });
}

#[test]
fn a_pipeline_is_redirected_in_order() {
    both(|io| {
        let gate = Gate::start(io, HERE);
        let mut client = gate.client();
        let pipeline: String = (0..50).map(|at| format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        client.send(pipeline.as_bytes());
        for at in 0..50 {
            assert!(client.response().contains(&format!("\r\nLocation: https://a/{at}\r\n")), "{io:?} {at}");
        }
    });
}

#[test]
fn who_names_no_host_or_a_bad_one_gets_400() {
    both(|io| {
        let gate = Gate::start(io, HERE);
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ] {
            let answer = gate.once(request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("Location"), "{io:?} {request}: {answer}");
        }
        let answer = gate.once(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{io:?}: {answer}");
    });
}

#[test]
fn port_and_status_are_the_configured_ones() {
    both(|io| {
        let yaml = "server: {listen: [{addr: \":0\", redirect: {port: 8443, status: 301}}]}\nroutes: {/: OK}\n";
        let gate = Gate::start(io, yaml);
        let answer = gate.once(b"GET /?x HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 301 "), "{io:?}: {answer}");
        assert!(answer.contains("\r\nLocation: https://a:8443/?x\r\n"), "{io:?}: {answer}");
    });
}

#[test]
fn a_listener_that_redirects_no_more_serves_the_next_request_of_the_same_connection() {
    both(|io| {
        let gate = Gate::start(io, HERE);
        let mut client = gate.client();
        let ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(ask);
        assert!(client.response().starts_with("HTTP/1.1 308 "), "{io:?}");
        gate.order(Order::Front { number: 0, front: Front::default() });
        client.send(ask);
        assert!(client.response().ends_with("served"), "{io:?}");
    });
}
