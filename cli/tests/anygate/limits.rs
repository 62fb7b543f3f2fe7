//! Clients that reach a limit, and a process that reaches one: what the log says, and what goes on.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::backend::Backend;
use super::gate::{Client, Gate, both};
use super::rig::Folder;

#[test]
fn a_limit_that_clients_reach_is_told_of_once_with_one_of_them_and_how_often() {
    both(|io| {
        let folder = Folder::with("server: {header_timeout: 50ms, max_body_size: 10}\nroutes:\n  /ok: OK\n");
        let gate = Gate::start(&folder, io, &[]);
        let mut slow: Vec<Client> = (0..10).map(|_| gate.client()).collect();
        for client in &mut slow {
            client.send("GET /o").unwrap();
        }
        for client in &mut slow {
            assert_eq!(client.answer().unwrap().status, 408, "{io}");
        }
        let mut large = gate.client();
        large.send("POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n").unwrap();
        assert_eq!(large.answer().unwrap().status, 413, "{io}");
        gate.logs("\"a request body was too large\"", 1);
        let log = gate.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("\"a client took too long to send a head\"")).collect();
        assert_eq!(lines.len(), 1, "{io}: {log}");
        for part in
            ["\"level\":\"info\"", "\"limit\":\"server.header_timeout\"", "\"peer\":\"127.0.0.1:", "\"times\":\""]
        {
            assert!(lines[0].contains(part), "{io}: {part} in {log}");
        }
    });
}

#[test]
fn a_flood_of_connections_while_draining_keeps_no_answer_from_its_client() {
    both(|io| {
        let backend = Backend::start();
        let folder = Folder::with(&format!("routes:\n  /: http://{}\n  /ok: OK\n", backend.address));
        let mut gate = Gate::start(&folder, io, &[]);
        let mut slow = gate.client();
        slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        backend.has(1);
        let address = gate.address();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        // Served to the end, or refused: either is right.
                        if let Ok(mut client) = Client::connect(address) {
                            let _ = client.get("/ok");
                        }
                    }
                });
            }
            thread::sleep(std::time::Duration::from_millis(50));
            gate.signal("TERM");
            thread::sleep(std::time::Duration::from_millis(200));
            backend.release();
            let answer = slow.answer().unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, "hello world"), "{io}");
            assert_eq!(gate.ends().code(), Some(0), "{io}");
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(gate.logged("\"drained\""), 1, "{io}: {}", gate.log());
    });
}

#[test]
fn a_large_answer_is_copied_where_there_is_no_descriptor_for_a_pipe() {
    const LENGTH: usize = 3_000_000;
    both(|io| {
        let behind = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = Folder::with(&format!("routes:\n  /: http://{}\n", behind.local_addr().unwrap()));
        let gate = Gate::start(&folder, io, &[]);
        let server = thread::spawn(move || {
            let (mut stream, _) = behind.accept().unwrap();
            let mut bytes = [0; 4096];
            for length in [2, LENGTH] {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let n = stream.read(&mut bytes).unwrap();
                    assert!(n > 0, "the connection is kept");
                    head.extend_from_slice(&bytes[..n]);
                }
                let body: Vec<u8> = (0..length).map(|at| b'a' + (at % 23) as u8).collect();
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).unwrap();
                stream.write_all(&body).unwrap();
            }
            stream
        });
        let mut client = gate.client();
        assert_eq!(client.get("/").unwrap().body, "ab", "{io}");
        // What is open stays so; nothing more can be.
        let limit = Command::new("prlimit").args(["--pid", &gate.pid().to_string(), "--nofile=3:3"]).status();
        assert!(limit.expect("util-linux is there").success());
        let answer = client.get("/").unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, LENGTH), "{io}");
        assert!(answer.body.bytes().enumerate().all(|(at, byte)| byte == b'a' + (at % 23) as u8), "{io}");
        drop(server.join().unwrap());
    });
}
