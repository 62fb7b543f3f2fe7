//! What is to be done for one certificate, and when: order it, ask when to renew it, or wait.

use std::time::Duration;

use super::renewal::{self, INTERVAL, MOST_INTERVAL};
use super::store::Enquired;
use super::{Attempts, Facts, Failure, Identifier, Suggestion};

/// Seconds to wait at most before asking again what is next, so that a clock that was set is noticed.
const MOST_SLEEP: u64 = 3600;
/// Seconds by which a clock may go back without anything that was planned being planned anew.
const SLACK: u64 = 60;

/// The way of one certificate through the years.
#[derive(Debug, Clone)]
pub struct Schedule {
    names: Vec<Identifier>,
    facts: Option<Facts>,
    suggestion: Option<Suggestion>,
    /// When the server was asked for a suggestion, and how many seconds that holds.
    asked: Option<(u64, u64)>,
    attempts: Attempts,
    jitter: u64,
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// An [`super::Issuance`]; then [`Schedule::issued`] or [`Schedule::failed`].
    Order {
        /// For [`super::Wish::replacing`].
        replaces: Option<String>,
    },
    /// An [`super::Enquiry`] about this certificate; then [`Schedule::enquired`].
    Enquire {
        /// The certificate's identifier.
        id: String,
    },
    /// Nothing, for this long.
    Wait(Duration),
}

impl Schedule {
    /// For a certificate with all of `names`; `kept` is the one there is. `jitter` is any number that stays the same for
    /// this certificate on this machine, and differs on others.
    #[must_use]
    pub fn new(names: &[Identifier], kept: Option<Facts>, attempts: Attempts, jitter: u64) -> Self {
        // One that lacks a name is no reason to wait, nor is the success it came from.
        let facts = kept.filter(|facts| names.iter().all(|name| facts.names.contains(name)));
        let attempts = if facts.is_none() && attempts.failures == 0 { Attempts::default() } else { attempts };
        // What was said of another certificate says nothing of this one.
        let id = facts.as_ref().and_then(|facts| facts.id.as_ref());
        let enquiry = attempts.enquiry.as_ref().filter(|enquiry| Some(&enquiry.id) == id);
        let asked = enquiry.map(|enquiry| (enquiry.at, enquiry.holds.min(MOST_INTERVAL)));
        let suggestion = enquiry.and_then(|enquiry| {
            let (start, end) = enquiry.window?;
            Some(Suggestion { start, end, explanation: None, ask_again: Duration::from_secs(enquiry.holds) })
        });
        Self { names: names.to_vec(), facts, suggestion, asked, attempts, jitter }
    }

    /// What to do at `now`, seconds since 1970. A renewal that is due goes before an enquiry.
    #[must_use]
    pub fn next(&self, now: u64) -> Next {
        let order = self.due().saturating_sub(now).max(self.attempts.wait(now, self.jitter).as_secs());
        if order == 0 {
            return Next::Order { replaces: self.facts.as_ref().and_then(|facts| facts.id.clone()) };
        }
        let id = self.facts.as_ref().and_then(|facts| facts.id.as_ref());
        let enquiry = match (id, self.asked) {
            (None, _) => MOST_SLEEP,
            (Some(_), Some((asked, holds))) if now.saturating_add(SLACK) >= asked => {
                asked.saturating_add(holds).saturating_sub(now)
            }
            (Some(_), _) => 0,
        };
        match id {
            Some(id) if enquiry == 0 => Next::Enquire { id: id.clone() },
            _ => Next::Wait(Duration::from_secs(order.min(enquiry).min(MOST_SLEEP))),
        }
    }

    /// The second since 1970 the certificate is to be renewed at; 0 where there is none.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.facts.as_ref().map_or(0, |facts| renewal::due(facts, self.suggestion.as_ref(), self.jitter))
    }

    /// What an enquiry came to.
    pub fn enquired(&mut self, came: Result<Option<Suggestion>, &Failure>, now: u64) {
        let holds = match came {
            Ok(suggestion) => {
                let holds = suggestion.as_ref().map_or(MOST_INTERVAL, |one| one.ask_again.as_secs());
                self.suggestion = suggestion;
                holds
            }
            // What was suggested before still holds (RFC 9773 §4.3.3).
            Err(failure) => failure.retry_after.unwrap_or_default().max(INTERVAL).as_secs().min(MOST_INTERVAL),
        };
        self.asked_at(now, holds);
    }

    /// The server was asked, and what it said holds for so many seconds.
    fn asked_at(&mut self, at: u64, holds: u64) {
        self.asked = Some((at, holds));
        let window = self.suggestion.as_ref().map(|one| (one.start, one.end));
        let id = self.facts.as_ref().and_then(|facts| facts.id.clone());
        self.attempts.enquiry = id.map(|id| Enquired { id, at, holds, window });
    }

    /// An order came through.
    pub fn issued(&mut self, facts: Facts, now: u64) {
        debug_assert!(self.names.iter().all(|name| facts.names.contains(name)), "no other one is taken");
        self.facts = Some(facts);
        self.suggestion = None;
        self.attempts.succeeded(now);
        self.asked_at(now, INTERVAL.as_secs());
    }

    /// An order did not.
    pub fn failed(&mut self, failure: &Failure, now: u64) {
        self.attempts.failed(failure, now);
    }

    /// What is kept of it besides the certificate: after each order and each enquiry.
    #[must_use]
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, Stage};
    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u64 = 20_000 * DAY;

    fn names(names: &[&str]) -> Vec<Identifier> {
        names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
    }

    fn facts(from: u64, days: u64) -> Facts {
        let (names, id) = (names(&["a.example"]), Some("a.b".to_owned()));
        Facts { names, not_before: from, not_after: from + days * DAY, id }
    }

    fn failure(retry_after: Option<u64>) -> Failure {
        let retry_after = retry_after.map(Duration::from_secs);
        Failure { retry_after, ..Failure::new(Stage::Order, Cause::TooLong) }
    }

    #[test]
    fn without_a_certificate_or_without_a_name_in_it_one_is_ordered_at_once() {
        let order = |replaces: Option<&str>| Next::Order { replaces: replaces.map(str::to_owned) };
        let one = names(&["a.example"]);
        let mut done = Attempts::default();
        done.succeeded(NOW - 1);
        assert_eq!(Schedule::new(&one, None, Attempts::default(), 7).next(NOW), order(None));
        assert_eq!(Schedule::new(&one, None, done.clone(), 7).next(NOW), order(None), "it was lost");
        let more = names(&["a.example", "b.example"]);
        assert_eq!(Schedule::new(&more, Some(facts(NOW - 1, 90)), done, 7).next(NOW), order(None));
        let old = Schedule::new(&one, Some(facts(NOW - 80 * DAY, 90)), Attempts::default(), 7);
        assert_eq!(old.next(NOW), order(Some("a.b")));
    }

    #[test]
    fn a_certificate_that_is_due_at_once_is_not_ordered_in_a_circle() {
        let mut schedule = Schedule::new(&names(&["a.example"]), None, Attempts::default(), 7);
        let (mut now, mut orders) = (NOW, 0);
        while now < NOW + DAY {
            match schedule.next(now) {
                Next::Order { .. } => {
                    orders += 1;
                    schedule.issued(facts(NOW - 100 * DAY, 90), now);
                }
                Next::Enquire { .. } => schedule.enquired(Err(&failure(None)), now),
                Next::Wait(time) => now += time.as_secs().max(1),
            }
        }
        assert!((2..=24).contains(&orders), "{orders} in a day");
    }

    #[test]
    fn failures_are_waited_for_even_by_who_was_started_again() {
        let mut schedule = Schedule::new(&names(&["a.example"]), None, Attempts::default(), 0);
        schedule.failed(&failure(Some(7200)), NOW);
        assert_eq!(schedule.next(NOW + 1), Next::Wait(Duration::from_secs(3600)));
        let again = Schedule::new(
            &names(&["a.example"]),
            None,
            Attempts::read(&schedule.attempts().entry("https://a/", &names(&["a.example"])[0]).bytes),
            0,
        );
        assert_eq!(again.next(NOW + 7199), Next::Wait(Duration::from_secs(1)));
        assert!(matches!(again.next(NOW + 7200), Next::Order { .. }));
    }

    #[test]
    fn the_server_is_asked_as_often_as_it_says_and_six_hours_after_it_failed() {
        let mut schedule = Schedule::new(&names(&["a.example"]), Some(facts(NOW, 90)), Attempts::default(), 7);
        assert_eq!(schedule.next(NOW), Next::Enquire { id: "a.b".to_owned() });
        let window = Suggestion {
            start: NOW + 10 * DAY,
            end: NOW + 11 * DAY,
            explanation: None,
            ask_again: Duration::from_secs(1000),
        };
        schedule.enquired(Ok(Some(window)), NOW);
        assert_eq!(schedule.next(NOW), Next::Wait(Duration::from_secs(1000)));
        assert_eq!(schedule.due(), NOW + 10 * DAY + 7);
        schedule.enquired(Err(&failure(None)), NOW + 1000);
        assert_eq!(schedule.due(), NOW + 10 * DAY + 7, "what it said before");
        assert!(matches!(schedule.next(NOW + 1000 + 6 * 3600 - 1), Next::Wait(_)));
        assert!(matches!(schedule.next(NOW + 1000 + 6 * 3600), Next::Enquire { .. }));
        schedule.enquired(Ok(None), NOW + DAY);
        assert!(schedule.due() > NOW + 50 * DAY);
        assert!(matches!(schedule.next(NOW + 2 * DAY - 1), Next::Wait(_)));
        assert!(matches!(schedule.next(NOW / 2), Next::Enquire { .. }), "the clock was set back");
    }

    #[test]
    fn who_is_started_again_knows_what_the_server_said_and_asks_no_earlier() {
        let one = names(&["a.example"]);
        let mut schedule = Schedule::new(&one, None, Attempts::default(), 7);
        schedule.issued(facts(NOW, 90), NOW);
        let again = |schedule: &Schedule, facts| {
            let kept = schedule.attempts().entry("https://a/", &one[0]).bytes;
            Schedule::new(&one, Some(facts), Attempts::read(&kept), 7)
        };
        assert_eq!(again(&schedule, facts(NOW, 90)).next(NOW + 1), Next::Wait(Duration::from_secs(MOST_SLEEP)));
        assert!(matches!(again(&schedule, facts(NOW, 90)).next(NOW + INTERVAL.as_secs()), Next::Enquire { .. }));
        let (start, end, ask_again) = (NOW + 10 * DAY, NOW + 11 * DAY, Duration::from_secs(1000));
        schedule.enquired(Ok(Some(Suggestion { start, end, explanation: None, ask_again })), NOW + DAY);
        let kept = again(&schedule, facts(NOW, 90));
        assert_eq!((kept.due(), kept.next(NOW + DAY + 10)), (start + 7, Next::Wait(Duration::from_secs(990))));
        let other = Facts { id: Some("a.c".to_owned()), ..facts(NOW, 90) };
        assert!(again(&schedule, other).due() > NOW + 50 * DAY, "it was said of another certificate");
    }
}
