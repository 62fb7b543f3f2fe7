//! Do the kernel's settings fit? One row a setting: where it stands, what is wrong with its value, why that matters.

use super::facts::Facts;
use super::finding::{Finding, Verdict, grouped, size};

/// The preset that holds the values proposed here.
pub(super) const PRESET: &str = "sysctl.d/90-anygate.conf";

/// What a row makes of a value: the verdict, a remark that follows it, and the value to set where another is better.
struct Judged(Verdict, String, Option<String>);

/// One setting of the kernel.
struct Row {
    /// What it is about.
    check: &'static str,
    /// Its name, as `sysctl` takes it.
    key: &'static str,
    why: &'static str,
    judge: fn(&str, &Facts) -> Judged,
    /// How it is put where the kernel has no such setting; without it, that is unknown.
    absent: Option<&'static str>,
}

const ROWS: &[Row] = &[
    Row {
        check: "accept queue",
        key: "net.core.somaxconn",
        why: "the kernel cuts server.backlog down to it, and in a burst of new connections drops those that find the \
              queue full: their clients try again after a second",
        judge: |value, facts| at_least(value, u64::from(facts.server.backlog), Verdict::Problem, "server.backlog"),
        absent: None,
    },
    Row {
        check: "handshake queue",
        key: "net.ipv4.tcp_max_syn_backlog",
        why: "without SYN cookies it bounds the handshakes under way, and a burst beyond it waits a second for its \
              next try",
        judge: |value, facts| {
            let cookies = facts.host.number(&path("net.ipv4.tcp_syncookies")).is_some_and(|on| on > 0);
            match at_least(value, u64::from(facts.server.backlog), Verdict::Advice, "server.backlog") {
                Judged(Verdict::Advice, ..) if cookies => {
                    Judged(Verdict::Ok, "and SYN cookies are for more".into(), None)
                }
                judged => judged,
            }
        },
        absent: None,
    },
    Row {
        check: "SYN cookies",
        key: "net.ipv4.tcp_syncookies",
        why: "a flood of forged handshakes keeps everybody out when they are off",
        judge: |value, _| match value {
            "0" => Judged(Verdict::Advice, "so they are off".into(), Some("1".into())),
            _ => Judged(Verdict::Ok, "so they are on".into(), None),
        },
        absent: Some("the kernel was built without them"),
    },
    Row {
        check: "ports to servers behind",
        key: "net.ipv4.ip_local_port_range",
        why: "each connection to one server behind takes a port of this range; when none is left, connecting fails and \
              clients get 502",
        judge: port_range,
        absent: None,
    },
    Row {
        check: "ports in TIME_WAIT",
        key: "net.ipv4.tcp_tw_reuse",
        why: "a closed connection to a server behind holds its port for a minute unless it may be used again",
        judge: |value, facts| match value {
            _ if facts.behind.is_empty() => Judged(Verdict::Ok, "and nothing is proxied".into(), None),
            "1" => Judged(Verdict::Ok, "so they are used again".into(), None),
            "2" if !facts.is_behind_remote() => Judged(Verdict::Ok, "so they are used again on loopback".into(), None),
            "2" => Judged(Verdict::Advice, "so they are used again on loopback alone".into(), Some("1".into())),
            _ => Judged(Verdict::Advice, "so they are not used again".into(), Some("1".into())),
        },
        absent: None,
    },
    Row {
        check: "window after a pause",
        key: "net.ipv4.tcp_slow_start_after_idle",
        why: "a kept connection that paused starts slowly again, so its next large response takes further round trips",
        judge: |value, _| match value {
            "0" => Judged(Verdict::Ok, "so it is kept".into(), None),
            _ => Judged(Verdict::Advice, "so it is forgotten".into(), Some("0".into())),
        },
        absent: None,
    },
    Row {
        check: "receive window",
        key: "net.ipv4.tcp_rmem",
        why: "its last number bounds what an upload may have under way: 4 MiB are 320 Mbit/s at 100 ms",
        judge: |value, _| window(value, "4096 131072 16777216"),
        absent: None,
    },
    Row {
        check: "send window",
        key: "net.ipv4.tcp_wmem",
        why: "its last number bounds what a download may have under way: 4 MiB are 320 Mbit/s at 100 ms",
        judge: |value, _| window(value, "4096 16384 16777216"),
        absent: None,
    },
    Row {
        check: "fixed receive buffers",
        key: "net.core.rmem_max",
        why: "",
        judge: |_, _| Judged(Verdict::Ok, "and AnyGate leaves sizes to the kernel".into(), None),
        absent: None,
    },
    Row {
        check: "fixed send buffers",
        key: "net.core.wmem_max",
        why: "",
        judge: |_, _| Judged(Verdict::Ok, "and AnyGate leaves sizes to the kernel".into(), None),
        absent: None,
    },
    Row {
        check: "packets in line",
        key: "net.core.netdev_max_backlog",
        why: "packets that came faster than a processor took them were dropped, and each costs its connection a \
              retransmission of 200 ms or more",
        judge: |value, facts| match softnet(facts, 1) {
            Some(0) => Judged(Verdict::Ok, "and none was dropped".into(), None),
            Some(dropped) => {
                let more = number(value).saturating_mul(4).max(16_384);
                let found = format!("and {} packets were dropped", grouped(dropped));
                Judged(Verdict::Advice, found, Some(more.to_string()))
            }
            None => Judged(Verdict::Unknown, "and drops cannot be seen".into(), None),
        },
        absent: None,
    },
    Row {
        check: "packets in one go",
        key: "net.core.netdev_budget",
        why: "the kernel often stopped before it had taken every packet that was there, which adds milliseconds",
        judge: |value, facts| match (softnet(facts, 2), softnet(facts, 0)) {
            (Some(squeezed), Some(packets)) if squeezed > 1000 && squeezed.saturating_mul(1000) > packets => {
                let found = format!("and it was too few {} times", grouped(squeezed));
                Judged(Verdict::Advice, found, Some(number(value).saturating_mul(2).max(600).to_string()))
            }
            (Some(_), _) => Judged(Verdict::Ok, "and it was enough".into(), None),
            _ => Judged(Verdict::Unknown, "and nobody says whether it was enough".into(), None),
        },
        absent: None,
    },
    Row {
        check: "busy polling, reads",
        key: "net.core.busy_read",
        why: "",
        judge: busy,
        absent: Some("the kernel was built without it"),
    },
    Row {
        check: "busy polling, epoll",
        key: "net.core.busy_poll",
        why: "",
        judge: busy,
        absent: Some("the kernel was built without it"),
    },
    Row {
        check: "connection tracking",
        key: "net.netfilter.nf_conntrack_max",
        why: "a full table drops new connections without a word; a proxied client takes two entries, and each stays for \
              minutes after its end",
        judge: conntrack,
        absent: Some("not loaded, so no table can be full"),
    },
    Row {
        check: "pipes for bodies",
        key: "fs.pipe-user-pages-soft",
        why: "long proxied bodies move through pipes of 64 pages; beyond this many pages a user's further pipes hold one \
              or two, and such bodies cost several times the system calls",
        judge: |value, facts| match number(value) {
            _ if facts.behind.is_empty() => Judged(Verdict::Ok, "and nothing is proxied".into(), None),
            0 => Judged(Verdict::Ok, "so there is no limit".into(), None),
            pages => {
                let pipes = pages / 64;
                let found = format!("enough for {} pipes at once", grouped(pipes));
                match pipes {
                    0..1024 => Judged(Verdict::Advice, found, Some("131072".into())),
                    _ => Judged(Verdict::Ok, found, None),
                }
            }
        },
        absent: None,
    },
    Row {
        check: "open files of the machine",
        key: "fs.file-max",
        why: "it bounds all programs together; beyond it nobody opens anything",
        judge: |value, facts| {
            let held =
                facts.host.read("proc/sys/fs/file-nr").and_then(|line| line.split_whitespace().next().map(number));
            let (held, most) = (held.unwrap_or(0), number(value));
            match held.saturating_mul(5) > most.saturating_mul(4) {
                true => Judged(
                    Verdict::Problem,
                    format!("and {} are in use", grouped(held)),
                    Some(most.saturating_mul(2).to_string()),
                ),
                false => Judged(Verdict::Ok, format!("{} in use", grouped(held)), None),
            }
        },
        absent: None,
    },
    Row {
        check: "swapping",
        key: "vm.swappiness",
        why: "a shard that waits for one of its pages to come back from a disk holds up all its connections",
        judge: |value, facts| {
            let swaps = facts.host.read("proc/swaps").map(|text| text.lines().count().saturating_sub(1));
            match swaps {
                Some(0) => Judged(Verdict::Ok, "and there is no swap".into(), None),
                _ if number(value) > 10 => Judged(Verdict::Advice, "and there is swap".into(), Some("10".into())),
                _ => Judged(Verdict::Ok, String::new(), None),
            }
        },
        absent: None,
    },
    Row {
        check: "moving memory between nodes",
        key: "kernel.numa_balancing",
        why: "the kernel takes pages away to see who uses them; pinned shards already use their own node's, so this costs \
              page faults and gains nothing",
        judge: |value, facts| {
            let nodes = super::numa::nodes(&facts.host).len();
            match (value, nodes) {
                (_, 0 | 1) => Judged(Verdict::Ok, "and there is one node".into(), None),
                ("0", _) => Judged(Verdict::Ok, "so it is off".into(), None),
                _ => Judged(Verdict::Advice, format!("and there are {nodes} nodes"), Some("0".into())),
            }
        },
        absent: Some("the kernel was built without it"),
    },
];

/// Every row, looked up and judged.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ROWS.iter().map(|row| row.look(facts)).collect();
    findings.extend(listening_ports(facts));
    findings
}

impl Row {
    fn look(&self, facts: &Facts) -> Finding {
        let Some(value) = facts.host.read(&path(self.key)) else {
            return match self.absent {
                Some(words) => Finding::ok(self.check, format!("{}: {words}", self.key)),
                None => Finding::unknown(self.check, format!("{} cannot be read", self.key)),
            };
        };
        let Judged(verdict, remark, wanted) = (self.judge)(&value, facts);
        let comma = if remark.is_empty() { "" } else { ", " };
        let found = format!("{} is {}{comma}{remark}", self.key, plain(&value));
        let finding = match verdict {
            Verdict::Ok => Finding::ok(self.check, found),
            Verdict::Unknown => Finding::unknown(self.check, found),
            Verdict::Advice => Finding::advice(self.check, found, self.why),
            Verdict::Problem => Finding::problem(self.check, found, self.why),
        };
        match wanted {
            Some(value) => finding.fix(format!("sysctl -w {}='{value}'", self.key)).preset(PRESET),
            None => finding,
        }
    }
}

/// Where the kernel shows a setting.
pub(super) fn path(key: &str) -> String {
    format!("proc/sys/{}", key.replace('.', "/"))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// A number with its groups; of several, one space between.
fn plain(value: &str) -> String {
    value.parse().map_or_else(|_| value.split_whitespace().collect::<Vec<_>>().join(" "), grouped)
}

fn at_least(value: &str, wanted: u64, verdict: Verdict, name: &str) -> Judged {
    match number(value) >= wanted {
        true => Judged(Verdict::Ok, format!("{name} {}", grouped(wanted)), None),
        false => {
            let found = format!("less than {name}, which is {}", grouped(wanted));
            Judged(verdict, found, Some(wanted.to_string()))
        }
    }
}

/// The two ends of a range of ports.
fn range(value: &str) -> Option<(u64, u64)> {
    let mut ends = value.split_whitespace().map(str::parse);
    Some((ends.next()?.ok()?, ends.next()?.ok()?))
}

fn port_range(value: &str, facts: &Facts) -> Judged {
    let Some((first, last)) = range(value) else { return Judged(Verdict::Unknown, "which is no range".into(), None) };
    let ports = (last + 1).saturating_sub(first);
    let found = format!("{} ports for each server behind", grouped(ports));
    match ports {
        _ if facts.behind.is_empty() => Judged(Verdict::Ok, "and nothing is proxied".into(), None),
        0..16_384 => Judged(Verdict::Problem, found, Some("10240 65535".into())),
        16_384..50_000 => Judged(Verdict::Advice, found, Some("10240 65535".into())),
        _ => Judged(Verdict::Ok, found, None),
    }
}

/// Ports that are listened on and that an outgoing connection may take first.
fn listening_ports(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "listening ports";
    let (first, last) = range(&facts.host.read(&path("net.ipv4.ip_local_port_range"))?)?;
    let reserved = facts.host.read(&path("net.ipv4.ip_local_reserved_ports")).unwrap_or_default();
    let kept = super::host::numbers(&reserved);
    let inside = |port: &u16| (first..=last).contains(&u64::from(*port)) && !kept.contains(&usize::from(*port));
    let ports: Vec<String> = facts.ports().into_iter().filter(inside).map(|port| port.to_string()).collect();
    if ports.is_empty() {
        return Some(Finding::ok(CHECK, "none is among those that outgoing connections take"));
    }
    let list = ports.join(",");
    let all = if reserved.is_empty() { list.clone() } else { format!("{reserved},{list}") };
    let why = "an outgoing connection of any program may hold the port when the server starts, which then fails with \
               \"address in use\"";
    let found = format!("{list} is among the ports {first} to {last} that outgoing connections take");
    Some(
        Finding::advice(CHECK, found, why)
            .fix(format!("sysctl -w net.ipv4.ip_local_reserved_ports='{all}'"))
            .preset(PRESET),
    )
}

fn window(value: &str, wanted: &str) -> Judged {
    match value.split_whitespace().nth(2).map(number) {
        Some(most) if most >= 4 << 20 => Judged(Verdict::Ok, format!("up to {}", size(most)), None),
        Some(most) => Judged(Verdict::Advice, format!("up to {}", size(most)), Some(wanted.to_owned())),
        None => Judged(Verdict::Unknown, "which has no largest size".into(), None),
    }
}

fn busy(value: &str, _: &Facts) -> Judged {
    match number(value) {
        0 => Judged(Verdict::Ok, "so it is off; 50 would trade processor time for some microseconds".into(), None),
        _ => Judged(Verdict::Ok, "microseconds: processor time for latency, as somebody chose".into(), None),
    }
}

fn conntrack(value: &str, facts: &Facts) -> Judged {
    let most = number(value);
    let count = facts.host.number("proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0);
    let wanted = facts.server.max_connections.map_or(65_536, |n| 2 * n as u64);
    let more = wanted.max(count * 4).max(262_144).to_string();
    match () {
        () if count.saturating_mul(5) > most.saturating_mul(4) => {
            let found = format!("and {} entries are in use", grouped(count));
            Judged(Verdict::Problem, found, Some(more))
        }
        () if most < wanted => {
            let found = format!("less than the {} that this server may need", grouped(wanted));
            Judged(Verdict::Advice, found, Some(more))
        }
        () => Judged(Verdict::Ok, format!("{} in use", grouped(count)), None),
    }
}

/// The sum over all processors of a column of `softnet_stat`: 0 packets, 1 dropped, 2 stopped too early.
fn softnet(facts: &Facts, column: usize) -> Option<u64> {
    let table = facts.host.read("proc/net/softnet_stat")?;
    let of_line = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
    table.lines().map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the check of that name says of a machine with these files.
    fn look(check: &str, files: &[(&str, &str)], change: impl FnOnce(&mut Facts)) -> Finding {
        let mut facts = Facts::made(&[0, 1], files);
        change(&mut facts);
        super::check(&facts).into_iter().find(|finding| finding.check == check).expect("there is such a check")
    }

    fn proxies(facts: &mut Facts) {
        facts.behind = vec!["10.0.0.1".to_owned()];
    }

    #[test]
    fn a_backlog_that_the_kernel_cuts_down_is_a_problem_with_its_command() {
        let file = |value| [("proc/sys/net/core/somaxconn", value)];
        let bad = look("accept queue", &file("128\n"), |_| ());
        assert_eq!(bad.verdict, Verdict::Problem);
        assert_eq!(bad.found, "net.core.somaxconn is 128, less than server.backlog, which is 4,096");
        assert_eq!(bad.fixes, ["sysctl -w net.core.somaxconn='4096'"]);
        assert_eq!(bad.preset, Some("sysctl.d/90-anygate.conf"));
        assert_eq!(look("accept queue", &file("4096\n"), |_| ()).verdict, Verdict::Ok);
        let larger = look("accept queue", &file("4096\n"), |facts| facts.server.backlog = 8192);
        assert_eq!(larger.verdict, Verdict::Problem);
        assert_eq!(look("accept queue", &[], |_| ()).verdict, Verdict::Unknown);
    }

    #[test]
    fn the_handshake_queue_matters_without_cookies_alone() {
        let few = ("proc/sys/net/ipv4/tcp_max_syn_backlog", "512");
        let cookies = ("proc/sys/net/ipv4/tcp_syncookies", "1");
        assert_eq!(look("handshake queue", &[few], |_| ()).verdict, Verdict::Advice);
        assert_eq!(look("handshake queue", &[few, cookies], |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("SYN cookies", &[cookies], |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("SYN cookies", &[(cookies.0, "0")], |_| ()).verdict, Verdict::Advice);
        assert_eq!(look("SYN cookies", &[], |_| ()).verdict, Verdict::Ok);
    }

    #[test]
    fn ports_matter_to_who_proxies() {
        let file = |value| [("proc/sys/net/ipv4/ip_local_port_range", value)];
        let check = "ports to servers behind";
        assert_eq!(look(check, &file("32768\t60999\n"), |_| ()).verdict, Verdict::Ok);
        assert_eq!(look(check, &file("32768\t60999\n"), proxies).verdict, Verdict::Advice);
        assert_eq!(look(check, &file("50000\t60999\n"), proxies).verdict, Verdict::Problem);
        assert_eq!(look(check, &file("10240\t65535\n"), proxies).verdict, Verdict::Ok);
        assert_eq!(look(check, &file("9\t1\n"), proxies).verdict, Verdict::Problem);
        assert_eq!(look(check, &file("nonsense"), proxies).verdict, Verdict::Unknown);
        let tw = |value| [("proc/sys/net/ipv4/tcp_tw_reuse", value)];
        assert_eq!(look("ports in TIME_WAIT", &tw("0"), |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("ports in TIME_WAIT", &tw("2"), proxies).verdict, Verdict::Advice);
        assert_eq!(look("ports in TIME_WAIT", &tw("1"), proxies).verdict, Verdict::Ok);
        let near = |facts: &mut Facts| facts.behind = vec!["127.0.0.1".to_owned()];
        assert_eq!(look("ports in TIME_WAIT", &tw("2"), near).verdict, Verdict::Ok);
    }

    #[test]
    fn a_listening_port_that_others_may_take_is_found_unless_it_is_reserved() {
        let range = ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535");
        let found = look("listening ports", &[range], |_| ());
        assert_eq!(
            (found.verdict, found.fixes[0].as_str()),
            (Verdict::Advice, "sysctl -w net.ipv4.ip_local_reserved_ports='8080'")
        );
        let reserved = ("proc/sys/net/ipv4/ip_local_reserved_ports", "22,8000-8100");
        assert_eq!(look("listening ports", &[range, reserved], |_| ()).verdict, Verdict::Ok);
        let usual = (range.0, "32768 60999");
        assert_eq!(look("listening ports", &[usual], |_| ()).verdict, Verdict::Ok);
        let other = look("listening ports", &[range, (reserved.0, "22")], |_| ());
        assert_eq!(other.fixes, ["sysctl -w net.ipv4.ip_local_reserved_ports='22,8080'"]);
    }

    #[test]
    fn dropped_packets_are_read_from_the_kernel_s_table() {
        let backlog = ("proc/sys/net/core/netdev_max_backlog", "1000");
        let table = |text| ("proc/net/softnet_stat", text);
        let good = [backlog, table("000f0000 00000000 00000003\n000f0000 00000000 00000000\n")];
        assert_eq!(look("packets in line", &good, |_| ()).verdict, Verdict::Ok);
        let bad = look("packets in line", &[backlog, table("00ff 00000010 0\n00ff 00000001 0\n")], |_| ());
        assert_eq!(bad.verdict, Verdict::Advice);
        assert!(bad.found.ends_with("and 17 packets were dropped"), "{}", bad.found);
        assert_eq!(look("packets in line", &[backlog], |_| ()).verdict, Verdict::Unknown);
        let budget = ("proc/sys/net/core/netdev_budget", "300");
        let squeezed = look("packets in one go", &[budget, table("000f0000 0 00000fff\n")], |_| ());
        assert_eq!((squeezed.verdict, squeezed.fixes.len()), (Verdict::Advice, 1));
        assert_eq!(look("packets in one go", &[budget, good[1]], |_| ()).verdict, Verdict::Ok);
    }

    #[test]
    fn a_table_of_connections_is_judged_by_its_size_and_by_what_is_in_it() {
        let most = |value| ("proc/sys/net/netfilter/nf_conntrack_max", value);
        let count = |value| ("proc/sys/net/netfilter/nf_conntrack_count", value);
        let check = "connection tracking";
        assert_eq!(look(check, &[], |_| ()).verdict, Verdict::Ok);
        assert_eq!(look(check, &[most("262144"), count("10")], |_| ()).verdict, Verdict::Ok);
        assert_eq!(look(check, &[most("8192"), count("10")], |_| ()).verdict, Verdict::Advice);
        assert_eq!(look(check, &[most("262144"), count("250000")], |_| ()).verdict, Verdict::Problem);
        let many = |facts: &mut Facts| facts.server.max_connections = Some(200_000);
        assert_eq!(look(check, &[most("262144"), count("10")], many).verdict, Verdict::Advice);
    }

    #[test]
    fn windows_pipes_files_and_swap_are_judged() {
        let one = |path: &'static str, value: &'static str| [(path, value)];
        for (check, path) in
            [("receive window", "proc/sys/net/ipv4/tcp_rmem"), ("send window", "proc/sys/net/ipv4/tcp_wmem")]
        {
            assert_eq!(look(check, &one(path, "4096 131072 6291456"), |_| ()).verdict, Verdict::Ok);
            assert_eq!(look(check, &one(path, "4096 87380 1048576"), |_| ()).verdict, Verdict::Advice);
            assert_eq!(look(check, &one(path, "?"), |_| ()).verdict, Verdict::Unknown);
        }
        let pages = "proc/sys/fs/pipe-user-pages-soft";
        assert_eq!(look("pipes for bodies", &one(pages, "16384"), |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("pipes for bodies", &one(pages, "16384"), proxies).verdict, Verdict::Advice);
        assert_eq!(look("pipes for bodies", &one(pages, "0"), proxies).verdict, Verdict::Ok);
        let most = ("proc/sys/fs/file-max", "1000");
        let held = |value| ("proc/sys/fs/file-nr", value);
        assert_eq!(look("open files of the machine", &[most, held("500\t0\t1000")], |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("open files of the machine", &[most, held("900\t0\t1000")], |_| ()).verdict, Verdict::Problem);
        let swap = |text| [("proc/sys/vm/swappiness", "60"), ("proc/swaps", text)];
        assert_eq!(look("swapping", &swap("Filename Type\n"), |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("swapping", &swap("Filename Type\n/dev/sda2 partition\n"), |_| ()).verdict, Verdict::Advice);
        let idle = "proc/sys/net/ipv4/tcp_slow_start_after_idle";
        assert_eq!(look("window after a pause", &one(idle, "1"), |_| ()).verdict, Verdict::Advice);
        assert_eq!(look("window after a pause", &one(idle, "0"), |_| ()).verdict, Verdict::Ok);
    }

    #[test]
    fn moving_memory_matters_where_there_are_several_nodes() {
        let on = ("proc/sys/kernel/numa_balancing", "1");
        let node = |path| (path, "0-1");
        let (first, second) =
            (node("sys/devices/system/node/node0/cpulist"), node("sys/devices/system/node/node1/cpulist"));
        assert_eq!(look("moving memory between nodes", &[on, first], |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("moving memory between nodes", &[on, first, second], |_| ()).verdict, Verdict::Advice);
    }
}
