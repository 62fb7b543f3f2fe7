//! Which name a field of a block has, and whether its bytes are ones that HTTP/2 allows (RFC 9113 §8.2.1, §8.3).

use crate::known::Known;

/// The name of a field or pseudo-header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:protocol` (RFC 8441)
    Protocol,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
    /// Begins with a colon and is none of these.
    Undefined,
    /// Any other name.
    Field(Known),
}

const _: () = assert!(size_of::<Name>() == 1);

impl Name {
    /// The id of `name`. Case makes no difference for fields: the upper case that HTTP/2 forbids is for the caller to find.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        if name.first() == Some(&b':') { Self::pseudo(name) } else { Self::Field(Known::of(name)) }
    }

    fn pseudo(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            _ => Self::Undefined,
        }
    }

    /// Whether `name`, which has this id, is a token in lower case or a defined pseudo-header field's name.
    pub(super) fn is_sound(self, name: &[u8]) -> bool {
        match self {
            Self::Undefined => false,
            Self::Field(_) => crate::text::is_token(name) && !name.iter().any(u8::is_ascii_uppercase),
            _ => true,
        }
    }
}

/// Whether `value` holds no control character but tabs, and neither begins nor ends with white space.
pub(super) fn is_sound_value(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return true };
    // No way out before the end: that is what lets the compiler look at many bytes at once.
    let bad = value.iter().fold(false, |bad, &byte| bad | (byte < b' ' && byte != b'\t') | (byte == 0x7f));
    !bad && !matches!(first, b' ' | b'\t') && !matches!(last, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_lower_case_and_defined_pseudo_fields_are_sound() {
        for name in [&b":path"[..], b":protocol", b"cookie", b"x-a_b", b"dnt", b"0!#$%&'*+-.^_`|~"] {
            assert!(Name::of(name).is_sound(name), "{}", name.escape_ascii());
        }
        for name in [&b""[..], b":", b":Path", b":host", b"Cookie", b"cookiE", b"a b", b"a:", b"a\0", b"\xe9", b" a"] {
            assert!(!Name::of(name).is_sound(name), "{}", name.escape_ascii());
        }
        assert_eq!(Name::of(b"cookie"), Name::Field(Known::Cookie));
    }

    #[test]
    fn a_value_is_sound_as_on_an_h1_line_and_has_no_white_space_around_it() {
        for byte in 0..=255 {
            let value = [b'a', byte, b'b'];
            assert_eq!(is_sound_value(&value), crate::text::is_field_value(&value), "{byte}");
            let around = crate::text::is_field_value(&value) && byte != b' ' && byte != b'\t';
            for value in [&[byte][..], &[byte, b'b'], &[b'a', byte]] {
                assert_eq!(is_sound_value(value), around, "{byte}");
            }
        }
        assert!(is_sound_value(b""));
    }
}
