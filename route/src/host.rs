//! Which hosts does a rule answer for, and which host does a request mean?

use std::fmt;
use std::io::Write;
use std::net::Ipv6Addr;

/// The host of one rule. Texts are lower-case ASCII, IPv6 addresses canonical and in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// Every host, and none.
    Any,
    /// This one.
    Exact(String),
    /// Every name that ends in `.` and this one: `example.com` for `*.example.com`.
    Wildcard(String),
}

/// Longest host name, in bytes (RFC 1035 §2.3.4).
pub const MAX_HOST: usize = 253;

/// The host of a request in the form rules are kept in.
pub(crate) struct RequestHost {
    bytes: [u8; MAX_HOST],
    len: usize,
}

impl Host {
    /// True if a request for `host` (a `Host` field or authority as it came) may come in.
    #[must_use]
    pub fn fits(&self, host: &[u8]) -> bool {
        let request = RequestHost::new(host);
        match self {
            Host::Any => true,
            Host::Exact(own) => request.name() == own.as_bytes(),
            Host::Wildcard(suffix) => request.suffixes().any(|s| s == suffix.as_bytes()),
        }
    }

    /// How near to the request: exact, then the longest wildcard, then none.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Host::Exact(_) => 0,
            Host::Wildcard(suffix) => MAX_HOST + 1 - suffix.len().min(MAX_HOST),
            Host::Any => MAX_HOST + 2,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => Ok(()),
            Host::Exact(name) => f.write_str(name),
            Host::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl RequestHost {
    /// Takes port and final dot off, lower-cases; a host that is too long or no address fits no rule's host.
    pub(crate) fn new(raw: &[u8]) -> Self {
        let mut host = Self { bytes: [0; MAX_HOST], len: 0 };
        if let Some(inner) = raw.strip_prefix(b"[") {
            let end = inner.iter().position(|b| *b == b']').unwrap_or(0);
            let address = std::str::from_utf8(&inner[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            if let Some(address) = address {
                host.len = write_address(&mut host.bytes, address);
            }
            return host;
        }
        let end = raw.iter().position(|b| *b == b':').unwrap_or(raw.len());
        let name = raw[..end].strip_suffix(b".").unwrap_or(&raw[..end]);
        if name.len() <= MAX_HOST {
            host.len = name.len();
            host.bytes[..name.len()].copy_from_slice(name);
            host.bytes[..name.len()].make_ascii_lowercase();
        }
        host
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What follows each dot that has something before it, longest first.
    pub(crate) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let name = self.name();
        let name = if name.first() == Some(&b'[') { &[] } else { name };
        name.iter().enumerate().skip(1).filter(|(_, b)| **b == b'.').map(|(at, _)| &name[at + 1..])
    }
}

/// The canonical text of an IPv6 host, brackets included.
pub(crate) fn address_text(address: Ipv6Addr) -> String {
    format!("[{address}]")
}

fn write_address(out: &mut [u8; MAX_HOST], address: Ipv6Addr) -> usize {
    let mut rest = &mut out[..];
    match write!(rest, "[{address}]") {
        Ok(()) => MAX_HOST - rest.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_final_dot_and_case_do_not_matter() {
        let host = Host::Exact("api.example.com".into());
        for request in ["api.example.com", "API.Example.COM:8080", "api.example.com.", "api.example.com.:443"] {
            assert!(host.fits(request.as_bytes()), "{request}");
        }
        assert!(!host.fits(b"example.com"));
        assert!(!host.fits(b""));
    }

    #[test]
    fn a_wildcard_needs_at_least_one_label_before_it() {
        let host = Host::Wildcard("example.com".into());
        assert!(host.fits(b"a.example.com"));
        assert!(host.fits(b"a.B.example.com:1"));
        assert!(!host.fits(b"example.com"));
        assert!(!host.fits(b".example.com"));
        assert!(!host.fits(b"badexample.com"));
    }

    #[test]
    fn an_ipv6_literal_is_compared_as_an_address() {
        let host = Host::Exact(address_text("::1".parse().expect("an address")));
        assert!(host.fits(b"[::1]"));
        assert!(host.fits(b"[0:0::0001]:8080"));
        assert!(!host.fits(b"[::2]"));
        assert!(!host.fits(b"[::1"));
        assert!(!Host::Exact(String::new()).fits(b"x"));
    }

    #[test]
    fn a_host_that_is_too_long_fits_only_rules_for_every_host() {
        let long = vec![b'a'; MAX_HOST + 1];
        assert!(Host::Any.fits(&long));
        assert!(!Host::Wildcard("a".into()).fits(&long));
    }
}
