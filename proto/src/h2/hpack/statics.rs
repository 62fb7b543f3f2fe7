//! The static table (RFC 7541 Appendix A), and where a name stands in it.

use super::Name;
use crate::known::Known;

/// One entry of the static table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Static {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) id: Name,
}

/// How many entries there are; the dynamic table's newest has the index after them.
pub(super) const COUNT: u32 = 61;

/// The entries; the first one has index 1.
#[rustfmt::skip]
pub(super) static ENTRIES: [Static; COUNT as usize] = {
    use Known as K;
    use Name::{Authority, Method, Path, Scheme, Status};
    const fn new(id: Name, name: &'static str, value: &'static str) -> Static {
        Static { name, value, id }
    }
    const fn field(known: Known, name: &'static str) -> Static {
        new(Name::Field(known), name, "")
    }
    [
        new(Authority, ":authority", ""),
        new(Method, ":method", "GET"),
        new(Method, ":method", "POST"),
        new(Path, ":path", "/"),
        new(Path, ":path", "/index.html"),
        new(Scheme, ":scheme", "http"),
        new(Scheme, ":scheme", "https"),
        new(Status, ":status", "200"),
        new(Status, ":status", "204"),
        new(Status, ":status", "206"),
        new(Status, ":status", "304"),
        new(Status, ":status", "400"),
        new(Status, ":status", "404"),
        new(Status, ":status", "500"),
        field(K::Other, "accept-charset"),
        new(Name::Field(K::AcceptEncoding), "accept-encoding", "gzip, deflate"),
        field(K::AcceptLanguage, "accept-language"),
        field(K::AcceptRanges, "accept-ranges"),
        field(K::Accept, "accept"),
        field(K::Other, "access-control-allow-origin"),
        field(K::Age, "age"),
        field(K::Allow, "allow"),
        field(K::Authorization, "authorization"),
        field(K::CacheControl, "cache-control"),
        field(K::ContentDisposition, "content-disposition"),
        field(K::ContentEncoding, "content-encoding"),
        field(K::ContentLanguage, "content-language"),
        field(K::ContentLength, "content-length"),
        field(K::ContentLocation, "content-location"),
        field(K::ContentRange, "content-range"),
        field(K::ContentType, "content-type"),
        field(K::Cookie, "cookie"),
        field(K::Date, "date"),
        field(K::Etag, "etag"),
        field(K::Expect, "expect"),
        field(K::Expires, "expires"),
        field(K::Other, "from"),
        field(K::Host, "host"),
        field(K::IfMatch, "if-match"),
        field(K::IfModifiedSince, "if-modified-since"),
        field(K::IfNoneMatch, "if-none-match"),
        field(K::IfRange, "if-range"),
        field(K::IfUnmodifiedSince, "if-unmodified-since"),
        field(K::LastModified, "last-modified"),
        field(K::Link, "link"),
        field(K::Location, "location"),
        field(K::MaxForwards, "max-forwards"),
        field(K::ProxyAuthenticate, "proxy-authenticate"),
        field(K::ProxyAuthorization, "proxy-authorization"),
        field(K::Range, "range"),
        field(K::Referer, "referer"),
        field(K::Other, "refresh"),
        field(K::RetryAfter, "retry-after"),
        field(K::Server, "server"),
        field(K::SetCookie, "set-cookie"),
        field(K::StrictTransportSecurity, "strict-transport-security"),
        field(K::TransferEncoding, "transfer-encoding"),
        field(K::UserAgent, "user-agent"),
        field(K::Vary, "vary"),
        field(K::Via, "via"),
        field(K::WwwAuthenticate, "www-authenticate"),
    ]
};

/// Index of the first entry of each known field; 0 where there is none.
static FIRST: [u8; 128] = {
    let mut first = [0; 128];
    let mut at = ENTRIES.len();
    while at > 0 {
        at -= 1;
        if let Name::Field(known) = ENTRIES[at].id
            && known as usize != Known::Other as usize
        {
            first[known as usize] = at as u8 + 1;
        }
    }
    first
};

/// The names that have no id of their own.
const WITHOUT_ID: [(&[u8], u32); 4] =
    [(b"accept-charset", 15), (b"access-control-allow-origin", 20), (b"from", 37), (b"refresh", 52)];

const AUTHORITY: u32 = 1;
const METHOD: u32 = 2;
const PATH: u32 = 4;
const SCHEME: u32 = 6;
/// The index of `:status: 200`.
pub(super) const STATUS: u32 = 8;

/// Index of the first entry with this name, in any case; 0 when there is none.
#[inline]
pub(super) fn of_name(id: Name, name: &[u8]) -> u32 {
    match id {
        Name::Authority => AUTHORITY,
        Name::Method => METHOD,
        Name::Path => PATH,
        Name::Scheme => SCHEME,
        Name::Status => STATUS,
        Name::Protocol | Name::Undefined => 0,
        Name::Field(Known::Other) => {
            WITHOUT_ID.iter().find(|(other, _)| name.eq_ignore_ascii_case(other)).map_or(0, |&(_, index)| index)
        }
        Name::Field(known) => u32::from(FIRST[known as usize]),
    }
}

/// Index of the entry with this value among those of one name, of which `first` is the first; 0 when there is none.
#[inline]
pub(super) fn of_value(first: u32, value: &[u8]) -> u32 {
    let last = match first {
        0 => return 0,
        METHOD | PATH | SCHEME => first + 1,
        STATUS => 14,
        _ => first,
    };
    (first..=last).find(|&index| ENTRIES[index as usize - 1].value.as_bytes() == value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_its_name_and_value_and_has_its_names_id() {
        for (entry, index) in ENTRIES.iter().zip(1..) {
            assert_eq!(entry.id, Name::of(entry.name.as_bytes()), "{}", entry.name);
            let first = of_name(entry.id, entry.name.as_bytes());
            assert_eq!(ENTRIES[first as usize - 1].name, entry.name);
            assert_eq!(of_value(first, entry.value.as_bytes()), index);
            assert_eq!(of_value(first, b"no such value"), 0);
            assert_eq!(of_name(entry.id, entry.name.to_ascii_uppercase().as_bytes()), first);
        }
        assert_eq!(of_name(Name::of(b"x-request-id"), b"x-request-id"), 0);
        assert_eq!(of_name(Name::of(b":protocol"), b":protocol"), 0);
        assert_eq!(of_value(0, b""), 0);
        // A name that the static table lacks must not get the entry of another.
        for known in Known::all() {
            let name = known.name().to_ascii_lowercase();
            let first = of_name(Name::Field(known), name.as_bytes());
            assert!(first == 0 || ENTRIES[first as usize - 1].name == name);
        }
    }
}
