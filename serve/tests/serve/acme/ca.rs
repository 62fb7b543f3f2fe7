//! An authority over TLS: the strict ACME server of the protocol's own tests, asking this machine's listeners as the internet
//! would be asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anygate_proto::acme::challenge::HTTP_PATH;
use anygate_proto::acme::{Answer, Method, Request};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::authority::{Authority, Internet};
use super::manner::Manner;
use super::visitor::visitor;

const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of an answer on its way.
pub(super) type Fault = dyn Fn(&Request, Answer) -> Answer + Send + Sync;

/// A running authority; its thread goes with the process.
pub(super) struct Ca {
    pub(super) authority: Arc<Mutex<Authority>>,
    address: SocketAddr,
    /// The authorities' certificate that its own is vouched for by.
    pub(super) root: PathBuf,
    /// Where names are served: without TLS, and by TLS.
    names: Arc<Mutex<Option<[SocketAddr; 2]>>>,
    /// Connections are dropped as they come.
    pub(super) down: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Ca {
    /// Starts one; its certificate is kept in `folder`.
    pub(super) fn start(
        folder: &Path,
        manner: Manner,
        fault: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (config, root) = settings(folder, "127.0.0.1");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Arc::new(Mutex::new(Authority::at(&format!("https://{address}"), manner)));
        let (names, down, requests) = (Arc::default(), Arc::default(), Arc::default());
        let ca = Self { authority, address, root, names, down, requests };
        let (authority, names) = (Arc::clone(&ca.authority), Arc::clone(&ca.names));
        let (down, requests) = (Arc::clone(&ca.down), Arc::clone(&ca.requests));
        let fault: Box<Fault> = Box::new(fault);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if down.load(Ordering::Relaxed) {
                    continue;
                }
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                let Ok(request) = read(&mut stream, &address.to_string()) else { continue };
                requests.fetch_add(1, Ordering::Relaxed);
                let internet = Names(*names.lock().unwrap());
                let mut authority = authority.lock().unwrap();
                authority.now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
                let answer = authority.answer(&request, &internet);
                drop(authority);
                let _ = stream.write_all(&sent(&request, &fault(&request, answer))).and_then(|()| stream.flush());
            }
        });
        ca
    }

    /// Where names lead: the listener without TLS, and the one with it.
    pub(super) fn names_lead_to(&self, addresses: &[SocketAddr]) {
        *self.names.lock().unwrap() = Some([addresses[0], addresses[1]]);
    }

    /// The section `tls.acme` for it.
    pub(super) fn yaml(&self, domains: &str, storage: &Path, challenge: &str) -> String {
        yaml(&self.address.to_string(), domains, storage, challenge, &self.root)
    }

    /// Requests that it got.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// An authority of its own, and a certificate by it for `host`.
pub(super) fn settings(folder: &Path, host: &str) -> (Arc<ServerConfig>, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let file = folder.join("root.pem");
    std::fs::write(&file, root.self_signed(&key).unwrap().pem()).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(root, key)).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()));
    (Arc::new(config.unwrap()), file)
}

/// One request, from a stream.
fn read(stream: &mut impl Read, host: &str) -> io::Result<Request> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..n]);
        if let Some(request) = request(&bytes, host) {
            return Ok(request);
        }
    }
}

/// The request that these bytes are, once they are whole. What it says of the connection is not looked at.
pub(super) fn request(bytes: &[u8], host: &str) -> Option<Request> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = match first.next() {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => Method::Post,
    };
    let path = first.next().unwrap_or_default();
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let value = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    assert_eq!(value("Host"), Some(host));
    let length: usize = value("Content-Length").map_or(0, |length| length.parse().unwrap());
    let body = &bytes[end + 4..];
    if body.len() < length {
        return None;
    }
    let known = ["User-Agent", "Accept", "Accept-Language", "Content-Type"];
    let own = |name: &'static str| value(name).map(|value| (name, &*Box::leak(value.to_owned().into_boxed_str())));
    let headers = known.into_iter().filter_map(own).collect();
    Some(Request { method, url: format!("https://{host}{path}"), headers, body: body.to_vec() })
}

/// An answer as it is sent.
pub(super) fn sent(request: &Request, answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Said\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body: &[u8] = if request.method == Method::Head { b"" } else { &answer.body };
    [head.as_bytes(), b"\r\n", body].concat()
}

/// What HTTP-01 asks.
pub(super) fn question(name: &str, token: &str) -> String {
    format!("GET {HTTP_PATH}{token} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
}

/// The body of an answer to it.
pub(super) fn body(answer: &str) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

/// The section `tls.acme` for an authority at `host`.
pub(super) fn yaml(host: &str, domains: &str, storage: &Path, challenge: &str, root: &Path) -> String {
    format!(
        "acme: {{email: admin@example.com, domains: [{domains}], directory: 'https://{host}/directory', storage: '{}', \
         challenge: {challenge}, ca: '{}'}}",
        storage.display(),
        root.display()
    )
}

/// Where all names lead, if anywhere.
struct Names(Option<[SocketAddr; 2]>);

impl Names {
    fn connect(&self, which: usize) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.0?[which]).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(stream)
    }
}

impl Internet for Names {
    fn http(&self, name: &str, token: &str) -> Option<String> {
        let mut stream = self.connect(0)?;
        stream.write_all(question(name, token).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        body(&answer)
    }

    /// The server has to end the connection itself.
    fn tls(&self, server_name: &str) -> Option<Vec<u8>> {
        let mut socket = self.connect(1)?;
        let mut client = visitor(server_name);
        while client.is_handshaking() {
            client.complete_io(&mut socket).ok()?;
        }
        let shown = client.peer_certificates().map(|chain| chain[0].to_vec());
        let mut stream = StreamOwned::new(client, socket);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "nothing is served in such a session");
        assert!(!ended.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock), "the connection stays open");
        shown
    }
}
