//! Why does a request get the rule it gets?

use std::fmt;
use std::ops::ControlFlow;

use anygate_core::Diagnostic;

use crate::host::{Host, RequestHost};
use crate::methods::Methods;
use crate::path::Scratch;
use crate::pattern::{End, Pattern, Segment};
use crate::request::Request;
use crate::rule::{Action, Rule, Target};
use crate::table::{Found, Table};

/// The way of one request to its rule. Its text is for people.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The request.
    pub request: Request,
    /// What the path became, step by step; empty if it is normal as it stands.
    pub steps: Vec<String>,
    /// What was found.
    pub found: Found,
    /// Every rule whose host and path fit, the nearest that takes the method first.
    pub candidates: Vec<Candidate>,
    /// The parameters of the winner.
    pub params: Vec<(String, String)>,
    /// Where it goes, or what it gets: one clause.
    pub outcome: String,
}

/// A rule whose host and path fit.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its number.
    pub rule: u32,
    /// Its head in normal spelling.
    pub head: String,
    /// Its action as written.
    pub action: String,
    /// Why it lost; `None` for the winner.
    pub lost: Option<String>,
}

impl Table {
    /// Explains what [`Table::find`] makes of a request.
    #[must_use]
    pub fn explain(&self, request: &Request) -> Explanation {
        let mut scratch = Scratch::new();
        let found = self.find(&request.lookup(), &mut scratch);
        let raw = request.path.as_bytes();
        let mut explanation = Explanation {
            request: request.clone(),
            steps: Vec::new(),
            found,
            candidates: Vec::new(),
            params: Vec::new(),
            outcome: self.outcome(found, request, &scratch).join(" or "),
        };
        let mut again = Scratch::new();
        let Ok(normal) = again.normalise(raw, self.merge_slashes) else { return explanation };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (matching, forward) = (text(again.matching_path(raw)), text(again.forward_path(raw)));
        if forward != request.path {
            explanation.steps.push(format!("dot segments resolved, slashes merged: {forward}"));
        }
        if matching != forward {
            explanation.steps.push(format!("escapes unified for matching: {matching}"));
        }
        if normal.encoded_slash && again.decode_slashes(self.merge_slashes).is_ok() {
            explanation.steps.push(format!("matched once more with slashes decoded: {}", text(again.decoded_path())));
        }
        explanation.candidates = self.candidates(request, matching.as_bytes(), found);
        if let Some(rule) = found.rule() {
            let captures = self.captures(rule, raw, &scratch);
            explanation.params = captures.params().map(|(name, value)| (name.to_owned(), text(value))).collect();
        }
        explanation
    }

    fn candidates(&self, request: &Request, path: &[u8], found: Found) -> Vec<Candidate> {
        let method = request.method.as_bytes();
        let host = RequestHost::new(request.host.as_bytes());
        let (mut order, mut nearest) = (Vec::new(), None);
        let _: ControlFlow<()> = self.walk(Some(&host), path, &mut 0, &mut |terminal| {
            let first = terminal.pick(self.names.bit(method));
            nearest = nearest.or(first);
            order.extend(first.into_iter().chain(terminal.rules().filter(|rule| Some(*rule) != first)));
            ControlFlow::Continue(())
        });
        order.sort_by_key(|rule| Some(*rule) != nearest);
        let nearest = nearest.map(|number| &self.rules[number as usize]);
        let candidate = |number: u32| {
            let rule = &self.rules[number as usize];
            let lost = match nearest {
                Some(nearest) if nearest.head.span == rule.head.span => match found {
                    Found::Rule(_) | Found::AddSlash(_) => None,
                    Found::Bad(bad) => Some(bad.reason().into()),
                    _ => Some("comes first, but files answer GET and HEAD only".into()),
                },
                Some(nearest) if rule.methods.fits(method) => Some(reason(rule, nearest, method)),
                _ => Some(wrong_method(rule, &request.method)),
            };
            Candidate { rule: number, head: rule.to_string(), action: rule.action_text.text.trim().into(), lost }
        };
        order.into_iter().map(candidate).collect()
    }

    /// What a request gets, each equal choice on its own.
    pub(crate) fn outcome(&self, found: Found, request: &Request, scratch: &Scratch) -> Vec<String> {
        let path = request.path.as_bytes();
        let query = request.query.as_deref().map(str::as_bytes);
        let allowed = |status: u16, allow| {
            let mut text = format!("{status}, Allow: ").into_bytes();
            self.write_allow(allow, &mut text);
            vec![String::from_utf8_lossy(&text).into_owned()]
        };
        match found {
            Found::Rule(rule) => self.destinations(rule, path, query, scratch),
            Found::AddSlash(_) => {
                let mut location = b"308 ".to_vec();
                Table::slash_location(scratch.forward_path(path), query, &mut location);
                vec![String::from_utf8_lossy(&location).into_owned()]
            }
            Found::MethodNotAllowed(allow) => allowed(405, allow),
            Found::Options(allow) => allowed(204, allow),
            Found::NotFound => vec!["404".into()],
            Found::Bad(bad) => vec![format!("400: {bad}")],
        }
    }

    fn destinations(&self, number: u32, path: &[u8], query: Option<&[u8]>, scratch: &Scratch) -> Vec<String> {
        let captures = self.captures(number, path, scratch);
        match &self.rules[number as usize].action {
            Action::Proxy(targets) => {
                let goes_to = |target: &Target| {
                    let mut url = target.origin().as_bytes().to_vec();
                    if target.origin().starts_with("http+unix:") {
                        url.push(b':');
                    }
                    target.path.render(&captures, query, &mut url);
                    String::from_utf8_lossy(&url).into_owned()
                };
                targets.iter().map(goes_to).collect()
            }
            Action::Static(target) if target.is_dir => {
                vec![format!("static {}{}", target.path, String::from_utf8_lossy(captures.tail()))]
            }
            Action::Static(target) => vec![format!("static {}", target.path)],
            Action::Fixed(fixed) => match &fixed.body {
                Some(body) => vec![format!("{} {body}", fixed.status)],
                None => vec![fixed.status.to_string()],
            },
            Action::Redirect { status, location } => {
                let mut text = format!("{status} ").into_bytes();
                location.render(&captures, query, &mut text);
                vec![String::from_utf8_lossy(&text).into_owned()]
            }
            Action::Echo { status: 200 } => vec!["echo".into()],
            Action::Echo { status } => vec![format!("echo {status}")],
        }
    }

    /// Warns where a method falls through a filtered rule to one without filters, which is rarely meant:
    /// `GET /admin/` with a filter beside `/`, where `POST /admin/` escapes it. `filtered` has one flag for each rule.
    #[must_use]
    pub fn fall_through(&self, filtered: &[bool]) -> Vec<Diagnostic> {
        let witness = crate::witness::Witness::new(self);
        let is_filtered = |number: usize| filtered.get(number).copied().unwrap_or(false);
        let mut list = Vec::new();
        for (number, rule) in self.rules.iter().enumerate().filter(|(number, _)| is_filtered(*number)) {
            let Some(request) = witness.of(number as u32, self.traits[number].methods) else { continue };
            let escape = ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"]
                .into_iter()
                .filter(|method| !rule.methods.fits(method.as_bytes()))
                .find_map(|method| {
                    let request = Request { method: method.into(), ..request.clone() };
                    let other = witness.winner(&request)? as usize;
                    let meant =
                        self.rules[other].host == rule.host && self.rules[other].pattern.same_paths(&rule.pattern);
                    (!is_filtered(other) && !meant).then_some((request, other))
                });
            let Some((request, other)) = escape else { continue };
            let other = &self.rules[other];
            list.push(
                Diagnostic::warning(format!("a method falls through the filters of `{rule}`"))
                    .at(rule.head.span, "has filters, but not for every method")
                    .and_at(other.head.span, "has none")
                    .note(format!("`{request}` goes to `{other}`"))
                    .help(format!("leave the methods out: `{}{}`", rule.host, rule.pattern)),
            );
        }
        list
    }
}

fn wrong_method(rule: &Rule, method: &str) -> String {
    match &rule.methods {
        Methods::Every => format!("{method} must be named by a rule"),
        Methods::Named(list) => format!("takes {}, not {method}", list.join(", ")),
    }
}

/// Why `loser` is not the winner, though all of it fits.
fn reason(loser: &Rule, winner: &Rule, method: &[u8]) -> String {
    if loser.host != winner.host {
        return match &loser.host {
            Host::Any => format!("is for every host, the winner for {}", winner.host),
            host => format!("its host {host} is less near than {}", winner.host),
        };
    }
    if !loser.pattern.same_paths(&winner.pattern) {
        return path_reason(&loser.pattern, &winner.pattern);
    }
    let name = String::from_utf8_lossy(method);
    match (loser.methods.names(method), winner.methods.names(method), &loser.methods, &winner.methods) {
        (false, true, Methods::Every, _) => format!("does not name {name}, the winner does"),
        (_, _, Methods::Every, Methods::Named(_)) => "does not name the method, the winner does".into(),
        (false, true, ..) => format!("takes {name} by GET only, the winner names it"),
        _ => "stands later in the file".into(),
    }
}

fn path_reason(loser: &Pattern, winner: &Pattern) -> String {
    for (at, segment) in winner.segments.iter().enumerate() {
        match (segment, loser.segments.get(at)) {
            (Segment::Literal(text), Some(Segment::Param(name))) => {
                return format!("segment {} is :{name}, the winner's is {text}", at + 1);
            }
            (_, Some(_)) => {}
            (_, None) => return format!("is for all below {}, the winner for more of the path", below(loser)),
        }
    }
    let what = |end| match end {
        End::Exact => "this path alone",
        End::Slash => "this path with its slash alone",
        End::Subtree => "a subtree",
        End::Splat => "a splat",
    };
    format!("is {}, the winner is {}", what(loser.end), what(winner.end))
}

/// The part of the path that a subtree or splat fixes.
fn below(pattern: &Pattern) -> String {
    pattern.to_string().trim_end_matches('*').to_owned()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.request)?;
        for step in &self.steps {
            writeln!(f, "  {step}")?;
        }
        for candidate in &self.candidates {
            match &candidate.lost {
                None => writeln!(f, "  wins   {}  ->  {}", candidate.head, candidate.action)?,
                Some(lost) => writeln!(f, "  loses  {}  ->  {}\n         {lost}", candidate.head, candidate.action)?,
            }
        }
        for (name, value) in &self.params {
            writeln!(f, "  :{name} = {value}")?;
        }
        write!(f, "  => {}", self.outcome)
    }
}
