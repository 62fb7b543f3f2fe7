//! `anygate serve`: the real binary, real sockets, real signals, on both drivers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::rig::Folder;

const DRIVERS: [&str; 2] = ["epoll", "uring"];
/// Longest wait for anything; a test that gets there has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; it is killed when the test is over.
struct Gate {
    child: Child,
    out: BufReader<ChildStdout>,
    banner: String,
}

impl Gate {
    /// Starts the binary and waits until it says that it listens.
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut command = folder.command(&[&["serve", "--cores", "0"], arguments].concat());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("  rules  ") {
            let read = out.read_line(&mut banner).unwrap();
            assert!(read > 0, "it ended: {banner}{}", std::fs::read_to_string(folder.path().join("log")).unwrap());
        }
        Self { child, out, banner }
    }

    fn address(&self) -> SocketAddr {
        let line = self.banner.lines().find_map(|line| line.strip_prefix("  listening  http://")).unwrap();
        line.parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    fn ends(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Head and body of one answer.
    fn ask(&self, request: &str) -> (String, String) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut stream, request.starts_with("HEAD"))
    }

    fn get(&self, path: &str) -> (String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one answer: its head, and the body that `Content-Length` announces.
fn answer(stream: &mut impl Read, is_head: bool) -> (String, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; if is_head { 0 } else { length }];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// A server behind that answers each connection's one request with the request's first line.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            let _ = reader.read_line(&mut first);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let body = first.trim_end();
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn the_six_lines_are_served_on_both_drivers() {
    const LINES: &str = r#"
routes:
  "/": "/dist/"                                                      # SPA: index + history fallback
  "/ping": "http://auth/ping"                                        # proxy
  GET POST PATCH /api/mock/rude: FORBIDDEN {"msg":"GO PATCH UR MUM!"} # fixed, JSON
  GET /fastest/ever/ok: OK                                           # fixed
  /a/b/c: *                                                          # echo
  /a/b/c-forbidden: FORBIDDEN *                                      # echo with a status
"#;
    for io in DRIVERS {
        let folder = Folder::new();
        folder.write("dist/index.html", "<p>hi");
        let lines = LINES.replace("\"/dist/\"", &format!("\"{}/dist/\"", folder.path().display()));
        let auth = backend();
        folder.write("six.yml", &format!("upstreams: {{auth: {{servers: [\"{auth}\"]}}}}{lines}"));
        let gate = Gate::start(&folder, &["-c", "six.yml", "--listen", "127.0.0.1:0", "--io", io]);

        let (head, body) = gate.get("/");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/html"), "{io}: {head}");
        assert_eq!(body, "<p>hi");
        let (head, body) =
            gate.ask("GET /deep/link HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{io}: {head}");
        assert_eq!(body, "<p>hi");
        assert!(gate.get("/gone.js").0.starts_with("HTTP/1.1 404 "));

        assert_eq!(gate.get("/ping?x=1").1, "GET /ping?x=1 HTTP/1.1", "{io}");

        let (head, body) = gate.ask("PATCH /api/mock/rude HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{io}: {head}");
        assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
        assert_eq!(body, r#"{"msg":"GO PATCH UR MUM!"}"#);
        assert!(gate.ask("DELETE /api/mock/rude HTTP/1.1\r\nHost: localhost\r\n\r\n").0.starts_with("HTTP/1.1 405 "));

        let (head, body) = gate.get("/fastest/ever/ok");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Length: 0\r\n"), "{io}: {head}");
        assert_eq!(body, "");

        let (head, body) = gate.ask("POST /a/b/c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
        assert!(head.starts_with("HTTP/1.1 200 "), "{io}: {head}");
        let echoed: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&echoed["method"], &echoed["body"]), (&"POST".into(), &"hello".into()));
        let (head, body) = gate.get("/a/b/c-forbidden");
        assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("/a/b/c-forbidden"), "{io}: {head}{body}");
    }
}

#[test]
fn an_echo_is_text_for_those_who_want_text_and_shows_no_credentials() {
    let gate = Gate::start(&Folder::new(), &["-r", "/:who/x: *", "--listen", "127.0.0.1:0"]);
    let (head, body) = gate.ask(
        "PUT /me/x?q HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\nAuthorization: Bearer s3cret\r\nCookie: s3cret\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    );
    assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{head}");
    assert!(body.starts_with("PUT /me/x?q HTTP/1.1\n") && body.contains("\nparam who: me\n"), "{body}");
    assert!(body.ends_with("\nbody: 5 bytes\n\nhello\n") && !body.contains("s3cret"), "{body}");
}

#[test]
fn a_redirect_keeps_the_query_and_has_no_body() {
    let gate = Gate::start(&Folder::new(), &["-r", "/old/:id: MOVED /new/:id", "--listen", "127.0.0.1:0"]);
    let (head, body) = gate.get("/old/7?x=1");
    assert!(head.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{head}");
    assert!(head.contains("\r\nLocation: /new/7?x=1\r\n") && head.contains("\r\nContent-Length: 0\r\n"), "{head}");
    assert_eq!(body, "");
}

#[test]
fn the_default_has_a_page_that_says_what_runs() {
    let gate = Gate::start(&Folder::new(), &["--listen", "127.0.0.1:0"]);
    assert!(gate.banner.contains("serves the built-in default"), "{}", gate.banner);
    assert!(gate.banner.contains("  cores      0  (1 shard)\n"), "{}", gate.banner);
    assert!(gate.banner.contains("  driver     "), "{}", gate.banner);
    let (head, body) = gate.get("/");
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(body.contains("AnyGate is running") && body.contains(env!("CARGO_PKG_VERSION")), "{body}");
    let (head, body) = gate.ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: ") && body.is_empty(), "{head}");
    assert!(gate.get("/ok").0.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(gate.get("/echo").1.contains("\"target\": \"/echo\""));
    assert!(gate.get("/nothing").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_unix_socket_is_listened_on_and_removed_at_the_end() {
    let folder = Folder::new();
    let mut gate = Gate::start(&folder, &["-r", "/: OK hi", "--listen", "unix:gate.sock"]);
    let socket = folder.path().join("gate.sock");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream, false).1, "hi");
    drop(stream);
    gate.signal("TERM");
    assert_eq!(gate.ends().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn what_keeps_a_server_from_starting_exits_with_3_and_says_what_it_is() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = Folder::new().run(&["serve", "--listen", &address]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(&address), "{}", ran.err);
    let ran = Folder::new().run(&["serve", "--listen", "127.0.0.1:0", "--cores", "4000"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("core 4000 does not exist"), "{}", ran.err);
}

#[test]
fn a_configuration_that_does_not_check_is_not_served() {
    let ran = Folder::with("routes:\n  /: OOK\n  /a: ./gone/\n").run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("did you mean `OK`?") && ran.err.contains("does not exist"), "{}", ran.err);
}

#[test]
fn a_request_in_flight_is_finished_before_the_end() {
    for io in DRIVERS {
        let mut gate = Gate::start(&Folder::new(), &["-r", "/: *", "--listen", "127.0.0.1:0", "--io", io]);
        let mut resting = gate.connect();
        resting.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        answer(&mut resting, false);
        let mut stream = gate.connect();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhe").unwrap();
        // Until the server has the head, a signal would find nothing in flight.
        thread::sleep(Duration::from_millis(300));
        gate.signal("TERM");
        assert_eq!(resting.read(&mut [0; 1]).unwrap(), 0, "{io}: a resting connection is closed");
        stream.write_all(b"llo").unwrap();
        let (head, body) = answer(&mut stream, false);
        assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("hello"), "{io}: {head}{body}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{io}: {head}");
        assert_eq!(gate.ends().code(), Some(0), "{io}");
        let mut rest = String::new();
        gate.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "{io}: nothing more is said on standard output");
    }
}

#[test]
fn a_hangup_reads_the_file_again_and_keeps_what_runs_when_it_is_wrong() {
    for io in DRIVERS {
        let folder = Folder::with("routes:\n  /: OK one\n");
        let gate = Gate::start(&folder, &["--listen", "127.0.0.1:0", "--io", io]);
        let mut kept = gate.connect();
        let mut ask = |wanted: &str| {
            let start = Instant::now();
            loop {
                kept.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                let (_, body) = answer(&mut kept, false);
                if body == wanted {
                    return;
                }
                assert!(start.elapsed() < PATIENCE, "{io}: {body}, not {wanted}");
                thread::sleep(Duration::from_millis(5));
            }
        };
        ask("one");
        folder.write("anygate.yml", "routes:\n  /: OK two\n");
        gate.signal("HUP");
        ask("two");
        folder.write("anygate.yml", "routes:\n  /: OOK\n");
        gate.signal("HUP");
        let start = Instant::now();
        let log = folder.path().join("log");
        while !std::fs::read_to_string(&log).unwrap().contains("refused") {
            assert!(start.elapsed() < PATIENCE, "{io}: nothing in the log");
            thread::sleep(Duration::from_millis(5));
        }
        ask("two");
    }
}
