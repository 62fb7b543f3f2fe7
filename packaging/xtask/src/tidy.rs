//! Whether the tree keeps the house rules that neither rustc nor clippy knows.
//!
//! A rule looks at the whole tree and reports everything it finds; [`exceptions`] says what is allowed all the same.

mod calls;
mod docs;
mod exceptions;
mod manifests;
mod modules;
mod shape;
mod source;
mod unsafety;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use crate::repo::{self, Tree};
use source::Token;

/// Arguments of `cargo xtask tidy`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// List every `unsafe` of the shard crate with the comment that justifies it, and check nothing
    #[arg(long = "unsafe")]
    list_unsafe: bool,
    /// List what is allowed where, and why, and check nothing
    #[arg(long, conflicts_with = "list_unsafe")]
    exceptions: bool,
}

/// Checks the tree, or lists what was asked for.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    if args.exceptions {
        repo::report(&exceptions::list());
        return Ok(());
    }
    let tree = Tree::of_repository()?;
    if args.list_unsafe {
        repo::report(&unsafety::list(&Sources::of(&tree).0, &tree));
        return Ok(());
    }
    let findings = check(&tree, &crate::command_names());
    let (warnings, errors): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.warning);
    repo::report(&warnings.iter().chain(&errors).map(|finding| format!("{finding}\n")).collect::<String>());
    if errors.is_empty() {
        Ok(())
    } else {
        Err(format!("tidy found {} faults (what is allowed where: tidy --exceptions)", errors.len()))
    }
}

/// Every rule on every file, less the exceptions.
fn check(tree: &Tree, commands: &[String]) -> Vec<Finding> {
    let (mut sources, mut findings) = Sources::of(tree);
    findings.extend(modules::check(tree, &mut sources));
    findings.extend(calls::check(&sources));
    findings.extend(docs::check(tree, commands));
    findings.extend(manifests::check(tree, &sources));
    findings.extend(shape::check(tree, &sources));
    findings.extend(unsafety::check(tree, &sources));
    findings.extend(words::check(tree));
    exceptions::apply(findings, tree)
}

/// One fault at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    path: String,
    line: usize,
    message: String,
    /// Shown, but no reason to fail.
    warning: bool,
}

impl Finding {
    fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { rule, path: path.to_owned(), line, message: message.into(), warning: false }
    }

    fn warn(self) -> Self {
        Self { warning: true, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.warning { "warning" } else { "error" };
        write!(f, "{level}[{}]: {}:{}: {}", self.rule, self.path, self.line, self.message)
    }
}

/// Every Rust file, lexed once.
#[derive(Debug, Default)]
struct Sources {
    files: BTreeMap<String, Source>,
}

#[derive(Debug)]
struct Source {
    tokens: Vec<Token>,
    /// Only tests are built from it.
    test: bool,
}

impl Sources {
    /// The tree's Rust files, and a finding for each that is none.
    fn of(tree: &Tree) -> (Self, Vec<Finding>) {
        let mut sources = Self::default();
        let mut findings = Vec::new();
        for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".rs")) {
            let tokens = source::tokens(text).unwrap_or_else(|why| {
                findings.push(Finding::new("syntax", path, 1, why));
                Vec::new()
            });
            sources.files.insert(path.to_owned(), Source { tokens, test: false });
        }
        (sources, findings)
    }

    fn mark_test(&mut self, path: &str) {
        if let Some(source) = self.files.get_mut(path) {
            source.test = true;
        }
    }

    fn tokens(&self, path: &str) -> &[Token] {
        self.files.get(path).map_or(&[], |source| &source.tokens)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.files.iter().map(|(path, source)| (path.as_str(), source))
    }
}
