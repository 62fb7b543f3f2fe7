//! Which tools the commands call, and how they come onto a machine that has only cargo.

use crate::repo;

/// A program from crates.io.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its name there.
    name: &'static str,
    /// The one version that is used.
    version: &'static str,
    /// What it is called as, after `cargo`.
    command: &'static str,
}

/// Checks licences, bans and sources. Built without its default features: advisories would need the network.
pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", command: "deny" };

const TOOLS: &[&Tool] = &[&CARGO_DENY];

/// Arguments of `cargo xtask install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Installs what is missing.
pub(crate) fn run(_args: &Args) -> Result<(), String> {
    for tool in TOOLS {
        if tool.is_there() {
            println!("{} {} is there", tool.name, tool.version);
        } else {
            tool.install()?;
        }
    }
    Ok(())
}

impl Tool {
    /// An error that says how to get it, unless the pinned version answers.
    pub(crate) fn demand(&self) -> Result<(), String> {
        if self.is_there() {
            Ok(())
        } else {
            Err(format!("{} {} is not installed: cargo xtask install", self.name, self.version))
        }
    }

    fn is_there(&self) -> bool {
        let answer = repo::cargo().args([self.command, "--version"]).output();
        answer.is_ok_and(|out| out.status.success() && names_version(&out.stdout, self.name, self.version))
    }

    fn install(&self) -> Result<(), String> {
        let mut command = repo::cargo();
        command.args(["install", self.name, "--version", self.version, "--locked", "--no-default-features", "--force"]);
        println!("{}", repo::shown(&command));
        repo::run(command)?;
        self.demand()
    }
}

/// Whether `name version` is what was printed.
fn names_version(printed: &[u8], name: &str, version: &str) -> bool {
    let mut words = std::str::from_utf8(printed).unwrap_or_default().split_whitespace();
    words.next() == Some(name) && words.next() == Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_version_counts_as_installed() {
        assert!(names_version(b"cargo-deny 0.20.2\n", "cargo-deny", "0.20.2"));
        assert!(!names_version(b"cargo-deny 0.20.20\n", "cargo-deny", "0.20.2"));
        assert!(!names_version(b"cargo-deny 0.19.0\n", "cargo-deny", "0.20.2"));
        assert!(!names_version(b"", "cargo-deny", "0.20.2"));
    }
}
