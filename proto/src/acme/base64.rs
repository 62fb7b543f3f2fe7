//! How bytes are written in JOSE: base64url without padding (RFC 4648 §5, RFC 7515 §2).

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

/// `None` for what [`encode`] never writes: other digits, padding, one digit too many, bits left over.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for &digit in group {
            bits = bits << 6 | DIGITS.iter().position(|&one| one == digit)? as u32;
        }
        bits <<= 6 * (4 - group.len());
        let length = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        let all = bits.to_be_bytes();
        bytes.extend_from_slice(&all[1..=length]);
        if all[1 + length..].iter().any(|&left| left != 0) {
            return None;
        }
    }
    Some(bytes)
}

/// Whether `text` has digits of base64url alone, and at least one.
pub(super) fn is_base64url(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| DIGITS.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_in_rfc_4648_without_padding() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        // RFC 7515, appendix C.
        assert_eq!(encode(&[3, 236, 255, 224, 193]), "A-z_4ME");
        assert_eq!(decode("A-z_4ME"), Some(vec![3, 236, 255, 224, 193]));
    }

    #[test]
    fn what_is_never_written_is_not_read() {
        for text in ["Zg==", "Z", "Zh", "Zm9", "+/+/", "Zm 8", "Zm9v\n"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
