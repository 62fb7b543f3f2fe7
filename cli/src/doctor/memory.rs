//! Does the kernel's handling of memory hold up a shard, and is there enough for TCP?

use super::facts::Facts;
use super::finding::{Finding, size};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![huge_pages(facts), tcp_memory(facts)]
}

fn huge_pages(facts: &Facts) -> Finding {
    const CHECK: &str = "transparent huge pages";
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    let Some(text) = facts.host.read(path) else { return Finding::ok(CHECK, "the kernel has none") };
    let chosen = text.split('[').nth(1).and_then(|rest| rest.split(']').next());
    match chosen {
        Some(word @ ("madvise" | "never")) => Finding::ok(CHECK, word),
        Some("always") => {
            let why = "the kernel zeroes and moves 2 MiB at a time whenever it likes, which stops a shard for a \
                       millisecond, and small buffers take more memory than they need";
            Finding::advice(CHECK, "always", why)
                .fix(format!("echo madvise > /{path}"))
                .preset("tmpfiles.d/anygate-hugepages.conf")
        }
        _ => Finding::unknown(CHECK, text),
    }
}

fn tcp_memory(facts: &Facts) -> Finding {
    const CHECK: &str = "memory for TCP";
    let key = "net.ipv4.tcp_mem";
    let limits = facts.host.read("proc/sys/net/ipv4/tcp_mem");
    let pressure = limits.as_deref().and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    let used = facts.host.read("proc/net/sockstat").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?.to_owned();
        let mut words = line.split_whitespace();
        words.find(|word| *word == "mem")?;
        words.next()?.parse::<u64>().ok()
    });
    let (Some(pressure), Some(used)) = (pressure, used) else {
        return Finding::unknown(CHECK, format!("{key} or its use cannot be read"));
    };
    let pages = |count: u64| size(count.saturating_mul(4096));
    let found = format!("{} in use, {} before the kernel saves ({key})", pages(used), pages(pressure));
    if used < pressure {
        return Finding::ok(CHECK, found);
    }
    let why = "the kernel shrinks every connection's window, and drops what came out of order";
    let more = format!("sysctl -w {key}='{} {} {}'", pressure, pressure * 2, pressure * 3);
    Finding::problem(CHECK, found, why).fix(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn look(files: &[(&str, &str)]) -> [Finding; 2] {
        check(&Facts::made(&[0], files)).try_into().expect("two checks")
    }

    #[test]
    fn huge_pages_for_everybody_are_advised_against() {
        let of = |text| look(&[("sys/kernel/mm/transparent_hugepage/enabled", text)])[0].clone();
        assert_eq!(of("always [madvise] never\n").verdict, Verdict::Ok);
        assert_eq!(of("always madvise [never]\n").verdict, Verdict::Ok);
        let bad = of("[always] madvise never\n");
        assert_eq!(bad.verdict, Verdict::Advice);
        assert_eq!(bad.fixes, ["echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"]);
        assert_eq!(of("?").verdict, Verdict::Unknown);
        assert_eq!(look(&[])[0].verdict, Verdict::Ok);
    }

    #[test]
    fn memory_for_tcp_that_runs_out_is_a_problem() {
        let limits = ("proc/sys/net/ipv4/tcp_mem", "1000\t2000\t3000");
        let used = |text| ("proc/net/sockstat", text);
        let few = "sockets: used 9\nTCP: inuse 2 orphan 0 tw 0 alloc 3 mem 10\nUDP: inuse 1 mem 5000\n";
        assert_eq!(look(&[limits, used(few)])[1].verdict, Verdict::Ok);
        let bad = look(&[limits, used(&few.replace("mem 10", "mem 2500"))])[1].clone();
        assert_eq!(
            (bad.verdict, bad.fixes[0].as_str()),
            (Verdict::Problem, "sysctl -w net.ipv4.tcp_mem='2000 4000 6000'")
        );
        assert_eq!(look(&[limits])[1].verdict, Verdict::Unknown);
        assert_eq!(look(&[])[1].verdict, Verdict::Unknown);
    }
}
