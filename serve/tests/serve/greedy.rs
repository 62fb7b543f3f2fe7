//! Slow and greedy clients: every limit has a default, an answer, a counter and a line for the log, and holds.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anygate_core::config::{LogLevel, schema};
use anygate_core::metrics::ShardCells;
use anygate_serve::observe::limit::Limit;
use serde_json::Value;

use crate::backend::Backend;
use crate::harness::{Client, Gate, PATIENCE, both, until};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
/// Milliseconds that a limit of some hundred may take to be noticed on a busy machine; far fewer than a trickle lasts.
const IN_TIME: u128 = PATIENCE.as_millis() / 2;
const ASK: &[u8] = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";

/// A row of the documentation's table of limits.
struct Row {
    key: String,
    default: String,
    answer: String,
    counter: String,
    level: String,
    line: String,
}

fn table() -> Vec<Row> {
    let docs = std::fs::read_to_string(DOCS).expect("the documentation is in the repository");
    let section = docs.split("\n### Limits\n").nth(1).expect("it has the section").split("\n##").next();
    let rows = section.expect("text").lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned());
        let mut next = || cells.next().unwrap_or_else(|| panic!("a cell is missing: {line}"));
        Row { key: next(), default: next(), answer: next(), counter: next(), level: next(), line: next() }
    })
    .collect()
}

/// What the documentation says that a client gets at the limit of this key.
fn answer(key: &str) -> String {
    let row = table().into_iter().find(|row| row.key == key);
    row.unwrap_or_else(|| panic!("no row for {key}")).answer
}

/// Checks that a limit was reached so many times, that the control thread was told, and that no other counter of a limit moved.
pub(crate) fn reached(gate: &Gate, limit: Limit, times: u64) {
    let seen = gate.cells.snapshot();
    for other in Limit::ALL {
        let expected = if other == limit { times } else { 0 };
        assert_eq!(other.count(&seen), expected, "{other:?}");
    }
    // Once a second at most, and this may take longer.
    let told = gate.reached();
    assert!(told.iter().all(|one| *one == limit) && (1..=times).contains(&(told.len() as u64)), "{limit:?}: {told:?}");
}

/// Starts a request and sends the rest of it a byte at a time until the gate has had enough: what it said, and after how
/// long.
fn trickle(client: &mut Client, begin: &[u8], drip: &[u8], every: Duration) -> (String, Duration) {
    let begun = Instant::now();
    client.send(begin);
    client.stream.set_read_timeout(Some(every)).expect("a socket option");
    let mut drip = drip.iter().cycle();
    let mut answer = Vec::new();
    while begun.elapsed() < PATIENCE {
        let mut bytes = [0; 4096];
        match client.stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&bytes[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                answer.extend_from_slice(b"[reset]");
                break;
            }
            // Nothing yet: another byte. An answer ends the dripping.
            Err(_) if answer.is_empty() => {
                let _ = client.stream.write_all(&[*drip.next().expect("a cycle")]);
            }
            Err(_) => {}
        }
    }
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

#[test]
fn the_documentations_table_of_limits_says_what_holds() {
    let schema = schema();
    let counters = ShardCells::new().snapshot().entries();
    let rows = table();
    let mut told: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let mut exist: Vec<&str> = Limit::ALL.iter().flat_map(|limit| limit.keys()).copied().collect();
    told.sort_unstable();
    exist.sort_unstable();
    assert_eq!(told, exist, "a row for each key, and no other");
    for Row { key, default, answer, counter, level, line } in rows {
        let limit = Limit::ALL.into_iter().find(|limit| limit.keys().contains(&key.as_str())).expect("it is one");
        let section = match limit.section() {
            "tls" => "Tls",
            "server.h2" => "Http2",
            _ => "Server",
        };
        let text = match &schema["$defs"][section]["properties"][&key]["default"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(default, text, "{key}");
        assert_eq!(counter, limit.metric(), "{key}");
        assert!(counters.iter().any(|(name, _)| *name == counter), "{key}: {counter}");
        assert_eq!(line, limit.message(), "{key}");
        let word = match limit.level() {
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            _ => "debug",
        };
        assert_eq!(level, word, "{key}");
        let words = ["408", "413", "414", "429", "431", "closed", "cut", "last", "waits", "refused", "GOAWAY"];
        assert!(words.contains(&answer.as_str()), "{key}: {answer}");
    }
}

#[test]
fn a_head_that_trickles_in_has_its_time_once_and_not_for_every_byte() {
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 300ms}\nroutes: {/ok: OK}\n");
        let heads: [(&[u8], &[u8]); 4] = [
            (b"G", b"x"),
            (b"GET /ok HTTP/1.1\r\nHost: a\r\nX: ", b"x"),
            // A whole line each time.
            (b"GET /ok HTTP/1.1\r\nHost: a\r\n", b"X:\r\n"),
            (b"\r", b"\n"),
        ];
        for (count, (begin, drip)) in heads.into_iter().take(3).enumerate() {
            let (said, after) = trickle(&mut gate.client(), begin, drip, Duration::from_millis(10));
            assert!(said.starts_with(&format!("HTTP/1.1 {} ", answer("header_timeout"))), "{io:?} {said}");
            assert!(!said.ends_with("[reset]"), "{io:?}");
            assert!((250..IN_TIME).contains(&after.as_millis()), "{io:?} {after:?}");
            assert_eq!(gate.cells.timeouts_header.get(), count as u64 + 1, "{io:?}");
        }
        // Empty lines before a request are few.
        let (said, after) = trickle(&mut gate.client(), heads[3].0, heads[3].1, Duration::from_millis(10));
        assert!(said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.1 408 "), "{io:?} {said}");
        assert!(after.as_millis() < IN_TIME, "{io:?} {after:?}");
    });
}

#[test]
fn who_is_too_slow_is_counted_and_told_of() {
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 50ms}\nroutes: {/ok: OK}\n");
        let mut clients: Vec<Client> = (0..20).map(|_| gate.client()).collect();
        clients.iter_mut().for_each(|client| client.send(b"GET /"));
        for client in &mut clients {
            assert!(client.rest().starts_with("HTTP/1.1 408 "), "{io:?}");
        }
        reached(&gate, Limit::Head, 20);
    });
}

#[test]
fn a_connection_that_sends_nothing_is_closed_without_a_word() {
    both(|io| {
        let gate = Gate::start(io, "server: {idle_timeout: 100ms}\nroutes: {/ok: OK}\n");
        assert_eq!(gate.client().rest(), "", "{io:?}");
        assert_eq!(answer("idle_timeout"), "closed");
        reached(&gate, Limit::Idle, 1);
    });
}

#[test]
fn a_body_that_stops_gets_408_wherever_it_stops_and_framing_buys_no_time() {
    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";
    both(|io| {
        // The server behind takes everything and never answers.
        let behind = Backend::start(|served| drop(served.rest()));
        let config = format!(
            "server: {{read_timeout: 200ms, min_body_rate: 0}}\nroutes: {{/: \"http://{}\", /echo: \"*\"}}\n",
            behind.address
        );
        for path in ["/", "/echo"] {
            let gate = Gate::start(io, &config);
            let head = HEAD.replacen(" / ", &format!(" {path} "), 1);
            let bodies: [(&str, &[u8]); 5] = [
                ("Content-Length: 5\r\n\r\nhe", b""),
                ("Content-Length: 1000000\r\n\r\nhe", b""),
                ("Transfer-Encoding: chunked\r\n\r\n2\r\nhe", b""),
                // What is no content is no progress.
                ("Transfer-Encoding: chunked\r\n\r\n5;", b"x"),
                ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x"),
            ];
            for (body, drip) in bodies {
                let mut client = gate.client();
                let begin = format!("{head}{body}");
                let (said, after) = match drip {
                    b"" => {
                        let begun = Instant::now();
                        client.send(begin.as_bytes());
                        (client.rest(), begun.elapsed())
                    }
                    drip => trickle(&mut client, begin.as_bytes(), drip, Duration::from_millis(10)),
                };
                let expected = format!("HTTP/1.1 {} ", answer("read_timeout"));
                assert!(said.starts_with(&expected), "{io:?} {path} {body:?}: {said}");
                assert!((150..IN_TIME).contains(&after.as_millis()), "{io:?} {path} {body:?}: {after:?}");
            }
            reached(&gate, Limit::Read, 5);
        }
    });
}

#[test]
fn a_head_over_a_limit_gets_its_own_status_and_counter() {
    both(|io| {
        let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "t".repeat(length - 1));
        let fields = |count: usize| format!("GET /ok HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        let sized = |length: usize| {
            let frame = "GET /ok HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - frame))
        };
        let kinds: [(&str, Limit, String, String); 3] = [
            ("max_uri_size", Limit::Target, target(8 << 10), target((8 << 10) + 1)),
            ("max_headers", Limit::HeadSize, fields(100), fields(101)),
            ("max_header_size", Limit::HeadSize, sized(32 << 10), sized((32 << 10) + 1)),
        ];
        for (key, limit, good, bad) in kinds {
            let gate = Gate::start(io, "routes: {/: OK}\n");
            let mut client = gate.client();
            client.send(good.as_bytes());
            assert!(client.response().starts_with("HTTP/1.1 200 "), "{io:?} {key}: at the limit");
            client.send(bad.as_bytes());
            let said = client.rest();
            assert!(said.starts_with(&format!("HTTP/1.1 {} ", answer(key))), "{io:?} {key}: {said}");
            assert!(!said.ends_with("[reset]"), "{io:?} {key}");
            reached(&gate, limit, 1);
        }
    });
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_comes_or_when_it_gets_there() {
    both(|io| {
        let behind = Backend::start(|served| {
            let (bytes, _) = served.rest();
            served.record(bytes.ends_with(b"0\r\n\r\n").to_string());
        });
        let config = format!(
            "server: {{max_body_size: 1KiB}}\nroutes: {{/: \"http://{}\", /echo: \"*\", /ok: OK}}\n",
            behind.address
        );
        for path in ["/", "/echo"] {
            let gate = Gate::start(io, &config);
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
            let ask = |rest: &str| format!("{head}{rest}").into_bytes();
            // Not a byte is asked for.
            let said = gate.once(&ask("Content-Length: 1025\r\nExpect: 100-continue\r\n\r\n"));
            assert!(said.starts_with(&format!("HTTP/1.1 {} ", answer("max_body_size"))), "{io:?} {path}: {said}");
            // Nor is one waited for.
            let said = gate.once(&ask("Content-Length: 99999999999\r\n\r\n"));
            assert!(said.starts_with("HTTP/1.1 413 "), "{io:?} {path}: {said}");
            if path == "/" {
                assert_eq!(behind.connections(), 0, "{io:?}: nothing of it is sent on");
            }
            let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
            let said = gate.once(&ask(&format!("Transfer-Encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n0\r\n\r\n")));
            assert!(said.starts_with("HTTP/1.1 413 "), "{io:?} {path}: {said}");
            if path == "/" {
                assert_eq!(behind.request(), "false", "{io:?}: a body that was cut short never looks whole");
            }
            reached(&gate, Limit::Body, 3);
        }
    });
}

#[test]
fn the_last_request_of_a_connection_says_so() {
    both(|io| {
        let behind = Backend::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        let config = format!(
            "server: {{max_requests_per_connection: 3}}\nroutes: {{/: \"http://{}\", /echo: \"*\", /ok: OK}}\n",
            behind.address
        );
        for path in ["/", "/echo", "/ok"] {
            let gate = Gate::start(io, &config);
            let mut client = gate.client();
            for _ in 0..2 {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
                assert!(!client.response().contains("Connection: close"), "{io:?} {path}");
            }
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let said = client.rest();
            assert!(
                said.starts_with("HTTP/1.1 200 ") && said.contains("Connection: close\r\n"),
                "{io:?} {path}: {said}"
            );
            assert_eq!(answer("max_requests_per_connection"), "last");
            reached(&gate, Limit::Requests, 1);
        }
    });
}

#[test]
fn a_flood_of_connections_from_one_address_costs_those_it_has_nothing() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_connections_per_ip: 1}\nroutes: {/ok: OK}\n");
        let mut good = gate.client();
        good.send(ASK);
        good.response();
        // They neither speak nor close.
        let mut flood: Vec<TcpStream> =
            (0..500).map(|_| TcpStream::connect(gate.address).expect("the backlog has room")).collect();
        let begun = Instant::now();
        for _ in 0..100 {
            good.send(ASK);
            assert!(good.response().starts_with("HTTP/1.1 200 "), "{io:?}");
        }
        assert!(begun.elapsed().as_millis() < IN_TIME, "{io:?}");
        for refused in &mut flood {
            refused.set_read_timeout(Some(PATIENCE)).expect("a socket option");
            let mut said = String::new();
            refused.read_to_string(&mut said).expect("no reset");
            assert!(said.starts_with(&format!("HTTP/1.1 {} ", answer("max_connections_per_ip"))), "{io:?}: {said}");
        }
        assert_eq!(gate.cells.connections_refused.get(), 500, "{io:?}");
        assert_eq!(gate.cells.snapshot().connections_active(), 1, "{io:?}");
        // Their sockets are given back though they never close.
        assert!(until(|| gate.counters.sockets.get() < 10), "{io:?}: {} sockets", gate.counters.sockets.get());
    });
}

#[test]
fn clients_that_wait_for_room_are_counted_and_told_of() {
    both(|io| {
        let gate = Gate::start(io, "server: {max_connections: 1}\nroutes: {/ok: OK}\n");
        let first = gate.client();
        let mut second = gate.client();
        second.send(ASK);
        assert!(until(|| gate.cells.connections_full.get() == 1), "{io:?}: it is seen");
        assert!(second.silent_for(Duration::from_millis(100)), "{io:?}");
        assert_eq!(answer("max_connections"), "waits");
        reached(&gate, Limit::Connections, 1);
        drop(first);
        assert!(second.response().starts_with("HTTP/1.1 200 "), "{io:?}");
    });
}

#[test]
fn hundreds_of_clients_with_a_byte_at_a_time_hold_nobody_up_and_hold_no_buffer() {
    const SLOW: usize = 400;
    both(|io| {
        let gate = Gate::start(io, "server: {header_timeout: 2s, read_timeout: 2s}\nroutes: {/ok: OK, /echo: \"*\"}\n");
        let mut good = gate.client();
        let mut slow: Vec<Client> = (0..SLOW).map(|_| gate.client()).collect();
        let begins: [&[u8]; 2] =
            [b"GET /ok HTTP/1.1\r\n", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"];
        for (at, client) in slow.iter_mut().enumerate() {
            client.send(begins[at % 2]);
        }
        let mut waited = Vec::new();
        for round in 0..5 {
            for client in &mut slow {
                // On a machine that is busy its time may be over.
                let _ = client.stream.write_all(b"x");
            }
            for _ in 0..20 {
                let begun = Instant::now();
                good.send(ASK);
                assert!(good.response().starts_with("HTTP/1.1 200 "), "{io:?}");
                waited.push(begun.elapsed());
            }
            // io_uring has 128 buffers of a size in the kernel's hands; nobody slow has one.
            let buffers = gate.counters.buffers.get();
            assert!(buffers < SLOW as u64 / 8, "{io:?} {round}: {buffers} buffers for {SLOW} clients");
        }
        // A busy machine may make some of them wait, but not most.
        waited.sort();
        assert!(waited[waited.len() / 2] < Duration::from_millis(500), "{io:?}: {waited:?}");
        for client in &mut slow {
            assert!(client.rest().starts_with("HTTP/1.1 408 "), "{io:?}");
        }
        assert_eq!(gate.cells.timeouts_header.get(), SLOW as u64 / 2, "{io:?}");
        assert_eq!(gate.cells.timeouts_read.get(), SLOW as u64 / 2, "{io:?}");
    });
}

#[test]
fn a_client_that_says_its_end_gets_its_answers() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK, /echo: \"*\"}\n");
        let mut client = gate.client();
        client.send(ASK);
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        client.send(ASK);
        client.finish();
        let said = client.rest();
        assert_eq!(said.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{io:?}: {said}");
        assert!(gate.emptied(), "{io:?}");
        // In the middle of a head there is nobody to be told.
        let mut client = gate.client();
        client.send(b"GET /ok HT");
        client.finish();
        assert_eq!(client.rest(), "", "{io:?}");
        assert!(gate.emptied(), "{io:?}");
    });
}
