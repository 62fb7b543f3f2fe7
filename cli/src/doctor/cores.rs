//! Can the shards have their processors: are they there, allowed, undisturbed, and not rationed?

use super::facts::Facts;
use super::finding::Finding;
use super::host::{numbers, shown};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![there(facts), quota(facts), isolated(facts), siblings(facts)]
}

fn there(facts: &Facts) -> Finding {
    const CHECK: &str = "processors";
    let allowed = facts.allowed();
    if allowed.is_empty() {
        return Finding::unknown(CHECK, "neither the kernel nor the process says which there are");
    }
    let missing: Vec<usize> = facts.cores.iter().copied().filter(|core| !allowed.contains(core)).collect();
    if !missing.is_empty() {
        let found = format!("{} may use {}, and {} is wanted", facts.whose(), shown(&allowed), shown(&missing));
        let why = "a shard is pinned to its processor; the server does not start on one that it may not use";
        return Finding::problem(CHECK, found, why).fix(format!("anygate serve --cores {}", shown(&allowed)));
    }
    Finding::ok(CHECK, format!("{} of {}", shown(&facts.cores), shown(&allowed)))
}

/// What a control group allows: processors' worth of time, and where that is said.
fn ration(facts: &Facts) -> Option<(f64, String)> {
    let groups = facts.of_process("cgroup")?;
    let mut least: Option<(f64, String)> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let old = controllers.split(',').any(|name| name == "cpu");
        if !controllers.is_empty() && !old {
            continue;
        }
        let mounts: &[&str] =
            if old { &["sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/cpu"] } else { &["sys/fs/cgroup"] };
        for mount in mounts {
            // A group has no more than those around it.
            let mut path = path.trim_end_matches('/');
            loop {
                let folder = format!("{mount}{path}");
                if let Some(share) = share_of(facts, &folder, old)
                    && least.as_ref().is_none_or(|(known, _)| share < *known)
                {
                    least = Some((share, folder));
                }
                let Some((parent, _)) = path.rsplit_once('/') else { break };
                path = parent;
            }
        }
    }
    least
}

fn share_of(facts: &Facts, folder: &str, old: bool) -> Option<f64> {
    let (quota, period): (f64, f64) = if old {
        let quota = facts.host.read(&format!("{folder}/cpu.cfs_quota_us"))?.parse().ok()?;
        (quota, facts.host.read(&format!("{folder}/cpu.cfs_period_us"))?.parse().ok()?)
    } else {
        let text = facts.host.read(&format!("{folder}/cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        (quota.parse().ok()?, period.parse().ok()?)
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn quota(facts: &Facts) -> Finding {
    const CHECK: &str = "processor quota";
    let Some((share, folder)) = ration(facts) else { return Finding::ok(CHECK, "none") };
    let shards = facts.cores.len();
    let found = format!("{share:.1} processors' worth of time, for {shards} shards");
    if share >= shards as f64 {
        return Finding::ok(CHECK, found);
    }
    let why = "when the quota of a period is used up every shard stands still until the next one, up to 100 ms: the \
               slowest requests get that on top";
    let whole = (share as usize).max(1);
    let some: Vec<usize> = facts.cores.iter().copied().take(whole).collect();
    let lift = if folder.contains("/cpu")
        && !folder.ends_with("cgroup")
        && facts.host.read(&format!("{folder}/cpu.max")).is_none()
    {
        format!("echo -1 > /{folder}/cpu.cfs_quota_us")
    } else {
        format!("echo max > /{folder}/cpu.max")
    };
    Finding::problem(CHECK, found, why).fix(format!("anygate serve --cores {}", shown(&some))).fix(lift)
}

fn isolated(facts: &Facts) -> Finding {
    const CHECK: &str = "isolated processors";
    let read = |name: &str| {
        let text = facts.host.read(&format!("sys/devices/system/cpu/{name}")).unwrap_or_default();
        numbers(&text)
    };
    let (isolated, tickless) = (read("isolated"), read("nohz_full"));
    if isolated.is_empty() {
        let found = "none: other programs may run on the shards' processors; isolcpus= and nohz_full= on the kernel's \
                     command line would keep them and the clock's tick away";
        return Finding::ok(CHECK, found);
    }
    let unused: Vec<usize> = isolated.iter().copied().filter(|core| !facts.cores.contains(core)).collect();
    if !unused.is_empty() {
        let found = format!("{} of {} have no shard", shown(&unused), shown(&isolated));
        let why = "nothing else is scheduled on an isolated processor, so it idles";
        return Finding::advice(CHECK, found, why).fix(format!("anygate serve --cores {}", shown(&isolated)));
    }
    let quiet = isolated.iter().all(|core| tickless.contains(core));
    let tick = if quiet { "without the clock's tick" } else { "the clock's tick still comes (nohz_full=)" };
    Finding::ok(CHECK, format!("{}, {tick}", shown(&isolated)))
}

fn siblings(facts: &Facts) -> Finding {
    const CHECK: &str = "threads of one core";
    let shared: Vec<(usize, usize)> = facts
        .cores
        .iter()
        .filter_map(|core| {
            let path = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
            let others = numbers(&facts.host.read(&path)?);
            let other = others.into_iter().find(|other| other > core && facts.cores.contains(other))?;
            Some((*core, other))
        })
        .collect();
    match shared.first() {
        None => Finding::ok(CHECK, "no two shards share a core"),
        Some((one, other)) => Finding::ok(
            CHECK,
            format!(
                "{} pairs of shards share a core, such as {one} and {other}: more throughput, and latency depends on the \
                 neighbour",
                shared.len()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    const STATUS: (&str, &str) = ("proc/self/status", "Cpus_allowed_list:\t0-3");

    fn look(check_name: &str, cores: &[usize], files: &[(&str, &str)]) -> Finding {
        let facts = Facts::made(cores, files);
        check(&facts).into_iter().find(|finding| finding.check == check_name).expect("there is such a check")
    }

    #[test]
    fn a_processor_that_is_not_allowed_is_a_problem() {
        assert_eq!(look("processors", &[0, 3], &[STATUS]).verdict, Verdict::Ok);
        let bad = look("processors", &[2, 3, 4, 5], &[STATUS]);
        assert_eq!((bad.verdict, bad.found.as_str()), (Verdict::Problem, "this shell may use 0-3, and 4-5 is wanted"));
        assert_eq!(bad.fixes, ["anygate serve --cores 0-3"]);
        assert_eq!(look("processors", &[0], &[]).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_quota_below_the_number_of_shards_is_a_problem_wherever_it_is_set() {
        let check = "processor quota";
        let group = ("proc/self/cgroup", "0::/system.slice/anygate.service\n");
        assert_eq!(look(check, &[0, 1], &[]).verdict, Verdict::Ok);
        assert_eq!(look(check, &[0, 1], &[group]).verdict, Verdict::Ok);
        let own = |text| ("sys/fs/cgroup/system.slice/anygate.service/cpu.max", text);
        assert_eq!(look(check, &[0, 1], &[group, own("max 100000")]).verdict, Verdict::Ok);
        assert_eq!(look(check, &[0, 1], &[group, own("200000 100000")]).verdict, Verdict::Ok);
        let bad = look(check, &[0, 1], &[group, own("150000 100000")]);
        assert_eq!(
            (bad.verdict, bad.found.as_str()),
            (Verdict::Problem, "1.5 processors' worth of time, for 2 shards")
        );
        assert_eq!(
            bad.fixes,
            ["anygate serve --cores 0", "echo max > /sys/fs/cgroup/system.slice/anygate.service/cpu.max"]
        );
        let around = ("sys/fs/cgroup/system.slice/cpu.max", "100000 100000");
        assert_eq!(look(check, &[0, 1], &[group, own("max 100000"), around]).verdict, Verdict::Problem);
        // In a container its own group is the root.
        let inside = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "50000 100000")];
        assert_eq!(look(check, &[0], &inside).fixes[1], "echo max > /sys/fs/cgroup/cpu.max");
    }

    #[test]
    fn a_quota_of_the_older_kind_is_seen_too() {
        let files = [
            ("proc/self/cgroup", "4:memory:/x\n1:cpu,cpuacct:/docker/x\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "100000"),
            ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000"),
        ];
        let bad = look("processor quota", &[0, 1], &files);
        assert_eq!(bad.verdict, Verdict::Problem);
        assert_eq!(bad.fixes[1], "echo -1 > /sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us");
        let free = [files[0], (files[1].0, "-1"), files[2]];
        assert_eq!(look("processor quota", &[0, 1], &free).verdict, Verdict::Ok);
    }

    #[test]
    fn an_isolated_processor_without_a_shard_is_a_waste() {
        let isolated = ("sys/devices/system/cpu/isolated", "2-3\n");
        let check = "isolated processors";
        assert_eq!(look(check, &[0, 1], &[]).verdict, Verdict::Ok);
        assert_eq!(look(check, &[2, 3], &[isolated]).verdict, Verdict::Ok);
        let bad = look(check, &[0, 1], &[isolated]);
        assert_eq!((bad.verdict, bad.fixes[0].as_str()), (Verdict::Advice, "anygate serve --cores 2-3"));
    }

    #[test]
    fn shards_that_share_a_core_are_told() {
        let pair = |path| (path, "0,2");
        let files = [
            pair("sys/devices/system/cpu/cpu0/topology/thread_siblings_list"),
            pair("sys/devices/system/cpu/cpu2/topology/thread_siblings_list"),
        ];
        assert!(look("threads of one core", &[0, 2], &files).found.starts_with("1 pairs"));
        assert_eq!(look("threads of one core", &[0, 1], &files).found, "no two shards share a core");
    }
}
