//! Which rule does a request belong to?

use std::collections::HashMap;
use std::ops::ControlFlow;

use anygate_core::Diagnostic;
use foldhash::fast::FixedState;

use crate::captures::Captures;
use crate::conflict;
use crate::host::{Host, RequestHost};
use crate::methods::{Names, Set};
use crate::path::{BadPath, Scratch};
use crate::pattern::End;
use crate::rule::{Action, Context, Rule};
use crate::template::{escape, escape_query};
use crate::trie::{NodeId, Terminal, Trie};

/// All rules of a configuration, compiled for lookup. It never changes; each shard has its own.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) rules: Vec<Rule>,
    pub(crate) traits: Vec<Traits>,
    pub(crate) names: Names,
    pub(crate) trie: Trie,
    pub(crate) hosts: Hosts,
    pub(crate) merge_slashes: bool,
}

/// What a lookup must know of a rule beside its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// The methods it takes, but for `HEAD` beside `GET`.
    pub(crate) methods: Set,
    /// Its files answer `GET` and `HEAD` only.
    pub(crate) files: bool,
    /// Its directory wants a slash after a path of exactly this many segments.
    slash_after: Option<u8>,
}

/// The roots of the tries, by host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    pub(crate) any: Option<NodeId>,
    pub(crate) exact: HashMap<Box<[u8]>, NodeId, FixedState>,
    pub(crate) wildcard: HashMap<Box<[u8]>, NodeId, FixedState>,
}

/// What of a request decides its rule.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// Case-sensitive.
    pub method: &'a [u8],
    /// The authority or `Host` field as it came; may be empty; port and final dot are ignored.
    pub host: &'a [u8],
    /// The path as it came, without the query.
    pub path: &'a [u8],
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This rule answers.
    Rule(u32),
    /// This rule's directory wants a final slash: `308` to [`Table::slash_location`].
    AddSlash(u32),
    /// `405` with this `Allow`.
    MethodNotAllowed(Allow),
    /// `204` with this `Allow`.
    Options(Allow),
    /// `404`.
    NotFound,
    /// `400`.
    Bad(BadPath),
}

const _: () = assert!(size_of::<Found>() <= 16);

/// What a walk through the trie came to.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Rule(u32),
    /// The path fits some rule, the method none.
    PathOnly,
    Nothing,
}

/// A set of methods of one table; [`Table::write_allow`] spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow(pub(crate) Set);

impl Table {
    /// Compiles rules, in the file's order. Gives no table if one of the findings is an error.
    #[must_use]
    pub fn build(rules: Vec<Rule>, context: &Context) -> (Option<Table>, Vec<Diagnostic>) {
        let mut table = Table {
            traits: rules.iter().map(Traits::of).collect(),
            rules: Vec::new(),
            names: Names::new(),
            trie: Trie::default(),
            hosts: Hosts::default(),
            merge_slashes: context.merge_slashes,
        };
        let mut findings = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            table.insert(number as u32, rule, &rules, &mut findings);
        }
        table.rules = rules;
        conflict::examine(&table, &mut findings);
        let refused = findings.iter().any(Diagnostic::is_error);
        (if refused { None } else { Some(table) }, findings)
    }

    fn insert(&mut self, number: u32, rule: &Rule, rules: &[Rule], findings: &mut Vec<Diagnostic>) {
        let Some(set) = self.names.intern(&rule.methods) else {
            findings.push(conflict::too_many_methods(rule));
            return;
        };
        self.traits[number as usize].methods = set;
        let trie = &mut self.trie;
        let root = match &rule.host {
            Host::Any => *self.hosts.any.get_or_insert_with(|| trie.root()),
            Host::Exact(name) => *self.hosts.exact.entry(name.as_bytes().into()).or_insert_with(|| trie.root()),
            Host::Wildcard(name) => *self.hosts.wildcard.entry(name.as_bytes().into()).or_insert_with(|| trie.root()),
        };
        let terminal = self.trie.terminal(root, &rule.pattern);
        let every = rule.methods == crate::methods::Methods::Every;
        let same = if every {
            terminal.every
        } else {
            terminal.named.iter().find(|(other, _)| *other == set).map(|(_, other)| *other)
        };
        match same {
            Some(first) => findings.push(conflict::duplicate(&rules[first as usize], rule)),
            None if every => terminal.every = Some(number),
            None => terminal.named.push((set, number)),
        }
    }

    /// The rules, by number.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Finds the rule of a request. Allocates nothing once `scratch` has grown to the longest odd path.
    #[must_use]
    pub fn find(&self, lookup: &Lookup<'_>, scratch: &mut Scratch) -> Found {
        let mut steps = 0;
        self.find_counting(lookup, scratch, &mut steps)
    }

    /// As [`Table::find`], and adds the number of tree nodes it looked at to `steps`.
    #[must_use]
    pub fn find_counting(&self, lookup: &Lookup<'_>, scratch: &mut Scratch, steps: &mut u32) -> Found {
        let normal = match scratch.normalise(lookup.path, self.merge_slashes) {
            Ok(normal) => normal,
            Err(bad) => return Found::Bad(bad),
        };
        let method = self.names.bit(lookup.method);
        let host = self.hosts.named().then(|| RequestHost::new(lookup.host));
        let choice = self.choose(method, host.as_ref(), scratch.matching_path(lookup.path), steps);
        if normal.encoded_slash {
            let decoded = match scratch.decode_slashes(self.merge_slashes) {
                Ok(decoded) => decoded,
                Err(bad) => return Found::Bad(bad),
            };
            match (choice, self.choose(method, host.as_ref(), scratch.decoded_path(), steps)) {
                (Choice::Rule(a), Choice::Rule(b)) if a == b => {}
                (Choice::Rule(_), Choice::Rule(_)) => return Found::Bad(BadPath::Ambiguous),
                (Choice::Rule(_), _) if decoded.dots => return Found::Bad(BadPath::Ambiguous),
                _ => {}
            }
        }
        self.settle(choice, method, host.as_ref(), scratch.matching_path(lookup.path), steps)
    }

    fn choose(&self, method: Set, host: Option<&RequestHost>, path: &[u8], steps: &mut u32) -> Choice {
        let mut choice = Choice::Nothing;
        let winner = self.walk(host, path, steps, &mut |terminal| {
            choice = Choice::PathOnly;
            match terminal.pick(method) {
                Some(rule) => ControlFlow::Break(rule),
                None => ControlFlow::Continue(()),
            }
        });
        winner.break_value().map_or(choice, Choice::Rule)
    }

    fn settle(&self, choice: Choice, method: Set, host: Option<&RequestHost>, path: &[u8], steps: &mut u32) -> Found {
        let rule = match choice {
            Choice::Rule(rule) => rule,
            Choice::PathOnly => return self.refuse(method, host, path, steps),
            Choice::Nothing => return Found::NotFound,
        };
        let traits = self.traits[rule as usize];
        if traits.files && !Set::READING.meets(method) {
            self.refuse(method, host, path, steps)
        } else if traits.slash_after.is_some_and(|n| path.iter().filter(|b| **b == b'/').count() == usize::from(n)) {
            Found::AddSlash(rule)
        } else {
            Found::Rule(rule)
        }
    }

    fn refuse(&self, method: Set, host: Option<&RequestHost>, path: &[u8], steps: &mut u32) -> Found {
        let allow = self.allow(host, path, steps);
        if method == Set::OPTIONS { Found::Options(allow) } else { Found::MethodNotAllowed(allow) }
    }

    /// The methods that would not get `405` here: each is decided by the first rule that takes it.
    fn allow(&self, host: Option<&RequestHost>, path: &[u8], steps: &mut u32) -> Allow {
        let mut decided = Set::NONE;
        let mut allow = Set::OPTIONS;
        let mut decide = |taken: Set, listed: Set, rule: u32| {
            let new = listed.without(decided);
            decided = decided.or(taken);
            allow = allow.or(if self.traits[rule as usize].files { new.and(Set::READING) } else { new });
        };
        let _: ControlFlow<()> = self.walk(host, path, steps, &mut |terminal| {
            for (set, rule) in &terminal.named {
                decide(*set, *set, *rule);
            }
            if let Some((_, rule)) = terminal.named.iter().find(|(set, _)| set.meets(Set::GET)) {
                decide(Set::HEAD, Set::HEAD, *rule);
            }
            if let Some(rule) = terminal.every {
                decide(Set::EVERY, Set::USUAL, rule);
            }
            ControlFlow::Continue(())
        });
        Allow(allow)
    }

    /// Shows `visit` each terminal whose host and path fit, the winning one first.
    pub(crate) fn walk<B>(
        &self,
        host: Option<&RequestHost>,
        path: &[u8],
        steps: &mut u32,
        visit: &mut impl FnMut(&Terminal) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(host) = host {
            if let Some(root) = self.hosts.exact.get(host.name()) {
                self.trie.walk(*root, path, steps, visit)?;
            }
            if !self.hosts.wildcard.is_empty() {
                for suffix in host.suffixes() {
                    if let Some(root) = self.hosts.wildcard.get(suffix) {
                        self.trie.walk(*root, path, steps, visit)?;
                    }
                }
            }
        }
        match self.hosts.any {
            Some(root) => self.trie.walk(root, path, steps, visit),
            None => ControlFlow::Continue(()),
        }
    }

    /// What the rule's pattern matched, after a lookup of `path` with `scratch` found it.
    #[must_use]
    pub fn captures<'a>(&'a self, rule: u32, path: &'a [u8], scratch: &'a Scratch) -> Captures<'a> {
        Captures::new(&self.rules[rule as usize].pattern, scratch.forward_path(path))
    }

    /// Appends an `Allow` value: `GET, HEAD, OPTIONS`.
    pub fn write_allow(&self, allow: Allow, out: &mut Vec<u8>) {
        for (at, name) in self.names.of(allow.0).enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(name);
        }
    }

    /// Appends the `Location` for [`Found::AddSlash`]: the forward form of the path with its slash, and the query.
    pub fn slash_location(path: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
        let leading = path.iter().take_while(|b| **b == b'/').count();
        out.push(b'/');
        escape(&path[leading..], |b| b == b'#', out);
        if leading < path.len() {
            out.push(b'/');
        }
        if let Some(query) = query {
            out.push(b'?');
            escape_query(query, out);
        }
    }
}

impl Found {
    /// The rule that was chosen, if one was.
    #[must_use]
    pub fn rule(&self) -> Option<u32> {
        match self {
            Found::Rule(rule) | Found::AddSlash(rule) => Some(*rule),
            _ => None,
        }
    }
}

impl Traits {
    fn of(rule: &Rule) -> Self {
        let none = Self { methods: Set::NONE, files: false, slash_after: None };
        let Action::Static(target) = &rule.action else { return none };
        let segments = u8::try_from(rule.pattern.segments.len()).ok();
        let wants_slash = target.is_dir && rule.pattern.end == End::Subtree;
        Self { files: true, slash_after: segments.filter(|n| wants_slash && *n > 0), ..none }
    }
}

impl Hosts {
    /// True if some rule has a host.
    pub(crate) fn named(&self) -> bool {
        !self.exact.is_empty() || !self.wildcard.is_empty()
    }
}
