//! Caddy: pinned from outside, as many of Go's processors as cores.

use super::Job;
use crate::load::Protocol;
use crate::server::Launch;
use crate::subject::{Duty, Work};

/// Asks for the version.
pub(super) const VERSION: &[&str] = &["version"];

const FIXED: &str = include_str!("../../peers/caddy/fixed.conf");
const FILES: &str = include_str!("../../peers/caddy/files.conf");
const PROXY: &str = include_str!("../../peers/caddy/proxy.conf");

/// Sessions go on by tickets, which is its default, as are its versions and ciphers.
const TLS: &str = "
	tls {folder}/cert.pem {folder}/key.pem";

/// The first word, where it is a number or begins with `v` and one.
pub(super) fn version(said: &str) -> Option<&str> {
    let word = said.split_whitespace().next()?;
    word.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit()).then_some(word)
}

/// It tries its routes one after the other, so that many are no fair question.
pub(super) fn can(duty: &Duty) -> bool {
    duty.routes == 0
}

pub(super) fn launch(job: &Job<'_>) -> Launch {
    let template = match job.duty.work {
        Work::Fixed => FIXED,
        Work::Files { .. } => FILES,
        Work::Proxy { .. } => PROXY,
    };
    let protocols = match (job.duty.protocol, job.duty.tls) {
        (Protocol::Http1, _) => "h1",
        (Protocol::Http2, true) => "h1 h2",
        (Protocol::Http2, false) => "h1 h2c",
    };
    let scheme = if job.duty.tls { "https" } else { "http" };
    let text = job.fill(template).replace("{tls}", &job.tls(TLS)).replace("{scheme}", scheme);
    let text = text.replace("{protocols}", protocols);
    let arguments = ["run", "--adapter", "caddyfile", "--config", &job.file("Caddyfile")];
    Launch {
        arguments: arguments.map(str::to_owned).to_vec(),
        // Its folders would otherwise be in the home of whoever measures.
        environment: vec![
            ("GOMAXPROCS", job.cores.len().to_string()),
            ("XDG_DATA_HOME", job.folder.display().to_string()),
            ("XDG_CONFIG_HOME", job.folder.display().to_string()),
        ],
        files: vec![("Caddyfile", text)],
        pinned: job.cores.to_vec(),
        ..Launch::default()
    }
}
