//! What a request without content meets on a connection that is kept: the short way through a proxy, and where it ends.

use std::time::Duration;

use anygate_serve::control::Order;
use anygate_shard::Io;

use crate::backend::Backend;
use crate::exchange::soon;
use crate::harness::{Client, Gate, PATIENCE, both, until};

const OK: &str = "HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok";

/// Asks once more on a client's connection, and returns what came.
fn ask_again(client: &mut Client, path: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    client.response()
}

#[test]
fn a_kept_connection_that_closes_in_answer_costs_the_client_nothing() {
    both(|io| {
        // Each connection serves one request, and closes when it has read the second.
        let backend = Backend::start(|served| {
            served.request();
            served.send(OK.as_bytes());
            served.request();
        });
        let gate = Gate::start(io, &backend.config_with("retries: 0"));
        let mut client = gate.client();
        for at in 0..4 {
            assert!(ask_again(&mut client, &format!("/{at}")).ends_with("ok"), "{io:?}: {at}");
        }
        assert_eq!(gate.cells.upstream_retries.get(), 3, "{io:?}: all but the first met a closing one");
        assert_eq!(gate.cells.upstream_connects.get(), 4, "{io:?}");
        assert_eq!(gate.cells.requests.get(), 4, "{io:?}: each is counted once");
    });
}

#[test]
fn what_a_kept_connection_answers_comes_back_whatever_its_form() {
    const FORMS: &[(&str, &str)] = &[
        ("/whole", OK),
        ("/none", "HTTP/1.1 204 No Content\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\n\r\n"),
        ("/early", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("/chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("/last", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
        ("/whole", OK),
        ("/bad", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        ("/whole", OK),
        ("/more", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n"),
        ("/whole", OK),
    ];
    both(|io| {
        for pieces in [usize::MAX, 7] {
            let backend = Backend::start(move |served| {
                while let Some(request) = served.request() {
                    let form = FORMS.iter().find(|(path, _)| request.split(' ').nth(1) == Some(path));
                    for piece in form.map_or("", |(_, answer)| answer).as_bytes().chunks(pieces) {
                        served.send(piece);
                        if pieces < usize::MAX {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                }
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = gate.client();
            // What comes late after an answer cannot be told from the next one.
            for (path, _) in FORMS.iter().filter(|(path, _)| pieces == usize::MAX || *path != "/more") {
                let mut answer = ask_again(&mut client, path);
                if *path == "/early" {
                    assert!(
                        answer.starts_with("HTTP/1.1 103 ") && answer.contains("Link: </a>\r\n"),
                        "{io:?}: {answer}"
                    );
                    answer = client.response();
                }
                match *path {
                    "/chunks" => {
                        let mut chunks = Vec::new();
                        while !chunks.ends_with(b"0\r\n\r\n") {
                            chunks.extend(client.bytes(1));
                        }
                        assert!(answer.contains("\r\nTransfer-Encoding: chunked\r\n"), "{io:?}: {answer}");
                    }
                    "/none" => assert!(answer.starts_with("HTTP/1.1 204 "), "{io:?}: {answer}"),
                    "/bad" => assert!(answer.starts_with("HTTP/1.1 502 "), "{io:?}: {answer}"),
                    _ => assert!(
                        answer.starts_with("HTTP/1.1 200 ") && answer.contains("ok"),
                        "{io:?}: {path}: {answer}"
                    ),
                }
            }
        }
    });
}

#[test]
fn a_kept_connection_that_says_nothing_is_504_in_time() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(OK.as_bytes());
            served.request();
            std::thread::sleep(PATIENCE * 2);
        });
        let gate = Gate::start(io, &backend.config_with("first_byte_timeout: 200ms"));
        let mut client = gate.client();
        // A machine that is busy may be too slow for that as well.
        assert!(until(|| ask_again(&mut client, "/").ends_with("ok")), "{io:?}");
        let late = gate.cells.timeouts_upstream_first_byte.get();
        let answer = ask_again(&mut client, "/");
        assert!(answer.starts_with("HTTP/1.1 504 "), "{io:?}: {answer}");
        assert_eq!(gate.cells.timeouts_upstream_first_byte.get(), late + 1, "{io:?}");
    });
}

#[test]
fn a_client_that_leaves_takes_the_request_on_a_kept_connection_along() {
    both(|io| {
        let (left, hear) = std::sync::mpsc::channel();
        let left = std::sync::Mutex::new(left);
        let backend = Backend::start(move |served| {
            served.request();
            served.send(OK.as_bytes());
            served.request();
            // Not answered: the gate gives it up when its client does.
            let _ = left.lock().map(|left| left.send(served.rest()));
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        assert!(ask_again(&mut client, "/").ends_with("ok"), "{io:?}");
        client.send(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(backend.request().starts_with("GET / "), "{io:?}");
        assert!(backend.request().starts_with("GET /2 "), "{io:?}");
        drop(client);
        assert_eq!(hear.recv_timeout(PATIENCE), Ok((vec![], false)), "{io:?}: reset");
        assert!(soon(|| gate.cells.clients_gone.get(), 1), "{io:?}");
    });
}

#[test]
fn servers_take_turns_on_kept_connections_too_whatever_they_answer() {
    both(|io| {
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
        for answer in [OK.to_owned(), long] {
            let start = |answer: String| {
                Backend::start(move |served| {
                    while served.request().is_some() {
                        served.send(answer.as_bytes());
                    }
                })
            };
            let (one, two) = (start(answer.clone()), start(answer));
            let gate = Gate::start(io, &format!("routes: {{/: \"http://{} http://{}\"}}\n", one.address, two.address));
            let mut client = gate.client();
            for _ in 0..10 {
                assert!(ask_again(&mut client, "/").starts_with("HTTP/1.1 200 "), "{io:?}");
            }
            let count = |backend: &Backend| std::iter::from_fn(|| (!backend.is_quiet()).then_some(())).count();
            assert_eq!((count(&one), count(&two)), (5, 5), "{io:?}");
            assert_eq!((one.connections(), two.connections()), (1, 1), "{io:?}");
        }
    });
}

#[test]
fn an_answer_in_time_gives_a_resting_client_no_more_time() {
    both(|io| {
        let backend = Backend::answering(OK);
        let config = backend.config_with("first_byte_timeout: 30s");
        let gate = Gate::start(io, &format!("server: {{idle_timeout: 1s}}\n{config}"));
        let mut client = gate.client();
        for _ in 0..2 {
            assert!(ask_again(&mut client, "/").ends_with("ok"), "{io:?}");
        }
        let began = std::time::Instant::now();
        assert_eq!(client.rest(), "", "{io:?}");
        assert!(began.elapsed() < PATIENCE / 2, "{io:?}: {:?}", began.elapsed());
    });
}

/// A server that answers its first request at once, and each later one when it is told to.
fn hesitating(answer: &'static str) -> (Backend, std::sync::mpsc::Sender<()>) {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::start(move |served| {
        served.request();
        served.send(OK.as_bytes());
        while served.request().is_some() {
            let told = wait.lock().map(|wait| wait.recv());
            if !matches!(told, Ok(Ok(()))) || !served.send(answer.as_bytes()) {
                return;
            }
        }
    });
    (backend, go)
}

/// A client whose second request waits on a kept connection until the server is told to answer.
fn one_waits(io: Io) -> (Backend, std::sync::mpsc::Sender<()>, Gate, Client) {
    let (backend, go) = hesitating(OK);
    let gate = Gate::start(io, &backend.config());
    let mut client = gate.client();
    assert!(ask_again(&mut client, "/").ends_with("ok"), "{io:?}");
    client.send(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(backend.request().starts_with("GET / ") && backend.request().starts_with("GET /2 "), "{io:?}");
    (backend, go, gate, client)
}

#[test]
fn a_request_that_waits_on_a_kept_connection_is_the_last_of_a_drain() {
    both(|io| {
        let (_backend, go, gate, mut client) = one_waits(io);
        gate.order(Order::Drain);
        std::thread::sleep(Duration::from_millis(400));
        assert!(!gate.reported(), "{io:?}: its client is still there");
        go.send(()).expect("the server waits");
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{io:?}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{io:?}: {answer}");
        assert!(gate.drained(), "{io:?}");
        assert_eq!(gate.cells.requests.get(), 2, "{io:?}");
    });
}

#[test]
fn a_request_that_waits_on_a_kept_connection_holds_its_table_until_it_is_answered() {
    both(|io| {
        let (_backend, go, gate, mut client) = one_waits(io);
        gate.install("routes: {/: OK new}");
        let mut other = gate.client();
        assert!(ask_again(&mut other, "/").ends_with("new"), "{io:?}");
        assert!(!gate.retired(), "{io:?}: it is in use");
        go.send(()).expect("the server waits");
        assert!(client.response().ends_with("ok"), "{io:?}");
        assert!(ask_again(&mut client, "/").ends_with("new"), "{io:?}");
        assert!(until(|| gate.retired()), "{io:?}: nobody uses it");
    });
}

#[test]
fn an_answer_to_head_on_a_kept_connection_is_its_head_alone() {
    both(|io| {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Length: 2000\r\n\
            Keep-Alive: timeout=9\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n";
        let (backend, go) = hesitating(HEAD);
        let gate = Gate::start(io, &backend.config_with("retries: 0"));
        let mut client = gate.client();
        assert!(ask_again(&mut client, "/").ends_with("ok"), "{io:?}");
        for _ in 0..2 {
            client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            go.send(()).expect("the server waits");
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: 2000\r\n"), "{io:?}: {head}");
            assert!(!head.contains("Hop") && !head.contains("Keep-Alive"), "{io:?}: {head}");
        }
        assert_eq!((backend.connections(), gate.cells.upstream_reuses.get()), (1, 2), "{io:?}");
        assert!(client.silent_for(Duration::from_millis(50)), "{io:?}");
    });
}

#[test]
fn the_last_request_of_a_connection_says_so_on_the_way_by_a_kept_one_too() {
    both(|io| {
        let backend = Backend::answering(OK);
        let gate = Gate::start(io, &format!("server: {{max_requests_per_connection: 3}}\n{}", backend.config()));
        let mut client = gate.client();
        for _ in 0..2 {
            let answer = ask_again(&mut client, "/");
            assert!(!answer.to_ascii_lowercase().contains("connection: close"), "{io:?}: {answer}");
        }
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.rest();
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{io:?}: {answer}");
        assert!(answer.ends_with("ok"), "{io:?}: {answer}");
    });
}

#[test]
fn a_request_that_comes_while_another_waits_on_a_kept_connection_is_served_after_it() {
    both(|io| {
        let (backend, go) = hesitating(OK);
        let gate = Gate::start(io, &format!("routes: {{/: \"http://{}\", /own: OK own}}\n", backend.address));
        let mut client = gate.client();
        assert!(ask_again(&mut client, "/").ends_with("ok"), "{io:?}");
        let requests = ["GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /own HTTP/1.1\r\nHost: a\r\n\r\n"];
        client.send(requests[0].as_bytes());
        assert!(backend.request().starts_with("GET / ") && backend.request().starts_with("GET /2 "), "{io:?}");
        client.send(requests[1].as_bytes());
        assert!(client.silent_for(Duration::from_millis(50)), "{io:?}: answers keep their order");
        go.send(()).expect("the server waits");
        assert!(client.response().ends_with("ok"), "{io:?}");
        assert!(client.response().ends_with("own"), "{io:?}");
        assert_eq!(gate.cells.requests.get(), 3, "{io:?}");
        let first = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".len();
        let sent = first + requests.concat().len();
        assert_eq!(gate.cells.bytes_in.get(), sent as u64, "{io:?}: each byte is counted once");
        assert_eq!(backend.connections(), 1, "{io:?}");
    });
}

#[test]
fn lengths_that_contradict_each_other_are_502_on_a_kept_connection_and_its_end() {
    const TWO: [&str; 3] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    ];
    both(|io| {
        for answer in TWO {
            let (backend, go) = hesitating(answer);
            let gate = Gate::start(io, &backend.config());
            let mut client = gate.client();
            assert!(ask_again(&mut client, "/").ends_with("ok"), "{io:?}");
            go.send(()).expect("the server waits");
            let got = ask_again(&mut client, "/");
            assert!(got.starts_with("HTTP/1.1 502 "), "{io:?}: {got}");
            let mut other = gate.client();
            assert!(ask_again(&mut other, "/").ends_with("ok"), "{io:?}");
            assert_eq!(backend.connections(), 2, "{io:?}: what follows a broken answer is not trusted");
        }
    });
}
