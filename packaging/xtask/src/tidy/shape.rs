//! How long a file is and how it begins.

use super::{Finding, Sources};
use crate::repo::Tree;

/// More is two ideas.
const MOST_LINES: usize = 800;
/// More asks for a look.
const MANY_LINES: usize = 500;

/// Files that are too long, and files whose first line does not say which question they answer.
pub(crate) fn check(tree: &Tree, sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in sources.iter() {
        let text = tree.get(path).unwrap_or_default();
        let lines = text.lines().count();
        if lines > MOST_LINES {
            findings.push(Finding::new("length", path, lines, format!("{lines} lines, at most {MOST_LINES}")));
        } else if lines > MANY_LINES {
            findings.push(Finding::new("length", path, lines, format!("{lines} lines: is it one idea?")).warn());
        }
        let first = text.lines().next().and_then(|line| line.strip_prefix("//!"));
        if first.is_none_or(|words| words.trim().is_empty()) {
            findings.push(Finding::new("header", path, 1, "the first line is `//!` and says what the module answers"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, bool)> {
        let tree = Tree::of(&[("core/src/a.rs", text)]);
        check(&tree, &Sources::of(&tree).0).into_iter().map(|finding| (finding.rule, finding.warning)).collect()
    }

    #[test]
    fn a_file_of_801_lines_is_an_error_and_one_of_501_a_warning() {
        let of = |lines: usize| format!("//! A.\n{}", "\n".repeat(lines - 1));
        assert_eq!(found(&of(500)), []);
        assert_eq!(found(&of(501)), [("length", true)]);
        assert_eq!(found(&of(800)), [("length", true)]);
        assert_eq!(found(&of(801)), [("length", false)]);
    }

    #[test]
    fn a_file_begins_by_saying_what_it_is() {
        assert_eq!(found("//! What a slot is.\n"), []);
        for text in ["", "//!\n", "use std::fs;\n//! Late.\n", "// What a slot is.\n", "/// What a slot is.\n"] {
            assert_eq!(found(text), [("header", false)], "{text:?}");
        }
    }
}
