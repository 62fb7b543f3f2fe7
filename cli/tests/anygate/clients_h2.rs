//! Programs that people have, over HTTP/2, in the clear and over TLS: curl, nghttp, h2load, Python's httpx and gRPC, a browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use super::backend::read_head;
use super::browser::visit;
use super::clients::{key_digest, run, said};
use super::gate::{Gate, both};
use super::rig::Folder;

const RULES: &str = "  /: OK hello\n  /e: '*'\n";

/// A gate that listens without TLS and with it; the addresses of both.
fn start(folder: &Folder, io: &str, rules: &str) -> (Gate, [SocketAddr; 2]) {
    let made = folder.run(&["cert", "--self-signed", "--force"]);
    assert_eq!(made.code, 0, "{made:?}");
    folder.write(
        "anygate.yml",
        &format!(
            "server: {{listen: ['127.0.0.2:0', {{addr: '127.0.0.1:0', tls: true}}]}}\n\
             tls: {{certificates: {{cert: localhost.crt, key: localhost.key}}}}\nroutes:\n{rules}"
        ),
    );
    let core = super::gate::a_core();
    let gate = Gate::run(folder, folder.command(&["serve", "--io", io, "--cores", &core]));
    let address = |at: usize| gate.listeners()[at].split_once("://").and_then(|(_, own)| own.parse().ok());
    let both = [0, 1].map(|at| address(at).expect(&gate.banner));
    (gate, both)
}

/// What came behind, and what is asked of all of them at the end: nothing that they did was wrong.
fn nothing_is_wrong(gate: &Gate, io: &str) {
    assert!(!gate.log().contains("\"error\"") && !gate.log().contains("\"warn\""), "{io}: {}", gate.log());
}

#[test]
fn curl_agrees_on_http_2_or_knows_of_it_and_sends_and_gets_content() {
    both(|io| {
        let folder = Folder::new();
        let (gate, [plain, secure]) = start(&folder, io, RULES);
        folder.write("large", &"x".repeat(300_000));
        let secure = format!("https://localhost:{}", secure.port());
        let ways = [("--http2-prior-knowledge", format!("http://{plain}")), ("--http2", secure)];
        for (way, url) in ways {
            let [page, echo] = [format!("{url}/"), format!("{url}/e")];
            let common = ["-sSv", way, "--cacert", "localhost.crt", "-w", "version %{http_version}\n"];
            // A curl of 2023 cannot use a connection without TLS twice, whoever serves it.
            let pages = if way == "--http2" { vec![&page[..], &page] } else { vec![&page[..]] };
            let Some(ran) = run("curl", "curl", &folder, &[&common[..], &pages].concat(), "") else { return };
            let all = said(&ran);
            assert!(ran.status.success(), "{io} {way}: {all}");
            assert_eq!(all.matches("version 2\n").count(), pages.len(), "{io} {way}: {all}");
            assert_eq!(all.matches("e-using existing connection").count(), pages.len() - 1, "{io} {way}: {all}");
            let body = ["-d", "a body", &echo];
            let Some(ran) = run("curl", "curl", &folder, &[&common[..], &body].concat(), "") else { return };
            assert!(said(&ran).contains("\"body\": \"a body\""), "{io} {way}: {}", said(&ran));
            let large = ["--data-binary", "@large", &echo];
            let Some(ran) = run("curl", "curl", &folder, &[&common[..], &large].concat(), "") else { return };
            assert!(said(&ran).contains("\"body_size\": 300000"), "{io} {way}: {}", said(&ran));
            let head = ["-I", &page];
            let Some(ran) = run("curl", "curl", &folder, &[&common[..], &head].concat(), "") else { return };
            assert!(said(&ran).contains("HTTP/2 200"), "{io} {way}: {}", said(&ran));
        }
        // The old way up from HTTP/1.1 is not taken: it stays what it is.
        let page = format!("http://{plain}/");
        let old = ["-sS", "--http2", "-w", " version %{http_version}", &page];
        let Some(ran) = run("curl", "curl", &folder, &old, "") else { return };
        assert_eq!(said(&ran), "hello version 1.1", "{io}");
        nothing_is_wrong(&gate, io);
    });
}

#[test]
fn nghttp_asks_for_much_at_once_in_every_way_it_knows() {
    both(|io| {
        let folder = Folder::new();
        let (gate, [plain, secure]) = start(&folder, io, RULES);
        folder.write("large", &"x".repeat(300_000));
        for url in [format!("http://{plain}"), format!("https://localhost:{}", secure.port())] {
            let [page, echo] = [format!("{url}/"), format!("{url}/e")];
            let ask = |arguments: &[&str]| {
                let ask = || run("nghttp", "nghttp2-client", &folder, &[&["-y", "-v"], arguments].concat(), "");
                let mut ran = ask()?;
                // One that has waited a second for its 100 sends its content, and breaks when the 100 comes after that.
                for _ in 0..10 {
                    if said(&ran).contains("frame has already been submitted for the stream") {
                        ran = ask()?;
                    }
                }
                assert!(ran.status.success(), "{io}: {}", said(&ran));
                Some(said(&ran))
            };
            let Some(many) = ask(&["-m", "50", &page]) else { return };
            assert_eq!(many.matches(":status: 200").count(), 50, "{io}: {many}");
            // A window of 1 KiB, a small table, padding, a head in several frames, no old priorities.
            let odd =
                ["-w", "10", "-W", "10", "-c", "100", "-b", "9", "--continuation", "--no-dep", "-d", "large", &echo];
            let Some(odd) = ask(&odd) else { return };
            assert!(odd.contains(":status: 200") && odd.contains("\"body_size\": 300000"), "{io}: {odd}");
            let waits = ["--expect-continue", "--trailer", "x-sum: 1", "-H", ":method: POST", "-d", "large", &echo];
            let Some(waits) = ask(&waits) else { return };
            assert!(waits.contains(":status: 100") && waits.contains("\"body_size\": 300000"), "{io}: {waits}");
        }
        nothing_is_wrong(&gate, io);
    });
}

#[test]
fn h2load_gets_every_answer() {
    both(|io| {
        let folder = Folder::new();
        let (gate, [plain, secure]) = start(&folder, io, RULES);
        for url in [format!("http://{plain}/"), format!("https://localhost:{}/", secure.port())] {
            let load = ["-n", "2000", "-c", "4", "-m", "32", &url];
            let Some(ran) = run("h2load", "nghttp2-client", &folder, &load, "") else { return };
            let all = said(&ran);
            assert!(all.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{io}: {all}");
            assert!(all.contains("status codes: 2000 2xx"), "{io}: {all}");
        }
        nothing_is_wrong(&gate, io);
    });
}

/// Python that has these modules; none is a fault in CI.
fn python(modules: &str, packages: &str) -> Option<&'static str> {
    let has = |python: &str| {
        let ran = Command::new(python).args(["-c", &format!("import {modules}")]).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(|python| has(python));
    if found.is_none() {
        let demanded = std::env::var("ANYGATE_TEST_PEERS").as_deref() == Ok("all");
        assert!(!demanded, "{modules} is missing: apt-get install {packages}");
        eprintln!("left out: {modules} is not installed (apt-get install {packages})");
    }
    found
}

/// Fifty requests at once on one connection, a body, and an answer that is read in pieces.
const HTTPX: &str = r#"
import asyncio, ssl, sys, httpx
async def main():
    context = ssl.create_default_context(cafile="localhost.crt")
    async with httpx.AsyncClient(http2=True, verify=context) as client:
        answers = await asyncio.gather(*(client.get(sys.argv[1]) for _ in range(50)))
        print(len(answers), {(one.http_version, one.status_code, one.text) for one in answers})
        echo = await client.post(sys.argv[1] + "e", content=b"x" * 300000)
        print(echo.http_version, echo.json()["body_size"])
        size = 0
        async with client.stream("GET", sys.argv[1] + "large") as large:
            async for piece in large.aiter_bytes():
                size += len(piece)
        print(size)
asyncio.run(main())
"#;

#[test]
fn pythons_httpx_is_served_over_http_2() {
    let Some(python) = python("httpx, h2", "python3-httpx python3-h2") else { return };
    both(|io| {
        let folder = Folder::new();
        folder.write("large", &"x".repeat(1_000_000));
        let (gate, [_, secure]) = start(&folder, io, &format!("{RULES}  /large: ./large\n"));
        let url = format!("https://localhost:{}/", secure.port());
        let Some(ran) = run(python, "python3", &folder, &["-c", HTTPX, &url], "") else { return };
        assert_eq!(said(&ran), "50 {('HTTP/2', 200, 'hello')}\nHTTP/2 300000\n1000000\n", "{io}");
        nothing_is_wrong(&gate, io);
    });
}

/// Calls of every kind, without TLS and with it.
const GRPC: &str = r#"
import sys, grpc
same = dict(request_serializer=lambda one: one, response_deserializer=lambda one: one)
def calls(channel):
    say = channel.unary_unary("/echo.Echo/Say", **same)
    print(say(b"hello", timeout=30).decode())
    answer, call = say.with_call(b"x" * 300000, timeout=30)
    print(len(answer), call.code().name, call.details(), dict(call.trailing_metadata()))
    many = channel.stream_stream("/echo.Echo/Chat", **same)(iter([b"x" * 1000] * 50), timeout=30)
    print([len(one) for one in many] == [1000] * 50)
    for path in ["/none.None/Say", "/page"]:
        try:
            channel.unary_unary(path, **same)(b"", timeout=30)
        except grpc.RpcError as error:
            print(error.code().name)
calls(grpc.insecure_channel(sys.argv[1]))
calls(grpc.secure_channel(sys.argv[2], grpc.ssl_channel_credentials(open("localhost.crt", "rb").read())))
"#;

/// What gRPC gets of a fixed answer that is an answer of its own, and of one that is not.
const GRPC_RULES: &str = "  /page: OK hello\n  /none.None/:\n    to: OK\n    headers: {Content-Type: application/grpc, \
    Grpc-Status: '12', Grpc-Message: nobody here}\n";

#[test]
fn grpc_calls_go_through_to_a_server_behind_and_bring_their_trailers_back() {
    let Some(python) = python("grpc", "python3-grpcio") else { return };
    let behind = echo_of_messages();
    both(|io| {
        let folder = Folder::new();
        let rules = format!("{GRPC_RULES}  /echo.Echo/: http://{behind}\n");
        let (gate, [plain, secure]) = start(&folder, io, &rules);
        let secure = format!("localhost:{}", secure.port());
        let Some(ran) = run(python, "python3", &folder, &["-c", GRPC, &plain.to_string(), &secure], "") else { return };
        let calls = "hello\n300000 OK fine {'x-sum': '300005'}\nTrue\nUNIMPLEMENTED\nUNKNOWN\n";
        // What it thinks of an answer that is none of its own it says on the other channel.
        assert_eq!(String::from_utf8_lossy(&ran.stdout), calls.repeat(2), "{io}: {}", said(&ran));
        nothing_is_wrong(&gate, io);
    });
}

/// A server behind that sends messages of gRPC back, in HTTP/1.1 with trailers.
fn echo_of_messages() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks is the test's to notice.
            thread::spawn(move || drop(echo(stream)));
        }
    });
    address
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let Some(head) = read_head(&mut reader)? else { return Ok(()) };
        let lower = head.to_ascii_lowercase();
        assert!(
            lower.contains("\r\nte: trailers\r\n") && lower.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{head}"
        );
        let mut messages = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            messages.extend_from_slice(&chunk[..size]);
        }
        let size = messages.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\
             Trailer: grpc-status, grpc-message, x-sum\r\n\r\n{size:x}\r\n"
        )?;
        stream.write_all(&messages)?;
        write!(stream, "\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\nx-sum: {size}\r\n\r\n")?;
    }
}

/// Says on itself which protocol it came by, and what a request of its own came by.
const PAGE: &str = r#"<!doctype html><title>page</title><body><script type="module">
const came = (entries) => entries.map((entry) => entry.nextHopProtocol).join();
const answers = await Promise.all([...Array(30).keys()].map((at) => fetch(`/e?${at}`, { method: "POST", body: "x" })));
const sizes = await Promise.all(answers.map(async (answer) => (await answer.json()).body_size));
const page = came(performance.getEntriesByType("navigation"));
const data = new Set(performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol));
document.body.dataset.told = `${page} ${[...data]} ${sizes.length} ${sizes.every((size) => size === 1)}`;
</script>"#;

#[test]
fn a_browser_takes_http_2_for_its_page_and_its_data() {
    both(|io| {
        let folder = Folder::new();
        folder.write("site/index.html", PAGE);
        let (gate, [_, secure]) = start(&folder, io, "  /: ./site/\n  /e: '*'\n");
        let Some(digest) = key_digest(&folder, "localhost.crt") else { return };
        let trust = format!("--ignore-certificate-errors-spki-list={digest}");
        let page = visit(&format!("https://localhost:{}/", secure.port()), &[&trust, "--virtual-time-budget=20000"]);
        assert!(page.contains("data-told=\"h2 h2 30 true\""), "{io}: {page}");
        nothing_is_wrong(&gate, io);
    });
}
