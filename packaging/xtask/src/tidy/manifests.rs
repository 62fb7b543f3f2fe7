//! Whether the members' manifests lean on the workspace, and whether every dependency is used.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{Finding, Sources};
use crate::repo::{self, Tree};

const VERSION: &str = "workspace-version";
const UNUSED: &str = "unused-dependency";
const LINTS: &str = "workspace-lints";
const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];
/// Named in `[package]`, each as `name.workspace = true`.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// Every member's manifest, and the version table itself.
pub(crate) fn check(tree: &Tree, sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = tree.get("Cargo.toml").and_then(|text| text.parse::<Table>().ok());
    let Some(workspace) = root.as_ref().and_then(|table| table.get("workspace")) else {
        return vec![Finding::new("syntax", "Cargo.toml", 1, "no [workspace]")];
    };
    let members = workspace.get("members").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut used_by_a_member: BTreeSet<String> = BTreeSet::new();
    for member in members {
        let path = format!("{member}/Cargo.toml");
        let Some(text) = tree.get(&path) else { continue };
        match text.parse::<Table>() {
            Ok(manifest) => {
                findings.extend(inherits(&path, text, &manifest));
                findings.extend(uses(&path, text, &manifest, sources));
                used_by_a_member.extend(dependencies(&manifest).map(|(name, _)| name.to_owned()));
            }
            Err(why) => findings.push(Finding::new("syntax", &path, 1, why.to_string())),
        }
    }
    let table = workspace.get("dependencies").and_then(Value::as_table);
    for name in table.into_iter().flat_map(Table::keys).filter(|name| !used_by_a_member.contains(*name)) {
        let line = line_of(tree.get("Cargo.toml").unwrap_or_default(), name);
        findings.push(Finding::new(UNUSED, "Cargo.toml", line, format!("no member depends on `{name}`")));
    }
    findings
}

fn inherits(path: &str, text: &str, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    let from_workspace = |value: Option<&Value>| value.and_then(|v| v.get("workspace")).and_then(Value::as_bool);
    for (name, value) in dependencies(manifest) {
        if from_workspace(Some(value)) != Some(true) {
            let message = format!("`{name}`: the version belongs into the workspace's table, here `workspace = true`");
            findings.push(Finding::new(VERSION, path, line_of(text, name), message));
        }
    }
    for name in INHERITED {
        if from_workspace(manifest.get("package").and_then(|package| package.get(name))) != Some(true) {
            findings.push(Finding::new(VERSION, path, line_of(text, name), format!("`{name}.workspace = true`")));
        }
    }
    if from_workspace(manifest.get("lints")) != Some(true) {
        findings.push(Finding::new(LINTS, path, 1, "[lints] says `workspace = true`"));
    }
    findings
}

fn uses(path: &str, text: &str, manifest: &Table, sources: &Sources) -> Vec<Finding> {
    let folder = format!("{}/", repo::folder_of(path));
    let words: BTreeSet<&str> = sources
        .iter()
        .filter(|(file, _)| file.starts_with(&folder))
        .flat_map(|(_, source)| source.tokens.iter().map(|token| token.text.as_str()))
        .collect();
    let unused = dependencies(manifest).filter(|(name, _)| !words.contains(name.replace('-', "_").as_str()));
    unused
        .map(|(name, _)| Finding::new(UNUSED, path, line_of(text, name), format!("no source file names `{name}`")))
        .collect()
}

/// Of every kind, also those of one target only.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let places = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    let tables = places.flat_map(|place| KINDS.iter().filter_map(|kind| place.get(*kind)?.as_table()));
    tables.flat_map(|table| table.iter().map(|(name, value)| (name.as_str(), value)))
}

fn line_of(text: &str, key: &str) -> usize {
    let found = text.lines().position(|line| {
        line.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', ' ', '=']) || rest.is_empty())
    });
    found.map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "[package]\nname = \"r\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    fn found(dependencies: &str, source: &str, manifest: &str) -> Vec<String> {
        let root = format!("[workspace]\nmembers = [\"route\"]\n[workspace.dependencies]\n{dependencies}");
        let tree = Tree::of(&[("Cargo.toml", &root), ("route/Cargo.toml", manifest), ("route/src/lib.rs", source)]);
        let findings = check(&tree, &Sources::of(&tree).0);
        findings.into_iter().map(|finding| format!("{} {}:{}", finding.rule, finding.path, finding.line)).collect()
    }

    #[test]
    fn a_version_in_a_member_is_found() {
        let manifest = format!("{PACKAGE}[dependencies]\nmem-chr = \"2\"\n");
        assert_eq!(found("mem-chr = \"2\"\n", "use mem_chr::a;", &manifest), ["workspace-version route/Cargo.toml:11"]);
        let manifest = format!("{PACKAGE}[target.'cfg(unix)'.dev-dependencies]\nx = {{ path = \"../x\" }}\n");
        assert_eq!(found("x = \"2\"\n", "use x::a;", &manifest), ["workspace-version route/Cargo.toml:11"]);
    }

    #[test]
    fn a_dependency_nobody_names_is_found() {
        let manifest = format!("{PACKAGE}[dependencies]\nx.workspace = true\n");
        assert_eq!(
            found("x = \"2\"\n", "// x\nconst A: &str = \"x\";", &manifest),
            ["unused-dependency route/Cargo.toml:11"]
        );
        assert_eq!(found("x = \"2\"\n", "use x::y;", &manifest), [""; 0]);
        assert_eq!(found("x = \"2\"\ny = \"1\"\n", "use x::y;", &manifest), ["unused-dependency Cargo.toml:5"]);
    }

    #[test]
    fn what_a_package_must_inherit_is_found() {
        let manifest = PACKAGE.replace("license.workspace = true", "license = \"MIT\"");
        assert_eq!(found("", "", &manifest), ["workspace-version route/Cargo.toml:6"]);
        let manifest = PACKAGE.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(found("", "", &manifest), ["workspace-lints route/Cargo.toml:1"]);
    }
}
