//! Where do a shard's random numbers come from? From the system's randomness; on a simulated shard from the seed, so that a
//! run is repeated to the byte.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A generator of numbers that need not stay secret: who sees some of them can tell the next (splitmix64).
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// The numbers of this seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    /// The next 64 bits.
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A seed that nobody knows: the standard library keys its hashes from the system's randomness.
pub(crate) fn of_system() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_the_system_gives_others() {
        let numbers = |seed| {
            let random = Random::new(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_ne!(numbers(7)[0], numbers(7)[1]);
        assert_ne!(of_system(), of_system());
    }
}
