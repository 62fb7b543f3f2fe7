//! The six lines that are promised, in a file exactly as they stand, and what is served without any file: asked by curl.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::backend::Backend;
use super::gate::{Answer, Gate, both};
use super::machine::alone;
use super::rig::Folder;

/// As they stand in docs/ROUTES.md.
const SIX_LINES: &str = r#"routes:
  "/": "/dist/"                                                      # SPA: index + history fallback
  "/ping": "http://auth/ping"                                        # proxy
  GET POST PATCH /api/mock/rude: FORBIDDEN {"msg":"GO PATCH UR MUM!"} # fixed, JSON
  GET /fastest/ever/ok: OK                                           # fixed
  /a/b/c: *                                                          # echo
  /a/b/c-forbidden: FORBIDDEN *                                      # echo with a status
"#;

/// What a browser says when its user opens a page.
const NAVIGATION: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Asks with curl; the last argument is the path.
fn curl(gate: &Gate, arguments: &[&str]) -> Answer {
    let (path, options) = arguments.split_last().unwrap();
    let url = format!("http://{}{path}", gate.address());
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--max-time", "10", "--path-as-is"]).args(options).arg(url);
    let ran = command.output().expect("curl is installed (apt-get install curl)");
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "curl {arguments:?}: {}{out}", String::from_utf8_lossy(&ran.stderr));
    let (head, body) = out.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.field("Content-Type"), Some("application/json"), "{}", answer.head);
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn the_six_lines_work_exactly_as_they_stand() {
    alone("anygate::served::the_six_lines_work_exactly_as_they_stand", &["auth"], || {
        fs::create_dir("/dist/assets").unwrap();
        fs::write("/dist/index.html", "<!doctype html><title>The app</title>").unwrap();
        fs::write("/dist/assets/app-3f9c2a1b.js", "console.log('app')").unwrap();
        let _auth = Backend::at("127.0.0.1:80");
        both(|io| {
            let folder = Folder::with(SIX_LINES);
            let gate = Gate::start(&folder, io, &[]);
            the_app(&gate, io);
            ping(&gate, io);
            fixed(&gate, io);
            echo(&gate, io);
            assert!(!gate.log().contains("\"error\""), "{io}: {}", gate.log());
        });
    });
}

/// `"/": "/dist/"`
fn the_app(gate: &Gate, io: &str) {
    let index = curl(gate, &["/"]);
    assert_eq!((index.status, index.body.as_str()), (200, "<!doctype html><title>The app</title>"), "{io}");
    assert_eq!(index.field("Content-Type"), Some("text/html; charset=utf-8"), "{io}");
    let etag = index.field("ETag").expect("a file has a tag");
    assert_eq!(curl(gate, &["-H", &format!("If-None-Match: {etag}"), "/"]).status, 304, "{io}");

    let script = curl(gate, &["/assets/app-3f9c2a1b.js"]);
    assert_eq!((script.status, script.body.as_str()), (200, "console.log('app')"), "{io}");
    assert!(script.field("Content-Type").unwrap().starts_with("text/javascript"), "{io}: {}", script.head);
    let part = curl(gate, &["-r", "0-6", "/assets/app-3f9c2a1b.js"]);
    assert_eq!((part.status, part.body.as_str()), (206, "console"), "{io}");

    for path in ["/deep/link", "/deep/link?tab=2", "/users/42/", "/ping/deeper", "/api"] {
        for deep in [curl(gate, &["-H", NAVIGATION, path]), curl(gate, &[path])] {
            assert_eq!((deep.status, &deep.body), (200, &index.body), "{io}: {path}");
            assert!(deep.field("Content-Type").unwrap().starts_with("text/html"), "{io}: {path}");
        }
        for script in ["Sec-Fetch-Mode: cors", "Accept: application/json"] {
            assert_eq!(curl(gate, &["-H", script, path]).status, 404, "{io}: {path}: {script}");
        }
    }
    for path in ["/assets/gone-00000000.js", "/gone.png", "/favicon.ico"] {
        assert_eq!(curl(gate, &[path]).status, 404, "{io}: {path}");
        assert_eq!(curl(gate, &["-H", NAVIGATION, path]).status, 404, "{io}: {path}");
    }
    assert_eq!(curl(gate, &["/../etc/passwd"]).status, 400, "{io}");
    assert_eq!(curl(gate, &["/assets/%2e%2e/%2e%2e/etc/passwd"]).status, 400, "{io}");

    let head = curl(gate, &["-I", "/"]);
    assert_eq!((head.status, head.body.as_str()), (200, ""), "{io}");
    for field in ["Content-Length", "Content-Type", "ETag", "Last-Modified"] {
        assert_eq!(head.field(field), index.field(field), "{io}: {field}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let refused = curl(gate, &["-X", method, "/"]);
        assert_eq!((refused.status, refused.field("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{io}: {method}");
    }
}

/// `"/ping": "http://auth/ping"`
fn ping(gate: &Gate, io: &str) {
    let pong = curl(gate, &["-H", "X-Own: 1", "/ping?a=1&b=%20"]);
    assert_eq!(pong.status, 200, "{io}: {}", pong.head);
    assert!(pong.body.starts_with("GET /ping?a=1&b=%20 HTTP/1.1\r\n"), "{io}: {}", pong.body);
    let host = format!("Host: {}\r\n", gate.address());
    for field in
        [host.as_str(), "X-Own: 1\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "Via: 1.1 "]
    {
        assert!(pong.body.contains(field), "{io}: {field} is not in {}", pong.body);
    }
    let posted = curl(gate, &["-X", "PATCH", "/ping"]);
    assert!(posted.body.starts_with("PATCH /ping HTTP/1.1\r\n"), "{io}: {}", posted.body);
    let head = curl(gate, &["-I", "/ping"]);
    assert_eq!((head.status, head.body.as_str()), (200, ""), "{io}: {}", head.head);
}

/// `GET POST PATCH /api/mock/rude: FORBIDDEN {…}` and `GET /fastest/ever/ok: OK`
fn fixed(gate: &Gate, io: &str) {
    for method in ["GET", "POST", "PATCH"] {
        let rude = curl(gate, &["-X", method, "/api/mock/rude"]);
        assert_eq!((rude.status, rude.body.as_str()), (403, r#"{"msg":"GO PATCH UR MUM!"}"#), "{io}: {method}");
        assert_eq!(json(&rude)["msg"], "GO PATCH UR MUM!");
        assert_eq!(rude.field("X-Content-Type-Options"), Some("nosniff"), "{io}");
    }
    let head = curl(gate, &["-I", "/api/mock/rude"]);
    assert_eq!((head.status, head.field("Content-Length"), head.body.as_str()), (403, Some("26"), ""), "{io}");

    let ok = curl(gate, &["/fastest/ever/ok"]);
    assert_eq!((ok.status, ok.field("Content-Length"), ok.body.as_str()), (200, Some("0"), ""), "{io}");
    assert_eq!(ok.field("Content-Type"), None, "{io}");
    // What no rule of the path takes goes to the files at `/`, which know two methods.
    let refused = curl(gate, &["-X", "DELETE", "/api/mock/rude"]);
    assert_eq!((refused.status, refused.field("Allow")), (405, Some("GET, HEAD, POST, PATCH, OPTIONS")), "{io}");
    let refused = curl(gate, &["-X", "POST", "/fastest/ever/ok"]);
    assert_eq!((refused.status, refused.field("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{io}");
    let options = curl(gate, &["-X", "OPTIONS", "/api/mock/rude"]);
    assert_eq!((options.status, options.field("Allow")), (204, Some("GET, HEAD, POST, PATCH, OPTIONS")), "{io}");
}

/// `/a/b/c: *` and `/a/b/c-forbidden: FORBIDDEN *`
fn echo(gate: &Gate, io: &str) {
    let secrets = ["-u", "me:s3cret", "-b", "sid=s3cret", "-H", "Proxy-Authorization: Basic s3cret"];
    for (path, status) in [("/a/b/c", 200), ("/a/b/c-forbidden", 403)] {
        let target = format!("{path}?q=1");
        let echo = curl(gate, &[&secrets[..], &["-X", "PUT", "-d", "a body", "-H", "X-Own: 1", &target]].concat());
        assert_eq!(echo.status, status, "{io}: {path}");
        let said = json(&echo);
        assert_eq!(
            (&said["method"], &said["target"], &said["body"]),
            (&"PUT".into(), &target.into(), &"a body".into())
        );
        assert!(echo.body.to_ascii_lowercase().contains("x-own"), "{io}: {}", echo.body);
        assert!(!echo.body.contains("s3cret") && !echo.body.contains("bWU6czNjcmV0"), "{io}: {}", echo.body);
        assert_eq!(echo.field("X-Content-Type-Options"), Some("nosniff"), "{io}");
        let text = curl(gate, &["-H", "Accept: text/plain", path]);
        assert!(text.field("Content-Type").unwrap().starts_with("text/plain"), "{io}: {}", text.head);
        assert!(text.body.starts_with(&format!("GET {path} HTTP/1.1\n")), "{io}: {}", text.body);
    }
}

#[test]
fn without_any_configuration_a_page_says_what_runs() {
    alone("anygate::served::without_any_configuration_a_page_says_what_runs", &[], || {
        both(|io| {
            let folder = Folder::new();
            let gate = Gate::run(&folder, folder.command(&["serve", "--io", io]));
            assert_eq!(gate.address().to_string(), "127.0.0.1:8080", "{io}");
            let page = curl(&gate, &["/"]);
            assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"), "{io}");
            assert!(
                page.body.contains("AnyGate") && page.body.contains(env!("CARGO_PKG_VERSION")),
                "{io}: {}",
                page.body
            );
            let head = curl(&gate, &["-I", "/"]);
            assert_eq!((head.status, head.field("Content-Length")), (200, page.field("Content-Length")), "{io}");
            assert_eq!(curl(&gate, &["/ok"]).status, 200, "{io}");
            assert_eq!(json(&curl(&gate, &["-d", "hi", "/echo"]))["body"], "hi", "{io}");
            assert_eq!(json(&curl(&gate, &["/echo/further?x"]))["target"], "/echo/further?x", "{io}");
            assert_eq!(curl(&gate, &["/nothing"]).status, 404, "{io}");
        });
    });
}

#[test]
fn a_name_is_known_before_the_first_request_needs_it() {
    alone("anygate::served::a_name_is_known_before_the_first_request_needs_it", &["auth", "users"], || {
        let _behind = Backend::at("127.0.0.1:80");
        both(|io| {
            for round in 0..20 {
                let folder = Folder::with("routes:\n  /: http://auth\n");
                let gate = Gate::start(&folder, io, &[]);
                assert_eq!(gate.get("/").status, 200, "{io}: at start {round}");
                let mut kept = gate.client();
                kept.get("/").unwrap();
                folder.write("anygate.yml", "routes:\n  /: {to: http://users, headers: {X-New: \"1\"}}\n");
                gate.signal("HUP");
                loop {
                    let answer = kept.get("/").unwrap();
                    assert_eq!(answer.status, 200, "{io}: at reload {round}");
                    if answer.field("X-New").is_some() {
                        break;
                    }
                }
            }
        });
    });
}

#[test]
fn a_name_that_does_not_resolve_answers_503_until_it_does() {
    alone("anygate::served::a_name_that_does_not_resolve_answers_503_until_it_does", &[], || {
        let _behind = Backend::at("127.0.0.1:80");
        let known = fs::read_to_string("/etc/hosts").unwrap();
        both(|io| {
            fs::write("/etc/hosts", &known).unwrap();
            let config = "routes:\n  /: http://late\n  /ok: OK\n";
            let folder = Folder::with(config);
            let gate = Gate::start(&folder, io, &[]);
            assert_eq!(gate.get("/").status, 503, "{io}");
            assert_eq!(gate.get("/ok").status, 200, "{io}");
            gate.logs("an upstream's name does not resolve", 1);
            fs::write("/etc/hosts", format!("{known}127.0.0.1 late\n")).unwrap();
            assert!(gate.reload(&folder, config), "{io}");
            assert_eq!(gate.get("/").status, 200, "{io}: {}", gate.log());

            // A name that resolved once keeps its addresses.
            fs::write("/etc/hosts", &known).unwrap();
            assert!(gate.reload(&folder, config), "{io}");
            assert_eq!(gate.get("/").status, 200, "{io}: {}", gate.log());
        });
    });
}
