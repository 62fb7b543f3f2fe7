//! `anygate bench`: what a person is told who measures a server, and what a script reads.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::gate::{Gate, both};
use super::rig::{Folder, Ran};

/// Arguments for a short run against this address.
fn short<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["bench", url, "-c", "4", "-d", "200ms", "--warm-up", "50ms"], more].concat()
}

/// The first of some runs that held its rate, or the last: a machine that is busy for the last two milliseconds of one holds
/// none.
fn held(run: impl Fn() -> Ran) -> Ran {
    let mut ran = run();
    for _ in 0..20 {
        if ran.code != 1 {
            break;
        }
        ran = run();
    }
    ran
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

#[test]
fn a_server_is_measured_and_every_figure_is_printed() {
    both(|io| {
        let folder = Folder::new();
        let gate = Gate::start(&folder, io, &["-r", "/: OK"]);
        let ran = folder.run(&short(&url(gate.address(), "/"), &["--io", io]));
        assert_eq!(ran.code, 0, "{io}: {ran:?}");
        assert_eq!(ran.err, "", "no progress where nobody watches");
        for word in ["load      4 connections", "requests  ", "received  ", "sent      ", "errors    none", "latency "]
        {
            assert!(ran.out.contains(word), "{io}: no `{word}` in {}", ran.out);
        }
        for part in ["p50 ", "p75 ", "p90 ", "p99 ", "p99.9 ", "p99.99 ", "max "] {
            assert!(ran.out.lines().any(|line| line.trim_start().starts_with(part)), "{io}: no {part} in {}", ran.out);
        }
        assert!(ran.out.contains(io), "the driver is said: {}", ran.out);
    });
}

#[test]
fn a_fixed_rate_is_held_and_json_says_so() {
    both(|io| {
        let folder = Folder::new();
        let gate = Gate::start(&folder, io, &["-r", "/: OK"]);
        let ran = held(|| {
            folder.run(&short(&url(gate.address(), "/"), &["--rate", "0.5k", "--io", io, "--json", "--pipeline=4"]))
        });
        assert_eq!(ran.code, 0, "{io}: {ran:?}");
        let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let requests = &value["requests"];
        assert_eq!((&requests["rate_held"], &requests["asked_per_second"]), (&true.into(), &500.0.into()), "{io}");
        let due = value["elapsed_s"].as_f64().unwrap() * 500.0;
        assert!((requests["due"].as_f64().unwrap() - due).abs() <= 2.0, "{io}: {requests}, {due} were due");
        assert!(value["io"].as_str().unwrap().ends_with(io), "{io}: {value}");
        let ran = folder.run(&short(&url(gate.address(), "/"), &["--json=found.json"]));
        assert!(ran.code == 0 && ran.out.contains("  latency"), "{ran:?}");
        let text = std::fs::read_to_string(folder.path().join("found.json")).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["latency_us"]["p99.9"].is_f64(), "{text}");
    });
}

#[test]
fn a_server_is_asked_in_http_2_on_many_streams() {
    both(|io| {
        let folder = Folder::new();
        let gate = Gate::start(&folder, io, &["-r", "/: OK"]);
        for more in [&["--pipeline", "32"][..], &["--rate", "500", "--pipeline", "4"], &["--no-keep-alive"]] {
            let ran = held(|| folder.run(&short(&url(gate.address(), "/"), &[&["--h2", "--io", io], more].concat())));
            assert_eq!(ran.code, 0, "{io}, {more:?}: {ran:?}");
            assert!(ran.out.contains("  load      4 connections in HTTP/2, "), "{io}: {}", ran.out);
        }
    });
    let ran = Folder::new().run(&["bench", "http://127.0.0.1/", "--h2", "--body", "x"]);
    assert!(ran.code == 2 && ran.err.contains("--body"), "{ran:?}");
}

#[test]
fn requests_are_what_the_arguments_say() {
    // The backend answers with the head it got, so that its length tells.
    let backend = Backend::start();
    let folder = Folder::new();
    let plain = folder.run(&short(&url(backend.address, "/"), &["--json"]));
    let value: serde_json::Value = serde_json::from_str(&plain.out).unwrap();
    let sent = |value: &serde_json::Value| {
        value["bytes"]["sent"].as_f64().unwrap() / value["requests"]["answered"].as_f64().unwrap()
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", backend.address).len() as f64;
    assert!((sent(&value) / request - 1.0).abs() < 0.05, "{} instead of {request}", sent(&value));
    let more = ["--json", "-H", "Accept: text/html", "-H", "Host: example.com", "-m", "DELETE", "--no-keep-alive"];
    let ran = folder.run(&short(&url(backend.address, "/a?b"), &more));
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let request =
        "DELETE /a?b HTTP/1.1\r\nHost: example.com\r\nAccept: text/html\r\nConnection: close\r\n\r\n".len() as f64;
    assert!((sent(&value) / request - 1.0).abs() < 0.05, "{} instead of {request}", sent(&value));
    assert!(value["connects"].as_u64() >= value["requests"]["answered"].as_u64().map(|count| count - 8), "{value}");
}

#[test]
fn uploads_arrive_and_bad_answers_are_counted_by_class() {
    both(|io| {
        let folder = Folder::with("routes:\n  POST /: OK\n  /no: NOT_FOUND\n");
        let gate = Gate::start(&folder, io, &[]);
        let ran = folder.run(&short(&url(gate.address(), "/"), &["--body-size", "100KiB", "--json", "--io", io]));
        assert_eq!(ran.code, 0, "{io}: {ran:?}");
        let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let (sent, answered) = (value["bytes"]["sent"].as_u64(), value["requests"]["answered"].as_u64());
        assert!(sent.unwrap() / answered.unwrap() >= 90 << 10, "{io}: {value}");
        let ran = folder.run(&short(&url(gate.address(), "/no"), &["--body", "hello", "--io", io]));
        assert_eq!(ran.code, 1, "{io}: {ran:?}");
        assert!(ran.out.contains(" status 4xx\n"), "{io}: {}", ran.out);
    });
}

#[test]
fn a_rate_that_is_not_held_is_an_exit_code_of_1() {
    let folder = Folder::new();
    let gate = Gate::start(&folder, "epoll", &["-r", "/: OK"]);
    let ran = folder.run(&short(&url(gate.address(), "/"), &["--rate", "50M"]));
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("NOT HELD: 50,000,000/s were due"), "{}", ran.out);
}

#[test]
fn what_cannot_begin_is_said_and_exits_with_3() {
    let folder = Folder::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}/");
    for (arguments, said) in [
        (&[&nobody[..]][..], format!("nobody answers on 127.0.0.1:{port}")),
        (&[&nobody, "--cores", "1000"], "core 1000 is not there".to_owned()),
        (&[&nobody, "--body", "@nothing"], "nothing: ".to_owned()),
        (&["http://name.invalid/"], "the name `name.invalid` is not found".to_owned()),
    ] {
        let ran = folder.run(&[&["bench"], arguments].concat());
        assert_eq!(ran.code, 3, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(&said) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn what_is_misspelt_exits_with_2_and_says_what_would_be_right() {
    let folder = Folder::new();
    for (arguments, said) in [
        (&["ftp://127.0.0.1/"][..], "http:// and https:// are spoken"),
        (&["https://127.0.0.1/", "--tls", "1.1"], "1.2 and 1.3"),
        (&["http://127.0.0.1/", "--rate", "fast"], "20k"),
        (&["http://127.0.0.1/", "-d", "0s"], "no time"),
        (&["http://127.0.0.1/", "-d", "ten"], "1m30s"),
        (&["http://127.0.0.1/", "--body-size", "1M"], "1MiB"),
        (&["http://127.0.0.1/", "-H", "nonsense"], "write `Name: value`"),
        (&["http://127.0.0.1/", "-H", "A: b\r\nC: d"], "write `Name: value`"),
        (&["http://127.0.0.1/", "-H", "Connection: close"], "--no-keep-alive"),
        (&["http://127.0.0.1/", "-m", "GET /"], "no method"),
        (&["http://127.0.0.1/", "-c", "0"], "0"),
    ] {
        let ran = folder.run(&[&["bench"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn an_interrupt_ends_early_and_prints_what_was_counted() {
    both(|io| {
        let folder = Folder::new();
        let backend = Backend::start();
        let url = url(backend.address, "/");
        let mut command = folder.command(&["bench", &url, "-c", "2", "-d", "600s", "--warm-up", "0s", "--io", io]);
        let began = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It is well under way.
        backend.answered(100);
        let killed = std::process::Command::new("sh").args(["-c", "kill -INT $0", &child.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let (mut out, mut err) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let ran = Ran { code: child.wait().unwrap().code().unwrap_or(-1), out, err };
        assert!(began.elapsed() < Duration::from_secs(300));
        assert_eq!(ran.code, 0, "{io}: {ran:?}");
        assert!(ran.out.contains(", ended early on 1 thread") && ran.out.contains("p99.99"), "{io}: {ran:?}");
    });
}

#[test]
fn every_core_asks_its_part() {
    let folder = Folder::new();
    let gate = Gate::start(&folder, "epoll", &["-r", "/: OK"]);
    let ran = folder.run(&short(&url(gate.address(), "/"), &["--cores", "all", "--json"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let cores = value["cores"].as_array().unwrap().len() as u64;
    assert_eq!(value["threads"], cores.min(4), "{value}");
    assert!(value["requests"]["answered"].as_u64().unwrap() > 0);
}
