//! How often a client may do what costs us more than it, until somebody says that time has passed.

use super::code::ErrorCode;
use super::event::{Fatal, Flood};
use super::limits::Limits;

/// How many WINDOW_UPDATE frames each frame of content is worth: one for the stream, one for the connection.
const UPDATES_EARNED: u32 = 2;
/// What can be earned at most.
const MOST_EARNED: u32 = 1 << 16;
/// Streams that a client may open above our limit before it can know of it. What a TCP connection lets leave in its first
/// round trip, 14,600 bytes, has room for a thousand heads.
const UNAWARE: u32 = 4096;

/// What is left of each budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budgets {
    left: [u32; KINDS],
    /// WINDOW_UPDATE frames that the content we sent asks for.
    updates_earned: u32,
    /// PING frames that the content we sent may be measured by, as gRPC does: one for each frame.
    pings_earned: u32,
    /// RST_STREAM frames that may cross our END_STREAM: one for each stream that ended.
    late_resets_earned: u32,
    /// Streams above our limit that are not held against a client that has not acknowledged it; never full again.
    unaware: u32,
}

const KINDS: usize = Flood::Continuations as usize;

impl Budgets {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self { left: full(limits), updates_earned: 0, pings_earned: 0, late_resets_earned: 0, unaware: UNAWARE }
    }

    /// A second has passed.
    pub(super) const fn refill(&mut self, limits: &Limits) {
        self.left = full(limits);
    }

    /// A client went beyond a limit that it cannot know of yet; what that would count as if it could.
    ///
    /// # Errors
    ///
    /// It is one too many all the same.
    pub(super) fn unaware(&mut self, kind: Flood) -> Result<(), Fatal> {
        match self.unaware.checked_sub(1) {
            Some(left) => {
                self.unaware = left;
                Ok(())
            }
            None => self.charge(kind),
        }
    }

    /// A PRIORITY_UPDATE that was charged is of use: the stream that it came before has opened. Or it is charged otherwise.
    pub(super) fn priority_is_free(&mut self, limits: &Limits) {
        if let Some(left) = self.left.get_mut(Flood::Priorities as usize) {
            *left = left.saturating_add(1).min(limits.priorities);
        }
    }

    /// One more of this kind.
    ///
    /// # Errors
    ///
    /// It is one too many.
    #[inline]
    pub(super) fn charge(&mut self, kind: Flood) -> Result<(), Fatal> {
        match self.left.get_mut(kind as usize) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Ok(())
            }
            _ => Err(flood(kind)),
        }
    }

    /// A frame of content was sent.
    #[inline]
    pub(super) fn sent(&mut self) {
        self.updates_earned = (self.updates_earned + UPDATES_EARNED).min(MOST_EARNED);
        self.pings_earned = (self.pings_earned + 1).min(MOST_EARNED);
    }

    /// A WINDOW_UPDATE came.
    #[inline]
    pub(super) fn window_update(&mut self) -> Result<(), Fatal> {
        match self.updates_earned.checked_sub(1) {
            Some(left) => {
                self.updates_earned = left;
                Ok(())
            }
            None => self.charge(Flood::WindowUpdates),
        }
    }

    /// A PING came.
    pub(super) fn ping(&mut self) -> Result<(), Fatal> {
        match self.pings_earned.checked_sub(1) {
            Some(left) => {
                self.pings_earned = left;
                Ok(())
            }
            None => self.charge(Flood::Pings),
        }
    }

    /// A stream has ended.
    #[inline]
    pub(super) fn ended(&mut self) {
        self.late_resets_earned = (self.late_resets_earned + 1).min(MOST_EARNED);
    }

    /// RST_STREAM came for a stream that is over.
    pub(super) fn late_reset(&mut self) -> Result<(), Fatal> {
        match self.late_resets_earned.checked_sub(1) {
            Some(left) => {
                self.late_resets_earned = left;
                Ok(())
            }
            None => self.charge(Flood::Resets),
        }
    }
}

const fn full(limits: &Limits) -> [u32; KINDS] {
    let mut left = [0; KINDS];
    left[Flood::Resets as usize] = limits.resets;
    left[Flood::Pings as usize] = limits.pings;
    left[Flood::Settings as usize] = limits.settings;
    left[Flood::EmptyData as usize] = limits.empty_data;
    left[Flood::WindowUpdates as usize] = limits.window_updates;
    left[Flood::Priorities as usize] = limits.priorities;
    left[Flood::Unknown as usize] = limits.unknown;
    left
}

/// The end of a connection whose client does too much of something.
#[cold]
pub(super) const fn flood(kind: Flood) -> Fatal {
    let why = match kind {
        Flood::Resets => "too many streams are reset",
        Flood::Pings => "too many PING frames",
        Flood::Settings => "too many SETTINGS frames",
        Flood::EmptyData => "too many frames without content",
        Flood::WindowUpdates => "too many WINDOW_UPDATE frames",
        Flood::Priorities => "too many changes of priorities",
        Flood::Unknown => "too many frames that mean nothing",
        Flood::Continuations => "a header block is too long",
    };
    Fatal { code: ErrorCode::ENHANCE_YOUR_CALM, why, flood: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_exactly_and_full_again_after_a_refill() {
        let limits = Limits { pings: 3, ..Limits::default() };
        let mut budgets = Budgets::new(&limits);
        for _ in 0..2 {
            for _ in 0..3 {
                assert!(budgets.charge(Flood::Pings).is_ok());
            }
            assert_eq!(budgets.charge(Flood::Pings).map_err(|fatal| fatal.flood), Err(Some(Flood::Pings)));
            assert!(budgets.charge(Flood::Settings).is_ok());
            budgets.refill(&limits);
        }
    }

    #[test]
    fn content_that_is_sent_earns_window_updates() {
        let mut budgets = Budgets::new(&Limits { window_updates: 1, ..Limits::default() });
        budgets.sent();
        assert!(budgets.window_update().is_ok() && budgets.window_update().is_ok() && budgets.window_update().is_ok());
        assert!(budgets.window_update().is_err());
    }
}
