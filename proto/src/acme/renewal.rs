//! When to renew: what the server suggests (ARI, RFC 9773), and otherwise two thirds into a certificate's life.

use std::time::Duration;

use super::conversation::{Conversation, Form, Outcome, Question, Turn};
use super::order::read;
use super::problem::told;
use super::{Answer, Facts, Failure, Stage, Step, moment, wire};

/// Seconds between two enquiries, at least and at most, whatever the server says (RFC 9773 §4.3.2).
const LEAST_INTERVAL: u64 = 60;
pub(super) const MOST_INTERVAL: u64 = 86_400;
/// Seconds between two enquiries where the server does not say, or did not answer (RFC 9773 §4.3.3).
pub const INTERVAL: Duration = Duration::from_secs(6 * 3600);
/// A certificate that lives no longer than this many seconds is renewed half-way.
const SHORT_LIVED: u64 = 10 * 86_400;

/// What the server suggests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The first second to renew at, since 1970; in the past for "at once".
    pub start: u64,
    /// The last one.
    pub end: u64,
    /// A page that says why, where the window is unusual.
    pub explanation: Option<String>,
    /// When to ask again, from the answer on: between a minute and a day.
    pub ask_again: Duration,
}

/// The second since 1970 to renew a certificate at: the server's window if there is one, otherwise two thirds into its
/// life (half-way when that is 10 days or less), but never after it ends. `jitter` is any number, the same one for the same
/// certificate each time, so that many servers do not all come at once.
#[must_use]
pub fn due(facts: &Facts, suggestion: Option<&Suggestion>, jitter: u64) -> u64 {
    let lifetime = facts.lifetime();
    let left = if lifetime <= SHORT_LIVED { lifetime / 2 } else { lifetime / 3 };
    let latest = facts.not_after.saturating_sub(left);
    // The window of those without a server's: the last fiftieth of the lifetime before the moment itself.
    let own = (latest.saturating_sub(lifetime / 50), latest);
    let (start, end) = match suggestion {
        Some(window) if window.start < facts.not_after => (window.start, window.end.min(facts.not_after)),
        _ => own,
    };
    let width = end.saturating_sub(start).saturating_add(1);
    start.saturating_add(jitter % width)
}

/// An enquiry for one certificate's renewal window.
#[derive(Debug)]
pub struct Enquiry {
    id: String,
    conversation: Conversation,
    at: At,
}

#[derive(Debug)]
enum At {
    Directory,
    Info,
    Done(Box<Option<Suggestion>>),
    Failed(Failure),
}

impl Enquiry {
    /// Asks the server at `directory` about the certificate that [`Facts::id`] names.
    #[must_use]
    pub fn new(directory: &str, id: &str) -> Self {
        let mut conversation = Conversation::new(directory, 20);
        let url = directory.to_owned();
        let question = Question { stage: Stage::Directory, url, form: Form::Get, accept: "application/json" };
        conversation.ask(question, 0);
        Self { id: id.to_owned(), conversation, at: At::Directory }
    }

    /// What is to be done at `now`, seconds since 1970. Done with `None` where the server gives no such information.
    /// After a failure [`due`] without a suggestion holds, and [`INTERVAL`] is when to ask again.
    pub fn step(&mut self, now: u64) -> Step<Option<Suggestion>> {
        match &self.at {
            At::Done(suggestion) => return Step::Done(suggestion.clone()),
            At::Failed(failure) => return Step::Failed(failure.clone()),
            At::Directory | At::Info => {}
        }
        match self.conversation.turn(None, now) {
            Ok(Turn::Request(request)) => Step::Request(request),
            Ok(Turn::Wait(time)) => Step::Wait(time),
            Err(failure) => {
                self.at = At::Failed(failure.clone());
                Step::Failed(failure)
            }
        }
    }

    /// The answer to the request of [`Step::Request`].
    pub fn answered(&mut self, answer: &Answer, now: u64) {
        let outcome = self.conversation.answered(answer, now);
        self.went(outcome, Some(answer));
    }

    /// The request of [`Step::Request`] came to nothing.
    pub fn unanswered(&mut self, why: &str, now: u64) {
        let outcome = self.conversation.unanswered(why, now);
        self.went(outcome, None);
    }

    fn went(&mut self, outcome: Outcome, answer: Option<&Answer>) {
        let failure = match (outcome, answer) {
            (Outcome::Pending, _) | (Outcome::Answered, None) => return,
            (Outcome::Answered, Some(answer)) => match self.advance(answer) {
                Ok(()) => return,
                Err(failure) => failure,
            },
            (Outcome::Failed(failure), _) => failure,
        };
        self.at = At::Failed(failure);
    }

    fn advance(&mut self, answer: &Answer) -> Result<(), Failure> {
        let stage = Stage::RenewalInfo;
        match self.at {
            At::Directory => {
                let directory = read::<wire::Directory>(Stage::Directory, answer)?;
                let Some(base) = directory.renewal_info else {
                    self.at = At::Done(Box::new(None));
                    return Ok(());
                };
                let url = format!("{}/{}", base.trim_end_matches('/'), self.id);
                let Some(url) = self.conversation.allowed(&url).map(str::to_owned) else {
                    return Err(Failure::unreadable(stage, "`renewalInfo` is no URL to go to"));
                };
                self.conversation.ask(Question { stage, url, form: Form::Get, accept: "application/json" }, 0);
                self.at = At::Info;
            }
            At::Info => {
                let suggestion = suggestion(&read::<wire::RenewalInfo>(stage, answer)?, answer)?;
                self.at = At::Done(Box::new(Some(suggestion)));
            }
            At::Done(_) | At::Failed(_) => {}
        }
        Ok(())
    }
}

fn suggestion(info: &wire::RenewalInfo, answer: &Answer) -> Result<Suggestion, Failure> {
    let window = &info.suggested_window;
    match (moment::parse(&window.start), moment::parse(&window.end)) {
        (Some(start), Some(end)) if start < end => Ok(Suggestion {
            start,
            end,
            explanation: info.explanation_url.as_ref().map(|url| told(url, 500)),
            ask_again: answer
                .retry_after(start)
                .map_or(INTERVAL, |time| Duration::from_secs(time.as_secs().clamp(LEAST_INTERVAL, MOST_INTERVAL))),
        }),
        _ => Err(Failure::unreadable(Stage::RenewalInfo, "a window that does not end after it starts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn facts(days: u64) -> Facts {
        Facts { names: Vec::new(), not_before: 1000 * DAY, not_after: (1000 + days) * DAY, id: None }
    }

    fn window(start: u64, end: u64) -> Suggestion {
        Suggestion { start, end, explanation: None, ask_again: INTERVAL }
    }

    #[test]
    fn without_a_suggestion_it_is_two_thirds_into_the_lifetime_or_half_way_into_a_short_one() {
        assert_eq!(due(&facts(90), None, facts(90).lifetime() / 50), 1060 * DAY);
        assert_eq!(due(&facts(6), None, facts(6).lifetime() / 50), 1003 * DAY);
        for jitter in [0, 1, 77_777, u64::MAX] {
            let at = due(&facts(90), None, jitter);
            assert!((1060 * DAY - 90 * DAY / 50..=1060 * DAY).contains(&at), "{at}");
        }
    }

    #[test]
    fn a_suggested_window_decides_wherever_it_lies_before_the_end() {
        let some = window(1010 * DAY, 1012 * DAY);
        for jitter in [0, 1, 123_456_789, u64::MAX] {
            assert!((some.start..=some.end).contains(&due(&facts(90), Some(&some), jitter)));
        }
        assert_eq!(due(&facts(90), Some(&some), 0), some.start);
        assert_eq!(due(&facts(90), Some(&some), 2 * DAY), some.end);
        assert_eq!(due(&facts(90), Some(&window(0, 1)), 1), 1);
        assert!(due(&facts(90), Some(&window(1080 * DAY, 5000 * DAY)), u64::MAX) <= 1090 * DAY);
        assert_eq!(due(&facts(90), Some(&window(1091 * DAY, 1092 * DAY)), 7), due(&facts(90), None, 7));
    }

    #[test]
    fn numbers_at_their_ends_give_a_time_too() {
        let strange = Facts { names: Vec::new(), not_before: u64::MAX, not_after: 0, id: None };
        assert_eq!(due(&strange, None, u64::MAX), 0);
        let all = Facts { names: Vec::new(), not_before: 0, not_after: u64::MAX, id: None };
        assert!(due(&all, Some(&window(0, u64::MAX)), u64::MAX) < u64::MAX);
    }
}
