//! Certificates that live: their files are looked at every few seconds, and what changed is served from the next handshake on;
//! the log is told of it, and of those that are about to expire.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::config::LogLevel;
use anygate_core::metrics::Gauge;
use anygate_proto::tls::{Expiry, Identity, Warning};

use super::{Control, Phase};
use crate::tls::{Credentials, Looked, News};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Looking takes at most this part of one thread's time: with very many files it is done less often.
const LOOK_PART: u32 = 100;
/// How often the log is told of a certificate that expires soon, or has.
const TOLD_AGAIN_SECONDS: u64 = 86_400;

/// What control keeps of certificates.
#[derive(Debug)]
pub(super) struct Keeping {
    credentials: Credentials,
    /// Counts changes, so that what was looked up for an earlier state is not taken for a later one.
    version: u64,
    /// What the log was told of certificates' ends, and when, by their fingerprints.
    told: BTreeMap<[u8; 32], (Expiry, u64)>,
}

impl Keeping {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, version: 0, told: BTreeMap::new() }
    }

    /// What is served now.
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Another configuration's are kept from now on.
    pub(super) fn replace(&mut self, mut next: Credentials) {
        next.take_over(&self.credentials);
        self.credentials = next;
        self.version += 1;
    }

    /// Changes what is kept and served.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Credentials) -> T) -> T {
        self.version += 1;
        change(&mut self.credentials)
    }

    /// Certificates of whose end the log is to be told now; `now` is in seconds since 1970.
    fn ends(&mut self, now: u64) -> Vec<(Expiry, Rc<str>, u64)> {
        let mut ends = Vec::new();
        let mut told = BTreeMap::new();
        for identity in self.credentials.identities() {
            let facts = identity.facts();
            let expiry = facts.expiry(now);
            if expiry == Expiry::Far || told.contains_key(&facts.fingerprint) {
                continue;
            }
            let before = self.told.get(&facts.fingerprint).copied();
            let known = before.filter(|(before, at)| *before == expiry && now.saturating_sub(*at) < TOLD_AGAIN_SECONDS);
            told.insert(facts.fingerprint, known.unwrap_or((expiry, now)));
            if known.is_none() {
                ends.push((expiry, called(identity).into(), facts.not_after));
            }
        }
        self.told = told;
        ends
    }
}

/// A certificate for people: its names, or who it is for.
pub(super) fn called(identity: &Identity) -> String {
    match identity.names() {
        [] => identity.facts().subject.to_string(),
        names => names.join(" "),
    }
}

/// Seconds since 1970 of each certificate's end.
pub(super) fn gauges(keeping: &Keeping) -> Vec<Gauge> {
    let gauge = |identity: &Arc<Identity>| Gauge {
        name: "tls_certificate_not_after_seconds",
        labels: vec![("names", called(identity)), ("serial", identity.facts().serial.to_string())],
        value: identity.facts().not_after,
    };
    keeping.credentials.identities().map(gauge).collect()
}

/// Nobody looks after certificates once this is dropped, by a panic too: the next reload has it begin again.
struct Watch(Rc<Control>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watching.set(false);
    }
}

impl Control {
    /// Looks after certificates while there are any.
    pub(super) fn watch_certificates(self: &Rc<Self>) {
        self.tell_ends();
        self.ask_for_staples();
        if self.state.borrow().certificates.credentials.is_empty() || self.watching.replace(true) {
            return;
        }
        let watch = Watch(Rc::clone(self));
        self.shard.spawn(async move {
            let Watch(control) = &watch;
            let mut pause = LOOK;
            loop {
                control.shard.sleep(pause).await;
                let state = || control.state.borrow();
                if state().certificates.credentials.is_empty() || state().phase == Phase::Stopping {
                    return;
                }
                let took = control.look_at_certificates().await;
                control.ask_for_staples();
                pause = LOOK.max(took * LOOK_PART);
            }
        });
    }

    /// Looks whether files changed, and serves what they hold now; says how long looking took.
    pub(super) async fn look_at_certificates(self: &Rc<Self>) -> Duration {
        let (credentials, version) = {
            let certificates = &self.state.borrow().certificates;
            (certificates.credentials.clone(), certificates.version)
        };
        let (begun, now) = (self.shard.now(), self.shard.unix_time());
        let looked = self.shard.blocking(move || credentials.look(now)).await;
        let took = self.shard.now() - begun;
        // What changed meanwhile is looked at next time.
        if let Ok(Some(looked)) = looked
            && self.state.borrow().certificates.version == version
        {
            self.take(looked);
        }
        self.tell_ends();
        took
    }

    /// Serves what a look at the files found.
    fn take(self: &Rc<Self>, looked: Looked) {
        let Looked { next, names, listeners, news } = looked;
        let mut renumbered = Vec::new();
        let say = names.is_some() || !listeners.is_empty();
        {
            let state = &mut *self.state.borrow_mut();
            if let Some(names) = names {
                next.resolver().replace(names);
            }
            for address in &listeners {
                let Some(built) = next.rebuilt(address) else { continue };
                let front = state.fronts.iter_mut().find(|(at, _)| at == address);
                match (built, front) {
                    (Ok(tls), Some((_, front))) => front.tls = Some(tls),
                    (Ok(_), None) => {}
                    (Err(why), _) => {
                        self.log.error("a listener cannot be set up anew", &[("listener", address), ("why", &why)]);
                    }
                }
            }
            if !listeners.is_empty() {
                renumbered = state.listeners.agree(|address| next.terms(address));
            }
            state.certificates.change(|kept| *kept = next);
        }
        if say {
            self.say_fronts();
        }
        self.renumber(&renumbered);
        news.iter().for_each(|news| self.tell(news));
    }

    /// A certificate that no file of the configuration holds is served from the next handshake on, in place of the one that
    /// the same giver brought before.
    pub(super) fn give(self: &Rc<Self>, giver: &'static str, identity: Arc<Identity>) {
        self.state.borrow_mut().certificates.change(|credentials| credentials.give(giver, identity));
        self.say_fronts();
        self.watch_certificates();
    }

    /// Whether this certificate of a giver is the one that is served, whatever is stapled to it.
    pub(super) fn is_given(&self, giver: &'static str, identity: &Identity) -> bool {
        let given = self.state.borrow().certificates.credentials.given(giver).cloned();
        given.is_some_and(|given| given.is_same(identity))
    }

    fn tell(&self, news: &News) {
        let log = &self.log;
        match news {
            News::Renewed(path, identity) | News::Added(path, identity) => {
                let message = match news {
                    News::Added(..) => "a certificate was added",
                    _ => "a certificate was read anew",
                };
                let facts = identity.facts();
                let (names, until) = (called(identity), date(facts.not_after));
                log.info(
                    message,
                    &[("file", &path.display()), ("names", &names), ("serial", &facts.serial), ("until", &until)],
                );
                // Of its end it is told by itself.
                let told = |warning: &&Warning| !matches!(warning, Warning::Expired(_) | Warning::ExpiresSoon(_));
                for warning in identity.warnings().iter().filter(told) {
                    log.warn("a certificate is odd", &[("file", &path.display()), ("what", warning)]);
                }
            }
            News::Gone(path) => log.info("a certificate was taken away", &[("file", &path.display())]),
            News::Broken(path, why) => log.error(
                "files of a certificate cannot be served; what was served before stays",
                &[("file", &path.display()), ("why", why)],
            ),
            News::Mended(path) => {
                log.info("files of a certificate are good again", &[("file", &path.display())]);
            }
            News::StapleOver(identity) => {
                let names = called(identity);
                if identity.facts().must_staple {
                    log.error(
                        "an OCSP response is over, and its certificate demands one: clients may refuse it",
                        &[("names", &names)],
                    );
                } else {
                    log.warn("an OCSP response is over and no longer stapled", &[("names", &names)]);
                }
            }
            News::Believed(path) => log.info(
                "authorities of clients' certificates were read anew; connections that began under others finish",
                &[("file", &path.display())],
            ),
        }
    }

    /// Tells the log of certificates that expire soon, or have: when that begins, and once a day.
    fn tell_ends(&self) {
        let now = self.shard.unix_time();
        let ends = self.state.borrow_mut().certificates.ends(now);
        for (expiry, names, end) in ends {
            let until = date(end);
            let (level, message) = match expiry {
                Expiry::Over => (LogLevel::Error, "a certificate has expired: clients refuse it"),
                _ => (LogLevel::Warn, "a certificate expires soon"),
            };
            let days = end.saturating_sub(now) / 86_400;
            self.log.write(level, message, &[("names", &names), ("until", &until), ("days_left", &days)]);
        }
    }
}

/// A second since 1970 in RFC 3339.
pub(super) fn date(second: u64) -> String {
    let (year, month, day) = anygate_proto::date::civil(second.min(anygate_proto::date::MAX) / 86_400);
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
