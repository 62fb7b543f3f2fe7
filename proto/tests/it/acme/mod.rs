//! Certificates by ACME: whole orders with a server in memory, with whatever goes wrong on the way.

mod authority;
mod faults;
mod handshake;
mod jose;
mod manner;
mod orders;
mod pebble;
mod visitor;
mod years;

use std::time::Duration;

use anygate_proto::acme::{
    Account, Answer, Challenge, ChallengeKind, Enquiry, Failure, Identifier, Issuance, Issued, Request, Step,
    Suggestion, Wish,
};
use anygate_proto::tls::Challenges;
use authority::{Authority, BASE, Internet};
use manner::Manner;

const NOW: u64 = 1_767_300_000;
/// More steps than any order may take.
const MOST_STEPS: u32 = 5_000;

/// What becomes of an answer on its way: the number of the request, the request, and the server's answer.
type Fault = dyn FnMut(usize, &Request, Answer) -> Result<Answer, &'static str>;

/// A server, a clock, and what this side serves to whoever asks.
struct World {
    authority: Authority,
    now: u64,
    served: Published,
    requests: Vec<String>,
    /// Challenges that were served, however often.
    publications: u32,
}

#[derive(Default)]
struct Published(Vec<Challenge>);

impl Internet for Published {
    fn http(&self, name: &str, token: &str) -> Option<String> {
        self.0.iter().find_map(|challenge| match challenge {
            Challenge::Http01 { name: of, token: one, key_authorization } if one == token => {
                (of.to_string() == name).then(|| key_authorization.clone())
            }
            _ => None,
        })
    }

    fn tls(&self, name: &str) -> Option<Vec<u8>> {
        let challenges = Challenges::new();
        for challenge in &self.0 {
            if let Challenge::TlsAlpn01 { server_name, certificate, key, .. } = challenge {
                challenges.set(server_name, certificate, key).unwrap();
            }
        }
        handshake::shown(&challenges, name)
    }
}

impl World {
    fn new(manner: Manner) -> Self {
        let (served, requests) = (Published::default(), Vec::new());
        Self { authority: Authority::new(manner), now: NOW, served, requests, publications: 0 }
    }

    fn ask(&mut self, request: &Request, fault: &mut Fault) -> Result<Answer, &'static str> {
        let path = request.url.strip_prefix(BASE).filter(|path| path.starts_with('/'));
        self.requests.push(format!("{} {}", request.method.as_str(), path.unwrap_or(&request.url)));
        if path.is_none() {
            return Err("no such host");
        }
        self.authority.now = self.now;
        let answer = self.authority.answer(request, &self.served);
        fault(self.requests.len() - 1, request, answer)
    }

    /// To the end of an order.
    fn issue(&mut self, issuance: &mut Issuance, fault: &mut Fault) -> Result<Issued, Failure> {
        for _ in 0..MOST_STEPS {
            match issuance.step(self.now) {
                Step::Request(request) => {
                    assert_eq!(
                        self.again(issuance),
                        Some(request.clone()),
                        "a step stays the same until it is answered"
                    );
                    match self.ask(&request, fault) {
                        Ok(answer) => issuance.answered(&answer, self.now),
                        Err(why) => issuance.unanswered(why, self.now),
                    }
                }
                Step::Wait(time) => {
                    assert!(time > Duration::ZERO);
                    self.now += time.as_secs();
                }
                Step::Serve(challenges) => {
                    self.publications += 1;
                    self.served.0 = challenges;
                    issuance.served();
                }
                Step::Done(issued) => return Ok(*issued),
                Step::Failed(failure) => return Err(failure),
            }
        }
        panic!("no end: {:?}", self.requests);
    }

    fn again(&self, issuance: &mut Issuance) -> Option<Request> {
        match issuance.step(self.now) {
            Step::Request(request) => Some(request),
            _ => None,
        }
    }

    fn enquire(&mut self, id: &str, fault: &mut Fault) -> Result<Option<Suggestion>, Failure> {
        self.enquire_with(Enquiry::new(&directory(), id), fault)
    }

    fn enquire_with(&mut self, mut enquiry: Enquiry, fault: &mut Fault) -> Result<Option<Suggestion>, Failure> {
        for _ in 0..MOST_STEPS {
            match enquiry.step(self.now) {
                Step::Request(request) => match self.ask(&request, fault) {
                    Ok(answer) => enquiry.answered(&answer, self.now),
                    Err(why) => enquiry.unanswered(why, self.now),
                },
                Step::Wait(time) => self.now += time.as_secs(),
                Step::Serve(_) => panic!("nothing to serve"),
                Step::Done(suggestion) => return Ok(*suggestion),
                Step::Failed(failure) => return Err(failure),
            }
        }
        panic!("no end: {:?}", self.requests);
    }
}

fn directory() -> String {
    format!("{BASE}/directory")
}

fn account() -> Account {
    Account::generate(&directory(), Some("admin@example.com")).unwrap()
}

fn names(names: &[&str]) -> Vec<Identifier> {
    names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
}

fn wish(of: &[&str], challenge: ChallengeKind) -> Wish {
    Wish::new(&names(of), challenge).unwrap().agreeing_to_terms()
}

/// Nothing goes wrong.
fn well(_: usize, _: &Request, answer: Answer) -> Result<Answer, &'static str> {
    Ok(answer)
}
