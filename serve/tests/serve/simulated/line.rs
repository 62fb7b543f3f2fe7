//! What carries a client's bytes to the house and back: a plain connection, or TLS over one, as rustls speaks it.
//!
//! All of it is the same in every run of a seed but for the bytes of keys and what they seal: their number is the same.

use std::cell::{Cell, RefCell, RefMut};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use anygate_shard::{Bytes, Class, Lease, Shard, SocketId};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::scene::Secure;

/// The house's name in its certificates.
const NAME: &str = "sim.test";
/// An Ed25519 key in PKCS#8 (RFC 8410 §7) without its 32 bytes: its signatures are the same in every run.
const KEY: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Sessions a client keeps to go on with.
const SESSIONS: usize = 4;

/// The house's certificates: it may change from one to the other.
pub(super) const CERTIFICATES: usize = 2;

/// Where a certificate and its key are, made once.
pub(super) fn certificate(number: usize) -> [PathBuf; 2] {
    static ONCE: Once = Once::new();
    let folder = std::env::temp_dir().join("anygate-simulated-tls");
    ONCE.call_once(|| {
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        for number in 0..CERTIFICATES {
            let (key, certificate) = pair(number);
            let texts = [(certificate.pem(), "crt"), (key.serialize_pem(), "key")];
            for (text, kind) in texts {
                let file = folder.join(format!("{number}.{kind}"));
                if fs::read(&file).is_ok_and(|there| there == text.as_bytes()) {
                    continue;
                }
                // Put in place whole: another run of these tests may be reading it.
                let new = folder.join(format!("{number}.{kind}.{}", std::process::id()));
                fs::write(&new, text).expect("room for a file");
                fs::rename(new, file).expect("a name for it");
            }
        }
    });
    ["crt", "key"].map(|kind| folder.join(format!("{number}.{kind}")))
}

fn pair(number: usize) -> (KeyPair, rcgen::Certificate) {
    let secret = [KEY.as_slice(), &[number as u8 + 1; 32]].concat();
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(secret)).expect("a key");
    let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    (key, certificate)
}

/// The time of day on the virtual clock.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// A client's settings: its own, with the sessions it may go on with; with HTTP/2, where it speaks that.
pub(super) fn settings(secure: Secure, multi: bool, clock: &Arc<Clock>) -> Arc<ClientConfig> {
    static TRUSTED: OnceLock<(Arc<CryptoProvider>, Arc<RootCertStore>)> = OnceLock::new();
    let (provider, roots) = TRUSTED.get_or_init(|| {
        let certificates = (0..CERTIFICATES).map(|number| CertificateDer::from(pair(number).1));
        let mut roots = RootCertStore::empty();
        certificates.for_each(|certificate| roots.add(certificate).expect("it can be trusted"));
        (Arc::new(default_provider()), Arc::new(roots))
    });
    let clock: Arc<dyn TimeProvider> = Arc::<Clock>::clone(clock);
    let mut config = ClientConfig::builder_with_details(Arc::clone(provider), clock)
        .with_protocol_versions(&[if secure.old { &TLS12 } else { &TLS13 }])
        .expect("a version")
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.max_fragment_size = secure.fragment;
    config.resumption = if secure.resumes { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
    if multi {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    } else if secure.names_protocol {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Arc::new(config)
}

/// A print of every byte that clients and servers behind are given in a run, in their order; over TLS, of what was sealed.
#[derive(Clone, Default)]
pub(super) struct Heard(Rc<RefCell<DefaultHasher>>);

impl Heard {
    fn add(&self, content: &[u8]) {
        self.0.borrow_mut().write(content);
    }

    pub(super) fn print(&self) -> u64 {
        self.0.borrow().finish()
    }
}

/// A connection.
pub(super) struct Line {
    shard: Shard,
    heard: Heard,
    pub(super) socket: SocketId,
    session: Option<RefCell<ClientConnection>>,
    /// The other side has said that no more comes.
    ended: Cell<bool>,
    /// What came behind the handshake, from a house that may speak first.
    kept: Option<RefCell<Vec<u8>>>,
}

impl Line {
    /// Without TLS.
    pub(super) fn plain(shard: &Shard, socket: SocketId, heard: &Heard) -> Line {
        let heard = heard.clone();
        Line { shard: shard.clone(), heard, socket, session: None, ended: Cell::new(false), kept: None }
    }

    /// With TLS by these settings, where there are any.
    pub(super) fn new(shard: &Shard, socket: SocketId, settings: Option<&Arc<ClientConfig>>, heard: &Heard) -> Line {
        let session = settings.map(|settings| {
            let name = NAME.try_into().expect("a name");
            let mut session = ClientConnection::new(Arc::clone(settings), name).expect("good settings");
            session.set_buffer_limit(None);
            RefCell::new(session)
        });
        Line { session, ..Line::plain(shard, socket, heard) }
    }

    /// The house may speak first on it.
    pub(super) fn spoken_to(self) -> Line {
        Line { kept: Some(RefCell::default()), ..self }
    }

    fn session(&self) -> Option<RefMut<'_, ClientConnection>> {
        self.session.as_ref().map(RefCell::borrow_mut)
    }

    /// What is to be sent as it is: a flight of the handshake, records.
    pub(super) fn sealed(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(mut session) = self.session() {
            while session.wants_write() {
                session.write_tls(&mut bytes).expect("memory takes bytes");
            }
        }
        bytes
    }

    /// Sends bytes as they are, whatever they are.
    pub(super) fn queue_raw(&self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.shard.queue(self.socket, Bytes::from(bytes));
        }
    }

    /// Whether the handshake goes on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session().is_some_and(|session| session.is_handshaking())
    }

    /// Sends content.
    pub(super) fn queue(&self, content: &[u8]) {
        let Some(mut session) = self.session() else { return self.queue_raw(content.to_vec()) };
        session.writer().write_all(content).expect("memory takes bytes");
        drop(session);
        self.queue_raw(self.sealed());
    }

    /// From now on other keys seal what is sent, where the version has that.
    pub(super) fn refresh(&self) {
        if let Some(mut session) = self.session() {
            let _ = session.refresh_traffic_keys();
        }
    }

    /// Says that no more is sent.
    pub(super) fn finish(&self) {
        if let Some(mut session) = self.session() {
            session.send_close_notify();
        }
        self.queue_raw(self.sealed());
        self.cut();
    }

    /// Sends no more, and does not say so.
    pub(super) fn cut(&self) {
        self.shard.shutdown_write(self.socket);
    }

    /// Takes noise for what the other side sent, and so comes to say that all is over.
    pub(super) fn alarm(&self) -> Vec<u8> {
        if let Some(mut session) = self.session() {
            let noise = [22, 3, 3, 0, 32].into_iter().chain([0xa5; 32]).collect::<Vec<u8>>();
            let _ = session.read_tls(&mut noise.as_slice());
            let _ = session.process_new_packets();
        }
        self.sealed()
    }

    /// Takes what comes next of a handshake.
    ///
    /// # Errors
    /// As [`Line::recv`]; `ConnectionAborted` where the other side has ended it.
    pub(super) async fn shake(&self) -> io::Result<()> {
        let content = self.take().await?;
        match &self.kept {
            Some(kept) => kept.borrow_mut().extend_from_slice(&content),
            None if content.is_empty() => {}
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, "content in a handshake")),
        }
        // A house that is being closed says so behind its last flight.
        if self.ended.get() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Content; none is the end, and over TLS one that was said.
    ///
    /// # Errors
    /// `UnexpectedEof` for an end that was not said, `InvalidData` for what is no TLS.
    pub(super) async fn recv(&self) -> io::Result<Vec<u8>> {
        let content = self.content().await?;
        self.heard.add(&content);
        Ok(content)
    }

    async fn content(&self) -> io::Result<Vec<u8>> {
        let kept = self.kept.as_ref().map(RefCell::take).unwrap_or_default();
        if !kept.is_empty() {
            return Ok(kept);
        }
        if self.session.is_none() {
            return Ok(self.recv_raw().await?.filled().to_vec());
        }
        while !self.ended.get() {
            let content = self.take().await?;
            // Other keys ask for other keys in return.
            self.queue_raw(self.sealed());
            if !content.is_empty() {
                return Ok(content);
            }
        }
        Ok(Vec::new())
    }

    /// What came, as it is.
    pub(super) async fn recv_raw(&self) -> io::Result<Lease> {
        self.shard.recv(self.socket, Class::Head).await
    }

    /// Takes what came next; the content in it, if there is any.
    async fn take(&self) -> io::Result<Vec<u8>> {
        let lease = self.recv_raw().await?;
        if lease.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(mut session) = self.session() else { return Ok(lease.filled().to_vec()) };
        let (mut rest, mut content) = (lease.filled(), Vec::new());
        while !rest.is_empty() && !self.ended.get() {
            session.read_tls(&mut rest)?;
            let state = session.process_new_packets();
            let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let at = content.len();
            content.resize(at + state.plaintext_bytes_to_read(), 0);
            session.reader().read_exact(&mut content[at..])?;
            self.ended.set(state.peer_has_closed());
        }
        Ok(content)
    }
}
