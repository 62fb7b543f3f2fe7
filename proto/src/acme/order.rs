//! One certificate, from the directory to its chain (RFC 8555 §7).

use serde::de::DeserializeOwned;
use serde_json::json;

use super::account::Signer;
use super::certificate::Wanted;
use super::conversation::{Conversation, Form, Outcome, Question, Turn};
use super::wire::{self, Status};
use super::{Account, Answer, Cause, Challenge, Failure, Identifier, Issued};
use super::{MOST_NAMES, MOST_POLLS, MOST_WAIT, Problem, Stage, Step, Wish};

const JSON: &str = "application/json";
const PEM: &str = "application/pem-certificate-chain";

/// An order under way.
#[derive(Debug)]
pub struct Issuance {
    account: Account,
    wish: Wish,
    conversation: Conversation,
    at: At,
    directory: Option<wire::Directory>,
    /// The account was registered anew, because the server did not know the one that was kept.
    registered_anew: bool,
    order: String,
    finalize: String,
    certificate: String,
    authorizations: Vec<String>,
    /// What must be proved: the authorization, the challenge's URL, and the answer to it.
    proofs: Vec<(String, String, Challenge)>,
    wanted: Option<Wanted>,
    polls: u32,
}

#[derive(Debug)]
enum At {
    Directory,
    Account,
    Order,
    Authorization(usize),
    Serve,
    Trigger(usize),
    Proved(usize),
    Ready,
    Finalize,
    Issued,
    Download,
    Done(Box<Issued>),
    Failed(Failure),
}

impl Issuance {
    /// Begins. Nothing is asked before the first [`step`](Self::step).
    #[must_use]
    pub fn new(account: Account, wish: Wish) -> Self {
        let most_requests = 100 + 10 * wish.names.len() as u32;
        let mut conversation = Conversation::new(account.directory(), most_requests);
        let url = account.directory().to_owned();
        conversation.ask(Question { stage: Stage::Directory, url, form: Form::Get, accept: JSON }, 0);
        Self {
            account,
            wish,
            conversation,
            at: At::Directory,
            directory: None,
            registered_anew: false,
            order: String::new(),
            finalize: String::new(),
            certificate: String::new(),
            authorizations: Vec::new(),
            proofs: Vec::new(),
            wanted: None,
            polls: 0,
        }
    }

    /// The account, with its URL once it is registered.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What is to be done at `now`, seconds since 1970.
    pub fn step(&mut self, now: u64) -> Step<Issued> {
        match &self.at {
            At::Done(issued) => return Step::Done(issued.clone()),
            At::Failed(failure) => return Step::Failed(failure.clone()),
            At::Serve => return Step::Serve(self.proofs.iter().map(|(_, _, challenge)| challenge.clone()).collect()),
            _ => {}
        }
        match self.conversation.turn(Some(&self.account), now) {
            Ok(Turn::Request(request)) => Step::Request(request),
            Ok(Turn::Wait(time)) => Step::Wait(time),
            Err(failure) => {
                self.at = At::Failed(failure.clone());
                Step::Failed(failure)
            }
        }
    }

    /// Every challenge of [`Step::Serve`] is answered now, wherever the server may ask.
    pub fn served(&mut self) {
        if matches!(self.at, At::Serve) {
            self.trigger(0);
        }
    }

    /// The answer to the request of [`Step::Request`].
    pub fn answered(&mut self, answer: &Answer, now: u64) {
        match self.conversation.answered(answer, now) {
            Outcome::Pending => {}
            Outcome::Answered => {
                if let Err(failure) = self.advance(answer, now) {
                    self.at = At::Failed(failure);
                }
            }
            Outcome::Failed(failure) => self.failed(failure, now),
        }
    }

    /// The request of [`Step::Request`] came to nothing: refused, cut, timed out, longer than [`super::MOST_ANSWER`].
    pub fn unanswered(&mut self, why: &str, now: u64) {
        if let Outcome::Failed(failure) = self.conversation.unanswered(why, now) {
            self.failed(failure, now);
        }
    }

    /// Some refusals are no end.
    fn failed(&mut self, failure: Failure, now: u64) {
        match self.at {
            At::Order if failure.is("accountDoesNotExist") && !self.registered_anew => {
                self.registered_anew = true;
                self.account.set_url(None);
                self.register();
            }
            // It was replaced already, or was not this account's: a certificate comes before what the server knows of the old.
            At::Order
                if self.wish.replaces.is_some()
                    && ["alreadyReplaced", "unauthorized", "malformed"].iter().any(|kind| failure.is(kind)) =>
            {
                self.wish.replaces = None;
                self.place();
            }
            // It was taken, but the answer was lost: what it came to is asked for.
            At::Trigger(index) if failure.is("malformed") => self.poll(At::Proved(index), now),
            At::Finalize if failure.is("orderNotReady") => self.poll(At::Issued, now),
            _ => self.at = At::Failed(failure),
        }
    }

    fn advance(&mut self, answer: &Answer, now: u64) -> Result<(), Failure> {
        match self.at {
            At::Directory => self.directory(answer),
            At::Account => self.registered(answer),
            At::Order => self.placed(answer, now),
            At::Authorization(index) => self.authorization(index, answer, now),
            At::Trigger(index) => {
                self.polls = 0;
                self.poll_after(At::Proved(index), answer, now);
                Ok(())
            }
            At::Proved(index) => self.proved(index, answer, now),
            At::Ready | At::Finalize | At::Issued => {
                let stage = if matches!(self.at, At::Ready) { Stage::Challenge } else { Stage::Finalize };
                let order = read::<wire::Order>(stage, answer)?;
                self.ordered(stage, &order, answer, now)
            }
            At::Download => self.downloaded(answer),
            At::Serve | At::Done(_) | At::Failed(_) => Ok(()),
        }
    }

    fn directory(&mut self, answer: &Answer) -> Result<(), Failure> {
        let stage = Stage::Directory;
        let directory = read::<wire::Directory>(stage, answer)?;
        for url in [&directory.new_nonce, &directory.new_account, &directory.new_order] {
            self.url(stage, url)?;
        }
        if let Some(profile) = &self.wish.profile
            && !directory.meta.profiles.contains_key(profile)
        {
            let offered: Vec<&str> = directory.meta.profiles.keys().take(20).map(String::as_str).collect();
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            let offered = super::problem::told(&offered, 500);
            return Err(Failure::unmet(stage, format!("no profile `{profile}`; the server offers: {offered}")));
        }
        self.conversation.use_nonces_of(&directory);
        let unknown = self.account.url().is_none();
        if let Some(terms) = directory.meta.terms_of_service.as_ref().filter(|_| unknown && !self.wish.terms_agreed) {
            let terms = super::problem::told(terms, 500);
            return Err(Failure::unmet(Stage::Account, format!("the terms of service must be agreed to: {terms}")));
        }
        if directory.meta.external_account_required && unknown && !self.account.is_bound() {
            let what = "the server registers only accounts that are bound to a customer: it needs the identifier and the \
                        key that its operator gives out";
            return Err(Failure::unmet(Stage::Account, what));
        }
        self.directory = Some(directory);
        if unknown {
            self.register();
        } else {
            self.place();
        }
        Ok(())
    }

    fn register(&mut self) {
        let Some(directory) = &self.directory else { return };
        let url = directory.new_account.clone();
        let mut payload = json!({ "termsOfServiceAgreed": self.wish.terms_agreed });
        if let Some(email) = self.account.email() {
            payload["contact"] = json!([format!("mailto:{email}")]);
        }
        if let Some(binding) = self.account.binding_for(&url) {
            payload["externalAccountBinding"] = binding;
        }
        self.ask(At::Account, Stage::Account, url, Signer::Jwk, payload.to_string(), 0);
    }

    fn registered(&mut self, answer: &Answer) -> Result<(), Failure> {
        let stage = Stage::Account;
        let status = read::<wire::Account>(stage, answer)?.status;
        if status != "valid" {
            let status = super::problem::told(&status, 100);
            return Err(Failure::unmet(stage, format!("the account is {status}: it needs a new key")));
        }
        let url = self.location(stage, answer)?;
        self.account.set_url(Some(url));
        self.place();
        Ok(())
    }

    fn place(&mut self) {
        let Some(directory) = &self.directory else { return };
        let names = &self.wish.names;
        let identifiers: Vec<_> =
            names.iter().map(|name| json!({ "type": name.kind(), "value": name.to_string() })).collect();
        let mut payload = json!({ "identifiers": identifiers });
        if let Some(profile) = &self.wish.profile {
            payload["profile"] = profile.as_str().into();
        }
        if let Some(id) = self.wish.replaces.as_ref().filter(|_| directory.renewal_info.is_some()) {
            payload["replaces"] = id.as_str().into();
        }
        let url = directory.new_order.clone();
        self.ask(At::Order, Stage::Order, url, Signer::Kid, payload.to_string(), 0);
    }

    fn placed(&mut self, answer: &Answer, now: u64) -> Result<(), Failure> {
        let stage = Stage::Order;
        let order = read::<wire::Order>(stage, answer)?;
        self.order = self.location(stage, answer)?;
        self.url(stage, &order.finalize)?;
        self.finalize.clone_from(&order.finalize);
        if order.authorizations.len() > MOST_NAMES {
            return Err(Failure::unreadable(stage, format!("more than {MOST_NAMES} authorizations")));
        }
        for url in &order.authorizations {
            self.url(stage, url)?;
        }
        self.authorizations.clone_from(&order.authorizations);
        if order.status == Status::Pending {
            self.next_authorization(0, now);
            return Ok(());
        }
        self.ordered(stage, &order, answer, now)
    }

    fn next_authorization(&mut self, index: usize, now: u64) {
        match self.authorizations.get(index).cloned() {
            Some(url) => self.get(At::Authorization(index), Stage::Authorization, url, JSON, 0),
            None if self.proofs.is_empty() => self.poll(At::Ready, now),
            None => self.at = At::Serve,
        }
    }

    fn authorization(&mut self, index: usize, answer: &Answer, now: u64) -> Result<(), Failure> {
        let stage = Stage::Authorization;
        let authorization = read::<wire::Authorization>(stage, answer)?;
        let name = Identifier::parse(&authorization.identifier.value)
            .ok()
            .filter(|name| authorization.identifier.kind == name.kind() && self.wish.names.contains(name));
        let Some(name) = name else {
            return Err(Failure::unreadable(stage, "an authorization for a name that was not asked for"));
        };
        match authorization.status {
            Status::Valid => {}
            Status::Pending => {
                let kind = self.wish.challenge;
                let Some(challenge) = authorization.challenges.iter().find(|one| one.kind == kind.name()) else {
                    let offered: Vec<&str> =
                        authorization.challenges.iter().take(10).map(|one| one.kind.as_str()).collect();
                    let offered = super::problem::told(&offered.join(", "), 200);
                    let what = format!("{name}: no {} challenge; the server offers: {offered}", kind.name());
                    return Err(Failure::unmet(stage, what));
                };
                let url = self.url(stage, &challenge.url)?.to_owned();
                let token = challenge.token.as_deref().unwrap_or_default();
                let answer = Challenge::new(kind, &name, token, &self.account)
                    .ok_or_else(|| Failure::unreadable(stage, "a challenge without a token in base64url"))?;
                self.proofs.push((self.authorizations[index].clone(), url, answer));
            }
            _ => return Err(refused(stage, &authorization)),
        }
        self.next_authorization(index + 1, now);
        Ok(())
    }

    fn trigger(&mut self, index: usize) {
        if let Some((_, url, _)) = self.proofs.get(index) {
            let url = url.clone();
            self.ask(At::Trigger(index), Stage::Challenge, url, Signer::Kid, "{}".to_owned(), 0);
        }
    }

    fn proved(&mut self, index: usize, answer: &Answer, now: u64) -> Result<(), Failure> {
        let stage = Stage::Challenge;
        let authorization = read::<wire::Authorization>(stage, answer)?;
        match authorization.status {
            Status::Pending | Status::Processing => self.poll_again(At::Proved(index), stage, answer, now),
            Status::Valid if index + 1 < self.proofs.len() => {
                self.trigger(index + 1);
                Ok(())
            }
            Status::Valid => {
                self.poll(At::Ready, now);
                Ok(())
            }
            _ => Err(refused(stage, &authorization)),
        }
    }

    /// What an order's state asks for.
    fn ordered(&mut self, stage: Stage, order: &wire::Order, answer: &Answer, now: u64) -> Result<(), Failure> {
        match (order.status, &self.at) {
            (Status::Valid, _) => {
                let Some(certificate) = &order.certificate else {
                    return Err(Failure::unreadable(stage, "a valid order without its certificate"));
                };
                if self.wanted.is_none() {
                    return Err(Failure::unreadable(stage, "a certificate that was not asked for"));
                }
                self.url(stage, certificate)?.clone_into(&mut self.certificate);
                self.get(At::Download, Stage::Certificate, self.certificate.clone(), PEM, 0);
                Ok(())
            }
            // After the request was handed in, `ready` is a state that is still to change.
            (Status::Ready, At::Order | At::Ready) => self.finalize(),
            (Status::Pending, At::Ready) => self.poll_again(At::Ready, stage, answer, now),
            (Status::Processing | Status::Ready, At::Finalize | At::Issued) => {
                self.poll_again(At::Issued, stage, answer, now)
            }
            _ => {
                let problem = order.error.as_ref().map(|problem| Problem::from_wire(problem, 1));
                let cause = match problem {
                    Some(problem) => Cause::Refused(Box::new(problem)),
                    None => Cause::Unreadable(format!("the order is {}", order.status.name())),
                };
                Err(Failure::new(stage, cause))
            }
        }
    }

    fn finalize(&mut self) -> Result<(), Failure> {
        let stage = Stage::Finalize;
        let wanted = Wanted::new(&self.wish.names).ok_or_else(|| Failure::unmet(stage, "no key could be made"))?;
        let payload = json!({ "csr": wanted.csr }).to_string();
        self.wanted = Some(wanted);
        self.polls = 0;
        self.ask(At::Finalize, stage, self.finalize.clone(), Signer::Kid, payload, 0);
        Ok(())
    }

    fn downloaded(&mut self, answer: &Answer) -> Result<(), Failure> {
        let stage = Stage::Certificate;
        let wanted = self.wanted.as_ref().ok_or_else(|| Failure::unreadable(stage, "nothing was asked for"))?;
        let issued = wanted.issued(&answer.body).map_err(|how| Failure::unreadable(stage, how))?;
        self.at = At::Done(Box::new(issued));
        Ok(())
    }

    /// Asks for a state for the first time.
    fn poll(&mut self, at: At, now: u64) {
        self.polls = 0;
        self.poll_at(at, now);
    }

    fn poll_again(&mut self, at: At, stage: Stage, answer: &Answer, now: u64) -> Result<(), Failure> {
        if self.polls >= MOST_POLLS {
            return Err(Failure::new(stage, Cause::TooLong));
        }
        if answer.retry_after(now).is_some_and(|wait| wait.as_secs() > MOST_WAIT) {
            return Err(Failure { stage, cause: Cause::TooLong, retry_after: answer.retry_after(now) });
        }
        self.poll_after(at, answer, now);
        Ok(())
    }

    /// Asks after the time the server named, or after 1, 2, 4 and then every 5 seconds.
    fn poll_after(&mut self, at: At, answer: &Answer, now: u64) {
        let own = [1, 2, 4].get(self.polls as usize).copied().unwrap_or(5);
        let wait = answer.retry_after(now).map_or(own, |wait| wait.as_secs().clamp(1, MOST_WAIT));
        self.polls += 1;
        self.poll_at(at, now.saturating_add(wait));
    }

    fn poll_at(&mut self, at: At, not_before: u64) {
        let (stage, url) = match &at {
            At::Proved(index) => (Stage::Challenge, self.proofs[*index].0.clone()),
            At::Ready => (Stage::Challenge, self.order.clone()),
            _ => (Stage::Finalize, self.order.clone()),
        };
        self.get(at, stage, url, JSON, not_before);
    }

    fn get(&mut self, at: At, stage: Stage, url: String, accept: &'static str, not_before: u64) {
        let form = Form::Signed(Signer::Kid, String::new());
        self.conversation.ask(Question { stage, url, form, accept }, not_before);
        self.at = at;
    }

    fn ask(&mut self, at: At, stage: Stage, url: String, signer: Signer, payload: String, not_before: u64) {
        let form = Form::Signed(signer, payload);
        self.conversation.ask(Question { stage, url, form, accept: JSON }, not_before);
        self.at = at;
    }

    fn url<'a>(&self, stage: Stage, url: &'a str) -> Result<&'a str, Failure> {
        let named = || Failure::unreadable(stage, format!("`{}` is no URL to go to", super::problem::told(url, 200)));
        self.conversation.allowed(url).ok_or_else(named)
    }

    fn location(&self, stage: Stage, answer: &Answer) -> Result<String, Failure> {
        let url = answer.header("Location").ok_or_else(|| Failure::unreadable(stage, "no `Location`"))?;
        self.url(stage, url).map(str::to_owned)
    }
}

/// What an authorization that is not valid says: the error of its challenge, and the name.
fn refused(stage: Stage, authorization: &wire::Authorization) -> Failure {
    let name = super::problem::told(&authorization.identifier.value, 253);
    let error = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
    let cause = match error {
        Some(error) => {
            let problem = Problem::from_wire(error, 1);
            Cause::Refused(Box::new(Problem { about: problem.about.clone().or(Some(name)), ..problem }))
        }
        None => Cause::Refused(Box::new(Problem {
            detail: format!("the authorization is {}", authorization.status.name()),
            about: Some(name),
            ..Problem::default()
        })),
    };
    Failure::new(stage, cause)
}

pub(super) fn read<T: DeserializeOwned>(stage: Stage, answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|why| Failure::unreadable(stage, super::problem::told(&why.to_string(), 200)))
}
