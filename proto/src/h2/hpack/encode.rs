//! Field lines to blocks (RFC 7541 §3, §6): what is worth a place in the table, and what must not have one.

use super::table::Table;
use super::{DEFAULT_TABLE_SIZE, FIELD_OVERHEAD, Name, huffman, integer, statics};
use crate::known::Known;

/// Whether a field may be put in the dynamic table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Indexing {
    /// By its name: secrets never, what differs from answer to answer not, what is always the same at once, and everything
    /// else when it comes a second time.
    #[default]
    Auto,
    /// Not, though whoever passes it on may do so (RFC 7541 §6.2.2).
    No,
    /// Not, nor by whoever passes it on (RFC 7541 §6.2.3).
    Never,
}

/// When a field is put in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entering {
    AtOnce,
    SecondTime,
    No,
    Never,
}

/// Hashes that tell entries apart before their bytes are looked at.
#[derive(Clone, Copy, Debug)]
struct Tag {
    name: u32,
    field: u32,
}

/// How many fields that might come a second time are remembered, by their hashes.
const SEEN: usize = 16;

/// Cookies of fewer bytes are guessed from the size of what carries them, if a table holds them (RFC 7541 §7.1.3).
const SHORT_COOKIE: usize = 20;

/// The sending side of one connection.
#[derive(Debug)]
pub struct Encoder {
    table: Table<Tag>,
    /// The largest table we keep, whatever the peer allows.
    own: u32,
    /// The size the peer's table has.
    signalled: u32,
    /// The smallest size the peer allowed since the last block.
    smallest: u32,
    /// The table has entries that the peer has not heard of.
    unsent: bool,
    seen: [u32; SEEN],
    seen_at: u8,
    /// A name in lower case, when it was not.
    lower: Vec<u8>,
}

impl Encoder {
    /// `max_table` bounds the dynamic table, in bytes, whatever the peer allows. Allocates nothing.
    #[must_use]
    pub const fn new(max_table: u32) -> Self {
        let size = if max_table < DEFAULT_TABLE_SIZE { max_table } else { DEFAULT_TABLE_SIZE };
        Self {
            table: Table::new(size),
            own: max_table,
            signalled: DEFAULT_TABLE_SIZE,
            smallest: u32::MAX,
            unsent: false,
            seen: [0; SEEN],
            seen_at: 0,
            lower: Vec::new(),
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. [`Encoder::begin`] says what has to be said about it.
    pub fn set_peer_table(&mut self, size: u32) {
        self.smallest = self.smallest.min(size);
        self.table.resize(size.min(self.own));
    }

    /// Comes before every block that is sent, also one that this encoder did not make, when all of its fields are encoded:
    /// writes the table size updates that are due (RFC 7541 §4.2), nearly always none. At most 12 bytes.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        self.unsent = false;
        if self.smallest != u32::MAX {
            self.update(out);
        }
    }

    /// The block that was made last will not be sent. If it put fields in the table, both tables are emptied by the next
    /// [`Encoder::begin`], or they would differ from here on.
    pub fn lost(&mut self) {
        if std::mem::take(&mut self.unsent) {
            let size = self.table.max();
            self.table.resize(0);
            self.table.resize(size);
            self.smallest = 0;
        }
    }

    fn update(&mut self, out: &mut Vec<u8>) {
        let smallest = self.smallest.min(self.own);
        if self.smallest < self.signalled {
            integer::write(smallest, 5, 0x20, out);
            self.signalled = smallest;
        }
        if self.table.max() > self.signalled {
            integer::write(self.table.max(), 5, 0x20, out);
            self.signalled = self.table.max();
        }
        self.smallest = u32::MAX;
    }

    /// Gives back the memory that is not needed between blocks.
    pub fn trim(&mut self) {
        self.table.trim();
        self.lower = Vec::new();
    }

    /// Appends `:status`, which is the first field of an answer. `status` has three digits.
    #[inline]
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match static_status(status) {
            Some(index) => out.push(0x80 | index),
            None => self.encode(b":status", &digits(status), Indexing::Auto, out),
        }
    }

    /// Appends a field. The name may be in any case and is written in lower case; name and value must be sound, and the
    /// field one that HTTP/2 has (RFC 9113 §8.2.2).
    pub fn encode(&mut self, name: &[u8], value: &[u8], how: Indexing, out: &mut Vec<u8>) {
        let id = Name::of(name);
        let in_statics = statics::of_name(id, name);
        if let Some(entry) = statics::ENTRIES.get(in_statics.wrapping_sub(1) as usize) {
            return self.lower_case(id, in_statics, entry.name.as_bytes(), value, how, out);
        }
        if !name.iter().any(u8::is_ascii_uppercase) {
            return self.lower_case(id, 0, name, value, how, out);
        }
        let mut lower = std::mem::take(&mut self.lower);
        lower.clear();
        lower.extend(name.iter().map(u8::to_ascii_lowercase));
        self.lower_case(id, 0, &lower, value, how, out);
        self.lower = lower;
    }

    /// A field whose name is in lower case, and in the static table unless `in_statics` is 0.
    fn lower_case(&mut self, id: Name, in_statics: u32, name: &[u8], value: &[u8], how: Indexing, out: &mut Vec<u8>) {
        let index = statics::of_value(in_statics, value);
        if index != 0 && how != Indexing::Never {
            return integer::write(index, 7, 0x80, out);
        }
        let size = name.len() + value.len() + FIELD_OVERHEAD;
        let entering = match how {
            Indexing::Auto => entering(id, name, value),
            Indexing::No => Entering::No,
            Indexing::Never => Entering::Never,
        };
        if matches!(entering, Entering::No | Entering::Never) || size > self.table.max() as usize / 2 {
            let pattern = if entering == Entering::Never { 0x10 } else { 0 };
            return self.literal(in_statics, name, value, (4, pattern), out);
        }
        let name_hash = if in_statics == 0 { hash(0, name) } else { in_statics };
        let tag = Tag { name: name_hash, field: hash(name_hash, value) };
        let held = self.table.find(|other| other.field == tag.field, |one, other| one == name && other == value);
        if let Some(index) = held {
            return integer::write(statics::COUNT + 1 + index, 7, 0x80, out);
        }
        if entering == Entering::AtOnce || self.was_seen(tag.field) {
            self.literal(in_statics, name, value, (6, 0x40), out);
            self.table.insert(name, value, tag);
            self.unsent = true;
        } else {
            self.literal(in_statics, name, value, (4, 0), out);
        }
    }

    /// Appends a literal with this prefix and pattern; the name is an index where a table has it.
    fn literal(&self, in_statics: u32, name: &[u8], value: &[u8], (prefix, pattern): (u32, u8), out: &mut Vec<u8>) {
        if in_statics != 0 {
            integer::write(in_statics, prefix, pattern, out);
            return string(value, out);
        }
        let hash = hash(0, name);
        if let Some(index) = self.table.find(|tag| tag.name == hash, |one, _| one == name) {
            integer::write(statics::COUNT + 1 + index, prefix, pattern, out);
        } else {
            out.push(pattern);
            string(name, out);
        }
        string(value, out);
    }

    /// Whether a field of this hash came lately; remembers it if not.
    fn was_seen(&mut self, hash: u32) -> bool {
        if self.seen.contains(&hash) {
            return true;
        }
        self.seen[usize::from(self.seen_at) % SEEN] = hash;
        self.seen_at = self.seen_at.wrapping_add(1);
        false
    }
}

/// Appends a string literal, as a Huffman code where that is shorter (RFC 7541 §5.2).
#[inline]
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::len(text);
    if coded < text.len() {
        integer::write(coded as u32, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        integer::write(text.len() as u32, 7, 0, out);
        out.extend_from_slice(text);
    }
}

/// The index of a status in the static table.
#[inline]
pub(super) const fn static_status(status: u16) -> Option<u8> {
    Some(match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => return None,
    })
}

/// A status code's three digits.
pub(super) const fn digits(status: u16) -> [u8; 3] {
    [b'0' + (status / 100 % 10) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8]
}

/// What is done with a field by its name.
fn entering(id: Name, name: &[u8], value: &[u8]) -> Entering {
    use Known as K;
    let known = match id {
        Name::Field(known) => known,
        Name::Path => return Entering::No,
        _ => return Entering::AtOnce,
    };
    match known {
        K::Authorization | K::ProxyAuthorization | K::SetCookie => Entering::Never,
        K::Cookie if value.len() < SHORT_COOKIE => Entering::Never,
        K::Age
        | K::ContentLength
        | K::ContentRange
        | K::Date
        | K::Etag
        | K::Expires
        | K::IfModifiedSince
        | K::IfNoneMatch
        | K::LastModified
        | K::Location
        | K::Range
        | K::SecWebsocketAccept
        | K::SecWebsocketKey
        | K::Traceparent
        | K::Tracestate
        | K::XRequestId => Entering::No,
        K::Accept
        | K::AcceptEncoding
        | K::AcceptLanguage
        | K::AcceptRanges
        | K::AltSvc
        | K::CacheControl
        | K::ContentEncoding
        | K::ContentLanguage
        | K::ContentSecurityPolicy
        | K::ContentType
        | K::Pragma
        | K::Server
        | K::StrictTransportSecurity
        | K::UserAgent
        | K::Vary
        | K::Via
        | K::XContentTypeOptions => Entering::AtOnce,
        K::Other if name == b"access-control-allow-origin" => Entering::AtOnce,
        _ => Entering::SecondTime,
    }
}

/// Mixes `text` into `seed`, eight bytes a step. Collisions cost a comparison, or a place in the table.
#[inline]
fn hash(seed: u32, text: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| (state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let state = mix(u64::from(seed), text.len() as u64);
    let state = match text.last_chunk::<8>() {
        // The last eight bytes are looked at once more where they are not a word of their own.
        Some(last) => {
            let words = text.as_chunks::<8>().0;
            let state = words.iter().fold(state, |state, word| mix(state, u64::from_le_bytes(*word)));
            mix(state, u64::from_le_bytes(*last))
        }
        None => mix(state, text.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))),
    };
    (state >> 32) as u32
}
