//! Do the guide and the presets say what the checks say?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::sysctl::{self, PRESET, path};

/// Words that look like settings of the kernel.
fn keys(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
    let first = ["net.core.", "net.ipv4.", "net.netfilter.", "fs.", "vm.", "kernel."];
    let keys = words.map(|word| word.trim_matches('.'));
    keys.filter(|word| first.iter().any(|start| word.starts_with(start))).map(str::to_owned).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_setting_in_the_guide_and_in_the_presets_is_one_that_is_checked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let sources =
        [include_str!("sysctl.rs"), include_str!("uring.rs"), include_str!("memory.rs"), include_str!("limits.rs")];
    let of = |source: &str| keys(source.split("#[cfg(test)]").next().unwrap_or_default());
    let known: BTreeSet<String> = sources.into_iter().flat_map(of).collect();
    let mut pages = vec![root.join("docs/TUNING.md")];
    files(&root.join("packaging/tuning"), &mut pages);
    let mut count = 0;
    for page in pages {
        for key in keys(&fs::read_to_string(&page).expect("it is text")) {
            assert!(known.contains(&key), "{}: no check knows `{key}`", page.display());
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} settings were found");
}

#[test]
fn the_preset_satisfies_every_row_that_it_sets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let preset = fs::read_to_string(root.join("packaging/tuning").join(PRESET)).expect("the preset is there");
    let lines = preset.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let set: Vec<(String, String)> = lines.map(|(key, value)| (path(key.trim()), value.trim().to_owned())).collect();
    assert!(set.len() >= 8, "{set:?}");
    let made: Vec<(&str, &str)> = set.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
    let mut facts = Facts::made(&[0], &made);
    facts.behind = vec!["10.0.0.1".to_owned()];
    let left: Vec<_> = sysctl::check(&facts).into_iter().filter(|finding| !finding.fixes.is_empty()).collect();
    assert!(left.is_empty(), "{left:?}");
}
