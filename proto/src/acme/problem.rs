//! Why a certificate was not had: what the server said of it (RFC 7807, RFC 8555 §6.7), in words an operator can use.

use std::fmt;
use std::time::Duration;

use super::Answer;
use super::wire;

/// Subproblems that are kept, at most.
const MOST_SUBPROBLEMS: usize = 10;
/// Bytes of a text that is kept, at most.
const MOST_TEXT: usize = 500;
const ACME: &str = "urn:ietf:params:acme:error:";

/// The end of an order or an enquiry without what was wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was being done.
    pub stage: Stage,
    /// What came in between.
    pub cause: Cause,
    /// How long the server asked us to stay away.
    pub retry_after: Option<Duration>,
}

/// The steps of an order, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading what the server offers, and where.
    Directory,
    /// Getting a nonce.
    Nonce,
    /// Registering the account.
    Account,
    /// Placing the order.
    Order,
    /// Reading how control over a name is to be proved.
    Authorization,
    /// Proving control over a name.
    Challenge,
    /// Handing in the request for the certificate.
    Finalize,
    /// Fetching the certificate.
    Certificate,
    /// Asking when to renew.
    RenewalInfo,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The server refused.
    Refused(Box<Problem>),
    /// No answer, however often it was tried; the last reason.
    Unreachable(String),
    /// An answer that is against RFC 8555, and how.
    Unreadable(String),
    /// What cannot succeed before something else is done, such as agreeing to terms.
    Unmet(String),
    /// It took longer, or more requests, than it may.
    TooLong,
}

/// A problem document, or what stands for one where an error came without it. Texts are bounded, and free of control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// `badNonce`, `rateLimited` … without the prefix of ACME's URNs; another type whole; empty where none was given.
    pub kind: String,
    /// In the server's words.
    pub detail: String,
    /// The HTTP status; 0 where none was given.
    pub status: u16,
    /// The name it is about.
    pub about: Option<String>,
    /// A page on this very problem, such as terms that were changed.
    pub instance: Option<String>,
    /// What it is made of, such as one for each name.
    pub subproblems: Vec<Problem>,
}

impl Failure {
    pub(super) fn new(stage: Stage, cause: Cause) -> Self {
        Self { stage, cause, retry_after: None }
    }

    pub(super) fn unreadable(stage: Stage, how: impl Into<String>) -> Self {
        Self::new(stage, Cause::Unreadable(how.into()))
    }

    pub(super) fn unmet(stage: Stage, what: impl Into<String>) -> Self {
        Self::new(stage, Cause::Unmet(what.into()))
    }

    /// Whether the server gave this type of problem, such as `alreadyReplaced`.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        matches!(&self.cause, Cause::Refused(problem) if problem.kind == kind)
    }
}

impl Problem {
    /// What an answer that is no success says.
    pub(super) fn of(answer: &Answer) -> Self {
        let is_json = answer.header("Content-Type").is_some_and(|kind| kind.contains("json"));
        let document = if is_json { serde_json::from_slice::<wire::Problem>(&answer.body).ok() } else { None };
        Self { status: answer.status, ..document.map(|document| Self::from_wire(&document, 1)).unwrap_or_default() }
    }

    /// Subproblems have none themselves (RFC 8555 §6.7.1).
    pub(super) fn from_wire(document: &wire::Problem, depth: u32) -> Self {
        let kind = document.kind.strip_prefix(ACME).unwrap_or(&document.kind);
        let deeper = if depth > 0 { document.subproblems.as_slice() } else { &[] };
        Self {
            kind: told(kind, MOST_TEXT),
            detail: told(&document.detail, MOST_TEXT),
            status: document.status,
            about: document.identifier.as_ref().map(|name| told(&name.value, MOST_TEXT)),
            instance: document.instance.as_ref().map(|url| told(url, MOST_TEXT)),
            subproblems: deeper.iter().take(MOST_SUBPROBLEMS).map(|one| Self::from_wire(one, depth - 1)).collect(),
        }
    }
}

/// What a peer said, fit for a log: without control characters, at most `most` bytes.
pub(super) fn told(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let cut = if end < text.len() { "…" } else { "" };
    // Controls, and characters that turn the direction of the text around them.
    let hides = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text[..end].chars().map(|c| if hides(c) { ' ' } else { c }).collect::<String>() + cut
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)?;
        match self.retry_after {
            Some(time) => write!(f, " (not again before {} s have passed)", time.as_secs()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "reading the ACME directory",
            Self::Nonce => "getting a nonce",
            Self::Account => "registering the account",
            Self::Order => "placing the order",
            Self::Authorization => "reading an authorization",
            Self::Challenge => "proving control",
            Self::Finalize => "finalizing the order",
            Self::Certificate => "fetching the certificate",
            Self::RenewalInfo => "asking when to renew",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => problem.fmt(f),
            Self::Unreachable(why) => write!(f, "no answer: {why}"),
            Self::Unreadable(how) => write!(f, "not as RFC 8555 has it: {how}"),
            Self::Unmet(what) => f.write_str(what),
            Self::TooLong => f.write_str("it took too long"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.about {
            write!(f, "{name}: ")?;
        }
        match (self.kind.as_str(), self.status) {
            ("", 0) => f.write_str("refused")?,
            ("", status) => write!(f, "status {status}")?,
            (kind, 0) => f.write_str(kind)?,
            (kind, status) => write!(f, "{kind} ({status})")?,
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if let Some(page) = &self.instance {
            write!(f, " (see {page})")?;
        }
        self.subproblems.iter().try_for_each(|one| write!(f, "; {one}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let headers = vec![("content-type".to_owned(), "application/problem+json; charset=utf-8".to_owned())];
        Answer { status, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_problem_with_subproblems_is_told_in_one_line() {
        let body = r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"Some names\nare bad","subproblems":[
            {"type":"urn:ietf:params:acme:error:malformed","detail":"Invalid underscore",
             "identifier":{"type":"dns","value":"_example.org"}},
            {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"No issuing for this domain",
             "identifier":{"type":"dns","value":"example.net"},"subproblems":[{"type":"deeper"}]}]}"#;
        let problem = Problem::of(&answer(403, body));
        assert_eq!(
            problem.to_string(),
            "malformed (403): Some names are bad; _example.org: malformed: Invalid underscore; \
             example.net: rejectedIdentifier: No issuing for this domain"
        );
        let failure = Failure {
            stage: Stage::Order,
            cause: Cause::Refused(Box::new(problem)),
            retry_after: Some(Duration::from_secs(3600)),
        };
        assert!(failure.is("malformed") && !failure.is("rateLimited"));
        assert!(failure.to_string().starts_with("placing the order: malformed (403): "));
        assert!(failure.to_string().ends_with(" (not again before 3600 s have passed)"));
    }

    #[test]
    fn an_error_without_a_document_is_told_by_its_status() {
        for body in ["", "{", "[]", "<html>", r#"{"type":7}"#] {
            assert_eq!(Problem::of(&answer(502, body)).to_string(), "status 502", "{body}");
        }
        assert_eq!(Problem::of(&answer(500, "{}")).to_string(), "status 500");
        let page = Answer { status: 503, headers: Vec::new(), body: br#"{"type":"x"}"#.to_vec() };
        assert_eq!(Problem::of(&page).to_string(), "status 503");
    }

    #[test]
    fn what_a_server_says_is_bounded_and_cannot_write_log_lines_of_its_own() {
        let many = vec![r#"{"type":"a","detail":"b"}"#; 1000].join(",");
        let body = format!(r#"{{"type":"t\u001b[31m","detail":"{}","subproblems":[{many}]}}"#, "\u{e9}".repeat(5000));
        let problem = Problem::of(&answer(400, &body));
        assert_eq!(problem.kind, "t [31m");
        assert!(problem.detail.len() <= MOST_TEXT + '…'.len_utf8());
        assert_eq!(problem.subproblems.len(), MOST_SUBPROBLEMS);
        assert_eq!(told("a\r\nb\u{202e}c", 100), "a  b c");
    }
}
