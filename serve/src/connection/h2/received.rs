//! Content of a request that came and was not asked for: how it is kept, in memory that is in proportion to it.

use std::collections::VecDeque;
use std::mem;

/// Most bytes of a piece.
const PIECE: usize = 64 << 10;

/// Content in the order it came, in pieces: all but the last are whole, of 64 KiB, and hold nothing else.
#[derive(Default)]
pub(super) struct Received {
    whole: VecDeque<Vec<u8>>,
    last: Vec<u8>,
}

impl Received {
    /// Puts content behind what there is.
    pub(super) fn put(&mut self, mut content: &[u8]) {
        while self.last.len() + content.len() > PIECE {
            let (now, later) = content.split_at(PIECE - self.last.len());
            self.append(now);
            self.whole.push_back(mem::take(&mut self.last));
            content = later;
        }
        self.append(content);
    }

    /// No piece has room for more than there will be in it.
    fn append(&mut self, content: &[u8]) {
        let len = self.last.len() + content.len();
        if len > self.last.capacity() {
            let room = (self.last.capacity() * 2).min(PIECE).max(len);
            self.last.reserve_exact(room - self.last.len());
        }
        self.last.extend_from_slice(content);
    }

    /// The first piece, whole or what there is.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.whole.pop_front().or_else(|| (!self.last.is_empty()).then(|| mem::take(&mut self.last)))
    }

    /// True when there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty() && self.whole.is_empty()
    }

    /// True when the first piece is whole.
    pub(super) fn has_whole(&self) -> bool {
        self.last.len() == PIECE || !self.whole.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_out_as_it_went_in_and_takes_little_more_memory() {
        for step in [1, 7, 1000, 16_384, 65_535, 65_536, 65_537, 300_000] {
            let mut received = Received::default();
            let content: Vec<u8> = (0..300_000_u32).map(|at| at as u8 ^ (at >> 8) as u8).collect();
            for part in content.chunks(step) {
                received.put(part);
            }
            let held: usize = received.whole.iter().map(Vec::capacity).sum();
            assert_eq!(held, received.whole.len() * PIECE, "{step}");
            assert!(received.last.capacity() <= PIECE.min(received.last.len() * 2), "{step}");
            assert!(received.has_whole(), "{step}");
            let mut out = Vec::new();
            while let Some(piece) = received.take() {
                assert!(!piece.is_empty() && piece.len() <= PIECE, "{step}");
                out.extend_from_slice(&piece);
            }
            assert!(out == content && received.is_empty() && !received.has_whole(), "{step}");
        }
    }
}
