//! Whether an upgrade is a WebSocket opening handshake that may become a tunnel (RFC 6455 §4).
//!
//! A proxy passes key and answer on, and computes neither; but where the client came by HTTP/2 it is the proxy that asks for
//! the upgrade, and checks the answer (RFC 8441 §5).

use aws_lc_rs::digest;

use crate::head::{RequestView, ResponseView, Version};
use crate::known::Known;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// No WebSocket: serve the request as any other.
    None,
    /// A valid opening handshake.
    Valid,
    /// It asks for a WebSocket, but not as RFC 6455 §4.2.1 wants it: 400.
    Malformed,
    /// It asks for a protocol version other than 13: 426 with `Sec-WebSocket-Version: 13` (RFC 6455 §4.4), or leave it
    /// to the upstream.
    OtherVersion,
}

/// Reads the opening handshake of a request: `GET`, HTTP/1.1, `Upgrade: websocket` named in `Connection`, a key of 16
/// bytes in base64, version 13, no body.
#[must_use]
pub fn handshake(view: RequestView<'_>) -> Handshake {
    let request = view.request;
    let asked = request.upgrade && view.list(Known::Upgrade).any(|name| name.eq_ignore_ascii_case(b"websocket"));
    if !asked || request.version != Version::Http11 {
        return Handshake::None;
    }
    let mut keys = view.all(Known::SecWebsocketKey);
    let key = keys.next().is_some_and(is_key) && keys.next().is_none();
    if !request.is_get || !key || !request.body.is_empty() {
        return Handshake::Malformed;
    }
    let mut versions = view.all(Known::SecWebsocketVersion);
    match (versions.next(), versions.next()) {
        (Some(b"13"), None) => Handshake::Valid,
        (Some(_), None) => Handshake::OtherVersion,
        _ => Handshake::Malformed,
    }
}

/// Whether an upstream's answer accepts the handshake: 101, `Upgrade: websocket` alone, `Connection` names it, and an
/// accept field is there. Whether it fits the key is the client's to check.
#[must_use]
pub fn accepted(view: ResponseView<'_>) -> bool {
    let mut protocols = view.list(Known::Upgrade);
    view.response.status == 101
        && view.response.upgrade
        && protocols.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
        && view.fields.has(Known::SecWebsocketAccept)
}

/// The one `Sec-WebSocket-Accept` that fits this `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
#[must_use]
pub fn accept_of(key: &[u8]) -> [u8; 28] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [b'='; 28];
    base64(context.finish().as_ref(), &mut accept);
    accept
}

/// Writes bytes in base64 (RFC 4648 §4) over as many `=` as they take.
pub fn base64(bytes: &[u8], out: &mut [u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (group, out) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let word = group.iter().enumerate().fold(0, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        for (at, digit) in out.iter_mut().enumerate().take(group.len() + 1) {
            *digit = ALPHABET[(word >> (18 - 6 * at)) as usize & 63];
        }
    }
}

/// 16 bytes in base64: 22 digits, of which the last has four bits of nothing, and `==`.
fn is_key(key: &[u8]) -> bool {
    let [digits @ .., b'=', b'='] = key else {
        return false;
    };
    digits.len() == 22 && digits.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_rfcs_example_fits_its_key() {
        assert_eq!(&accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
