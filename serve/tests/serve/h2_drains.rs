//! What becomes of an HTTP/2 connection's requests when its server goes, and when it is told to go elsewhere?

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

use anygate_serve::control::Order;

use crate::backend::Backend;
use crate::h2_client::{H2, frame};
use crate::harness::{Gate, both};
use crate::papers::Papers;

/// Requests that a client has under way at once.
const AT_ONCE: u32 = 12;
/// Named by the first `GOAWAY` of a drain: everything.
const EVERYTHING: u32 = 0x7fff_ffff;

/// Asks on and on, as one does that has not heard the first `GOAWAY`, until the connection ends. How many were answered, and how
/// many are to be asked elsewhere: those above what the last `GOAWAY` names.
fn busy(mut client: H2) -> JoinHandle<(usize, usize)> {
    std::thread::spawn(move || {
        let mut asked = BTreeMap::new();
        let mut stream = 1;
        let mut open = true;
        while open {
            let last = client.goaways().last().map_or(EVERYTHING, |(last, _)| *last);
            let under_way =
                asked.keys().filter(|stream| !client.answers.get(*stream).is_some_and(|one| one.ended)).count();
            if last == EVERYTHING && under_way < AT_ONCE as usize {
                let (method, path, content) = match stream % 16 {
                    1 => ("POST", "/echo", Some("content")),
                    3 => ("GET", "/up/slow", None),
                    5 => ("POST", "/up", Some("content")),
                    7 => ("GET", "/long", None),
                    9 => ("GET", "/up", None),
                    _ => ("GET", "/ok", None),
                };
                let fields = [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
                let mut all = client.head(stream, &fields, content.is_none());
                all.extend(content.map(|content| frame(0, 1, stream, content.as_bytes())).unwrap_or_default());
                asked.insert(stream, path);
                stream += 2;
                // What cannot be sent any more is above what was named last, or there is a fault.
                client.try_send(&all);
                continue;
            }
            open = client.step();
        }
        let goaways = client.goaways();
        let (last, code) = *goaways.last().expect("it was said");
        assert_eq!((goaways.len(), code), (2, 0), "{goaways:?}");
        assert_eq!(goaways[0], (EVERYTHING, 0));
        let (mut answered, mut elsewhere) = (0, 0);
        for (stream, path) in &asked {
            let answer = client.answers.remove(stream).unwrap_or_default();
            if *stream > last {
                assert_eq!((answer.status, answer.ended), (0, false), "{stream} of {last}: {path}");
                elsewhere += 1;
                continue;
            }
            let length = match *path {
                "/long" => 30_000,
                "/echo" => answer.body.len().max(1),
                _ => 2,
            };
            assert_eq!(
                (answer.status, answer.body.len(), answer.ended, answer.reset),
                (200, length, true, None),
                "{stream} of {last}: {path}"
            );
            answered += 1;
        }
        (answered, elsewhere)
    })
}

#[test]
fn a_drain_under_load_loses_no_request_that_the_last_goaway_names() {
    let backend = Backend::start(|served| {
        while let Some(request) = served.request() {
            if request.contains("/slow") {
                std::thread::sleep(Duration::from_millis(50));
            }
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup");
        }
    });
    let routes = format!(
        "routes: {{/ok: OK ok, /echo: \"*\", /long: OK {}, /up/: \"http://{}\"}}\n",
        "l".repeat(30_000),
        backend.address
    );
    both(|io| {
        let papers = Papers::new(&[&["a.test"]]);
        for secured in [false, true] {
            let yaml = if secured { papers.configuration(1, "", &routes) } else { routes.clone() };
            let gate = Gate::start(io, &yaml);
            let config = papers.client(false);
            let clients: Vec<_> = (0..4)
                .map(|_| if secured { H2::tls(&gate, &config, "a.test") } else { H2::plain(&gate) })
                .map(busy)
                .collect();
            std::thread::sleep(Duration::from_millis(200));
            gate.order(Order::Drain);
            let mut all = 0;
            for client in clients {
                let (answered, _) = client.join().expect("no request was lost");
                assert!(answered > 0, "{io:?}: {answered}");
                all += answered as u64;
            }
            assert!(gate.drained(), "{io:?}");
            let seen = gate.cells.snapshot();
            assert_eq!((seen.requests, seen.responses_2xx), (all, all), "{io:?}, TLS {secured}");
            assert_eq!((seen.clients_gone, seen.upstream_failures), (0, 0), "{io:?}, TLS {secured}");
        }
    });
}

#[test]
fn a_listener_that_redirects_sends_every_request_of_http_2_to_https() {
    const HERE: &str = "server: {listen: [{addr: \":0\", redirect: https}]}\nroutes: {/: OK served, POST /up: \"*\"}\n";
    both(|io| {
        let gate = Gate::start(io, HERE);
        let mut client = H2::plain(&gate);
        let mut stream = 1;
        for (method, path, host, content, status, location) in [
            ("GET", "/", "a.example", None, 308, Some("https://a.example/")),
            ("GET", "/a/b?c=d&e", "a.example:8080", None, 308, Some("https://a.example/a/b?c=d&e")),
            ("POST", "/up", "b.example", Some("body"), 308, Some("https://b.example/up")),
            ("BREW", "/none", "[::1]:80", None, 308, Some("https://[::1]/none")),
            ("OPTIONS", "*", "a.example", None, 308, Some("https://a.example")),
            ("HEAD", "/", "a.example", None, 308, Some("https://a.example/")),
            ("GET", "/", "user@a.example", None, 400, None),
            ("GET", "/", "", None, 400, None),
        ] {
            let fields = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)];
            let mut all = client.head(stream, &fields, content.is_none());
            all.extend(content.map(|content: &str| frame(0, 1, stream, content.as_bytes())).unwrap_or_default());
            client.send(&all);
            let answer = client.answer(stream);
            assert_eq!((answer.status, answer.get("location")), (status, location), "{io:?}: {method} {path} {host}");
            stream += 2;
        }
        let head = client.head(stream, &[(":method", "CONNECT"), (":authority", "a.example:443")], false);
        client.send(&head);
        assert_eq!(client.answer(stream).status, 405, "{io:?}");
        assert_eq!(gate.cells.snapshot().connections_active(), 1, "{io:?}: the connection goes on");
    });
}
