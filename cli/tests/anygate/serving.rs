//! `anygate serve`: what redirects, echoes and a rule's own fields say on the wire, and what a person is told at the start.

use std::net::TcpListener;

use super::backend::Backend;
use super::gate::{Gate, both};
use super::rig::Folder;

/// One request on a connection of its own: `ask(&gate, "POST /x", "Accept: */*\r\n", "body")`.
fn ask(gate: &Gate, line: &str, fields: &str, body: &str) -> (String, String) {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let mut client = gate.client();
    // Who is refused may find the connection closed before everything is sent; the answer is there all the same.
    let _ = client.send(&format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}"));
    let answer = if line.starts_with("HEAD ") { client.head() } else { client.answer() }.unwrap();
    (answer.head, answer.body)
}

#[test]
fn an_echo_is_text_for_those_who_want_text_and_shows_no_credentials() {
    both(|io| {
        let folder = Folder::new();
        let gate = Gate::start(&folder, io, &["-r", "/:who/x: *"]);
        let mut client = gate.client();
        client
            .send(
                "PUT /me/x?q HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\nAuthorization: Bearer s3cret\r\n\
                 Cookie: s3cret\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            )
            .unwrap();
        let answer = client.answer().unwrap();
        let (head, body) = (answer.head, answer.body);
        assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{io}: {head}");
        assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{head}");
        assert!(body.starts_with("PUT /me/x?q HTTP/1.1\n") && body.contains("\nparam who: me\n"), "{body}");
        assert!(body.ends_with("\nbody: 5 bytes\n\nhello\n") && !body.contains("s3cret"), "{body}");
    });
}

#[test]
fn an_echo_keeps_the_first_bytes_of_a_body_and_counts_all() {
    both(|io| {
        let folder = Folder::with("echo: {body: 10}\nserver: {max_body_size: 1MiB}\nroutes:\n  /: *\n");
        let gate = Gate::start(&folder, io, &[]);
        let (_, body) = ask(&gate, "POST /", "", &"0123456789".repeat(50_000));
        let echoed: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&echoed["body"], &echoed["body_size"]), (&"0123456789".into(), &500_000.into()), "{io}");
        let (head, _) = ask(&gate, "POST /", "", &"x".repeat(1024 * 1024 + 1));
        assert!(head.starts_with("HTTP/1.1 413 "), "{io}: {head}");
    });
}

#[test]
fn a_redirect_keeps_the_query_and_has_no_body() {
    both(|io| {
        let folder = Folder::new();
        let gate = Gate::start(&folder, io, &["-r", "/old/:id: MOVED /new/:id", "-r", "/x/*: FOUND /*"]);
        let (head, body) = ask(&gate, "GET /old/7?x=1", "", "");
        assert!(head.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{io}: {head}");
        assert!(head.contains("\r\nLocation: /new/7?x=1\r\n") && head.contains("\r\nContent-Length: 0\r\n"), "{head}");
        assert_eq!(body, "");
        let (head, _) = ask(&gate, "GET /x/%5Cevil.example/", "", "");
        assert!(head.contains("\r\nLocation: /%5Cevil.example/\r\n"), "{io}: {head}");
    });
}

#[test]
fn the_headers_of_a_rule_are_on_every_kind_of_answer() {
    both(|io| {
        let backend = Backend::start().address;
        let folder = Folder::with(&format!(
            "routes:\n  /fixed: {{to: OK hi, headers: {{X-A: 1}}}}\n  /echo: {{to: '*', headers: {{X-A: 1}}}}\n  \
             /moved: {{to: MOVED /, headers: {{X-A: 1}}}}\n  /file: {{to: ./a.txt, headers: {{X-A: 1}}}}\n  \
             /up: {{to: 'http://{backend}', headers: {{X-A: 1, Content-Type: text/x}}}}\n"
        ));
        folder.write("a.txt", "a");
        let gate = Gate::start(&folder, io, &[]);
        for path in ["/fixed", "/echo", "/moved", "/file", "/up", "/file"] {
            let (head, _) = ask(&gate, &format!("GET {path}"), "", "");
            assert_eq!(head.matches("\r\nX-A: 1\r\n").count(), 1, "{io}: {path}: {head}");
        }
        let (head, _) = ask(&gate, "GET /up", "", "");
        assert!(head.contains("\r\nContent-Type: text/x\r\n"), "{io}: {head}");
    });
}

#[test]
fn an_address_that_is_taken_is_told_with_what_may_help() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = Folder::new().run(&["serve", "--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("help: another program may listen there"), "{}", ran.err);
}

#[test]
fn a_warning_is_told_and_the_configuration_is_served() {
    let folder = Folder::with("routes:\n  /: OK hi # a comment?\n");
    let gate = Gate::start(&folder, "auto", &[]);
    assert!(gate.log().contains("warning: the action ends before ` #`"), "{}", gate.log());
    assert_eq!(gate.get("/").body, "hi");
}
