//! Where `unsafe` stands and which comment justifies it.

use super::source::Token;
use super::{Finding, Sources};
use crate::repo::Tree;

/// The only crate that may hold any.
const HOME: &str = "shard/";
const RULE: &str = "unsafe";
const UNDOCUMENTED: &str = "safety-comment";
/// Fewer words than this justify nothing.
const LEAST_WORDS: usize = 2;
const FORBID: &str = "forbid-unsafe";

/// One `unsafe`.
struct Site {
    line: usize,
    kind: &'static str,
    /// The first sentence's line, without its mark.
    comment: Option<String>,
}

impl Site {
    /// What its comment lacks: to be there, to say something, and to lean on something that is there too.
    fn fault(&self, text: &str) -> Option<&'static str> {
        let Some(comment) = &self.comment else {
            return Some("no `SAFETY:` comment above (`# Safety` for a function)");
        };
        let lines = || text.lines().take(self.line - 1);
        if comment.split_whitespace().count() < LEAST_WORDS && self.kind != "fn" {
            Some("its `SAFETY:` comment says too little")
        } else if comment.contains("caller promises") && !stands_in_unsafe_fn(text, self.line) {
            Some("no caller promises anything to a safe function")
        } else if comment.starts_with("as above") && lines().filter(|line| line.contains("SAFETY:")).count() < 2 {
            Some("there is nothing above to refer to")
        } else {
            None
        }
    }
}

/// Whether the function around a line is itself unsafe: the nearest one above that is indented less.
fn stands_in_unsafe_fn(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = lines.last().map_or(0, |line| depth(line));
    let begins = |line: &&&str| depth(line) < own && line.split("//").next().is_some_and(|code| code.contains("fn "));
    lines.iter().rev().find(begins).is_some_and(|line| line.contains("unsafe fn") || line.contains("unsafe extern"))
}

/// `unsafe` at all, `unsafe` without a comment, and crates that do not forbid it.
pub(crate) fn check(tree: &Tree, sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in sources.iter() {
        for site in sites(&source.tokens, tree.get(path).unwrap_or_default()) {
            let message = format!("unsafe {}: `{HOME}` is the only crate with unsafe code", site.kind);
            findings.push(Finding::new(RULE, path, site.line, message));
            if let Some(fault) = site.fault(tree.get(path).unwrap_or_default()) {
                let message = format!("unsafe {}: {fault}", site.kind);
                findings.push(Finding::new(UNDOCUMENTED, path, site.line, message));
            }
        }
        if path.ends_with("src/lib.rs") && !path.starts_with(HOME) && !forbids(&source.tokens) {
            findings.push(Finding::new(FORBID, path, 1, "a library says `#![forbid(unsafe_code)]`"));
        }
    }
    findings
}

/// Every `unsafe` of the one crate, a line each, for a reviewer.
pub(crate) fn list(sources: &Sources, tree: &Tree) -> String {
    let mut lines = Vec::new();
    for (path, source) in sources.iter().filter(|(path, _)| path.starts_with(HOME)) {
        for site in sites(&source.tokens, tree.get(path).unwrap_or_default()) {
            let comment = site.comment.as_deref().unwrap_or("UNDOCUMENTED");
            lines.push(format!("{path}:{}: {}: {comment}\n", site.line, site.kind));
        }
    }
    format!("{}{} in all\n", lines.concat(), lines.len())
}

fn forbids(tokens: &[Token]) -> bool {
    let inner = ["#", "!", "[", "forbid", "(", "unsafe_code"];
    (0..tokens.len()).any(|at| super::source::reads(tokens, at, &inner))
}

fn sites(tokens: &[Token], text: &str) -> Vec<Site> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
        if let Some(kind) = kind(&tokens[at + 1..]) {
            found.push(Site { line: token.line, kind, comment: comment_above(&lines, token.line) });
        }
    }
    found
}

/// What the word begins; `None` for a function pointer's type and for an attribute, which run nothing.
fn kind(after: &[Token]) -> Option<&'static str> {
    let words = after.iter().map(|token| token.text.as_str()).filter(|text| !text.starts_with('"'));
    let words: Vec<&str> = words.take(3).collect();
    match words.as_slice() {
        ["{", ..] => Some("block"),
        ["impl", ..] => Some("impl"),
        ["trait", ..] => Some("trait"),
        ["extern", "{", ..] => Some("extern block"),
        ["fn", "(", ..] | ["extern", "fn", "("] | ["(", ..] => None,
        ["fn", ..] | ["extern", "fn", ..] => Some("fn"),
        _ => Some("item"),
    }
}

/// Looks upwards through the statement, its attributes and its comments for the mark.
fn comment_above(lines: &[&str], line: usize) -> Option<String> {
    let own = lines.get(line - 1)?;
    if let Some((_, comment)) = own.split_once("SAFETY:") {
        return Some(comment.trim().to_owned());
    }
    for at in (0..line - 1).rev() {
        let text = lines[at].trim();
        if text.starts_with("//") {
            if let Some((_, comment)) = text.split_once("SAFETY:") {
                return Some(comment.trim().to_owned());
            }
            if text.trim_start_matches('/').trim() == "# Safety" {
                let words = lines[at + 1..].iter().map(|line| line.trim().trim_start_matches('/').trim());
                return words.take(line - at - 1).find(|words| !words.is_empty()).map(str::to_owned);
            }
        } else if text.is_empty() || text.ends_with([';', '}', '{']) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<&'static str> {
        let tree = Tree::of(&[(path, text)]);
        check(&tree, &Sources::of(&tree).0).into_iter().map(|finding| finding.rule).collect()
    }

    fn comments(text: &str) -> Vec<String> {
        let tokens = super::super::source::tokens(text).expect("the text lexes");
        let sites = sites(&tokens, text);
        sites.into_iter().map(|s| format!("{} {}: {}", s.line, s.kind, s.comment.unwrap_or_default())).collect()
    }

    #[test]
    fn unsafe_is_found_everywhere() {
        let text = "fn f() {\n    // SAFETY: it is.\n    unsafe { g() }\n}";
        assert_eq!(found("serve/src/conn.rs", text), ["unsafe"]);
        assert_eq!(found("serve/src/conn.rs", "// unsafe { }\nconst A: &str = \"unsafe\";"), [""; 0]);
    }

    #[test]
    fn unsafe_without_its_comment_is_found() {
        assert_eq!(found("shard/src/os.rs", "fn f() {\n    unsafe { g() }\n}"), ["unsafe", "safety-comment"]);
        assert_eq!(found("shard/src/os.rs", "unsafe impl Send for A {}"), ["unsafe", "safety-comment"]);
        assert_eq!(found("shard/src/os.rs", "/// Does it.\nunsafe fn f() {}"), ["unsafe", "safety-comment"]);
    }

    #[test]
    fn a_comment_that_justifies_nothing_is_found() {
        for comment in ["fine.", "as the caller promises.", "as above."] {
            let text = format!("fn f() {{\n    // SAFETY: {comment}\n    unsafe {{ g() }}\n}}");
            assert_eq!(found("shard/src/os.rs", &text), ["unsafe", "safety-comment"], "{comment}");
        }
        let text = "/// # Safety\n/// `a` is live.\nunsafe fn f() {\n    // SAFETY: as the caller promises.\n    \
                    unsafe { g() };\n    // SAFETY: as above.\n    unsafe { h() }\n}";
        assert_eq!(found("shard/src/os.rs", text), ["unsafe"; 3]);
    }

    #[test]
    fn a_comment_of_the_statement_before_does_not_count() {
        let text = "fn f() {\n    // SAFETY: first.\n    unsafe { g() };\n    unsafe { h() };\n}";
        assert_eq!(comments(text), ["3 block: first.", "4 block: "]);
    }

    #[test]
    fn the_comment_is_found_above_the_whole_statement() {
        let text = "fn f() {\n    // SAFETY: the slab holds it\n    // until the end.\n    let a =\n        g(1, unsafe { h() });\n}";
        assert_eq!(comments(text), ["5 block: the slab holds it"]);
    }

    #[test]
    fn a_function_states_what_its_caller_owes() {
        let text = "/// Does it.\n///\n/// # Safety\n///\n/// `a` is live.\n#[inline]\npub unsafe fn f() {}";
        assert_eq!(comments(text), ["7 fn: `a` is live."]);
    }

    #[test]
    fn the_list_names_every_place_with_its_comment() {
        let tree = Tree::of(&[(
            "shard/src/os.rs",
            "fn f() {\n    // SAFETY: it is.\n    unsafe { g() };\n    unsafe { h() };\n}",
        )]);
        let expected = "shard/src/os.rs:3: block: it is.\nshard/src/os.rs:4: block: UNDOCUMENTED\n2 in all\n";
        assert_eq!(list(&Sources::of(&tree).0, &tree), expected);
    }

    #[test]
    fn types_and_attributes_are_no_unsafe_code() {
        let text = "#[unsafe(no_mangle)]\nfn f(a: unsafe fn(u8), b: unsafe extern \"C\" fn(u8)) {}";
        assert_eq!(comments(text), [""; 0]);
    }

    #[test]
    fn a_library_that_does_not_forbid_it_is_found() {
        assert_eq!(found("route/src/lib.rs", "//! Routes.\n"), ["forbid-unsafe"]);
        assert_eq!(found("route/src/lib.rs", "//! Routes.\n#![forbid(unsafe_code)]\n"), [""; 0]);
        assert_eq!(found("route/src/lib.rs", "//! `#![forbid(unsafe_code)]`\n"), ["forbid-unsafe"]);
        assert_eq!(found("shard/src/lib.rs", "//! Shard.\n"), [""; 0]);
    }
}
