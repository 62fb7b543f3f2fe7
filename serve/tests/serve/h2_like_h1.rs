//! Does a client of HTTP/2 get what one of HTTP/1.1 gets, by every kind of rule, and is the same counted?
//!
//! Each request is made by both protocols, twice in turn, plain and over TLS: by the long way and, where there is one, the
//! short one. Status, fields, content, trailers and interim answers are compared, what a server behind was told, and what was
//! counted.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use anygate_shard::Io;
use rustls::ClientConfig;

use crate::backend::{Backend, Served};
use crate::h2_client::H2;
use crate::harness::{Gate, both};
use crate::papers::Papers;
use crate::pipe::{Pipe, WAYS, Way};
use crate::ruled::Folder;

/// What comes behind a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    None,
    /// Of an announced length.
    Known(&'static str),
    /// Of no announced length.
    Open(&'static str),
}

/// One request.
#[derive(Debug, Clone, Copy)]
struct Ask {
    method: &'static str,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    content: Content,
}

impl Ask {
    /// The host that is asked, and the other fields.
    fn host(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        match self.fields {
            [(":authority", host), more @ ..] => (host, more),
            all => ("a.test", all),
        }
    }
}

/// What was answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    interim: Vec<u16>,
    status: u16,
    fields: Vec<(String, String)>,
    content: String,
    trailers: Vec<(String, String)>,
    cut: bool,
}

const fn ask(method: &'static str, path: &'static str) -> Ask {
    Ask { method, path, fields: &[], content: Content::None }
}

const fn with(method: &'static str, path: &'static str, fields: &'static [(&'static str, &'static str)]) -> Ask {
    Ask { method, path, fields, content: Content::None }
}

const fn sent(method: &'static str, path: &'static str, content: Content) -> Ask {
    Ask { method, path, fields: &[], content }
}

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE"];

/// One path of each rule, which all methods are tried on.
const PATHS: [&str; 27] = [
    "/fixed",
    "/empty",
    "/unchanged",
    "/reset",
    "/json",
    "/dressed",
    "/custom",
    "/named",
    "/old/7?x=1&y",
    "/docs/a/b?c",
    "/echo/a",
    "/teapot",
    "/up/length",
    "/v1/length",
    "/people/7",
    "/both/length",
    "/down",
    "/unresolved",
    "/files/ten.txt",
    "/one",
    "/app/deep/link",
    "/purged",
    "/onlyget",
    "/nowhere",
    "/small",
    "/dir",
    "/up-dressed/length",
];

const SPECIAL: &[Ask] = &[
    // Targets.
    ask("GET", "/fixed/../fixed"),
    ask("GET", "//fixed"),
    ask("GET", "/../fixed"),
    ask("GET", "/%66ixed"),
    ask("GET", "/fixed?"),
    ask("GET", "/fixed%00"),
    ask("GET", "/fixed%zz"),
    ask("GET", "/echo/%C3%A9?q=%20"),
    ask("GET", "/fixed#part"),
    ask("GET", "/fixed\u{e9}"),
    ask("GET", "/fix ed"),
    ask("GET", "/fixed\\"),
    // Hosts.
    with("GET", "/named", &[(":authority", "A.TEST")]),
    with("GET", "/named", &[(":authority", "a.test:8443")]),
    with("GET", "/named", &[(":authority", "a.test.")]),
    with("GET", "/named", &[(":authority", "b.test")]),
    with("GET", "/up/length", &[(":authority", "[::1]:80")]),
    with("GET", "/up/length", &[(":authority", "a.test:x")]),
    with("GET", "/up/length", &[(":authority", "user@a.test")]),
    with("GET", "/up/length", &[(":authority", "a.test/x")]),
    with("GET", "/up/length", &[(":authority", "a b")]),
    with("GET", "/up/length", &[(":authority", "a,b")]),
    with("GET", "/up/length", &[(":authority", "a_b.test")]),
    ask("GET", "/files/"),
    ask("GET", "/files/sub"),
    ask("GET", "/files/sub/"),
    ask("GET", "/files/.hidden"),
    ask("GET", "/files/none.txt"),
    ask("GET", "/files/..%2f..%2fetc/passwd"),
    ask("GET", "/files/large.bin"),
    ask("HEAD", "/files/large.bin"),
    ask("GET", "/files/empty.txt"),
    ask("GET", "/app/none.js"),
    with("GET", "/app/deep", &[("accept", "text/html")]),
    with("GET", "/app/deep", &[("sec-fetch-mode", "cors")]),
    ask("OPTIONS", "*"),
    // Conditions and ranges.
    with("GET", "/files/ten.txt", &[("range", "bytes=2-4")]),
    with("GET", "/files/ten.txt", &[("range", "bytes=-3")]),
    with("GET", "/files/ten.txt", &[("range", "bytes=7-")]),
    with("GET", "/files/ten.txt", &[("range", "bytes=100-")]),
    with("GET", "/files/ten.txt", &[("range", "bytes=0-1,3-4")]),
    with("GET", "/files/ten.txt", &[("range", "bytes=0-1"), ("range", "bytes=3-4")]),
    with("HEAD", "/files/ten.txt", &[("range", "bytes=2-4")]),
    with("GET", "/files/large.bin", &[("range", "bytes=99990-")]),
    with("GET", "/files/ten.txt", &[("range", "bytes=2-4"), ("if-range", "\"no\"")]),
    with("GET", "/files/ten.txt", &[("if-none-match", "*")]),
    with("HEAD", "/files/ten.txt", &[("if-none-match", "*")]),
    with("GET", "/files/ten.txt", &[("if-none-match", "\"a\", \"b\"")]),
    with("GET", "/files/ten.txt", &[("if-match", "\"a\"")]),
    with("GET", "/files/ten.txt", &[("if-modified-since", "Thu, 01 Jan 2099 00:00:00 GMT")]),
    with("GET", "/files/ten.txt", &[("if-unmodified-since", "Thu, 01 Jan 1998 00:00:00 GMT")]),
    with("GET", "/files/large.bin", &[("if-modified-since", "Thu, 01 Jan 2099 00:00:00 GMT")]),
    // What an echo says.
    with("GET", "/echo/a", &[("accept", "text/plain")]),
    with("GET", "/echo/a", &[("cookie", "a=b; c=d"), ("authorization", "Basic eDp5"), ("x-a", "1"), ("x-a", "2")]),
    // Content.
    sent("POST", "/echo/a", Content::Known("hello")),
    sent("POST", "/echo/a", Content::Open("hello")),
    sent("POST", "/echo/a", Content::Known("\u{e9}")),
    sent("PUT", "/fixed", Content::Known("hello")),
    sent("POST", "/fixed", Content::Open("hello")),
    sent("GET", "/fixed", Content::Known("hello")),
    sent("POST", "/small", Content::Known("0123456789")),
    sent("POST", "/small", Content::Known("01234567890")),
    sent("POST", "/small", Content::Open("0123456789")),
    sent("POST", "/small", Content::Open("01234567890")),
    sent("POST", "/up/length", Content::Known("hello")),
    sent("POST", "/up/length", Content::Open("hello")),
    sent("POST", "/up/length", Content::Known("")),
    sent("POST", "/up/length", Content::Open("")),
    sent("GET", "/up/length", Content::Known("hello")),
    sent("DELETE", "/up/chunked", Content::Open("hello")),
    sent("PURGE", "/up/chunked", Content::Known("hello")),
    sent("POST", "/up/refuses", Content::Known("hello")),
    sent("POST", "/nowhere", Content::Known("hello")),
    sent("POST", "/onlyget", Content::Known("hello")),
    sent("POST", "/old/7", Content::Known("hello")),
    Ask { method: "POST", path: "/up/length", fields: &[("expect", "100-continue")], content: Content::None },
    Ask { method: "POST", path: "/echo/a", fields: &[("content-type", "text/plain")], content: Content::Known("x") },
    // What servers behind answer.
    ask("GET", "/up/chunked"),
    ask("HEAD", "/up/chunked"),
    ask("GET", "/up/trailers"),
    ask("GET", "/up/announced"),
    ask("GET", "/up/until-close"),
    ask("GET", "/up/empty"),
    ask("GET", "/up/204"),
    ask("GET", "/up/204-length"),
    ask("GET", "/up/205"),
    ask("GET", "/up/304"),
    ask("GET", "/up/304-length"),
    ask("HEAD", "/up/304-length"),
    ask("GET", "/up/206"),
    ask("GET", "/up/299"),
    ask("GET", "/up/599"),
    ask("GET", "/up/999"),
    ask("GET", "/up/early"),
    ask("GET", "/up/processing"),
    ask("GET", "/up/switching"),
    ask("GET", "/up/fields"),
    ask("GET", "/up/hops"),
    ask("GET", "/up/split"),
    ask("GET", "/up/cut"),
    ask("GET", "/up/cut-chunks"),
    ask("GET", "/up/bad-chunk"),
    ask("GET", "/up/nothing"),
    ask("POST", "/up/nothing"),
    ask("GET", "/up/no-http"),
    ask("GET", "/up/two-lengths"),
    ask("GET", "/up/closing"),
    ask("GET", "/up/http10"),
    ask("GET", "/up/slow"),
    ask("GET", "/up-late/silent"),
    sent("POST", "/up-late/silent", Content::Known("hello")),
    ask("GET", "/up-stalls/stalls"),
    ask("GET", "/up-total/silent"),
    sent("POST", "/up-small/length", Content::Known("01234567890")),
    sent("POST", "/up-small/length", Content::Known("0123456789")),
    sent("POST", "/up-small/length", Content::Open("0123456789")),
    ask("GET", "/up-dressed/fields"),
    ask("GET", "/up-dressed/204"),
    ask("GET", "/up-plain/length"),
    ask("GET", "/up-told/length"),
    ask("GET", "/up-host/length"),
    // What servers behind are told.
    with(
        "GET",
        "/up/length",
        &[("x-forwarded-for", "9.9.9.9"), ("forwarded", "for=9.9.9.9"), ("x-real-ip", "9.9.9.9")],
    ),
    with(
        "GET",
        "/up-told/length",
        &[("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "ftp"), ("forwarded", "for=x")],
    ),
    with("GET", "/up/length", &[("x_forwarded_for", "9.9.9.9"), ("my_field", "1")]),
    with("GET", "/up/length", &[("via", "1.1 other")]),
    with("GET", "/up/length", &[("via", "1.1 anygate-test")]),
    with("GET", "/up/length", &[("early-data", "1")]),
    with("POST", "/up/length", &[("early-data", "1")]),
    with("GET", "/up/length", &[("te", "trailers"), ("cookie", "a=b"), ("priority", "u=1, i")]),
    with("GET", "/up/length", &[("client-cert", ":AA==:"), ("user-agent", "t"), ("accept-encoding", "gzip, br")]),
    with("GET", "/up/length", &[("range", "bytes=1-"), ("if-none-match", "\"a\""), ("authorization", "Basic eDp5")]),
    with("OPTIONS", "/up/length", &[("max-forwards", "0")]),
    with("OPTIONS", "/up/length", &[("max-forwards", "5")]),
    with("TRACE", "/traced", &[("max-forwards", "0"), ("cookie", "a=b"), ("x-a", "1")]),
    with("TRACE", "/traced", &[("max-forwards", "3")]),
];

/// A server behind that answers as the path says.
fn behind() -> Backend {
    Backend::start(|served| {
        while let Some(request) = served.request() {
            let path = request.split(' ').nth(1).unwrap_or_default();
            let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
            if !answer(served, &kind, request.starts_with("HEAD ")) {
                return;
            }
        }
    })
}

/// Answers; false where the connection ends.
fn answer(served: &mut Served, kind: &str, to_head: bool) -> bool {
    let date = "Date: Sat, 21 Nov 2026 08:00:00 GMT\r\n";
    let chunks = "5\r\nhello\r\n6\r\n world\r\n0\r\n";
    let (head, content) = match kind {
        "chunked" => ("200 OK\r\nTransfer-Encoding: chunked", format!("{chunks}\r\n")),
        "trailers" => {
            ("200 OK\r\nTransfer-Encoding: chunked", format!("{chunks}X-Sum: 11\r\nContent-Length: 3\r\n\r\n"))
        }
        "announced" => ("200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum", format!("{chunks}X-Sum: 11\r\n\r\n")),
        "until-close" => ("200 OK\r\nConnection: close", "to the end".to_owned()),
        "empty" => ("200 OK\r\nContent-Length: 0", String::new()),
        "204" => ("204 No Content", String::new()),
        "204-length" => ("204 No Content\r\nContent-Length: 0", String::new()),
        "205" => ("205 Reset Content\r\nContent-Length: 0", String::new()),
        "304" => ("304 Not Modified\r\nETag: \"a\"", String::new()),
        "304-length" => ("304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 77", String::new()),
        "206" => ("206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2", "he".to_owned()),
        "299" => ("299 Odd\r\nContent-Length: 1", "a".to_owned()),
        "599" => ("599 Odd\r\nContent-Length: 1", "a".to_owned()),
        "999" => ("999 Odd\r\nContent-Length: 1", "a".to_owned()),
        "early" => (
            "103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2",
            "ok".to_owned(),
        ),
        "processing" => (
            "102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n\
             HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
            format!("{chunks}\r\n"),
        ),
        "switching" => ("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp", String::new()),
        "fields" => (
            "200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nServer: behind\r\nVia: 1.0 other\r\nX-Odd:  a  \r\nX-None:\r\n\
             ETag: \"A\"\r\nWWW-Authenticate: Basic, Bearer\r\nVary: Accept\r\nContent-Length: 2",
            "ok".to_owned(),
        ),
        "hops" => (
            "200 OK\r\nConnection: keep-alive, x-hop, date\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: a\r\n\
             Upgrade: h2c\r\nTE: trailers\r\nTrailer: X-A\r\nHTTP2-Settings: AAA\r\nContent-Length: 2",
            "ok".to_owned(),
        ),
        "split" => ("200 OK\r\nX-A: a\0b\r\nContent-Length: 2", "ok".to_owned()),
        "cut" => ("200 OK\r\nContent-Length: 100", "half".to_owned()),
        "cut-chunks" => ("200 OK\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n".to_owned()),
        "bad-chunk" => ("200 OK\r\nTransfer-Encoding: chunked", "5\r\nhello\r\nxyz\r\n".to_owned()),
        "nothing" => return false,
        // Until the gate has enough of it.
        "silent" => {
            served.rest();
            return false;
        }
        "stalls" => {
            served.send(format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 10\r\n\r\nhalf").as_bytes());
            served.rest();
            return false;
        }
        "no-http" => {
            served.send(b"220 mail.example ESMTP\r\n");
            return false;
        }
        "two-lengths" => ("200 OK\r\nContent-Length: 2\r\nContent-Length: 3", "ok".to_owned()),
        "closing" => ("200 OK\r\nConnection: close\r\nContent-Length: 2", "ok".to_owned()),
        "http10" => {
            served.send(format!("HTTP/1.0 200 OK\r\n{date}\r\n{}", if to_head { "" } else { "old" }).as_bytes());
            return false;
        }
        "slow" => {
            served.send(format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 4\r\n\r\n").as_bytes());
            std::thread::sleep(std::time::Duration::from_millis(5));
            served.send(if to_head { b"" } else { b"slow" });
            return true;
        }
        "refuses" => ("403 Forbidden\r\nContent-Length: 2", "no".to_owned()),
        _ => ("200 OK\r\nContent-Length: 5\r\nX-Kind: length", "hello".to_owned()),
    };
    let content = if to_head { "" } else { &content };
    served.send(format!("HTTP/1.1 {head}\r\n{date}\r\n{content}").as_bytes());
    !matches!(kind, "until-close" | "cut" | "cut-chunks" | "bad-chunk" | "closing" | "switching")
}

fn config(folder: &Folder, backend: &Backend) -> String {
    let (up, dir) = (backend.address, folder.path().display());
    format!(
        r#"echo: {{body: 64KiB}}
proxy: {{connect_timeout: 1s}}
routes:
  /fixed: OK hello
  /empty: NO_CONTENT
  /unchanged: 304
  /reset: 205
  /json: GONE {{"error":"gone"}}
  /dressed: {{to: OK <p>, headers: {{Content-Type: text/html, X-A: b}}}}
  /custom: 299 whatever you like
  a.test/named: OK of a
  /old/:id: MOVED /new/:id
  /docs/*: TEMP_REDIRECT https://docs.example.com/*
  /echo/:word: "*"
  /teapot: {{to: IM_A_TEAPOT *, headers: {{X-A: b, Vary: x}}}}
  /small: {{to: "*", max_body_size: 10}}
  /up/: http://{up}
  /up-dressed/: {{to: "http://{up}", headers: {{X-A: b, ETag: own, Set-Cookie: own}}}}
  /up-plain/: {{to: "http://{up}", proxy: {{x_forwarded: false, via: false}}}}
  /up-told/: {{to: "http://{up}", proxy: {{forwarded: true}}}}
  /up-host/: {{to: "http://{up}", proxy: {{host: b.test}}, timeout: 5s}}
  /up-late/: {{to: "http://{up}", proxy: {{first_byte_timeout: 50ms}}}}
  /up-stalls/: {{to: "http://{up}", proxy: {{read_timeout: 50ms}}}}
  /up-total/: {{to: "http://{up}", timeout: 200ms}}
  /up-small/: {{to: "http://{up}", max_body_size: 10}}
  /v1/: http://{up}/
  /people/:id: http://{up}/x/:id/length?a=:id
  /both/: http://{up} http://{up}
  /down: http://127.0.0.1:1
  /unresolved: http://no.such.host.invalid
  TRACE /traced: http://{up}
  /files/: {dir}/
  /one: {dir}/ten.txt
  /app/: {{to: {dir}/, headers: {{Referrer-Policy: no-referrer}}}}
  /dir/: {dir}/
  PURGE /purged: OK purged
  GET /onlyget: OK
"#
    )
}

#[test]
fn every_rule_answers_http_2_as_it_answers_http_1_1_and_counts_the_same() {
    let folder = Folder::new("h2-like-h1");
    folder.write("ten.txt", "0123456789");
    folder.write("empty.txt", "");
    folder.write("large.bin", vec![b'l'; 100_000]);
    folder.write("index.html", "<h1>index</h1>");
    folder.write(".hidden", "hidden");
    std::fs::create_dir_all(folder.path().join("sub")).expect("a folder");
    folder.write("sub/index.html", "<h1>sub</h1>");
    let papers = Papers::new(&[&["a.test"]]);
    let asks: Vec<Ask> =
        PATHS.iter().flat_map(|path| METHODS.map(|method| ask(method, path))).chain(SPECIAL.iter().copied()).collect();
    let wanted = std::env::var("ANYGATE_CASE").unwrap_or_default();
    both(|io| {
        for way in WAYS {
            let backend = behind();
            let yaml = config(&folder, &backend);
            let yaml = match way {
                Way::Plain => yaml,
                // What this client says of others is believed besides.
                Way::Tls => papers
                    .configuration(1, "hsts: {max_age: 1m}", &yaml)
                    .replace("server: {", "server: {trust: [127.0.0.0/8], "),
            };
            let bench = Bench { io, way, gate: Gate::start(io, &yaml), backend, client: papers.client(false) };
            let mut wrong = Vec::new();
            for ask in asks.iter().filter(|ask| format!("{} {}", ask.method, ask.path).contains(&wanted)) {
                wrong.extend(bench.compare(ask));
            }
            assert!(wrong.is_empty(), "{io:?} {way:?}: {} differ:\n{}", wrong.len(), wrong.join("\n"));
        }
    });
}

struct Bench {
    io: Io,
    way: Way,
    gate: Gate,
    backend: Backend,
    client: Arc<ClientConfig>,
}

/// All that is to be seen of one exchange.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    said: Said,
    told: Vec<String>,
    counted: BTreeMap<&'static str, u64>,
}

impl Bench {
    fn compare(&self, ask: &Ask) -> Option<String> {
        let mut all = Vec::new();
        for _ in 0..2 {
            all.push(("h1", self.watch(ask, || self.by_h1(ask))));
            all.push(("h2", self.watch(ask, || self.by_h2(ask))));
        }
        let (first, rest) = all.split_first().expect("there are four");
        let other = rest.iter().find(|(_, seen)| *seen != first.1)?;
        Some(format!(
            "{} {} {:?} {:?}\n  {}: {:?}\n  {}: {:?}",
            ask.method, ask.path, ask.fields, ask.content, first.0, first.1, other.0, other.1
        ))
    }

    /// Runs an exchange, and says what came of it everywhere.
    fn watch(&self, ask: &Ask, exchange: impl Fn() -> Said) -> Seen {
        let before = self.counted();
        let mut said = exchange();
        // Who is given up may not have read what it was told yet.
        let is_slow = ["/up-late/", "/up-stalls/", "/up-total/"].iter().any(|path| ask.path.starts_with(path));
        let first = is_slow.then(|| self.backend.request());
        assert!(self.gate.emptied(), "{:?}: a connection stays", self.io);
        let after = self.counted();
        let counted =
            after.iter().map(|(name, count)| (*name, count - before[name])).filter(|(_, count)| *count > 0).collect();
        said.fields.retain(|(name, _)| !matches!(name.as_str(), "connection" | "transfer-encoding" | "keep-alive"));
        for (name, value) in &mut said.fields {
            if name == "date" && value.len() == 29 && !value.contains("08:00:00") {
                *value = "now".into();
            }
        }
        // Of a HEAD the content's length tells.
        let echoes = ["/echo/", "/teapot", "/small"].iter().any(|path| ask.path.starts_with(path));
        if echoes || ask.path == "/traced" {
            said.content = echoed(&said.content);
            said.fields.retain(|(name, _)| name != "content-length");
        }
        said.fields.sort();
        Seen {
            said,
            told: first
                .into_iter()
                .chain(std::iter::from_fn(|| self.backend.taken()))
                .map(|told| settled(&told))
                .collect(),
            counted,
        }
    }

    /// What the gate has counted that both protocols share.
    fn counted(&self) -> BTreeMap<&'static str, u64> {
        let seen = self.gate.cells.snapshot();
        let mut counted: BTreeMap<_, _> = seen
            .entries()
            .into_iter()
            .filter(|(name, _)| {
                let own = ["h2_", "tls_", "connections_", "bytes_", "upstream_connects", "upstream_reuses"];
                !own.iter().any(|prefix| name.starts_with(prefix))
            })
            .collect();
        counted.insert("upstream", seen.upstream_connects + seen.upstream_reuses);
        counted
    }

    fn by_h2(&self, ask: &Ask) -> Said {
        let mut client = match self.way {
            Way::Plain => H2::plain(&self.gate),
            Way::Tls => H2::tls(&self.gate, &self.client, "a.test"),
        };
        let scheme = if self.way == Way::Tls { "https" } else { "http" };
        let (host, more) = ask.host();
        let mut fields = vec![(":method", ask.method), (":scheme", scheme), (":authority", host), (":path", ask.path)];
        let length = match ask.content {
            Content::Known(content) => content.len().to_string(),
            _ => String::new(),
        };
        fields.extend((!length.is_empty()).then_some(("content-length", length.as_str())));
        fields.extend_from_slice(more);
        let head = client.head(1, &fields, ask.content == Content::None);
        client.send(&head);
        if let Content::Known(content) | Content::Open(content) = ask.content {
            client.data(1, content.as_bytes(), true);
        }
        let answer = client.answer(1);
        let text =
            |fields: Vec<(String, String)>| fields.into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
        Said {
            interim: answer.interim,
            status: answer.status,
            fields: text(answer.fields),
            content: String::from_utf8_lossy(&answer.body).into_owned(),
            trailers: text(answer.trailers),
            cut: !answer.ended,
        }
    }

    fn by_h1(&self, ask: &Ask) -> Said {
        let socket = self.gate.client().stream;
        let mut pipe = match self.way {
            Way::Plain => Pipe::Plain(socket),
            Way::Tls => Pipe::named(socket, "a.test", Arc::clone(&self.client)),
        };
        let (host, more) = ask.host();
        let mut request = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", ask.method, ask.path);
        match ask.content {
            Content::Known(content) => request += &format!("content-length: {}\r\n", content.len()),
            Content::Open(_) => request += "transfer-encoding: chunked\r\n",
            // HTTP/2 says so by the end of the stream.
            Content::None if matches!(ask.method, "POST" | "PUT" | "PATCH") => request += "content-length: 0\r\n",
            Content::None => {}
        }
        for (name, value) in more {
            request += &format!("{name}: {value}\r\n");
            if *name == "te" {
                request += "connection: te\r\n";
            }
        }
        request += "\r\n";
        match ask.content {
            Content::Known(content) => request += content,
            Content::Open("") => request += "0\r\n\r\n",
            Content::Open(content) => request += &format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len()),
            Content::None => {}
        }
        pipe.write_all(request.as_bytes()).and_then(|()| pipe.flush()).expect("the gate takes it");
        let mut source = Source { pipe, read: Vec::new(), ended: false };
        source.answer(ask.method == "HEAD")
    }
}

/// An echo without what must differ: the version, the port of the client, and how the content's length was said.
fn echoed(content: &str) -> String {
    let own = |line: &&str| {
        let line = line.trim_start().trim_start_matches('"');
        ["version", "peer", "content-length", "transfer-encoding"].iter().any(|name| line.starts_with(name))
    };
    let lines: Vec<&str> = content.lines().filter(|line| !own(line)).map(|line| line.trim_end_matches(',')).collect();
    lines.join("\n").replace("HTTP/2", "HTTP/1.1")
}

/// What a server behind was told, names in small letters and in their order by name: those of HTTP/1.1 come as they were.
fn settled(told: &str) -> String {
    let (head, content) = told.split_once("\r\n\r\n").unwrap_or((told, ""));
    let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut fields: Vec<String> = fields
        .split("\r\n")
        .map(|field| {
            let (name, value) = field.split_once(": ").unwrap_or((field, ""));
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .collect();
    let own = |field: &mut String| *field = field.replace("via: 2.0 anygate-test", "via: 1.1 anygate-test");
    fields.iter_mut().for_each(own);
    fields.sort();
    format!("{line} | {} | {content}", fields.join(" | "))
}

/// A connection of HTTP/1.1 that is read from.
struct Source {
    pipe: Pipe,
    read: Vec<u8>,
    ended: bool,
}

impl Source {
    fn more(&mut self) -> bool {
        let mut bytes = [0; 64 << 10];
        match self.pipe.read(&mut bytes) {
            Ok(0) | Err(_) => {
                self.ended = true;
                false
            }
            Ok(n) => {
                self.read.extend_from_slice(&bytes[..n]);
                true
            }
        }
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                let mut all: Vec<u8> = self.read.drain(..at + end.len()).collect();
                all.truncate(at);
                return Some(all);
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            if !self.more() {
                return None;
            }
        }
        Some(self.read.drain(..count).collect())
    }

    fn answer(&mut self, to_head: bool) -> Said {
        let mut said = Said::default();
        loop {
            let Some(head) = self.until(b"\r\n\r\n") else {
                said.cut = true;
                return said;
            };
            let head = String::from_utf8_lossy(&head).into_owned();
            let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
            said.status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            said.fields = lines(fields);
            if said.status >= 200 {
                break;
            }
            said.interim.push(said.status);
        }
        if to_head || matches!(said.status, 204 | 304) {
            return said;
        }
        let field = |name: &str| said.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let content = if field("transfer-encoding").is_some() {
            self.chunks(&mut said.trailers)
        } else if let Some(length) = field("content-length") {
            self.bytes(length.parse().expect("a number")).ok_or_else(|| std::mem::take(&mut self.read))
        } else {
            while self.more() {}
            Ok(std::mem::take(&mut self.read))
        };
        said.cut = content.is_err();
        said.content = String::from_utf8_lossy(&content.unwrap_or_else(|part| part)).into_owned();
        said
    }

    fn chunks(&mut self, trailers: &mut Vec<(String, String)>) -> Result<Vec<u8>, Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let Some(size) = self.until(b"\r\n") else { return Err(all) };
            let size = usize::from_str_radix(&String::from_utf8_lossy(&size), 16).expect("a size");
            if size == 0 {
                loop {
                    let Some(line) = self.until(b"\r\n") else { return Err(all) };
                    if line.is_empty() {
                        return Ok(all);
                    }
                    trailers.extend(lines(&String::from_utf8_lossy(&line)));
                }
            }
            match self.bytes(size + 2) {
                Some(bytes) => all.extend_from_slice(&bytes[..size]),
                None => return Err(all),
            }
        }
    }
}

/// Field lines, their names in small letters.
fn lines(text: &str) -> Vec<(String, String)> {
    text.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}
