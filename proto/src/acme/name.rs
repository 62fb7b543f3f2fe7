//! What a certificate is asked for: DNS names and addresses (RFC 8555 §7.1.4, RFC 8738).

use std::fmt;
use std::net::IpAddr;

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// A host's name in lower case, without a dot at its end.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a name cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    /// What was given.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Identifier {
    /// `example.com`, `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`; names in any case, other scripts as `xn--…`.
    ///
    /// # Errors
    /// No host name; a wildcard, which neither HTTP-01 nor TLS-ALPN-01 can prove.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let invalid = |why| Err(InvalidName { name: text.chars().take(300).collect(), why });
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        if text.starts_with("*.") {
            return invalid("a wildcard needs the DNS-01 challenge: name the hosts one by one");
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if !name.is_ascii() {
            return invalid("letters of other scripts are written as `xn--…`");
        }
        let labels = || name.split('.');
        let fits = |label: &str| {
            let bytes = label.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && bytes[0] != b'-'
                && bytes[bytes.len() - 1] != b'-'
        };
        let numeric = labels().next_back().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if name.len() > 253 || !labels().all(fits) || numeric {
            return invalid("no host name");
        }
        Ok(Self::Dns(name))
    }

    /// `dns` or `ip`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// The name that a client of a TLS-ALPN-01 challenge asks for: for an address its name in `in-addr.arpa` or
    /// `ip6.arpa` (RFC 8738 §6).
    #[must_use]
    pub fn server_name(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Ip(IpAddr::V6(address)) => {
                let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
                nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
            }
        }
    }

    /// A file name for what belongs to it: no `/`, no `:`, nothing hidden.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.to_string().replace(':', "_")
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", super::problem::told(&self.name, 253), self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let dns = |name: &str| Ok(Identifier::Dns(name.to_owned()));
        assert_eq!(Identifier::parse("Example.COM."), dns("example.com"));
        assert_eq!(Identifier::parse("localhost"), dns("localhost"));
        assert_eq!(Identifier::parse("xn--bcher-kva.example"), dns("xn--bcher-kva.example"));
        assert_eq!(Identifier::parse("3com.example"), dns("3com.example"));
        assert_eq!(Identifier::parse("192.0.2.1"), Ok(Identifier::Ip([192, 0, 2, 1].into())));
        assert_eq!(Identifier::parse("[2001:db8::1]"), Identifier::parse("2001:DB8:0::1"));
        assert_eq!(Identifier::parse("2001:db8::1").unwrap().file_name(), "2001_db8__1");
    }

    #[test]
    fn what_no_certificate_can_be_had_for_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let very_long = "a.".repeat(127) + "example";
        for bad in [
            "",
            ".",
            "a..b",
            "-a.example",
            "a-.example",
            "a_b.example",
            "a b",
            "a/b",
            "../a",
            "1.2.3",
            &long,
            &very_long,
        ] {
            assert_eq!(Identifier::parse(bad).unwrap_err().why, "no host name", "{bad}");
        }
        assert!(Identifier::parse("*.example.com").unwrap_err().to_string().contains("DNS-01"));
        assert!(Identifier::parse("b\u{fc}cher.example").unwrap_err().to_string().contains("xn--"));
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        let name = |text: &str| Identifier::parse(text).unwrap().server_name();
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        // The example of RFC 8738, section 6.
        assert_eq!(name("2001:db8::1"), "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
        assert_eq!(name("a.example"), "a.example");
    }
}
