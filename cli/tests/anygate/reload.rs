//! What happens to those who are served when the configuration is read again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{io as stdio, thread};

use super::backend::Backend;
use super::gate::{Answer, Client, Gate, HANDSHAKE, both, until};
use super::rig::Folder;

/// Hang-ups under load.
const RELOADS: usize = 24;

/// What all clients of a load came to.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answers: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Asks until it is over; the first failure ends this client.
    fn run(&self, mut ask: impl FnMut(&str) -> stdio::Result<Answer>) {
        for path in ["/", "/file.txt", "/big.bin", "/behind/x", "/echo"].iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let fails = match ask(path) {
                Err(error) => Some(error.to_string()),
                Ok(answer) if answer.status != 200 => Some(answer.head),
                Ok(answer) if answer.field("Connection").is_some() => Some(answer.head),
                Ok(answer) if *path == "/big.bin" && answer.body.len() != BIG => Some("a part of a file".to_owned()),
                Ok(answer) if *path == "/" && !["one", "two"].contains(&answer.body.as_str()) => Some(answer.body),
                Ok(_) => None,
            };
            if let Some(why) = fails {
                self.failures.lock().unwrap().push(format!("{path}: {why}"));
                return;
            }
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Large enough for `sendfile`.
const BIG: usize = 100_000;

/// A configuration of the load; `word` tells them apart. What is behind goes by a number or by a name, and one of the two
/// has a listener more.
fn config(word: &str, upstream: &str) -> String {
    let more = if word == "two" { ", \"unix:more.sock\", \"[::1]:0\"" } else { "" };
    format!(
        "server: {{listen: [\"127.0.0.1:0\"{more}]}}\nroutes:\n  /: ./dist/\n  /{{$}}: OK {word}\n  \
         /behind/: http://{upstream}\n  /echo: *\n  /only-{word}: OK\n",
    )
}

fn under_load(cores: &str) {
    both(|io| {
        let backend = Backend::start();
        let by_name = format!("localhost:{}", backend.address.port());
        let configs = [config("one", &backend.address.to_string()), config("two", &by_name)];
        let folder = Folder::with(&configs[0]);
        folder.write("dist/file.txt", "a file");
        folder.write("dist/big.bin", &"x".repeat(BIG));
        folder.write("dist/index.html", "<p>hi");
        let gate = Gate::run(&folder, folder.command(&["serve", "--io", io, "--cores", cores]));
        let load = Load::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut kept = gate.client();
                let load = &load;
                scope.spawn(move || load.run(|path| kept.get(path)));
            }
            for _ in 0..2 {
                let (load, address) = (&load, gate.address());
                scope.spawn(move || load.run(|path| Client::connect(address)?.get(path)));
            }
            for reload in 1..=RELOADS {
                let before = load.answers.load(Ordering::Relaxed);
                let done = gate.reload(&folder, &configs[reload % 2]);
                let word = ["one", "two"][reload % 2];
                if !done {
                    load.failures.lock().unwrap().push(format!("reload {reload}: {}", gate.log()));
                    break;
                }
                // Every shard has it: new connections come to each of them.
                let late: Vec<String> = (0..8).map(|_| gate.get("/").body).filter(|body| body != word).collect();
                if !late.is_empty() {
                    load.failures.lock().unwrap().push(format!("after reload {reload}: {late:?}"));
                }
                until("clients to go on", || {
                    let failed = !load.failures.lock().unwrap().is_empty();
                    (failed || load.answers.load(Ordering::Relaxed) >= before + 50).then_some(())
                });
            }
            load.over.store(true, Ordering::Relaxed);
        });
        let failures = load.failures.into_inner().unwrap();
        assert!(failures.is_empty(), "{io}: {failures:#?}");
        assert_eq!(gate.logged("\"reloaded\""), RELOADS, "{io}");
        assert_eq!(gate.logged("panic"), 0, "{io}: {}", gate.log());
    });
}

#[test]
fn reloads_under_load_fail_no_request_and_drop_no_connection() {
    under_load(&super::gate::a_core());
}

#[test]
fn reloads_under_load_fail_no_request_on_all_cores() {
    under_load("all");
}

#[test]
fn a_connection_lives_on_with_the_new_table() {
    both(|io| {
        let folder = Folder::with("routes:\n  /: OK one\n");
        let gate = Gate::start(&folder, io, &[]);
        let mut kept = gate.client();
        assert_eq!(kept.get("/").unwrap().body, "one", "{io}");
        assert!(gate.reload(&folder, "routes:\n  /: OK two\n"), "{io}");
        assert_eq!(kept.get("/").unwrap().body, "two", "{io}");
    });
}

#[test]
fn a_request_under_way_ends_by_the_table_it_began_with() {
    both(|io| {
        let backend = Backend::start();
        let folder = Folder::with(&format!("routes:\n  /: http://{}\n", backend.address));
        let gate = Gate::start(&folder, io, &[]);
        let mut slow = gate.client();
        slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        backend.has(1);
        assert!(gate.reload(&folder, "routes:\n  /: OK two\n"), "{io}");
        assert_eq!(gate.get("/slow").body, "two", "{io}");
        backend.release();
        assert_eq!(slow.answer().unwrap().body, "hello world", "{io}");
        assert_eq!(slow.get("/slow").unwrap().body, "two", "{io}: the connection goes on by the new one");
    });
}

#[test]
fn a_tunnel_lives_through_a_reload() {
    both(|io| {
        let backend = Backend::start();
        let folder = Folder::with(&format!("routes:\n  /ws: http://{}\n", backend.address));
        let gate = Gate::start(&folder, io, &[]);
        let mut tunnel = gate.client();
        tunnel.send(HANDSHAKE).unwrap();
        assert_eq!(tunnel.head().unwrap().status, 101, "{io}");
        for word in ["one", "two", "three"] {
            assert!(gate.reload(&folder, &format!("routes:\n  /: OK {word}\n")), "{io}");
            tunnel.send(&format!("HTTP/1.1 200 {word}\r\nContent-Length: 0\r\n\r\n")).unwrap();
            assert!(tunnel.answer().unwrap().head.contains(word), "{io}: what was sent comes back");
        }
    });
}

/// What is refused: the log says why, and the old configuration goes on.
fn refused(io: &str, yaml: &str, reasons: &[&str]) {
    let folder = Folder::with("routes:\n  /: OK one\n");
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("ANYGATE_SERVER__IO", io);
    command.env("ANYGATE_SERVER__CORES", super::gate::a_core());
    let gate = Gate::run(&folder, command);
    let mut kept = gate.client();
    assert_eq!(kept.get("/").unwrap().body, "one", "{io}");
    assert!(!gate.reload(&folder, yaml), "{io}: {yaml}");
    for reason in reasons {
        assert!(gate.log().contains(reason), "{io}: {reason} is not in {}", gate.log());
    }
    assert_eq!(kept.get("/").unwrap().body, "one", "{io}");
    assert_eq!(gate.get("/").body, "one", "{io}");
    assert!(gate.reload(&folder, "routes:\n  /: OK mended\n"), "{io}: {}", gate.log());
    assert_eq!(kept.get("/").unwrap().body, "mended", "{io}");
}

#[test]
fn a_broken_file_leaves_the_old_one_running_and_is_told_with_its_line() {
    both(|io| {
        refused(io, "routes:\n  /: OOK\n", &["anygate.yml:2:6", "^^^", "did you mean `OK`?"]);
        refused(io, "routes: [\n", &["anygate.yml"]);
    });
}

#[test]
fn an_expectation_that_fails_refuses_the_reload() {
    both(|io| {
        let yaml = "routes:\n  /: OK two\nexpect:\n  - \"GET / -> 404\"\n";
        refused(io, yaml, &["anygate.yml:4:", "does something else"]);
    });
}

#[test]
fn an_address_that_is_taken_refuses_the_reload() {
    both(|io| {
        let folder = Folder::with("server: {listen: \"127.0.0.1:0\"}\nroutes:\n  /: OK one\n");
        let mut command = folder.command(&["serve", "--io", io, "--cores", &super::gate::a_core()]);
        command.env("COLUMNS", "100");
        let gate = Gate::run(&folder, command);
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let also = format!("server: {{listen: [\"127.0.0.1:0\", \"{taken}\"]}}\nroutes:\n  /: OK two\n");
        assert!(!gate.reload(&folder, &also), "{io}");
        assert!(gate.log().contains(&format!("cannot listen on {taken}")), "{io}: {}", gate.log());
        assert_eq!(gate.get("/").body, "one", "{io}");
        drop(holder);
        // A program that another test starts at this moment may hold a copy of the socket until it runs.
        until("the address to be free", || gate.reload(&folder, &also).then_some(()));
        assert_eq!(Client::connect(taken).unwrap().get("/").unwrap().body, "two", "{io}");
    });
}

#[test]
fn an_address_becomes_every_address_and_one_again_while_it_is_served() {
    both(|io| {
        let folder = Folder::new();
        let yaml = |listen: &str, backlog: u32| {
            format!("server: {{ listen: \"{listen}\", backlog: {backlog} }}\nroutes:\n  /: OK {backlog}\n")
        };
        // A port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        folder.write("anygate.yml", &yaml(&free.to_string(), 100));
        let gate = Gate::run(&folder, folder.command(&["serve", "--io", io, "--cores", &super::gate::a_core()]));
        for (turn, listen) in [(101, format!(":{}", free.port())), (102, free.to_string())] {
            assert!(gate.reload(&folder, &yaml(&listen, turn)), "{io} {listen}: {}", gate.log());
            let body = || Client::connect(free).ok()?.get("/").ok();
            until("the new table", || body().filter(|answer| answer.body == turn.to_string()).map(drop));
        }
    });
}

#[test]
fn what_cannot_change_refuses_the_reload_and_is_named() {
    let changed = |io: &str, server: &str, key: &str| {
        let folder =
            Folder::with(&format!("server: {{io: {io}, cores: {}}}\nroutes:\n  /: OK\n", super::gate::a_core()));
        let gate = Gate::run(&folder, folder.command(&["serve", "--listen", "127.0.0.1:0"]));
        assert!(!gate.reload(&folder, &format!("server: {server}\nroutes:\n  /: OK two\n")), "{io}: {server}");
        assert!(gate.log().contains(&format!("`server.{key}`")), "{io}: {key} is not in {}", gate.log());
        assert_eq!(gate.get("/").body, "", "{io}");
    };
    both(|io| {
        let (core, other) = (super::gate::a_core(), if io == "epoll" { "uring" } else { "epoll" });
        changed(io, &format!("{{io: {io}, cores: all}}"), "cores");
        changed(io, &format!("{{io: {other}, cores: {core}}}"), "io");
        changed(io, &format!("{{io: {io}, cores: {core}, steer: cpu}}"), "steer");
    });
}

#[test]
fn listeners_come_and_go_and_those_that_stay_notice_nothing() {
    both(|io| {
        let with = |listen: &str| format!("server: {{listen: [{listen}]}}\nroutes:\n  /: OK hi\n");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let second = free.local_addr().unwrap();
        drop(free);
        let folder = Folder::with(&with("\"127.0.0.1:0\""));
        let gate = Gate::run(&folder, folder.command(&["serve", "--io", io, "--cores", &super::gate::a_core()]));
        let mut kept = gate.client();
        assert_eq!(kept.get("/").unwrap().body, "hi", "{io}");
        assert!(Client::connect(second).is_err(), "{io}");

        assert!(gate.reload(&folder, &with(&format!("\"127.0.0.1:0\", \"{second}\", \"unix:more.sock\""))), "{io}");
        let mut there = until("the second listener", || Client::connect(second).ok());
        assert_eq!(there.get("/").unwrap().body, "hi", "{io}");
        let unix = std::os::unix::net::UnixStream::connect(folder.path().join("more.sock")).unwrap();
        assert_eq!(Client::over(unix).get("/").unwrap().body, "hi", "{io}");
        assert_eq!(kept.get("/").unwrap().body, "hi", "{io}");

        assert!(gate.reload(&folder, &with("\"127.0.0.1:0\"")), "{io}");
        until("the second listener to go", || Client::connect(second).is_err().then_some(()));
        assert!(!folder.path().join("more.sock").exists(), "{io}: its file is gone");
        assert_eq!(there.get("/").unwrap().body, "hi", "{io}: who came by it stays");
        assert_eq!(kept.get("/").unwrap().body, "hi", "{io}");
        assert_eq!(gate.get("/").body, "hi", "{io}");
        assert_eq!(gate.logged("panic"), 0, "{io}: {}", gate.log());
    });
}

#[test]
fn hang_ups_that_come_faster_than_they_are_read_end_with_the_last_configuration() {
    both(|io| {
        let folder = Folder::with("routes:\n  /: OK 0\n");
        let gate = Gate::start(&folder, io, &[]);
        let mut kept = gate.client();
        for number in 1..=40 {
            // Whole or not there at all, as an editor or a deployment would have it.
            folder.write("next.yml", &format!("routes:\n  /: OK {number}\n"));
            std::fs::rename(folder.path().join("next.yml"), folder.path().join("anygate.yml")).unwrap();
            gate.signal("HUP");
            assert_eq!(kept.get("/").unwrap().status, 200, "{io}");
        }
        until("the last configuration", || (kept.get("/").unwrap().body == "40").then_some(()));
        assert_eq!(gate.logged("\"error\""), 0, "{io}: {}", gate.log());
    });
}

#[test]
fn connections_to_a_server_behind_live_through_a_reload() {
    both(|io| {
        let backend = Backend::start();
        let config = |word: &str| format!("routes:\n  /: http://{}\n  /word: OK {word}\n", backend.address);
        let folder = Folder::with(&config("one"));
        let gate = Gate::start(&folder, io, &[]);
        let mut kept = gate.client();
        for word in ["two", "three", "four"] {
            assert_eq!(kept.get("/behind").unwrap().status, 200, "{io}");
            assert!(gate.reload(&folder, &config(word)), "{io}");
            assert_eq!(kept.get("/word").unwrap().body, word, "{io}");
        }
        assert_eq!(kept.get("/behind").unwrap().status, 200, "{io}");
        assert_eq!(backend.connections(), 1, "{io}");
    });
}

#[test]
fn a_large_download_goes_on_through_reloads_though_its_file_is_served_no_more() {
    both(|io| {
        let folder = Folder::with("routes:\n  /: ./dist/\n");
        let large: String = (0..8_000_000u32).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
        folder.write("dist/large.txt", &large);
        let gate = Gate::start(&folder, io, &[]);
        let mut slow = gate.client();
        slow.send("GET /large.txt HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // The socket's buffers are full long before the end.
        thread::sleep(std::time::Duration::from_millis(100));
        for word in ["one", "two"] {
            assert!(gate.reload(&folder, &format!("routes:\n  /: OK {word}\n")), "{io}");
            assert_eq!(gate.get("/large.txt").body, word, "{io}");
        }
        std::fs::remove_file(folder.path().join("dist/large.txt")).unwrap();
        assert!(slow.answer().unwrap().body == large, "{io}: every byte came");
    });
}

#[test]
fn a_request_under_way_reaches_its_server_though_the_configuration_no_longer_has_it() {
    both(|io| {
        let backend = Backend::start();
        let folder = Folder::with(&format!("routes:\n  /: http://{}\n", backend.address));
        let gate = Gate::start(&folder, io, &[]);
        let mut slow = gate.client();
        slow.send("GET /late HTTP/1.1\r\nHost: loc").unwrap();
        // Also those who were served before, on a connection that is kept.
        let mut kept = gate.client();
        assert_eq!(kept.get("/").unwrap().status, 200, "{io}");
        kept.send("POST /late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-cont").unwrap();
        thread::sleep(std::time::Duration::from_millis(50));
        for word in ["one", "two"] {
            let more: String = (0..20).map(|rule| format!("  /{word}/{rule}: OK\n")).collect();
            let moved = format!("routes:\n  /: http://localhost:{}\n{more}", backend.address.port());
            assert!(gate.reload(&folder, &moved), "{io}");
        }
        slow.send("alhost\r\n\r\n").unwrap();
        assert_eq!(slow.answer().unwrap().status, 200, "{io}");
        assert_eq!(slow.get("/").unwrap().status, 200, "{io}: and goes on with the new one");
        kept.send("inue\r\n\r\nbody").unwrap();
        let mut answer = kept.head().unwrap();
        if answer.status == 100 {
            answer = kept.head().unwrap();
        }
        assert_eq!(answer.status, 200, "{io}");
    });
}
