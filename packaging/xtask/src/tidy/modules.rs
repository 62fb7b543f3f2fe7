//! Which files belong to a crate: everything `mod` leads to from a crate root, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use super::source::{self, Token};
use super::{Finding, Sources};
use crate::repo::{self, Tree};

const DEAD: &str = "dead-file";
const ROOTS: &str = "one-test-binary";

/// A crate root: where it starts and whether only tests are built from it.
#[derive(Debug, PartialEq, Eq)]
struct Root {
    path: String,
    test: bool,
}

/// Files that no `mod` reaches, and crates with several integration-test binaries. Also marks in `sources` every file
/// that only tests reach.
pub(crate) fn check(tree: &Tree, sources: &mut Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Reached, and true when only through tests.
    let mut reached: BTreeMap<String, bool> = BTreeMap::new();
    for (manifest, text) in tree.files().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let Ok(table) = text.parse::<Table>() else { continue };
        if !table.contains_key("package") {
            continue;
        }
        let folder = repo::folder_of(manifest);
        let roots = roots_of(tree, folder, &table);
        findings.extend(several_test_binaries(folder, &roots));
        for root in roots {
            follow(tree, sources, root.path, root.test, &mut reached);
        }
    }
    for (path, _) in tree.files().filter(|(path, _)| path.ends_with(".rs")) {
        match reached.get(path) {
            Some(true) => sources.mark_test(path),
            Some(false) => {}
            None => findings.push(Finding::new(DEAD, path, 1, "no `mod` leads here from any crate root")),
        }
    }
    findings
}

/// The roots cargo finds by itself, and those the manifest names.
fn roots_of(tree: &Tree, folder: &str, manifest: &Table) -> Vec<Root> {
    let mut paths: BTreeSet<String> = BTreeSet::new();
    let within = |name: &str| repo::join(folder, name).unwrap_or_default();
    paths.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(within));
    for place in ["src/bin", "tests", "benches", "examples"] {
        let place = format!("{}/", within(place));
        for (path, _) in tree.files() {
            let Some(rest) = path.strip_prefix(&place) else { continue };
            let alone = rest.ends_with(".rs") && !rest.contains('/');
            let with_folder = rest.strip_suffix("/main.rs").is_some_and(|name| !name.contains('/'));
            if alone || with_folder {
                paths.insert(path.to_owned());
            }
        }
    }
    for kind in ["lib", "bin", "test", "bench", "example"] {
        let targets: Vec<&Table> = match manifest.get(kind) {
            Some(toml::Value::Table(target)) => vec![target],
            Some(toml::Value::Array(targets)) => targets.iter().filter_map(toml::Value::as_table).collect(),
            _ => Vec::new(),
        };
        paths.extend(targets.iter().filter_map(|target| Some(within(target.get("path")?.as_str()?))));
    }
    let is_test = |path: &str| ["tests/", "benches/"].iter().any(|place| path.starts_with(&within(place)));
    paths.into_iter().filter(|path| tree.get(path).is_some()).map(|path| Root { test: is_test(&path), path }).collect()
}

fn several_test_binaries(folder: &str, roots: &[Root]) -> Vec<Finding> {
    let tests = format!("{folder}/tests/");
    let binaries = roots.iter().filter(|root| root.path.starts_with(&tests)).skip(1);
    binaries
        .map(|root| Finding::new(ROOTS, &root.path, 1, "a crate has one integration-test binary: make this its module"))
        .collect()
}

/// Walks the `mod` lines from one root.
fn follow(tree: &Tree, sources: &Sources, root: String, test: bool, reached: &mut BTreeMap<String, bool>) {
    let mut open = vec![(root, test, true)];
    while let Some((path, test, is_root)) = open.pop() {
        match reached.get(&path) {
            // Known, and no less a test than now.
            Some(&only_tests) if !only_tests || test => continue,
            _ => reached.insert(path.clone(), test),
        };
        let folder = repo::folder_of(&path);
        let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        let home = if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
        for module in modules_in(sources.tokens(&path)) {
            let test = test || module.test;
            for candidate in module.candidates(folder, &home) {
                if tree.get(&candidate).is_some() {
                    open.push((candidate, test, module.included));
                }
            }
        }
    }
}

/// A `mod name;` or an `include!("file")`.
#[derive(Debug, Default)]
struct Module {
    /// Inline modules around it, outermost first.
    around: Vec<String>,
    name: String,
    /// What `#[path]` or `include!` says.
    path: Option<String>,
    included: bool,
    test: bool,
}

impl Module {
    fn candidates(&self, folder: &str, home: &str) -> Vec<String> {
        let place = self.around.iter().fold(home.to_owned(), |place, name| format!("{place}/{name}"));
        let found = match &self.path {
            Some(path) if self.around.is_empty() || self.included => vec![repo::join(folder, path)],
            Some(path) => vec![repo::join(&place, path)],
            None => vec![
                repo::join(&place, &format!("{}.rs", self.name)),
                repo::join(&place, &format!("{}/mod.rs", self.name)),
            ],
        };
        found.into_iter().flatten().collect()
    }
}

fn modules_in(tokens: &[Token]) -> Vec<Module> {
    let mut found = Vec::new();
    // Inline modules that are open, with the depth of their braces.
    let mut around: Vec<(String, usize)> = Vec::new();
    let mut path: Option<String> = None;
    for (at, token) in tokens.iter().enumerate() {
        let names = || around.iter().map(|(name, _)| name.clone()).collect();
        match token.text.as_str() {
            "path" if source::reads(tokens, at + 1, &["="]) => {
                path = tokens.get(at + 2).and_then(|t| source::string_of(&t.text)).map(str::to_owned);
            }
            "mod" => match (tokens.get(at + 1), tokens.get(at + 2).map(|t| t.text.as_str())) {
                (Some(name), Some("{")) => around.push((name.text.clone(), token.depth)),
                (Some(name), Some(";")) => found.push(Module {
                    around: names(),
                    name: name.text.clone(),
                    path: path.take(),
                    included: false,
                    test: token.test,
                }),
                _ => {}
            },
            "include" if source::reads(tokens, at + 1, &["!", "("]) => found.push(Module {
                path: tokens.get(at + 3).and_then(|t| source::string_of(&t.text)).map(str::to_owned),
                included: true,
                test: token.test,
                ..Module::default()
            }),
            "}" if around.last().is_some_and(|(_, depth)| *depth == token.depth) => {
                around.pop();
            }
            ";" | "{" => path = None,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = ("route/Cargo.toml", "[package]\nname = \"r\"\n");

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(&[&[MANIFEST], files].concat());
        let mut sources = Sources::of(&tree).0;
        check(&tree, &mut sources).into_iter().map(|finding| format!("{} {}", finding.rule, finding.path)).collect()
    }

    #[test]
    fn a_file_no_mod_leads_to_is_dead() {
        let files = [("route/src/lib.rs", "mod a;"), ("route/src/a.rs", ""), ("route/src/b.rs", "")];
        assert_eq!(dead(&files), ["dead-file route/src/b.rs"]);
    }

    #[test]
    fn a_mod_in_a_comment_or_in_a_string_leads_nowhere() {
        let files = [("route/src/lib.rs", "// mod a;\nconst A: &str = \"mod a;\";"), ("route/src/a.rs", "")];
        assert_eq!(dead(&files), ["dead-file route/src/a.rs"]);
    }

    #[test]
    fn modules_are_found_in_every_way_they_can_be_written() {
        let files = [
            ("route/src/lib.rs", "mod a; mod b { mod c; } #[path = \"odd.rs\"] mod d; include!(\"e.rs\"); mod f;"),
            ("route/src/a.rs", "mod inner;"),
            ("route/src/a/inner.rs", ""),
            ("route/src/b/c.rs", ""),
            ("route/src/odd.rs", ""),
            ("route/src/e.rs", ""),
            ("route/src/f/mod.rs", "mod g;"),
            ("route/src/f/g.rs", ""),
            ("route/tests/it/main.rs", "mod one;"),
            ("route/tests/it/one.rs", ""),
        ];
        assert_eq!(dead(&files), [""; 0]);
    }

    #[test]
    fn a_second_test_binary_is_found() {
        let files = [("route/tests/a.rs", ""), ("route/tests/b.rs", "")];
        assert_eq!(dead(&files), ["one-test-binary route/tests/b.rs"]);
    }

    #[test]
    fn a_file_behind_cfg_test_is_test_code_unless_the_crate_uses_it_too() {
        let tree = Tree::of(&[
            MANIFEST,
            ("route/src/lib.rs", "#[cfg(test)] mod a; mod b;"),
            ("route/src/a.rs", "#[path = \"b.rs\"] mod b;"),
            ("route/src/b.rs", ""),
        ]);
        let mut sources = Sources::of(&tree).0;
        assert!(check(&tree, &mut sources).is_empty());
        assert!(sources.files["route/src/a.rs"].test);
        assert!(!sources.files["route/src/b.rs"].test);
    }
}
