//! Where many small cells live that must never move: a table that grows by chunks.

use std::cell::{Cell, OnceCell};

/// Cells in one chunk.
const CHUNK: usize = 1024;

/// A table of at most `limit` cells, made as they are first asked for. A cell's place never changes.
pub(crate) struct Chunks<T> {
    chunks: Box<[OnceCell<Box<[T]>>]>,
    made: Cell<u32>,
    limit: u32,
}

impl<T: Default> Chunks<T> {
    pub(crate) fn new(limit: u32) -> Chunks<T> {
        let chunks = (0..(limit as usize).div_ceil(CHUNK)).map(|_| OnceCell::new()).collect();
        Chunks { chunks, made: Cell::new(0), limit }
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
        self.chunks[index as usize / CHUNK].get_or_init(|| (0..CHUNK).map(|_| T::default()).collect());
        self.made.set(index + 1);
        Some(index)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get(index as usize / CHUNK)?.get()?.get(index as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_where_they_are_while_the_table_grows_to_its_limit() {
        let table: Chunks<Cell<u32>> = Chunks::new(2000);
        assert!(table.get(0).is_none());
        assert_eq!(table.grow(), Some(0));
        let first = table.get(0).unwrap();
        first.set(7);
        for index in 1..2000 {
            assert_eq!(table.grow(), Some(index));
        }
        assert_eq!(table.grow(), None);
        assert!(std::ptr::eq(first, table.get(0).unwrap()));
        assert_eq!(table.made(), 2000);
    }
}
