//! Where many small cells live that must never move: a table that grows by chunks, each twice the one before.

use std::cell::{Cell, OnceCell};

/// Cells in the first chunk.
const FIRST: u32 = 64;
/// Chunks, at most: enough for 2^24 cells.
const CHUNKS: usize = 19;

/// A table of at most `limit` cells, made as they are first asked for. A cell's place never changes.
pub(crate) struct Chunks<T> {
    chunks: [OnceCell<Box<[T]>>; CHUNKS],
    made: Cell<u32>,
    limit: u32,
}

/// The chunk a cell is in, and its place there.
#[inline]
const fn place(index: u32) -> (usize, usize) {
    // Chunk n begins at FIRST * (2^n - 1), so in index + FIRST the highest bit names it and the others count within it.
    let shifted = index as u64 + FIRST as u64;
    let highest = shifted.ilog2();
    ((highest - FIRST.ilog2()) as usize, (shifted ^ 1 << highest) as usize)
}

impl<T: Default> Chunks<T> {
    pub(crate) fn new(limit: u32) -> Chunks<T> {
        assert!(limit == 0 || place(limit - 1).0 < CHUNKS, "at most 2^24 cells");
        Chunks { chunks: [const { OnceCell::new() }; CHUNKS], made: Cell::new(0), limit }
    }

    /// The number of cells made so far.
    pub(crate) fn made(&self) -> u32 {
        self.made.get()
    }

    /// Makes one more cell and gives its index; `None` at the limit.
    pub(crate) fn grow(&self) -> Option<u32> {
        let index = self.made.get();
        if index >= self.limit {
            return None;
        }
        let (chunk, _) = place(index);
        self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| T::default()).collect());
        self.made.set(index + 1);
        Some(index)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, at) = place(index);
        self.chunks.get(chunk)?.get()?.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_where_they_are_while_the_table_grows_to_its_limit() {
        let table: Chunks<Cell<u32>> = Chunks::new(2000);
        assert!(table.get(0).is_none());
        assert!(table.get(u32::MAX).is_none());
        assert_eq!(table.grow(), Some(0));
        let first = table.get(0).unwrap();
        first.set(7);
        for index in 1..2000 {
            assert_eq!(table.grow(), Some(index));
            table.get(index).unwrap().set(index);
        }
        assert_eq!(table.grow(), None);
        assert!(std::ptr::eq(first, table.get(0).unwrap()));
        assert_eq!(table.made(), 2000);
        for index in 1..2000 {
            assert_eq!(table.get(index).unwrap().get(), index, "every cell has a place of its own");
        }
    }

    #[test]
    fn every_index_up_to_the_largest_limit_has_a_place() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(63), (0, 63));
        assert_eq!(place(64), (1, 0));
        assert_eq!(place(191), (1, 127));
        assert_eq!(place(192), (2, 0));
        assert_eq!(place((1 << 24) - 1).0, CHUNKS - 1);
    }
}
