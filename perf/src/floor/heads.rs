//! How many heads end in what came: empty lines are counted, nothing else is looked at.

use memchr::memmem;

const END: &[u8; 4] = b"\r\n\r\n";

/// Counts ends of heads in a stream that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heads {
    /// How much of an end the last piece ended with.
    begun: usize,
}

impl Heads {
    /// The ends of heads in the next piece.
    #[inline]
    pub(super) fn count(&mut self, piece: &[u8]) -> usize {
        let mut at = 0;
        let mut count = 0;
        while self.begun > 0 && at < piece.len() {
            self.step(piece[at], &mut count);
            at += 1;
        }
        let mut last = at;
        for found in memmem::find_iter(&piece[at..], END) {
            count += 1;
            last = at + found + END.len();
        }
        for &byte in &piece[last.max(piece.len().saturating_sub(END.len() - 1))..] {
            self.step(byte, &mut count);
        }
        count
    }

    fn step(&mut self, byte: u8, count: &mut usize) {
        self.begun = match byte {
            byte if byte == END[self.begun] => self.begun + 1,
            b'\r' => 1,
            _ => 0,
        };
        if self.begun == END.len() {
            self.begun = 0;
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_wherever_the_stream_is_cut() {
        let stream = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\rGET / HTTP/1.1\r\n\r\r\n\r\nx\r\n\r\n\r\n";
        for one in 0..=stream.len() {
            for two in one..=stream.len() {
                let mut heads = Heads::default();
                let parts = [&stream[..one], &stream[one..two], &stream[two..]];
                let count: usize = parts.iter().map(|part| heads.count(part)).sum();
                assert_eq!(count, 3, "cut at {one} and {two}");
            }
        }
    }
}
