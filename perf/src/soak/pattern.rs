//! What bodies are made of: bytes that tell where in which body they stand, so that a wrong one is seen.

use std::sync::OnceLock;

/// A prime, so that a body that is shifted or repeated by any power of two differs.
const PERIOD: usize = 65_521;

/// Bytes of one body, by its number and where in it they stand.
fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rng = Rng::new(1);
        // Letters, so that no server takes a file for something else; twice, so that a run never wraps.
        let once: Vec<u8> = (0..PERIOD).map(|_| b'a' + rng.below(26) as u8).collect();
        once.repeat(2)
    })
}

fn start(seed: u32, at: u64) -> usize {
    ((u64::from(seed) * 7919 + at) % PERIOD as u64) as usize
}

/// Appends `length` bytes of the body `seed`, from its byte `at`.
pub(super) fn write(seed: u32, at: u64, length: usize, to: &mut Vec<u8>) {
    let end = to.len() + length;
    while to.len() < end {
        let begin = start(seed, at + (length - (end - to.len())) as u64);
        to.extend_from_slice(&table()[begin..begin + (end - to.len()).min(PERIOD)]);
    }
}

/// All of a body.
pub(super) fn body(seed: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    write(seed, 0, length, &mut bytes);
    bytes
}

/// Whether these are the bytes of the body `seed` from its byte `at`.
pub(super) fn matches(seed: u32, at: u64, bytes: &[u8]) -> bool {
    let mut at = at;
    bytes.chunks(PERIOD).all(|piece| {
        let begin = start(seed, at);
        at += piece.len() as u64;
        &table()[begin..begin + piece.len()] == piece
    })
}

/// Numbers by SplitMix64: the same seed gives the same ones.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `count`, which is not 0.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * u128::from(count)) >> 64) as u64
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_itself_in_any_pieces_and_nothing_else() {
        let whole = body(7, 200_000);
        let mut pieces = Vec::new();
        for at in (0..200_000).step_by(777) {
            write(7, at, 777.min(200_000 - at as usize), &mut pieces);
        }
        assert!(pieces == whole && matches(7, 0, &whole) && matches(7, 100_001, &whole[100_001..]));
        assert!(!matches(8, 0, &whole[..64]), "another body");
        for shift in [1, 4096, 65_536] {
            assert!(!matches(7, 0, &whole[shift..shift + 64]), "shifted by {shift}");
        }
        let mut wrong = whole;
        wrong[199_999] ^= 1;
        assert!(!matches(7, 0, &wrong));
    }

    #[test]
    fn numbers_are_below_their_bound_and_even() {
        let (mut rng, mut counts) = (Rng::new(3), [0; 5]);
        (0..10_000).for_each(|_| counts[rng.below(5) as usize] += 1);
        assert!(counts.iter().all(|&count| (1_800..2_200).contains(&count)), "{counts:?}");
    }
}
