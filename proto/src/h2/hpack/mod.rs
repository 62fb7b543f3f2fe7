//! How header lists are written in HTTP/2 (HPACK, RFC 7541).
