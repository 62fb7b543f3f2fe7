//! Does a table do what an `expect:` line says?

use std::ops::Range;

use anygate_core::{Diagnostic, Located};

use crate::action::parse_status;
use crate::path::Scratch;
use crate::request::Request;
use crate::rule::Action;
use crate::table::{Found, Table};

/// What is left to check of an `expect:` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing: it holds.
    Met,
    /// The request gets a file, and which one only the file system knows.
    Static {
        /// The rule, whose action is static.
        rule: u32,
        /// What the head matched beyond its literal prefix, percent-encoded.
        tail: String,
        /// What the line wants.
        wanted: Wanted,
    },
}

/// What an `expect:` line wants of a static rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This file, as the action would write it.
    File(String),
    /// This status.
    Status(u16),
}

const FORM: &str = "write `GET /path -> ` and a target URL, a status, `static FILE` or `echo`";

impl Table {
    /// Checks one line: `GET /users/42 -> http://up/users/42`, `POST /x -> 405`, `GET /deep -> static /dist/index.html`,
    /// `GET /me -> echo`, `GET /ok -> OK`, `GET /old/7 -> 301 /new/7`.
    ///
    /// # Errors
    ///
    /// The line cannot be read, or the table does something else.
    pub fn check_expect(&self, line: &Located) -> Result<Expectation, Box<Diagnostic>> {
        let Some((left, right)) = line.text.split_once("->") else {
            return Err(refuse(line, 0..line.text.len(), "an expectation has no `->`", FORM));
        };
        let left_at = trimmed(left, 0);
        let right_at = trimmed(right, left.len() + 2);
        let wanted = &line.text[right_at.clone()];
        let request = Request::parse(&line.text[left_at.clone()]).map_err(|why| refuse(line, left_at, &why, FORM))?;
        if wanted.is_empty() {
            return Err(refuse(line, right_at, "nothing is expected here", FORM));
        }
        let mut scratch = Scratch::new();
        let found = self.find(&request.lookup(), &mut scratch);
        let mut outcomes = self.outcome(found, &request, &scratch);
        if let Found::Rule(rule) = found
            && let Action::Static(_) = self.rules[rule as usize].action
        {
            let file = wanted.strip_prefix("static ").map(|file| Wanted::File(file.trim_start().to_owned()));
            if let Some(wanted) = file.or_else(|| parse_status(wanted).ok().map(Wanted::Status)) {
                let tail = self.captures(rule, request.path.as_bytes(), &scratch).tail();
                return Ok(Expectation::Static { rule, tail: String::from_utf8_lossy(tail).into_owned(), wanted });
            }
        }
        let wanted = normal_wish(wanted).map_err(|why| refuse(line, right_at.clone(), &why, FORM))?;
        let status = self.status(found);
        let met = match wanted.parse::<u16>() {
            Ok(number) => status == Some(number),
            Err(_) => outcomes.contains(&wanted),
        };
        if met {
            return Ok(Expectation::Met);
        }
        outcomes.dedup();
        let mut error = Diagnostic::error(format!("`{request}` does something else"))
            .at(line.sub(right_at), format!("but it gets {}", outcomes.join(" or ")));
        if let Some(rule) = found.rule() {
            error = error.and_at(self.rules[rule as usize].head.span, "by this rule");
        }
        Err(Box::new(error.help("change the rules or the expectation; `anygate explain` says why a rule wins")))
    }

    /// The status a request gets, where the routes alone decide it.
    fn status(&self, found: Found) -> Option<u16> {
        Some(match found {
            Found::AddSlash(_) => 308,
            Found::MethodNotAllowed(_) => 405,
            Found::Options(_) => 204,
            Found::NotFound => 404,
            Found::Bad(_) => 400,
            Found::Rule(rule) => match &self.rules[rule as usize].action {
                Action::Fixed(fixed) => fixed.status,
                Action::Redirect { status, .. } | Action::Echo { status } => *status,
                Action::Proxy(_) | Action::Static(_) => return None,
            },
        })
    }
}

/// Brings what is wanted into the words of [`Table::outcome`]; the error says why it is nothing to want.
fn normal_wish(text: &str) -> Result<String, String> {
    let (word, rest) = match text.split_once(|c: char| c.is_ascii_whitespace()) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    };
    if word.contains("://") || word == "static" {
        return Ok(text.to_owned());
    }
    let echo = |status: u16| if status == 200 { "echo".to_owned() } else { format!("echo {status}") };
    match (word, rest) {
        ("echo" | "*", "") => Ok(echo(200)),
        ("echo", status) => parse_status(status).map(echo),
        _ => match (parse_status(word)?, rest) {
            (status, "") => Ok(status.to_string()),
            (status, "*") => Ok(echo(status)),
            (status, rest) => Ok(format!("{status} {rest}")),
        },
    }
}

fn refuse(line: &Located, at: Range<usize>, message: &str, help: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(message).at(line.sub(at), "in this expectation").help(help))
}

fn trimmed(text: &str, offset: usize) -> Range<usize> {
    let start = offset + text.len() - text.trim_start().len();
    start..start.max(offset + text.trim_end().len())
}
