//! nginx: workers pinned by its own setting, routes as exact locations.

use std::fmt::Write;

use super::{Job, behind};
use crate::load::Protocol;
use crate::server::Launch;
use crate::subject::{Duty, Work, route};

/// Asks for the version.
pub(super) const VERSION: &[&str] = &["-v"];

const FIXED: &str = include_str!("../../peers/nginx/fixed.conf");
const ROUTES: &str = include_str!("../../peers/nginx/routes.conf");
const FILES: &str = include_str!("../../peers/nginx/files.conf");
const PROXY: &str = include_str!("../../peers/nginx/proxy.conf");

/// Sessions go on by tickets, which is its default, as are its ciphers; old versions speak TLS 1.3 only when told to.
const TLS: &str = "
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;";

/// By prior knowledge where there is no TLS.
const H2: &str = "
        http2 on;";

pub(super) fn version(said: &str) -> Option<&str> {
    behind(said, "nginx version: nginx/")
}

/// A version from before this has no `http2 on`, and speaks one protocol where there is no TLS.
const SINCE: [u32; 3] = [1, 25, 1];

/// Whether `nginx VERSION` can do this.
pub(super) fn can(version: &str, duty: &Duty) -> bool {
    let number = version.rsplit(' ').next().unwrap_or_default();
    duty.protocol == Protocol::Http1 || number.split('.').map_while(|part| part.parse::<u32>().ok()).ge(SINCE)
}

pub(super) fn launch(job: &Job<'_>) -> Launch {
    let template = match job.duty.work {
        Work::Fixed if job.duty.routes == 0 => FIXED,
        Work::Fixed => ROUTES,
        Work::Files { .. } => FILES,
        Work::Proxy { .. } => PROXY,
    };
    // Several workers have a listener each, as AnyGate's shards have.
    let reuseport = if job.cores.len() > 1 { " reuseport" } else { "" };
    let text = job
        .fill(template)
        .replace("{core_masks}", &job.cores.iter().map(|&core| mask(core)).collect::<Vec<_>>().join(" "))
        .replace("{reuseport}", reuseport)
        .replace("{ssl}", if job.duty.tls { " ssl" } else { "" })
        .replace("{h2}", if job.duty.protocol == Protocol::Http2 { H2 } else { "" })
        .replace("{tls}", &job.tls(TLS));
    let mut files = vec![("nginx.conf", text)];
    if job.duty.routes > 0 {
        files.push(("routes.conf", locations(job.duty.routes)));
    }
    let arguments = ["-p", &job.folder.display().to_string(), "-c", &job.file("nginx.conf"), "-e", "stderr"];
    Launch { arguments: arguments.map(str::to_owned).to_vec(), files, ..Launch::default() }
}

/// A core as `worker_cpu_affinity` names it: a bit mask, the first core last.
fn mask(core: usize) -> String {
    format!("1{}", "0".repeat(core))
}

/// Sorted: old versions sort a list of locations in time that grows with the square of what is out of order.
fn locations(count: usize) -> String {
    let mut paths: Vec<_> = (0..count).map(route).collect();
    paths.sort_unstable();
    paths.iter().fold(String::new(), |mut text, path| {
        let _ = writeln!(text, "location = {path} {{ return 200; }}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_speak_no_http_2_as_it_is_asked_for_here() {
        let duty = |protocol| Duty { protocol, ..Duty::default() };
        for (version, able) in
            [("nginx 1.22.1", false), ("nginx 1.25.1", true), ("nginx 1.31.5", true), ("nginx 2.0", true)]
        {
            assert_eq!(can(version, &duty(Protocol::Http2)), able, "{version}");
            assert!(can(version, &duty(Protocol::Http1)));
        }
    }

    #[test]
    fn workers_are_pinned_and_several_have_a_listener_each() {
        let conf = |cores: &[usize]| {
            let (duty, listen) = (Duty::default(), "127.0.0.1:8081".parse().unwrap());
            launch(&Job { listen, cores, duty: &duty, folder: "/run/x".as_ref() }).files[0].1.clone()
        };
        let one = conf(&[2]);
        assert!(one.contains("worker_processes 1;") && one.contains("worker_cpu_affinity 100;"), "{one}");
        assert!(one.contains("listen 127.0.0.1:8081 backlog=4096;"), "{one}");
        let two = conf(&[0, 1]);
        assert!(two.contains("worker_processes 2;") && two.contains("worker_cpu_affinity 1 10;"), "{two}");
        assert!(two.contains("backlog=4096 reuseport;"), "{two}");
    }
}
