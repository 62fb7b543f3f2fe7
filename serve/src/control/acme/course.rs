//! The way of one certificate: what was kept of it, when it is ordered, who is asked, and what the log says of it.

use std::cell::Cell;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::config::{Acme, AcmeChallenge, LogLevel};
use anygate_proto::acme::{
    self, Account, Attempts, Cause, Challenge, ChallengeKind, Enquiry, Entry, Facts, Failure, Identifier, Issuance,
    Issued, MOST_ANSWER, Next, Schedule, Stage, Step, Suggestion, Wish, store,
};
use anygate_proto::tls::Identity;

use super::Busy;
use super::storage::Storage;
use crate::challenges::Challenges;
use crate::compile::acme::{GIVER, names};
use crate::control::certificates::date;
use crate::control::fetch::{self, Trust, fetch};
use crate::control::{Control, Order};

/// How long one request to the authority may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon storage that is of no use is tried again, and a lock that another process has.
const AGAIN: Duration = Duration::from_secs(30);
const LOCKED: Duration = Duration::from_secs(2);
/// How long it is waited for shards to answer challenges, and how often it is looked.
const READY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
/// Where less than this is left of the certificate that is served, a failure to renew it is an error.
const PRESSING: u64 = 7 * 86_400;

/// The way of one certificate.
pub(super) struct Course {
    control: Rc<Control>,
    settings: Acme,
    names: Vec<Identifier>,
    storage: Storage,
    /// True while an order is under way.
    busy: Rc<Cell<bool>>,
    /// The log was told that the storage is of no use.
    useless_told: Cell<bool>,
}

/// What was kept, and what becomes of it.
struct State {
    /// As [`Account::entry`] wrote it.
    account: Vec<u8>,
    /// The certificate that is kept.
    facts: Option<Facts>,
    /// The same, as listeners show it.
    identity: Option<Arc<Identity>>,
    schedule: Schedule,
    /// A number of this server's own.
    jitter: u64,
    /// Another process was seen to order.
    other_told: bool,
}

/// Challenges that the shards answer, until this is dropped.
struct Published(Rc<Control>);

impl Drop for Published {
    fn drop(&mut self) {
        self.0.order_all(|_| Order::Challenges(Arc::default()));
    }
}

impl Course {
    pub(super) fn new(control: Rc<Control>, settings: Acme, busy: Rc<Cell<bool>>) -> Self {
        let storage = Storage::new(&settings.storage.path, &settings.directory);
        Self { names: names(&settings), control, settings, storage, busy, useless_told: Cell::new(false) }
    }

    /// Orders and renews, until this is dropped.
    pub(super) async fn run(self) {
        let mut state = loop {
            match self.begin().await {
                Ok(state) => break state,
                Err(why) => self.useless_storage(&why).await,
            }
        };
        self.tell_of_kept(&state);
        loop {
            self.show(&state);
            match state.schedule.next(self.now()) {
                Next::Wait(time) => {
                    self.control.shard.sleep(time).await;
                    self.look_again(&mut state).await;
                }
                Next::Enquire { id } => self.enquire(&mut state, &id).await,
                Next::Order { replaces } => {
                    let _busy = Busy::begin(&self.busy);
                    self.order(&mut state, replaces).await;
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.control.shard.unix_time()
    }

    /// Does something with files, on a thread that may wait for them.
    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Storage) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let storage = self.storage.clone();
        match self.control.shard.blocking(move || work(&storage)).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(gone) => Err(gone.to_string()),
        }
    }

    async fn read(&self, name: String) -> Result<Option<Vec<u8>>, String> {
        let told = name.clone();
        self.files(move |storage| storage.read(&name)).await.map_err(|why| format!("`{told}`: {why}"))
    }

    async fn write(&self, entry: Entry) -> Result<(), String> {
        let told = entry.name.clone();
        self.files(move |storage| storage.write(&entry)).await.map_err(|why| format!("`{told}`: {why}"))
    }

    async fn useless_storage(&self, why: &str) {
        if !self.useless_told.replace(true) {
            let place = self.settings.storage.path.display();
            self.log(
                LogLevel::Error,
                "no certificate can be ordered before its storage can be used",
                &[("storage", &place), ("why", &why)],
            );
        }
        self.control.shard.sleep(AGAIN).await;
    }

    /// What was kept; a new account where there is none, which is kept before it is used.
    async fn begin(&self) -> Result<State, String> {
        self.files(Storage::make).await?;
        let directory = &self.settings.directory;
        let account_name = store::account_name(directory);
        let account = match self.read(account_name.clone()).await? {
            Some(account) => {
                let read = Account::read(&account).map_err(|why| format!("`{account_name}`: {why}"))?;
                if read.directory() != directory {
                    return Err(format!("`{account_name}` is an account with `{}`", read.directory()));
                }
                let (storage, name) = (self.storage.clone(), account_name.clone());
                if self.files(move |_| Ok(storage.is_open_to_others(&name))).await? {
                    let place = self.settings.storage.path.join(account_name);
                    self.log(
                        LogLevel::Warn,
                        "others may read the key of the account: it should have mode 0600",
                        &[("file", &place.display())],
                    );
                }
                account
            }
            None => {
                let account =
                    Account::generate(directory, self.settings.email.as_deref()).map_err(|why| why.to_string())?;
                let entry = account.entry();
                let bytes = entry.bytes.clone();
                self.write(entry).await?;
                bytes
            }
        };
        let thumbprint = Account::read(&account).map_err(|why| why.to_string())?.thumbprint();
        let mut hasher = DefaultHasher::new();
        (thumbprint, &self.names).hash(&mut hasher);
        let jitter = hasher.finish();
        let kept = self.kept().await?;
        let identity = kept.as_ref().and_then(|issued| self.identity(issued));
        let facts = kept.map(|issued| issued.facts);
        let schedule = self.schedule(facts.clone(), jitter).await?;
        Ok(State { account, facts, identity, schedule, jitter, other_told: false })
    }

    /// The certificate that is kept; none where there is none of use.
    async fn kept(&self) -> Result<Option<Issued>, String> {
        let Some(first) = self.names.first() else { return Ok(None) };
        let name = store::certificate_name(&self.settings.directory, first);
        let Some(bytes) = self.read(name.clone()).await? else { return Ok(None) };
        match Issued::read(&bytes) {
            Ok(issued) => Ok(Some(issued)),
            Err(why) => {
                self.log(
                    LogLevel::Warn,
                    "the certificate that was kept is of no use: a new one is ordered",
                    &[("file", &name), ("why", &why)],
                );
                Ok(None)
            }
        }
    }

    async fn schedule(&self, facts: Option<Facts>, jitter: u64) -> Result<Schedule, String> {
        let attempts = match self.names.first() {
            Some(first) => self.read(store::attempts_name(&self.settings.directory, first)).await?,
            None => None,
        };
        let attempts = attempts.map(|bytes| Attempts::read(&bytes)).unwrap_or_default();
        Ok(Schedule::new(&self.names, facts, attempts, jitter))
    }

    /// Takes up what another process, or a person, put into the storage since it was last looked at; whether there was
    /// something.
    async fn look_again(&self, state: &mut State) -> bool {
        let Ok(Some(issued)) = self.kept().await else { return false };
        if state.facts.as_ref() == Some(&issued.facts) {
            return false;
        }
        let Ok(schedule) = self.schedule(Some(issued.facts.clone()), state.jitter).await else { return false };
        state.identity = self.identity(&issued);
        (state.facts, state.schedule) = (Some(issued.facts), schedule);
        self.show(state);
        self.tell_of_kept(state);
        true
    }

    async fn enquire(&self, state: &mut State, id: &str) {
        let came = match self.trust().await {
            Ok(trust) => self.ask_when(id, &trust).await,
            Err(why) => {
                self.log(LogLevel::Warn, "the authority cannot be asked when to renew", &[("why", &why)]);
                return self.control.shard.sleep(AGAIN).await;
            }
        };
        if let Err(failure) = &came {
            self.log(LogLevel::Info, "the authority did not say when to renew; the plan stays", &[("why", failure)]);
        }
        let before = state.schedule.due();
        let explanation = came.as_ref().ok().and_then(|one| one.as_ref()?.explanation.clone());
        let said = match &came {
            Ok(suggestion) => Ok(suggestion.clone()),
            Err(failure) => Err(failure),
        };
        state.schedule.enquired(said, self.now());
        let due = state.schedule.due();
        if due != before {
            let why = explanation.unwrap_or_default();
            self.log(LogLevel::Info, "the authority says when to renew", &[("due", &date(due)), ("why", &why)]);
        }
        self.keep_attempts(state).await;
    }

    async fn ask_when(&self, id: &str, trust: &Trust) -> Result<Option<Suggestion>, Failure> {
        let mut enquiry = Enquiry::new(&self.settings.directory, id);
        loop {
            match enquiry.step(self.now()) {
                Step::Request(request) => match self.ask(&request, trust).await {
                    Ok(answer) => enquiry.answered(&answer, self.now()),
                    Err(why) => enquiry.unanswered(&why, self.now()),
                },
                Step::Wait(time) => self.control.shard.sleep(time).await,
                // An enquiry proves nothing.
                Step::Serve(_) => {}
                Step::Done(suggestion) => return Ok(*suggestion),
                Step::Failed(failure) => return Err(failure),
            }
        }
    }

    async fn order(&self, state: &mut State, replaces: Option<String>) {
        let _lock = match self.files(Storage::lock).await {
            Ok(Some(lock)) => lock,
            Ok(None) => return self.leave_to_other(state).await,
            Err(why) => return self.useless_storage(&why).await,
        };
        if self.look_again(state).await {
            // Another process ordered one while this one waited.
            return;
        }
        let trust = match self.trust().await {
            Ok(trust) => trust,
            Err(why) => {
                self.log(LogLevel::Error, "no certificate can be ordered", &[("why", &why)]);
                return self.control.shard.sleep(AGAIN).await;
            }
        };
        match self.issue(state, replaces, &trust).await {
            Ok(issued) => self.issued(state, issued).await,
            Err(why) => self.failed(state, &why).await,
        }
    }

    async fn leave_to_other(&self, state: &mut State) {
        if !std::mem::replace(&mut state.other_told, true) {
            let place = self.settings.storage.path.display();
            self.log(
                LogLevel::Info,
                "another process orders certificates with this storage; it is left to that",
                &[("storage", &place)],
            );
        }
        self.control.shard.sleep(LOCKED).await;
        self.look_again(state).await;
    }

    async fn issue(&self, state: &mut State, replaces: Option<String>, trust: &Trust) -> Result<Issued, Failure> {
        let (challenge, how) = match self.settings.challenge {
            AcmeChallenge::Http01 => (ChallengeKind::Http01, "http-01"),
            AcmeChallenge::TlsAlpn01 => (ChallengeKind::TlsAlpn01, "tls-alpn-01"),
        };
        self.log(
            LogLevel::Info,
            "a certificate is ordered",
            &[("directory", &self.settings.directory), ("challenge", &how)],
        );
        let (Ok(account), Some(wish)) = (Account::read(&state.account), Wish::new(&self.names, challenge)) else {
            let cause = Cause::Unmet("there is no account, or no name".to_owned());
            return Err(Failure { stage: Stage::Order, cause, retry_after: None });
        };
        let wish = wish.agreeing_to_terms().replacing(replaces.as_deref());
        let mut issuance = Issuance::new(account, wish);
        let mut published = None;
        let came = loop {
            match issuance.step(self.now()) {
                Step::Request(request) => match self.ask(&request, trust).await {
                    Ok(answer) => issuance.answered(&answer, self.now()),
                    Err(why) => {
                        self.log(
                            LogLevel::Warn,
                            "the authority does not answer; it is asked again for a while",
                            &[("url", &request.url), ("why", &why)],
                        );
                        issuance.unanswered(&why, self.now());
                    }
                },
                Step::Wait(time) => self.control.shard.sleep(time).await,
                Step::Serve(challenges) => {
                    published = Some(self.publish(&challenges).await);
                    issuance.served();
                }
                Step::Done(issued) => break Ok(*issued),
                Step::Failed(failure) => break Err(failure),
            }
        };
        drop(published);
        let account = issuance.account().entry();
        if account.bytes != state.account {
            state.account.clone_from(&account.bytes);
            let url = issuance.account().url().unwrap_or_default().to_owned();
            match self.write(account).await {
                Ok(()) => {
                    self.log(LogLevel::Info, "an account with the authority was registered", &[("account", &url)]);
                }
                // The key was kept before: the authority tells its account again.
                Err(why) => self.log(LogLevel::Warn, "the account's address could not be kept", &[("why", &why)]),
            }
        }
        came
    }

    /// Has every shard answer these; done once they do.
    async fn publish(&self, challenges: &[Challenge]) -> Published {
        let control = &self.control;
        let published = Published(Rc::clone(control));
        let open = match Challenges::new(challenges) {
            Ok(open) => Arc::new(open),
            Err(why) => {
                self.log(LogLevel::Error, "a challenge cannot be answered", &[("why", &why)]);
                return published;
            }
        };
        control.order_all(|_| Order::Challenges(Arc::clone(&open)));
        let (begun, shards) = (control.shard.now(), control.state.borrow().shards.len());
        while open.taken() < shards {
            if control.shard.now() - begun > READY {
                self.log(LogLevel::Warn, "not every shard answers the authority's challenges yet", &[]);
                break;
            }
            control.shard.sleep(LOOK).await;
        }
        published
    }

    async fn issued(&self, state: &mut State, issued: Issued) {
        let Some(first) = self.names.first() else { return };
        let entry = issued.entry(&self.settings.directory, first);
        // It was written to just now: this is for a disk that is full. Nothing is served that the next start would not find.
        while let Err(why) = self.write(entry.clone()).await {
            self.log(LogLevel::Error, "a certificate came and cannot be kept; it is tried again", &[("why", &why)]);
            self.control.shard.sleep(AGAIN).await;
        }
        state.identity = self.identity(&issued);
        self.show(state);
        state.facts = Some(issued.facts.clone());
        state.schedule.issued(issued.facts, self.now());
        self.keep_attempts(state).await;
        let (until, due) = state.facts.as_ref().map_or((0, 0), |facts| (facts.not_after, state.schedule.due()));
        self.log(LogLevel::Info, "a certificate was issued", &[("until", &date(until)), ("renewal", &date(due))]);
    }

    /// A certificate as listeners show it.
    fn identity(&self, issued: &Issued) -> Option<Arc<Identity>> {
        let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
        let identity = Identity::load(chain, key, None, self.now());
        let told = |why| self.log(LogLevel::Error, "the certificate that came cannot be served", &[("why", &why)]);
        identity.map_err(told).ok().map(Arc::new)
    }

    /// Has the listeners show what is kept from the next handshake on, where they do not: a reload shows what was there when
    /// it began.
    fn show(&self, state: &State) {
        if let Some(identity) = &state.identity
            && !self.control.is_given(GIVER, identity)
        {
            self.control.give(GIVER, Arc::clone(identity));
        }
    }

    async fn failed(&self, state: &mut State, why: &Failure) {
        let now = self.now();
        state.schedule.failed(why, now);
        self.keep_attempts(state).await;
        let wait = state.schedule.attempts().wait(now, state.jitter).as_secs();
        let left = state.facts.as_ref().map_or(0, |facts| facts.not_after.saturating_sub(now));
        let (level, served) = match left {
            0 => (LogLevel::Error, "none"),
            1..=PRESSING => (LogLevel::Error, "the old one, for a few days more"),
            _ => (LogLevel::Warn, "the old one"),
        };
        self.log(level, "no certificate was issued", &[("why", why), ("again_s", &wait), ("valid", &served)]);
    }

    async fn keep_attempts(&self, state: &State) {
        let Some(first) = self.names.first() else { return };
        let entry = state.schedule.attempts().entry(&self.settings.directory, first);
        if let Err(why) = self.write(entry).await {
            self.log(LogLevel::Warn, "what came of an order could not be kept", &[("why", &why)]);
        }
    }

    async fn trust(&self) -> Result<Trust, String> {
        let ca = self.settings.ca.as_ref().map(|place| place.path.clone());
        let read = move || match ca {
            Some(path) => Trust::of_file(&path),
            None => Trust::of_system(),
        };
        self.control.shard.blocking(read).await.map_err(|gone| gone.to_string())?
    }

    async fn ask(&self, request: &acme::Request, trust: &Trust) -> Result<acme::Answer, String> {
        let request = fetch::Request {
            method: request.method.as_str(),
            url: &request.url,
            fields: &request.headers,
            body: &request.body,
            limit: MOST_ANSWER,
            timeout: PATIENCE,
            trust: Some(trust),
        };
        let answer = fetch(&self.control.shard, &request).await.map_err(|error| error.to_string())?;
        Ok(acme::Answer { status: answer.status, headers: answer.headers, body: answer.body })
    }

    /// What is kept, for the log.
    fn tell_of_kept(&self, state: &State) {
        match &state.facts {
            Some(facts) => {
                let until = date(facts.not_after);
                // One that lacks a name is not waited for either.
                let due =
                    Some(state.schedule.due()).filter(|due| *due > self.now()).map_or_else(|| "now".to_owned(), date);
                self.log(LogLevel::Info, "a certificate was kept", &[("until", &until), ("renewal", &due)]);
            }
            None => self.log(LogLevel::Info, "there is no certificate yet; one that nobody vouches for stands in", &[]),
        }
        if state.schedule.attempts().failures > 0 {
            let attempts = state.schedule.attempts();
            let wait = attempts.wait(self.now(), state.jitter).as_secs();
            self.log(
                LogLevel::Warn,
                "the last order failed before this start",
                &[("why", &attempts.why), ("again_s", &wait)],
            );
        }
    }

    fn log(&self, level: LogLevel, message: &str, fields: &[(&str, &dyn Display)]) {
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let names = names.join(" ");
        let all: Vec<(&str, &dyn Display)> =
            [("names", &names as &dyn Display)].iter().chain(fields).copied().collect();
        self.control.log.write(level, message, &all);
    }
}
