//! Servers behind: raw bytes in, recorded; raw bytes out, as a script says.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long a script or a test waits for the gate.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server behind; its thread ends with the process.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    requests: Receiver<String>,
    connections: Arc<AtomicUsize>,
}

/// One connection of the gate, in a script's hands.
pub(crate) struct Served {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
    requests: Sender<String>,
}

impl Backend {
    /// Runs `script` on each connection, on a thread of its own; the connection is closed when it returns.
    pub(crate) fn start(script: impl Fn(&mut Served) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (sender, requests) = mpsc::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(PATIENCE * 2)).expect("a socket option");
                stream.set_nodelay(true).expect("a socket option");
                let mut served = Served { stream, read: Vec::new(), requests: sender.clone() };
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut served));
            }
        });
        Self { address, requests, connections }
    }

    /// Answers every request with the same bytes, on connections that stay.
    pub(crate) fn answering(answer: &'static str) -> Self {
        Self::start(move |served| while served.request().is_some() && served.send(answer.as_bytes()) {})
    }

    /// Where it is, as a rule's target.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A configuration whose only rule leads here.
    pub(crate) fn config(&self) -> String {
        self.config_with("")
    }

    /// The same with `proxy` settings such as `via: false`.
    pub(crate) fn config_with(&self, settings: &str) -> String {
        format!("proxy: {{{settings}}}\nroutes: {{/: \"http://{}\"}}\n", self.address)
    }

    /// The next request that came, whole.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("the gate sends a request")
    }

    /// True when no request came that was not asked about.
    pub(crate) fn is_quiet(&self) -> bool {
        self.requests.try_recv().is_err()
    }

    /// A request that came already and was not asked about.
    pub(crate) fn taken(&self) -> Option<String> {
        self.requests.try_recv().ok()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Served {
    /// The next request, head and body, as it came; `None` at the end of the stream. It is recorded.
    pub(crate) fn request(&mut self) -> Option<String> {
        let head = self.head()?;
        let lower = head.to_ascii_lowercase();
        let mut request = head;
        if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
            loop {
                let line = self.until(b"\r\n")?;
                request += &line;
                if line == "0\r\n" {
                    break;
                }
            }
            while !request.ends_with("\r\n\r\n") {
                request += &self.until(b"\r\n")?;
            }
        } else if let Some(line) = lower.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            let length = line.parse::<usize>().expect("a number");
            while self.read.len() < length {
                self.more()?;
            }
            request += &String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>());
        }
        let _ = self.requests.send(request.clone());
        Some(request)
    }

    /// The next request's head alone, not recorded.
    pub(crate) fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n")
    }

    /// Writes down something that is not a request.
    pub(crate) fn record(&self, text: String) {
        let _ = self.requests.send(text);
    }

    /// Sends bytes; false when the gate takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// No more bytes will come from here.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Exactly that many bytes; `None` when the stream ends before.
    pub(crate) fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            self.more()?;
        }
        Some(self.read.drain(..count).collect())
    }

    /// Everything up to the end of the stream, and whether that was a clean end.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut clean = true;
        let mut bytes = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(n) => self.read.extend_from_slice(&bytes[..n]),
                Err(error) => {
                    clean = error.kind() != ErrorKind::ConnectionReset;
                    break;
                }
            }
        }
        (std::mem::take(&mut self.read), clean)
    }

    /// Everything up to and with `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Some(
                    String::from_utf8_lossy(&self.read.drain(..at + end.len()).collect::<Vec<_>>()).into_owned(),
                );
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 64 * 1024];
        let n = self.stream.read(&mut bytes).ok().filter(|n| *n > 0)?;
        self.read.extend_from_slice(&bytes[..n]);
        Some(())
    }
}
