//! What a soak's gate is asked to do: two configurations that take turns, their files, and their ports.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::pattern::{self, Rng};
use crate::server::Folder;

/// Files that are served: name, the seed of their bytes, and how many these are.
pub(super) const FILES: [(&str, u32, u64); 4] =
    [("1k", 11, 1 << 10), ("16k", 12, 16 << 10), ("100k", 13, 100 << 10), ("3m", 14, 3 << 20)];
/// Rules of no use that every other configuration has beside the others.
const MORE_RULES: u64 = 500;
/// Ports are drawn from here: below those the kernel gives to clients, so that one who restarts finds his free.
const PORTS: std::ops::Range<u16> = 18_500..32_000;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Setting {
    folder: Folder,
    /// The gate's listener that stays.
    pub(super) address: SocketAddr,
    /// The gate's listener that comes and goes.
    pub(super) extra: SocketAddr,
    /// The server behind that lives.
    pub(super) steady: SocketAddr,
    /// The server behind that dies and comes back.
    pub(super) flaky: SocketAddr,
}

impl Setting {
    pub(super) fn new() -> Result<Self, String> {
        let folder = Folder::new("soak")?;
        let files = folder.path().join("files");
        fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
        for (name, seed, length) in FILES {
            let file = files.join(name);
            fs::write(&file, pattern::body(seed, length as usize))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let mut rng = Rng::new(u64::from(std::process::id()));
        let mut taken = Vec::new();
        let mut port = || free_port(&mut rng, &mut taken);
        Ok(Self { address: port()?, extra: port()?, steady: port()?, flaky: port()?, folder })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration of this number: even and odd ones differ in listeners, servers behind and rules. Whole or
    /// not at all, as a deployment would have it.
    pub(super) fn write(&self, number: u64) -> Result<(), String> {
        let (next, file) = (self.folder().join("next.yml"), self.folder().join("anygate.yml"));
        fs::write(&next, self.text(number))
            .and_then(|()| fs::rename(&next, &file))
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn text(&self, number: u64) -> String {
        let Self { address, extra, steady, flaky, .. } = self;
        let odd = number % 2 == 1;
        let listen = if odd { format!("\"{address}\", \"{extra}\"") } else { format!("\"{address}\"") };
        let (steady_by, keep) =
            if odd { (format!("localhost:{}", steady.port()), 16) } else { (steady.to_string(), 64) };
        let mut text = format!(
            "server:\n  listen: [{listen}]\n  header_timeout: 3s\n  idle_timeout: 5s\n  read_timeout: 3s\n\
             \x20 max_body_size: 32MiB\n  name: \"{}\"\n\
             echo: {{body: 16KiB}}\n\
             upstreams:\n  steady: {{servers: [\"{steady_by}\"], keep_alive: {keep}}}\n\
             \x20 flaky: {{servers: [\"{flaky}\"]}}\n  pair: {{servers: [\"{flaky}\", \"{steady}\"]}}\n\
             routes:\n  /fixed: OK fixed\n  GET /number: OK {number}\n  /files/: ./files/\n  /old/:id: MOVED /new/:id\n\
             \x20 /echo: *\n  /steady/: http://steady/\n  /flaky/: http://flaky/\n  /pair/: http://pair/\n",
            if odd { "gate" } else { "" },
        );
        for rule in 0..if odd { MORE_RULES } else { 0 } {
            text.push_str(&format!("  /tenant-{rule}/:id/items: OK {number}\n"));
        }
        text
    }
}

fn free_port(rng: &mut Rng, taken: &mut Vec<u16>) -> Result<SocketAddr, String> {
    for _ in 0..1000 {
        let port = PORTS.start + rng.below(u64::from(PORTS.end - PORTS.start)) as u16;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if !taken.contains(&port) && TcpListener::bind(address).is_ok() {
            taken.push(port);
            return Ok(address);
        }
    }
    Err("no free port".to_owned())
}
