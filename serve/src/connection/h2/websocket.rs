//! A WebSocket that comes by extended CONNECT (RFC 8441), as the opening handshake of HTTP/1.1 that servers behind know.

use anygate_proto::head::{BodyLength, Field, Fields, Request, RequestView, Span, TargetForm, Version};
use anygate_proto::known::Known;
use anygate_proto::websocket::{accept_of, base64};

use crate::response::{FieldSource, Response};

/// Fields of the answer that are about the handshake of HTTP/1.1 alone (RFC 8441 §5).
pub(super) const OF_UPGRADES: [&str; 1] = ["Sec-WebSocket-Accept"];

/// Fields of the request that are made anew.
const MADE_ANEW: [Known; 5] =
    [Known::Host, Known::Connection, Known::Upgrade, Known::SecWebsocketKey, Known::ContentLength];

/// A request as HTTP/1.1 has it.
pub(super) struct Upgrade {
    pub(super) bytes: Vec<u8>,
    pub(super) request: Request,
    pub(super) fields: Fields,
    /// What the answer says if it is one to this.
    pub(super) accept: [u8; 28],
}

/// The same request as a `GET` that asks for an upgrade: the rules that serve WebSockets of HTTP/1.1 serve it too. Its key is
/// made of `nonce`, random bits that are other ones each time. `None` where it has no path.
pub(super) fn as_upgrade(view: RequestView<'_>, nonce: [u64; 2]) -> Option<Upgrade> {
    if view.path().is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(view.bytes.len() + 160);
    let mut put = |part: &[u8]| {
        let start = bytes.len();
        bytes.extend_from_slice(part);
        Span::between(start, bytes.len())
    };
    let method = put(b"GET");
    put(b" ");
    let target = put(view.target());
    let (path_len, query) = (view.path().len(), view.query());
    let path = Span { start: target.start, len: path_len as u32 };
    let query = query.map(|query| Span { start: target.end() as u32 - query.len() as u32, len: query.len() as u32 });
    put(b" HTTP/1.1\r\n");
    let mut fields = Fields::with_capacity(view.fields.iter().count() + 4);
    let mut put_line = |name: &[u8], value: &[u8]| {
        let field = Field { known: Known::of(name), name: put(name), value: (put(b": "), put(value)).1 };
        put(b"\r\n");
        fields.push(field);
        field.value
    };
    let authority = put_line(b"host", view.authority());
    for field in view.fields.iter().filter(|field| !MADE_ANEW.contains(&field.known)) {
        put_line(field.name.of(view.bytes), field.value.of(view.bytes));
    }
    let key = key(nonce);
    for (name, value) in
        [(&b"connection"[..], &b"upgrade"[..]), (b"upgrade", b"websocket"), (b"sec-websocket-key", &key)]
    {
        put_line(name, value);
    }
    put(b"\r\n");
    let request = Request {
        head_len: bytes.len() as u32,
        method,
        target,
        path,
        query,
        authority,
        body: BodyLength::None,
        // The exchange is one of HTTP/1.1 from here on.
        version: Version::Http11,
        form: TargetForm::Origin,
        is_get: true,
        keep_alive: true,
        upgrade: true,
        ..*view.request
    };
    Some(Upgrade { bytes, request, fields, accept: accept_of(&key) })
}

/// A key of 16 bytes in base64 (RFC 6455 §4.1). It only shows that the server knows WebSockets.
fn key([high, low]: [u64; 2]) -> [u8; 24] {
    let bits = (u128::from(high) << 64) | u128::from(low);
    let mut key = [b'='; 24];
    base64(&bits.to_be_bytes(), &mut key);
    key
}

/// True where a server's answer fits the key it was asked with, if it was asked with one.
pub(super) fn fits(response: &Response, accept: Option<&[u8]>) -> bool {
    let FieldSource::Upstream(head) = &response.fields else { return false };
    accept.is_some() && head.view().get(Known::SecWebsocketAccept) == accept
}

#[cfg(test)]
mod tests {
    use anygate_proto::h1::Parsed;
    use anygate_proto::h1::request::parse_request;
    use anygate_proto::websocket::{Handshake, handshake};
    use anygate_proto::{Fields, Limits};

    use super::*;

    #[test]
    fn an_extended_connect_becomes_a_good_handshake_of_http_1_1() {
        let head = b"GET /chat?room=7 HTTP/1.1\r\nhost: a.example\r\nsec-websocket-version: 13\r\norigin: x\r\n\r\n";
        let mut fields = Fields::new();
        let Ok(Parsed::Complete(request)) = parse_request(head, &Limits::default(), &mut fields) else {
            panic!("a good head");
        };
        let Upgrade { bytes, request, fields, accept } =
            as_upgrade(request.view(head, &fields), [1, 2]).expect("it has a path");
        let view = request.view(&bytes, &fields);
        assert_eq!(handshake(view), Handshake::Valid);
        assert_eq!(
            (view.path(), view.query(), view.authority()),
            (&b"/chat"[..], Some(&b"room=7"[..]), &b"a.example"[..])
        );
        assert_eq!(view.get_named("origin"), Some(&b"x"[..]));
        assert_eq!(view.get(Known::SecWebsocketKey).map(accept_of), Some(accept));
        let mut again = Fields::new();
        let Ok(Parsed::Complete(parsed)) = parse_request(&bytes, &Limits::default(), &mut again) else {
            panic!("it is one of HTTP/1.1");
        };
        assert_eq!((parsed.path, parsed.query, parsed.target), (request.path, request.query, request.target));
    }

    #[test]
    fn every_bit_of_the_nonce_is_in_the_key() {
        assert_eq!(&key([0x7468_6520_7361_6d70, 0x6c65_206e_6f6e_6365]), b"dGhlIHNhbXBsZSBub25jZQ==");
        for bit in 0..64 {
            assert_ne!(key([1 << bit, 0]), key([0, 0]));
            assert_ne!(key([0, 1 << bit]), key([0, 0]));
        }
    }
}
