//! What header blocks do clients write, and what do the gate's say? RFC 7541 for a test: simple, and none of the code that it
//! tests.

use std::collections::VecDeque;

/// Length of each octet's Huffman code, and of EOS's (RFC 7541 Appendix B). The codes are canonical: they count up by length,
/// and by octet where lengths are the same.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// RFC 7541 Appendix A: names, and behind `=` values.
const STATIC: [&str; 61] = [
    ":authority",
    ":method=GET",
    ":method=POST",
    ":path=/",
    ":path=/index.html",
    ":scheme=http",
    ":scheme=https",
    ":status=200",
    ":status=204",
    ":status=206",
    ":status=304",
    ":status=400",
    ":status=404",
    ":status=500",
    "accept-charset",
    "accept-encoding=gzip, deflate",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// A name and a value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// What the gate's header blocks are read with.
pub(crate) struct Decoder {
    entries: VecDeque<Field>,
    /// The size that the last update set, and the largest that one may set.
    pub(crate) size: usize,
    pub(crate) largest: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 4096, largest: 4096 }
    }

    /// The fields of a block, or what is wrong with it.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, String> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                fields.push(self.entry(index)?);
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut rest, 5)?;
                if size > self.largest || !fields.is_empty() {
                    return Err(format!("a table of {size} bytes behind {} fields", fields.len()));
                }
                self.size = size;
                self.evict();
            } else {
                let kept = first & 0x40 != 0;
                let index = integer(&mut rest, if kept { 6 } else { 4 })?;
                let name = if index == 0 { string(&mut rest)? } else { self.entry(index)?.0 };
                let field = (name, string(&mut rest)?);
                if kept {
                    self.entries.push_front(field.clone());
                    self.evict();
                }
                fields.push(field);
            }
        }
        Ok(fields)
    }

    fn entry(&self, index: usize) -> Result<Field, String> {
        let first = index.checked_sub(1).ok_or("index 0")?;
        if let Some(entry) = STATIC.get(first) {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            return Ok((name.into(), value.into()));
        }
        self.entries.get(first - STATIC.len()).cloned().ok_or_else(|| format!("index {index} is not there"))
    }

    fn evict(&mut self) {
        let size = |entries: &VecDeque<Field>| entries.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
        while size(&self.entries) > self.size {
            self.entries.pop_back();
        }
    }
}

/// RFC 7541 §5.1.
fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, String> {
    let (&first, mut after) = rest.split_first().ok_or("no integer")?;
    let most = (1usize << bits) - 1;
    let mut value = usize::from(first) & most;
    let mut shift = 0;
    while value >= most {
        let (&byte, behind) = after.split_first().ok_or("an integer is cut short")?;
        after = behind;
        value += usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return Err("an integer is too long".into());
        }
    }
    *rest = after;
    Ok(value)
}

/// RFC 7541 §5.2.
fn string(rest: &mut &[u8]) -> Result<Vec<u8>, String> {
    let huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(rest, 7)?;
    let bytes = rest.get(..length).ok_or("a string is cut short")?;
    *rest = &rest[length..];
    if huffman { huffman_decoded(bytes) } else { Ok(bytes.to_vec()) }
}

/// Each octet's code and its length, in the order of the codes.
fn codes() -> Vec<(u16, u32, u8)> {
    let mut order: Vec<u16> = (0..257).collect();
    order.sort_by_key(|octet| (LENGTHS[usize::from(*octet)], *octet));
    let (mut next, mut before) = (0u32, 0);
    let code = |octet: u16| {
        let length = LENGTHS[usize::from(octet)];
        next <<= length - before;
        before = length;
        next += 1;
        (octet, next - 1, length)
    };
    order.into_iter().map(code).collect()
}

fn huffman_decoded(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let codes = codes();
    let mut out = Vec::new();
    let (mut code, mut length) = (0u32, 0u8);
    for at in 0..bytes.len() * 8 {
        code = code << 1 | u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
        length += 1;
        if let Some((octet, ..)) = codes.iter().find(|(_, one, its)| (*one, *its) == (code, length)) {
            out.push(u8::try_from(*octet).map_err(|_| "EOS in a string")?);
            (code, length) = (0, 0);
        }
    }
    if length > 7 || code != (1 << length) - 1 { Err("padding".into()) } else { Ok(out) }
}

fn huffman_encoded(bytes: &[u8]) -> Vec<u8> {
    let codes = codes();
    let mut bits = Vec::new();
    for byte in bytes {
        let (_, code, length) =
            codes.iter().find(|(octet, ..)| *octet == u16::from(*byte)).expect("every octet has one");
        bits.extend((0..*length).rev().map(|at| code >> at & 1 == 1));
    }
    bits.chunks(8)
        .map(|eight| (0..8).fold(0, |byte, at| byte << 1 | u8::from(*eight.get(at).unwrap_or(&true))))
        .collect()
}

/// How a field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// RFC 7541 §6.2.1: from then on it stands in the dynamic table.
    Incremental,
    /// RFC 7541 §6.2.2.
    Plain,
    /// RFC 7541 §6.2.3.
    Never,
}

/// Where a literal's name comes from.
pub(crate) enum Name<'a> {
    Index(usize),
    Literal(&'a [u8]),
}

/// Writes a literal.
pub(crate) fn literal(out: &mut Vec<u8>, kind: Kind, name: &Name<'_>, value: &[u8], huffman: bool) {
    let (bits, pattern) = match kind {
        Kind::Incremental => (6, 0x40),
        Kind::Plain => (4, 0),
        Kind::Never => (4, 0x10),
    };
    match name {
        Name::Index(index) => put_integer(out, bits, pattern, *index),
        Name::Literal(name) => {
            put_integer(out, bits, pattern, 0);
            put_string(out, name, huffman);
        }
    }
    put_string(out, value, huffman);
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8], huffman: bool) {
    if huffman {
        let coded = huffman_encoded(bytes);
        put_integer(out, 7, 0x80, coded.len());
        out.extend_from_slice(&coded);
    } else {
        put_integer(out, 7, 0, bytes.len());
        out.extend_from_slice(bytes);
    }
}

/// Writes an integer behind the bits of `pattern`.
pub(crate) fn put_integer(out: &mut Vec<u8>, bits: u32, pattern: u8, value: usize) {
    let most = (1usize << bits) - 1;
    if value < most {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    out.push(rest as u8);
}

#[test]
fn the_blocks_of_the_rfcs_appendix_are_read() {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    };
    let mut decoder = Decoder { size: 256, ..Decoder::new() };
    // Appendix C.6.1 and C.6.2: a table of 256 bytes, Huffman codes, an eviction.
    for (block, status) in [
        (
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "302",
        ),
        ("4883640effc1c0bf", "307"),
    ] {
        let fields = decoder.decode(&hex(block)).expect("a good block");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let fields: Vec<(String, String)> = fields.iter().map(|(n, v)| (text(n), text(v))).collect();
        let want = [
            (":status", status),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ];
        assert_eq!(fields, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
    assert_eq!(decoder.entries.len(), 4);
    let every: Vec<u8> = (0..=255).collect();
    assert_eq!(huffman_decoded(&huffman_encoded(&every)), Ok(every));
    let mut out = Vec::new();
    put_integer(&mut out, 5, 0, 1337);
    assert_eq!((out.as_slice(), integer(&mut &out[..], 5)), (&[31, 154, 10][..], Ok(1337)));
}
