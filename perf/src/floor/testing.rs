//! Floors on threads of their own, for tests; and what they do, on both drivers.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::{Io, probe_uring};

use super::{BODIES, Floor, Origin, Relay, Stop};
use crate::load::Protocol;
use crate::server::ask;

/// A floor that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Sender<Stop>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

type Tell = Box<dyn FnOnce(SocketAddr)>;

impl Running {
    fn start(serve: impl FnOnce(&Receiver<Stop>, Tell) -> Result<(), String> + Send + 'static) -> Self {
        let (stop, mailbox) = mailbox::channel(1);
        let (listening, address) = mpsc::channel();
        let thread = thread::spawn(move || serve(&mailbox, Box::new(move |at| listening.send(at).unwrap())));
        Self { address: address.recv().expect("it listens"), stop, thread: Some(thread) }
    }

    /// A floor that answers, and with `close` ends each connection after its first answer.
    pub(crate) fn fixed(io: Io, close: bool) -> Self {
        let floor = Floor { listen: "127.0.0.1:0".parse().unwrap(), io, core: None, close };
        Self::start(move |mailbox, tell| floor.serve(mailbox, tell))
    }

    pub(crate) fn origin(io: Io) -> Self {
        let origin = Origin { listen: "127.0.0.1:0".parse().unwrap(), io, core: None };
        Self::start(move |mailbox, tell| origin.serve(mailbox, tell))
    }

    pub(crate) fn relay(io: Io, to: SocketAddr) -> Self {
        let relay = Relay { listen: "127.0.0.1:0".parse().unwrap(), io, core: None, to };
        Self::start(move |mailbox, tell| relay.serve(mailbox, tell))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(Stop);
        if let Some(thread) = self.thread.take() {
            assert_eq!(thread.join().expect("a floor does not panic"), Ok(()));
        }
    }
}

/// The drivers this machine has.
pub(crate) fn drivers() -> Vec<Io> {
    let mut drivers = vec![Io::Epoll];
    match probe_uring() {
        Ok(()) => drivers.push(Io::Uring),
        Err(why) => println!("io_uring is left out: {why}"),
    }
    drivers
}

#[test]
fn a_relay_passes_every_answer_and_every_upload_unchanged() {
    for io in drivers() {
        let origin = Running::origin(io);
        let relay = Running::relay(io, origin.address);
        for (path, length) in BODIES {
            let direct = ask(origin.address, path, None, false, Protocol::Http1).unwrap();
            assert_eq!((direct.status, direct.length), (200, length as u64), "{path}");
            assert_eq!(ask(relay.address, path, None, false, Protocol::Http1).unwrap(), direct, "{io}, {path}");
        }
        assert_eq!(ask(relay.address, "/no", None, false, Protocol::Http1).unwrap().status, 404);
        for upload in [1, 100_000, 20 << 20] {
            let answer = ask(relay.address, "/1k", Some(upload), false, Protocol::Http1).unwrap();
            assert_eq!((answer.status, answer.length), (200, 1024), "{io}, {upload}");
        }
    }
}

#[test]
fn a_relay_ends_a_client_whose_server_behind_ends_or_is_not_there() {
    use std::io::{Read, Write};
    for io in drivers() {
        let origin = Running::origin(io);
        let relay = Running::relay(io, origin.address);
        let mut client = std::net::TcpStream::connect(relay.address).unwrap();
        client.write_all(b"GET /100k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert!(all.starts_with(b"HTTP/1.1 200 OK") && all.len() > 100 << 10, "{io}: {} bytes", all.len());
        // A port that was free a moment ago.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let relay = Running::relay(io, nobody);
        assert!(ask(relay.address, "/", None, false, Protocol::Http1).is_err(), "{io}");
    }
}
