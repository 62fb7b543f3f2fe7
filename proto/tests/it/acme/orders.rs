//! Whole orders with a server that is in a good mood: what it must be told, and what it may ask for.

use anygate_proto::acme::{
    Account, Attempts, Cause, ChallengeKind, ExternalBinding, Facts, Issuance, Issued, Stage, Wish, renewal,
};
use anygate_proto::tls::{Identity, Warning};
use serde_json::json;

use super::authority::BASE;
use super::{Manner, NOW, World, account, directory, names, well, wish};

const HTTP: ChallengeKind = ChallengeKind::Http01;
const TLS: ChallengeKind = ChallengeKind::TlsAlpn01;

#[test]
fn a_new_account_gets_a_certificate_by_either_challenge() {
    for challenge in [HTTP, TLS] {
        let mut world = World::new(Manner::default());
        let mut issuance = Issuance::new(account(), wish(&["a.example", "b.example", "192.0.2.1"], challenge));
        let issued = world.issue(&mut issuance, &mut well).unwrap();
        assert_eq!(issued.facts.names, names(&["a.example", "b.example", "192.0.2.1"]));
        assert_eq!(issued.chain_pem.matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(issuance.account().url(), Some(format!("{BASE}/account/0").as_str()));
        assert_eq!(world.authority.accounts[0].contact, json!(["mailto:admin@example.com"]));
        assert_eq!(world.publications, 1, "all challenges at once");
        let kept = issued.entry(&directory(), &issued.facts.names[0]);
        assert_eq!(kept.name, "ca.example-directory/a.example.pem");
        assert_eq!(Issued::read(&kept.bytes).unwrap(), issued);
        let identity = Identity::load(&kept.bytes, &kept.bytes, None, world.now).unwrap();
        assert_eq!(identity.warnings(), [Warning::RootIncluded], "a listener serves it as it was kept");
    }
}

#[test]
fn an_order_of_one_name_takes_these_requests_and_no_others() {
    let mut world = World::new(Manner::default());
    let mut issuance = Issuance::new(account(), wish(&["a.example"], HTTP));
    world.issue(&mut issuance, &mut well).unwrap();
    let expected = [
        "GET /directory",
        "HEAD /nonce",
        "POST /account",
        "POST /order",
        "POST /authorization/0",
        "POST /challenge/0/http-01",
        "POST /authorization/0",
        "POST /authorization/0",
        "POST /order/0",
        "POST /order/0/finalize",
        "POST /order/0",
        "POST /certificate/0",
    ];
    assert_eq!(world.requests, expected);
    assert_eq!(world.now - NOW, 4, "seconds of polling");
}

#[test]
fn an_account_that_was_kept_is_used_again_and_what_it_proved_is_not_asked_again() {
    let mut world = World::new(Manner { reuse: true, ..Manner::default() });
    let mut first = Issuance::new(account(), wish(&["a.example"], HTTP));
    let one = world.issue(&mut first, &mut well).unwrap();
    let kept = Account::read(&first.account().entry().bytes).unwrap();
    world.requests.clear();
    let again = wish(&["a.example"], HTTP).replacing(one.facts.id.as_deref());
    let two = world.issue(&mut Issuance::new(kept, again), &mut well).unwrap();
    assert_eq!(world.authority.accounts.len(), 1);
    assert_eq!(world.authority.orders[1].replaces, json!(one.facts.id.unwrap()));
    assert_ne!(one.key_pem, two.key_pem, "each certificate has its own key");
    let expected = [
        "GET /directory",
        "HEAD /nonce",
        "POST /order",
        "POST /order/1/finalize",
        "POST /order/1",
        "POST /certificate/1",
    ];
    assert_eq!(world.requests, expected);
    assert_eq!(world.publications, 1);
}

#[test]
fn nonces_that_are_not_liked_or_not_given_cost_a_request_and_no_more() {
    for (bad_nonce_each, nonces_everywhere) in [(2, true), (3, false), (0, false)] {
        let mut world = World::new(Manner { bad_nonce_each, nonces_everywhere, ..Manner::default() });
        let mut issuance = Issuance::new(account(), wish(&["a.example", "b.example"], TLS));
        world.issue(&mut issuance, &mut well).unwrap();
        assert_eq!(world.authority.orders.len(), 1);
    }
    let mut world = World::new(Manner { bad_nonce_each: 1, ..Manner::default() });
    let failure = world.issue(&mut Issuance::new(account(), wish(&["a.example"], HTTP)), &mut well).unwrap_err();
    assert!(failure.is("badNonce") && failure.stage == Stage::Account, "{failure}");
    assert_eq!(world.requests.len(), 2 + 11, "once, and ten times more");
}

#[test]
fn an_account_the_server_forgot_is_registered_again() {
    let mut world = World::new(Manner::default());
    let forgotten = account();
    let kept = Account::of(&directory(), None, Some(&format!("{BASE}/account/77")), &forgotten.key_pem()).unwrap();
    let mut issuance = Issuance::new(kept, wish(&["a.example"], HTTP));
    world.issue(&mut issuance, &mut well).unwrap();
    assert_eq!(issuance.account().url(), Some(format!("{BASE}/account/0").as_str()));
}

#[test]
fn a_server_for_customers_is_told_which_one() {
    let binding = ExternalBinding::new("kid-1", "c2VjcmV0IGtleQ").unwrap();
    let manner = Manner { binding: Some(("kid-1", b"secret key")), ..Manner::default() };
    let mut world = World::new(manner.clone());
    let failure = world.issue(&mut Issuance::new(account(), wish(&["a.example"], HTTP)), &mut well).unwrap_err();
    assert!(matches!(failure.cause, Cause::Unmet(_)) && failure.stage == Stage::Account, "{failure}");
    assert_eq!(world.requests, ["GET /directory"], "nothing is tried that cannot succeed");
    let bound = account().bound_to(binding);
    world.issue(&mut Issuance::new(bound, wish(&["a.example"], HTTP)), &mut well).unwrap();
    let wrong = account().bound_to(ExternalBinding::new("kid-1", "AAAA").unwrap());
    let failure = World::new(manner).issue(&mut Issuance::new(wrong, wish(&["a.example"], HTTP)), &mut well);
    assert_eq!(failure.unwrap_err().to_string(), "registering the account: externalAccountRequired (403): signature");
}

#[test]
fn terms_are_agreed_to_by_the_operator_alone() {
    let mut world = World::new(Manner::default());
    let wish = Wish::new(&names(&["a.example"]), HTTP).unwrap();
    let failure = world.issue(&mut Issuance::new(account(), wish.clone()), &mut well).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "registering the account: the terms of service must be agreed to: https://ca.example/terms"
    );
    let mut without = World::new(Manner { terms: false, ..Manner::default() });
    without.issue(&mut Issuance::new(account(), wish), &mut well).unwrap();
}

#[test]
fn a_profile_is_asked_for_where_the_server_has_it() {
    let profiled = || wish(&["a.example"], HTTP).with_profile("shortlived");
    let mut world = World::new(Manner { profiles: &["classic", "shortlived"], ..Manner::default() });
    world.issue(&mut Issuance::new(account(), profiled()), &mut well).unwrap();
    assert_eq!(world.authority.orders[0].profile, "shortlived");
    for (profiles, offered) in [(&["classic", "tlsserver"][..], "classic, tlsserver"), (&[], "none")] {
        let mut world = World::new(Manner { profiles, ..Manner::default() });
        let failure = world.issue(&mut Issuance::new(account(), profiled()), &mut well).unwrap_err();
        let expected = format!("no profile `shortlived`; the server offers: {offered}");
        assert_eq!(failure.to_string(), format!("reading the ACME directory: {expected}"));
    }
}

#[test]
fn a_challenge_the_server_does_not_offer_is_told_by_what_it_offers() {
    let mut world = World::new(Manner { challenges: &["dns-01", "http-01"], ..Manner::default() });
    let failure = world.issue(&mut Issuance::new(account(), wish(&["a.example"], TLS)), &mut well).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "reading an authorization: a.example: no tls-alpn-01 challenge; the server offers: dns-01, http-01"
    );
}

#[test]
fn a_name_that_cannot_be_proved_ends_the_order_with_the_servers_words() {
    struct Nobody;
    impl super::Internet for Nobody {
        fn http(&self, _: &str, _: &str) -> Option<String> {
            None
        }
        fn tls(&self, _: &str) -> Option<Vec<u8>> {
            None
        }
    }
    let mut world = World::new(Manner::default());
    let mut issuance = Issuance::new(account(), wish(&["a.example", "b.example"], HTTP));
    // The challenges are published nowhere.
    let failure = loop {
        match issuance.step(world.now) {
            super::Step::Request(request) => {
                assert!(!request.url.contains("finalize"));
                let answer = world.authority.answer(&request, &Nobody);
                issuance.answered(&answer, world.now);
            }
            super::Step::Wait(time) => world.now += time.as_secs(),
            super::Step::Serve(challenges) => {
                assert_eq!(challenges.len(), 2);
                issuance.served();
            }
            super::Step::Done(_) => panic!("nothing was proved"),
            super::Step::Failed(failure) => break failure,
        }
    };
    assert_eq!(failure.to_string(), "proving control: a.example: unauthorized (403): no answer");
}

#[test]
fn what_the_server_will_not_issue_for_is_said_at_once() {
    let mut world = World::new(Manner::default());
    let mut issuance = Issuance::new(account(), wish(&["a.example", "x.forbidden.example"], HTTP));
    let failure = world.issue(&mut issuance, &mut well).unwrap_err();
    assert_eq!(failure.to_string(), "placing the order: rejectedIdentifier (403): policy");
    let mut attempts = Attempts::default();
    attempts.failed(&failure, world.now);
    assert_eq!(attempts.wait(world.now, 0).as_secs(), 60);
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    for (retry_after, polls, seconds) in [(Some("30"), 3, 1 + 30 * 3 + 1 + 30 * 2), (None, 5, 1 + 2 + 4 + 5 + 5)] {
        let mut world = World::new(Manner { retry_after, polls, ..Manner::default() });
        world.issue(&mut Issuance::new(account(), wish(&["a.example"], HTTP)), &mut well).unwrap();
        let took = world.now - NOW;
        assert!((seconds..2 * seconds + 60).contains(&took), "{took} s for {retry_after:?}");
    }
    let mut world = World::new(Manner { retry_after: Some("7200"), ..Manner::default() });
    let failure = world.issue(&mut Issuance::new(account(), wish(&["a.example"], HTTP)), &mut well).unwrap_err();
    assert_eq!(failure.retry_after.map(|time| time.as_secs()), Some(7200));
    assert_eq!(failure.cause, Cause::TooLong);
    let mut world = World::new(Manner { polls: u32::MAX, ..Manner::default() });
    let failure = world.issue(&mut Issuance::new(account(), wish(&["a.example"], HTTP)), &mut well).unwrap_err();
    assert_eq!((failure.cause, failure.stage), (Cause::TooLong, Stage::Challenge));
    assert!(world.now - NOW <= 1800 && world.requests.len() < 110, "{} s", world.now - NOW);
}

#[test]
fn the_server_says_when_to_renew_and_the_order_says_what_it_replaces() {
    let mut world = World::new(Manner::default());
    let mut issuance = Issuance::new(account(), wish(&["a.example"], HTTP));
    let issued = world.issue(&mut issuance, &mut well).unwrap();
    let id = issued.facts.id.clone().unwrap();
    world.authority.window = ("2026-02-01T00:00:00Z".into(), "2026-02-03T00:00:00Z".into());
    world.requests.clear();
    let suggestion = world.enquire(&id, &mut well).unwrap().unwrap();
    assert_eq!(world.requests, ["GET /directory".to_owned(), format!("GET /renewal/{id}")]);
    assert_eq!(suggestion.explanation.as_deref(), Some("https://ca.example/why"));
    assert_eq!(suggestion.ask_again.as_secs(), 21_600);
    let due = renewal::due(&issued.facts, Some(&suggestion), 12_345);
    assert_eq!(due, 1_769_904_000 + 12_345);
    // Somebody renewed it already: the order is placed once more, and replaces nothing.
    for expected in [json!(id), json!(null)] {
        let kept = Account::read(&issuance.account().entry().bytes).unwrap();
        let again = wish(&["a.example"], HTTP).replacing(Some(&id));
        world.issue(&mut Issuance::new(kept, again), &mut well).unwrap();
        assert_eq!(world.authority.orders.last().unwrap().replaces, expected);
    }
    // The account was lost, and another one renews: that replaces nothing either.
    let last = world.authority.orders.last().unwrap().chain.clone();
    let again = wish(&["a.example"], HTTP).replacing(Facts::of(last.as_bytes()).unwrap().id.as_deref());
    world.issue(&mut Issuance::new(account(), again), &mut well).unwrap();
    assert_eq!(world.authority.orders.last().unwrap().replaces, json!(null));
    world.authority.window.1 = world.authority.window.0.clone();
    assert!(world.enquire(&id, &mut well).is_err(), "a window of no length is none");
    let mut without = World::new(Manner { renewal_info: false, ..Manner::default() });
    assert_eq!(without.enquire(&id, &mut well).unwrap(), None);
    let again = wish(&["a.example"], HTTP).replacing(Some(&id));
    without.issue(&mut Issuance::new(account(), again), &mut well).unwrap();
    assert_eq!(without.authority.orders[0].replaces, json!(null));
    assert_eq!(Facts::of(issued.chain_pem.as_bytes()).unwrap().id.unwrap(), id);
}

#[test]
fn a_wish_holds_each_name_once_and_not_too_many() {
    let twice = Wish::new(&names(&["a.example", "A.example", "b.example"]), HTTP).unwrap();
    assert_eq!(twice.names(), names(&["a.example", "b.example"]));
    assert!(Wish::new(&[], HTTP).is_none());
    let many: Vec<String> = (0..101).map(|number| format!("n{number}.example")).collect();
    let many = names(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(Wish::new(&many, HTTP).is_none());
    let mut world = World::new(Manner::default());
    let hundred = Wish::new(&many[..100], HTTP).unwrap().agreeing_to_terms();
    let issued = world.issue(&mut Issuance::new(account(), hundred), &mut well).unwrap();
    assert_eq!(issued.facts.names.len(), 100);
}
