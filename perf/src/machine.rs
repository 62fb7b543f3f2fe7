//! What the figures were measured on.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use anygate_proto::date;
use serde::{Deserialize, Serialize};

/// The machine and what runs on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name and how many of it there are.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The clock the kernel reads.
    pub clock: String,
    /// The kernel's load averages: a machine that was not idle before shows here.
    pub load_average: String,
    /// The frequency governor, where there is one.
    pub governor: Option<String>,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let name = field(&cpuinfo, "model name").unwrap_or("unknown");
        let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let meminfo = read("/proc/meminfo").unwrap_or_default();
        let kib = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            processor: format!("{name}, {count} cores"),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            memory_mib: kib.unwrap_or(0) / 1024,
            clock: read("/sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default(),
            load_average: load_average(&read("/proc/loadavg").unwrap_or_default()),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        }
    }
}

/// The three averages, over 1, 5 and 15 minutes.
fn load_average(text: &str) -> String {
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The value of the first line `name : value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The first line a program prints when asked for its version.
#[must_use]
pub fn version(program: &std::path::Path) -> String {
    let said = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").to_owned()
}

/// The commit the work tree is at, with `+` when something in it is changed; `None` outside of a repository.
#[must_use]
pub fn commit() -> Option<String> {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(["-c", "safe.directory=*"]).args(words).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(git(&["rev-parse", "--short=12", "HEAD"])? + if changed { "+" } else { "" })
}

/// The date and the time of day, UTC.
#[must_use]
pub fn now() -> (String, String) {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    split(unix)
}

/// `2026-11-21` and `03:00:00`.
fn split(unix: u64) -> (String, String) {
    // `Sat, 21 Nov 2026 03:00:00 GMT`
    let text = String::from_utf8_lossy(&date::format(unix)).into_owned();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|&month| month == part(8..11)).map_or(0, |at| at + 1);
    (format!("{}-{month:02}-{}", part(12..16), part(5..7)), part(17..25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_sorts_by_its_text() {
        assert_eq!(split(0), ("1970-01-01".to_owned(), "00:00:00".to_owned()));
        assert_eq!(split(1_795_230_245), ("2026-11-21".to_owned(), "03:04:05".to_owned()));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "processor\t: 0\nmodel name\t: A CPU\nmodel name\t: B\nMemTotal:   2048 kB\n";
        assert_eq!(field(text, "model name"), Some("A CPU"));
        assert_eq!(field(text, "MemTotal"), Some("2048 kB"));
        assert_eq!(field(text, "model"), None);
    }

    #[test]
    fn load_averages_are_the_first_three_numbers() {
        assert_eq!(load_average("0.10 1.20 2.30 1/200 4711\n"), "0.10 1.20 2.30");
    }

    #[test]
    fn this_machine_has_a_kernel_and_memory() {
        let machine = Machine::this();
        assert!(!machine.kernel.is_empty() && machine.memory_mib > 0);
    }
}
