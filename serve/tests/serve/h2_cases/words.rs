//! How are frames written in a table?
//!
//! A cell is frames and steps between ` ; `, each of words. Quotes hold blanks and semicolons: `x-a="a b"`. The first word is the
//! frame's name (or `FRAME=0xNN`), the second its stream where it has one:
//!
//! | frame | its words |
//! |---|---|
//! | `HEADERS 1 END_STREAM :method=GET`, `CONTINUATION 1` | fields; END_HEADERS is set unless `MORE` is said |
//! | `DATA 1 END_STREAM text` | content |
//! | `PRIORITY 1 0:15`, `HEADERS 1 PRIORITY=0:15:x` | stream, weight, `x`: exclusive |
//! | `PRIORITY_UPDATE 1 u=1` | a stream, a value (RFC 9218 §7.1) |
//! | `RST_STREAM 1 CANCEL`, `GOAWAY 0 NO_ERROR text` | an error's name or number |
//! | `SETTINGS MAX_FRAME_SIZE=16384`, `SETTINGS ACK` | names or numbers, values |
//! | `PUSH_PROMISE 1 2` | the promised stream, fields |
//! | `PING 12345678`, `WINDOW_UPDATE 1 100` | |
//!
//! In any frame: `PADDED=5` pads, `PADLEN=5` says so and does not, `FLAGS=0xf0` sets more flags, `LEN=5` lies about the length,
//! `AT=5` moves it to another stream, `RESERVED` sets the reserved bit, `hex:00ff` stands for itself.
//!
//! A field is `name=value`, a literal without indexing; marks before it: `+` enters it in the dynamic table, `!` never indexes
//! it, `~` writes it in Huffman codes. `@2` is an index, `@4=/x` a literal with an indexed name, `size:0` a table size update.
//!
//! `raw text` are bytes without a frame around them, `preface` is the client's, `mute` has the client say nothing of its own.

use super::hpack::{self, Kind, Name};

/// Frame types of RFC 9113 §6 by number, and of RFC 9218 §7.1.
const KINDS: [(u8, &str); 11] = [
    (0x0, "DATA"),
    (0x1, "HEADERS"),
    (0x2, "PRIORITY"),
    (0x3, "RST_STREAM"),
    (0x4, "SETTINGS"),
    (0x5, "PUSH_PROMISE"),
    (0x6, "PING"),
    (0x7, "GOAWAY"),
    (0x8, "WINDOW_UPDATE"),
    (0x9, "CONTINUATION"),
    (0x10, "PRIORITY_UPDATE"),
];

/// RFC 9113 §7.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1.
const SETTINGS: [(u16, &str); 8] = [
    (0x1, "HEADER_TABLE_SIZE"),
    (0x2, "ENABLE_PUSH"),
    (0x3, "MAX_CONCURRENT_STREAMS"),
    (0x4, "INITIAL_WINDOW_SIZE"),
    (0x5, "MAX_FRAME_SIZE"),
    (0x6, "MAX_HEADER_LIST_SIZE"),
    (0x8, "ENABLE_CONNECT_PROTOCOL"),
    (0x9, "NO_RFC7540_PRIORITIES"),
];

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A frame's words, or a step's.
pub(crate) type Item = Vec<Vec<u8>>;

/// The items of a cell.
pub(crate) fn items(cell: &[u8]) -> Vec<Item> {
    let mut items = vec![Item::new()];
    let mut word: Option<Vec<u8>> = None;
    let (mut quoted, mut plain) = (false, true);
    for byte in cell.iter().copied().chain([b' ']) {
        match byte {
            b'"' => {
                (quoted, plain) = (!quoted, false);
                word.get_or_insert_default();
            }
            b' ' if !quoted => {
                let Some(done) = word.take() else { continue };
                if plain && done == b";" {
                    items.push(Item::new());
                } else {
                    items.last_mut().expect("there is one").push(done);
                }
                plain = true;
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// An item as a table writes it.
pub(crate) fn told(item: &Item) -> String {
    let word = |word: &Vec<u8>| {
        let text = crate::cases::text::escaped(word);
        if word.iter().any(|byte| matches!(byte, b' ' | b';')) { format!("\"{text}\"") } else { text }
    };
    item.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Text of a word.
pub(crate) fn text(word: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(word).map_err(|_| "a word is no text".into())
}

/// A number, plain or `0x…`.
pub(crate) fn number(word: &[u8]) -> Result<u32, String> {
    let text = text(word)?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| format!("{text:?} is no number"))
}

/// The name of a frame type.
pub(crate) fn kind_name(kind: u8) -> String {
    let known = KINDS.iter().find(|(number, _)| *number == kind);
    known.map_or_else(|| format!("FRAME=0x{kind:02x}"), |(_, name)| (*name).to_owned())
}

/// The name of an error code.
pub(crate) fn code_name(code: u32) -> String {
    CODES.get(code as usize).map_or_else(|| format!("0x{code:x}"), |name| (*name).to_owned())
}

/// The name of a setting.
pub(crate) fn setting_name(setting: u16) -> String {
    let known = SETTINGS.iter().find(|(number, _)| *number == setting);
    known.map_or_else(|| format!("0x{setting:x}"), |(_, name)| (*name).to_owned())
}

fn code(word: &[u8]) -> Result<u32, String> {
    let known = CODES.iter().position(|name| name.as_bytes() == word);
    known.map_or_else(|| number(word), |at| Ok(at as u32))
}

/// A frame that is sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
    /// What the header says, where that is not the payload's length.
    pub(crate) length: Option<u32>,
}

impl Frame {
    /// Nine bytes and the payload (RFC 9113 §4.1).
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = self.length.unwrap_or(self.payload.len() as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], self.kind, self.flags];
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The frame that the words of an item say; `None`: its first word is no frame's name.
    pub(crate) fn of(item: &Item) -> Result<Option<Self>, String> {
        let Some((first, words)) = item.split_first() else { return Ok(None) };
        let name = text(first)?;
        let kind = match name.strip_prefix("FRAME=") {
            Some(digits) => u8::try_from(number(digits.as_bytes())?).map_err(|_| "a frame type has eight bits")?,
            None => match KINDS.iter().find(|(_, known)| *known == name) {
                Some((number, _)) => *number,
                None => return Ok(None),
            },
        };
        let mut frame = Self { kind, ..Self::default() };
        let blocks = matches!(kind, 0x1 | 0x5 | 0x9);
        if blocks {
            frame.flags |= END_HEADERS;
        }
        let mut words = words.iter();
        if !matches!(kind, 0x4 | 0x6 | 0x7) {
            frame.stream = number(words.next().ok_or("a stream is missing")?)?;
        }
        if name == "PRIORITY_UPDATE" {
            frame.payload.extend_from_slice(&frame.stream.to_be_bytes());
            frame.stream = 0;
        }
        let mut padding = None;
        let mut own = 0;
        for word in words {
            let text = text(word).unwrap_or_default();
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            match (name, value) {
                ("END_STREAM" | "ACK", "") => frame.flags |= END_STREAM,
                ("MORE", "") => frame.flags &= !END_HEADERS,
                ("RESERVED", "") => frame.stream |= 1 << 31,
                ("PADDED", count) => padding = Some((number(count.as_bytes())?, true)),
                ("PADLEN", count) => padding = Some((number(count.as_bytes())?, false)),
                ("FLAGS", bits) => frame.flags |= number(bits.as_bytes())? as u8,
                ("LEN", length) => frame.length = Some(number(length.as_bytes())?),
                ("AT", stream) => frame.stream = number(stream.as_bytes())?,
                ("PRIORITY", order) if kind == 0x1 => {
                    frame.flags |= PRIORITY;
                    frame.payload.splice(0..0, priority(order)?);
                }
                _ => {
                    frame.word(word, blocks, own)?;
                    own += 1;
                }
            }
        }
        if let Some((count, there)) = padding {
            frame.flags |= PADDED;
            frame.payload.insert(0, u8::try_from(count).map_err(|_| "padding has eight bits")?);
            frame.payload.resize(frame.payload.len() + if there { count as usize } else { 0 }, 0);
        }
        Ok(Some(frame))
    }

    /// A word of the payload, the `at`th.
    fn word(&mut self, word: &[u8], blocks: bool, at: usize) -> Result<(), String> {
        if let Some(digits) = word.strip_prefix(b"hex:") {
            self.payload.extend_from_slice(&hex(digits)?);
            return Ok(());
        }
        match self.kind {
            0x2 => self.payload.extend_from_slice(&priority(text(word)?)?),
            0x3 => self.payload.extend_from_slice(&code(word)?.to_be_bytes()),
            0x4 => {
                let (name, value) = text(word)?.split_once('=').ok_or("a setting has a value")?;
                let known = SETTINGS.iter().find(|(_, known)| *known == name).map(|(number, _)| u32::from(*number));
                let setting = known.map_or_else(|| number(name.as_bytes()), Ok)? as u16;
                self.payload.extend_from_slice(&setting.to_be_bytes());
                self.payload.extend_from_slice(&number(value.as_bytes())?.to_be_bytes());
            }
            0x8 | 0x5 if at == 0 => self.payload.extend_from_slice(&number(word)?.to_be_bytes()),
            0x7 if at == 0 => self.payload.extend_from_slice(&number(word)?.to_be_bytes()),
            0x7 if at == 1 => self.payload.extend_from_slice(&code(word)?.to_be_bytes()),
            _ if blocks => field(word, &mut self.payload)?,
            _ => self.payload.extend_from_slice(word),
        }
        Ok(())
    }
}

/// RFC 9113 §6.3: `stream:weight` and perhaps `:x`.
fn priority(order: &str) -> Result<[u8; 5], String> {
    let mut parts = order.split(':');
    let mut next = || parts.next().ok_or("stream:weight");
    let stream = number(next()?.as_bytes())?;
    let weight = number(next()?.as_bytes())? as u8;
    let exclusive = u32::from(next().is_ok()) << 31;
    let [a, b, c, d] = (stream | exclusive).to_be_bytes();
    Ok([a, b, c, d, weight])
}

/// Octets of `hex:…`.
pub(crate) fn hex(digits: &[u8]) -> Result<Vec<u8>, String> {
    let pair = |two: &[u8]| u8::from_str_radix(text(two)?, 16).map_err(|_| format!("{two:?} is no octet"));
    digits.chunks(2).map(pair).collect()
}

/// Writes a field.
fn field(word: &[u8], block: &mut Vec<u8>) -> Result<(), String> {
    if let Some(size) = word.strip_prefix(b"size:") {
        hpack::put_integer(block, 5, 0x20, number(size)? as usize);
        return Ok(());
    }
    let (mut kind, mut huffman, mut rest) = (Kind::Plain, false, word);
    while let Some((mark @ (b'+' | b'!' | b'~'), after)) = rest.split_first() {
        match mark {
            b'+' => kind = Kind::Incremental,
            b'!' => kind = Kind::Never,
            _ => huffman = true,
        }
        rest = after;
    }
    let split = rest.iter().position(|byte| *byte == b'=');
    let index = rest.strip_prefix(b"@");
    match (index, split) {
        (Some(index), None) => hpack::put_integer(block, 7, 0x80, number(index)? as usize),
        (Some(_), Some(at)) => {
            let name = Name::Index(number(&rest[1..at])? as usize);
            hpack::literal(block, kind, &name, &rest[at + 1..], huffman);
        }
        (None, Some(at)) => hpack::literal(block, kind, &Name::Literal(&rest[..at]), &rest[at + 1..], huffman),
        (None, None) => return Err(format!("{:?} is no field", text(word))),
    }
    Ok(())
}

#[test]
fn words_become_frames() {
    let frames = |text: &str| -> Vec<u8> {
        let frame = |item: &Item| Frame::of(item).expect("right words").expect("a frame").bytes();
        items(text.as_bytes()).iter().flat_map(frame).collect()
    };
    assert_eq!(frames("DATA 3 END_STREAM PADDED=2 ab"), b"\0\0\x05\0\x09\0\0\0\x03\x02ab\0\0");
    assert_eq!(
        frames("HEADERS 1 @2 @4=/x +~a=b \"c=d e\""),
        b"\0\0\x11\x01\x04\0\0\0\x01\x82\x04\x02/x\x40\x81\x1f\x81\x8f\0\x01c\x03d e"
    );
    assert_eq!(
        frames("SETTINGS MAX_FRAME_SIZE=16384 0x99=1"),
        b"\0\0\x0c\x04\0\0\0\0\0\0\x05\0\0\x40\0\0\x99\0\0\0\x01"
    );
    assert_eq!(
        frames("RST_STREAM 1 CANCEL ; PING 12345678"),
        b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08\0\0\x08\x06\0\0\0\0\x0012345678"
    );
    assert_eq!(
        frames("HEADERS 1 MORE PRIORITY=3:15:x ; FRAME=0x20 5 LEN=7 RESERVED"),
        b"\0\0\x05\x01\x20\0\0\0\x01\x80\0\0\x03\x0f\0\0\x07\x20\0\x80\0\0\x05"
    );
    assert_eq!(
        frames("GOAWAY 0 2 why AT=1 ; PRIORITY_UPDATE 3 u=1"),
        b"\0\0\x0b\x07\0\0\0\0\x01\0\0\0\0\0\0\0\x02why\0\0\x07\x10\0\0\0\0\0\0\0\0\x03u=1"
    );
}
