//! Blocks to field lines (RFC 7541 §3, §6).

use super::name::is_sound_value;
use super::statics;
use super::table::Table;
use super::{DEFAULT_TABLE_SIZE, Error, FIELD_OVERHEAD, Name, huffman, integer};

/// One decoded field line, borrowed for the time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The name as it came.
    pub name: &'a [u8],
    /// The value as it came.
    pub value: &'a [u8],
    /// The name's id.
    pub id: Name,
    /// Whether the name is a token in lower case or a defined pseudo-header field, and the value has no control character
    /// but tabs and no white space around it (RFC 9113 §8.2.1). A table's entry was looked at when it came.
    pub sound: bool,
    /// Whether the field must never be put in a table, by whoever passes it on (RFC 7541 §6.2.3).
    pub never_indexed: bool,
}

/// What is remembered of a table's entry.
#[derive(Clone, Copy, Debug)]
struct Tag {
    id: Name,
    sound_name: bool,
    sound: bool,
}

/// The receiving side of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table<Tag>,
    /// The largest size the peer may choose by now.
    limit: u32,
    /// What we announced.
    announced: u32,
    /// What the list of one block may count.
    most: usize,
    /// The next block must begin with an update.
    update_due: bool,
    changes: u32,
    /// A name or value that is neither in the block nor in a table.
    scratch: Vec<u8>,
}

impl Decoder {
    /// `table_size` is what our SETTINGS_HEADER_TABLE_SIZE says, in bytes. Allocates nothing.
    #[must_use]
    pub const fn new(table_size: u32) -> Self {
        let limit = if table_size > DEFAULT_TABLE_SIZE { table_size } else { DEFAULT_TABLE_SIZE };
        Self {
            table: Table::new(DEFAULT_TABLE_SIZE),
            limit,
            announced: table_size,
            most: usize::MAX,
            update_due: false,
            changes: 0,
            scratch: Vec::new(),
        }
    }

    /// The same, where the list of one block may count so many bytes at most, as RFC 9113 §6.5.2 does, whether anybody keeps
    /// it or not: two bytes of a block can mean as many as the table holds, and each has to be copied.
    #[must_use]
    pub const fn bounded(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// The peer acknowledged our SETTINGS. Until then it may have a table of 4 KiB even if less was announced; now its next
    /// block must begin with an update if the table is larger than what was announced (RFC 9113 §4.3.1).
    pub const fn acknowledged(&mut self) {
        self.limit = self.announced;
        self.update_due = self.table.max() > self.limit;
        if self.update_due {
            self.changes = self.changes.wrapping_add(1);
        }
    }

    /// How often the dynamic table has changed, or what is asked of the next block; wraps. A block that is decoded
    /// twice, byte by byte the same, is the same list if this number is the same before both, and after the first.
    #[inline]
    #[must_use]
    pub const fn changes(&self) -> u32 {
        self.changes
    }

    /// Gives back the memory that is not needed between blocks.
    pub fn trim(&mut self) {
        self.table.trim();
        self.scratch = Vec::new();
    }

    /// Decodes a whole block: `sink` gets every field, in order. To forget the rest of a list that is over a limit, it
    /// does nothing with the rest; the table stays right and no memory is kept for them, until the list is too long for
    /// [`Decoder::bounded`]. A field in the block has at most 8/5 of its bytes there; one in the table at most the
    /// table's size.
    ///
    /// # Errors
    ///
    /// Any [`Error`] is one of the connection, and nothing can be decoded afterwards. Fields before it were given.
    pub fn decode(&mut self, block: &[u8], sink: &mut impl FnMut(Line<'_>)) -> Result<(), Error> {
        let mut input = self.updates(block)?;
        let mut left = self.most;
        while let Some((&first, rest)) = input.split_first() {
            input = rest;
            if first & 0x80 != 0 {
                let index = integer::read(first, 7, &mut input)?;
                let line = self.line(index)?;
                take(&mut left, line.name, line.value)?;
                sink(line);
            } else if first & 0x40 != 0 {
                let index = integer::read(first, 6, &mut input)?;
                self.literal(index, &mut input, Kind::Indexed, &mut left, sink)?;
            } else if first & 0x20 != 0 {
                return Err(Error::LateUpdate);
            } else {
                let index = integer::read(first, 4, &mut input)?;
                let kind = if first & 0x10 != 0 { Kind::NeverIndexed } else { Kind::NotIndexed };
                self.literal(index, &mut input, kind, &mut left, sink)?;
            }
        }
        Ok(())
    }

    /// Takes the table size updates at the beginning of a block, and returns what is behind them.
    #[inline]
    fn updates<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], Error> {
        let mut input = block;
        while let Some((&first, rest)) = input.split_first()
            && first & 0xe0 == 0x20
        {
            input = rest;
            let size = integer::read(first, 5, &mut input)?;
            if size > self.limit {
                return Err(Error::TableSize);
            }
            self.update_due = false;
            if size != self.table.max() {
                self.table.resize(size);
                self.changes = self.changes.wrapping_add(1);
            }
        }
        if self.update_due { Err(Error::NoUpdate) } else { Ok(input) }
    }

    /// The entry of either table.
    #[inline]
    fn line(&self, index: u32) -> Result<Line<'_>, Error> {
        if let Some(entry) = statics::ENTRIES.get(index.wrapping_sub(1) as usize) {
            let (name, value) = (entry.name.as_bytes(), entry.value.as_bytes());
            return Ok(Line { name, value, id: entry.id, sound: true, never_indexed: false });
        }
        let index = index.checked_sub(statics::COUNT + 1).ok_or(Error::Index)?;
        let (name, value, tag) = self.table.get(index).ok_or(Error::Index)?;
        Ok(Line { name, value, id: tag.id, sound: tag.sound, never_indexed: false })
    }

    /// A literal whose name is that of entry `index`, or follows when that is 0.
    fn literal(
        &mut self,
        index: u32,
        input: &mut &[u8],
        kind: Kind,
        left: &mut usize,
        sink: &mut impl FnMut(Line<'_>),
    ) -> Result<(), Error> {
        let Self { table, scratch, .. } = self;
        scratch.clear();
        // Where a string is neither static nor in the block it is in `scratch`, the name first.
        let (name, id, sound_name) = if index == 0 {
            let (bytes, coded) = integer::string(input)?;
            let name = if coded {
                huffman::decode(bytes, scratch)?;
                None
            } else {
                Some(bytes)
            };
            let text = name.unwrap_or(scratch);
            let id = Name::of(text);
            (name, id, id.is_sound(text))
        } else if let Some(entry) = statics::ENTRIES.get(index as usize - 1) {
            (Some(entry.name.as_bytes()), entry.id, true)
        } else {
            // Copied: the entry may be evicted by the one it gives its name to (§4.4).
            let (name, _, tag) = table.get(index - statics::COUNT - 1).ok_or(Error::Index)?;
            scratch.extend_from_slice(name);
            (None, tag.id, tag.sound_name)
        };
        let name_len = scratch.len();
        let (bytes, coded) = integer::string(input)?;
        if coded {
            huffman::decode(bytes, scratch)?;
        }
        let (in_front, behind) = scratch.split_at(name_len);
        let (name, value) = (name.unwrap_or(in_front), if coded { behind } else { bytes });
        take(left, name, value)?;
        let sound = sound_name && is_sound_value(value);
        sink(Line { name, value, id, sound, never_indexed: kind == Kind::NeverIndexed });
        if kind == Kind::Indexed {
            table.insert(name, value, Tag { id, sound_name, sound });
            self.changes = self.changes.wrapping_add(1);
        }
        Ok(())
    }
}

/// Counts a field.
#[inline]
fn take(left: &mut usize, name: &[u8], value: &[u8]) -> Result<(), Error> {
    *left = left.checked_sub(name.len() + value.len() + FIELD_OVERHEAD).ok_or(Error::TooLong)?;
    Ok(())
}

/// What becomes of a literal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Indexed,
    NotIndexed,
    NeverIndexed,
}
