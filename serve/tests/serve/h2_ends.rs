//! How an HTTP/2 exchange ends: by either side, at any moment, and what the other side and the server behind hear of it.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use anygate_shard::testing::reset;

use crate::backend::Backend;
use crate::h2::{WEBSOCKET, switching};
use crate::h2_client::{DATA, H2, RST_STREAM, WINDOW_UPDATE};
use crate::harness::{Gate, both};
use crate::papers::Papers;
use crate::ruled::Folder;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;

/// Lets a client take anything.
fn open_wide(client: &mut H2) {
    client.frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
    client.gives_room = false;
}

const WIDE: &[(u16, u32)] = &[(4, 0x7fff_ffff)];

/// Opens a WebSocket on stream 1.
fn websocket(client: &mut H2) {
    let head = client.head(1, &WEBSOCKET, false);
    client.send(&head);
    client.until(|client| client.answers.get(&1).is_some_and(|answer| answer.status > 0));
    assert_eq!(client.answers[&1].status, 200);
}

#[test]
fn who_ends_its_half_behind_its_requests_gets_what_is_there_to_be_said() {
    let folder = Folder::new("h2-half");
    folder.write("large.bin", vec![b'l'; 300_000]);
    folder.write("cold.txt", "cold");
    both(|io| {
        let routes = format!(
            "routes: {{/ok: OK hello, /long: OK {}, /e: \"*\", /old: MOVED /new, /files/: {}/}}\n",
            "x".repeat(200_000),
            folder.path().display()
        );
        let papers = Papers::new(&[&["a.test"]]);
        for secured in [false, true] {
            let yaml = if secured { papers.configuration(1, "", &routes) } else { routes.clone() };
            let gate = Gate::start(io, &yaml);
            let mut client = match secured {
                false => H2::with_settings(&gate, WIDE),
                true => H2::tls_with_settings(&gate, &papers.client(false), "a.test", WIDE),
            };
            open_wide(&mut client);
            let mut all = Vec::new();
            for (stream, path) in
                [(1, "/ok"), (3, "/long"), (5, "/files/large.bin"), (7, "/files/cold.txt"), (9, "/old"), (11, "/none")]
            {
                let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
                all.extend(client.head(stream, &fields, true));
            }
            let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/e")];
            all.extend(client.head(13, &fields, false));
            all.extend(crate::h2_client::frame(DATA, 1, 13, b"content"));
            // This one never ends.
            all.extend(client.head(15, &fields, false));
            client.send(&all);
            client.finish();
            client.drain();
            let what = format!("{io:?}, TLS {secured}");
            let lengths = [(1, 200, 5), (3, 200, 200_000), (5, 200, 300_000), (7, 200, 4), (9, 301, 0), (11, 404, 14)];
            for (stream, status, length) in lengths {
                let answer = client.answers.remove(&stream).unwrap_or_default();
                assert_eq!(
                    (answer.status, answer.body.len(), answer.ended),
                    (status, length, true),
                    "{what}: {stream}"
                );
            }
            let answer = client.answers.remove(&13).unwrap_or_default();
            assert!(answer.ended && answer.text().contains("\"body\": \"content\""), "{what}: {answer:?}");
            let answer = client.answers.remove(&15).unwrap_or_default();
            assert_eq!((answer.status, answer.reset), (0, Some(CANCEL)), "{what}");
            assert!(gate.emptied(), "{what}");
        }
    });
}

#[test]
fn who_ends_its_half_while_a_server_behind_is_at_work_is_given_up() {
    both(|io| {
        let backend = Backend::start(|served| {
            if served.request().is_some() {
                let (_, clean) = served.rest();
                served.record(format!("ended {clean}"));
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        client.ask(1, "GET", "/slow", &[], true);
        backend.request();
        let begun = Instant::now();
        client.finish();
        assert!(backend.request().starts_with("ended"), "{io:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{io:?}: {:?}", begun.elapsed());
        assert!(gate.emptied(), "{io:?}");
        assert_eq!(gate.cells.clients_gone.get(), 1, "{io:?}");
    });
}

#[test]
fn a_client_that_gives_up_or_leaves_is_counted_as_one_that_is_gone() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                if request.contains("/slow") {
                    served.rest();
                    return;
                }
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
            }
        });
        let gate = Gate::start(io, &backend.config());
        // By the long way, and then by the short one, which a kept connection makes possible.
        for round in 0..2 {
            for leaves in [false, true] {
                let before = gate.cells.clients_gone.get();
                let mut client = H2::plain(&gate);
                if round == 1 {
                    assert_eq!(client.get(1, "/quick").text(), "hi", "{io:?}");
                    backend.request();
                }
                client.ask(3, "GET", "/slow", &[], true);
                backend.request();
                if !leaves {
                    client.frame(RST_STREAM, 0, 3, &CANCEL.to_be_bytes());
                    client.get(5, "/quick");
                    backend.request();
                }
                drop(client);
                assert!(gate.emptied(), "{io:?}");
                assert_eq!(gate.cells.clients_gone.get() - before, 1, "{io:?}: round {round}, leaves {leaves}");
            }
        }
    });
}

#[test]
fn a_websocket_whose_server_breaks_is_reset_and_one_whose_server_ends_is_ended() {
    both(|io| {
        for breaks in [true, false] {
            let backend = Backend::start(move |served| {
                let Some(head) = served.head() else { return };
                served.send(format!("{}\r\nhello", switching(&head)).as_bytes());
                served.bytes(4);
                if breaks {
                    reset(&served.stream);
                }
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = H2::plain(&gate);
            websocket(&mut client);
            client.until(|client| client.answers[&1].body == b"hello");
            client.data(1, b"ping", false);
            let answer = client.answer(1);
            let expected = if breaks { (false, Some(CANCEL)) } else { (true, None) };
            assert_eq!((answer.ended, answer.reset.filter(|code| *code != NO_ERROR)), expected, "{io:?}: {answer:?}");
            assert!(client.get(3, "/none").reset.is_none(), "{io:?}: the connection goes on");
        }
    });
}

#[test]
fn a_websocket_that_its_client_resets_is_broken_for_its_server_and_one_that_ends_is_ended() {
    both(|io| {
        for breaks in [true, false] {
            let backend = Backend::start(|served| {
                let Some(head) = served.head() else { return };
                served.send(format!("{}\r\nhello", switching(&head)).as_bytes());
                served.bytes(4);
                let (rest, clean) = served.rest();
                served.record(format!("{} {clean}", String::from_utf8_lossy(&rest)));
            });
            let gate = Gate::start(io, &backend.config());
            let mut client = H2::plain(&gate);
            websocket(&mut client);
            client.data(1, b"ping", false);
            client.until(|client| client.answers[&1].body == b"hello");
            match breaks {
                true => client.frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()),
                false => client.data(1, b"bye", true),
            }
            let expected = if breaks { " false" } else { "bye true" };
            assert_eq!(backend.request(), expected, "{io:?}");
            drop(client);
            assert!(gate.emptied(), "{io:?}");
        }
    });
}

#[test]
fn a_websocket_whose_client_leaves_is_broken_for_its_server() {
    both(|io| {
        let backend = Backend::start(|served| {
            let Some(head) = served.head() else { return };
            served.send(format!("{}\r\nhello", switching(&head)).as_bytes());
            served.bytes(4);
            let (rest, clean) = served.rest();
            served.record(format!("{} {clean}", String::from_utf8_lossy(&rest)));
        });
        let gate = Gate::start(io, &backend.config());
        for finishes in [true, false] {
            let mut client = H2::plain(&gate);
            websocket(&mut client);
            client.until(|client| client.answers[&1].body == b"hello");
            client.data(1, b"pinglast words", false);
            if finishes {
                client.finish();
            } else {
                drop(client);
            }
            assert_eq!(backend.request(), "last words false", "{io:?}");
            assert!(gate.emptied(), "{io:?}");
        }
    });
}

#[test]
fn what_waits_for_a_window_that_nobody_opens_any_more_is_given_up_at_once() {
    both(|io| {
        let gate = Gate::start(io, &format!("routes: {{/long: OK {}}}\n", "x".repeat(100_000)));
        for leaves in [false, true] {
            let mut client = H2::with_settings(&gate, &[(4, 10)]);
            client.gives_room = false;
            client.ask(1, "GET", "/long", &[], true);
            client.ask(3, "HEAD", "/long", &[], true);
            client.until(|client| client.answers.get(&1).is_some_and(|answer| answer.body.len() == 10));
            let begun = Instant::now();
            if leaves {
                drop(client);
            } else {
                client.finish();
                let answer = client.answer(1);
                assert_eq!((answer.body.len(), answer.reset), (10, Some(CANCEL)), "{io:?}");
                assert!(client.answer(3).ended, "{io:?}");
                client.drain();
            }
            assert!(gate.emptied(), "{io:?}");
            // Long before its time to take something is over.
            assert!(begun.elapsed() < Duration::from_secs(10), "{io:?}: {:?}", begun.elapsed());
        }
    });
}

#[test]
fn a_websockets_halves_end_one_by_one() {
    both(|io| {
        let backend = Backend::start(|served| {
            let Some(head) = served.head() else { return };
            served.send(format!("{}\r\nhello", switching(&head)).as_bytes());
            served.finish();
            let (rest, clean) = served.rest();
            served.record(format!("{} {clean}", String::from_utf8_lossy(&rest)));
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        websocket(&mut client);
        client.until(|client| client.answers[&1].ended);
        for _ in 0..3 {
            client.data(1, b"more", false);
            std::thread::sleep(Duration::from_millis(20));
        }
        client.data(1, b"end", true);
        assert_eq!(backend.request(), "moremoremoreend true", "{io:?}");
        assert_eq!(client.answers[&1].reset, None, "{io:?}");
    });
}

#[test]
fn a_tunnel_has_no_length_whatever_its_server_says() {
    both(|io| {
        let backend = Backend::start(|served| {
            let Some(head) = served.head() else { return };
            let more = "Content-Length: 3\r\nTrailer: x\r\n";
            served.send(format!("{}{more}\r\nhello", switching(&head)).as_bytes());
            served.rest();
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        websocket(&mut client);
        let names = ["content-length", "transfer-encoding", "upgrade", "connection", "trailer"];
        assert_eq!(names.map(|name| client.answers[&1].get(name)), [None; 5], "{io:?}: {:?}", client.answers[&1]);
        client.until(|client| client.answers[&1].body == b"hello");
    });
}

#[test]
fn malformed_requests_are_counted() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/ok: OK hello}\n");
        let mut client = H2::plain(&gate);
        for (stream, bad) in [(1, ("connection", "close")), (3, ("te", "gzip")), (5, (":path", "/b")), (7, ("a", "\n"))]
        {
            client.ask(stream, "GET", "/ok", &[bad], true);
            assert_eq!(client.answer(stream).reset, Some(1), "{io:?}: {bad:?}");
        }
        client.ask(9, "POST", "/ok", &[("content-length", "3")], false);
        client.data(9, b"four", true);
        client.answer(9);
        assert_eq!(client.get(11, "/ok").status, 200, "{io:?}");
        assert!(gate.cells.parse_errors.get() >= 4, "{io:?}: {}", gate.cells.parse_errors.get());
    });
}

/// How a server behind is at work when its client gives up.
const PHASES: [&str; 5] = ["before", "head", "middle", "all", "uploading"];

#[test]
fn what_a_client_gives_up_leaves_no_connection_that_is_not_clean() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(head) = served.head() {
                let phase = PHASES.into_iter().find(|phase| head.contains(&format!("/{phase} "))).unwrap_or("ok");
                served.record(phase.to_owned());
                let said: &[u8] = match phase {
                    "before" | "uploading" => b"",
                    "head" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
                    "middle" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                    "all" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                    _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                };
                served.send(said);
                if !matches!(phase, "all" | "ok") {
                    served.rest();
                    served.record("gone".to_owned());
                    return;
                }
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::with_settings(&gate, &[(4, 3)]);
        client.gives_room = false;
        let mut stream = 1;
        for _ in 0..3 {
            for phase in PHASES {
                client.ask(stream, "GET", "/ok", &[], true);
                client.until(|client| client.answers.get(&stream).is_some_and(|answer| answer.ended));
                assert_eq!(backend.request(), "ok", "{io:?}");
                let given_up = stream + 2;
                if phase == "uploading" {
                    client.ask(given_up, "POST", "/uploading", &[("content-length", "100")], false);
                    client.data(given_up, b"part", false);
                } else {
                    client.ask(given_up, "GET", &format!("/{phase}"), &[], true);
                }
                assert_eq!(backend.request(), phase, "{io:?}");
                if !matches!(phase, "before" | "uploading") {
                    client.until(|client| client.answers.get(&given_up).is_some_and(|answer| answer.status == 200));
                }
                client.frame(RST_STREAM, 0, given_up, &CANCEL.to_be_bytes());
                if phase != "all" {
                    assert_eq!(backend.request(), "gone", "{io:?}: {phase}");
                }
                client.ask(given_up + 2, "GET", "/ok", &[], true);
                client.until(|client| client.answers.get(&(given_up + 2)).is_some_and(|answer| answer.ended));
                assert_eq!(client.answers[&(given_up + 2)].text(), "ok", "{io:?}: behind {phase}");
                assert_eq!(backend.request(), "ok", "{io:?}");
                stream += 6;
            }
        }
        // All but what was given up with all of its answer there needed another connection behind.
        assert_eq!(backend.connections(), 1 + 3 * 4, "{io:?}");
        drop(client);
        assert!(gate.emptied(), "{io:?}");
        assert_eq!(gate.cells.upstream_failures.get(), 0, "{io:?}");
    });
}

#[test]
fn too_many_interim_answers_are_a_502_and_the_connection_goes_on() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let count = if request.contains("/many") { 200 } else { 20 };
                let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count);
                if !served.send(&interim) || !served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") {
                    return;
                }
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        for (stream, path, status) in [(1, "/some", 200), (3, "/many", 502), (5, "/some", 200)] {
            let answer = client.get(stream, path);
            assert_eq!(answer.status, status, "{io:?}: {path}");
            assert!(answer.interim.iter().all(|interim| *interim == 103), "{io:?}");
            assert!(answer.interim.len() >= 20 && answer.interim.len() < 200, "{io:?}: {}", answer.interim.len());
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_never_ended_well_by_any_way() {
    both(|io| {
        let backend = Backend::start(|served| {
            while let Some(request) = served.request() {
                let said: &[u8] = match request.split(' ').nth(1).unwrap_or_default() {
                    "/length" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                    "/chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                    "/last" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
                    "/trailer" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX-A: b\r\n",
                    "/head" => b"HTTP/1.1 200 OK\r\nContent-Le",
                    "/reset" => b"HTTP/1.1 200 OK\r\n\r\nhalf",
                    _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                };
                served.send(said);
                if request.contains("/reset") {
                    std::thread::sleep(Duration::from_millis(50));
                    reset(&served.stream);
                    return;
                }
                if !request.contains("/ok") {
                    let _ = served.stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        });
        let gate = Gate::start(io, &backend.config());
        let mut client = H2::plain(&gate);
        let mut stream = 1;
        for path in ["/length", "/chunks", "/last", "/trailer", "/reset", "/head"] {
            // On a connection of its own, and on one that is kept.
            for kept in [false, true] {
                if kept {
                    assert_eq!(client.get(stream, "/ok").text(), "ok", "{io:?}");
                    stream += 2;
                }
                let answer = client.get(stream, path);
                stream += 2;
                if path == "/head" {
                    assert_eq!((answer.status, answer.ended), (502, true), "{io:?}: {path}");
                } else {
                    assert_eq!(
                        (answer.status, answer.text().as_str(), answer.ended, answer.reset),
                        (200, "half", false, Some(INTERNAL_ERROR)),
                        "{io:?}: {path}, kept {kept}"
                    );
                }
            }
        }
    });
}

#[test]
fn connect_has_no_length_where_a_rule_answers_it_well() {
    both(|io| {
        for (rule, body, length) in [("OK hello", "hello", None), ("OK", "", None), ("FORBIDDEN no", "no", Some("2"))] {
            let gate = Gate::start(io, &format!("routes: {{\"CONNECT GET /\": {rule}}}\n"));
            let mut client = H2::plain(&gate);
            let head = client.head(1, &[(":method", "CONNECT"), (":authority", "a:443")], false);
            client.send(&head);
            let answer = client.answer(1);
            assert_eq!((answer.text().as_str(), answer.get("content-length")), (body, length), "{io:?}: {answer:?}");
            assert!(answer.ended, "{io:?}: {answer:?}");
            assert_eq!(client.get(3, "/").text(), body, "{io:?}: the connection goes on");
        }
    });
}
