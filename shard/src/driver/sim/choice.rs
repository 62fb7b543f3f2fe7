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

/// How often each fault happens, in thousandths of the operations it can strike. 0 switches a fault off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A receive gives fewer bytes than there are.
    pub partial_read: u16,
    /// A send takes fewer bytes than there is room for.
    pub partial_write: u16,
    /// Bytes or an event arrive up to 50 ms late instead of within 0.1 ms.
    pub late: u16,
    /// What was sent at once arrives in several pieces at different times.
    pub drip: u16,
    /// A call that could go on says `EAGAIN`; its event comes later.
    pub again: u16,
    /// The events of one turn come in another order than they happened.
    pub reorder: u16,
    /// A connection is reset at an operation.
    pub reset: u16,
    /// An accept fails with `EMFILE`.
    pub no_descriptor: u16,
    /// A receive finds no buffer although there is one.
    pub no_buffer: u16,
    /// A connection has room for a few KiB under way instead of 256 KiB.
    pub small_window: u16,
    /// A cancelled operation (completion personality) comes to its ordinary end first.
    pub cancel_late: u16,
    /// Helper jobs take up to 200 ms instead of one turn.
    pub slow_job: u16,
    /// The clock jumps ahead by up to 5 s when it moves.
    pub clock_jump: u16,
}

impl Faults {
    /// A friendly network: everything is whole, in order, at once.
    pub const fn none() -> Faults {
        Faults {
            partial_read: 0,
            partial_write: 0,
            late: 0,
            drip: 0,
            again: 0,
            reorder: 0,
            reset: 0,
            no_descriptor: 0,
            no_buffer: 0,
            small_window: 0,
            cancel_late: 0,
            slow_job: 0,
            clock_jump: 0,
        }
    }

    /// Faults that cost no connection: each switched on by half of the seeds, some rare and some frequent.
    pub fn without_losses(seed: u64) -> Faults {
        let rate = |fault: u64, most: u64| {
            let word = Choices { seed }.word(Kind::Setup, 0, fault);
            if word & 1 == 0 { 0 } else { u16::try_from(1 + (word >> 8) % most).expect("at most 1000") }
        };
        Faults {
            partial_read: rate(1, 700),
            partial_write: rate(2, 700),
            late: rate(3, 300),
            drip: rate(4, 500),
            again: rate(5, 400),
            reorder: rate(6, 900),
            reset: 0,
            no_descriptor: 0,
            no_buffer: rate(9, 300),
            small_window: rate(10, 600),
            cancel_late: rate(11, 700),
            slow_job: rate(12, 500),
            clock_jump: 0,
        }
    }

    /// Every fault there is: as [`Faults::without_losses`], with resets, failed accepts and clock jumps by half of the
    /// seeds each.
    pub fn all(seed: u64) -> Faults {
        let rate = |fault: u64, most: u64| {
            let word = Choices { seed }.word(Kind::Setup, 1, fault);
            if word & 1 == 0 { 0 } else { u16::try_from(1 + (word >> 8) % most).expect("at most 1000") }
        };
        Faults {
            reset: rate(1, 20),
            no_descriptor: rate(2, 300),
            clock_jump: rate(3, 10),
            ..Faults::without_losses(seed)
        }
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

    #[test]
    fn each_fault_is_off_for_some_seeds_and_on_for_others() {
        let all: Vec<_> = (0..64).map(Faults::all).collect();
        for rate in [
            |f: &Faults| f.partial_read,
            |f: &Faults| f.late,
            |f: &Faults| f.again,
            |f: &Faults| f.reset,
            |f: &Faults| f.no_descriptor,
        ] {
            let off = all.iter().filter(|faults| rate(faults) == 0).count();
            assert!((10..54).contains(&off), "off for {off} of 64");
        }
        assert_eq!(Faults::none(), Faults::default());
    }
}
