//! The Huffman code of string literals (RFC 7541 §5.2, Appendix B).
//!
//! The code is canonical: codes of one length count up in the order of their symbols, so the lengths alone give all of it.
//! Decoding looks at twelve bits a step, which hold one symbol or two; a longer code, which only rare bytes have, is found
//! by its length.

use super::Error;

/// The end-of-string symbol: thirty ones, never sent.
const EOS: u16 = 256;

/// Bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONGEST: usize = 30;
const SHORTEST: usize = 5;

/// What all codes of one length have in common.
#[derive(Clone, Copy)]
struct Level {
    /// The first code of this length.
    first: u32,
    /// How many there are.
    count: u32,
    /// Where its symbol stands in [`SYMBOLS`].
    offset: u32,
}

/// By length; and the symbols, shorter codes first.
const CANON: ([Level; LONGEST + 1], [u16; 257]) = {
    let mut levels = [Level { first: 0, count: 0, offset: 0 }; LONGEST + 1];
    let mut symbols = [0; 257];
    let (mut code, mut placed, mut length) = (0, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        levels[length] = Level { first: code, count: 0, offset: placed };
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[placed as usize] = symbol as u16;
                levels[length].count += 1;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    assert!(code == 1 << LONGEST, "the code is complete");
    (levels, symbols)
};

static LEVELS: [Level; LONGEST + 1] = CANON.0;
static SYMBOLS: [u16; 257] = CANON.1;

/// A symbol's code, in its low bits.
#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    length: u8,
}

static CODES: [Code; 256] = {
    let mut codes = [Code { bits: 0, length: 0 }; 256];
    let (levels, symbols) = CANON;
    let mut length = SHORTEST;
    while length <= LONGEST {
        let level = levels[length];
        let mut at = 0;
        while at < level.count {
            let symbol = symbols[(level.offset + at) as usize];
            if symbol != EOS {
                codes[symbol as usize] = Code { bits: level.first + at, length: length as u8 };
            }
            at += 1;
        }
        length += 1;
    }
    codes
};

/// Bits that one step of the decoder looks at.
const STEP: usize = 12;

/// What the next twelve bits hold: one symbol or two, and how many bits those took; no bits where a longer code begins.
#[derive(Clone, Copy)]
struct Step {
    symbols: [u8; 2],
    count: u8,
    bits: u8,
}

/// By the next twelve bits, inverted.
static STEPS: [Step; 1 << STEP] = {
    let mut steps = [Step { symbols: [0; 2], count: 0, bits: 0 }; 1 << STEP];
    let mut at = 0;
    while at < steps.len() {
        let window = (!at & (steps.len() - 1)) as u32;
        if let Some((first, length)) = short(window, STEP) {
            steps[at] = Step { symbols: [first, 0], count: 1, bits: length as u8 };
            let (rest, left) = (window & ((1 << (STEP - length)) - 1), STEP - length);
            if let Some((second, more)) = short(rest, left) {
                steps[at] = Step { symbols: [first, second], count: 2, bits: (length + more) as u8 };
            }
        }
        at += 1;
    }
    steps
};

/// The symbol whose code begins the `bits` bits of `window`, and the code's length.
const fn short(window: u32, bits: usize) -> Option<(u8, usize)> {
    let (levels, symbols) = &CANON;
    let mut length = SHORTEST;
    while length <= bits {
        let (level, code) = (levels[length], window >> (bits - length));
        if code < level.first + level.count {
            return Some((symbols[(level.offset + code - level.first) as usize] as u8, length));
        }
        length += 1;
    }
    None
}

/// The symbol whose code begins the inverted bits at the top of `window`, and the code's length.
fn any(window: u64) -> (u16, u32) {
    let bits = (!window >> 32) as u32;
    for (length, level) in LEVELS.iter().enumerate().skip(SHORTEST) {
        let code = bits >> (32 - length);
        if code < level.first + level.count {
            return (SYMBOLS[(level.offset + code - level.first) as usize], length as u32);
        }
    }
    // The code is complete: only thirty ones come here.
    (EOS, LONGEST as u32)
}

/// Appends what `code` says; at most 8/5 of its length.
///
/// # Errors
///
/// [`Error::Huffman`] when the code ends in anything but up to seven ones, or holds the end-of-string symbol. What was
/// appended until then stays.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    // A step writes two bytes, the second one perhaps in vain.
    out.resize(start + code.len() * 8 / SHORTEST + 2, 0);
    let (room, mut at) = (&mut out[start..], 0);
    // Bits are kept inverted, at the top: what lies behind the end then reads as ones, which is what it is padded with.
    let (mut input, mut window, mut held) = (code, 0u64, 0u32);
    // Far from the end there are always bits for four steps, 56 at least.
    'refill: while let Some(word) = input.first_chunk::<8>() {
        window |= !u64::from_be_bytes(*word) >> held;
        input = &input[(63 - held) as usize / 8..];
        held |= 56;
        for _ in 0..4 {
            let step = STEPS[(window >> (64 - STEP)) as usize];
            if step.count == 0 {
                if held < LONGEST as u32 {
                    continue 'refill;
                }
                let (symbol, length) = any(window);
                if symbol == EOS {
                    out.truncate(start + at);
                    return Err(Error::Huffman);
                }
                room[at] = symbol as u8;
                at += 1;
                window <<= length;
                held -= length;
                continue 'refill;
            }
            room[at..at + 2].copy_from_slice(&step.symbols);
            at += usize::from(step.count);
            window <<= step.bits;
            held -= u32::from(step.bits);
        }
    }
    let result = loop {
        if held <= 56
            && let Some((&byte, rest)) = input.split_first()
        {
            window |= u64::from(!byte) << (56 - held);
            (held, input) = (held + 8, rest);
            continue;
        }
        let step = STEPS[(window >> (64 - STEP)) as usize];
        if step.count != 0 && u32::from(step.bits) <= held {
            room[at..at + 2].copy_from_slice(&step.symbols);
            at += usize::from(step.count);
            window <<= step.bits;
            held -= u32::from(step.bits);
            continue;
        }
        let (symbol, length) = any(window);
        if symbol == EOS {
            break if held < 8 { Ok(()) } else { Err(Error::Huffman) };
        }
        if length > held {
            break Err(Error::Huffman);
        }
        room[at] = symbol as u8;
        at += 1;
        window <<= length;
        held -= length;
    };
    out.truncate(start + at);
    result
}

/// Bytes that the code of `text` takes.
#[inline]
pub(super) fn len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[byte as usize])).sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut held) = (0u64, 0u32);
    for &byte in text {
        let code = CODES[byte as usize];
        window = window << code.length | u64::from(code.bits);
        held += u32::from(code.length);
        if held >= 32 {
            held -= 32;
            out.extend_from_slice(&((window >> held) as u32).to_be_bytes());
        }
    }
    if held > 0 {
        let padded = ((window << (32 - held)) as u32) | (u32::MAX >> held);
        out.extend_from_slice(&padded.to_be_bytes()[..held.div_ceil(8) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Appendix B, as it stands there: code and length of every symbol.
    #[rustfmt::skip]
    const APPENDIX_B: [(u32, u8); 257] = [
        (0x1ff8, 13), (0x7fffd8, 23), (0xfffffe2, 28), (0xfffffe3, 28), (0xfffffe4, 28), (0xfffffe5, 28),
        (0xfffffe6, 28), (0xfffffe7, 28), (0xfffffe8, 28), (0xffffea, 24), (0x3ffffffc, 30), (0xfffffe9, 28),
        (0xfffffea, 28), (0x3ffffffd, 30), (0xfffffeb, 28), (0xfffffec, 28), (0xfffffed, 28), (0xfffffee, 28),
        (0xfffffef, 28), (0xffffff0, 28), (0xffffff1, 28), (0xffffff2, 28), (0x3ffffffe, 30), (0xffffff3, 28),
        (0xffffff4, 28), (0xffffff5, 28), (0xffffff6, 28), (0xffffff7, 28), (0xffffff8, 28), (0xffffff9, 28),
        (0xffffffa, 28), (0xffffffb, 28), (0x14, 6), (0x3f8, 10), (0x3f9, 10), (0xffa, 12),
        (0x1ff9, 13), (0x15, 6), (0xf8, 8), (0x7fa, 11), (0x3fa, 10), (0x3fb, 10),
        (0xf9, 8), (0x7fb, 11), (0xfa, 8), (0x16, 6), (0x17, 6), (0x18, 6),
        (0x0, 5), (0x1, 5), (0x2, 5), (0x19, 6), (0x1a, 6), (0x1b, 6),
        (0x1c, 6), (0x1d, 6), (0x1e, 6), (0x1f, 6), (0x5c, 7), (0xfb, 8),
        (0x7ffc, 15), (0x20, 6), (0xffb, 12), (0x3fc, 10), (0x1ffa, 13), (0x21, 6),
        (0x5d, 7), (0x5e, 7), (0x5f, 7), (0x60, 7), (0x61, 7), (0x62, 7),
        (0x63, 7), (0x64, 7), (0x65, 7), (0x66, 7), (0x67, 7), (0x68, 7),
        (0x69, 7), (0x6a, 7), (0x6b, 7), (0x6c, 7), (0x6d, 7), (0x6e, 7),
        (0x6f, 7), (0x70, 7), (0x71, 7), (0x72, 7), (0xfc, 8), (0x73, 7),
        (0xfd, 8), (0x1ffb, 13), (0x7fff0, 19), (0x1ffc, 13), (0x3ffc, 14), (0x22, 6),
        (0x7ffd, 15), (0x3, 5), (0x23, 6), (0x4, 5), (0x24, 6), (0x5, 5),
        (0x25, 6), (0x26, 6), (0x27, 6), (0x6, 5), (0x74, 7), (0x75, 7),
        (0x28, 6), (0x29, 6), (0x2a, 6), (0x7, 5), (0x2b, 6), (0x76, 7),
        (0x2c, 6), (0x8, 5), (0x9, 5), (0x2d, 6), (0x77, 7), (0x78, 7),
        (0x79, 7), (0x7a, 7), (0x7b, 7), (0x7ffe, 15), (0x7fc, 11), (0x3ffd, 14),
        (0x1ffd, 13), (0xffffffc, 28), (0xfffe6, 20), (0x3fffd2, 22), (0xfffe7, 20), (0xfffe8, 20),
        (0x3fffd3, 22), (0x3fffd4, 22), (0x3fffd5, 22), (0x7fffd9, 23), (0x3fffd6, 22), (0x7fffda, 23),
        (0x7fffdb, 23), (0x7fffdc, 23), (0x7fffdd, 23), (0x7fffde, 23), (0xffffeb, 24), (0x7fffdf, 23),
        (0xffffec, 24), (0xffffed, 24), (0x3fffd7, 22), (0x7fffe0, 23), (0xffffee, 24), (0x7fffe1, 23),
        (0x7fffe2, 23), (0x7fffe3, 23), (0x7fffe4, 23), (0x1fffdc, 21), (0x3fffd8, 22), (0x7fffe5, 23),
        (0x3fffd9, 22), (0x7fffe6, 23), (0x7fffe7, 23), (0xffffef, 24), (0x3fffda, 22), (0x1fffdd, 21),
        (0xfffe9, 20), (0x3fffdb, 22), (0x3fffdc, 22), (0x7fffe8, 23), (0x7fffe9, 23), (0x1fffde, 21),
        (0x7fffea, 23), (0x3fffdd, 22), (0x3fffde, 22), (0xfffff0, 24), (0x1fffdf, 21), (0x3fffdf, 22),
        (0x7fffeb, 23), (0x7fffec, 23), (0x1fffe0, 21), (0x1fffe1, 21), (0x3fffe0, 22), (0x1fffe2, 21),
        (0x7fffed, 23), (0x3fffe1, 22), (0x7fffee, 23), (0x7fffef, 23), (0xfffea, 20), (0x3fffe2, 22),
        (0x3fffe3, 22), (0x3fffe4, 22), (0x7ffff0, 23), (0x3fffe5, 22), (0x3fffe6, 22), (0x7ffff1, 23),
        (0x3ffffe0, 26), (0x3ffffe1, 26), (0xfffeb, 20), (0x7fff1, 19), (0x3fffe7, 22), (0x7ffff2, 23),
        (0x3fffe8, 22), (0x1ffffec, 25), (0x3ffffe2, 26), (0x3ffffe3, 26), (0x3ffffe4, 26), (0x7ffffde, 27),
        (0x7ffffdf, 27), (0x3ffffe5, 26), (0xfffff1, 24), (0x1ffffed, 25), (0x7fff2, 19), (0x1fffe3, 21),
        (0x3ffffe6, 26), (0x7ffffe0, 27), (0x7ffffe1, 27), (0x3ffffe7, 26), (0x7ffffe2, 27), (0xfffff2, 24),
        (0x1fffe4, 21), (0x1fffe5, 21), (0x3ffffe8, 26), (0x3ffffe9, 26), (0xffffffd, 28), (0x7ffffe3, 27),
        (0x7ffffe4, 27), (0x7ffffe5, 27), (0xfffec, 20), (0xfffff3, 24), (0xfffed, 20), (0x1fffe6, 21),
        (0x3fffe9, 22), (0x1fffe7, 21), (0x1fffe8, 21), (0x7ffff3, 23), (0x3fffea, 22), (0x3fffeb, 22),
        (0x1ffffee, 25), (0x1ffffef, 25), (0xfffff4, 24), (0xfffff5, 24), (0x3ffffea, 26), (0x7ffff4, 23),
        (0x3ffffeb, 26), (0x7ffffe6, 27), (0x3ffffec, 26), (0x3ffffed, 26), (0x7ffffe7, 27), (0x7ffffe8, 27),
        (0x7ffffe9, 27), (0x7ffffea, 27), (0x7ffffeb, 27), (0xffffffe, 28), (0x7ffffec, 27), (0x7ffffed, 27),
        (0x7ffffee, 27), (0x7ffffef, 27), (0x7fffff0, 27), (0x3ffffee, 26), (0x3fffffff, 30),
    ];

    #[test]
    fn every_symbol_has_the_code_of_appendix_b() {
        for (symbol, &(bits, length)) in APPENDIX_B.iter().enumerate() {
            assert_eq!(LENGTHS[symbol], length, "{symbol}");
            if let Some(code) = CODES.get(symbol) {
                assert_eq!((code.bits, code.length), (bits, length), "{symbol}");
            }
            let level = LEVELS[length as usize];
            assert_eq!(SYMBOLS[(level.offset + bits - level.first) as usize] as usize, symbol);
        }
    }

    fn decoded(code: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = b"before".to_vec();
        decode(code, &mut out)?;
        Ok(out.split_off(6))
    }

    #[test]
    fn every_symbol_and_every_pair_of_symbols_reads_back() {
        for first in 0..=255 {
            for second in 0..=255 {
                for text in [&[first][..], &[first, second], &[first, first, first, second, second]] {
                    let mut code = Vec::new();
                    encode(text, &mut code);
                    assert_eq!(code.len(), len(text));
                    assert_eq!(decoded(&code).as_deref(), Ok(text));
                }
            }
        }
        assert_eq!(decoded(b""), Ok(Vec::new()));
    }

    #[test]
    fn padding_is_up_to_seven_ones() {
        // `0` is 00000, `1` is 00001, `&` is eight bits, 11111000.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b1111_1000]), Ok(b"&".to_vec()));
        for wrong in 0..7 {
            assert_eq!(decoded(&[0b1111_1000, 0b0000_0111, wrong]), Err(Error::Huffman), "{wrong}");
            assert_eq!(decoded(&[wrong]), Err(Error::Huffman), "{wrong}");
        }
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff, 0xff]), Err(Error::Huffman));
    }

    #[test]
    fn the_end_of_string_symbol_is_refused_wherever_it_stands() {
        assert_eq!(decoded(&[0xff; 4]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff; 40]), Err(Error::Huffman));
        // `0`, then thirty ones, then five bits of `0`.
        assert_eq!(decoded(&[0b0000_0111, 0xff, 0xff, 0xff, 0b1110_0000]), Err(Error::Huffman));
        assert_eq!(decoded(&[0b0000_0111, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), Err(Error::Huffman));
    }

    #[test]
    fn a_code_that_is_cut_off_is_refused() {
        for symbol in 0..=255u8 {
            let mut code = Vec::new();
            encode(&[symbol], &mut code);
            if code.len() > 1 {
                assert_eq!(decoded(&code[..code.len() - 1]), Err(Error::Huffman), "{symbol}");
            }
        }
    }
}
