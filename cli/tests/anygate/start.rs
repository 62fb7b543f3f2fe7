//! What keeps a server from starting, how it says so, and what it does where io_uring is not to be had.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;

use super::gate::{Client, Gate, both, serve, serve_on};
use super::rig::{Folder, Ran};

/// Runs a command from a thread that has no io_uring, which what it starts inherits.
fn without_io_uring<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let denied = || {
        anygate_shard::testing::deny_io_uring().unwrap();
        run()
    };
    thread::scope(|scope| scope.spawn(denied).join().unwrap())
}

fn ran(mut command: Command) -> Ran {
    Ran::of(command.output().unwrap())
}

#[test]
fn an_address_in_use_is_an_error_and_not_a_silent_second_server() {
    both(|io| {
        let folder = Folder::new();
        let first = Gate::start(&folder, io, &["-r", "/: OK first"]);
        let address = first.address().to_string();
        let port = first.address().port();
        for listen in [address.clone(), format!(":{port}"), format!("0.0.0.0:{port}")] {
            let second = folder.run(&["serve", "--io", io, "--listen", &listen, "-r", "/: OK second"]);
            assert_eq!((second.code, second.out.as_str()), (3, ""), "{io}: {second:?}");
            assert!(
                second.err.starts_with("error: cannot listen on ") && second.err.lines().count() <= 3,
                "{io}: {}",
                second.err
            );
            assert!(second.err.contains(&format!(":{port}")) && second.err.contains("in use"), "{io}: {}", second.err);
        }
        for _ in 0..20 {
            assert_eq!(first.get("/").body, "first", "{io}");
        }
    });
}

#[test]
fn an_address_held_by_another_program_is_an_error() {
    both(|io| {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        let ran = Folder::new().run(&["serve", "--io", io, "--listen", &address]);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{io}: {ran:?}");
        assert!(ran.err.contains(&format!("cannot listen on {address}")), "{io}: {}", ran.err);
    });
}

#[test]
fn an_address_is_free_again_as_soon_as_its_server_has_ended() {
    both(|io| {
        let folder = Folder::new();
        let mut first = Gate::start(&folder, io, &["-r", "/: OK first"]);
        let mut kept = first.client();
        kept.get("/").unwrap();
        let address = first.address().to_string();
        first.signal("TERM");
        kept.closes(io);
        assert_eq!(first.ends().code(), Some(0), "{io}");
        let again = folder.command(&["serve", "--io", io, "--listen", &address, "-r", "/: OK second"]);
        assert_eq!(Gate::run(&folder, again).get("/").body, "second", "{io}: connections in TIME_WAIT hold nothing");
    });
}

#[test]
fn a_core_that_does_not_exist_is_an_error_that_says_which_there_are() {
    both(|io| {
        let folder = Folder::new();
        for cores in ["4000", "0-4000", "0,4000"] {
            let ran = ran(serve_on(cores, &folder, io, &["-r", "/: OK"]));
            assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{io}: {ran:?}");
            assert!(ran.err.contains(" does not exist") && ran.err.contains("it may use "), "{io}: {}", ran.err);
        }
    });
}

#[test]
fn a_core_that_is_not_allowed_is_an_error_and_all_means_the_allowed_ones() {
    let cores = anygate_shard::cores::allowed().unwrap();
    let (first, last) = (cores[0].to_string(), cores[cores.len() - 1].to_string());
    if first == last {
        eprintln!("left out: only core {first} may be used, and this test needs two");
        return;
    }
    both(|io| {
        let folder = Folder::new();
        let on_last = |cores: &str| {
            let mut command = Command::new("taskset");
            command.args(["-c", &last]).arg(env!("CARGO_BIN_EXE_anygate")).current_dir(folder.path()).env_clear();
            command.args(["serve", "--listen", "127.0.0.1:0", "-r", "/: OK", "--io", io, "--cores", cores]);
            command
        };
        let ran = ran(on_last(&first));
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{io}: {ran:?}");
        let words = format!("core {first} does not exist or is not allowed for this process; it may use {last}");
        assert!(ran.err.contains(&words), "{io}: {}", ran.err);
        let gate = Gate::run(&folder, on_last("all"));
        assert!(gate.banner.contains(&format!("  cores      {last}  (1 shard)\n")), "{io}: {}", gate.banner);
        assert_eq!(gate.get("/").status, 200, "{io}");
    });
}

#[test]
fn a_configuration_that_is_refused_is_shown_with_a_caret() {
    both(|io| {
        let folder = Folder::with("routes:\n  /: OOK\n");
        let ran = ran(serve(&folder, io, &[]));
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{io}: {ran:?}");
        assert!(ran.err.contains("anygate.yml:2:6") && ran.err.contains("^^^"), "{io}: {}", ran.err);
    });
}

#[test]
fn without_io_uring_auto_serves_on_epoll_and_says_why() {
    let folder = Folder::new();
    let gate = without_io_uring(|| Gate::start(&folder, "auto", &["-r", "/: *"]));
    assert!(gate.banner.contains("  driver     epoll, because "), "{}", gate.banner);
    let line = "\"level\":\"warn\",\"message\":\"io_uring is not available; using epoll\",\"why\":\"";
    gate.logs(line, 1);
    assert!(gate.log().contains("Operation not permitted"), "{}", gate.log());
    assert_eq!(gate.get("/").status, 200);
    assert!(!rings(&gate), "it has no ring");
}

#[test]
fn with_io_uring_auto_takes_it() {
    let folder = Folder::new();
    let gate = Gate::start(&folder, "auto", &["-r", "/: *"]);
    let has = anygate_shard::probe_uring().is_ok();
    let line = if has { "  driver     io_uring\n" } else { "  driver     epoll, because " };
    assert!(gate.banner.contains(line), "{}", gate.banner);
    assert_eq!(gate.get("/").status, 200);
    assert_eq!(rings(&gate), has);
}

#[test]
fn without_io_uring_uring_is_an_error() {
    let folder = Folder::new();
    let ran = without_io_uring(|| ran(serve(&folder, "uring", &["-r", "/: OK"])));
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(ran.err.starts_with("error: cannot use io_uring: "), "{}", ran.err);
    assert!(ran.err.contains("Operation not permitted"), "{}", ran.err);
}

/// True when the process has a ring open.
fn rings(gate: &Gate) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", gate.pid())).unwrap();
    let mut names = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    names.any(|name| name.to_string_lossy().contains("io_uring"))
}

#[test]
fn several_listeners_of_every_kind_serve_the_same() {
    both(|io| {
        let folder = Folder::new();
        let more = ["--listen", "[::1]:0", "--listen", "unix:gate.sock", "--listen", ":0", "-r", "/: *"];
        let gate = Gate::start(&folder, io, &more);
        let listeners = gate.listeners();
        assert_eq!(listeners.len(), 4, "{io}: {}", gate.banner);
        assert!(
            listeners[1].starts_with("http://[::1]:") && listeners[2].contains("gate.sock"),
            "{io}: {}",
            gate.banner
        );
        let any = listeners[3].strip_prefix("http://localhost:").expect(&gate.banner).split(' ').next().unwrap();
        let v6 = listeners[1].strip_prefix("http://").unwrap();
        let peers = [
            (gate.address().to_string(), "127.0.0.1"),
            (v6.to_owned(), "::1"),
            // IPv4 in disguise is IPv4.
            (format!("127.0.0.1:{any}"), "127.0.0.1"),
            (format!("[::1]:{any}"), "::1"),
        ];
        for (address, peer) in peers {
            let answer = Client::connect(address.parse().unwrap()).unwrap().get("/").unwrap();
            let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let from = said["peer"].as_str().unwrap().to_owned();
            assert!(
                from.trim_start_matches('[').starts_with(peer) && !from.contains("ffff"),
                "{io}: {address}: {from}"
            );
        }
        let unix = UnixStream::connect(folder.path().join("gate.sock")).unwrap();
        assert_eq!(Client::over(unix).get("/").unwrap().status, 200, "{io}");
    });
}

#[test]
fn a_unix_socket_is_taken_over_from_the_dead_and_not_from_the_living() {
    both(|io| {
        let folder = Folder::new();
        let socket = folder.path().join("gate.sock");
        let arguments = |word: &'static str| ["serve", "--io", io, "--listen", "unix:gate.sock", "-r", word];

        // A file that a server left behind when it was killed.
        drop(UnixListener::bind(&socket).unwrap());
        let mut first = Gate::run(&folder, folder.command(&arguments("/: OK first")));
        let second = ran(folder.command(&arguments("/: OK second")));
        assert_eq!((second.code, second.out.as_str()), (3, ""), "{io}: {second:?}");
        assert!(second.err.contains("gate.sock") && second.err.contains("in use"), "{io}: {}", second.err);
        let ask = || Client::over(UnixStream::connect(&socket).unwrap()).get("/").unwrap().body;
        assert_eq!(ask(), "first", "{io}");
        first.signal("TERM");
        assert_eq!(first.ends().code(), Some(0), "{io}");
        assert!(!socket.exists(), "{io}: its file goes with it");

        // A file that is no socket belongs to somebody.
        fs::write(&socket, "precious").unwrap();
        let third = ran(folder.command(&arguments("/: OK third")));
        assert_eq!(third.code, 3, "{io}: {third:?}");
        assert_eq!(fs::read_to_string(&socket).unwrap(), "precious", "{io}");
        fs::remove_file(&socket).unwrap();
    });
}

#[test]
fn a_unix_socket_is_shared_by_all_shards() {
    both(|io| {
        let folder = Folder::new();
        let arguments = ["serve", "--io", io, "--cores", "all", "--listen", "unix:gate.sock", "-r", "/: OK hi"];
        let mut gate = Gate::run(&folder, folder.command(&arguments));
        let connect = || Client::over(UnixStream::connect(folder.path().join("gate.sock")).unwrap());
        let mut clients: Vec<_> = (0..50).map(|_| connect()).collect();
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.get("/").unwrap().body, "hi", "{io}");
            }
        }
        gate.signal("TERM");
        clients.iter_mut().for_each(|client| client.closes(io));
        assert_eq!(gate.ends().code(), Some(0), "{io}");
    });
}

#[test]
fn every_core_s_shard_serves() {
    both(|io| {
        let cores = anygate_shard::cores::allowed().unwrap();
        let folder = Folder::new();
        let gate = Gate::run(&folder, serve_on("all", &folder, io, &["-r", "/: *"]));
        let shards = || -> Vec<(String, u64)> {
            let threads = fs::read_dir(format!("/proc/{}/task", gate.pid())).unwrap();
            let threads = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
            let named = threads.filter(|status| status.starts_with("Name:\tshard-"));
            let mut list: Vec<_> = named
                .map(|status| {
                    let value =
                        |key| status.lines().find_map(|line: &str| line.strip_prefix(key)).unwrap().trim().to_owned();
                    (value("Cpus_allowed_list:"), value("voluntary_ctxt_switches:").parse().unwrap())
                })
                .collect();
            list.sort_by_key(|(core, _)| core.parse::<usize>().unwrap());
            list
        };
        let before = shards();
        let pinned: Vec<usize> = before.iter().map(|(core, _)| core.parse().unwrap()).collect();
        assert_eq!(pinned, cores, "{io}: one shard on each core");
        let mut clients: Vec<_> = (0..40 * cores.len()).map(|_| gate.client()).collect();
        for _ in 0..2 {
            for client in &mut clients {
                assert_eq!(client.get("/").unwrap().status, 200, "{io}");
            }
        }
        for ((core, before), (_, after)) in before.iter().zip(shards()) {
            assert!(
                after - before >= 20,
                "{io}: the shard on core {core} slept {} times: it had little to do",
                after - before
            );
        }
    });
}

#[test]
fn without_descriptors_accepting_pauses_and_those_who_are_served_go_on() {
    both(|io| {
        let folder = Folder::with("server: {max_connections: 10000}\nroutes:\n  /: OK hi\n");
        let gate = Gate::start(&folder, io, &[]);
        let mut served: Vec<Client> = (0..10).map(|_| gate.client()).collect();
        for client in &mut served {
            assert_eq!(client.get("/").unwrap().body, "hi", "{io}");
        }
        // Fewer than it was told of when it began, so that its own limits do not come first.
        let limit = Command::new("prlimit").args(["--pid", &gate.pid().to_string(), "--nofile=64:64"]).status();
        assert!(limit.expect("util-linux is there").success());
        // More than there are descriptors: the kernel completes their handshakes, and they wait.
        let mut waiting: Vec<Client> = (0..80).map(|_| gate.client()).collect();
        gate.logs("accepting pauses", 1);
        for _ in 0..3 {
            for client in &mut served {
                assert_eq!(client.get("/").unwrap().body, "hi", "{io}: who was served is served");
            }
            thread::sleep(std::time::Duration::from_millis(120));
        }
        for client in &mut waiting {
            client
                .stream
                .get_mut()
                .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .unwrap();
        }
        // Each goes when it has its answer, and makes room for those who wait.
        for client in &mut waiting {
            let mut answer = String::new();
            client.stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhi"), "{io}: {answer:?}");
        }
        assert_eq!(gate.get("/").body, "hi", "{io}: accepting goes on");
        assert_eq!(gate.logged("accepting pauses"), 1, "{io}: one line tells of all: {}", gate.log());
        assert_eq!(gate.logged("panic"), 0, "{io}: {}", gate.log());
    });
}
