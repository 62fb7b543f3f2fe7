//! Which pairs of rules does some request fit at once?

use crate::host::{Host, RequestHost};
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
    /// Every pair of rules that intersect, in the file's order.
    #[must_use]
    pub fn overlaps(&self) -> Vec<Overlap> {
        let witness = Witness::new(self);
        let mut list = Vec::new();
        let mut others = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let number = number as u32;
            for (root, own) in self.roots_above(&rule.host) {
                collect(&self.trie, root, &rule.pattern, &rule.pattern.segments, &mut others);
                for other in others.drain(..).filter(|other| !own || *other > number) {
                    let (first, second) = (number.min(other), number.max(other));
                    let Some(request) = witness.of_both(first, second) else { continue };
                    let refused = matches!(self.find(&request.lookup(), &mut Scratch::new()), Found::Bad(_));
                    let winner = witness.winner(&request).filter(|_| !refused);
                    list.push(Overlap { first, second, request, winner });
                }
            }
        }
        list.sort_by_key(|overlap| (overlap.first, overlap.second));
        list
    }

    /// The roots of the hosts that contain a host, and whether each is its own: every pair of hosts that meet is met
    /// from its narrower side.
    fn roots_above(&self, host: &Host) -> Vec<(NodeId, bool)> {
        let mut roots: Vec<(NodeId, bool)> = Vec::new();
        if let Host::Exact(name) | Host::Wildcard(name) = host {
            let own = if matches!(host, Host::Exact(_)) { &self.hosts.exact } else { &self.hosts.wildcard };
            roots.extend(own.get(name.as_bytes()).map(|root| (*root, true)));
            let request = RequestHost::new(name.as_bytes());
            roots.extend(request.suffixes().filter_map(|suffix| self.hosts.wildcard.get(suffix)).map(|r| (*r, false)));
        }
        roots.extend(self.hosts.any.map(|root| (root, *host == Host::Any)));
        roots
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
