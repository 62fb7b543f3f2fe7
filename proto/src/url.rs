//! Where does an absolute URL lead (RFC 3986 §3, RFC 9110 §4.2)? For whoever connects there.

/// Bytes of a URL, at most.
const MOST: usize = 2048;

/// Where a request to a URL goes.
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

impl<'a> Target<'a> {
    /// A URL taken apart; `None` where it is not [`is_absolute`], its port is none, or it has a query without a path.
    #[must_use]
    pub fn of(url: &'a str) -> Option<Self> {
        if !is_absolute(url) {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let secure = scheme == "https";
        let (host, port) = match authority.rsplit_once(':') {
            // Not a colon within the brackets of an address.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').map_or(Some(host), |rest| rest.strip_suffix(']'))?;
        let path = if path.is_empty() { "/" } else { path };
        path.starts_with('/').then_some(Self { secure, host, port, authority, path })
    }
}

/// Whether `text` is an absolute URL that can stand in a request and in a signature: `https` or `http`, a host, no user,
/// no fragment, visible ASCII.
#[must_use]
pub fn is_absolute(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let visible = text.len() <= MOST && text.bytes().all(|byte| byte.is_ascii_graphic());
    let host = !authority.is_empty() && !authority.starts_with(':') && !authority.contains(['@', '\\']);
    visible && host && !text.contains(['#', '"', '<', '>'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask() {
        let target = |url| {
            Target::of(url).map(|to| format!("{} {} {} {} {}", to.secure, to.host, to.port, to.authority, to.path))
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
        for none in
            ["https://a:70000/", "https://a:/", "https://a:x/", "https://[::1/", "https://a?b", "a", "https://a b/"]
        {
            assert_eq!(target(none), None, "{none}");
        }
    }

    #[test]
    fn a_url_is_absolute_and_cannot_break_a_request() {
        for good in ["https://a", "https://a/", "http://127.0.0.1:14000/dir", "https://[::1]:1/x?y=%20", "https://a?b"]
        {
            assert!(is_absolute(good), "{good}");
        }
        let long = format!("https://a/{}", "x".repeat(MOST));
        for bad in
            ["", "/", "//a", "a", "https:a", "https:///x", "https://:1/", "https://a/ b", "https://a/\r\nX: y", &long]
        {
            assert!(!is_absolute(bad), "{bad}");
        }
        for bad in ["https://u@a/", "https://a\\@b/", "https://a/#b", "https://\u{e9}/", "HTTPS://a/", "https://?x"] {
            assert!(!is_absolute(bad), "{bad}");
        }
    }
}
