//! Which challenges of an authority are open (ACME, RFC 8555 §8), and what answers them?
//!
//! There are none nearly always. While there are some, they are the same on every shard.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anygate_proto::acme::Challenge;
use anygate_proto::acme::challenge::HTTP_PATH;
use anygate_proto::tls;
use rustls::ServerConfig;

/// Challenges that are open.
#[derive(Default)]
pub struct Challenges {
    /// Tokens, and what is to be answered (RFC 8555 §8.3).
    http: Vec<(Box<str>, Box<str>)>,
    /// For handshakes that offer nothing but the challenge's protocol (RFC 8737).
    tls: Option<Arc<ServerConfig>>,
    /// Shards that answer them.
    taken: AtomicUsize,
}

impl Challenges {
    /// Everything that these are answered by.
    ///
    /// # Errors
    /// A certificate among them is of no use.
    pub fn new(challenges: &[Challenge]) -> Result<Self, String> {
        let mut open = Self::default();
        let certificates = tls::Challenges::new();
        for challenge in challenges {
            match challenge {
                Challenge::Http01 { token, key_authorization, .. } => {
                    open.http.push((token.as_str().into(), key_authorization.as_str().into()));
                }
                Challenge::TlsAlpn01 { server_name, certificate, key, .. } => {
                    certificates.set(server_name, certificate, key).map_err(|why| why.to_string())?;
                }
            }
        }
        if !certificates.is_empty() {
            open.tls = Some(certificates.config().map_err(|why| why.to_string())?);
        }
        Ok(open)
    }

    /// True where there is nothing to answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.http.is_empty() && self.tls.is_none()
    }

    /// Whether these bytes, which begin with a request, may ask for the answer to one.
    pub(crate) fn may_be_asked_for(&self, bytes: &[u8]) -> bool {
        !self.http.is_empty() && memchr::memmem::find(bytes, HTTP_PATH.as_bytes()).is_some()
    }

    /// The answer to a request for this path, if it is one to a challenge.
    pub(crate) fn answer(&self, path: &[u8]) -> Option<&str> {
        let token = path.strip_prefix(HTTP_PATH.as_bytes())?;
        self.http.iter().find(|(one, _)| one.as_bytes() == token).map(|(_, answer)| &**answer)
    }

    /// What a handshake is led by that offers nothing but the challenge's protocol.
    pub(crate) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    /// A shard answers them from now on.
    pub(crate) fn take(&self) {
        self.taken.fetch_add(1, Ordering::Release);
    }

    /// Shards that answer them.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges")
            .field("http", &self.http.len())
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use anygate_proto::acme::Identifier;

    use super::*;

    #[test]
    fn an_open_challenge_is_answered_for_its_whole_token_alone() {
        let name = Identifier::parse("a.example").unwrap();
        let (token, key_authorization) = ("tok-en".to_owned(), "tok-en.thumb".to_owned());
        let open = Challenges::new(&[Challenge::Http01 { name, token, key_authorization }]).unwrap();
        assert_eq!(open.answer(b"/.well-known/acme-challenge/tok-en"), Some("tok-en.thumb"));
        for other in ["tok-e", "tok-en/", "tok-enx", "", "TOK-EN", "../acme-challenge/tok-en"] {
            assert_eq!(open.answer(format!("{HTTP_PATH}{other}").as_bytes()), None, "{other}");
        }
        assert_eq!(open.answer(b"/tok-en"), None);
        assert!(open.may_be_asked_for(b"GET /.well-known/acme-challenge/x HTTP/1.1\r\n"));
        assert!(!open.may_be_asked_for(b"GET /.well-known/other HTTP/1.1\r\n"));
        assert!(open.tls().is_none() && !open.is_empty() && Challenges::default().is_empty());
    }
}
