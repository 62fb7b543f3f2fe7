//! Where in a tree of segments do the rules that fit a path stand?

use std::collections::HashMap;
use std::ops::ControlFlow;

use foldhash::fast::FixedState;

use crate::methods::Set;
use crate::pattern::{End, Pattern, Segment};

/// The patterns of all rules. Each host has its own root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    terminals: Vec<Terminal>,
}

/// What may follow one sequence of segments.
#[derive(Debug, Clone)]
struct Node {
    literals: Literals,
    param: u32,
    /// Indexed by [`End`].
    ends: [u32; 4],
}

/// The literal segments below a node.
#[derive(Debug, Clone)]
enum Literals {
    /// At most [`FEW`]: comparing is quicker than hashing.
    Few(Vec<(Box<[u8]>, u32)>),
    Many(HashMap<Box<[u8]>, u32, FixedState>),
}

/// Rules with the same host and the same pattern.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terminal {
    /// Rules that name methods, in the file's order.
    pub(crate) named: Vec<(Set, u32)>,
    /// The rule for every method.
    pub(crate) every: Option<u32>,
}

/// Most literal segments below one node that are compared one by one.
const FEW: usize = 8;
const NONE: u32 = u32::MAX;

/// Names a node.
pub(crate) type NodeId = u32;

impl Trie {
    /// A new root.
    pub(crate) fn root(&mut self) -> NodeId {
        self.nodes.push(Node { literals: Literals::Few(Vec::new()), param: NONE, ends: [NONE; 4] });
        (self.nodes.len() - 1) as NodeId
    }

    /// The terminal of a pattern, made where it is missing.
    pub(crate) fn terminal(&mut self, root: NodeId, pattern: &Pattern) -> &mut Terminal {
        let mut at = root;
        for segment in &pattern.segments {
            at = match segment {
                Segment::Literal(text) => match self.node(at).literals.get(text.as_bytes()) {
                    Some(child) => child,
                    None => {
                        let child = self.root();
                        self.nodes[at as usize].literals.insert(text.as_bytes().into(), child);
                        child
                    }
                },
                Segment::Param(_) if self.node(at).param != NONE => self.node(at).param,
                Segment::Param(_) => {
                    let child = self.root();
                    self.nodes[at as usize].param = child;
                    child
                }
            };
        }
        let slot = &mut self.nodes[at as usize].ends[pattern.end as usize];
        if *slot == NONE {
            *slot = self.terminals.len() as u32;
            self.terminals.push(Terminal::default());
        }
        let slot = *slot as usize;
        &mut self.terminals[slot]
    }

    /// How many nodes there are; a child's number is greater than its parent's.
    pub(crate) fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The terminal of a node for one end.
    pub(crate) fn end(&self, node: NodeId, end: End) -> Option<&Terminal> {
        match self.node(node).ends[end as usize] {
            NONE => None,
            at => Some(&self.terminals[at as usize]),
        }
    }

    /// The child for a parameter.
    pub(crate) fn param(&self, node: NodeId) -> Option<NodeId> {
        match self.node(node).param {
            NONE => None,
            child => Some(child),
        }
    }

    /// The child for a literal segment.
    pub(crate) fn literal(&self, node: NodeId, segment: &[u8]) -> Option<NodeId> {
        self.node(node).literals.get(segment)
    }

    /// Every child for a literal segment, in no order.
    pub(crate) fn literals(&self, node: NodeId) -> Vec<(&[u8], NodeId)> {
        match &self.node(node).literals {
            Literals::Few(list) => list.iter().map(|(text, child)| (&**text, *child)).collect(),
            Literals::Many(map) => map.iter().map(|(text, child)| (&**text, *child)).collect(),
        }
    }

    /// Shows `visit` each terminal whose pattern fits, the winning one first: at each segment the literal, then the
    /// parameter; where the path ends, the path itself, then the subtree, then the splat.
    ///
    /// A node is looked at once at most, and at each level there are two ways on at most, so the cost depends on the
    /// path's segments and on how many rules share its shape, not on how many rules there are.
    pub(crate) fn walk<B>(
        &self,
        node: NodeId,
        path: &[u8],
        steps: &mut u32,
        visit: &mut impl FnMut(&Terminal) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        *steps += 1;
        let Some(rest) = path.get(1..) else {
            self.visit(node, End::Exact, visit)?;
            return self.visit(node, End::Subtree, visit);
        };
        let length = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
        let (segment, after) = rest.split_at(length);
        if let Some(child) = self.literal(node, segment) {
            self.walk(child, after, steps, visit)?;
        }
        if let Some(child) = self.param(node).filter(|_| !segment.is_empty()) {
            self.walk(child, after, steps, visit)?;
        }
        if rest.is_empty() {
            self.visit(node, End::Slash, visit)?;
        }
        self.visit(node, End::Subtree, visit)?;
        self.visit(node, End::Splat, visit)
    }

    fn visit<B>(&self, node: NodeId, end: End, visit: &mut impl FnMut(&Terminal) -> ControlFlow<B>) -> ControlFlow<B> {
        match self.end(node, end) {
            Some(terminal) => visit(terminal),
            None => ControlFlow::Continue(()),
        }
    }

    /// No path makes [`Trie::walk`] look at more nodes below `node` than this.
    pub(crate) fn most_steps(&self, node: NodeId) -> u32 {
        let below = |child| self.most_steps(child);
        let literal = self.literals(node).into_iter().map(|(_, child)| below(child)).max().unwrap_or(0);
        literal.saturating_add(self.param(node).map_or(0, below)).saturating_add(1)
    }
}

impl Literals {
    fn get(&self, segment: &[u8]) -> Option<NodeId> {
        match self {
            Literals::Few(list) => list.iter().find(|(text, _)| **text == *segment).map(|(_, child)| *child),
            Literals::Many(map) => map.get(segment).copied(),
        }
    }

    fn insert(&mut self, segment: Box<[u8]>, child: NodeId) {
        match self {
            Literals::Many(map) => {
                map.insert(segment, child);
            }
            Literals::Few(list) if list.len() < FEW => list.push((segment, child)),
            Literals::Few(list) => {
                let mut map: HashMap<_, _, FixedState> = list.drain(..).collect();
                map.insert(segment, child);
                *self = Literals::Many(map);
            }
        }
    }
}

impl Terminal {
    /// The rule that takes a method: one that names it, `GET` standing in for `HEAD`, then the one for every method.
    pub(crate) fn pick(&self, method: Set) -> Option<u32> {
        let naming = |method: Set| self.named.iter().find(|(set, _)| set.meets(method)).map(|(_, rule)| *rule);
        naming(method)
            .or_else(|| if method == Set::HEAD { naming(Set::GET) } else { None })
            .or_else(|| if Set::EVERY.meets(method) { self.every } else { None })
    }

    /// The methods it takes.
    pub(crate) fn takes(&self) -> Set {
        let named = self.named.iter().fold(Set::NONE, |all, (set, _)| all.or(*set)).with_head();
        if self.every.is_some() { named.or(Set::EVERY) } else { named }
    }

    /// Its rules in the order in which they are asked.
    pub(crate) fn rules(&self) -> impl Iterator<Item = u32> {
        self.named.iter().map(|(_, rule)| *rule).chain(self.every)
    }
}
