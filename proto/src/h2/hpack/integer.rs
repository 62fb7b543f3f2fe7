//! How integers and the lengths of strings are written (RFC 7541 §5.1, §5.2).

use super::Error;

/// Bytes behind the prefix that 2^32 - 1 needs; more are refused even when they add nothing.
const MOST_BYTES: u32 = 5;

/// Reads an integer whose first byte, `first`, was taken from `input` already; its low `prefix` bits (1 to 8) count.
///
/// # Errors
///
/// [`Error::Truncated`], and [`Error::Integer`] above 2^32 - 1 or behind more than five bytes.
#[inline]
pub(super) fn read(first: u8, prefix: u32, input: &mut &[u8]) -> Result<u32, Error> {
    let mask = 0xff >> (8 - prefix);
    let low = first & mask;
    if low < mask { Ok(u32::from(low)) } else { rest(low, input) }
}

fn rest(low: u8, input: &mut &[u8]) -> Result<u32, Error> {
    let mut value = u64::from(low);
    for step in 0..MOST_BYTES {
        let (&byte, rest) = input.split_first().ok_or(Error::Truncated)?;
        *input = rest;
        value += u64::from(byte & 0x7f) << (7 * step);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| Error::Integer);
        }
    }
    Err(Error::Integer)
}

/// Appends `value` with a prefix of `prefix` bits; `pattern` holds the bits before it.
#[inline]
pub(super) fn write(value: u32, prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    let mask = 0xffu8 >> (8 - prefix);
    if value < u32::from(mask) {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask);
    let mut left = value - u32::from(mask);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Takes a string literal's bytes from `input`, as they are on the wire, and whether they are a Huffman code.
#[inline]
pub(super) fn string<'a>(input: &mut &'a [u8]) -> Result<(&'a [u8], bool), Error> {
    let (&first, behind) = input.split_first().ok_or(Error::Truncated)?;
    *input = behind;
    let length = read(first, 7, input)?;
    let (bytes, behind) = input.split_at_checked(length as usize).ok_or(Error::Truncated)?;
    *input = behind;
    Ok((bytes, first & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: u32, prefix: u32) -> Vec<u8> {
        let mut out = Vec::new();
        write(value, prefix, 0, &mut out);
        out
    }

    fn read_back(bytes: &[u8], prefix: u32) -> Result<u32, Error> {
        let (first, mut rest) = (bytes[0], &bytes[1..]);
        let value = read(first, prefix, &mut rest)?;
        assert!(rest.is_empty());
        Ok(value)
    }

    #[test]
    fn the_integers_of_appendix_c_1_are_written_and_read() {
        for (value, prefix, bytes) in
            [(10, 5, &[0b0_1010][..]), (1337, 5, &[0b1_1111, 0b1001_1010, 0b0000_1010]), (42, 8, &[0b0010_1010])]
        {
            assert_eq!(written(value, prefix), bytes);
            assert_eq!(read_back(bytes, prefix), Ok(value));
        }
    }

    #[test]
    fn every_prefix_reads_back_what_it_wrote_around_each_border() {
        let borders = (0..32).flat_map(|bit| [(1u32 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u32::MAX]);
        for value in borders {
            for prefix in 1..=8 {
                let bytes = written(value, prefix);
                assert_eq!(read_back(&bytes, prefix), Ok(value), "{value} behind {prefix} bits");
                for piece in 1..bytes.len() {
                    assert_eq!(read_back(&bytes[..piece], prefix), Err(Error::Truncated));
                }
            }
        }
    }

    #[test]
    fn bits_before_the_prefix_are_kept_and_not_read() {
        let mut out = Vec::new();
        write(9, 4, 0b1010_0000, &mut out);
        assert_eq!(out, [0b1010_1001]);
        assert_eq!(read(0b1010_1001, 4, &mut &[][..]), Ok(9));
    }

    #[test]
    fn an_integer_above_32_bits_or_padded_beyond_them_is_refused() {
        assert_eq!(read_back(&[0xff, 0x80, 0xfe, 0xff, 0xff, 0x0f], 8), Ok(u32::MAX));
        assert_eq!(read_back(&[0xff, 0x81, 0xfe, 0xff, 0xff, 0x0f], 8), Err(Error::Integer));
        assert_eq!(read_back(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 8), Err(Error::Integer));
        // A zero may be padded, but not without end.
        assert_eq!(read_back(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x00], 8), Ok(255));
        assert_eq!(read(0xff, 8, &mut &[0x80; 100][..]), Err(Error::Integer));
        assert_eq!(read(0xff, 8, &mut &[0xff; 100][..]), Err(Error::Integer));
    }

    #[test]
    fn a_string_that_is_longer_than_the_block_is_truncated() {
        assert_eq!(string(&mut &[0x83, 1, 2, 3, 4][..]), Ok((&[1, 2, 3][..], true)));
        assert_eq!(string(&mut &[0x03, 1, 2][..]), Err(Error::Truncated));
        assert_eq!(string(&mut &[0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f][..]), Err(Error::Truncated));
        assert_eq!(string(&mut &[][..]), Err(Error::Truncated));
    }
}
