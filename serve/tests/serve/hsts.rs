//! `Strict-Transport-Security`: on every answer over TLS, once, and on none over a plain connection.

use anygate_core::Diagnostic;
use anygate_core::config::{Env, load_text};
use anygate_serve::compile::{CompileEnv, compile};

use crate::backend::Backend;
use crate::harness::{Gate, both};
use crate::papers::{Papers, Visitor, status};

const FIELD: &str = "\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n";
const HOST: &str = "Host: a.test\r\n";

/// How often the field stands in a head, whoever wrote it.
fn fields(response: &str) -> usize {
    let head = response.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    head.matches("\r\nstrict-transport-security:").count()
}

/// Rules of every kind, and what is asked of them.
fn rules(folder: &std::path::Path, behind: &Backend) -> String {
    std::fs::write(folder.join("small.txt"), "small").unwrap();
    std::fs::write(folder.join("large.txt"), "x".repeat(100_000)).unwrap();
    format!(
        "routes: {{/fixed: OK hello, /moved: MOVED /fixed, /echo: \"*\", /f/: {}/, /up: \"{}\", GET /only: OK}}\n",
        folder.display(),
        behind.origin()
    )
}

const ASKED: [(&str, &str); 14] = [
    ("GET /fixed", "200"),
    ("HEAD /fixed", "200"),
    ("GET /moved", "301"),
    ("GET /echo", "200"),
    ("GET /f/small.txt", "200"),
    ("GET /f/small.txt", "200"),
    ("HEAD /f/small.txt", "200"),
    ("GET /f/large.txt", "200"),
    ("GET /f/none.txt", "404"),
    ("GET /up", "200"),
    ("GET /up", "200"),
    ("GET /none", "404"),
    ("DELETE /only", "405"),
    ("OPTIONS /only", "204"),
];

#[test]
fn every_answer_over_tls_has_the_field_once_and_a_server_behind_is_overruled() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let behind = Backend::answering(
            "HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 2\r\nStrict-Transport-Security: max-age=2\r\n\r\nup",
        );
        let folder = std::env::temp_dir().join(format!("anygate-hsts-{}-{io:?}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let rules = rules(&folder, &behind);
        let yaml = papers.configuration(1, "hsts: {include_subdomains: true}", &rules);
        let gate = Gate::start(io, &yaml);
        let mut client = Visitor::connect(gate.address, "a.test", &papers.client(false));
        for (request, expected) in ASKED {
            let answer = client.ask(request, HOST);
            assert_eq!(status(&answer), expected, "{io:?} {request}: {answer}");
            assert!(answer.contains(FIELD) && fields(&answer) == 1, "{io:?} {request}: {answer}");
        }
        // The long way, and a pipeline.
        let answer = client.ask("POST /fixed", &format!("{HOST}Content-Length: 0\r\nX: y\r\n"));
        assert!(answer.contains(FIELD) && fields(&answer) == 1, "{io:?}: {answer}");
        client.send(&"GET /fixed HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(200));
        for _ in 0..200 {
            let answer = client.response(false);
            assert!(
                answer.contains(FIELD) && fields(&answer) == 1 && answer.ends_with("\r\n\r\nhello"),
                "{io:?}: {answer}"
            );
        }
        // What cannot be read is refused with it too.
        let answer = client.ask("GET / nonsense", "");
        assert_eq!(status(&answer), "400", "{io:?}");
        assert!(answer.contains(FIELD) && fields(&answer) == 1, "{io:?}: {answer}");
        let _ = std::fs::remove_dir_all(&folder);
    });
}

#[test]
fn no_answer_over_a_plain_connection_has_it_but_one_that_a_server_behind_gave_it() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let behind = Backend::answering(
            "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=2\r\nContent-Length: 2\r\n\r\nup",
        );
        let folder = std::env::temp_dir().join(format!("anygate-hsts-plain-{}-{io:?}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let rules = rules(&folder, &behind);
        let listeners = "server: {listen: [\":0\", {addr: \"127.0.0.1:0\", tls: true}]}\n";
        let yaml = format!("{listeners}{}", papers.section(1, "hsts: {}", &rules));
        let gate = Gate::start(io, &yaml);
        for (request, expected) in ASKED {
            let answer = gate.once(format!("{request} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
            assert_eq!(status(&answer), expected, "{io:?} {request}: {answer}");
            assert_eq!(fields(&answer), usize::from(request == "GET /up"), "{io:?} {request}: {answer}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    });
}

#[test]
fn without_the_key_no_answer_has_it() {
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        let gate = Gate::start(io, &papers.configuration(1, "", "routes: {/: OK}\n"));
        let mut client = Visitor::connect(gate.address, "a.test", &papers.client(false));
        assert_eq!(fields(&client.ask("GET /", HOST)), 0, "{io:?}");
    });
}

#[test]
fn a_rule_cannot_set_it_a_second_time() {
    let papers = Papers::new(&[&["a.test"]]);
    let rule = "routes: {/: {to: OK, headers: {strict-transport-security: max-age=5}}}\n";
    let errors = |tls: &str| {
        let loaded = load_text("test.yml", &papers.configuration(1, tls, rule), &Env::new(), &[]);
        let compiled =
            compile(&loaded.config.expect("it can be read"), &CompileEnv { shards: 1, descriptors: 100, serial: 1 });
        let errors = compiled.diagnostics.into_iter().filter(Diagnostic::is_error);
        errors.map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(errors("hsts: {}"), ["`Strict-Transport-Security` is set by `tls.hsts` already"]);
    assert_eq!(errors("hsts: off"), [""; 0]);
}
