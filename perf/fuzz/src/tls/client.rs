//! What does a client do once its handshake has ended?

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use anygate_proto::tls::{Identity, Names, Resolver, SessionCache, Settings, TicketKeys, self_signed};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

const NAME: &str = "localhost";
/// Long enough for tickets.
const LIFETIME_S: u32 = 3600;

/// One act.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    /// Content, sealed.
    Content(&'a [u8]),
    /// Bytes as they are.
    Raw(&'a [u8]),
    /// Content, sealed, with a bit changed at a place of the records.
    Bent(&'a [u8], usize),
    /// Content, sealed, without so many bytes at the records' end.
    Short(&'a [u8], usize),
    /// Other keys from now on.
    Refresh,
    /// The word that all is over.
    Alarm,
}

impl<'a> Act<'a> {
    /// The act of a section; none for an empty one.
    pub(super) fn of(section: &'a [u8]) -> Option<Self> {
        let (kind, rest) = section.split_first()?;
        let placed = || rest.split_first().map_or((0, rest), |(place, rest)| (usize::from(*place), rest));
        Some(match kind % 8 {
            0..=2 => Self::Content(rest),
            3 => Self::Raw(rest),
            4 => Self::Bent(placed().1, placed().0),
            5 => Self::Short(placed().1, 1 + placed().0),
            6 => Self::Refresh,
            _ => Self::Alarm,
        })
    }
}

/// Both sides' settings: the client's with TLS 1.3 and with TLS 1.2.
pub(super) struct Keys {
    pub(super) server: Arc<ServerConfig>,
    clients: [Arc<ClientConfig>; 2],
}

/// The same for every input.
pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let (now, _) = anygate_shard::wall_clock();
        let pair = self_signed::make(&[NAME], now).expect("a certificate can be made");
        let identity = Identity::load(pair.cert.as_bytes(), pair.key.as_bytes(), None, now).expect("it can serve");
        let names = Names::new(vec![Arc::new(identity)], false);
        let settings = Settings {
            protocols: vec![b"http/1.1".to_vec()],
            tickets: TicketKeys::new(LIFETIME_S, now).ok(),
            sessions: Some(SessionCache::new(64, LIFETIME_S, now)),
            ..Settings::default()
        };
        let server = settings.build(Resolver::new(Arc::new(names))).expect("good settings");
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("it is PEM");
        roots.add(certificate).expect("it can be trusted");
        let clients = [&TLS13, &TLS12].map(|version| {
            let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.resumption = Resumption::disabled();
            Arc::new(config)
        });
        Keys { server, clients }
    })
}

/// One client's session.
pub(super) struct Session {
    rustls: ClientConnection,
    /// The other side has said that no more comes.
    closed: bool,
    /// Nothing can be read any more.
    pub(super) error: Option<String>,
}

impl Session {
    pub(super) fn new(old: bool) -> Self {
        let config = Arc::clone(&keys().clients[usize::from(old)]);
        let name = NAME.try_into().expect("a name");
        let mut rustls = ClientConnection::new(config, name).expect("good settings");
        rustls.set_buffer_limit(None);
        Self { rustls, closed: false, error: None }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// What is to be sent.
    pub(super) fn sealed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut bytes).expect("memory takes bytes");
        }
        bytes
    }

    /// Does it; what it sends.
    pub(super) fn act(&mut self, act: Act<'_>) -> Vec<u8> {
        let mut out = self.sealed();
        let at = out.len();
        match act {
            Act::Raw(bytes) => out.extend_from_slice(bytes),
            Act::Content(bytes) | Act::Bent(bytes, _) | Act::Short(bytes, _) => {
                // Who has said that all is over says no more.
                let _ = self.rustls.writer().write_all(bytes);
                out.append(&mut self.sealed());
            }
            Act::Refresh => {
                let _ = self.rustls.refresh_traffic_keys();
                out.append(&mut self.sealed());
            }
            Act::Alarm if self.error.is_some() => {}
            Act::Alarm => {
                let noise = [23, 3, 3, 0, 17].into_iter().chain([0xa5; 17]).collect::<Vec<u8>>();
                let _ = self.rustls.read_tls(&mut noise.as_slice());
                let told = self.rustls.process_new_packets();
                // Where a record had come in part, the noise is of that one, and says nothing yet: nothing is read behind it.
                self.error = Some(told.err().map_or_else(|| "noise".to_owned(), |error| error.to_string()));
                out.append(&mut self.sealed());
            }
        }
        let sealed = &mut out[at..];
        match act {
            Act::Bent(_, place) if !sealed.is_empty() => sealed[place % sealed.len()] ^= 1 << (place % 8),
            Act::Short(_, most) => {
                let length = sealed.len();
                out.truncate(at + length.saturating_sub(most));
            }
            _ => {}
        }
        out
    }

    /// The word that no more comes.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.rustls.send_close_notify();
        self.sealed()
    }

    /// Takes what came; content goes to `into`.
    pub(super) fn take(&mut self, mut bytes: &[u8], into: &mut Vec<u8>) {
        while !bytes.is_empty() && self.error.is_none() && !self.closed {
            let read = self.rustls.read_tls(&mut bytes).map_err(|error| error.to_string());
            let done = read.and_then(|_| self.rustls.process_new_packets().map_err(|error| error.to_string()));
            match done {
                Ok(state) => {
                    let at = into.len();
                    into.resize(at + state.plaintext_bytes_to_read(), 0);
                    let read = self.rustls.reader().read_exact(&mut into[at..]);
                    assert!(read.is_ok(), "what was promised can be read");
                    self.closed = state.peer_has_closed();
                }
                Err(error) => self.error = Some(error),
            }
        }
    }
}
