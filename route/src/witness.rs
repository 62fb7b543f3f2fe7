//! Which request shows that a rule, or two rules at once, can be meant?

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::host::{Host, RequestHost};
use crate::methods::Set;
use crate::pattern::{End, Pattern, Segment};
use crate::request::Request;
use crate::table::Table;
use crate::trie::Terminal;

/// Makes requests for the rules of one table.
pub(crate) struct Witness<'t> {
    table: &'t Table,
    /// A segment, and a host's label, that no rule spells.
    fresh: String,
}

impl<'t> Witness<'t> {
    pub(crate) fn new(table: &'t Table) -> Self {
        let mut spelt: HashSet<&str> = HashSet::new();
        for rule in &table.rules {
            spelt.extend(rule.pattern.segments.iter().filter_map(|s| match s {
                Segment::Literal(text) => Some(text.as_str()),
                Segment::Param(_) => None,
            }));
            if let Host::Exact(name) = &rule.host {
                spelt.extend(name.split('.').next());
            }
        }
        let mut fresh = "x".to_owned();
        let mut number = 1;
        while spelt.contains(fresh.as_str()) {
            fresh = format!("x{number}");
            number += 1;
        }
        Self { table, fresh }
    }

    /// A request that fits one rule, with one of these methods.
    pub(crate) fn of(&self, rule: u32, methods: Set) -> Option<Request> {
        let rule = &self.table.rules[rule as usize];
        let path = self.path(&rule.pattern, &rule.pattern)?;
        Some(self.request(methods, self.host(&rule.host, &rule.host)?, path))
    }

    /// A request that fits two rules.
    pub(crate) fn of_both(&self, a: u32, b: u32) -> Option<Request> {
        let methods = |rule: u32| self.table.traits[rule as usize].methods.with_head();
        let common = methods(a).and(methods(b));
        if common.is_empty() {
            return None;
        }
        let (a, b) = (&self.table.rules[a as usize], &self.table.rules[b as usize]);
        Some(self.request(common, self.host(&a.host, &b.host)?, self.path(&a.pattern, &b.pattern)?))
    }

    /// The rule that a request is given to; its files may still refuse the method, and an encoded slash the path.
    pub(crate) fn winner(&self, request: &Request) -> Option<u32> {
        let method = self.table.names.bit(request.method.as_bytes());
        let host = RequestHost::new(request.host.as_bytes());
        let pick = |terminal: &Terminal| match terminal.pick(method) {
            Some(rule) => ControlFlow::Break(rule),
            None => ControlFlow::Continue(()),
        };
        self.table.walk(Some(&host), request.path.as_bytes(), &mut 0, &mut { pick }).break_value()
    }

    fn request(&self, methods: Set, host: String, path: String) -> Request {
        let named = self.table.names.of(methods).next().unwrap_or(b"GET");
        Request { method: String::from_utf8_lossy(named).into_owned(), host, path, query: None }
    }

    /// A host that fits both.
    fn host(&self, a: &Host, b: &Host) -> Option<String> {
        let both = |name: &str| (a.fits(name.as_bytes()) && b.fits(name.as_bytes())).then(|| name.to_owned());
        match (a, b) {
            (Host::Any, Host::Any) => Some(String::new()),
            (Host::Exact(name), _) | (_, Host::Exact(name)) => both(name),
            (Host::Wildcard(suffix), Host::Any) | (Host::Any, Host::Wildcard(suffix)) => {
                Some(format!("{}.{suffix}", self.fresh))
            }
            (Host::Wildcard(one), Host::Wildcard(other)) => {
                let longer = if one.len() >= other.len() { one } else { other };
                both(&format!("{}.{longer}", self.fresh))
            }
        }
    }

    /// A path that fits both.
    fn path(&self, a: &Pattern, b: &Pattern) -> Option<String> {
        let (long, short) = if a.segments.len() >= b.segments.len() { (a, b) } else { (b, a) };
        let mut path = String::new();
        for (at, segment) in long.segments.iter().enumerate() {
            let text = match (segment, short.segments.get(at)) {
                (Segment::Literal(one), Some(Segment::Literal(other))) if one != other => return None,
                (Segment::Literal(text), Some(Segment::Param(_))) if text.is_empty() => return None,
                (Segment::Param(_), Some(Segment::Literal(text))) if text.is_empty() => return None,
                (Segment::Literal(text), _) | (Segment::Param(_), Some(Segment::Literal(text))) => text,
                (Segment::Param(_), _) => &self.fresh,
            };
            path.push('/');
            path.push_str(text);
        }
        let end = if long.segments.len() > short.segments.len() {
            if !short.has_rest() {
                return None;
            }
            long.end
        } else {
            common_end(long.end, short.end)?
        };
        match end {
            End::Exact => {}
            End::Slash => path.push('/'),
            End::Subtree | End::Splat => {
                path.push('/');
                path.push_str(&self.fresh);
            }
        }
        Some(path)
    }
}

/// The end that is at home in both.
pub(crate) fn common_end(a: End, b: End) -> Option<End> {
    match (a.min(b), a.max(b)) {
        (End::Exact, End::Exact | End::Subtree) => Some(End::Exact),
        (End::Exact, _) => None,
        (narrow, _) => Some(narrow),
    }
}
