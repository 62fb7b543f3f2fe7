//! Which calls stand where they must not: clocks, prints, and panics on what a peer sent. Tests may do all of it.

use super::source::{self, Token};
use super::{Finding, Sources};

const CLOCKS: &[&str] = &["Instant", "SystemTime"];
const PRINTS: &[&str] = &["print", "println", "eprint", "eprintln"];
/// Crates that read what peers send, or configuration that a reload may bring.
const PEER_FACING: &[&str] = &["proto/src/", "route/src/", "serve/src/"];

/// Everything, also where the exceptions allow it.
pub(crate) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in sources.iter().filter(|(_, source)| !source.test) {
        let peers = PEER_FACING.iter().any(|place| path.starts_with(place));
        let tokens = &source.tokens;
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !token.test) {
            let mut found = |rule, message: String| findings.push(Finding::new(rule, path, token.line, message));
            let name = token.text.as_str();
            if CLOCKS.contains(&name) && source::reads(tokens, at + 1, &[":", ":", "now"]) {
                found("clock", format!("`{name}::now`: ask the shard for its tick, or take the time as an argument"));
            }
            if PRINTS.contains(&name) && source::reads(tokens, at + 1, &["!"]) {
                found("print", format!("`{name}!`: return it, or log it"));
            }
            if peers && is_called_on_a_value(tokens, at, "unwrap") {
                found("unwrap", "`unwrap`: return an error, or `expect` the invariant that makes it impossible".into());
            }
            if peers && is_called_on_a_value(tokens, at, "expect") && !states_a_reason(tokens, at) {
                found("unwrap", "`expect` without a reason: say in words which invariant makes it impossible".into());
            }
        }
    }
    findings
}

/// `.name(` or `Type::name`.
fn is_called_on_a_value(tokens: &[Token], at: usize, name: &str) -> bool {
    let before = |by: usize| at.checked_sub(by).map(|at| tokens[at].text.as_str());
    let method = before(1) == Some(".") && source::reads(tokens, at + 1, &["("]);
    let path = before(1) == Some(":") && matches!(before(3), Some("Option" | "Result"));
    tokens[at].text == name && (method || path)
}

/// Whether the argument is a string of at least two words.
fn states_a_reason(tokens: &[Token], at: usize) -> bool {
    let literal = tokens.get(at + 2).and_then(|token| source::string_of(&token.text));
    literal.is_some_and(|text| text.split_whitespace().count() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Tree;

    fn found(path: &str, text: &str) -> Vec<&'static str> {
        let sources = Sources::of(&Tree::of(&[(path, text)])).0;
        check(&sources).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_clock_is_found() {
        assert_eq!(found("core/src/lib.rs", "fn f() { let t = std::time::Instant::now(); }"), ["clock"]);
        assert_eq!(found("core/src/lib.rs", "fn f() { g(SystemTime::now) }"), ["clock"]);
        assert_eq!(found("core/src/lib.rs", "fn f() { now(); Tick::now(); } // Instant::now()"), [""; 0]);
    }

    #[test]
    fn a_print_is_found_even_inside_a_macro() {
        assert_eq!(found("core/src/lib.rs", "fn f() { println!(\"x\") }"), ["print"]);
        assert_eq!(found("core/src/lib.rs", "m! { if x { eprint!(\"x\") } }"), ["print"]);
        assert_eq!(found("core/src/lib.rs", "fn f() { print(); writeln!(out, \"println!\") }"), [""; 0]);
    }

    #[test]
    fn an_unwrap_is_found_where_peers_are_read() {
        for path in ["proto/src/h1.rs", "route/src/lex.rs", "serve/src/conn.rs"] {
            assert_eq!(found(path, "fn f() { x.unwrap(); }"), ["unwrap"], "{path}");
            assert_eq!(found(path, "fn f() { assert!(x\n.unwrap() > 1) }"), ["unwrap"], "{path}");
            assert_eq!(found(path, "fn f() { x.map(Option::unwrap) }"), ["unwrap"], "{path}");
        }
        assert_eq!(found("core/src/lib.rs", "fn f() { x.unwrap(); }"), [""; 0]);
        assert_eq!(found("proto/src/h1.rs", "fn f() { x.unwrap_or(1); unwrap(x); }"), [""; 0]);
    }

    #[test]
    fn an_expect_must_state_its_invariant() {
        assert_eq!(found("proto/src/h1.rs", "fn f() { x.expect(\"checked above\"); }"), [""; 0]);
        assert_eq!(found("proto/src/h1.rs", "fn f() { x.expect(\"\"); }"), ["unwrap"]);
        assert_eq!(found("proto/src/h1.rs", "fn f() { x.expect(&why); }"), ["unwrap"]);
        // A parser's own method of that name takes no string.
        assert_eq!(found("route/src/parse.rs", "fn f() { self.expect(Token::Slash); }"), ["unwrap"]);
    }

    #[test]
    fn tests_may_do_all_of_it() {
        let text = "#[cfg(test)] mod tests { fn f() { x.unwrap(); println!(\"\"); Instant::now(); } }";
        assert_eq!(found("proto/src/h1.rs", text), [""; 0]);
    }
}
