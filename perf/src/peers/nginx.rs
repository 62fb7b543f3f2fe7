//! nginx: one worker, pinned, answering by `return`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::Peer;
use crate::server::{Folder, Server};

/// What it is configured with; `{listen}`, `{core_mask}` and `{folder}` are filled in.
pub const FIXED: &str = include_str!("../../peers/nginx/fixed.conf");

/// The installed nginx, or the one at `program`.
#[must_use]
pub fn find(program: Option<&Path>) -> Option<Peer> {
    let program = program.map_or_else(|| super::find("nginx"), |path| Some(path.to_owned()))?;
    let said = Command::new(&program).arg("-v").output().ok()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let version = said.trim().strip_prefix("nginx version: ")?.to_owned();
    Some(Peer { program, version })
}

/// Starts it on `listen`, its one worker on `core`.
///
/// # Errors
/// It cannot be started; with what it printed.
pub fn start(peer: &Peer, listen: SocketAddr, core: usize) -> Result<Server, String> {
    let folder = Folder::new("nginx")?;
    let file = folder.path().join("nginx.conf");
    let text = configuration(listen, core, folder.path());
    fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut command = Command::new(&peer.program);
    command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
    Server::start(command, listen, folder)
}

/// The configuration for one run.
#[must_use]
pub fn configuration(listen: SocketAddr, core: usize, folder: &Path) -> String {
    let mask = format!("1{}", "0".repeat(core));
    FIXED
        .replace("{listen}", &listen.to_string())
        .replace("{core_mask}", &mask)
        .replace("{folder}", &folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled_in() {
        let text = configuration("127.0.0.1:8081".parse().unwrap(), 2, Path::new("/run/x"));
        assert!(text.contains("listen 127.0.0.1:8081"));
        assert!(text.contains("worker_cpu_affinity 100;"));
        assert!(text.contains("pid /run/x/nginx.pid;"));
        assert!(!text.contains("{listen}") && !text.contains("{core_mask}") && !text.contains("{folder}"));
    }
}
