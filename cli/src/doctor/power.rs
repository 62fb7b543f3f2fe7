//! Do the processors run at their speed, and does reading the clock cost what it should?

use super::facts::Facts;
use super::finding::Finding;
use super::host::shown;

const GOVERNOR_UNIT: &str = "systemd/anygate-governor.service";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![governor(facts), boost(facts), clock(facts)]
}

fn governor(facts: &Facts) -> Finding {
    const CHECK: &str = "frequency governor";
    let of = |core: &usize| {
        let path = format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        facts.host.read(&path).map(|name| (*core, name))
    };
    let known: Vec<(usize, String)> = facts.cores.iter().filter_map(of).collect();
    if known.is_empty() {
        return Finding::unknown(CHECK, "the host of this virtual machine, or the firmware, decides");
    }
    let slow: Vec<usize> = known.iter().filter(|(_, name)| name != "performance").map(|(core, _)| *core).collect();
    let Some((_, name)) = known.iter().find(|(_, name)| name != "performance") else {
        return Finding::ok(CHECK, "performance on every core");
    };
    let found = format!("{name} on {}", shown(&slow));
    let why = "a core that slowed down while it waited answers the next requests slowly until it is fast again, some \
               10 ms later";
    let fix = "for cpu in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do echo performance > $cpu/scaling_governor; done";
    Finding::advice(CHECK, found, why).fix(fix).preset(GOVERNOR_UNIT)
}

fn boost(facts: &Facts) -> Finding {
    const CHECK: &str = "turbo";
    let intel = "sys/devices/system/cpu/intel_pstate/no_turbo";
    let other = "sys/devices/system/cpu/cpufreq/boost";
    let (path, on) = match (facts.host.number(intel), facts.host.number(other)) {
        (Some(off), _) => (intel, off == 0),
        (None, Some(on)) => (other, on != 0),
        (None, None) => return Finding::unknown(CHECK, "the host of this virtual machine, or the firmware, decides"),
    };
    if on {
        return Finding::ok(CHECK, "on: fastest; for measurements that repeat, switch it off");
    }
    let value = if path == intel { 0 } else { 1 };
    let why = "the cores stay below the speed they could have while others idle";
    Finding::advice(CHECK, "off", why).fix(format!("echo {value} > /{path}")).preset(GOVERNOR_UNIT)
}

fn clock(facts: &Facts) -> Finding {
    const CHECK: &str = "clock";
    let folder = "sys/devices/system/clocksource/clocksource0";
    let Some(name) = facts.host.read(&format!("{folder}/current_clocksource")) else {
        return Finding::unknown(CHECK, "the kernel does not say which it reads");
    };
    if !matches!(name.as_str(), "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies") {
        return Finding::ok(CHECK, name);
    }
    let others = facts.host.read(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let better =
        others.split_whitespace().find(|name| matches!(*name, "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page"));
    let why = "every look at it is a system call and a slow read of a device, instead of 20 ns";
    let finding = Finding::advice(CHECK, name, why);
    match better {
        Some(name) => finding.fix(format!("echo {name} > /{folder}/current_clocksource")),
        None => finding.fix("journalctl -k --grep clocksource  # why the kernel does not trust the processor's own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    fn look(files: &[(&str, &str)]) -> [Finding; 3] {
        check(&Facts::made(&[0, 1], files)).try_into().expect("three checks")
    }

    #[test]
    fn a_governor_that_saves_power_is_named_with_its_cores() {
        let of = |first, second| {
            look(&[
                ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", first),
                ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", second),
            ])
        };
        assert_eq!(of("performance\n", "performance\n")[0].verdict, Verdict::Ok);
        let [bad, ..] = of("performance\n", "powersave\n");
        assert_eq!((bad.verdict, bad.found.as_str()), (Verdict::Advice, "powersave on 1"));
        assert_eq!(look(&[])[0].verdict, Verdict::Unknown);
    }

    #[test]
    fn turbo_is_read_in_both_its_ways() {
        let of = |path, value| look(&[(path, value)])[1].clone();
        let (intel, other) = ("sys/devices/system/cpu/intel_pstate/no_turbo", "sys/devices/system/cpu/cpufreq/boost");
        assert_eq!(of(intel, "0").verdict, Verdict::Ok);
        assert_eq!(of(intel, "1").fixes, ["echo 0 > /sys/devices/system/cpu/intel_pstate/no_turbo"]);
        assert_eq!(of(other, "1").verdict, Verdict::Ok);
        assert_eq!(of(other, "0").fixes, ["echo 1 > /sys/devices/system/cpu/cpufreq/boost"]);
        assert_eq!(look(&[])[1].verdict, Verdict::Unknown);
    }

    #[test]
    fn a_slow_clock_is_found() {
        let current = |name| ("sys/devices/system/clocksource/clocksource0/current_clocksource", name);
        let available = ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm");
        assert_eq!(look(&[current("tsc")])[2].verdict, Verdict::Ok);
        assert_eq!(look(&[current("kvm-clock")])[2].verdict, Verdict::Ok);
        let [_, _, slow] = look(&[current("hpet"), available]);
        assert_eq!(slow.verdict, Verdict::Advice);
        assert_eq!(slow.fixes, ["echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"]);
        assert_eq!(look(&[current("hpet")])[2].fixes.len(), 1);
        assert_eq!(look(&[])[2].verdict, Verdict::Unknown);
    }
}
