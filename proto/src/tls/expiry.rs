//! Is it time that a certificate's next one were there?

use super::Facts;

/// Nobody is warned earlier than this, however long a certificate lives.
const WARNED_MOST_SECONDS: u64 = 30 * 86_400;
/// The part of a certificate's life that is left when it should long have been renewed: who renews by themselves do so when a
/// third is left.
const WARNED_PART: u64 = 4;

/// How far a certificate is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// There is time.
    Far,
    /// Less than a quarter of its life is left, and less than 30 days.
    Soon,
    /// It is over.
    Over,
}

impl Facts {
    /// How far it is in its life at `now`, in seconds since 1970.
    #[must_use]
    pub fn expiry(&self, now: u64) -> Expiry {
        let life = self.not_after.saturating_sub(self.not_before);
        let warned = self.not_after.saturating_sub((life / WARNED_PART).min(WARNED_MOST_SECONDS));
        match now {
            _ if now > self.not_after => Expiry::Over,
            _ if now > warned => Expiry::Soon,
            _ => Expiry::Far,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn the_last_quarter_of_a_life_and_at_most_its_last_thirty_days_are_soon() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let facts = Facts::read(made.cert.der()).unwrap();
        for (days, warned) in [(6, 36), (47, 47 * 6), (90, 90 * 6), (398, 30 * 24), (3650, 30 * 24)] {
            let (begin, end) = (1000 * DAY, (1000 + days) * DAY);
            let facts = Facts { not_before: begin, not_after: end, ..facts.clone() };
            let soon = end - warned * 3600;
            let seen = [begin, soon, soon + 1, end, end + 1].map(|now| facts.expiry(now));
            assert_eq!(seen, [Expiry::Far, Expiry::Far, Expiry::Soon, Expiry::Soon, Expiry::Over], "{days} days");
        }
    }
}
