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

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `https`, by TLS.
    pub secure: bool,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: &'a str,
    /// As given, or 443 and 80.
    pub port: u16,
    /// For the field `Host`: the host, and the port where it was given.
    pub authority: &'a str,
    /// For the request line: the path with its query, `/` at least.
    pub path: &'a str,
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
    /// The URL taken apart; `None` where its port is none, or it has a query without a path.
    #[must_use]
    pub fn target(&self) -> Option<Target<'_>> {
        let (scheme, rest) = self.url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let secure = scheme == "https";
        let (host, port) = match authority.rsplit_once(':') {
            // Not a colon within the brackets of an address.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').map_or(Some(host), |rest| rest.strip_suffix(']'))?;
        let path = if path.is_empty() { "/" } else { path };
        path.starts_with('/').then_some(Target { secure, host, port, authority, path })
    }

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

/// Whether `text` is an absolute URL that can stand in a request and in a signature: `https` or `http`, a host, no user,
/// no fragment, visible ASCII.
pub(super) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let visible = text.len() <= super::MOST_URL && text.bytes().all(|byte| byte.is_ascii_graphic());
    let host = !authority.is_empty() && !authority.starts_with(':') && !authority.contains(['@', '\\']);
    visible && host && !text.contains(['#', '"', '<', '>'])
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

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask() {
        let target = |url: &str| {
            let request = Request::get(url);
            request.target().map(|to| format!("{} {} {} {} {}", to.secure, to.host, to.port, to.authority, to.path))
        };
        for (url, expected) in [
            ("https://ca.example", "true ca.example 443 ca.example /"),
            ("http://ca.example/a/b?c=d", "false ca.example 80 ca.example /a/b?c=d"),
            ("https://127.0.0.1:14000/dir", "true 127.0.0.1 14000 127.0.0.1:14000 /dir"),
            ("https://[::1]/", "true ::1 443 [::1] /"),
            ("https://[::1]:1/", "true ::1 1 [::1]:1 /"),
        ] {
            assert_eq!(target(url).as_deref(), Some(expected));
        }
        for none in ["https://a:70000/", "https://a:/", "https://a:x/", "https://[::1/", "https://a?b", "a"] {
            assert_eq!(target(none), None, "{none}");
        }
    }

    #[test]
    fn a_url_is_absolute_and_cannot_break_a_request() {
        for good in ["https://a", "https://a/", "http://127.0.0.1:14000/dir", "https://[::1]:1/x?y=%20", "https://a?b"]
        {
            assert!(is_url(good), "{good}");
        }
        let long = format!("https://a/{}", "x".repeat(super::super::MOST_URL));
        for bad in
            ["", "/", "//a", "a", "https:a", "https:///x", "https://:1/", "https://a/ b", "https://a/\r\nX: y", &long]
        {
            assert!(!is_url(bad), "{bad}");
        }
        for bad in ["https://u@a/", "https://a\\@b/", "https://a/#b", "https://\u{e9}/", "HTTPS://a/", "https://?x"] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
