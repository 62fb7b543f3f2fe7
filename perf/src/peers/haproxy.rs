//! HAProxy: threads bound by its own setting; no files; routes as one indexed list.

use super::{Job, behind};
use crate::load::Protocol;
use crate::server::{Launch, list};
use crate::subject::{Duty, Work, route};

/// Asks for the version.
pub(super) const VERSION: &[&str] = &["-v"];

const FIXED: &str = include_str!("../../peers/haproxy/fixed.conf");
const ROUTES: &str = include_str!("../../peers/haproxy/routes.conf");
const PROXY: &str = include_str!("../../peers/haproxy/proxy.conf");

/// Sessions go on by tickets, which is its default, as are its versions and ciphers.
const TLS: &str = " ssl crt {folder}/both.pem";

pub(super) fn version(said: &str) -> Option<&str> {
    behind(said, "HAProxy version ")
}

/// It serves no files.
pub(super) fn can(duty: &Duty) -> bool {
    !matches!(duty.work, Work::Files { .. })
}

pub(super) fn launch(job: &Job<'_>) -> Launch {
    let template = match job.duty.work {
        Work::Fixed if job.duty.routes > 0 => ROUTES,
        Work::Proxy { .. } => PROXY,
        Work::Fixed | Work::Files { .. } => FIXED,
    };
    let h2 = match (job.duty.protocol, job.duty.tls) {
        (Protocol::Http1, true) => " alpn http/1.1",
        (Protocol::Http1, false) => "",
        (Protocol::Http2, true) => " alpn h2",
        (Protocol::Http2, false) => " proto h2",
    };
    let text = job.fill(template).replace("{cpu_map}", &cpu_map(job.cores));
    let text = text.replace("{tls}", &job.tls(TLS)).replace("{h2}", h2);
    let mut files = vec![("haproxy.cfg", text)];
    if job.duty.routes > 0 {
        let lines: String = (0..job.duty.routes).map(|at| route(at) + "\n").collect();
        files.push(("routes.lst", lines));
    }
    // -db: in the foreground, one process.
    let arguments = ["-db", "-f", &job.file("haproxy.cfg")].map(str::to_owned).to_vec();
    Launch { arguments, files, ..Launch::default() }
}

/// Threads 1 to n on these cores, one each, in this order.
fn cpu_map(cores: &[usize]) -> String {
    if let [core] = cores {
        return format!("cpu-map 1/1 {core}");
    }
    format!("cpu-map auto:1/1-{} {}", cores.len(), list(cores).replace(',', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_core() {
        assert_eq!(cpu_map(&[3]), "cpu-map 1/1 3");
        assert_eq!(cpu_map(&[0, 2]), "cpu-map auto:1/1-2 0 2");
    }
}
