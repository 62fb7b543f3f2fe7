//! OCSP responses (RFC 6960) are fetched from the issuers of certificates: half way to the end of the last one, and again and
//! again where that fails.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::config::LogLevel;
use anygate_proto::tls::Identity;
use anygate_proto::tls::ocsp::Staple;

use super::Control;
use super::certificates::{called, date};
use super::fetch::{Request, fetch};

/// The fields of a request for an OCSP response (RFC 6960 §A.1).
const FIELDS: [(&str, &str); 2] =
    [("Content-Type", "application/ocsp-request"), ("Accept", "application/ocsp-response")];
/// Longest OCSP response.
const RESPONSE_MOST: usize = 64 << 10;
/// How long an issuer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Issuers that are asked at once.
const AT_ONCE: usize = 4;
/// How soon it is asked again after a failure; twice as long after each further one.
const AGAIN_SECONDS: u64 = 60;
/// The longest pause between two tries, and where a certificate demands a response that it does not have.
const AGAIN_MOST_SECONDS: u64 = 3600;
const AGAIN_MOST_DEMANDED_SECONDS: u64 = 600;
/// How often there is a new one where a response does not say.
const UNDATED_SECONDS: u64 = 12 * 3600;
/// How often the log is told that there is none still.
const TOLD_AGAIN_SECONDS: u64 = 86_400;

/// When to ask for which certificate, by their fingerprints.
#[derive(Debug, Default)]
pub(super) struct Schedule(BTreeMap<[u8; 32], Asked>);

/// What came of asking so far; times are seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    next: u64,
    failures: u32,
    /// When the question was sent that is under way.
    since: Option<u64>,
    /// When the log was told of a failure.
    told: Option<u64>,
}

/// A certificate to ask for.
struct Question {
    identity: Arc<Identity>,
    url: String,
    body: Vec<u8>,
}

impl Schedule {
    /// The certificates that are due, which are under way then; others than those that are there are forgotten.
    fn due<'i>(&mut self, identities: impl Iterator<Item = &'i Arc<Identity>>, now: u64) -> Vec<Question> {
        let mut before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        let is_open =
            |asked: &Asked| asked.since.is_some_and(|since| now.saturating_sub(since) <= 2 * PATIENCE.as_secs());
        let mut open = before.values().filter(|asked| is_open(asked)).count();
        for identity in identities {
            let fingerprint = identity.facts().fingerprint;
            let first = || Asked {
                next: identity.staple().map_or(0, |staple| refresh(&staple, identity, now)),
                ..Asked::default()
            };
            let mut asked = before.remove(&fingerprint).unwrap_or_else(first);
            if asked.next <= now
                && !is_open(&asked)
                && open < AT_ONCE
                && let (Some(url), Some(body)) = (&identity.facts().ocsp_url, identity.ocsp_request())
            {
                asked.since = Some(now);
                open += 1;
                due.push(Question { identity: Arc::clone(identity), url: url.to_string(), body });
            }
            self.0.insert(fingerprint, asked);
        }
        due
    }

    /// There is a response for a certificate.
    fn answered(&mut self, identity: &Identity, staple: Option<Staple>, now: u64) {
        if let Some(asked) = self.0.get_mut(&identity.facts().fingerprint) {
            let next = staple.map_or(now + UNDATED_SECONDS, |staple| refresh(&staple, identity, now));
            *asked = Asked { next, ..Asked::default() };
        }
    }

    /// There is none; says whether the log is to be told.
    fn failed(&mut self, identity: &Identity, now: u64) -> bool {
        let Some(asked) = self.0.get_mut(&identity.facts().fingerprint) else { return false };
        let demanded = identity.facts().must_staple && identity.staple().is_none();
        let most = if demanded { AGAIN_MOST_DEMANDED_SECONDS } else { AGAIN_MOST_SECONDS };
        asked.next = now + (AGAIN_SECONDS << asked.failures.min(10)).min(most);
        asked.failures += 1;
        asked.since = None;
        let tell = asked.told.is_none_or(|told| now.saturating_sub(told) >= TOLD_AGAIN_SECONDS);
        if tell {
            asked.told = Some(now);
        }
        tell
    }
}

/// When to ask for the next one: half way to the end, and a little later, each certificate at another moment. Where that is
/// past, as the issuer gives out old ones, half way through what is left.
fn refresh(staple: &Staple, identity: &Identity, now: u64) -> u64 {
    let Some(end) = staple.next_update else { return now + UNDATED_SECONDS };
    let half = end.saturating_sub(staple.this_update) / 2;
    let spread = half / 8 * u64::from(identity.facts().fingerprint[0]) / 256;
    let planned = staple.this_update + half + spread;
    if planned > now { planned } else { now + (end.saturating_sub(now) / 2).clamp(AGAIN_SECONDS, AGAIN_MOST_SECONDS) }
}

impl Control {
    /// Asks for the OCSP responses that are due, a few at a time.
    pub(super) fn ask_for_staples(self: &Rc<Self>) {
        let now = self.shard.unix_time();
        let due = {
            let state = &mut *self.state.borrow_mut();
            state.staples.due(state.certificates.credentials().to_be_stapled(), now)
        };
        for question in due {
            let control = Rc::clone(self);
            self.shard.spawn(async move {
                control.ask_for_staple(question).await;
                control.ask_for_staples();
            });
        }
    }

    async fn ask_for_staple(&self, question: Question) {
        let Question { identity, url, body } = question;
        let request = Request {
            method: "POST",
            url: &url,
            fields: &FIELDS,
            body: &body,
            limit: RESPONSE_MOST,
            timeout: PATIENCE,
            trust: None,
        };
        let response = match fetch(&self.shard, &request).await {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(format!("the answer's status is {}", answer.status)),
            Err(error) => Err(error.to_string()),
        };
        let now = self.shard.unix_time();
        let state = &mut *self.state.borrow_mut();
        let fingerprint = identity.facts().fingerprint;
        let stapled = response.and_then(|response| {
            let stapled = state.certificates.change(|kept| kept.staple(&fingerprint, &response, now));
            stapled.map_err(|fault| fault.to_string())
        });
        let names = called(&identity);
        match stapled {
            Ok(staple) => {
                state.staples.answered(&identity, staple, now);
                let until = staple.map_or_else(|| "unknown".to_owned(), |staple| date(staple.until()));
                self.log.info("an OCSP response was fetched", &[("names", &names), ("until", &until)]);
            }
            Err(why) => {
                if !state.staples.failed(&identity, now) {
                    return;
                }
                let demanded = identity.facts().must_staple && identity.staple().is_none();
                let (level, message) = if demanded {
                    (
                        LogLevel::Error,
                        "an OCSP response cannot be had, and its certificate demands one: clients may refuse it",
                    )
                } else {
                    (LogLevel::Warn, "an OCSP response cannot be had; it is tried again")
                };
                self.log.write(level, message, &[("names", &names), ("responder", &url), ("why", &why)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CertifiedIssuer, CustomExtension, KeyPair};

    use super::*;

    /// Certificates whose issuer has a responder; those that demand a response.
    fn identities(count: usize, demanding: bool) -> Vec<Arc<Identity>> {
        let params = CertificateParams::new([]).unwrap();
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let one = |number| {
            let mut params = CertificateParams::new([format!("{number}.test")]).unwrap();
            let access = b"\x30\x17\x30\x15\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x09http://o/";
            let extension = |oid: &[u64], content: &[u8]| CustomExtension::from_oid_content(oid, content.to_vec());
            params.custom_extensions.push(extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access));
            if demanding {
                params.custom_extensions.push(extension(&[1, 3, 6, 1, 5, 5, 7, 1, 24], &[0x30, 3, 2, 1, 5]));
            }
            let key = KeyPair::generate().unwrap();
            let chain = params.signed_by(&key, &issuer).unwrap().pem() + &issuer.pem();
            Arc::new(Identity::load(chain.as_bytes(), key.serialize_pem().as_bytes(), None, 0).unwrap())
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_responder_that_fails_is_asked_again_after_longer_and_longer_and_told_of_once_a_day() {
        for (demanding, most) in [(false, AGAIN_MOST_SECONDS), (true, AGAIN_MOST_DEMANDED_SECONDS)] {
            let (mut schedule, identities) = (Schedule::default(), identities(1, demanding));
            let (mut now, mut told) = (1_000_000, 0);
            for round in 0..40 {
                assert_eq!(schedule.due(identities.iter(), now).len(), 1, "round {round}");
                assert_eq!(schedule.due(identities.iter(), now).len(), 0, "it is under way");
                told += u32::from(schedule.failed(&identities[0], now));
                let pause = (AGAIN_SECONDS << round.min(20)).min(most);
                assert_eq!(schedule.due(identities.iter(), now + pause - 1).len(), 0, "round {round}");
                now += pause;
            }
            assert_eq!(u64::from(told), 1 + (now - 1_000_000 - most) / TOLD_AGAIN_SECONDS);
        }
    }

    #[test]
    fn few_are_asked_at_once_and_one_who_never_answers_is_asked_again() {
        let (mut schedule, identities) = (Schedule::default(), identities(AT_ONCE + 2, false));
        assert_eq!(schedule.due(identities.iter(), 1000).len(), AT_ONCE);
        schedule.answered(&identities[0], None, 1000);
        assert_eq!(schedule.due(identities.iter(), 1000).len(), 1);
        assert_eq!(schedule.due(identities.iter(), 1000 + 2 * PATIENCE.as_secs()).len(), 0);
        assert_eq!(schedule.due(identities.iter(), 1001 + 2 * PATIENCE.as_secs()).len(), AT_ONCE);
        assert!(schedule.due(identities[..1].iter(), 1002 + UNDATED_SECONDS).len() == 1 && schedule.0.len() == 1);
    }

    #[test]
    fn the_next_response_is_asked_for_half_way_and_before_the_end() {
        let identity = &identities(1, false)[0];
        let week = Staple { this_update: 1_000_000, next_update: Some(1_000_000 + 604_800) };
        let planned = refresh(&week, identity, 1_000_100);
        assert!((1_302_400..1_302_400 + 37_800).contains(&planned), "{planned}");
        // Past that, as the responder gives out old ones: not at once, and before the end while there is time.
        for late in [1_400_000, 1_604_000, 1_604_799, 1_700_000] {
            let next = refresh(&week, identity, late);
            assert!((late + AGAIN_SECONDS..=late + AGAIN_MOST_SECONDS).contains(&next), "{late}: {next}");
        }
        assert_eq!(refresh(&Staple { next_update: None, ..week }, identity, 5), 5 + UNDATED_SECONDS);
    }
}
