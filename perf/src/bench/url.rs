//! What a URL says: whom to ask, and for what.

use std::fmt;
use std::str::FromStr;

/// An `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// TLS is spoken.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// 80 unless it says otherwise; with TLS, 443.
    pub port: u16,
    /// Path and query, as they go into the request line; at least `/`.
    pub path: String,
    /// Host, and the port if the URL has one: the `Host` header field (RFC 9110 §7.2).
    pub authority: String,
}

impl FromStr for Url {
    type Err = String;

    /// Reads `http://host:port/path?query`, and `https://` likewise; `http://` may be left out, a fragment is dropped.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{text}` cannot be asked: {why}"));
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return wrong(&format!("write {} percent-encoded", odd.escape_unicode()));
        }
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            // A query may hold a URL.
            Some((scheme, _)) if scheme.contains(['/', '?', '.', ':']) => (false, text),
            Some((scheme, _)) => return wrong(&format!("http:// and https:// are spoken, not {scheme}://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("a name and password go into a header: -H 'Authorization: Basic …'");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => match inner.split_once(']') {
                Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
                _ => return wrong("between the brackets stands no IPv6 address"),
            },
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(number) if host.contains(':') || !number.contains(':') => match number.parse() {
                Ok(port) if port > 0 => port,
                _ => return wrong("a port is a number from 1 to 65535"),
            },
            _ => return wrong("an IPv6 address stands in brackets: http://[::1]:8080/"),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(named) {
            return wrong("there is no host: write http://host:port/path");
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{path}");
        Ok(Self { tls, host: host.to_owned(), port, path, authority: authority.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}{}", if self.tls { "s" } else { "" }, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_path() {
        for (text, host, port, path, shown) in [
            ("http://127.0.0.1:8080/a?b", "127.0.0.1", 8080, "/a?b", "http://127.0.0.1:8080/a?b"),
            ("http://example.com", "example.com", 80, "/", "http://example.com/"),
            ("HTTP://example.com?q=http://x/", "example.com", 80, "/?q=http://x/", "http://example.com/?q=http://x/"),
            ("localhost:8080/x#top", "localhost", 8080, "/x", "http://localhost:8080/x"),
            ("localhost:80/to?u=https://x", "localhost", 80, "/to?u=https://x", "http://localhost:80/to?u=https://x"),
            ("http://[::1]:81/", "::1", 81, "/", "http://[::1]:81/"),
            ("https://example.com", "example.com", 443, "/", "https://example.com/"),
            ("HTTPS://[::1]:8443/a", "::1", 8443, "/a", "https://[::1]:8443/a"),
            ("[::1]", "::1", 80, "/", "http://[::1]/"),
        ] {
            let url: Url = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!((url.tls, url.to_string().as_str()), (shown.starts_with("https"), shown));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        for (text, why) in [
            ("ftp://example.com/", "not ftp://"),
            ("", "no host"),
            ("http:///path", "no host"),
            ("http://:8080/", "no host"),
            ("http://host:0/", "1 to 65535"),
            ("http://host:http/", "1 to 65535"),
            ("http://host:99999/", "1 to 65535"),
            ("http://::1/", "brackets"),
            ("http://[nine]/", "brackets"),
            ("http://me:secret@host/", "Authorization"),
            ("http://host/a b", "percent-encoded"),
            ("http://host/\r\nX: y", "percent-encoded"),
            ("http://host/ü", "percent-encoded"),
            ("http://ho$t/", "no host"),
        ] {
            let said = text.parse::<Url>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
