//! How a server behind is told of a client's certificate (RFC 9440).
//!
//! Who sends these fields on takes those of the client's own request away, always: a server behind believes them.

/// The field for the client's own certificate (RFC 9440 §2.2).
pub const CLIENT_CERT: &str = "Client-Cert";
/// The field for the certificates it sent along (RFC 9440 §2.3).
pub const CLIENT_CERT_CHAIN: &str = "Client-Cert-Chain";
/// The longest value of [`CLIENT_CERT_CHAIN`], in bytes: servers take heads of 8 KiB and more.
pub const CHAIN_MOST: usize = 16 << 10;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The fields' values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCert {
    /// The value of [`CLIENT_CERT`].
    pub own: String,
    /// The value of [`CLIENT_CERT_CHAIN`]; none where the client sent no others, or where it were longer than
    /// [`CHAIN_MOST`].
    pub chain: Option<String>,
}

impl ClientCert {
    /// The values for these certificates, DER, the client's own first. None where there is none.
    #[must_use]
    pub fn of(certificates: &[impl AsRef<[u8]>]) -> Option<Self> {
        let (own, others) = certificates.split_first()?;
        let length: usize = others.iter().map(|other| binary_len(other.as_ref()) + 2).sum();
        let chain = (!others.is_empty() && length <= CHAIN_MOST).then(|| {
            let mut chain = String::with_capacity(length);
            for other in others {
                if !chain.is_empty() {
                    chain.push_str(", ");
                }
                binary(other.as_ref(), &mut chain);
            }
            chain
        });
        let mut value = String::with_capacity(binary_len(own.as_ref()));
        binary(own.as_ref(), &mut value);
        Some(Self { own: value, chain })
    }
}

fn binary_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4 + 2
}

/// Puts bytes behind `out` as a byte sequence of structured fields (RFC 9651 §4.1.8).
fn binary(bytes: &[u8], out: &mut String) {
    out.push(':');
    for group in bytes.chunks(3) {
        let mut bits = [0; 3];
        bits[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for digit in 0..4 {
            let is_there = digit <= group.len();
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            out.push(if is_there { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64_between_colons() {
        // RFC 4648 §10.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (bytes, text) in cases {
            let mut out = String::new();
            binary(bytes.as_bytes(), &mut out);
            assert_eq!(out, format!(":{text}:"));
            assert_eq!(out.len(), binary_len(bytes.as_bytes()));
        }
        let mut out = String::new();
        binary(&[0xfb, 0xef, 0xff, 0x00], &mut out);
        assert_eq!(out, ":++//AA==:");
    }

    #[test]
    fn the_chain_leaves_out_the_clients_own_and_is_left_out_where_it_is_too_long() {
        assert_eq!(ClientCert::of(&[] as &[Vec<u8>]), None);
        let own = ClientCert { own: ":Zg==:".into(), chain: None };
        assert_eq!(ClientCert::of(&["f"]), Some(own.clone()));
        let chain = ClientCert { chain: Some(":Zm8=:, :Zm9v:".into()), ..own.clone() };
        assert_eq!(ClientCert::of(&["f", "fo", "foo"]), Some(chain));
        assert_eq!(ClientCert::of(&[&b"f"[..], &[0; 13_000]]), Some(own));
    }
}
