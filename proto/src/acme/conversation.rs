//! One question at a time to an ACME server, however often it must be asked: nonces, `badNonce`, waits and tries.

use std::time::Duration;

use super::account::Signer;
use super::problem::told;
use super::wire::Directory;
use super::{
    Account, Answer, Cause, Failure, MOST_ANSWER, MOST_NONCE, MOST_NONCES, MOST_SECONDS, MOST_TRIES, MOST_WAIT,
};
use super::{Problem, Request, Stage, base64};
use crate::url::is_absolute;

/// Something to be asked until there is an answer that counts.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) stage: Stage,
    pub(super) url: String,
    pub(super) form: Form,
    pub(super) accept: &'static str,
}

#[derive(Debug, Clone)]
pub(super) enum Form {
    Get,
    /// A payload in JSON; an empty one is POST-as-GET (RFC 8555 §6.3).
    Signed(Signer, String),
}

/// What goes on.
#[derive(Debug)]
pub(super) enum Turn {
    Request(Request),
    Wait(Duration),
}

/// What an answer came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Not for who asked: there is more to do.
    Pending,
    /// 2xx to the question.
    Answered,
    /// The end of this question.
    Failed(Failure),
}

#[derive(Debug)]
pub(super) struct Conversation {
    /// The directory and all that it leads to may be in plain text.
    plain: bool,
    new_nonce: Option<String>,
    nonce: Option<String>,
    question: Option<Question>,
    /// The request that is out, and whether it is for a nonce.
    out: Option<(Request, bool)>,
    /// No request before this second.
    not_before: u64,
    tries: u32,
    nonces: u32,
    began: Option<u64>,
    requests: u32,
    most_requests: u32,
}

impl Conversation {
    pub(super) fn new(directory: &str, most_requests: u32) -> Self {
        Self {
            plain: directory.starts_with("http://"),
            new_nonce: None,
            nonce: None,
            question: None,
            out: None,
            not_before: 0,
            tries: 0,
            nonces: 0,
            began: None,
            requests: 0,
            most_requests,
        }
    }

    /// Asks this, not before `not_before`.
    pub(super) fn ask(&mut self, question: Question, not_before: u64) {
        self.question = Some(question);
        self.out = None;
        self.not_before = not_before;
        (self.tries, self.nonces) = (0, 0);
    }

    pub(super) fn use_nonces_of(&mut self, directory: &Directory) {
        self.new_nonce = Some(directory.new_nonce.clone());
    }

    /// The text, when it is a URL that this server may send us to.
    pub(super) fn allowed<'a>(&self, url: &'a str) -> Option<&'a str> {
        (is_absolute(url) && (self.plain || url.starts_with("https://"))).then_some(url)
    }

    /// What to do for the question. It is asked while there is one.
    pub(super) fn turn(&mut self, account: Option<&Account>, now: u64) -> Result<Turn, Failure> {
        let stage = self.question.as_ref().map_or(Stage::Directory, |question| question.stage);
        let began = *self.began.get_or_insert(now);
        if let Some((request, _)) = &self.out {
            return Ok(Turn::Request(request.clone()));
        }
        let wait = self.not_before.saturating_sub(now);
        // Nothing here waits longer: where it would, the clock was set back.
        if (1..=MOST_WAIT).contains(&wait) {
            return Ok(Turn::Wait(Duration::from_secs(wait)));
        }
        if now.saturating_sub(began) > MOST_SECONDS || self.requests >= self.most_requests {
            return Err(Failure::new(stage, Cause::TooLong));
        }
        let (request, is_nonce) = self.request(account).ok_or_else(|| Failure::unmet(stage, "it cannot be signed"))?;
        self.requests += 1;
        self.out = Some((request.clone(), is_nonce));
        Ok(Turn::Request(request))
    }

    fn request(&mut self, account: Option<&Account>) -> Option<(Request, bool)> {
        let question = self.question.as_ref()?;
        match &question.form {
            Form::Get => Some((Request::get(&question.url), false)),
            Form::Signed(signer, payload) => {
                let Some(nonce) = self.nonce.take() else {
                    return Some((Request::head(self.new_nonce.as_deref()?), true));
                };
                let body = account?.sign(*signer, &nonce, &question.url, payload)?;
                Some((Request::post(&question.url, question.accept, body), false))
            }
        }
    }

    pub(super) fn answered(&mut self, answer: &Answer, now: u64) -> Outcome {
        let (Some(question), Some((_, is_nonce))) = (&self.question, self.out.take()) else {
            return Outcome::Pending;
        };
        let stage = if is_nonce { Stage::Nonce } else { question.stage };
        let nonce = answer.header("Replay-Nonce").filter(|one| one.len() <= MOST_NONCE && base64::is_base64url(one));
        if let Some(nonce) = nonce {
            self.nonce = Some(nonce.to_owned());
        }
        if answer.body.len() > MOST_ANSWER {
            return Outcome::Failed(Failure::unreadable(stage, format!("an answer of more than {MOST_ANSWER} bytes")));
        }
        if answer.is_success() {
            if !is_nonce {
                self.question = None;
                return Outcome::Answered;
            }
            if self.nonce.is_some() {
                return Outcome::Pending;
            }
            return self.again(Failure::unreadable(stage, "no nonce in `Replay-Nonce`"), now);
        }
        let retry_after = answer.retry_after(now);
        let failure = Failure { stage, cause: Cause::Refused(Box::new(Problem::of(answer))), retry_after };
        if failure.is("badNonce") && self.nonces < MOST_NONCES {
            self.nonces += 1;
            return Outcome::Pending;
        }
        let passes = matches!(answer.status, 408 | 425 | 500..=599);
        if passes || (answer.status == 429 && retry_after.is_some()) {
            return self.again(failure, now);
        }
        Outcome::Failed(failure)
    }

    pub(super) fn unanswered(&mut self, why: &str, now: u64) -> Outcome {
        let (Some(question), Some((_, is_nonce))) = (&self.question, self.out.take()) else {
            return Outcome::Pending;
        };
        let stage = if is_nonce { Stage::Nonce } else { question.stage };
        self.again(Failure::new(stage, Cause::Unreachable(told(why, 500))), now)
    }

    /// Asks once more after a while, unless that was too often or the while is too long.
    fn again(&mut self, failure: Failure, now: u64) -> Outcome {
        self.tries += 1;
        let wait = failure.retry_after.map_or(1 << self.tries, |time| time.as_secs().max(1));
        if self.tries >= MOST_TRIES || wait > MOST_WAIT {
            return Outcome::Failed(failure);
        }
        self.not_before = now.saturating_add(wait);
        Outcome::Pending
    }
}
