//! What is known of a client from its handshake.

use std::cell::OnceCell;

use anygate_proto::tls::records::Agreed;
use anygate_proto::tls::{ClientCert, Facts};

/// What TLS knows of a client. What is made of its certificate is made when it is first asked for, once a session.
#[derive(Debug)]
pub struct TlsInfo {
    /// What was agreed on in the handshake.
    pub agreed: Agreed,
    /// True while the handshake has not ended: requests are early data, which anybody may have repeated (RFC 8470 §2).
    pub early_data: bool,
    facts: OnceCell<Option<Box<Facts>>>,
    fields: OnceCell<Option<Box<ClientCert>>>,
}

impl TlsInfo {
    /// Of requests behind a handshake, or handled behind it.
    #[must_use]
    pub fn new(agreed: Agreed) -> Self {
        Self { agreed, early_data: false, facts: OnceCell::new(), fields: OnceCell::new() }
    }

    /// Of requests that came before the end of a handshake.
    #[must_use]
    pub fn early(agreed: Agreed) -> Self {
        Self { early_data: true, ..Self::new(agreed) }
    }

    /// True where the client showed a certificate, which was verified.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        !self.agreed.client_chain.is_empty()
    }

    /// What the client's certificate says: its subject, alternative names, serial number, SHA-256 fingerprint. None where
    /// it showed none.
    #[must_use]
    pub fn certificate(&self) -> Option<&Facts> {
        let read = || self.agreed.client_chain.first().and_then(|own| Facts::read(own)).map(Box::new);
        self.facts.get_or_init(read).as_deref()
    }

    /// The client's certificate as a server behind is told of it (RFC 9440). None where it showed none.
    #[must_use]
    pub fn client_cert(&self) -> Option<&ClientCert> {
        self.fields.get_or_init(|| ClientCert::of(&self.agreed.client_chain).map(Box::new)).as_deref()
    }

    /// True where `host`, without a port, is what the client asked for in its handshake; and where it asked for no name, or
    /// names no host.
    #[inline]
    #[must_use]
    pub fn is_for(&self, host: &[u8]) -> bool {
        match &self.agreed.server_name {
            Some(name) => {
                host.strip_suffix(b".").unwrap_or(host).eq_ignore_ascii_case(name.as_bytes()) || host.is_empty()
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(name: Option<&str>) -> TlsInfo {
        showing(name, Box::default())
    }

    fn showing(name: Option<&str>, client_chain: Box<[Box<[u8]>]>) -> TlsInfo {
        TlsInfo::new(Agreed {
            is_tls13: true,
            server_name: name.map(Into::into),
            protocol: None,
            client_chain,
            resumed: false,
            suite: "",
        })
    }

    #[test]
    fn a_session_is_for_the_name_that_was_asked_for_however_it_is_written() {
        let info = asked_for(Some("a.example"));
        for host in ["a.example", "A.Example", "a.example.", ""] {
            assert!(info.is_for(host.as_bytes()), "{host}");
        }
        for host in ["b.example", "a.example.b", "a", "."] {
            assert!(!info.is_for(host.as_bytes()), "{host}");
        }
        assert!(asked_for(None).is_for(b"b.example"));
    }

    #[test]
    fn what_a_clients_certificate_says_is_there_for_filters_and_logs() {
        let made = rcgen::generate_simple_self_signed(["staff.test".to_owned()]).unwrap();
        let info = showing(None, [Box::from(&made.cert.der()[..])].into());
        let facts = info.certificate().expect("it is a certificate");
        assert_eq!((&*facts.subject, &*facts.names), ("CN=rcgen self signed cert", &["staff.test".into()][..]));
        assert_eq!((facts.fingerprint_hex().len(), facts.serial.is_empty()), (64, false));
        assert!(std::ptr::eq(facts, info.certificate().unwrap()), "it is read once");
        let fields = info.client_cert().expect("it is a certificate");
        assert!(fields.own.starts_with(":MII") && fields.chain.is_none(), "{fields:?}");
    }

    #[test]
    fn a_client_without_a_certificate_has_nothing_said_of_one() {
        let info = asked_for(None);
        assert!(!info.has_certificate() && info.certificate().is_none() && info.client_cert().is_none());
    }
}
