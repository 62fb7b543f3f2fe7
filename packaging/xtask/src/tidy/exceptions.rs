//! What the rules allow all the same, where, and why: the one table.

use super::Finding;
use crate::repo::Tree;

/// A rule does not hold here.
struct Exception {
    rule: &'static str,
    /// A folder with its final slash, or one file.
    path: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception { rule: "clock", path: "shard/", reason: "the runtime owns the clock; everyone else asks it" },
    Exception { rule: "clock", path: "perf/", reason: "measuring needs the clock itself, not a tick" },
    Exception { rule: "clock", path: "packaging/xtask/", reason: "says how long a step took" },
    Exception { rule: "print", path: "cli/", reason: "the binary talks to a person" },
    Exception { rule: "print", path: "packaging/xtask/", reason: "developer commands talk to a person" },
    Exception { rule: "unsafe", path: "shard/", reason: "system calls, arena, task slab, mmap; each is documented" },
];

/// Takes out what is allowed, and adds each exception that allows nothing: a file that is gone, or no longer needs it.
pub(crate) fn apply(findings: Vec<Finding>, tree: &Tree) -> Vec<Finding> {
    apply_table(EXCEPTIONS, findings, tree)
}

/// The table, a line an exception.
pub(crate) fn list() -> String {
    EXCEPTIONS.iter().map(|e| format!("{:<8} {:<20} {}\n", e.rule, e.path, e.reason)).collect()
}

fn apply_table(table: &[Exception], findings: Vec<Finding>, tree: &Tree) -> Vec<Finding> {
    let mut used = vec![false; table.len()];
    let mut left: Vec<Finding> = Vec::new();
    for finding in findings {
        match table.iter().position(|exception| exception.covers(&finding)) {
            Some(at) => used[at] = true,
            None => left.push(finding),
        }
    }
    for (exception, used) in table.iter().zip(used) {
        // A folder is a place where the rule does not hold; whether it makes use of that may change from day to day.
        let stale = if exception.path.ends_with('/') { !tree.has(exception.path) } else { !used };
        if stale {
            let message = format!("the exception from `{}` is not needed", exception.rule);
            left.push(Finding::new("exceptions", exception.path, 1, message));
        }
    }
    left
}

impl Exception {
    fn covers(&self, finding: &Finding) -> bool {
        let here = finding.path == self.path || (self.path.ends_with('/') && finding.path.starts_with(self.path));
        here && finding.rule == self.rule
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Exception] = &[
        Exception { rule: "clock", path: "shard/", reason: "owns it" },
        Exception { rule: "print", path: "cli/src/main.rs", reason: "talks" },
    ];

    #[test]
    fn an_exception_covers_its_rule_in_its_place_only() {
        let tree = Tree::of(&[("shard/src/lib.rs", ""), ("cli/src/main.rs", "")]);
        let at = |rule, path| Finding::new(rule, path, 1, "");
        let found = vec![
            at("clock", "shard/src/lib.rs"),
            at("print", "cli/src/main.rs"),
            at("print", "shard/src/lib.rs"),
            at("clock", "shards/src/lib.rs"),
        ];
        let left = apply_table(TABLE, found.clone(), &tree);
        assert_eq!(left, found[2..]);
    }

    #[test]
    fn an_exception_nobody_needs_is_a_fault() {
        let left = apply_table(TABLE, Vec::new(), &Tree::of(&[("cli/src/main.rs", "")]));
        let paths: Vec<_> = left.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, ["shard/", "cli/src/main.rs"]);
    }

    #[test]
    fn every_exception_has_its_reason() {
        assert!(EXCEPTIONS.iter().all(|exception| exception.reason.split_whitespace().count() >= 3));
    }
}
