//! What is sent to an ACME server and what comes back: whole HTTP messages, with what RFC 8555 §6 asks of them.

use std::time::Duration;

use crate::date;

/// A request for whoever has sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where: absolute, `https` (or `http` where the directory is), visible ASCII.
    pub url: String,
    /// Fields besides `Host` and `Content-Length`.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Empty but for [`Method::Post`].
    pub body: Vec<u8>,
}

/// The methods ACME uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The directory and renewal information.
    Get,
    /// A nonce.
    Head,
    /// Everything that is signed.
    Post,
}

/// An answer; redirects are not followed, they are answers too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The final status.
    pub status: u16,
    /// Fields in their order; names in any case.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer coding, at most [`super::MOST_ANSWER`] bytes.
    pub body: Vec<u8>,
}

const USER_AGENT: (&str, &str) = ("User-Agent", concat!("AnyGate/", env!("CARGO_PKG_VERSION")));
const LANGUAGE: (&str, &str) = ("Accept-Language", "en");

impl Request {
    pub(super) fn get(url: &str) -> Self {
        let headers = vec![USER_AGENT, LANGUAGE, ("Accept", "application/json")];
        Self { method: Method::Get, url: url.to_owned(), headers, body: Vec::new() }
    }

    pub(super) fn head(url: &str) -> Self {
        Self { method: Method::Head, url: url.to_owned(), headers: vec![USER_AGENT], body: Vec::new() }
    }

    pub(super) fn post(url: &str, accept: &'static str, body: Vec<u8>) -> Self {
        let headers = vec![USER_AGENT, LANGUAGE, ("Accept", accept), ("Content-Type", "application/jose+json")];
        Self { method: Method::Post, url: url.to_owned(), headers, body }
    }
}

impl Method {
    /// As it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

impl Answer {
    /// The first field of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// How long to wait, where it says so: seconds, or the time from `now` to a date (RFC 9110 §10.2.3).
    pub(super) fn retry_after(&self, now: u64) -> Option<Duration> {
        let value = self.header("Retry-After")?.as_bytes();
        let seconds = crate::text::digits(value).or_else(|| Some(date::parse(value, now)?.saturating_sub(now)));
        seconds.map(Duration::from_secs)
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date() {
        let wait = |value: &str| {
            let headers = vec![("retry-after".to_owned(), value.to_owned())];
            Answer { headers, ..Answer::default() }.retry_after(784_111_700).map(|time| time.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(77));
        assert_eq!(wait("Sun, 06 Nov 1983 08:49:37 GMT"), Some(0));
        for none in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(wait(none), None, "{none}");
        }
    }
}
