//! What holds for every rule set and every request.

use anygate_core::Span;
use anygate_route::{Action, Context, Found, Lookup, Request, Rule, Scratch, Table};
use proptest::prelude::*;
use proptest::sample::select;

use crate::naive::{self, Outcome};
use crate::text::Desk;

type Texts = Vec<(String, String)>;

fn head() -> impl Strategy<Value = String> {
    let methods = prop::sample::subsequence(vec!["GET", "HEAD", "POST", "OPTIONS", "TRACE", "RPC"], 0..3)
        .prop_map(|m| m.join(" "));
    let methods = prop_oneof![2 => Just(String::new()), 3 => methods];
    let host = prop_oneof![
        4 => Just(""),
        3 => select(vec!["h.io", "a.h.io", "*.io", "*.h.io", "*.a.h.io"]),
    ];
    let segments = prop::collection::vec(select(vec!["a", "b", "c", ":", ":", "%2Fa"]), 0..4);
    let end = select(vec!["", "", "/", "/{$}", "/*"]);
    (methods, host, segments, end).prop_map(|(methods, host, segments, end)| {
        let mut path = String::new();
        for (at, segment) in segments.iter().enumerate() {
            path.push('/');
            path.push_str(if *segment == ":" { [":p", ":q", ":r", ":s"][at] } else { segment });
        }
        path.push_str(if path.is_empty() && end.is_empty() { "/" } else { end });
        format!("{methods} {host}{path}").trim().to_owned()
    })
}

fn lines() -> impl Strategy<Value = Texts> {
    let action = select(vec!["OK", "OK", "./files/", "http://up", "./one"]);
    prop::collection::vec((head(), action.prop_map(str::to_owned)), 1..12)
}

fn path() -> impl Strategy<Value = String> {
    let usual = select(vec!["a", "b", "c", "z"]);
    let odd =
        select(vec!["", "", ".", "..", "%2e", "%2E%2e", "%61", "%c3", "a%2Fb", "..%2Fa", "%2F", "b%5cc", "%2fa", "a%"]);
    let segment = prop_oneof![8 => usual, 1 => odd];
    prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn request() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let method = select(vec!["GET", "HEAD", "POST", "OPTIONS", "TRACE", "RPC", "BREW"]);
    let host = select(vec!["", "h.io", "A.h.io:8080", "b.h.io.", "x.a.h.io", "q.io", "io", "other"]);
    (method, host, path())
}

/// The rules that can stand together, taken one by one; `hidden` is shown each list with a rule that is called
/// unreachable, and its place.
fn acceptable(lines: Texts, context: &Context, mut hidden: impl FnMut(&Texts, usize)) -> (Texts, Table) {
    let mut kept: Texts = Vec::new();
    let mut table = None;
    for line in lines {
        kept.push(line);
        let mut desk = Desk::default();
        let rules: Vec<Rule> = kept
            .iter()
            .map(|(head, action)| desk.rule((head.as_str(), action.as_str()), context).expect("a rule"))
            .collect();
        let heads: Vec<Span> = rules.iter().map(|rule| rule.head.span).collect();
        let (built, findings) = Table::build(rules, context);
        if built.is_some() {
            table = built;
            continue;
        }
        for finding in findings.iter().filter(|finding| finding.message.starts_with("no request")) {
            let place = finding.primary.as_ref().map(|(span, _)| *span);
            hidden(&kept, heads.iter().position(|head| Some(*head) == place).expect("one of the heads"));
        }
        kept.pop();
    }
    (kept, table.unwrap_or_else(|| Table::build(Vec::new(), context).0.expect("an empty table")))
}

fn found(table: &Table, (method, host, path): &(&str, &str, String)) -> Outcome {
    let request = Request { method: (*method).into(), host: (*host).into(), path: path.clone(), query: None };
    let allow = |allow| {
        let mut text = Vec::new();
        table.write_allow(allow, &mut text);
        let text = String::from_utf8(text).expect("ASCII");
        let mut list: Vec<String> = text.split(", ").map(str::to_owned).collect();
        list.sort();
        list
    };
    match table.find(&request.lookup(), &mut Scratch::new()) {
        Found::Rule(n) => Outcome::Rule(n as usize),
        Found::AddSlash(n) => Outcome::AddSlash(n as usize),
        Found::MethodNotAllowed(set) => Outcome::MethodNotAllowed(allow(set)),
        Found::Options(set) => Outcome::Options(allow(set)),
        Found::NotFound => Outcome::NotFound,
        Found::Bad(_) => Outcome::Bad,
    }
}

/// Every request over a small alphabet.
fn small_requests() -> Vec<(&'static str, &'static str, String)> {
    let mut paths = vec![String::new()];
    let mut longest = vec![String::new()];
    for _ in 0..4 {
        longest = longest.iter().flat_map(|p| ["a", "b", "c", "%2Fa", "z"].map(|s| format!("{p}/{s}"))).collect();
        paths.extend(longest.iter().cloned());
    }
    let mut list = Vec::new();
    for path in &paths {
        for end in ["", "/"] {
            for method in ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "RPC", "BREW"] {
                list.push((method, "", format!("{path}{end}")));
            }
        }
    }
    list.retain(|(_, _, path)| !path.is_empty());
    list
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_finds_what_asking_every_rule_finds(
        lines in lines(),
        requests in prop::collection::vec(request(), 40),
        merge_slashes: bool,
    ) {
        let context = Context { merge_slashes, ..Context::default() };
        let (lines, table) = acceptable(lines, &context, |_, _| ());
        for request in &requests {
            let (method, host, path) = request;
            let expected = naive::outcome(&lines, method, host, path, merge_slashes);
            prop_assert_eq!(found(&table, request), expected, "{:?} of {:?}", request, lines);
        }
    }

    #[test]
    fn a_rule_that_is_called_unreachable_is_never_chosen(
        lines in lines(),
        requests in prop::collection::vec(request(), 60),
    ) {
        acceptable(lines, &Context::default(), |all, hidden| {
            for (method, host, path) in &requests {
                let outcome = naive::outcome(all, method, host, path, true);
                let chosen = outcome == Outcome::Rule(hidden) || outcome == Outcome::AddSlash(hidden);
                assert!(!chosen, "{method} {host} {path} reaches {:?} of {all:?}", all[hidden]);
            }
        });
    }

    #[test]
    fn normalising_twice_changes_nothing_and_stays_below_the_root(path in path(), merge_slashes: bool) {
        let context = Context { merge_slashes, ..Context::default() };
        let table = Desk::default().build(&[("/", "OK")], &context).0.expect("a table");
        let lookup = |path: &str, scratch: &mut Scratch| {
            let request = Request { method: "GET".into(), host: String::new(), path: path.into(), query: None };
            table.find(&request.lookup(), scratch)
        };
        let mut scratch = Scratch::new();
        prop_assume!(lookup(&path, &mut scratch) == Found::Rule(0));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        let forward = text(scratch.forward_path(path.as_bytes()));
        let matching = text(scratch.matching_path(path.as_bytes()));
        prop_assert_eq!(Some(matching.clone()), naive::normal(&path, merge_slashes));
        for form in [&forward, &matching] {
            prop_assert!(form.starts_with('/'));
            let dots = form.split('/').any(|segment| segment == "." || segment == "..");
            prop_assert!(!dots);
            prop_assert_eq!(lookup(form, &mut scratch), Found::Rule(0));
            prop_assert_eq!(&text(scratch.forward_path(form.as_bytes())), form);
            prop_assert_eq!(&text(scratch.matching_path(form.as_bytes())), &matching);
        }
    }

    #[test]
    fn a_filled_in_location_never_names_another_host(path in "[/a-z.%25\\\\:]{0,12}", merge_slashes: bool) {
        let context = Context { merge_slashes, ..Context::default() };
        let lines = [("/*", "301 /*"), ("/:a/*", "302 /*"), ("/a/:x/:y/*", "307 /*/:x")];
        let table = Desk::default().build(&lines, &context).0.expect("a table");
        let mut scratch = Scratch::new();
        let path = format!("/{path}");
        let lookup = Lookup { method: b"GET", host: b"", path: path.as_bytes() };
        if let Found::Rule(rule) = table.find(&lookup, &mut scratch) {
            let Action::Redirect { location, .. } = &table.rules()[rule as usize].action else { unreachable!() };
            let mut out = Vec::new();
            location.render(&table.captures(rule, path.as_bytes(), &scratch), Some(b"q"), &mut out);
            prop_assert_eq!(out[0], b'/');
            prop_assert!(!matches!(out[1], b'/' | b'\\'), "{}", String::from_utf8_lossy(&out));
        }
        let mut out = Vec::new();
        Table::slash_location(path.as_bytes(), None, &mut out);
        prop_assert!(out == b"/" || !matches!(out[1], b'/'), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn the_literal_prefix_and_the_tail_make_the_forwarded_path(path in path(), merge_slashes: bool) {
        let context = Context { merge_slashes, ..Context::default() };
        let lines = [("/", "OK"), ("/a/:x/b", "OK"), ("/a/:x/", "OK"), ("/b/*", "OK"), ("/c/a/:y/*", "OK")];
        let table = Desk::default().build(&lines, &context).0.expect("a table");
        let mut scratch = Scratch::new();
        let lookup = Lookup { method: b"GET", host: b"", path: path.as_bytes() };
        if let Found::Rule(rule) = table.find(&lookup, &mut scratch) {
            let captures = table.captures(rule, path.as_bytes(), &scratch);
            let pattern = &table.rules()[rule as usize].pattern;
            let parts: Vec<&[u8]> = captures.forward_path()[1..].split(|b| *b == b'/').collect();
            let from = |n: usize| parts.get(n..).unwrap_or_default().join(&b'/');
            prop_assert_eq!(captures.tail(), from(pattern.literal_prefix()));
            prop_assert_eq!(captures.rest(), if pattern.has_rest() { from(pattern.segments.len()) } else { Vec::new() });
            for ((name, at), (same, value)) in pattern.params().zip(captures.params()) {
                prop_assert_eq!((name, parts[at]), (same, value));
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(method in ".{0,8}", host in prop::collection::vec(any::<u8>(), 0..40), path in prop::collection::vec(any::<u8>(), 0..60)) {
        let table = Desk::default().build(&[("/", "OK"), ("*.a/:x/b", "OK"), ("GET /a/*", "./d/")], &Context::default()).0.expect("a table");
        let lookup = Lookup { method: method.as_bytes(), host: &host, path: &path };
        let mut scratch = Scratch::new();
        if let Some(rule) = table.find(&lookup, &mut scratch).rule() {
            let captures = table.captures(rule, &path, &scratch);
            prop_assert!(captures.tail().len() <= captures.forward_path().len());
        }
    }

    #[test]
    fn any_text_is_a_rule_or_has_findings(head in "\\PC{0,24}", action in "\\PC{0,24}") {
        let mut desk = Desk::default();
        if let Err(findings) = desk.rule((&head, &action), &Context::default()) {
            prop_assert!(!findings.is_empty());
            desk.render(&findings);
        }
    }

    #[test]
    fn what_looks_like_a_rule_is_a_rule_or_has_findings(
        head in "[A-Z*a., ]{0,6}[a:.*\\[\\]%2/]{0,5}/[a:*{}$%25/?.é -]{0,12}",
        action in "(OK|301|404|http://|http\\+unix:///|\\*|/|\\./)[ a:*{}%2/?#&.é\\[\\]@-]{0,12}",
    ) {
        let mut desk = Desk::default();
        match desk.rule((&head, &action), &Context::default()) {
            Err(findings) => {
                prop_assert!(!findings.is_empty());
                desk.render(&findings);
            }
            Ok(rule) => {
                let again = desk.rule((&rule.to_string(), &action), &Context::default()).expect("its own spelling");
                prop_assert_eq!(again.to_string(), rule.to_string());
            }
        }
    }
}

#[test]
fn a_redirects_authority_holds_what_a_uri_may_whatever_the_scheme() {
    for action in ["308 other://x h", "308 other://x\r\nA: b", "301 http://a b@c/", "301 //a\u{e9}@c/", "302 x://<"] {
        let findings = Desk::default().rule(("/a", action), &Context::default()).expect_err(action);
        assert_eq!(findings[0].message, "this is no URI", "{action}");
    }
    for action in ["308 other://x", "301 http://a:b%20@c/", "301 //[::1]:80/", "302 x://"] {
        assert!(Desk::default().rule(("/a", action), &Context::default()).is_ok(), "{action}");
    }
}

#[test]
fn a_comma_between_methods_is_shown_right_where_blanks_follow_the_path() {
    let mut desk = Desk::default();
    let findings = desk.rule(("GET,POST /\u{e9}\u{e9} ", "OK"), &Context::default()).expect_err("a comma");
    let help = findings[0].help.as_deref().unwrap_or_default();
    assert_eq!(help, "write `GET POST /\u{e9}\u{e9}`");
}

/// True if some rule wins none of the small requests.
fn small_hidden(lines: &Texts) -> bool {
    let mut wins = vec![false; lines.len()];
    for host in ["", "h.io", "a.h.io", "x.a.h.io", "x.h.io", "x.io"] {
        for (method, _, path) in small_requests().iter().filter(|(_, _, path)| path.matches('/').count() < 5) {
            if let Outcome::Rule(n) | Outcome::AddSlash(n) = naive::outcome(lines, method, host, path, true) {
                wins[n] = true;
            }
        }
    }
    wins.contains(&false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_of_an_accepted_table_is_chosen_for_some_request(lines in lines()) {
        // Several rules together may take all that a literal with an encoded slash comes to; only one that does so
        // alone is looked for.
        let heads = lines.into_iter().map(|(head, _)| head).filter(|head| !head.contains('%'));
        let lines: Texts = heads.map(|head| (head, "OK".to_owned())).take(5).collect();
        let (lines, _) = acceptable(lines, &Context::default(), |_, _| ());
        prop_assert!(!small_hidden(&lines), "{:?}", lines);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_request_of_an_overlap_fits_both_rules_and_the_winner_is_right(lines in lines()) {
        let lines = lines.into_iter().map(|(head, _)| (head, "OK".to_owned())).collect();
        let (lines, table) = acceptable(lines, &Context::default(), |_, _| ());
        for overlap in table.overlaps() {
            let request = &overlap.request;
            for rule in [overlap.first, overlap.second] {
                let rule = &table.rules()[rule as usize];
                prop_assert!(rule.fits(request.method.as_bytes(), request.host.as_bytes(), request.path.as_bytes()));
            }
            let expected = overlap.winner.map_or(Outcome::Bad, |winner| Outcome::Rule(winner as usize));
            let outcome = naive::outcome(&lines, &request.method, &request.host, &request.path, true);
            prop_assert_eq!(outcome, expected, "{:?}", overlap);
        }
    }

    #[test]
    fn two_rules_that_one_request_fits_are_listed_as_an_overlap(
        lines in lines(),
        requests in prop::collection::vec(request(), 30),
    ) {
        let (_, table) = acceptable(lines, &Context::default(), |_, _| ());
        let pairs: Vec<(u32, u32)> = table.overlaps().iter().map(|o| (o.first, o.second)).collect();
        for (method, host, path) in &requests {
            let Some(path) = naive::normal(path, true).filter(|p| !p.contains('%')) else { continue };
            let fitting: Vec<u32> = (0u32..)
                .zip(table.rules())
                .filter(|(_, rule)| rule.fits(method.as_bytes(), host.as_bytes(), path.as_bytes()))
                .map(|(number, _)| number)
                .collect();
            for (at, a) in fitting.iter().enumerate() {
                for b in &fitting[at + 1..] {
                    prop_assert!(pairs.contains(&(*a, *b)), "{} {}", a, b);
                }
            }
        }
    }
}
