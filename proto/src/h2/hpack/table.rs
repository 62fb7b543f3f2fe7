//! The dynamic table (RFC 7541 §2.3.2, §4): fields by age, in one buffer, within a size.

use std::collections::VecDeque;

use super::FIELD_OVERHEAD;

/// Room for bytes that a table begins with.
const FIRST_ROOM: usize = 256;

/// Fields, each with a tag of its user's. Nothing is allocated before the first one; at most `max` bytes for names and
/// values then, and an [`Entry`] for every 32 bytes of `max`.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// Names and values, oldest first. What was evicted lies in front of them until room is needed.
    bytes: Vec<u8>,
    /// Newest first.
    entries: VecDeque<Entry<T>>,
    /// How many bytes were taken away in front of `bytes` over time; wraps.
    base: u32,
    /// The entries' size as RFC 7541 §4.1 counts it.
    size: u32,
    max: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    /// Where the name begins, counted from the first byte ever kept; wraps. The value follows.
    start: u32,
    name: u32,
    value: u32,
    tag: T,
}

impl<T: Copy> Entry<T> {
    const fn len(&self) -> usize {
        self.name as usize + self.value as usize
    }

    const fn size(&self) -> u32 {
        self.name + self.value + FIELD_OVERHEAD as u32
    }
}

impl<T: Copy> Table<T> {
    pub(super) const fn new(max: u32) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), base: 0, size: 0, max }
    }

    pub(super) const fn max(&self) -> u32 {
        self.max
    }

    /// Name, value and tag of an entry; the newest has 0.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<(&[u8], &[u8], T)> {
        self.entries.get(index as usize).map(|entry| self.read(entry))
    }

    #[inline]
    fn read(&self, entry: &Entry<T>) -> (&[u8], &[u8], T) {
        let at = entry.start.wrapping_sub(self.base) as usize;
        let (name, value) = self.bytes[at..at + entry.len()].split_at(entry.name as usize);
        (name, value, entry.tag)
    }

    /// The index of the newest entry whose tag and bytes are wanted; the tag is asked first.
    #[inline]
    pub(super) fn find(&self, tag: impl Fn(T) -> bool, field: impl Fn(&[u8], &[u8]) -> bool) -> Option<u32> {
        let wanted = |entry: &Entry<T>| {
            tag(entry.tag) && {
                let (name, value, _) = self.read(entry);
                field(name, value)
            }
        };
        self.entries.iter().position(wanted).map(|index| index as u32)
    }

    /// Adds a field and evicts what it leaves no room for. One that is larger than the table empties it (§4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], tag: T) {
        let len = name.len() + value.len();
        let Some(rest) = (self.max as usize).checked_sub(len + FIELD_OVERHEAD) else {
            self.evict(0);
            return;
        };
        self.evict(rest as u32);
        self.make_room(len);
        let start = self.base.wrapping_add(self.bytes.len() as u32);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let entry = Entry { start, name: name.len() as u32, value: value.len() as u32, tag };
        self.size += entry.size();
        self.entries.push_front(entry);
        debug_assert!(self.size <= self.max && self.bytes.capacity() <= self.max as usize);
    }

    /// Sets the largest size and evicts what is beyond it (§4.3).
    pub(super) fn resize(&mut self, max: u32) {
        self.max = max;
        self.evict(max);
        if self.bytes.capacity() > max as usize {
            self.trim();
        }
    }

    /// Gives back the memory that the entries do not need.
    pub(super) fn trim(&mut self) {
        self.compact();
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// Evicts the oldest entries until the size is at most `rest`.
    fn evict(&mut self, rest: u32) {
        while self.size > rest
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }

    /// Takes away the bytes of evicted entries.
    fn compact(&mut self) {
        let dead = match self.entries.back() {
            Some(oldest) => oldest.start.wrapping_sub(self.base) as usize,
            None => self.bytes.len(),
        };
        self.bytes.drain(..dead);
        self.base = self.base.wrapping_add(dead as u32);
    }

    /// Makes room for `len` bytes behind the newest entry. A table at its largest has 32 bytes to spare for each entry, so
    /// that bytes move once in many insertions.
    fn make_room(&mut self, len: usize) {
        if self.bytes.len() + len <= self.bytes.capacity() {
            return;
        }
        self.compact();
        let needed = self.bytes.len() + len;
        if needed > self.bytes.capacity() / 4 * 3 {
            let room = (needed * 2).max(FIRST_ROOM).min(self.max as usize);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, as simply as it can be said.
    #[derive(Default)]
    struct Model {
        fields: Vec<(Vec<u8>, Vec<u8>, u32)>,
        max: usize,
    }

    impl Model {
        fn size(&self) -> usize {
            self.fields.iter().map(|(name, value, _)| name.len() + value.len() + 32).sum()
        }

        fn evict(&mut self, rest: usize) {
            while self.size() > rest {
                self.fields.pop();
            }
        }

        fn insert(&mut self, name: &[u8], value: &[u8], tag: u32) {
            let size = name.len() + value.len() + 32;
            self.evict(self.max.saturating_sub(size));
            if size <= self.max {
                self.fields.insert(0, (name.to_vec(), value.to_vec(), tag));
            }
        }
    }

    fn assert_same(table: &Table<u32>, model: &Model) {
        assert_eq!(table.entries.len(), model.fields.len());
        assert_eq!(table.size as usize, model.size());
        for (index, (name, value, tag)) in model.fields.iter().enumerate() {
            assert_eq!(table.get(index as u32), Some((&name[..], &value[..], *tag)));
        }
        assert_eq!(table.get(model.fields.len() as u32), None);
        assert!(table.bytes.capacity() <= table.max as usize, "{} bytes of {}", table.bytes.capacity(), table.max);
        assert!(table.entries.len() <= table.max as usize / 32);
    }

    #[test]
    fn it_holds_what_a_naive_table_holds_through_insertions_resizes_and_trims() {
        let mut random = 1u64;
        let mut below = |limit: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        for longest in [3, 40, 300, 5000] {
            let mut table = Table::new(4096);
            let mut model = Model { max: 4096, ..Model::default() };
            for tag in 0..3000 {
                let name = vec![below(256) as u8; below(longest) as usize];
                let value = vec![below(256) as u8; below(longest) as usize];
                table.insert(&name, &value, tag);
                model.insert(&name, &value, tag);
                match below(60) {
                    0 => {
                        let max = below(5000) as u32;
                        table.resize(max);
                        model.max = max as usize;
                        model.evict(max as usize);
                    }
                    1 => table.trim(),
                    _ => {}
                }
                assert_same(&table, &model);
            }
        }
    }

    #[test]
    fn positions_may_wrap_around() {
        let mut table = Table { base: u32::MAX - 100, ..Table::new(128) };
        for round in 0..100u8 {
            table.insert(b"name", &[round; 20], round);
            assert_eq!(table.get(0), Some((&b"name"[..], &[round; 20][..], round)));
            if round > 0 {
                assert_eq!(table.get(1), Some((&b"name"[..], &[round - 1; 20][..], round - 1)));
            }
            assert_eq!(table.get(2), None);
        }
    }

    #[test]
    fn an_empty_table_has_no_memory_and_a_trimmed_one_only_what_it_holds() {
        let mut table = Table::new(4096);
        assert_eq!((table.bytes.capacity(), table.entries.capacity()), (0, 0));
        for round in 0..200 {
            table.insert(b"a-name", b"a value", round);
        }
        table.resize(90);
        assert_eq!((table.bytes.capacity(), table.entries.len()), (26, 2));
        table.insert(b"larger than the table", &[0; 90], 0);
        table.trim();
        assert_eq!((table.bytes.capacity(), table.entries.capacity(), table.size), (0, 0, 0));
    }
}
