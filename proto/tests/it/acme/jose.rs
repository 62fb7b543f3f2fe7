//! Signatures as a server reads them: base64url, keys and bindings, apart from the code under test.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

/// RFC 8555, section 7.3.4.
pub(super) fn bound(
    binding: &Value,
    kid: &str,
    key: &[u8],
    jwk: &Value,
    url: &str,
) -> Result<(), (u16, &'static str, String)> {
    let refused = |detail: &str| (403, "externalAccountRequired", detail.to_owned());
    let text = |name: &str| binding[name].as_str().ok_or_else(|| refused(name));
    let (head, payload) = (text("protected")?, text("payload")?);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::verify(&key, format!("{head}.{payload}").as_bytes(), &decode(text("signature")?))
        .map_err(|_| refused("signature"))?;
    let (head, payload): (Value, Value) =
        (serde_json::from_slice(&decode(head)).unwrap(), serde_json::from_slice(&decode(payload)).unwrap());
    if head["alg"] != "HS256" || head["kid"] != kid || head["url"] != url || !head["nonce"].is_null() {
        return Err(refused("head"));
    }
    if payload == *jwk { Ok(()) } else { Err(refused("another key")) }
}

pub(super) fn point(jwk: &Value) -> Vec<u8> {
    assert_eq!((&jwk["kty"], &jwk["crv"]), (&json!("EC"), &json!("P-256")));
    assert!(jwk["d"].is_null(), "the private key stays at home");
    let axis = |name: &str| decode(jwk[name].as_str().unwrap_or_default());
    [vec![4], axis("x"), axis("y")].concat()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bit by bit, unlike the code under test.
pub(super) fn encode(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let digits = (bytes.len() * 8).div_ceil(6);
    (0..digits)
        .map(|digit| char::from(DIGITS[(0..6).fold(0, |value, at| value * 2 + usize::from(bit(digit * 6 + at)))]))
        .collect()
}

pub(super) fn decode(text: &str) -> Vec<u8> {
    let values: Vec<usize> = text
        .bytes()
        .map(|digit| DIGITS.iter().position(|&one| one == digit).unwrap_or_else(|| panic!("no base64url: {text}")))
        .collect();
    let bit = |at: usize| values[at / 6] >> (5 - at % 6) & 1;
    (0..values.len() * 6 / 8).map(|byte| (0..8).fold(0, |value, at| value * 2 + bit(byte * 8 + at) as u8)).collect()
}
