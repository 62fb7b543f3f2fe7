//! Whatever goes wrong at whatever request, once or for good: the order comes through or says what happened.

use anygate_proto::acme::{Answer, Cause, ChallengeKind, Issuance, MOST_ANSWER, Request, Stage};
use proptest::prelude::*;

use super::authority::problem;
use super::{Manner, NOW, World, account, well, wish};

type Spoil = fn(Answer) -> Result<Answer, &'static str>;

fn header(mut answer: Answer, name: &str, value: &str) -> Answer {
    answer.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
    answer.headers.push((name.to_owned(), value.to_owned()));
    answer
}

fn instead(by: Answer, answer: &Answer) -> Answer {
    let nonces = answer.headers.iter().filter(|(name, _)| name == "Replay-Nonce").cloned();
    let headers = by.headers.iter().cloned().chain(nonces).collect();
    Answer { headers, ..by }
}

/// What passes when it happens once.
const PASSING: &[(&str, Spoil)] = &[
    ("cut", |_| Err("connection reset")),
    ("500", |answer| Ok(instead(problem(500, "serverInternal", "oops"), &answer))),
    ("503", |answer| Ok(header(instead(problem(503, "", "busy"), &answer), "Retry-After", "17"))),
    ("502 of somebody else", |_| Ok(Answer { status: 502, body: b"<html>".to_vec(), ..Answer::default() })),
    ("429", |answer| Ok(header(instead(problem(429, "rateLimited", "slow down"), &answer), "Retry-After", "60"))),
    ("badNonce", |answer| Ok(instead(problem(400, "badNonce", "stale"), &answer))),
    ("badNonce without another", |_| Ok(problem(400, "badNonce", "stale"))),
    ("no nonce", |mut answer| {
        answer.headers.retain(|(name, _)| name != "Replay-Nonce");
        Ok(answer)
    }),
    ("a nonce that is none", |answer| Ok(header(answer, "Replay-Nonce", "a nonce\u{7}"))),
];

/// What does not.
const LASTING: &[(&str, Spoil)] = &[
    ("a redirect", |_| Ok(header(Answer { status: 302, ..Answer::default() }, "Location", "https://evil.example/"))),
    ("429 for hours", |_| Ok(header(problem(429, "rateLimited", "too many"), "Retry-After", "7200"))),
    ("429", |_| Ok(problem(429, "rateLimited", "too many"))),
    ("403", |_| Ok(problem(403, "unauthorized", "no"))),
    ("404", |_| Ok(Answer { status: 404, ..Answer::default() })),
    ("too long", |answer| Ok(Answer { body: vec![b' '; MOST_ANSWER + 1], ..answer })),
    ("half", |mut answer| {
        answer.body.truncate(answer.body.len() / 2);
        Ok(answer)
    }),
    ("another object", |answer| Ok(Answer { body: b"[{}]".to_vec(), ..answer })),
    ("deep", |answer| Ok(Answer { body: b"[".repeat(100_000), ..answer })),
    ("elsewhere", |answer| {
        let text = String::from_utf8(answer.body).unwrap().replace("https://ca.example/", "file:///etc/");
        let headers = answer.headers.into_iter().map(|(name, value)| (name, value.replace("https:", "http:")));
        Ok(Answer { headers: headers.collect(), body: text.into_bytes(), status: answer.status })
    }),
];

fn order(spoil_at: impl Fn(usize) -> bool + 'static, spoil: Spoil) -> (World, Result<(), (Stage, Cause)>) {
    let mut world = World::new(Manner { retry_after: Some("3"), ..Manner::default() });
    let mut issuance = Issuance::new(account(), wish(&["a.example", "b.example"], ChallengeKind::Http01));
    let mut fault = move |at: usize, _: &Request, answer: Answer| if spoil_at(at) { spoil(answer) } else { Ok(answer) };
    let came = world.issue(&mut issuance, &mut fault).map(drop).map_err(|failure| (failure.stage, failure.cause));
    assert!(world.now - NOW <= 1800, "{} s", world.now - NOW);
    (world, came)
}

fn requests_of_a_good_order() -> usize {
    order(|_| false, Ok).0.requests.len()
}

#[test]
fn what_passes_is_outlived_at_every_request() {
    for at in 0..requests_of_a_good_order() {
        for (name, spoil) in PASSING {
            let (world, came) = order(move |request| request == at, *spoil);
            assert_eq!(came, Ok(()), "{name} at {at}: {:?}", world.requests);
        }
    }
}

#[test]
fn what_passes_but_does_not_ends_the_order_in_time() {
    for at in 0..requests_of_a_good_order() {
        for (name, spoil) in PASSING {
            let (world, came) = order(move |request| request >= at, *spoil);
            let one_is_enough = name.contains("nonce") && !name.starts_with("bad");
            assert!(came.is_err() || one_is_enough, "{name} from {at}: {:?}", world.requests);
            assert!(world.requests.len() <= at + 40, "{name} from {at}: {:?}", world.requests);
        }
    }
}

#[test]
fn what_does_not_pass_ends_the_order_at_every_request_or_does_not_matter() {
    let mut failed = 0;
    for at in 0..requests_of_a_good_order() {
        for (name, spoil) in LASTING {
            let (world, came) = order(move |request| request == at, *spoil);
            failed += usize::from(came.is_err());
            // Only what is not read may be wrong: a nonce's body, and a challenge's object.
            let unread = world.requests[at].starts_with("HEAD ") || world.requests[at].contains("/challenge/");
            assert!(came.is_err() || unread || *name == "elsewhere", "{name} at {at}: {:?}", world.requests);
            assert!(!world.requests.iter().any(|request| request.contains("evil") || request.contains("file:")));
        }
    }
    assert!(failed > 100, "{failed}");
}

#[test]
fn an_answer_that_was_lost_after_the_server_acted_does_no_harm() {
    let (world, came) = order(|at| at % 3 == 2, |_| Err("timed out"));
    assert_eq!(came, Ok(()), "{:?}", world.requests);
    let good = requests_of_a_good_order();
    for polls in [0, 1] {
        for at in 0..good {
            let mut world = World::new(Manner { polls, ..Manner::default() });
            let mut issuance = Issuance::new(account(), wish(&["a.example", "b.example"], ChallengeKind::TlsAlpn01));
            let mut cut =
                move |request: usize, _: &Request, answer| if request == at { Err("cut") } else { Ok(answer) };
            world.issue(&mut issuance, &mut cut).unwrap_or_else(|failure| panic!("{at}: {failure}"));
            assert_eq!(world.authority.accounts.len(), 1, "no second account");
        }
    }
}

#[test]
fn a_chain_for_another_key_is_never_taken() {
    let mut other = World::new(Manner::default());
    let mut issuance = Issuance::new(account(), wish(&["a.example"], ChallengeKind::Http01));
    let chain = other.issue(&mut issuance, &mut well).unwrap().chain_pem;
    let mut world = World::new(Manner::default());
    let mut swap = move |_: usize, request: &Request, answer: Answer| {
        let swapped = request.url.contains("/certificate/");
        Ok(if swapped { Answer { body: chain.clone().into_bytes(), ..answer } } else { answer })
    };
    let mut issuance = Issuance::new(account(), wish(&["a.example"], ChallengeKind::Http01));
    let failure = world.issue(&mut issuance, &mut swap).unwrap_err();
    assert_eq!(failure.to_string(), "fetching the certificate: not as RFC 8555 has it: a certificate for another key");
}

#[test]
fn a_clock_that_jumps_ends_no_order_in_a_long_wait() {
    let mut world = World::new(Manner { retry_after: Some("100"), ..Manner::default() });
    let mut issuance = Issuance::new(account(), wish(&["a.example"], ChallengeKind::Http01));
    let mut waited = 0;
    for _ in 0..super::MOST_STEPS {
        match issuance.step(world.now) {
            super::Step::Request(request) => {
                let answer = world.authority.answer(&request, &world.served);
                issuance.answered(&answer, world.now);
                world.now -= 1_000_000;
            }
            super::Step::Wait(time) => {
                waited += time.as_secs();
                world.now += time.as_secs();
            }
            super::Step::Serve(challenges) => {
                world.served.0 = challenges;
                issuance.served();
            }
            super::Step::Done(_) => {
                assert!(waited < 600, "{waited} s");
                return;
            }
            super::Step::Failed(failure) => panic!("{failure}"),
        }
    }
    panic!("no end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Statuses, fields and bodies at random, and bodies with a few bytes changed, at random requests.
    #[test]
    fn whatever_a_server_answers_the_order_ends(
        strikes in prop::collection::vec((0usize..30, any::<(u16, u16, u8, bool)>(), prop::collection::vec(any::<u8>(), 0..60)), 1..12),
    ) {
        let mut world = World::new(Manner::default());
        let mut issuance = Issuance::new(account(), wish(&["a.example", "b.example"], ChallengeKind::Http01));
        let mut fault = move |at: usize, _: &Request, mut answer: Answer| {
            for (_, (status, place, byte, whole), bytes) in strikes.iter().filter(|(when, ..)| *when == at) {
                if *whole {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    answer = Answer { status: 200 + status % 400, headers: answer.headers, body: bytes.clone() };
                    for name in ["Location", "Retry-After", "Replay-Nonce"] {
                        answer.headers.insert(0, (name.to_owned(), text.clone()));
                    }
                } else if !answer.body.is_empty() {
                    let place = usize::from(*place) % answer.body.len();
                    answer.body[place] = *byte;
                }
            }
            Ok(answer)
        };
        let _ = world.issue(&mut issuance, &mut fault);
        prop_assert!(world.now - NOW <= 1800 + 120);
    }
}
