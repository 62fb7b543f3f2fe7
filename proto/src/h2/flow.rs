//! How much content may be on its way: windows (RFC 9113 §5.2, §6.9).

use super::frame::MOST;
use super::settings::FIRST_WINDOW;

/// What the client lets us send. A change of SETTINGS can make it negative (RFC 9113 §6.9.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    pub(super) fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    /// Bytes that may be sent.
    #[inline]
    pub(super) fn left(self) -> usize {
        self.0.max(0) as usize
    }

    /// Takes what is sent; never more than is left.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) {
        self.0 -= i64::try_from(bytes).unwrap_or(i64::MAX).min(self.0.max(0));
    }

    /// Adds what WINDOW_UPDATE or a change of the initial window gives or takes. False: it is above 2^31-1 then.
    #[inline]
    pub(super) fn add(&mut self, bytes: i64) -> bool {
        self.0 = self.0.saturating_add(bytes);
        self.0 <= i64::from(MOST)
    }
}

/// What we let the client send, and what we have to tell it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ReceiveWindow {
    /// Bytes the client may send yet; negative when our SETTINGS took back what it had.
    left: i64,
    /// Bytes taken since the last WINDOW_UPDATE.
    taken: u32,
    /// What the window is when nothing is on its way.
    full: u32,
}

impl ReceiveWindow {
    pub(super) fn new(full: u32) -> Self {
        Self { left: i64::from(full), taken: 0, full }
    }

    /// The connection's: it starts at 65,535, and our first WINDOW_UPDATE makes it `full`.
    pub(super) fn of_connection(full: u32) -> Self {
        Self::new(full.max(FIRST_WINDOW))
    }

    /// Content arrived. False: more than was allowed.
    #[inline]
    pub(super) fn receive(&mut self, bytes: u32) -> bool {
        self.left -= i64::from(bytes);
        self.left >= 0
    }

    /// Content was taken: the increment that is worth a WINDOW_UPDATE now, or nothing yet. A quarter of the window is: what is
    /// not given back yet is missing to a client far away, of which all of the window is on its way. Where much of it is held,
    /// an eighth is that the client has no more left than.
    #[inline]
    pub(super) fn give_back(&mut self, bytes: u32) -> Option<u32> {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken == 0 || (self.taken < self.full / 4 && !self.is_short()) {
            return None;
        }
        let increment = std::mem::take(&mut self.taken);
        self.left += i64::from(increment);
        Some(increment)
    }

    /// True when an eighth of it or more was taken, and the client has no more left than that.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.taken >= self.full / 8 && i64::from(self.taken) >= self.left
    }

    /// Our SETTINGS were acknowledged, and from then on the window is this.
    pub(super) fn resize(&mut self, full: u32) {
        self.left += i64::from(full) - i64::from(self.full);
        self.full = full;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_become_negative_and_recovers() {
        let mut window = SendWindow::new(10);
        window.take(10);
        assert!(window.add(-7));
        assert_eq!(window.left(), 0);
        assert!(window.add(7));
        assert_eq!(window.left(), 0);
        assert!(window.add(1));
        assert_eq!(window.left(), 1);
    }

    #[test]
    fn a_window_above_its_maximum_is_seen() {
        let mut window = SendWindow::new(MOST - 1);
        assert!(window.add(1));
        assert!(!window.add(1));
        let mut window = SendWindow::new(0);
        assert!(!window.add(i64::MAX) && !window.add(i64::MAX));
    }

    #[test]
    fn what_is_taken_is_given_back_in_quarters() {
        let mut window = ReceiveWindow::new(100);
        assert!(window.receive(24));
        assert_eq!(window.give_back(24), None);
        assert_eq!(window.left, 76);
        assert!(window.receive(1));
        assert_eq!(window.give_back(1), Some(25));
        assert_eq!(window.left, 100);
        assert_eq!(window.give_back(0), None);
        assert!(!window.receive(101));
    }

    #[test]
    fn what_is_taken_is_given_back_in_eighths_while_the_rest_is_held() {
        let mut window = ReceiveWindow::new(160);
        assert!(window.receive(160));
        assert_eq!(window.give_back(19), None);
        assert_eq!(window.give_back(1), Some(20));
        assert_eq!(window.give_back(19), None);
        assert_eq!(window.give_back(1), Some(20));
        assert_eq!((window.left, window.give_back(39), window.give_back(1)), (40, None, Some(40)));
    }

    #[test]
    fn a_window_is_short_once_what_came_leaves_no_more_than_was_taken() {
        let mut window = ReceiveWindow::new(160);
        assert!(window.receive(20));
        assert_eq!(window.give_back(20), None);
        assert!(window.receive(119) && !window.is_short());
        assert!(window.receive(1) && window.is_short());
        assert_eq!((window.give_back(0), window.is_short()), (Some(20), false));
    }

    #[test]
    fn a_window_that_shrinks_by_our_settings_forgets_nothing_that_came() {
        let mut window = ReceiveWindow::new(65_535);
        assert!(window.receive(1000));
        window.resize(500);
        assert_eq!(window.left, -500);
        assert!(!window.receive(1));
    }
}
