//! The small grammar every field shares: tokens, lists, quoted strings, parameters, authorities (RFC 9110 §5.6, §4.2).

use std::borrow::Cow;

const TOKEN: u8 = 1;
const REG_NAME: u8 = 2;
const FIELD: u8 = 4;
const TARGET: u8 = 8;

static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        let alnum = byte.is_ascii_alphanumeric();
        let mut bits = 0;
        if alnum
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
        {
            bits |= TOKEN;
        }
        if alnum
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            )
        {
            bits |= REG_NAME;
        }
        if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) {
            bits |= FIELD;
        }
        if byte > 0x20 && byte < 0x7f && byte != b'#' {
            bits |= TARGET;
        }
        class[b] = bits;
        b += 1;
    }
    class
};

fn all(bytes: &[u8], bit: u8) -> bool {
    bytes.iter().all(|&b| CLASS[b as usize] & bit != 0)
}

/// Whether `bytes` is a token: a method, a field name (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Whether `bytes` may stand as a field value: no CR, LF, NUL or other control character but tab (RFC 9110 §5.5).
#[must_use]
pub fn is_field_value(bytes: &[u8]) -> bool {
    all(bytes, FIELD)
}

/// Whether every byte may stand in a request target: visible ASCII but `#`, which no client sends.
#[inline]
pub(crate) fn is_target(bytes: &[u8]) -> bool {
    all(bytes, TARGET)
}

/// `bytes` without spaces and tabs at either end.
#[inline]
#[must_use]
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Splits at `separator` where it stands outside quoted strings; trims, and drops empty members.
pub fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let mut quoted = false;
        let mut escaped = false;
        for (at, &b) in bytes.iter().enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if b == separator && !quoted => {
                    rest = Some(&bytes[at + 1..]);
                    return Some(trim(&bytes[..at]));
                }
                _ => {}
            }
        }
        rest = None;
        Some(trim(bytes))
    })
    .filter(|member| !member.is_empty())
}

/// The members of a comma-separated value (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(value, b',')
}

/// The text of a quoted string without its quotes and escapes, or the bytes themselves if they are not one.
#[must_use]
pub fn unquote(bytes: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = bytes else {
        return Cow::Borrowed(bytes);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for &b in inner {
        if b == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(b);
        }
    }
    Cow::Owned(out)
}

/// A number written in digits alone, without sign; `None` when empty, anything else, or beyond 2^64-1.
#[inline]
#[must_use]
pub fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A weight, `q=0.5`, in thousandths (RFC 9110 §12.4.2); `None` when it is none.
pub(crate) fn weight(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    let mut scale = 100;
    for b in fraction {
        if !b.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(b - b'0') * scale;
        scale /= 10;
    }
    (thousandths <= 1000).then_some(thousandths)
}

/// Host and port of an authority: `a:80` is `a` and `80`, `[::1]` has no port. The host keeps its brackets.
#[inline]
#[must_use]
pub fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let host_end = if authority.first() == Some(&b'[') {
        authority.iter().position(|&b| b == b']').map_or(authority.len(), |at| at + 1)
    } else {
        authority.iter().position(|&b| b == b':').unwrap_or(authority.len())
    };
    match authority.get(host_end..) {
        Some([b':', port @ ..]) => (&authority[..host_end], Some(port)),
        _ => (authority, None),
    }
}

/// Whether `authority` is a host, not empty, and perhaps a port of at most 65535 (RFC 3986 §3.2.2, §3.2.3), without
/// user information.
#[inline]
#[must_use]
pub fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = split_port(authority);
    let host_fits = match host {
        [b'[', inner @ .., b']'] => is_ip_literal(inner),
        _ => is_reg_name(host),
    };
    let port_fits = match port {
        None | Some([]) => true,
        Some(port) => digits(port).is_some_and(|port| port <= 65_535),
    };
    host_fits && port_fits
}

fn is_reg_name(host: &[u8]) -> bool {
    if host.is_empty() {
        return false;
    }
    if all(host, REG_NAME) {
        return true;
    }
    let mut rest = host;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [b, rest @ ..] if CLASS[*b as usize] & REG_NAME != 0 => rest,
            _ => return false,
        };
    }
}

fn is_ip_literal(inner: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = inner {
        let mut parts = rest.splitn(2, |&b| b == b'.');
        let (version, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&b| b == b':' || CLASS[b as usize] & REG_NAME != 0);
    }
    std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}
