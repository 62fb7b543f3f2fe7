//! How an exchange with a server behind ends: clients who leave, time that runs out, answers that come early.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Served};
use crate::harness::{Gate, PATIENCE, both, until};

/// Tells how the gate ended the connection.
fn record_end(served: &mut Served) {
    let (bytes, clean) = served.rest();
    served.record(format!("{} after {} bytes", if clean { "ended" } else { "reset" }, bytes.len()));
}

/// Waits for a counter that another thread counts.
pub(crate) fn soon(counted: impl Fn() -> u64, expected: u64) -> bool {
    until(|| counted() == expected)
}

#[test]
fn a_client_that_leaves_is_not_waited_for() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            record_end(served);
        });
        let gate = Gate::start(io, &backend.config());
        for request in
            ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"]
        {
            let mut client = gate.client();
            client.send(request.as_bytes());
            backend.request();
            drop(client);
            assert_eq!(backend.request(), "reset after 0 bytes", "{io:?}: {request}");
        }
        assert!(soon(|| gate.cells.clients_gone.get(), 2), "{io:?}");
        assert_eq!(gate.cells.upstream_failures.get(), 0, "{io:?}: it is not the server's fault");
        assert!(soon(|| gate.cells.connections_closed.get(), 2), "{io:?}");
    });
}

#[test]
fn a_client_that_ends_its_half_gets_the_answers_that_were_ready() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            record_end(served);
        });
        let rules = backend.config().replace("{/:", "\n  /up:").replace("\"}", "\"");
        let gate = Gate::start(io, &format!("{rules}  /ok: OK fine\n"));
        let mut client = gate.client();
        client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /up HTTP/1.1\r\nHost: a\r\n\r\n");
        client.finish();
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("fine"), "{io:?}: {answer}");
    });
}

#[test]
fn a_client_that_leaves_with_more_requests_under_way_is_not_waited_for() {
    const SECOND: &str = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 204 No Content\r\n\r\n");
            served.request();
            record_end(served);
        });
        let gate = Gate::start(io, &backend.config());
        // Behind the first comes the second, with it or later, or a part of it, or many.
        for (with, later) in [(SECOND, ""), ("", SECOND), ("", "GET /2"), (&*SECOND.repeat(20), SECOND)] {
            let mut client = gate.client();
            client.send(b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n");
            client.head();
            backend.request();
            client.send(format!("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n{with}").as_bytes());
            assert!(backend.request().starts_with("GET /1 "), "{io:?}: {with}, {later}");
            client.send(later.as_bytes());
            std::thread::sleep(Duration::from_millis(10));
            drop(client);
            assert_eq!(backend.request(), "reset after 0 bytes", "{io:?}: {with}, {later}");
        }
        assert!(soon(|| gate.cells.clients_gone.get(), 4), "{io:?}");
        assert!(soon(|| gate.cells.connections_closed.get(), 4), "{io:?}");
        assert!(backend.is_quiet(), "{io:?}: nothing is asked for who left");
    });
}

#[test]
fn a_client_that_leaves_a_stream_that_is_silent_ends_it() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc";
    const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    both(|io| {
        for (answer, begins) in [(STREAM, "3\r\nabc\r\n"), (LONG, "abc")] {
            let backend = Backend::start(move |served| {
                served.request();
                served.send(answer.as_bytes());
                record_end(served);
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = gate.client();
            client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
            client.head();
            assert_eq!(client.bytes(begins.len()), begins.as_bytes(), "{io:?}");
            backend.request();
            drop(client);
            assert_eq!(backend.request(), "reset after 0 bytes", "{io:?}: {answer}");
            assert!(soon(|| gate.cells.clients_gone.get(), 1), "{io:?}: {answer}");
        }
    });
}

#[test]
fn a_request_that_comes_while_another_is_waited_for_is_not_lost() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                std::thread::sleep(Duration::from_millis(50));
                let body = request.rsplit("\r\n\r\n").next().unwrap_or_default();
                served.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = gate.client();
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
        backend.request();
        // The second comes in pieces, the third behind it.
        client.send(b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Le");
        std::thread::sleep(Duration::from_millis(10));
        client.send(b"ngth: 6\r\n\r\nsec");
        assert!(client.response().ends_with("\r\n\r\n"), "{io:?}");
        client.send(b"ondGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(client.response().ends_with("\r\n\r\nsecond"), "{io:?}");
        assert!(client.rest().starts_with("HTTP/1.1 200 "), "{io:?}");
        assert_eq!(gate.cells.clients_gone.get(), 0, "{io:?}");
    });
}

#[test]
fn the_time_of_an_exchange_ends_a_stream_that_always_has_more() {
    both(|io| {
        let backend = Backend::start(|served| {
            served.request();
            served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65536], b"\r\n"].concat();
            while served.send(&chunk) {}
            served.record("cut".into());
        });
        let gate = Gate::start(io, &backend.config_with("timeout: 200ms"));
        let mut client = gate.client();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut bytes = [0; 65536];
        // Slower than the server.
        let ended = until(|| match std::io::Read::read(&mut client.stream, &mut bytes) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        });
        assert!(ended, "{io:?}: it goes on");
        assert!(soon(|| gate.cells.timeouts_upstream.get(), 1), "{io:?}");
    });
}

#[test]
fn a_server_that_agrees_early_gets_the_whole_request() {
    const ANSWERS: [&str; 4] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    both(|io| {
        // What is little may be queued still when the answer has come to its end.
        for (answer, size) in ANSWERS.iter().flat_map(|answer| [(*answer, 1_002), (*answer, 300_000)]) {
            let backend = Backend::start(move |served| {
                served.head();
                served.send(answer.as_bytes());
                let whole = served.bytes(size).is_some_and(|body| body == vec![b'x'; size]);
                served.record(format!("whole: {whole}"));
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = gate.client();
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").as_bytes());
            client.send(&[b'x'; 1000]);
            assert!(client.head().starts_with("HTTP/1.1 20"), "{io:?}: {answer}");
            client.send(&vec![b'x'; size - 1000]);
            assert_eq!(backend.request(), "whole: true", "{io:?}: {size}: {answer}");
            let rest = client.rest();
            assert!(answer.ends_with(&rest) && !rest.contains("[reset]"), "{io:?}: {answer}: {rest}");
        }
    });
}

#[test]
fn the_end_of_an_early_answer_does_not_wait_for_the_rest_of_the_request() {
    const ANSWERS: [&str; 2] = ["2\r\nok\r\n0\r\n\r\n", "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"];
    both(|io| {
        for answer in ANSWERS {
            let backend = Backend::start(move |served| {
                served.head();
                served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                served.send(answer.as_bytes());
                let whole = served.bytes(4).is_some_and(|body| body == b"body");
                served.record(format!("whole: {whole}"));
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = gate.client();
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
            assert!(client.head().starts_with("HTTP/1.1 200 "), "{io:?}");
            // The client sends no more before it has the whole answer.
            assert_eq!(client.bytes(answer.len()), answer.as_bytes(), "{io:?}");
            client.send(b"dy");
            assert_eq!(backend.request(), "whole: true", "{io:?}: {answer}");
            assert_eq!(client.rest(), "", "{io:?}: {answer}");
        }
    });
}

#[test]
fn a_request_behind_a_body_whose_server_broke_off_is_never_taken_for_its_rest() {
    const SIZE: usize = 8 << 20;
    const NEXT: &[u8] = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";
    both(|io| {
        // Wherever the body stands when the server breaks off: in the client's stream, in a pipe, in the server's.
        let (tell, told) = std::sync::mpsc::channel::<usize>();
        let told = std::sync::Mutex::new(told);
        let backend = Backend::start(move |served| {
            served.head();
            let left = told.lock().expect("nobody panicked").recv().expect("the test tells first");
            served.bytes(SIZE - left);
            std::thread::sleep(Duration::from_millis(10));
        });
        let config = format!("{}  /ok: OK fine\n", backend.config().replace("{/:", "\n  /:").replace("\"}", "\""));
        let gate = Gate::start(io, &config);
        let mut kept = 0;
        for left in (1..=96).map(|steps| steps * (64 << 10)) {
            tell.send(left).expect("the server lives");
            let mut client = gate.client();
            let mut stream = client.stream.try_clone().expect("a descriptor");
            let sending = std::thread::spawn(move || {
                let mut bytes = format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
                bytes.resize(bytes.len() + SIZE, b'x');
                bytes.extend_from_slice(NEXT);
                let _ = stream.write_all(&bytes);
            });
            let head = client.response();
            assert!(head.starts_with("HTTP/1.1 502 "), "{io:?}, {left} left: {head}");
            let rest = if head.contains("onnection: close") { client.rest() } else { client.response() };
            match rest.trim_end_matches("[reset]") {
                "" => {}
                answer if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("fine") => kept += 1,
                answer => panic!("{io:?}, {left} left: {answer}"),
            }
            drop(client);
            sending.join().expect("it only sends");
        }
        assert!(kept > 0, "{io:?}: a body that is known to be on its way is read to its end");
    });
}

#[test]
fn what_stands_behind_an_answer_is_nobodys_answer() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const MORE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked";
    both(|io| {
        for (method, head) in [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ("GET", "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok"),
            ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"),
            ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n"),
            ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n"),
        ] {
            let backend = Backend::start(move |served| {
                while let Some(request) = served.request() {
                    let more = format!("{head}{MORE}");
                    served.send(if request.contains(" /bad ") { more.as_bytes() } else { OK.as_bytes() });
                }
            });
            let gate = Gate::start(io, &backend.config());
            let ask = |method: &str, path: &str| {
                gate.once(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            };
            let first = ask(method, "/bad");
            assert!(!first.contains("hacked"), "{io:?}: {head}: {first}");
            let second = ask("GET", "/good");
            assert!(second.ends_with("ok"), "{io:?}: {head}: {second}");
            assert_eq!(backend.connections(), 2, "{io:?}: {head}");
        }
    });
}

#[test]
fn a_server_that_swallows_packets_or_stops_reading_is_504_in_time() {
    use anygate_shard::net::{self, Address, Bind};
    both(|io| {
        let bind = Bind { backlog: 1, ..Bind::default() };
        let full = net::bind(&Address::Ip(([127, 0, 0, 1], 0).into()), &bind).expect("a port is free");
        let full = std::net::TcpListener::from(full);
        let address = full.local_addr().expect("it is bound");
        let short = Duration::from_millis(100);
        let _waiting: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect_timeout(&address, short)).collect();
        let began = Instant::now();
        // Less than the times that are not meant.
        let in_time = PATIENCE / 2;
        for settings in ["connect_timeout: 200ms", "connect_timeout: 20s, timeout: 200ms"] {
            let gate = Gate::start(io, &format!("proxy: {{{settings}}}\nroutes: {{/: \"http://{address}\"}}\n"));
            let answer = gate.once(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 504 "), "{io:?}: {settings}: {answer}");
            let cells = &gate.cells;
            assert_eq!(cells.timeouts_upstream_connect.get() + cells.timeouts_upstream.get(), 1, "{io:?}: {settings}");
        }
        let gate = Gate::start(io, &format!("proxy: {{connect_timeout: 20s}}\nroutes: {{/: \"http://{address}\"}}\n"));
        let mut client = gate.client();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        std::thread::sleep(Duration::from_millis(20));
        drop(client);
        assert!(soon(|| gate.cells.clients_gone.get(), 1), "{io:?}: not waited for while connecting");
        let deaf = Backend::start(|served| {
            served.head();
            std::thread::sleep(PATIENCE * 2);
        });
        let gate = Gate::start(io, &deaf.config_with("write_timeout: 200ms"));
        let mut client = gate.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n");
        let mut sending = client.stream.try_clone().expect("a descriptor");
        std::thread::spawn(move || Write::write_all(&mut sending, &[b'x'; 16_000_000]));
        assert!(client.head().starts_with("HTTP/1.1 504 "), "{io:?}");
        assert!(began.elapsed() < in_time, "{io:?}");
    });
}

#[test]
fn every_byte_of_a_client_is_counted_whatever_way_it_takes() {
    const SIZE: usize = 400_000;
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let body = "x".repeat(SIZE);
                if request.contains("Upgrade: tcp") {
                    served
                        .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\nearly");
                    let (bytes, _) = served.rest();
                    served.send(&bytes);
                    return;
                } else if request.contains("/chunked") {
                    served.send(format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SIZE:x}\r\n{body}\r\n0\r\nX-T: 1\r\n\r\n").as_bytes());
                } else {
                    served.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{body}").as_bytes());
                }
            }
        });
        let file = std::env::temp_dir().join(format!("anygate-counted-{}-{io:?}", std::process::id()));
        std::fs::write(&file, vec![b'f'; SIZE]).expect("a file");
        let config = format!(
            "routes: {{/fixed: OK hello, /echo: '*', /file: \"{}\", /: \"http://{}\"}}\n",
            file.display(),
            backend.address
        );
        let gate = Gate::start(io, &config);
        let upload = format!("Content-Length: {SIZE}\r\nConnection: close\r\n\r\n{}", "u".repeat(SIZE));
        let (mut sent, mut got) = (0, 0);
        for (head, rest) in [
            ("GET /fixed", "Connection: close\r\n\r\n"),
            ("GET /none/../fixed", "\r\nGET /fixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            ("GET /file", "Connection: close\r\n\r\n"),
            ("GET /plain", "Connection: close\r\n\r\n"),
            ("GET /chunked", "Connection: close\r\n\r\n"),
            ("POST /plain", &*upload),
            ("POST /echo", &*upload),
            ("POST /up", "Connection: upgrade\r\nUpgrade: tcp\r\n\r\nearly and late"),
            ("GET /bad", "\r\nnonsense\r\n\r\n"),
        ] {
            let mut client = gate.client();
            let request = format!("{head} HTTP/1.1\r\nHost: a\r\n{rest}");
            client.send(request.as_bytes());
            if rest.contains("tcp") {
                got += client.head().len() as u64;
                client.finish();
            }
            sent += request.len() as u64;
            got += client.rest().len() as u64;
            assert!(
                soon(|| gate.cells.bytes_in.get(), sent),
                "{io:?}: {head}: {} of {sent}",
                gate.cells.bytes_in.get()
            );
            assert!(
                soon(|| gate.cells.bytes_out.get(), got),
                "{io:?}: {head}: {} of {got}",
                gate.cells.bytes_out.get()
            );
        }
        std::fs::remove_file(&file).expect("it is there");
    });
}
