//! Which fields are about one connection, which only a trusted peer may send, and which names pretend to be another.

use crate::fields::Fields;
use crate::known::Known;
use crate::text;

const fn set(known: &[Known]) -> u128 {
    let mut bits = 0;
    let mut at = 0;
    while at < known.len() {
        bits |= known[at].bit();
        at += 1;
    }
    bits
}

/// Fields that are about one connection, or are made anew on the next one (RFC 9110 §7.6.1).
pub(super) const HOP_BY_HOP: u128 = set(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
    Known::ContentLength,
]);

/// What a peer that is not trusted cannot say about where a request came from, and whose certificate came with it (RFC 9440
/// §2.4).
pub(super) const CLAIMS: u128 = set(&[
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XForwardedProto,
    Known::XForwardedServer,
    Known::XRealIp,
    Known::Forwarded,
    Known::ClientCert,
    Known::ClientCertChain,
]);

/// Fields that must not come as trailers: they frame, route, authenticate or control (RFC 9110 §6.5.1).
const NEVER_TRAILERS: u128 = HOP_BY_HOP
    | CLAIMS
    | set(&[
        Known::Age,
        Known::Authorization,
        Known::CacheControl,
        Known::ContentEncoding,
        Known::ContentRange,
        Known::ContentType,
        Known::Cookie,
        Known::Date,
        Known::Expect,
        Known::Expires,
        Known::Host,
        Known::IfMatch,
        Known::IfModifiedSince,
        Known::IfNoneMatch,
        Known::IfRange,
        Known::IfUnmodifiedSince,
        Known::Location,
        Known::MaxForwards,
        Known::Pragma,
        Known::ProxyAuthenticate,
        Known::ProxyAuthorization,
        Known::Range,
        Known::RetryAfter,
        Known::SetCookie,
        Known::Trailer,
        Known::Vary,
        Known::Via,
        Known::WwwAuthenticate,
    ]);

/// Whether a trailer field may be relayed.
pub(crate) fn may_be_trailer(name: &[u8], known: Known) -> bool {
    NEVER_TRAILERS & known.bit() == 0 && (known != Known::Other || !(is_claim(name) || is_alias(name, &[])))
}

/// The names `Connection` lists that have to be looked for: all but those dropped anyway.
pub(super) struct Named<'a> {
    bytes: &'a [u8],
    fields: &'a Fields,
    any: bool,
}

impl<'a> Named<'a> {
    pub(super) fn in_connection(bytes: &'a [u8], fields: &'a Fields) -> Self {
        let mut named = Self { bytes, fields, any: false };
        named.any = named.options().any(|option| {
            !(option.eq_ignore_ascii_case(b"keep-alive")
                || option.eq_ignore_ascii_case(b"close")
                || option.eq_ignore_ascii_case(b"upgrade")
                || option.eq_ignore_ascii_case(b"te"))
        });
        named
    }

    fn options(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.fields
            .all(Known::Connection)
            .flat_map(move |field| field.value.of(bytes).split(|&b| b == b','))
            .map(text::trim)
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.any && self.options().any(|option| option.eq_ignore_ascii_case(name))
    }
}

pub(super) fn names(list: &[&str], name: &[u8]) -> bool {
    list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name))
}

/// `X-Forwarded-` and anything: `-Ssl`, `-Prefix`, `-User` are believed by somebody.
pub(super) fn is_claim(name: &[u8]) -> bool {
    name.get(..12).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"X-Forwarded-"))
}

/// Whether a name with `_` becomes, where CGI's rule makes `-` and `_` one, a name that has a meaning or that we add.
pub(super) fn is_alias(name: &[u8], added: &[(&str, &[u8])]) -> bool {
    const LONGEST: usize = 64;
    if memchr::memchr(b'_', name).is_none() {
        return false;
    }
    let mut dashed = [0; LONGEST];
    let length = name.len().min(LONGEST);
    for (to, &from) in dashed.iter_mut().zip(name) {
        *to = if from == b'_' { b'-' } else { from };
    }
    let dashed = &dashed[..length];
    is_claim(dashed)
        || name.len() <= LONGEST
            && (Known::of(dashed) != Known::Other
                || added.iter().any(|(one, _)| one.replace('_', "-").as_bytes().eq_ignore_ascii_case(dashed)))
}
