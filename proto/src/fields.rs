//! Where the fields of a head are: spans into its bytes, in order, with the ids of known names.

use crate::known::Known;

/// A range of bytes in a head's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The empty span at the buffer's start.
    pub const EMPTY: Self = Self { start: 0, len: 0 };

    /// The span from `start` to before `end`. Heads are far below 4 GiB; offsets beyond are cut.
    #[inline]
    #[must_use]
    pub const fn between(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    /// Offset of the byte after the last one.
    #[inline]
    #[must_use]
    pub const fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// Whether there is no byte in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes it names; none when it does not lie within `bytes`.
    #[inline]
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end()).unwrap_or_default()
    }
}

/// One field line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// The name as it came.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
    /// The name's id.
    pub known: Known,
}

const _: () = assert!(size_of::<Field>() <= 20);

/// The field lines of one head, in order, and a set of the known names among them, so that asking for what is not there
/// costs one test. Made once and cleared, it does not allocate again.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
    seen: u128,
}

impl Fields {
    /// No fields, and no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new(), seen: 0 }
    }

    /// No fields, and room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { list: Vec::with_capacity(count), seen: 0 }
    }

    /// Forgets the fields and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.list.clear();
        self.seen = 0;
    }

    /// Appends a field.
    #[inline]
    pub fn push(&mut self, field: Field) {
        self.seen |= field.known.bit();
        self.list.push(field);
    }

    /// Whether a field of this name is there.
    #[inline]
    #[must_use]
    pub const fn has(&self, known: Known) -> bool {
        self.seen & known.bit() != 0
    }

    /// Whether any of these names is there; `false` costs one test.
    #[inline]
    #[must_use]
    pub fn has_any(&self, known: &[Known]) -> bool {
        known.iter().any(|&one| self.has(one))
    }

    /// The first field of this name.
    #[inline]
    #[must_use]
    pub fn first(&self, known: Known) -> Option<&Field> {
        if !self.has(known) {
            return None;
        }
        self.list.iter().find(|field| field.known == known)
    }

    /// All fields of this name, in order.
    #[inline]
    pub fn all(&self, known: Known) -> impl Iterator<Item = &Field> + use<'_> {
        let list = if self.has(known) { self.list.as_slice() } else { &[] };
        list.iter().filter(move |field| field.known == known)
    }

    /// The first field of this name gets this value, and the others of the name go.
    pub(crate) fn join(&mut self, known: Known, value: Span) {
        let mut first = true;
        self.list.retain_mut(|field| {
            if field.known != known {
                return true;
            }
            field.value = value;
            std::mem::replace(&mut first, false)
        });
    }

    /// Every field, in order.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.list.iter()
    }

    /// How many there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
