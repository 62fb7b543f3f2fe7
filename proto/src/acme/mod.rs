//! Certificates from an ACME server (RFC 8555), without sockets, clock or files.
//!
//! [`Schedule`] says what a certificate needs next: an [`Issuance`], which goes the whole way from the directory to a chain
//! in PEM, or an [`Enquiry`], which asks when to renew (RFC 9773). Both are driven alike: ask for a [`Step`], do what it
//! says, give back what came of it.
//!
//! ```ignore
//! loop {
//!     match issuance.step(now()) {
//!         Step::Request(request) => match http(&request) {       // POST, GET or HEAD; over TLS; no redirects followed
//!             Ok(answer) => issuance.answered(&answer, now()),
//!             Err(why) => issuance.unanswered(&why, now()),      // refused, cut, timed out, longer than MOST_ANSWER
//!         },
//!         Step::Wait(time) => sleep(time),                       // asking again early only says Wait again
//!         Step::Serve(challenges) => { publish(challenges); issuance.served() } // on every shard, then `served`
//!         Step::Done(issued) => break schedule.issued(issued.facts, now()),
//!         Step::Failed(failure) => break schedule.failed(&failure, now()),
//!     }
//! }
//! withdraw_challenges();
//! keep(issued.entry(directory, name), issuance.account().entry(), schedule.attempts().entry(directory, name));
//! ```
//!
//! A TLS-ALPN-01 challenge goes to [`crate::tls::Challenges::set`]. The account's key is kept before it is used:
//! [`Account::entry`] right after [`Account::generate`]. Times are whole
//! seconds since 1970. What an ACME server says is bounded, checked, and never believed where it can be verified: the
//! chain must belong to the key that was made here and hold the names that were asked for.

pub mod account;
mod base64;
pub mod certificate;
pub mod challenge;
mod conversation;
pub mod message;
mod moment;
pub mod name;
pub mod order;
pub mod problem;
pub mod renewal;
pub mod schedule;
pub mod store;
mod wire;
mod wish;

use std::time::Duration;

pub use account::{Account, ExternalBinding};
pub use certificate::{Facts, Issued};
pub use challenge::{Challenge, ChallengeKind};
pub use message::{Answer, Method, Request};
pub use name::{Identifier, InvalidName};
pub use order::Issuance;
pub use problem::{Cause, Failure, Problem, Stage};
pub use renewal::{Enquiry, Suggestion};
pub use schedule::{Next, Schedule};
pub use store::{Attempts, Enquired, Entry};
pub use wish::Wish;

/// Bytes of an answer's body, at most; who asks stops reading there.
pub const MOST_ANSWER: usize = 256 * 1024;
/// Names in one certificate, at most.
pub const MOST_NAMES: usize = 100;
/// Certificates in a chain, at most.
const MOST_CHAIN: usize = 10;
/// Bytes of a nonce or a token, at most.
const MOST_NONCE: usize = 512;
const MOST_TOKEN: usize = 256;
/// How often one request is made, however it fails, at most.
const MOST_TRIES: u32 = 5;
/// How often one request is signed anew because its nonce was not liked, at most.
const MOST_NONCES: u32 = 10;
/// How often a state is asked for, at most.
const MOST_POLLS: u32 = 60;
/// Seconds that a server may ask us to wait within one order; for more, the order fails and says when to come again.
const MOST_WAIT: u64 = 120;
/// Seconds from the first request of an order to its last, at most.
const MOST_SECONDS: u64 = 30 * 60;

/// What is to be done next.
#[derive(Debug, Clone)]
pub enum Step<T> {
    /// Send this and tell what came of it; until then the step stays the same.
    Request(Request),
    /// Nothing to do before this time has passed.
    Wait(Duration),
    /// From this moment answer these challenges, and no others of this order, until it is done or failed.
    Serve(Vec<Challenge>),
    /// The end.
    Done(Box<T>),
    /// The end, without what was wished for.
    Failed(Failure),
}
