//! h2o: pinned from outside; files and proxying, for its fixed answers would be Ruby programs.

use super::{Job, behind};
use crate::load::Protocol;
use crate::server::Launch;
use crate::subject::{Duty, Work};

/// Asks for the version.
pub(super) const VERSION: &[&str] = &["-v"];

const FILES: &str = include_str!("../../peers/h2o/files.conf");
const PROXY: &str = include_str!("../../peers/h2o/proxy.conf");

/// Sessions go on by tickets, which is its default, as are its versions and ciphers.
const TLS: &str = "
  ssl:
    certificate-file: {folder}/cert.pem
    key-file: {folder}/key.pem";

/// It is always offered, and found out by its first bytes where there is no TLS.
const H2: &str = "http2-idle-timeout: 3600\n";

pub(super) fn version(said: &str) -> Option<&str> {
    behind(said, "h2o version ")
}

/// It has no fixed answers but those of a script, which would be slower than the server is.
pub(super) fn can(duty: &Duty) -> bool {
    duty.work != Work::Fixed
}

pub(super) fn launch(job: &Job<'_>) -> Launch {
    let template = if matches!(job.duty.work, Work::Proxy { .. }) { PROXY } else { FILES };
    let arguments = ["-m", "worker", "-c", &job.file("h2o.conf")].map(str::to_owned).to_vec();
    let h2 = if job.duty.protocol == Protocol::Http2 { H2 } else { "" };
    let files = vec![("h2o.conf", job.fill(template).replace("{tls}", &job.tls(TLS)).replace("{h2}", h2))];
    Launch { arguments, files, pinned: job.cores.to_vec(), ..Launch::default() }
}
