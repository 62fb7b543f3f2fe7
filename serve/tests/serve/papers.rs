//! Certificates made for a test: of servers, in files that a configuration names, and of clients who show them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An authority, and a folder with what it issued: gone when the test is over.
pub(crate) struct Papers {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
    client: (CertificateDer<'static>, Vec<u8>),
}

impl Papers {
    /// A certificate for each of these lists of names, in the order of the configuration; `clients.pem` is the authority of
    /// clients' certificates.
    pub(crate) fn new(servers: &[&[&str]]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("anygate-papers-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "Papers");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        fs::write(folder.join("clients.pem"), authority.pem()).expect("a file can be written");
        for (at, names) in servers.iter().enumerate() {
            let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            let key = KeyPair::generate().expect("a key");
            let cert = params.expect("good names").signed_by(&key, &authority).expect("a certificate");
            let chain = format!("{}{}", cert.pem(), authority.pem());
            fs::write(folder.join(format!("{at}.crt")), chain).expect("a file can be written");
            fs::write(folder.join(format!("{at}.key")), key.serialize_pem()).expect("a file can be written");
        }
        let mut params = CertificateParams::new(["staff.test".to_owned()]).expect("a good name");
        params.distinguished_name.push(DnType::CommonName, "staff");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &authority).expect("a certificate");
        let client = (cert.der().clone(), key.serialize_der());
        Self { folder, authority, client }
    }

    /// A configuration's `tls` section for these certificates, with more of it, behind a listener that speaks TLS.
    pub(crate) fn configuration(&self, servers: usize, tls: &str, rest: &str) -> String {
        format!("server: {{listen: [{{addr: \":0\", tls: true}}]}}\n{}", self.section(servers, tls, rest))
    }

    /// The same without the listener.
    pub(crate) fn section(&self, servers: usize, tls: &str, rest: &str) -> String {
        let folder = self.folder.display();
        let pairs: Vec<String> =
            (0..servers).map(|at| format!("{{cert: {folder}/{at}.crt, key: {folder}/{at}.key}}")).collect();
        let tls = tls.replace("CLIENTS", &format!("{folder}/clients.pem"));
        format!("tls: {{certificates: [{}], {tls}}}\n{rest}", pairs.join(", "))
    }

    /// A client's settings, with a certificate to show or without.
    pub(crate) fn client(&self, shows: bool) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("it can be trusted");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .with_root_certificates(roots);
        let mut config = if shows {
            let chain = vec![self.client.0.clone(), self.authority.der().clone()];
            let key = PrivateKeyDer::Pkcs8(self.client.1.clone().into());
            builder.with_client_auth_cert(chain, key).expect("the key is the certificate's")
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// The client's certificate and those it sends along, DER.
    pub(crate) fn shown(&self) -> [CertificateDer<'static>; 2] {
        [self.client.0.clone(), self.authority.der().clone()]
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A client in a session.
pub(crate) struct Visitor {
    stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

impl Visitor {
    /// Comes in and asks for `name` in the handshake; an address is no name.
    pub(crate) fn connect(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Self {
        let mut stream = TcpStream::connect(address).expect("the gate listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
        let name = name.to_owned().try_into().expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).expect("the handshake ends well");
        }
        Self { stream: StreamOwned::new(connection, stream), read: Vec::new() }
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).expect("the gate takes bytes");
    }

    /// One whole response; its head alone where it answers a `HEAD`.
    pub(crate) fn response(&mut self, to_head: bool) -> String {
        loop {
            let end = self.read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                let length = length.filter(|_| !to_head).map_or(0, |length| length.parse().expect("a number"));
                if self.read.len() >= end + length {
                    return self.read.drain(..end + length).map(char::from).collect();
                }
            }
            let mut bytes = [0; 16 << 10];
            let n = self.stream.read(&mut bytes).expect("an answer");
            assert!(n > 0, "the connection ended: {}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&bytes[..n]);
        }
    }

    /// The answer to a request.
    pub(crate) fn ask(&mut self, request_line: &str, fields: &str) -> String {
        self.send(&format!("{request_line} HTTP/1.1\r\n{fields}\r\n"));
        self.response(request_line.starts_with("HEAD "))
    }
}

/// The status of a response.
pub(crate) fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}
