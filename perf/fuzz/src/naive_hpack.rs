//! HPACK read the slow way (RFC 7541), apart from `anygate_proto`: bit by bit, field by field, into a list.

use std::collections::VecDeque;
use std::sync::OnceLock;

/// A field as it was decoded.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It ends in the middle of something.
    Cut,
    /// An index that is 0 or beyond both tables.
    Index,
    /// An integer that does not fit 32 bits, or takes more than five octets behind its first.
    Integer,
    /// A Huffman code that ends wrongly, or holds EOS.
    Huffman,
    /// A table size over what was allowed, or behind a field, or none where the table must shrink.
    Size,
}

/// Decodes the blocks of one connection.
#[derive(Debug)]
pub struct Reader {
    /// The newest first.
    table: VecDeque<Pair>,
    /// What the table counts (RFC 7541 §4.1), in bytes.
    size: usize,
    most: usize,
    allowed: usize,
    /// The next block must begin with a table size.
    owes: bool,
}

impl Reader {
    /// With a table of 4 KiB, as every connection begins, that may grow to `allowed` bytes.
    pub fn new(allowed: usize) -> Self {
        Self { table: VecDeque::new(), size: 0, most: 4096, allowed: allowed.max(4096), owes: false }
    }

    /// From now on the table has at most so many bytes (RFC 7541 §4.2).
    pub fn allow(&mut self, allowed: usize) {
        self.allowed = allowed;
        self.owes = self.most > allowed;
    }

    /// The fields of a block; what was decoded before an error has changed the table.
    pub fn decode(&mut self, block: &[u8]) -> Result<Vec<Pair>, Broken> {
        let mut fields = Vec::new();
        let mut rest = block;
        if self.owes && rest.first().is_none_or(|first| first & 0xe0 != 0x20) {
            return Err(Broken::Size);
        }
        self.owes = false;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                fields.push(self.entry(index)?);
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut rest, 5)? as usize;
                if size > self.allowed || !fields.is_empty() {
                    return Err(Broken::Size);
                }
                self.most = size;
                self.evict(0);
            } else {
                let kept = first & 0x40 != 0;
                let index = integer(&mut rest, if kept { 6 } else { 4 })?;
                let name = if index == 0 { string(&mut rest)? } else { self.entry(index)?.0 };
                let value = string(&mut rest)?;
                if kept {
                    self.keep((name.clone(), value.clone()));
                }
                fields.push((name, value));
            }
        }
        Ok(fields)
    }

    /// What the dynamic table counts, in bytes.
    pub fn table_size(&self) -> usize {
        self.size
    }

    fn entry(&self, index: u32) -> Result<Pair, Broken> {
        let at = (index as usize).checked_sub(1).ok_or(Broken::Index)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        self.table.get(at - STATIC.len()).cloned().ok_or(Broken::Index)
    }

    fn keep(&mut self, pair: Pair) {
        let size = pair.0.len() + pair.1.len() + 32;
        self.evict(size);
        if size <= self.most {
            self.size += size;
            self.table.push_front(pair);
        }
    }

    fn evict(&mut self, room: usize) {
        while self.size + room > self.most {
            let Some((name, value)) = self.table.pop_back() else { return };
            self.size -= name.len() + value.len() + 32;
        }
    }
}

/// Whether a sound block holds an integer of more than four octets behind its first.
pub fn has_long_integer(block: &[u8]) -> bool {
    fn measured(rest: &mut &[u8], prefix: u32, found: &mut bool) -> usize {
        let before = rest.len();
        let value = integer(rest, prefix).unwrap_or(0);
        *found |= before - rest.len() > 5;
        value as usize
    }
    let (mut rest, mut found) = (block, false);
    while let Some(&first) = rest.first() {
        let prefix = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let index = measured(&mut rest, prefix, &mut found);
        let strings = if matches!(prefix, 5 | 7) { 0 } else { 1 + u8::from(index == 0) };
        for _ in 0..strings {
            let length = measured(&mut rest, 7, &mut found);
            rest = &rest[length.min(rest.len())..];
        }
    }
    found
}

fn integer(rest: &mut &[u8], prefix: u32) -> Result<u32, Broken> {
    let (&first, mut after) = rest.split_first().ok_or(Broken::Cut)?;
    let full = (1u64 << prefix) - 1;
    let mut value = u64::from(first) & full;
    if value == full {
        for place in 0.. {
            let (&octet, left) = after.split_first().ok_or(Broken::Cut)?;
            after = left;
            value += u64::from(octet & 0x7f) << (7 * place);
            if octet & 0x80 == 0 {
                break;
            }
            if place == 4 {
                return Err(Broken::Integer);
            }
        }
    }
    *rest = after;
    u32::try_from(value).map_err(|_| Broken::Integer)
}

fn string(rest: &mut &[u8]) -> Result<Vec<u8>, Broken> {
    let coded = rest.first().ok_or(Broken::Cut)? & 0x80 != 0;
    let length = integer(rest, 7)? as usize;
    let (bytes, after) = rest.split_at_checked(length).ok_or(Broken::Cut)?;
    *rest = after;
    if coded { huffman(bytes) } else { Ok(bytes.to_vec()) }
}

/// Huffman's code, which is canonical: of symbols with codes of one length, the lower has the lower code.
struct Canonical {
    /// The first code of a length, the first of its symbols in `symbols`, how many there are.
    lengths: [(u32, usize, u32); 31],
    symbols: Vec<usize>,
}

fn canonical() -> &'static Canonical {
    static CODE: OnceLock<Canonical> = OnceLock::new();
    CODE.get_or_init(|| {
        let mut symbols: Vec<usize> = (0..LENGTHS.len()).collect();
        symbols.sort_by_key(|&symbol| (LENGTHS[symbol], symbol));
        let mut lengths = [(0, 0, 0); 31];
        let (mut code, mut at) = (0u32, 0);
        for (length, slot) in lengths.iter_mut().enumerate() {
            code <<= 1;
            let count = LENGTHS.iter().filter(|&&own| usize::from(own) == length).count();
            *slot = (code, at, count as u32);
            code += count as u32;
            at += count;
        }
        Canonical { lengths, symbols }
    })
}

/// Decodes a Huffman-coded string (RFC 7541 §5.2).
pub fn huffman(bytes: &[u8]) -> Result<Vec<u8>, Broken> {
    let known = canonical();
    let mut text = Vec::new();
    let (mut code, mut length) = (0u32, 0usize);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        let (first, at, count) = known.lengths[length];
        if code >= first && code - first < count {
            let symbol = known.symbols[at + (code - first) as usize];
            text.push(u8::try_from(symbol).map_err(|_| Broken::Huffman)?);
            (code, length) = (0, 0);
        }
    }
    // What is left must be the beginning of EOS, and less than an octet.
    if length < 8 && code == (1 << length) - 1 { Ok(text) } else { Err(Broken::Huffman) }
}

/// A string in Huffman's code.
pub fn in_huffman(text: &[u8]) -> Vec<u8> {
    let known = canonical();
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u64, 0);
    for &byte in text {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let (first, at, count) = known.lengths[length];
        let among = known.symbols[at..at + count as usize].binary_search(&usize::from(byte)).unwrap_or(0);
        held = held << length | u64::from(first + among as u32);
        bits += length;
        while bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    if bits > 0 {
        bytes.push((held << (8 - bits)) as u8 | 0xff >> bits);
    }
    bytes
}

/// Bits of each symbol's code, of EOS the last (RFC 7541, appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The static table (RFC 7541, appendix A).
#[rustfmt::skip]
pub const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];
