//! Who a request came from, when it came through others: `X-Forwarded-For` and `Forwarded` (RFC 7239).

use crate::head::{RequestView, Scheme};
use crate::known::Known;
use crate::text;
use ipnet::IpNet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The address a request is attributed to: of those the chain names, walking from this end, the first one that `trust`
/// does not list. The peer itself unless it is trusted; an IPv4-mapped address counts as IPv4. What cannot be read ends
/// the walk at the last address that could. `Forwarded` is asked where there is no `X-Forwarded-For`.
#[must_use]
pub fn client_address(peer: IpAddr, view: RequestView<'_>, trust: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trust) {
        return client;
    }
    let mut hops: Vec<Option<IpAddr>> = if view.fields.has(Known::XForwardedFor) {
        view.list(Known::XForwardedFor).map(node).collect()
    } else {
        view.list(Known::Forwarded).map(|element| parameter(element, b"for").and_then(|value| node(&value))).collect()
    };
    while let Some(Some(address)) = hops.pop() {
        client = address;
        if !is_trusted(client, trust) {
            break;
        }
    }
    client
}

/// Whether one of `trust` holds the address. IPv4-mapped addresses are compared as IPv4.
#[must_use]
pub fn is_trusted(address: IpAddr, trust: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trust.iter().any(|prefix| prefix.contains(&address))
}

/// The value of one parameter of a `Forwarded` element, `for=…;proto=…`, without its quotes.
#[must_use]
pub fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<std::borrow::Cow<'a, [u8]>> {
    text::split(element, b';').find_map(|pair| {
        let at = pair.iter().position(|&b| b == b'=')?;
        text::trim(&pair[..at]).eq_ignore_ascii_case(name).then(|| text::unquote(text::trim(&pair[at + 1..])))
    })
}

/// The address of a node as both fields write it: bare, with a port, IPv6 with or without brackets; `None` for
/// `unknown`, hidden names and anything else.
#[must_use]
pub fn node(value: &[u8]) -> Option<IpAddr> {
    let value = std::str::from_utf8(&text::unquote(value)).ok()?.to_owned();
    let address = value
        .parse::<IpAddr>()
        .ok()
        .or_else(|| value.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| value.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

/// The element this hop adds to `Forwarded` (RFC 7239 §4): `for=192.0.2.1;host=a;proto=http`.
pub(crate) fn element(client: Option<IpAddr>, authority: &[u8], scheme: Scheme) -> String {
    let mut out = String::from("for=");
    match client.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => _ = write!(out, "{address}"),
        Some(IpAddr::V6(address)) => _ = write!(out, "\"[{address}]\""),
        None => out.push_str("unknown"),
    }
    if !authority.is_empty() {
        out.push_str(";host=");
        let host = String::from_utf8_lossy(authority);
        if text::is_token(authority) {
            out.push_str(&host);
        } else {
            _ = write!(out, "\"{host}\"");
        }
    }
    out.push_str(";proto=");
    out.push_str(scheme.name());
    out
}
