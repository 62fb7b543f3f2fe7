//! The little of DER (X.690) that is read and written here besides certificates.

/// Tag of an INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// Tag of a BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// Tag of an OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// Tag of an OBJECT IDENTIFIER.
pub(super) const OBJECT: u8 = 0x06;
/// Tag of an ENUMERATED.
pub(super) const ENUMERATED: u8 = 0x0a;
/// Tag of a GeneralizedTime.
pub(super) const GENERALIZED_TIME: u8 = 0x18;
/// Tag of a SEQUENCE or SEQUENCE OF.
pub(super) const SEQUENCE: u8 = 0x30;

/// Tag of a constructed, context-specific element.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Elements that are read from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'b>(pub(super) &'b [u8]);

impl<'b> Elements<'b> {
    /// The next element's tag and content; none at the end, and where it is none.
    pub(super) fn next(&mut self) -> Option<(u8, &'b [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The next element's content where it has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'b [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(content)
    }

    /// The next element where it has this tag, with the tag and the length in front of its content.
    pub(super) fn whole(&mut self, tag: u8) -> Option<&'b [u8]> {
        let all = self.0;
        self.take(tag)?;
        Some(&all[..all.len() - self.0.len()])
    }

    /// The elements inside the next one, where it has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Elements)
    }
}

/// An element around the concatenation of `parts`, which are less than 64 KiB.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(length <= usize::from(u16::MAX));
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_whatever_its_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let content = vec![7; length];
            let written = element(OCTET_STRING, &[&content[..length / 2], &content[length / 2..]]);
            let mut elements = Elements(&written);
            assert_eq!((elements.take(INTEGER), elements.whole(INTEGER)), (None, None));
            assert_eq!(Elements(&written).whole(OCTET_STRING), Some(&written[..]));
            assert_eq!(elements.take(OCTET_STRING), Some(&content[..]), "{length}");
            assert_eq!(elements.next(), None);
            assert!((0..written.len()).all(|cut| Elements(&written[..cut]).next().is_none()), "{length}");
        }
    }

    #[test]
    fn lengths_that_are_not_der_or_lie_are_no_element() {
        for bytes in
            [&b"\x30"[..], b"\x30\x80", b"\x30\x84\0\0\0\0", b"\x30\xff", b"\x30\x83\xff\xff\xff", b"\x30\x02\0"]
        {
            assert_eq!(Elements(bytes).next(), None, "{bytes:x?}");
        }
    }
}
