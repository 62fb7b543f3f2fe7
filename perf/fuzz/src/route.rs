//! Does the tree of rules find what asking every rule finds, and is every text a rule or refused with a place?
//!
//! An input is a byte of flags and either text (rules, one a line, head and action with a tab between them, an empty
//! line, requests, one a line) or numbers from which rules and requests over a small alphabet are made.

use std::collections::HashSet;

use anygate_core::{Diagnostic, Located, Sources, Span, render};
use anygate_route::{
    Action, Context, End, Found, Host, Lookup, Methods, Request, Rule, Scratch, Segment, Table, parse_rule,
};

use crate::Numbers;
use crate::naive;

/// Rules and requests of one input.
const MOST: usize = 6;

/// Head and action; method, host and path.
type Case = (Vec<(String, String)>, Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>);

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let flags = numbers.next();
    let (lines, requests) = if flags & 1 == 0 { written(numbers.rest()) } else { made(&mut numbers) };
    let upstreams: HashSet<String> = if flags & 2 == 0 { HashSet::new() } else { ["up".to_owned()].into() };
    let context = Context { upstreams, merge_slashes: flags & 4 == 0 };
    let mut rules = Vec::new();
    for (head, action) in &lines {
        if let Some(rule) = rule(head, action, &context, flags >> 4 == 0) {
            rules.push(rule);
        }
    }
    let (table, findings) = Table::build(rules.clone(), &context);
    assert!(table.is_some() || findings.iter().any(Diagnostic::is_error), "refused without a word: {lines:?}");
    let table = match table {
        Some(table) => table,
        // One rule alone is always a table, unless no request can reach it.
        None => match Table::build(rules.drain(..1).collect(), &context) {
            (Some(table), _) => table,
            (None, findings) => {
                assert!(findings.iter().any(Diagnostic::is_error));
                return;
            }
        },
    };
    let mut scratch = Scratch::new();
    for (method, host, path) in &requests {
        asked(&table, &Lookup { method, host, path }, context.merge_slashes, &mut scratch);
    }
}

/// Reads one rule; where it is refused, every finding has a place within the texts and, which takes most of the time and
/// so is tried for some inputs, can be shown.
fn rule(head: &str, action: &str, context: &Context, show: bool) -> Option<Rule> {
    let mut sources = Sources::new();
    let text = format!("{head}: {action}");
    let source = sources.add("rule", text.clone());
    let place = |range: std::ops::Range<usize>| Located {
        text: text[range.clone()].to_owned(),
        span: Span::new(source, range),
        verbatim: true,
    };
    let (head, action) = (place(0..head.len()), place(head.len() + 2..text.len()));
    match parse_rule(&head, &action, None, context) {
        Ok(rule) => {
            let spelt = rule.to_string();
            let again = Located { text: spelt.clone(), span: Span::new(source, 0..0), verbatim: false };
            let again = parse_rule(&again, &action, None, context)
                .unwrap_or_else(|findings| panic!("{spelt:?} of {text:?} is refused: {findings:?}"));
            assert_eq!(again.to_string(), spelt);
            assert!(again.pattern.same_paths(&rule.pattern) && again.host == rule.host && again.action == rule.action);
            Some(rule)
        }
        Err(findings) => {
            assert!(!findings.is_empty(), "{text:?} is refused without a word");
            for finding in &findings {
                for (span, _) in finding.primary.iter().chain(&finding.secondary) {
                    let range = span.start as usize..span.end as usize;
                    assert!(text.get(range.clone()).is_some(), "{range:?} is no place in {text:?}: {finding:?}");
                }
                assert!(finding.primary.is_some(), "no place: {text:?}: {finding:?}");
                assert!(!show || !render(&sources, finding, false).is_empty());
            }
            None
        }
    }
}

/// One request, asked of the tree and of every rule.
fn asked(table: &Table, lookup: &Lookup<'_>, merge: bool, scratch: &mut Scratch) {
    let found = table.find(lookup, scratch);
    let shown = || {
        let rules: Vec<String> =
            table.rules().iter().map(|rule| format!("{rule}: {}", rule.action_text.text)).collect();
        let parts = [lookup.method, lookup.host, lookup.path].map(|part| part.escape_ascii().to_string());
        format!("{parts:?} of {rules:?}")
    };
    let outcome = match found {
        Found::Rule(rule) => Outcome::Rule(rule),
        Found::AddSlash(rule) => Outcome::AddSlash(rule),
        Found::MethodNotAllowed(_) => Outcome::NotAllowed,
        Found::Options(_) => Outcome::Options,
        Found::NotFound => Outcome::NotFound,
        Found::Bad(_) => Outcome::Bad,
    };
    assert_eq!(outcome, naive_outcome(table.rules(), lookup, merge), "{}", shown());
    if let Found::MethodNotAllowed(allow) | Found::Options(allow) = found {
        let mut text = Vec::new();
        table.write_allow(allow, &mut text);
        for method in text.split(|&b| b == b',').map(naive::trim) {
            assert!(!method.is_empty() && method.iter().all(|&b| naive::token(b)), "{}", shown());
            let with = Lookup { method, ..*lookup };
            let other = naive_outcome(table.rules(), &with, merge);
            assert!(!matches!(other, Outcome::NotAllowed | Outcome::NotFound), "{method:?} {other:?} {}", shown());
        }
        let _ = table.find(lookup, scratch);
    }
    let Some(rule) = found.rule() else { return };
    let captures = table.captures(rule, lookup.path, scratch);
    let forward = captures.forward_path();
    assert!(forward.starts_with(b"/"), "{}", shown());
    let dots = forward.split(|&b| b == b'/').any(|segment| matches!(segment, b"." | b".."));
    assert!(!dots, "{}", shown());
    assert!(forward.iter().all(|&b| (0x21..0x7f).contains(&b) && b != b'\\'), "{}", shown());
    assert!(forward.ends_with(captures.tail()) && forward.ends_with(captures.rest()), "{}", shown());
    let mut out = Vec::new();
    match &table.rules()[rule as usize].action {
        Action::Proxy(targets) => {
            for target in targets {
                out.clear();
                target.path.render(&captures, Some(b"a=b"), &mut out);
                assert!(out.starts_with(b"/"), "{}", shown());
                assert!(out.iter().all(|&b| (0x21..0x7f).contains(&b)), "{} {}", out.escape_ascii(), shown());
            }
        }
        Action::Redirect { location, .. } => {
            location.render(&captures, Some(b"a=b"), &mut out);
            assert!(out.iter().all(|&b| (0x21..0x7f).contains(&b)), "{} {}", out.escape_ascii(), shown());
        }
        _ => {}
    }
    out.clear();
    Table::slash_location(lookup.path, None, &mut out);
    assert!(out.starts_with(b"/") && !out.starts_with(b"//"), "{} {}", out.escape_ascii(), shown());
    // What goes on is what would be found again.
    let forward = forward.to_vec();
    let again = table.find(&Lookup { path: &forward, ..*lookup }, scratch);
    assert_eq!(again, found, "as {} {}", forward.escape_ascii(), shown());
    assert_eq!(scratch.forward_path(&forward), &forward[..], "{}", shown());
    // A person is told the same.
    if let (Ok(method), Ok(host), Ok(path)) = (text(lookup.method), text(lookup.host), text(lookup.path)) {
        let told = table.explain(&Request { method, host, path, query: None });
        assert!(told.candidates.first().is_some_and(|first| first.lost.is_none()), "{} {told:?}", shown());
    }
}

fn text(bytes: &[u8]) -> Result<String, std::string::FromUtf8Error> {
    String::from_utf8(bytes.to_vec())
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Rule(u32),
    AddSlash(u32),
    NotAllowed,
    Options,
    NotFound,
    Bad,
}

fn naive_outcome(rules: &[Rule], lookup: &Lookup<'_>, merge: bool) -> Outcome {
    let Some(once) = normal(lookup.path, merge) else { return Outcome::Bad };
    let settled = settle(rules, lookup, &once);
    let plain = once.replace("%2F", "/").replace("%5C", "/");
    if plain == once {
        return settled;
    }
    let dots = plain.split('/').any(|segment| segment == "." || segment == "..");
    let Some(twice) = normal(plain.as_bytes(), merge) else { return Outcome::Bad };
    match (winner(rules, lookup, &once), winner(rules, lookup, &twice)) {
        (Some(a), Some(b)) if a != b => Outcome::Bad,
        (Some(_), None) if dots => Outcome::Bad,
        _ => settled,
    }
}

fn settle(rules: &[Rule], lookup: &Lookup<'_>, path: &str) -> Outcome {
    let host = bare(lookup.host);
    if !rules.iter().any(|rule| host_fits(&rule.host, &host) && path_fits(rule, path)) {
        return Outcome::NotFound;
    }
    let reading = matches!(lookup.method, b"GET" | b"HEAD");
    let files = |rule: &Rule| matches!(rule.action, Action::Static(_));
    match winner(rules, lookup, path) {
        Some(number) if reading || !files(&rules[number]) => {
            let rule = &rules[number];
            let directory = matches!(&rule.action, Action::Static(target) if target.is_dir);
            let bare = path.matches('/').count() == rule.pattern.segments.len() && !rule.pattern.segments.is_empty();
            if directory && rule.pattern.end == End::Subtree && bare {
                Outcome::AddSlash(number as u32)
            } else {
                Outcome::Rule(number as u32)
            }
        }
        _ if lookup.method == b"OPTIONS" => Outcome::Options,
        _ => Outcome::NotAllowed,
    }
}

fn winner(rules: &[Rule], lookup: &Lookup<'_>, path: &str) -> Option<usize> {
    let host = bare(lookup.host);
    let fits = |rule: &Rule| host_fits(&rule.host, &host) && path_fits(rule, path) && takes(rule, lookup.method);
    let candidates = (0..rules.len()).filter(|number| fits(&rules[*number]));
    candidates.min_by_key(|number| {
        let rule = &rules[*number];
        let host_rank = match &rule.host {
            Host::Exact(_) => 0,
            Host::Wildcard(suffix) => 1000 - suffix.len(),
            Host::Any => 2000,
        };
        let kinds = rule.pattern.segments.iter().map(|segment| u8::from(matches!(segment, Segment::Param(_))));
        let end = match rule.pattern.end {
            End::Exact | End::Slash => 2,
            End::Subtree => 3,
            End::Splat => 4,
        };
        let method_rank = match &rule.methods {
            Methods::Named(names) if names.iter().any(|name| name.as_bytes() == lookup.method) => 0,
            Methods::Named(_) => 1,
            Methods::Every => 2,
        };
        (host_rank, kinds.chain([end]).collect::<Vec<u8>>(), method_rank, *number)
    })
}

fn takes(rule: &Rule, method: &[u8]) -> bool {
    match &rule.methods {
        Methods::Every => method != b"CONNECT" && method != b"TRACE",
        Methods::Named(names) => {
            names.iter().any(|name| name.as_bytes() == method || method == b"HEAD" && name == "GET")
        }
    }
}

fn path_fits(rule: &Rule, path: &str) -> bool {
    let parts: Vec<&str> = path[1..].split('/').collect();
    let segments = &rule.pattern.segments;
    let fits = |(segment, part): (&Segment, &&str)| match segment {
        Segment::Literal(text) => text == part,
        Segment::Param(_) => !part.is_empty(),
    };
    if parts.len() < segments.len() || !segments.iter().zip(&parts).all(fits) {
        return false;
    }
    let rest = &parts[segments.len()..];
    match rule.pattern.end {
        // The path of a rule without segments is the root alone.
        End::Exact => rest.is_empty(),
        End::Slash => rest == [""],
        End::Subtree => true,
        End::Splat => !rest.is_empty(),
    }
}

fn host_fits(host: &Host, request: &[u8]) -> bool {
    match host {
        Host::Any => true,
        Host::Exact(name) => name.as_bytes() == request,
        Host::Wildcard(suffix) => {
            let with_dot = [b".", suffix.as_bytes()].concat();
            !request.starts_with(b"[") && request.len() > with_dot.len() && request.ends_with(&with_dot)
        }
    }
}

/// The host without port and final dot, in lower case; addresses in their usual form.
fn bare(host: &[u8]) -> Vec<u8> {
    if let Some(inner) = host.strip_prefix(b"[") {
        let end = inner.iter().position(|&b| b == b']').unwrap_or(0);
        let address = std::str::from_utf8(&inner[..end]).ok().and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
        return address.map_or(Vec::new(), |address| format!("[{address}]").into_bytes());
    }
    let name = host.split(|&b| b == b':').next().unwrap_or_default();
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > anygate_route::MAX_HOST { Vec::new() } else { name.to_ascii_lowercase() }
}

/// The path in matching form; `None` where it deserves 400.
fn normal(path: &[u8], merge: bool) -> Option<String> {
    let mut text = String::new();
    let mut bytes = path.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(*bytes.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            match u8::try_from(value).ok()? {
                0 => return None,
                plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => text.push(char::from(plain)),
                other => text.push_str(&format!("%{other:02X}")),
            }
        } else if byte <= b' ' || byte > b'~' || byte == b'\\' {
            return None;
        } else {
            text.push(char::from(byte));
        }
    }
    let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
    let mut segments: Vec<&str> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        match *part {
            "" if merge && !last => {}
            "." if last => segments.push(""),
            "." => {}
            ".." => {
                segments.pop()?;
                if last {
                    segments.push("");
                }
            }
            other => segments.push(other),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

/// Rules and requests as they are written.
fn written(bytes: &[u8]) -> Case {
    let mut rules = Vec::new();
    let mut requests = Vec::new();
    let mut lines = bytes.split(|&b| b == b'\n');
    for line in lines.by_ref().take_while(|line| !line.is_empty()).take(MOST) {
        let line = String::from_utf8_lossy(line);
        let (head, action) = line.split_once('\t').unwrap_or((&line, "OK"));
        rules.push((head.to_owned(), action.to_owned()));
    }
    for line in lines.take(MOST) {
        let mut words = line.splitn(3, |&b| b == b' ').map(<[u8]>::to_vec);
        let mut word = || words.next().unwrap_or_default();
        let request = (word(), word(), word());
        // A request line without a path stands for the root before it is looked up.
        if !request.2.is_empty() {
            requests.push(request);
        }
    }
    (rules, requests)
}

/// Rules and requests that lie close together.
fn made(numbers: &mut Numbers<'_>) -> Case {
    const METHODS: [&str; 8] = ["", "", "GET ", "HEAD ", "POST ", "OPTIONS ", "GET POST ", "RPC TRACE "];
    const HOSTS: [&str; 8] = ["", "", "", "h.io", "a.h.io", "*.io", "*.h.io", "[::1]"];
    const SEGMENTS: [&str; 8] = ["a", "b", ":", ":", "c", "%2Fa", "a%5cb", "%7e"];
    const ENDS: [&str; 6] = ["", "", "/", "/{$}", "/*", "/"];
    const ACTIONS: [&str; 8] = ["OK", "OK", "./files/", "./one", "http://up", "http://up/x/", "*", "301 /to"];
    const ASKED: [&str; 8] = ["GET", "GET", "HEAD", "POST", "OPTIONS", "TRACE", "RPC", "BREW"];
    const ASKED_HOSTS: [&str; 8] = ["", "h.io", "A.h.io:80", "b.h.io.", "x.a.h.io", "io", "[::1]:8", "[0:0::1]"];
    const PARTS: [&str; 16] =
        ["a", "b", "c", "a", "z", "", ".", "..", "%2e", "%2E%2e", "%61", "a%2Fb", "..%2Fa", "%2F", "b%5cc", "%7E"];
    let mut rules = Vec::new();
    for _ in 0..1 + numbers.below(MOST) {
        let mut head = format!("{}{}", METHODS[numbers.below(8)], HOSTS[numbers.below(8)]);
        for at in 0..numbers.below(4) {
            let segment = SEGMENTS[numbers.below(8)];
            head.push('/');
            head.push_str(if segment == ":" { [":p", ":q", ":r"][at] } else { segment });
        }
        let end = ENDS[numbers.below(6)];
        head.push_str(if head.contains('/') || end.starts_with('/') { end } else { "/" });
        rules.push((head, ACTIONS[numbers.below(8)].to_owned()));
    }
    let mut requests = Vec::new();
    while !numbers.is_empty() && requests.len() < MOST {
        let (method, host) = (ASKED[numbers.below(8)], ASKED_HOSTS[numbers.below(8)]);
        let path: String = (0..1 + numbers.below(5)).map(|_| format!("/{}", PARTS[numbers.below(16)])).collect();
        requests.push((method.into(), host.into(), path.into()));
    }
    (rules, requests)
}
