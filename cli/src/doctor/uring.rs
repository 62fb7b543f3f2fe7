//! May the server have io_uring, and if not, who forbids it?

use anygate_core::config::Io;

use super::facts::Facts;
use super::finding::{Finding, Verdict};

/// Older kernels lack rings of buffers, or a task's own completions.
const KERNEL: (u32, u32) = (6, 1);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![available(facts)]
}

fn available(facts: &Facts) -> Finding {
    const CHECK: &str = "io_uring";
    const WHY: &str = "on epoll every request costs two system calls of its own, on io_uring about a tenth of one";
    if facts.server.io == Io::Epoll {
        return Finding::ok(CHECK, "not wanted: server.io is epoll");
    }
    let (verdict, missed) = match facts.server.io {
        Io::Uring => (Verdict::Problem, "and server.io is uring: the server does not start"),
        _ => (Verdict::Advice, "so the server falls back to epoll"),
    };
    let bad = |found: String| match verdict {
        Verdict::Problem => Finding::problem(CHECK, format!("{found}, {missed}"), WHY),
        _ => Finding::advice(CHECK, format!("{found}, {missed}"), WHY),
    };
    if facts.uring == Some(Ok(())) {
        return Finding::ok(CHECK, "it works");
    }
    let disabled = facts.host.number("proc/sys/kernel/io_uring_disabled").unwrap_or(0);
    if disabled > 0 {
        let who = if disabled == 1 { "all but a group of users" } else { "everybody" };
        return bad(format!("kernel.io_uring_disabled forbids it to {who}"))
            .fix("sysctl -w kernel.io_uring_disabled='0'")
            .preset("sysctl.d/90-anygate.conf");
    }
    let release = facts.host.read("proc/sys/kernel/osrelease").unwrap_or_default();
    if let Some(version) = version(&release)
        && version < KERNEL
    {
        let found = format!("kernel {release} is older than {}.{}", KERNEL.0, KERNEL.1);
        return bad(found).fix("apt-get install linux-image-amd64  # or your system's newer kernel, and restart");
    }
    let filtered = facts.status("Seccomp").as_deref() == Some("2");
    match &facts.uring {
        Some(Err(why)) if filtered && why.contains("not permitted") => bad(
            "a seccomp filter, such as a container's, forbids it".to_owned(),
        )
        .fix("docker run --security-opt seccomp=unconfined …  # or a profile that allows io_uring_setup, _enter, _register"),
        Some(Err(why)) => bad(format!("the kernel refuses it: {why}")).fix("anygate serve --io epoll  # says so, and asks no more"),
        _ if filtered => Finding::unknown(CHECK, "the kernel allows it; a seccomp filter is there and may not"),
        _ if release.is_empty() => Finding::unknown(CHECK, "the kernel does not say"),
        _ => Finding::ok(CHECK, "nothing forbids it"),
    }
}

/// The first two numbers of `6.18.5-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(uring: Option<Result<(), &str>>, io: Io, files: &[(&str, &str)]) -> Finding {
        let mut facts = Facts::made(&[0], files);
        facts.uring = uring.map(|tried| tried.map_err(str::to_owned));
        facts.server.io = io;
        available(&facts)
    }

    const RELEASE: (&str, &str) = ("proc/sys/kernel/osrelease", "6.18.5\n");
    const DENIED: Option<Result<(), &str>> = Some(Err("io_uring_setup: Operation not permitted (os error 1)"));

    #[test]
    fn what_works_is_well_whatever_else_is_said() {
        assert_eq!(look(Some(Ok(())), Io::Auto, &[]).verdict, Verdict::Ok);
        assert_eq!(look(DENIED, Io::Epoll, &[]).verdict, Verdict::Ok);
        assert_eq!(look(None, Io::Auto, &[RELEASE]).verdict, Verdict::Ok);
        assert_eq!(look(None, Io::Auto, &[]).verdict, Verdict::Unknown);
    }

    #[test]
    fn who_forbids_it_is_named() {
        let disabled = ("proc/sys/kernel/io_uring_disabled", "2");
        let found = look(DENIED, Io::Auto, &[RELEASE, disabled]);
        assert_eq!(found.verdict, Verdict::Advice);
        assert_eq!(found.fixes, ["sysctl -w kernel.io_uring_disabled='0'"]);
        let filter = ("proc/self/status", "Seccomp:\t2\nSeccomp_filters:\t1\n");
        let found = look(DENIED, Io::Auto, &[RELEASE, filter]);
        assert!(found.found.contains("seccomp") && found.fixes[0].contains("docker"), "{found:?}");
        assert_eq!(look(None, Io::Auto, &[RELEASE, filter]).verdict, Verdict::Unknown);
        let old = look(DENIED, Io::Auto, &[(RELEASE.0, "5.10.0-30-amd64")]);
        assert!(old.found.starts_with("kernel 5.10.0-30-amd64 is older than 6.1"), "{old:?}");
        let other = look(Some(Err("io_uring_setup: Cannot allocate memory")), Io::Auto, &[RELEASE]);
        assert!(other.found.contains("Cannot allocate memory"), "{other:?}");
    }

    #[test]
    fn who_insists_on_it_has_a_problem_without_it() {
        assert_eq!(look(DENIED, Io::Uring, &[RELEASE]).verdict, Verdict::Problem);
    }
}
