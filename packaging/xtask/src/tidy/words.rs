//! Which words no tracked file holds: unfinished work, and places and people that are not the project.

use super::Finding;
use crate::repo::Tree;

/// A phrase, whole words only, upper and lower case as written.
struct Phrase {
    rule: &'static str,
    text: &'static str,
    /// A number must follow.
    numbered: bool,
}

const UNFINISHED: &str = "unfinished";
const ELSEWHERE: &str = "elsewhere";

// Each is split in two, so that this file does not hold it.
const PHRASES: &[Phrase] = &[
    unfinished(concat!("TO", "DO")),
    unfinished(concat!("FIX", "ME")),
    unfinished(concat!("XX", "X")),
    unfinished(concat!("HA", "CK")),
    unfinished(concat!("for ", "now")),
    elsewhere(concat!("../", "shared")),
    elsewhere(concat!("/wo", "rk/")),
    elsewhere(concat!("/ro", "ot/")),
    elsewhere(concat!("/tmp/", "t/")),
    elsewhere(concat!("/tmp/", "team")),
    elsewhere(concat!("later ", "issue")),
    elsewhere(concat!("next ", "session")),
    elsewhere(concat!("later ", "session")),
    elsewhere(concat!("previous ", "session")),
    Phrase { rule: ELSEWHERE, text: concat!("issue", " "), numbered: true },
];

const fn unfinished(text: &'static str) -> Phrase {
    Phrase { rule: UNFINISHED, text, numbered: false }
}

const fn elsewhere(text: &'static str) -> Phrase {
    Phrase { rule: ELSEWHERE, text, numbered: false }
}

/// Every phrase in every text file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| *path != "Cargo.lock") {
        for (at, line) in text.lines().enumerate() {
            for phrase in PHRASES.iter().filter(|phrase| phrase.is_in(line)) {
                let message = match phrase.rule {
                    UNFINISHED => format!("`{}`: finish it, or leave it out", phrase.text),
                    _ => format!("`{}` speaks of something outside the project", phrase.text.trim()),
                };
                findings.push(Finding::new(phrase.rule, path, at + 1, message));
            }
        }
    }
    findings
}

impl Phrase {
    fn is_in(&self, line: &str) -> bool {
        line.match_indices(self.text).any(|(at, text)| {
            let before = line[..at].chars().next_back();
            let after = line[at + text.len()..].chars().next();
            let starts = !(is_word(text.chars().next()) && is_word(before));
            let ends = !(is_word(text.chars().next_back()) && is_word(after));
            starts && ends && (!self.numbered || after.is_some_and(|c| c.is_ascii_digit()))
        })
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_is_found_in_a_line() {
        for phrase in PHRASES {
            let number = if phrase.numbered { "7" } else { "" };
            let text = format!("first\n// see {}{number}.\n", phrase.text);
            let tree = Tree::of(&[("docs/a.md", &text)]);
            let found: Vec<_> = check(&tree).into_iter().map(|finding| (finding.rule, finding.line)).collect();
            assert_eq!(found, [(phrase.rule, 2)], "{}", phrase.text);
        }
    }

    #[test]
    fn a_part_of_a_word_is_another_word() {
        let (todo, xxx) = (concat!("TO", "DO"), concat!("XX", "X"));
        let text = format!("{todo}S, what to look for nowhere, mkdtemp {xxx}{xxx}, reissue 7, issue #7");
        let tree = Tree::of(&[("docs/a.md", &text)]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn this_file_holds_none_of_them() {
        let tree = Tree::of(&[("words.rs", include_str!("words.rs"))]);
        assert_eq!(check(&tree), []);
    }
}
