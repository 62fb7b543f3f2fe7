//! What a Rust file says once comments are gone: a flat list of tokens, each with its line and whether it is test code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token; a group is its opening token, what it holds, and its closing token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// As written; a literal keeps its quotes.
    pub(crate) text: String,
    /// The first line is 1.
    pub(crate) line: usize,
    /// How many groups are open around it.
    pub(crate) depth: usize,
    /// Under `#[cfg(test)]` or `#[test]`.
    pub(crate) test: bool,
}

/// The tokens of a file, or why it has none.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|e: proc_macro2::LexError| e.to_string())?;
    let mut out = Vec::new();
    flatten(stream, 0, false, &mut out);
    Ok(out)
}

/// Whether the tokens at `at` read like `pattern`.
pub(crate) fn reads(tokens: &[Token], at: usize, pattern: &[&str]) -> bool {
    tokens.len() >= at + pattern.len() && pattern.iter().zip(&tokens[at..]).all(|(want, token)| token.text == *want)
}

/// The text inside a string literal, plain or raw; escapes stay as they are.
pub(crate) fn string_of(literal: &str) -> Option<&str> {
    let inner = literal.trim_start_matches('r').trim_matches('#');
    inner.strip_prefix('"')?.strip_suffix('"')
}

/// Where an item that an attribute marked as test code ends.
enum Until {
    /// At its first braces or its semicolon.
    Body,
    /// At its semicolon, whatever braces come before.
    Semicolon,
    /// A field, variant or arm: at its comma too.
    Comma,
}

fn flatten(stream: TokenStream, depth: usize, mut test: bool, out: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut marked: Option<Until> = None;
    for (at, tree) in trees.iter().enumerate() {
        if let Some(attribute) = attribute_at(&trees, at)
            && means_test(attribute)
        {
            if is_punct(trees.get(at + 1), '!') {
                test = true;
            } else if marked.is_none() {
                marked = Some(end_of_item(&trees, at));
            }
        }
        let here = test || marked.is_some();
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push(Token { text: open.to_owned(), line, depth, test: here });
                flatten(group.stream(), depth + 1, here, out);
                let line = group.span_close().start().line;
                out.push(Token { text: close.to_owned(), line, depth, test: here });
                if group.delimiter() == Delimiter::Brace && !matches!(marked, Some(Until::Semicolon)) {
                    marked = None;
                }
            }
            other => {
                out.push(Token { text: other.to_string(), line, depth, test: here });
                let ends =
                    is_punct(Some(other), ';') || (is_punct(Some(other), ',') && matches!(marked, Some(Until::Comma)));
                if ends {
                    marked = None;
                }
            }
        }
    }
}

/// The inside of the attribute that starts at `at`.
fn attribute_at(trees: &[TokenTree], at: usize) -> Option<TokenStream> {
    if !is_punct(trees.get(at), '#') {
        return None;
    }
    let inner = usize::from(is_punct(trees.get(at + 1), '!'));
    match trees.get(at + 1 + inner)? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some(group.stream()),
        _ => None,
    }
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// `test`, or a `cfg` that holds in test builds only.
fn means_test(attribute: TokenStream) -> bool {
    let trees: Vec<TokenTree> = attribute.into_iter().collect();
    match trees.as_slice() {
        [TokenTree::Ident(name)] => *name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] => *name == "cfg" && implies_test(group.stream()),
        _ => false,
    }
}

fn implies_test(predicate: TokenStream) -> bool {
    let trees: Vec<TokenTree> = predicate.into_iter().collect();
    match trees.as_slice() {
        [TokenTree::Ident(name)] => *name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let mut parts = inner
                .split(|tree| is_punct(Some(tree), ','))
                .filter(|part| !part.is_empty())
                .map(|part| implies_test(part.iter().cloned().collect()));
            match name.to_string().as_str() {
                "all" => parts.any(|holds| holds),
                "any" => parts.all(|holds| holds),
                _ => false,
            }
        }
        _ => false,
    }
}

/// How the item ends whose first attribute starts at `at`.
fn end_of_item(trees: &[TokenTree], at: usize) -> Until {
    for tree in &trees[at..] {
        match tree {
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "fn" | "mod" | "impl" | "struct" | "enum" | "union" | "trait" | "macro_rules" => return Until::Body,
                "use" | "let" | "static" | "type" => return Until::Semicolon,
                "const" | "pub" | "unsafe" | "async" | "extern" => {}
                _ => return Until::Comma,
            },
            // `const X: …` has no keyword after it, `const fn` has.
            TokenTree::Punct(punct) if punct.as_char() == ':' => return Until::Semicolon,
            _ => {}
        }
    }
    Until::Body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, test: bool) -> Vec<String> {
        let tokens = tokens(text).expect("the text lexes");
        tokens.into_iter().filter(|t| t.test == test).map(|t| t.text).filter(|t| t.starts_with("n_")).collect()
    }

    #[test]
    fn comments_and_strings_hold_no_tokens_of_their_own() {
        let tokens = tokens("/* unsafe */ // unsafe\nlet a = \"unsafe\"; let b = r#\"unsafe\"#; 'unsafe_: loop {}");
        assert!(tokens.expect("the text lexes").iter().all(|t| t.text != "unsafe"));
    }

    #[test]
    fn lines_count_from_one() {
        let tokens = tokens("//! x\n\nfn f() {\n}\n").expect("the text lexes");
        assert_eq!(tokens.iter().find(|t| t.text == "f").map(|t| t.line), Some(3));
        assert_eq!(tokens.last().map(|t| (t.text.as_str(), t.line)), Some(("}", 4)));
    }

    #[test]
    fn a_test_module_ends_with_its_braces() {
        let text = "fn n_a() {} #[cfg(test)] mod t { fn n_b() { n_c(); } } fn n_d() {}";
        assert_eq!(names(text, true), ["n_b", "n_c"]);
        assert_eq!(names(text, false), ["n_a", "n_d"]);
    }

    #[test]
    fn a_test_attribute_covers_one_item_only() {
        assert_eq!(names("#[cfg(test)] use n_a::{n_b}; use n_c;", true), ["n_a", "n_b"]);
        assert_eq!(names("#[test] fn n_a<A, B>() { n_b } n_c", true), ["n_a", "n_b"]);
        assert_eq!(names("struct S { #[cfg(test)] n_a: u8, n_b: u8 }", true), ["n_a"]);
        assert_eq!(names("#[cfg(test)] const n_a: u8 = { 1 }; n_b", true), ["n_a"]);
        assert_eq!(names("#[cfg(test)] #[allow(dead_code)] pub(crate) fn n_a() {} fn n_b() {}", true), ["n_a"]);
    }

    #[test]
    fn only_a_condition_that_demands_test_counts() {
        assert_eq!(names("#[cfg(all(test, unix))] fn n_a() {}", true), ["n_a"]);
        assert_eq!(names("#[cfg(any(test, unix))] fn n_a() {}", false), ["n_a"]);
        assert_eq!(names("#[cfg(not(test))] fn n_a() {}", false), ["n_a"]);
        assert_eq!(names("#![cfg(test)] fn n_a() {}", true), ["n_a"]);
    }
}
