//! Servers behind: what a test needs to see a request arrive, and to decide when its answer goes on.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A server behind. `/slow` begins an answer and finishes it when the test says so; an `Upgrade` is switched and echoed;
/// everything else is answered with its own head and body, on kept connections.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    connections: usize,
    answered: usize,
    waiting: usize,
    released: bool,
}

impl Backend {
    pub(super) fn start() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub(super) fn at(address: impl ToSocketAddrs) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let its = backend.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let its = its.clone();
                let stream = stream.unwrap();
                its.state.0.lock().unwrap().connections += 1;
                // A connection that breaks is the test's to notice.
                thread::spawn(move || drop(its.converse(stream)));
            }
        });
        backend
    }

    /// How many connections came so far.
    pub(super) fn connections(&self) -> usize {
        self.state.0.lock().unwrap().connections
    }

    /// Waits until that many requests were answered at once.
    pub(super) fn answered(&self, times: usize) {
        super::gate::until("requests to be answered", || {
            (self.state.0.lock().unwrap().answered >= times).then_some(())
        });
    }

    /// Waits until that many slow requests are under way.
    pub(super) fn has(&self, waiting: usize) {
        super::gate::until("a slow request to arrive", || {
            (self.state.0.lock().unwrap().waiting == waiting).then_some(())
        });
    }

    /// Lets the slow ones finish.
    pub(super) fn release(&self) {
        self.state.0.lock().unwrap().released = true;
        self.state.1.notify_all();
    }

    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let Some(head) = read_head(&mut reader)? else { return Ok(()) };
            if head.contains("\r\nUpgrade: ") {
                stream.write_all(SWITCH)?;
                std::io::copy(&mut reader, &mut stream)?;
                return Ok(());
            }
            if head.starts_with("GET /slow ") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello ")?;
                let mut state = self.state.0.lock().unwrap();
                state.waiting += 1;
                drop(self.state.1.wait_while(state, |state| !state.released).unwrap());
                stream.write_all(b"world")?;
            } else {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
                stream.write_all(answer.as_bytes())?;
                self.state.0.lock().unwrap().answered += 1;
            }
        }
    }
}

/// The next head, empty line and all; `None` where the client has ended.
pub(super) fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}
