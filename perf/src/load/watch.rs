//! How others see a load while it runs, and end it early.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Its connections are being made.
    Opening,
    /// It runs, and nothing counts.
    WarmUp,
    /// It counts.
    Counting,
    /// It is over.
    Over,
}

/// What others see of one load; written by its thread some ten times a second.
#[derive(Debug, Default)]
pub struct Watch {
    phase: AtomicU8,
    answers: AtomicU64,
    faults: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

impl Watch {
    /// Ends the load within a tenth of a second; what was counted counts.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::WarmUp,
            2 => Phase::Counting,
            _ => Phase::Over,
        }
    }

    /// Answers since it began to count, or until then since it began.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Faults of every kind, as [`answers`](Self::answers).
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Bytes received and sent, as [`answers`](Self::answers).
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Says that the load is over, for who never began.
    pub(crate) fn enter_over(&self) {
        self.enter(Phase::Over);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn show(&self, answers: u64, faults: u64, bytes: u64) {
        self.answers.store(answers, Ordering::Relaxed);
        self.faults.store(faults, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}
