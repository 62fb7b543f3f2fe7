//! Where the repository is, which files it has, and how a program is run in it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let mut path = PathBuf::from(here);
    path.pop();
    path.pop();
    path
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |path| root().join(path))
}

/// The cargo that runs this, to be run in the root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    command
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            text.push_str(&format!("{}='{}' ", name.to_string_lossy(), value.to_string_lossy()));
        }
    }
    let program = PathBuf::from(command.get_program());
    text.push_str(&program.file_name().unwrap_or(command.get_program()).to_string_lossy());
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

/// Runs it with this process's own output; an exit code other than 0 is an error.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("{}: {e}", shown(&command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(&command))) }
}

/// Prints a report. A reader that has seen enough, such as `head`, is no fault.
pub(crate) fn report(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Text files by their path from the root, with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// What git tracks, and what it would track if it were added. A file that is not UTF-8 exists and is empty.
    pub(crate) fn of_repository() -> Result<Self, String> {
        let root = root();
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(&root)
            .output()
            .map_err(|e| format!("git ls-files: {e}"))?;
        if !listed.status.success() {
            return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim()));
        }
        let mut tree = Self::default();
        for path in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            // A tracked file that is deleted in the work tree is no part of it.
            if let Ok(bytes) = fs::read(root.join(path)) {
                tree.files.insert(path.to_owned(), String::from_utf8(bytes).unwrap_or_default());
            }
        }
        Ok(tree)
    }

    /// A tree made of these files.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Every file, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of that file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a file or folder of that name is there; the root is the empty name.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty() || self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }
}

/// `base` and `relative` joined, with `.` and `..` resolved; `None` when it leaves the root.
pub(crate) fn join(base: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The folder a file lies in, without a final slash; empty for the root.
pub(crate) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_join_and_never_leave_the_root() {
        assert_eq!(join("docs/guides", "../examples/a.yml").as_deref(), Some("docs/examples/a.yml"));
        assert_eq!(join("", "./LICENSE").as_deref(), Some("LICENSE"));
        assert_eq!(join("docs", "../../elsewhere"), None);
    }

    #[test]
    fn a_folder_is_there_when_a_file_lies_in_it() {
        let tree = Tree::of(&[("docs/decisions/0001.md", "")]);
        assert!(tree.has("docs/decisions/") && tree.has("docs") && tree.has("docs/decisions/0001.md"));
        assert!(!tree.has("docs/dec") && !tree.has("packaging"));
    }

    #[test]
    fn the_repository_has_its_own_manifest() {
        let tree = Tree::of_repository().expect("git lists the files");
        assert!(tree.get("Cargo.toml").is_some_and(|text| text.contains("[workspace]")));
        assert!(tree.get("packaging/xtask/src/repo.rs").is_some());
    }
}
