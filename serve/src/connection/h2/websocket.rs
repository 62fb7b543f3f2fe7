//! A WebSocket that comes by extended CONNECT (RFC 8441), as the opening handshake of HTTP/1.1 that servers behind know.

use std::hash::{BuildHasher, RandomState};

use anygate_proto::head::{BodyLength, Field, Fields, Request, RequestView, Span, TargetForm, Version};
use anygate_proto::known::Known;

/// Fields of the answer that are about the handshake of HTTP/1.1 alone (RFC 8441 §5).
pub(super) const OF_UPGRADES: [&str; 1] = ["Sec-WebSocket-Accept"];

/// Fields of the request that are made anew.
const MADE_ANEW: [Known; 4] = [Known::Connection, Known::Upgrade, Known::SecWebsocketKey, Known::ContentLength];

/// The same request as a `GET` that asks for an upgrade: the rules that serve WebSockets of HTTP/1.1 serve it too. `None` where
/// it has no path.
pub(super) fn as_upgrade(view: RequestView<'_>) -> Option<(Vec<u8>, Request, Fields)> {
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
    let authority = put(view.authority());
    put(b"\r\n");
    let mut fields = Fields::with_capacity(view.fields.iter().count() + 3);
    let key = key();
    let own = [(&b"connection"[..], &b"upgrade"[..]), (b"upgrade", b"websocket"), (b"sec-websocket-key", &key)];
    let kept = view.fields.iter().filter(|field| !MADE_ANEW.contains(&field.known));
    let kept = kept.map(|field| (field.name.of(view.bytes), field.value.of(view.bytes)));
    for (name, value) in kept.chain(own) {
        let known = Known::of(name);
        let name = put(name);
        put(b": ");
        let value = put(value);
        put(b"\r\n");
        fields.push(Field { name, value, known });
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
    Some((bytes, request, fields))
}

/// A key of 16 bytes in base64 (RFC 6455 §4.1), another each time. It only shows that the server knows WebSockets.
fn key() -> [u8; 24] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let state = RandomState::new();
    let mut bits = (u128::from(state.hash_one(1)) << 64) | u128::from(state.hash_one(2));
    let mut key = *b"========================";
    // 22 digits hold 132 bits; the last four of them are none.
    for digit in &mut key[..21] {
        *digit = ALPHABET[(bits >> 122) as usize & 63];
        bits <<= 6;
    }
    key[21] = ALPHABET[(bits >> 122) as usize & 0b11_0000];
    key
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
        let (bytes, request, fields) = as_upgrade(request.view(head, &fields)).expect("it has a path");
        let view = request.view(&bytes, &fields);
        assert_eq!(handshake(view), Handshake::Valid);
        assert_eq!(
            (view.path(), view.query(), view.authority()),
            (&b"/chat"[..], Some(&b"room=7"[..]), &b"a.example"[..])
        );
        assert_eq!(view.get_named("origin"), Some(&b"x"[..]));
        let mut again = Fields::new();
        assert!(matches!(parse_request(b"", &Limits::default(), &mut again), Ok(Parsed::Partial)));
    }

    #[test]
    fn no_two_keys_are_the_same() {
        assert_ne!(key(), key());
    }
}
