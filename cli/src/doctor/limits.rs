//! Are the process's own limits wide enough: open files, locked memory?

use anygate_core::config::Io;
use anygate_core::limits::DESCRIPTOR_RESERVE;

use super::facts::Facts;
use super::finding::{Finding, grouped, size};

const DROP_IN: &str = "systemd/anygate.service.d/limits.conf";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![open_files(facts), locked_memory(facts)]
}

/// The soft and the hard limit in a line of `limits`; `u64::MAX` is none.
fn limit(text: &str, name: &str) -> Option<(u64, u64)> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values =
        rest.split_whitespace().map(|word| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() });
    Some((values.next()??, values.next()??))
}

fn open_files(facts: &Facts) -> Finding {
    const CHECK: &str = "open files";
    let Some((_, hard)) = facts.of_process("limits").and_then(|text| limit(&text, "Max open files")) else {
        return Finding::unknown(CHECK, "the process's limits cannot be read");
    };
    // The server raises the soft limit itself.
    let usable = hard.saturating_sub(DESCRIPTOR_RESERVE as u64);
    let each = if facts.behind.is_empty() { 1 } else { 2 };
    let whose = facts.whose();
    let kernel = facts.host.number("proc/sys/fs/nr_open").unwrap_or(u64::MAX);
    let raise = |finding: Finding, wanted: u64| {
        let wanted = wanted.next_power_of_two().clamp(65_536, 1 << 30);
        let finding = match wanted > kernel {
            true => finding.fix(format!("sysctl -w fs.nr_open='{wanted}'")),
            false => finding,
        };
        let finding = match facts.running {
            Some(pid) => finding.fix(format!("prlimit --pid {pid} --nofile={wanted}:{wanted}  # then restart it")),
            None => finding.fix(format!("ulimit -n {wanted}")),
        };
        finding.preset(DROP_IN)
    };
    let why = "a connection takes one open file and a proxied request another; when they run out, new clients wait \
               until others leave";
    let allowed = format!("{whose} may have {}", grouped(hard));
    match facts.server.max_connections.map(|connections| connections as u64) {
        Some(most) if usable < most => {
            let found = format!("{allowed}, and server.max_connections is {}", grouped(most));
            raise(Finding::problem(CHECK, found, why), each * most + DESCRIPTOR_RESERVE as u64)
        }
        Some(most) if usable < each * most => {
            let found = format!("{allowed}: enough for server.max_connections, not for a server behind each of them");
            raise(Finding::advice(CHECK, found, why), each * most + DESCRIPTOR_RESERVE as u64)
        }
        None if hard < 4096 => raise(
            Finding::problem(CHECK, format!("{allowed}: {} clients at most", grouped(usable / each)), why),
            1 << 20,
        ),
        None if hard < 65_536 => raise(
            Finding::advice(CHECK, format!("{allowed}: {} clients at most", grouped(usable / each)), why),
            1 << 20,
        ),
        _ => Finding::ok(CHECK, format!("{allowed}: {} clients", grouped(usable / each))),
    }
}

/// What io_uring's rings and the rings of buffers of one shard may take.
const RINGS: u64 = 2 << 20;

fn locked_memory(facts: &Facts) -> Finding {
    const CHECK: &str = "locked memory";
    if facts.server.io == Io::Epoll {
        return Finding::ok(CHECK, "not needed: server.io is epoll");
    }
    let Some((soft, _)) = facts.of_process("limits").and_then(|text| limit(&text, "Max locked memory")) else {
        return Finding::unknown(CHECK, "the process's limits cannot be read");
    };
    let wanted = RINGS * facts.cores.len().max(1) as u64;
    let refused = matches!(&facts.uring, Some(Err(why)) if why.contains("memory") || why.contains("ENOMEM"));
    let why = "io_uring's rings count against it; a ring that cannot be made means epoll for the whole server";
    let found = match soft {
        u64::MAX => format!("{} may lock as much as it likes", facts.whose()),
        _ => format!("{} may lock {}, about {} are needed", facts.whose(), size(soft), size(wanted)),
    };
    match () {
        () if refused && facts.server.io == Io::Uring => {
            Finding::problem(CHECK, found, why).fix("ulimit -l 524288").preset(DROP_IN)
        }
        () if refused || soft < wanted => Finding::advice(CHECK, found, why).fix("ulimit -l 524288").preset(DROP_IN),
        () => Finding::ok(CHECK, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    const TABLE: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 20000                files
Max locked memory         8388608              unlimited            bytes
";

    fn with(text: &str, change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        let mut facts = Facts::made(&[0, 1], &[("proc/self/limits", text)]);
        change(&mut facts);
        check(&facts)
    }

    #[test]
    fn a_limit_is_read_from_the_kernel_s_table() {
        assert_eq!(limit(TABLE, "Max open files"), Some((1024, 20_000)));
        assert_eq!(limit(TABLE, "Max locked memory"), Some((8 << 20, u64::MAX)));
        assert_eq!(limit(TABLE, "Max hope"), None);
        assert_eq!(limit("Max open files  many  1 files", "Max open files"), None);
    }

    #[test]
    fn open_files_must_suffice_for_the_connections_that_are_promised() {
        let files = |change: fn(&mut Facts)| with(TABLE, change).remove(0);
        assert_eq!(files(|_| ()).verdict, Verdict::Advice, "20,000 are no problem and no plenty");
        assert_eq!(files(|facts| facts.server.max_connections = Some(10_000)).verdict, Verdict::Ok);
        let short = files(|facts| facts.server.max_connections = Some(20_000));
        assert_eq!(short.verdict, Verdict::Problem);
        assert_eq!(short.fixes, ["ulimit -n 65536"]);
        let proxying = files(|facts| {
            facts.server.max_connections = Some(15_000);
            facts.behind.push("10.0.0.1".to_owned());
        });
        assert_eq!(proxying.verdict, Verdict::Advice);
        let few = with(&TABLE.replace("20000", "1024"), |_| ()).remove(0);
        assert_eq!((few.verdict, few.preset), (Verdict::Problem, Some(DROP_IN)));
        assert_eq!(with(&TABLE.replace("20000", "1048576"), |_| ()).remove(0).verdict, Verdict::Ok);
        assert_eq!(with("", |_| ()).remove(0).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_the_kernel_itself_allows_is_raised_first() {
        let mut facts = Facts::made(&[0], &[("proc/self/limits", TABLE), ("proc/sys/fs/nr_open", "1048576")]);
        facts.server.max_connections = Some(3_000_000);
        let found = check(&facts).remove(0);
        assert_eq!(found.fixes, ["sysctl -w fs.nr_open='4194304'", "ulimit -n 4194304"]);
    }

    #[test]
    fn locked_memory_matters_to_io_uring_alone() {
        let memory = |text: &str, change: fn(&mut Facts)| with(text, change).remove(1);
        assert_eq!(memory(TABLE, |_| ()).verdict, Verdict::Ok);
        assert_eq!(memory(&TABLE.replace("8388608", "65536"), |_| ()).verdict, Verdict::Advice);
        assert_eq!(memory(&TABLE.replace("8388608", "65536"), |f| f.server.io = Io::Epoll).verdict, Verdict::Ok);
        let refused = memory(TABLE, |facts| {
            facts.server.io = Io::Uring;
            facts.uring = Some(Err("io_uring_setup: Cannot allocate memory (os error 12)".to_owned()));
        });
        assert_eq!(refused.verdict, Verdict::Problem);
        assert_eq!(memory("", |_| ()).verdict, Verdict::Unknown);
    }
}
