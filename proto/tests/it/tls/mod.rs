//! TLS in memory: certificates made here, handshakes with rustls' client, and what came of them.

mod handshake;
mod hello;
mod identity;
mod names;
mod ocsp;
mod records;
mod resumption;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anygate_proto::tls::records::{AHEAD, Records, sealed_len};
use anygate_proto::tls::{Fault, Identity, Names, Resolver, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SigningKey};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// 21 November 2026, 12:33: within the validity of the fixtures, and of what is made here.
const NOW: u64 = 1_795_264_380;
const DAY: u64 = 86_400;

/// A clock that stands still at [`NOW`].
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(NOW)))
    }
}

/// Who issues certificates, its own in PEM, and its key.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, names: &[&str], key: &impl SigningKey) -> String {
        self.issue_with(names, key, |_| {})
    }

    fn issue_with(&self, names: &[&str], key: &impl SigningKey, edit: impl FnOnce(&mut CertificateParams)) -> String {
        let names: Vec<_> = names.iter().map(|name| String::from(*name)).collect();
        let mut params = CertificateParams::new(names).unwrap();
        edit(&mut params);
        params.signed_by(key, &self.0).unwrap().pem()
    }

    /// A certificate with a new key, and that of this authority behind it as a server's file has it.
    fn identity(&self, names: &[&str]) -> Arc<Identity> {
        let key = KeyPair::generate().unwrap();
        let cert = self.issue(names, &key);
        Arc::new(Identity::load(cert.as_bytes(), key.serialize_pem().as_bytes(), None, NOW).unwrap())
    }

    fn identity_of(&self, names: &[&str], key: &KeyPair) -> Arc<Identity> {
        let cert = self.issue(names, key);
        Arc::new(Identity::load(cert.as_bytes(), key.serialize_pem().as_bytes(), None, NOW).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }
}

/// The one authority of most tests.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("Test CA"));
/// A key that takes long to make.
static RSA: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::from_pem(include_str!("fixtures/rsa.pkcs8.pem")).unwrap());

/// A server's configuration for these certificates, and `http/1.1`.
fn server(identities: &[&Arc<Identity>], edit: impl FnOnce(&mut Settings)) -> Arc<ServerConfig> {
    let names = Names::new(identities.iter().map(|identity| Arc::clone(identity)).collect(), false);
    let time: Option<Arc<dyn TimeProvider>> = Some(Arc::new(Clock));
    let mut settings = Settings { protocols: vec![b"http/1.1".to_vec()], time, ..Settings::default() };
    edit(&mut settings);
    settings.build(Resolver::new(Arc::new(names))).unwrap()
}

/// A client that believes the one authority, all versions unless edited.
struct Client {
    config: ClientConfig,
}

impl Client {
    fn new() -> Self {
        Self::of(rustls::ALL_VERSIONS, rustls::crypto::aws_lc_rs::default_provider())
    }

    fn tls12() -> Self {
        Self::of(&[&rustls::version::TLS12], rustls::crypto::aws_lc_rs::default_provider())
    }

    fn tls13() -> Self {
        Self::of(&[&rustls::version::TLS13], rustls::crypto::aws_lc_rs::default_provider())
    }

    fn of(versions: &[&'static SupportedProtocolVersion], provider: rustls::crypto::CryptoProvider) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(AUTHORITY.roots())
            .with_no_client_auth();
        Self::with(config)
    }

    /// Shows this certificate where one is asked for.
    fn showing(cert: &str, key: &KeyPair) -> Self {
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap).collect();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(AUTHORITY.roots())
            .with_client_auth_cert(chain, key)
            .unwrap();
        Self::with(config)
    }

    fn with(mut config: ClientConfig) -> Self {
        config.resumption = Resumption::disabled();
        config.time_provider = Arc::new(Clock);
        Self { config }
    }

    fn resuming(mut self) -> Self {
        self.config.resumption = Resumption::in_memory_sessions(8);
        self
    }

    fn protocols(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// A handshake, and what came of it.
    fn meets(&self, server: &Arc<ServerConfig>, name: &str) -> Met {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        let mut met = Met::new(client, server);
        met.exchange();
        met
    }
}

/// A client and a server that met.
struct Met {
    client: ClientConnection,
    records: Records,
    /// Content that came to the server.
    received: Vec<u8>,
    server_fault: Option<Fault>,
    client_error: Option<Error>,
    established: usize,
}

impl Met {
    fn new(client: ClientConnection, server: &Arc<ServerConfig>) -> Self {
        let records = Records::new(server).unwrap();
        Self { client, records, received: Vec::new(), server_fault: None, client_error: None, established: 0 }
    }

    /// Moves bytes until nothing moves any more.
    fn exchange(&mut self) {
        self.exchange_in(usize::MAX);
    }

    /// The same in pieces of so many bytes.
    fn exchange_in(&mut self, piece: usize) {
        loop {
            let mut sent = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut sent).unwrap();
            }
            let mut out = Vec::new();
            let size = piece.min(sent.len().max(1));
            for chunk in sent.chunks_mut(size) {
                self.feed(chunk, &mut out);
            }
            if sent.is_empty() && out.is_empty() {
                return;
            }
            self.give(&out);
        }
    }

    fn feed(&mut self, input: &mut [u8], out: &mut Vec<u8>) {
        if self.server_fault.is_some() {
            return;
        }
        let received = &mut self.received;
        match self.records.feed(input, |content| received.extend_from_slice(content), out) {
            Ok(fed) => self.established += usize::from(fed.established),
            Err(fault) => self.server_fault = Some(fault),
        }
    }

    /// What the server sends comes to the client.
    fn give(&mut self, mut out: &[u8]) {
        while !out.is_empty() && self.client_error.is_none() {
            self.client.read_tls(&mut out).unwrap();
            self.client_error = self.client.process_new_packets().err();
        }
    }

    /// What the server seals comes to the client as this.
    fn echo(&mut self, content: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; sealed_len(content.len())];
        let length = self.records.seal(content, &mut sealed).unwrap();
        self.open(&sealed[..length])
    }

    /// What comes out of these records at the client.
    fn open(&mut self, sealed: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        // A client takes in so much and no more before it is read from.
        for piece in sealed.chunks(4 << 10) {
            self.give(piece);
            let _ = std::io::Read::read_to_end(&mut self.client.reader(), &mut read);
        }
        read
    }

    /// The server says that it sends no more.
    fn close(&mut self) {
        let mut out = [0; AHEAD];
        let length = self.records.close(&mut out);
        self.give(&out[..length]);
    }

    fn succeeded(&self) -> &Self {
        assert_eq!((self.server_fault, &self.client_error), (None, &None));
        assert!(!self.records.is_handshaking() && !self.client.is_handshaking());
        assert_eq!(self.established, 1);
        self
    }

    /// The first name in the certificate that the server showed.
    fn shown(&self) -> String {
        let chain = self.client.peer_certificates().unwrap();
        anygate_proto::tls::Facts::read(&chain[0]).unwrap().names[0].to_string()
    }
}
