//! Servers of others, configured for the same work: found if they are installed.

pub mod nginx;

use std::env;
use std::path::PathBuf;

/// A peer that is installed.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its program.
    pub program: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// The program of this name on the search path, or where system daemons are.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_not_found() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
