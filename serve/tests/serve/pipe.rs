//! A client's stream, plain or over TLS, so that a test runs over both.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anygate_core::config::ListenAddr;
use anygate_serve::plan::Plan;
use anygate_serve::tls::Front;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// Which way clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls,
}

/// Both ways.
pub(crate) const WAYS: [Way; 2] = [Way::Plain, Way::Tls];

impl Way {
    /// Has every listener of a plan take clients this way.
    pub(crate) fn open(self, plan: &mut Plan) {
        if self == Self::Tls {
            plan.fronts =
                vec![(ListenAddr::Any(0), Front { tls: Some(Arc::clone(&keys().server)), ..Front::default() })];
        }
    }
}

impl Way {
    /// What a server behind is told of a request that came this way, where a table says what it is told of a plain one.
    pub(crate) fn told(self, plain: Vec<u8>) -> Vec<u8> {
        if self == Self::Plain {
            return plain;
        }
        let text = plain.iter().map(|byte| char::from(*byte)).collect::<String>();
        let text = text.replace("X-Forwarded-Proto: http\r\n", "X-Forwarded-Proto: https\r\n");
        let text = text.replace("proto=http\r\n", "proto=https\r\n").replace("proto=http;", "proto=https;");
        text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("it was a byte")).collect()
    }
}

/// Both sides' settings, with one certificate for `localhost` and `127.0.0.1`.
pub(crate) struct Keys {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

/// The same for every test of the process.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("a certificate can be made");
        let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key.into()))
            .expect("the key is the certificate's");
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("it can be trusted");
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Keys { server: Arc::new(server), client: Arc::new(client) }
    })
}

/// What carries a client's bytes, below TLS where there is any.
pub(crate) trait Socket: Read + Write {
    /// A read waits so long at most, and is `WouldBlock` or `TimedOut` then.
    fn wait_at_most(&self, patience: Duration);

    /// Sends the end of the stream.
    ///
    /// # Errors
    /// It is not connected any more.
    fn end(&self) -> io::Result<()>;

    /// Its own address.
    fn local(&self) -> SocketAddr;

    /// The time by the clock that patience is measured with.
    fn now(&self) -> Duration;

    /// Lets time pass.
    fn pause(&self, time: Duration);
}

impl Socket for TcpStream {
    fn wait_at_most(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).expect("a socket option");
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn local(&self) -> SocketAddr {
        self.local_addr().expect("it is connected")
    }

    fn now(&self) -> Duration {
        static BEGUN: OnceLock<Instant> = OnceLock::new();
        BEGUN.get_or_init(Instant::now).elapsed()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A client's stream, whatever carries it.
pub(crate) trait Carrier: Socket {
    /// No more bytes will come from here.
    ///
    /// # Errors
    /// It is not connected any more.
    fn finish(&mut self) -> io::Result<()>;
}

/// A client's stream.
pub(crate) enum Pipe<S: Socket = TcpStream> {
    Plain(S),
    Tls(Box<StreamOwned<ClientConnection, S>>),
}

impl Pipe {
    /// Comes in this way; over TLS the handshake has ended.
    pub(crate) fn connect(address: SocketAddr, way: Way) -> Self {
        let stream = TcpStream::connect(address).expect("the gate listens");
        stream.set_nodelay(true).expect("a socket option");
        match way {
            Way::Plain => Self::Plain(stream),
            Way::Tls => Self::secured(stream, Arc::clone(&keys().client)),
        }
    }
}

impl<S: Socket> Pipe<S> {
    /// A TLS client with settings of its own.
    pub(crate) fn secured(stream: S, config: Arc<ClientConfig>) -> Self {
        Self::named(stream, "localhost", config)
    }

    /// The same, asking for a name.
    pub(crate) fn named(mut stream: S, name: &str, config: Arc<ClientConfig>) -> Self {
        let name = name.to_owned().try_into().expect("a name");
        let mut connection = ClientConnection::new(config, name).expect("a client");
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).expect("the handshake ends well");
        }
        Self::Tls(Box::new(StreamOwned::new(connection, stream)))
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &S {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// No more bytes will come from here.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.end(),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }
}

impl<S: Socket> Socket for Pipe<S> {
    fn wait_at_most(&self, patience: Duration) {
        self.socket().wait_at_most(patience);
    }

    fn end(&self) -> io::Result<()> {
        self.socket().end()
    }

    fn local(&self) -> SocketAddr {
        self.socket().local()
    }

    fn now(&self) -> Duration {
        self.socket().now()
    }

    fn pause(&self, time: Duration) {
        self.socket().pause(time);
    }
}

impl<S: Socket> Carrier for Pipe<S> {
    fn finish(&mut self) -> io::Result<()> {
        self.finish()
    }
}

impl<S: Socket> Read for Pipe<S> {
    /// A TLS stream that ends without a word for it was reset.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => heard(stream, into).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::ErrorKind::ConnectionReset.into(),
                _ => error,
            }),
        }
    }
}

/// Reads without sending what may be left to send: a gate that takes no more may have said why.
fn heard<S: Socket>(stream: &mut StreamOwned<ClientConnection, S>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        stream.conn.read_tls(&mut stream.sock)?;
        stream.conn.process_new_packets().map_err(io::Error::other)?;
    }
}

impl<S: Socket> Write for Pipe<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
