//! Which field names have an id of their own, and which id a name has.

use std::fmt;

macro_rules! known {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A field name AnyGate gives a meaning to, or that is common enough to be worth an id; every other name is
        /// [`Known::Other`]. Names are compared without regard to case (RFC 9110 §5.1).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[repr(u8)]
        pub enum Known {
            /// Any name without an id.
            #[default]
            Other = 0,
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        const NAMES: &[&str] = &["", $($name,)*];
        const ALL: &[Known] = &[Known::Other, $(Known::$variant,)*];
    };
}

known! {
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AcceptRanges = "Accept-Ranges",
    AccessControlRequestHeaders = "Access-Control-Request-Headers",
    AccessControlRequestMethod = "Access-Control-Request-Method",
    Age = "Age",
    Allow = "Allow",
    AltSvc = "Alt-Svc",
    Authorization = "Authorization",
    CacheControl = "Cache-Control",
    ClientCert = "Client-Cert",
    ClientCertChain = "Client-Cert-Chain",
    Connection = "Connection",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length",
    ContentLocation = "Content-Location",
    ContentRange = "Content-Range",
    ContentSecurityPolicy = "Content-Security-Policy",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    Date = "Date",
    EarlyData = "Early-Data",
    Etag = "ETag",
    Expect = "Expect",
    Expires = "Expires",
    Forwarded = "Forwarded",
    Host = "Host",
    Http2Settings = "HTTP2-Settings",
    IfMatch = "If-Match",
    IfModifiedSince = "If-Modified-Since",
    IfNoneMatch = "If-None-Match",
    IfRange = "If-Range",
    IfUnmodifiedSince = "If-Unmodified-Since",
    KeepAlive = "Keep-Alive",
    LastModified = "Last-Modified",
    Link = "Link",
    Location = "Location",
    MaxForwards = "Max-Forwards",
    Origin = "Origin",
    Pragma = "Pragma",
    Priority = "Priority",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection",
    ProxyStatus = "Proxy-Status",
    Range = "Range",
    Referer = "Referer",
    RetryAfter = "Retry-After",
    SecFetchDest = "Sec-Fetch-Dest",
    SecFetchMode = "Sec-Fetch-Mode",
    SecFetchSite = "Sec-Fetch-Site",
    SecFetchUser = "Sec-Fetch-User",
    SecWebsocketAccept = "Sec-WebSocket-Accept",
    SecWebsocketExtensions = "Sec-WebSocket-Extensions",
    SecWebsocketKey = "Sec-WebSocket-Key",
    SecWebsocketProtocol = "Sec-WebSocket-Protocol",
    SecWebsocketVersion = "Sec-WebSocket-Version",
    Server = "Server",
    SetCookie = "Set-Cookie",
    StrictTransportSecurity = "Strict-Transport-Security",
    Te = "TE",
    Traceparent = "Traceparent",
    Tracestate = "Tracestate",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    UpgradeInsecureRequests = "Upgrade-Insecure-Requests",
    UserAgent = "User-Agent",
    Vary = "Vary",
    Via = "Via",
    WwwAuthenticate = "WWW-Authenticate",
    XContentTypeOptions = "X-Content-Type-Options",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPort = "X-Forwarded-Port",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedServer = "X-Forwarded-Server",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-ID",
}

// The ids fit the bit set that `Fields` keeps.
const _: () = assert!(ALL.len() <= 128);

const SLOTS: usize = 1024;

/// Mixes the length and three letters of a name; `multiplier` is chosen at compile time so that no two names collide.
const fn slot(name: &[u8], multiplier: u32) -> usize {
    let length = name.len();
    let last_but_one = name[length.saturating_sub(2)] | 0x20;
    let (first, middle) = (name[0] | 0x20, name[length / 2] | 0x20);
    let key = length as u32 | (first as u32) << 8 | (middle as u32) << 16 | (last_but_one as u32) << 24;
    (key.wrapping_mul(multiplier) >> 22) as usize
}

const MULTIPLIER: u32 = {
    let mut candidate: u32 = 0x9e37_79b1;
    'search: loop {
        let mut used = [false; SLOTS];
        let mut i = 1;
        while i < NAMES.len() {
            let at = slot(NAMES[i].as_bytes(), candidate);
            if used[at] {
                candidate = candidate.wrapping_add(2);
                continue 'search;
            }
            used[at] = true;
            i += 1;
        }
        break candidate;
    }
};

static TABLE: [Known; SLOTS] = {
    let mut table = [Known::Other; SLOTS];
    let mut i = 1;
    while i < NAMES.len() {
        table[slot(NAMES[i].as_bytes(), MULTIPLIER)] = ALL[i];
        i += 1;
    }
    table
};

const LONGEST: usize = 32;

/// The names in lower case, which is how h2 clients and many h1 clients write them.
static LOWER: [[u8; LONGEST]; NAMES.len()] = {
    let mut lower = [[0; LONGEST]; NAMES.len()];
    let mut i = 0;
    while i < NAMES.len() {
        let name = NAMES[i].as_bytes();
        let mut at = 0;
        while at < name.len() {
            lower[i][at] = name[at].to_ascii_lowercase();
            at += 1;
        }
        i += 1;
    }
    lower
};

impl Known {
    /// The id of `name`, in any case; [`Known::Other`] when it has none. One table look-up and one comparison.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        if name.is_empty() {
            return Self::Other;
        }
        let known = TABLE[slot(name, MULTIPLIER)];
        let canonical = NAMES[known as usize].as_bytes();
        if canonical.len() != name.len() {
            return Self::Other;
        }
        // Most names come as the registry writes them, or in lower case, and comparing those is cheaper.
        let same = canonical == name
            || LOWER[known as usize].get(..name.len()) == Some(name)
            || canonical.eq_ignore_ascii_case(name);
        if same { known } else { Self::Other }
    }

    /// The name as the registry writes it; empty for [`Known::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Every id but [`Known::Other`].
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied().skip(1)
    }

    /// The bit this id has in a set of ids.
    #[inline]
    pub(crate) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_beside_it_is() {
        for known in Known::all() {
            let name = known.name();
            assert_eq!(Known::of(name.as_bytes()), known);
            assert_eq!(Known::of(name.to_ascii_lowercase().as_bytes()), known);
            assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), known);
            assert_eq!(Known::of(format!("{name}x").as_bytes()), Known::Other);
            assert_eq!(Known::of(name.replace('-', "_").as_bytes()) == known, !name.contains('-'));
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"X-Unheard-Of"), Known::Other);
    }
}
