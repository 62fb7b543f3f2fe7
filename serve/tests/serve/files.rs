//! Files over real sockets: what a folder's content looks like to a client.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::harness::{Client, Gate, both, undated, until};

/// A folder like the one a build tool leaves, gone with the test.
struct Dist(PathBuf);

/// `Last-Modified` of every file in it.
const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
/// The length of `big.bin`: more than any socket buffer takes at once.
const BIG: usize = 12 * 1024 * 1024;

impl Dist {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("anygate-dist-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dist = Self(std::env::temp_dir().join(name));
        dist.file("index.html", b"<h1>home</h1>");
        dist.file("assets/main-5QXK3VTZ.js", b"let app;");
        dist.file("docs/index.html", b"<h1>docs</h1>");
        dist.file("a b.txt", b"blank");
        dist.file("empty.css", b"");
        dist.file(".env", b"KEY=1");
        dist.file("big.bin", &big());
        dist
    }

    fn file(&self, name: &str, content: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        let file = fs::File::options().write(true).open(&path).expect("it was written");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("its time");
    }

    fn routes(&self) -> String {
        let dir = self.0.display();
        format!("routes:\n  \"/\": \"{dir}/\"\n  \"/app/\": \"{dir}/\"\n  \"/one\": \"{dir}/docs/index.html\"\n")
    }
}

impl Drop for Dist {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn big() -> Vec<u8> {
    (0..BIG).map(|i| (i % 253) as u8).collect()
}

fn status(response: &str) -> u16 {
    response.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line")
}

fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn get(client: &mut Client, path: &str, fields: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    client.response()
}

const NAVIGATES: &str = "Accept: text/html,*/*;q=0.8";

/// Path, one more field, status, and either the body or, for a redirect, its target.
const CASES: &[(&str, &str, u16, &str)] = &[
    ("/", "X: y", 200, "<h1>home</h1>"),
    ("/index.html", "X: y", 200, "<h1>home</h1>"),
    ("/?query=1", "X: y", 200, "<h1>home</h1>"),
    ("//index.html", "X: y", 200, "<h1>home</h1>"),
    ("/docs/../index.html", "X: y", 200, "<h1>home</h1>"),
    ("/assets/main-5QXK3VTZ.js", "X: y", 200, "let app;"),
    ("/a%20b.txt", "X: y", 200, "blank"),
    ("/%61%20b.txt", "X: y", 200, "blank"),
    ("/empty.css", "X: y", 200, ""),
    ("/docs/", "X: y", 200, "<h1>docs</h1>"),
    ("/docs", "X: y", 308, "/docs/"),
    ("/docs?a=b&c", "X: y", 308, "/docs/?a=b&c"),
    ("/app", "X: y", 308, "/app/"),
    ("/app?q", "X: y", 308, "/app/?q"),
    ("/app/", "X: y", 200, "<h1>home</h1>"),
    ("/app/docs", "X: y", 308, "/app/docs/"),
    ("/app/docs/", "X: y", 200, "<h1>docs</h1>"),
    ("/one", "X: y", 200, "<h1>docs</h1>"),
    ("/deep/link", NAVIGATES, 200, "<h1>home</h1>"),
    ("/app/deep/link", NAVIGATES, 200, "<h1>home</h1>"),
    ("/deep/link", "Accept: application/json", 404, "404 Not Found\n"),
    ("/deep/link", "Accept: */*", 200, "<h1>home</h1>"),
    ("/missing.js", NAVIGATES, 404, "404 Not Found\n"),
    ("/assets/", "Sec-Fetch-Mode: cors", 404, "404 Not Found\n"),
    ("/.env", NAVIGATES, 404, "404 Not Found\n"),
    ("/%2eenv", NAVIGATES, 404, "404 Not Found\n"),
    ("/docs%2Findex.html", NAVIGATES, 404, "404 Not Found\n"),
    ("/index.html/", NAVIGATES, 200, "<h1>home</h1>"),
    ("/index.html/x.js", "X: y", 404, "404 Not Found\n"),
];

#[test]
fn every_path_gets_its_file_redirect_or_404_the_second_time_as_the_first() {
    let dist = Dist::new();
    both(|io| {
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        for round in 0..3 {
            for (path, extra, expected, what) in CASES {
                let answer = get(&mut client, path, &format!("{extra}\r\n"));
                assert_eq!(status(&answer), *expected, "{io:?} {round} {path} {extra}: {answer}");
                if *expected == 308 {
                    assert_eq!(field(&answer, "Location"), Some(*what), "{io:?} {round} {path}");
                } else {
                    assert!(answer.ends_with(&format!("\r\n\r\n{what}")), "{io:?} {round} {path}: {answer}");
                }
            }
        }
    });
}

#[test]
fn a_small_files_answer_is_exact_to_the_byte_cold_warm_and_for_head() {
    let dist = Dist::new();
    both(|io| {
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        let first = get(&mut client, "/assets/main-5QXK3VTZ.js", "");
        let etag = field(&first, "ETag").expect("a tag").to_owned();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/javascript; charset=utf-8\r\nETag: {etag}\r\nLast-Modified: {MODIFIED}\r\n\
             Accept-Ranges: bytes\r\nCache-Control: public, max-age=31536000, immutable\r\nContent-Length: 8\r\n\r\n"
        );
        assert_eq!(undated(&first), format!("{head}let app;"), "{io:?}");
        for _ in 0..3 {
            assert_eq!(undated(&get(&mut client, "/assets/main-5QXK3VTZ.js", "")), format!("{head}let app;"), "{io:?}");
            client.send(b"HEAD /assets/main-5QXK3VTZ.js HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(undated(&client.head()), head, "{io:?}");
            client.send(
                format!("GET /assets/main-5QXK3VTZ.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: {etag}\r\n\r\n").as_bytes(),
            );
            assert_eq!(
                undated(&client.head()),
                format!(
                    "HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\nCache-Control: public, max-age=31536000, immutable\r\n\r\n"
                ),
                "{io:?}"
            );
        }
    });
}

#[test]
fn conditions_and_ranges_hold_for_small_and_large_files_alike() {
    let dist = Dist::new();
    let big = big();
    both(|io| {
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        for (path, content) in [("/docs/", &b"<h1>docs</h1>"[..]), ("/big.bin", &big)] {
            client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let head = client.head();
            let (etag, n) = (field(&head, "ETag").expect("a tag").to_owned(), content.len());
            assert_eq!(field(&head, "Content-Length"), Some(&*n.to_string()));
            for (fields, expected) in [
                (format!("If-None-Match: W/{etag}\r\n"), 304),
                (format!("If-Modified-Since: {MODIFIED}\r\n"), 304),
                ("If-Match: \"other\"\r\n".to_owned(), 412),
                ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 412),
                (format!("Range: bytes={n}-\r\n"), 416),
            ] {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
                let answer = if expected == 304 { client.head() } else { client.response() };
                assert_eq!(status(&answer), expected, "{io:?} {path} {fields}");
                let unsatisfiable = format!("bytes */{n}");
                assert_eq!(
                    field(&answer, "Content-Range"),
                    (expected == 416).then_some(&*unsatisfiable),
                    "{io:?} {path}"
                );
            }
            for (range, start, end) in [("1-3", 1, 4), ("-4", n - 4, n), ("2-", 2, n), ("0-0", 0, 1)] {
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\nIf-Range: {etag}\r\n\r\n");
                client.send(request.as_bytes());
                let head = client.head();
                assert_eq!(status(&head), 206, "{io:?} {path} {range}");
                assert_eq!(field(&head, "Content-Range"), Some(&*format!("bytes {start}-{}/{n}", end - 1)));
                assert!(client.bytes(end - start) == content[start..end], "{io:?} {path} {range}");
            }
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,4-5\r\n\r\n").as_bytes());
            assert_eq!(status(&client.head()), 200, "{io:?} {path}: several ranges are the whole");
            assert!(client.bytes(n) == content, "{io:?} {path}");
        }
    });
}

#[test]
fn pipelined_small_and_large_files_come_whole_and_in_order() {
    let dist = Dist::new();
    let big = big();
    both(|io| {
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        let line = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        for _ in 0..2 {
            let requests = [line("GET", "/docs/"), line("GET", "/big.bin"), line("HEAD", "/big.bin"), line("GET", "/")];
            client.send(requests.concat().as_bytes());
            assert!(client.response().ends_with("<h1>docs</h1>"));
            assert_eq!(field(&client.head(), "Content-Type"), Some("application/octet-stream"));
            assert!(client.bytes(BIG) == big, "{io:?}");
            assert_eq!(field(&client.head(), "Content-Length"), Some(&*BIG.to_string()));
            assert!(client.response().ends_with("<h1>home</h1>"));
        }
    });
}

#[test]
fn a_large_file_waits_for_a_slow_client_and_survives_a_reload() {
    let dist = Dist::new();
    let big = big();
    both(|io| {
        let gate = Gate::start(io, &dist.routes());
        let mut slow = gate.client();
        slow.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut other = gate.client();
        for _ in 0..20 {
            assert_eq!(status(&get(&mut other, "/docs/", "")), 200, "{io:?}: others are served meanwhile");
        }
        gate.install("routes:\n  \"/\": \"OK new\"\n");
        assert!(get(&mut other, "/docs/", "").ends_with("new"), "{io:?}");
        slow.head();
        assert!(slow.bytes(BIG) == big, "{io:?}");
        assert!(get(&mut slow, "/docs/", "").ends_with("new"), "{io:?}");
    });
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_in_a_cut_and_not_in_a_clean_end() {
    both(|io| {
        let dist = Dist::new();
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        client.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
        let file = fs::File::options().write(true).open(dist.0.join("big.bin")).expect("it is there");
        file.set_len(1000).expect("it shrinks");
        let mut left = Vec::new();
        // Either way of ending is a cut: fewer bytes than were announced.
        let _ = client.stream.read_to_end(&mut left);
        assert!(left.len() < BIG, "{io:?}");
        assert_eq!(status(&get(&mut gate.client(), "/", "")), 200, "{io:?}: the server goes on");
    });
}

#[test]
fn a_large_file_that_is_on_disk_alone_comes_whole() {
    let big = big();
    both(|io| {
        let dist = Dist::new();
        let path = dist.0.join("big.bin");
        fs::File::open(&path).and_then(|file| file.sync_all()).expect("it is written");
        // Asks the kernel to forget what it has of the file in memory.
        let input = format!("if={}", path.display());
        let forget = std::process::Command::new("dd").args([&input, "iflag=nocache", "count=0"]).output();
        assert!(forget.expect("dd runs").status.success());
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        client.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
        assert!(client.bytes(BIG) == big, "{io:?}");
    });
}

#[test]
fn a_change_on_disk_shows_within_seconds() {
    both(|io| {
        let dist = Dist::new();
        let gate = Gate::start(io, &dist.routes());
        let mut client = gate.client();
        let before = get(&mut client, "/docs/", "");
        dist.file("docs/index.html", b"<h1>new</h1>");
        let mut after = before.clone();
        let shows = until(|| {
            std::thread::sleep(Duration::from_millis(50));
            after = get(&mut client, "/docs/", "");
            after.ends_with("<h1>new</h1>")
        });
        assert!(shows, "{io:?}: {after}");
        assert_ne!(field(&before, "ETag"), field(&after, "ETag"));
    });
}

#[test]
fn only_get_and_head_reach_a_file() {
    let dist = Dist::new();
    both(|io| {
        let gate = Gate::start(io, &dist.routes());
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = gate.once(format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
            assert_eq!(
                (status(&answer), field(&answer, "Allow")),
                (405, Some("GET, HEAD, OPTIONS")),
                "{io:?} {method}"
            );
        }
        let answer = gate.once(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!((status(&answer), field(&answer, "Allow")), (204, Some("GET, HEAD, OPTIONS")), "{io:?}");
    });
}
