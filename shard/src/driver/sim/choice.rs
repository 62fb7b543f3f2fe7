//! What goes wrong, and when? Every choice is a hash of (seed, kind, connection, operation number), so that a run is
//! repeated by its seed alone and the choices of one connection do not depend on what others do.

/// A well mixed word from a word (the finaliser of splitmix64).
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a choice is about. The number is part of the hash: changing it changes every recorded seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    PartialRead = 1,
    PartialWrite = 2,
    Latency = 3,
    Late = 4,
    Drip = 5,
    Again = 6,
    Reset = 7,
    KeepOnReset = 8,
    NoDescriptor = 9,
    NoBuffer = 10,
    Reorder = 11,
    Window = 12,
    CancelLate = 13,
    JobDelay = 14,
    ShardOrder = 15,
    Jump = 16,
    Setup = 17,
    Storm = 18,
    FullQueue = 19,
    Drought = 20,
    NoSocket = 21,
    Refused = 22,
    Unanswered = 23,
    Aborted = 24,
    SmallBacklog = 25,
    Cut = 26,
    HalfClose = 27,
    Trickle = 28,
    WallClock = 29,
    LostJob = 30,
    RepeatEnds = 31,
    #[cfg(any(test, feature = "testing"))]
    ShortTurn = 32,
    Cold = 33,
    Random = 34,
}

/// Choices made from one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    pub(crate) seed: u64,
}

impl Choices {
    /// The word for one choice.
    pub(crate) fn word(self, kind: Kind, connection: u64, operation: u64) -> u64 {
        mix(mix(mix(self.seed ^ kind as u64) ^ connection) ^ operation)
    }

    /// Whether something with a probability of `per_mille` happens here.
    pub(crate) fn happens(self, kind: Kind, per_mille: u16, connection: u64, operation: u64) -> bool {
        per_mille > 0 && self.word(kind, connection, operation) % 1000 < u64::from(per_mille)
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub(crate) fn below(self, kind: Kind, bound: u64, connection: u64, operation: u64) -> u64 {
        // The low bits have decided whether it happens; the size comes from the high ones.
        if bound == 0 { 0 } else { (self.word(kind, connection, operation) >> 20) % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_depends_on_its_key_alone() {
        let choices = Choices { seed: 7 };
        let word = choices.word(Kind::Late, 3, 9);
        assert_eq!(word, Choices { seed: 7 }.word(Kind::Late, 3, 9));
        assert_ne!(word, Choices { seed: 8 }.word(Kind::Late, 3, 9));
        assert_ne!(word, choices.word(Kind::Drip, 3, 9));
        assert_ne!(word, choices.word(Kind::Late, 4, 9));
        assert_ne!(word, choices.word(Kind::Late, 3, 10));
    }

    #[test]
    fn faults_happen_about_as_often_as_told() {
        let choices = Choices { seed: 1 };
        let hits = (0..10_000).filter(|operation| choices.happens(Kind::Again, 100, 1, *operation)).count();
        assert!((800..1200).contains(&hits), "{hits} of 10,000");
        assert!(!(0..1000).any(|operation| choices.happens(Kind::Again, 0, 1, operation)));
    }
}
