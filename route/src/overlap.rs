//! Which pairs of rules does some request fit at once?

use crate::host::Host;
use crate::path::Scratch;
use crate::pattern::{End, Pattern, Segment};
use crate::request::Request;
use crate::table::{Found, Table};
use crate::trie::{NodeId, Terminal, Trie};
use crate::witness::{Witness, common_end};

/// Two rules that intersect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The rule that stands first in the file.
    pub first: u32,
    /// The other.
    pub second: u32,
    /// A request that fits both.
    pub request: Request,
    /// The rule that gets it: one of the two, or a third that is nearer than both; `None` if the request gets 400.
    pub winner: Option<u32>,
}

impl Table {
    /// Every pair of rules that intersect, by number.
    #[must_use]
    pub fn overlaps(&self) -> Vec<Overlap> {
        let witness = Witness::new(self);
        let roots = self.roots();
        let mut list = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let first = number as u32;
            let mut others = Vec::new();
            for (host, root) in &roots {
                if hosts_meet(&rule.host, host) {
                    collect(&self.trie, *root, &rule.pattern, &rule.pattern.segments, &mut others);
                }
            }
            others.retain(|other| *other > first);
            others.sort_unstable();
            list.extend(others.into_iter().filter_map(|second| {
                let request = witness.of_both(first, second)?;
                let refused = matches!(self.find(&request.lookup(), &mut Scratch::new()), Found::Bad(_));
                let winner = witness.winner(&request).filter(|_| !refused);
                Some(Overlap { first, second, request, winner })
            }));
        }
        list
    }

    /// Every host with the root of its rules: exact ones by name, the longest wildcard first, then none.
    pub(crate) fn roots(&self) -> Vec<(Host, NodeId)> {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut roots: Vec<(Host, NodeId)> =
            self.hosts.exact.iter().map(|(host, root)| (Host::Exact(name(host)), *root)).collect();
        roots.extend(self.hosts.wildcard.iter().map(|(host, root)| (Host::Wildcard(name(host)), *root)));
        roots.extend(self.hosts.any.map(|root| (Host::Any, root)));
        roots.sort_by_cached_key(|(host, _)| (host.rank(), host.to_string()));
        roots
    }
}

fn hosts_meet(a: &Host, b: &Host) -> bool {
    match (a, b) {
        (Host::Any, _) | (_, Host::Any) => true,
        (Host::Exact(name), other) | (other, Host::Exact(name)) => other.fits(name.as_bytes()),
        (Host::Wildcard(one), Host::Wildcard(other)) => {
            let under = |long: &str, short: &str| {
                long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            under(one, other) || under(other, one)
        }
    }
}

/// Collects the rules below `node` whose paths meet what is left of `pattern`.
fn collect(trie: &Trie, node: NodeId, pattern: &Pattern, left: &[Segment], out: &mut Vec<u32>) {
    let mut take = |end: End| out.extend(trie.end(node, end).into_iter().flat_map(Terminal::rules));
    let Some((segment, left)) = left.split_first() else {
        for end in [End::Exact, End::Slash, End::Subtree, End::Splat] {
            if common_end(pattern.end, end).is_some() {
                take(end);
            }
        }
        if pattern.has_rest() {
            for child in children(trie, node) {
                collect_all(trie, child, out);
            }
        }
        return;
    };
    take(End::Subtree);
    take(End::Splat);
    match segment {
        Segment::Literal(text) => {
            for child in trie.literal(node, text.as_bytes()).into_iter().chain(trie.param(node)) {
                collect(trie, child, pattern, left, out);
            }
        }
        Segment::Param(_) => {
            for child in children(trie, node) {
                collect(trie, child, pattern, left, out);
            }
        }
    }
}

fn collect_all(trie: &Trie, node: NodeId, out: &mut Vec<u32>) {
    for end in [End::Exact, End::Slash, End::Subtree, End::Splat] {
        out.extend(trie.end(node, end).into_iter().flat_map(Terminal::rules));
    }
    for child in children(trie, node) {
        collect_all(trie, child, out);
    }
}

fn children(trie: &Trie, node: NodeId) -> Vec<NodeId> {
    trie.literals(node).into_iter().map(|(_, child)| child).chain(trie.param(node)).collect()
}
