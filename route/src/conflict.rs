//! Which rules cannot be meant: duplicates, and rules that no request can reach?

use std::collections::HashSet;

use anygate_core::Diagnostic;

use crate::host::{Host, RequestHost};
use crate::methods::{MAX_METHODS, Methods, Set, misspelt};
use crate::pattern::{End, Pattern, Segment};
use crate::rule::{Action, PathKind, Rule};
use crate::table::Table;
use crate::template::Piece;
use crate::trie::{NodeId, Terminal};
use crate::witness::Witness;

/// More tree nodes than this for one lookup are worth a warning.
const MANY_STEPS: u32 = 10_000;

pub(crate) fn too_many_methods(rule: &Rule) -> Diagnostic {
    Diagnostic::error(format!("the rules name more than {MAX_METHODS} methods"))
        .at(rule.head.span, "one too many")
        .help("leave the methods out: a rule without any takes every method")
}

pub(crate) fn duplicate(first: &Rule, second: &Rule) -> Diagnostic {
    Diagnostic::error(format!("two rules for `{second}`"))
        .at(second.head.span, "the same host, path and methods")
        .and_at(first.head.span, "as here")
        .help("leave one out, or let one name other methods")
}

/// Looks for everything that only all rules together show.
pub(crate) fn examine(table: &Table, findings: &mut Vec<Diagnostic>) {
    let witness = Witness::new(table);
    let covers = covers(table);
    let roots: HashSet<NodeId> = table.roots().into_iter().map(|(_, root)| root).collect();
    let mut found: Vec<(u32, Diagnostic)> = Vec::new();
    for node in 0..table.trie.len() {
        if let (Some(subtree), Some(splat)) = (table.trie.end(node, End::Subtree), table.trie.end(node, End::Splat)) {
            found.extend(beside(table, subtree, splat));
            continue;
        }
        for end in [End::Exact, End::Slash, End::Subtree, End::Splat] {
            let Some(terminal) = table.trie.end(node, end) else { continue };
            let hidden = hidden(table, node, end, &covers, roots.contains(&node));
            for (rule, claim, reach) in claims(terminal, hidden) {
                if reach.is_empty() {
                    let methods = if claim.is_empty() { table.traits[rule as usize].methods } else { claim };
                    found.push((rule, unreachable(table, &witness, rule, methods)));
                }
            }
        }
    }
    for (number, rule) in table.rules.iter().enumerate() {
        found.extend(hidden_when_decoded(table, rule).map(|finding| (number as u32, finding)));
        found.extend(warnings(rule).into_iter().map(|finding| (number as u32, finding)));
    }
    found.sort_by_key(|(rule, _)| *rule);
    findings.extend(found.into_iter().map(|(_, finding)| finding));
    let steps = most_steps(table);
    if steps > MANY_STEPS {
        findings.push(
            Diagnostic::warning(format!("a request may have to be compared at up to {steps} places"))
                .help("use fewer rules that mix `:name` and literal segments at the same places"),
        );
    }
}

/// The most tree nodes that one lookup may look at: those of the rules for every host, of one exact host, and of the
/// wildcards above it.
fn most_steps(table: &Table) -> u32 {
    let steps = |root: NodeId| table.trie.most_steps(root);
    let above = |name: &[u8]| {
        let wildcards = RequestHost::new(name);
        let roots = wildcards.suffixes().filter_map(|suffix| table.hosts.wildcard.get(suffix));
        roots.map(|root| steps(*root)).fold(0, u32::saturating_add)
    };
    let named = table.hosts.exact.iter().chain(&table.hosts.wildcard);
    let most = named.map(|(name, root)| steps(*root).saturating_add(above(name))).max().unwrap_or(0);
    most.saturating_add(table.hosts.any.map_or(0, steps))
}

fn beside(table: &Table, subtree: &Terminal, splat: &Terminal) -> Option<(u32, Diagnostic)> {
    let (a, b) = (subtree.rules().next()?, splat.rules().next()?);
    let (first, second) = (&table.rules[a.min(b) as usize], &table.rules[a.max(b) as usize]);
    let with_slash = &table.rules[a as usize].pattern;
    let error = Diagnostic::error(format!("`{}` beside `{}`", second.pattern, first.pattern))
        .at(second.head.span, "the same subtree")
        .and_at(first.head.span, "as here")
        .help(format!("keep one: `{with_slash}` also takes the path without its slash"));
    Some((a.max(b), error))
}

/// The methods for which a node's rules leave nothing to others.
#[derive(Clone, Copy)]
struct Cover {
    /// Where the path ends at the node.
    here: Set,
    /// Where it goes on with a slash.
    below: Set,
}

/// What every node covers. Children stand after their parents, so they are looked at first.
fn covers(table: &Table) -> Vec<Cover> {
    let mut covers = vec![Cover { here: Set::NONE, below: Set::NONE }; table.trie.len() as usize];
    for node in (0..table.trie.len()).rev() {
        let takes = |end| table.trie.end(node, end).map_or(Set::NONE, Terminal::takes);
        let deeper = takes(End::Slash).and(covered_by_param(table, node, &covers));
        covers[node as usize] = Cover {
            here: takes(End::Exact).or(takes(End::Subtree)),
            below: takes(End::Subtree).or(takes(End::Splat)).or(deeper),
        };
    }
    covers
}

/// The methods for which the parameter below a node takes every path with one more segment.
fn covered_by_param(table: &Table, node: NodeId, covers: &[Cover]) -> Set {
    match table.trie.param(node) {
        Some(child) if table.merge_slashes => covers[child as usize].here.and(covers[child as usize].below),
        _ => Set::NONE,
    }
}

/// The methods that nearer rules take from everything a terminal matches.
///
/// Only rules below a subtree or splat can do that together (`/p`, `/p/{$}` and `/p/:x/` leave nothing to `/p/`):
/// literals are too few to hide a parameter, and hosts too few to hide a wildcard.
fn hidden(table: &Table, node: NodeId, end: End, covers: &[Cover], is_root: bool) -> Set {
    let takes = |end| table.trie.end(node, end).map_or(Set::NONE, Terminal::takes);
    let deeper = takes(End::Slash).and(covered_by_param(table, node, covers));
    match end {
        End::Exact | End::Slash => Set::NONE,
        End::Subtree if is_root => deeper,
        End::Subtree => deeper.and(takes(End::Exact)),
        End::Splat => deeper,
    }
}

/// Each rule of a terminal with the methods it is asked for there, and those that nearer rules leave to it.
fn claims(terminal: &Terminal, hidden: Set) -> Vec<(u32, Set, Set)> {
    let mut list = Vec::new();
    let names_head = terminal.named.iter().any(|(set, _)| set.meets(Set::HEAD));
    let mut decided = Set::NONE;
    for (set, rule) in &terminal.named {
        let set = if names_head { *set } else { set.with_head() };
        let claim = set.without(decided);
        decided = decided.or(set);
        list.push((*rule, claim, claim.without(hidden)));
    }
    if let Some(rule) = terminal.every {
        let claim = Set::EVERY.without(decided);
        list.push((rule, claim, claim.without(hidden)));
    }
    list
}

fn unreachable(table: &Table, witness: &Witness<'_>, number: u32, methods: Set) -> Diagnostic {
    let rule = &table.rules[number as usize];
    let mut error =
        Diagnostic::error(format!("no request can reach `{rule}`")).at(rule.head.span, "hidden by other rules");
    if let Some(request) = witness.of(number, methods)
        && let Some(winner) = witness.winner(&request)
    {
        let winner = &table.rules[winner as usize];
        error = error.and_at(winner.head.span, "this one comes first").note(format!("`{request}` goes to `{winner}`"));
    }
    error.help("leave it out, or narrow the rules that hide it")
}

/// A literal with `%2F` is compared decoded too; where another rule takes all of that, each request gets 400.
fn hidden_when_decoded(table: &Table, rule: &Rule) -> Option<Diagnostic> {
    let encoded = |s: &Segment| matches!(s, Segment::Literal(t) if t.contains("%2F") || t.contains("%5C"));
    if !rule.pattern.segments.iter().any(encoded) {
        return None;
    }
    let segments = rule.pattern.segments.iter().flat_map(|segment| match segment {
        Segment::Param(name) => vec![Segment::Param(name.clone())],
        Segment::Literal(text) => text
            .replace("%5C", "%2F")
            .split("%2F")
            .filter(|part| !part.is_empty())
            .map(|part| Segment::Literal(part.to_owned()))
            .collect(),
    });
    let decoded = Pattern { segments: segments.collect(), end: rule.pattern.end };
    let by = table.rules.iter().find(|other| {
        contains(&other.pattern, &decoded)
            && host_contains(&other.host, &rule.host)
            && methods_contain(&other.methods, &rule.methods)
    })?;
    Some(
        Diagnostic::error(format!("no request can reach `{rule}`"))
            .at(rule.head.span, "an encoded slash")
            .and_at(by.head.span, "takes the decoded path")
            .note(format!(
                "a path with an encoded slash is compared decoded too, as `{decoded}`; two rules make it 400"
            ))
            .help("write the path with a plain slash"),
    )
}

/// True if every path of `inner` is one of `outer`, even where encoded slashes in `inner`'s parameters come to more
/// segments, or to none, once they are decoded.
fn contains(outer: &Pattern, inner: &Pattern) -> bool {
    let plain = inner.literal_prefix().min(outer.segments.len());
    let (begin, more) = outer.segments.split_at(plain);
    if !begin.iter().zip(&inner.segments).all(|(outer, inner)| segment_contains(outer, inner)) {
        return false;
    }
    if !outer.has_rest() {
        let literal = inner.literal_prefix() == inner.segments.len();
        return literal && more.is_empty() && inner.segments.len() == plain && outer.end == inner.end;
    }
    let certain = inner.segments[plain..].iter().filter(|s| matches!(s, Segment::Literal(_))).count();
    let needed = more.len() + usize::from(outer.end == End::Splat);
    more.iter().all(|s| matches!(s, Segment::Param(_))) && needed <= certain
}

fn segment_contains(outer: &Segment, inner: &Segment) -> bool {
    match (outer, inner) {
        (Segment::Param(_), _) => true,
        (Segment::Literal(a), Segment::Literal(b)) => a == b,
        (Segment::Literal(_), Segment::Param(_)) => false,
    }
}

fn host_contains(outer: &Host, inner: &Host) -> bool {
    match (outer, inner) {
        (Host::Any, _) => true,
        (_, Host::Any) => false,
        (_, Host::Exact(name)) => outer.fits(name.as_bytes()),
        (Host::Wildcard(_), Host::Wildcard(suffix)) => outer.fits(format!("x.{suffix}").as_bytes()),
        (Host::Exact(_), Host::Wildcard(_)) => false,
    }
}

fn methods_contain(outer: &Methods, inner: &Methods) -> bool {
    match (outer, inner) {
        (Methods::Every, Methods::Every) => true,
        (Methods::Named(_), Methods::Every) => false,
        (outer, Methods::Named(list)) => list.iter().all(|m| outer.fits(m.as_bytes())),
    }
}

/// What works, but probably not as meant.
fn warnings(rule: &Rule) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    if let Methods::Named(named) = &rule.methods {
        let slips = named.iter().filter_map(|method| Some((method, misspelt(method)?)));
        list.extend(slips.map(|(method, near)| {
            Diagnostic::warning(format!("`{method}` is no standard method"))
                .at(rule.head.span, "asked for by hardly anybody")
                .help(format!("did you mean `{near}`?"))
        }));
    }
    if let (Action::Static(_), Methods::Named(named)) = (&rule.action, &rule.methods) {
        let others: Vec<&str> = named.iter().map(String::as_str).filter(|m| *m != "GET" && *m != "HEAD").collect();
        if !others.is_empty() {
            list.push(
                Diagnostic::warning(format!("files answer GET and HEAD only, {} gets 405", others.join(" and ")))
                    .at(rule.head.span, "names other methods")
                    .help(format!("write `GET {}{}`", rule.host, rule.pattern)),
            );
        }
    }
    let Action::Proxy(targets) = &rule.action else { return list };
    let Some(path) = targets.first().map(|target| &target.path) else { return list };
    let filled = path.template.path.iter().any(|piece| !matches!(piece, Piece::Text(_)));
    if path.kind == PathKind::Append && filled {
        let mut text = targets[0].text.clone();
        text.push('*');
        let end = if rule.pattern.has_rest() { text.as_str() } else { targets[0].text.trim_end_matches('/') };
        list.push(
            Diagnostic::warning(
                "a target that ends in `/` gets all that follows the head's literal prefix, parameters too",
            )
            .at(rule.action_text.span, "filled in, and appended once more")
            .help(format!("write `{end}`")),
        );
    }
    list
}
