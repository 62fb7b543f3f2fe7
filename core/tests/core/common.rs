//! A disk in memory, and the short ways to load and to show.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anygate_core::config::{Config, Env, Files, Format, Loaded, Loader};
use anygate_core::{Severity, render};

/// Files by path.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path.to_str().unwrap_or("")).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let below = self.0.keys().filter_map(|path| Path::new(path).strip_prefix(dir).ok());
        Ok(below.filter_map(|path| path.iter().next()?.to_str().map(str::to_owned)).rev().collect())
    }
}

pub(crate) fn memory(files: &[(&str, &str)]) -> Memory {
    Memory(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
}

pub(crate) fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads `anygate.yml` with that text.
pub(crate) fn yaml(text: &str) -> Loaded {
    yaml_env(text, &[])
}

pub(crate) fn yaml_env(text: &str, pairs: &[(&str, &str)]) -> Loaded {
    let files = Memory::default();
    Loader { env: &env(pairs), rules: &[], files: &files, self_signed: false }.text(
        "anygate.yml",
        text,
        Format::Yaml,
        Path::new("/etc/gate"),
    )
}

pub(crate) fn text(text: &str, format: Format) -> Loaded {
    let files = Memory::default();
    Loader { env: &Env::new(), rules: &[], files: &files, self_signed: false }.text(
        "anygate",
        text,
        format,
        Path::new("/etc/gate"),
    )
}

/// The configuration of a text that must load without a word.
pub(crate) fn good(text: &str) -> Config {
    let loaded = yaml(text);
    assert!(loaded.diagnostics.is_empty(), "{}", shown(&loaded));
    loaded.config.expect("no error, so a configuration")
}

/// Every finding as a person reads it.
pub(crate) fn shown(loaded: &Loaded) -> String {
    assert_eq!(
        loaded.config.is_none(),
        loaded.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error),
        "no configuration exactly when there is an error"
    );
    let findings = loaded.diagnostics.iter().map(|diagnostic| render(&loaded.sources, diagnostic, false) + "\n");
    findings.collect()
}

/// Heads and actions in order.
pub(crate) fn rules(config: &Config) -> Vec<(&str, &str)> {
    config.routes.iter().map(|route| (route.head.text.as_str(), route.action.text.as_str())).collect()
}
