//! What a soak came to: figures, and whether they are good.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::gate::Sample;
use super::ledger::Entry;

/// Memory after the first minute and in the end are those of so many seconds.
const WINDOW_S: f64 = 20.0;
/// The first minute.
const MINUTE_S: f64 = 60.0;
/// The end may lie so much above the first minute.
const GROWTH: f64 = 1.05;

/// Everything that was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The driver.
    pub io: String,
    /// The gate's cores.
    pub cores: String,
    /// How long clients acted.
    pub elapsed_s: f64,
    /// Configurations that were installed.
    pub reloads: u64,
    /// How often the server behind was killed.
    pub deaths: u64,
    /// Clients at a time.
    pub clients: u32,
    /// What clients met, by habit.
    pub entries: Vec<Entry>,
    /// The first failures of clients in full.
    pub told: Vec<String>,
    /// Before the load.
    pub first: Sample,
    /// Under load, a second apart.
    pub samples: Vec<Sample>,
    /// When everybody had left.
    pub rest: Option<Sample>,
    /// How long the drain took.
    pub drain_s: Option<f64>,
    /// Warnings in the log, and how often.
    pub complaints: BTreeMap<String, u64>,
    /// What must not be, beside clients' failures.
    pub trouble: Vec<String>,
}

/// Memory after the first minute and in the end, in bytes: medians of 20 seconds each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of the 20 seconds after the first minute.
    pub minute: u64,
    /// Of the last 20 seconds.
    pub end: u64,
}

impl Memory {
    /// By how much the end lies above the first minute: 1.0 is not at all.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.end as f64 / self.minute as f64
    }
}

impl Report {
    /// Resident memory; `None` when the run was too short to tell.
    #[must_use]
    pub fn resident(&self) -> Option<Memory> {
        self.memory(|sample| sample.resident)
    }

    /// Anonymous memory.
    #[must_use]
    pub fn anonymous(&self) -> Option<Memory> {
        self.memory(|sample| sample.anonymous)
    }

    fn memory(&self, of: impl Fn(&Sample) -> u64) -> Option<Memory> {
        let end = self.samples.last()?.at_s;
        if end < MINUTE_S + 2.0 * WINDOW_S {
            return None;
        }
        let median = |from: f64, to: f64| {
            let within = self.samples.iter().filter(|sample| (from..=to).contains(&sample.at_s));
            let mut figures: Vec<u64> = within.map(&of).collect();
            figures.sort_unstable();
            figures.get(figures.len() / 2).copied()
        };
        Some(Memory { minute: median(MINUTE_S, MINUTE_S + WINDOW_S)?, end: median(end - WINDOW_S, end)? })
    }

    /// Everything that is not as it must be, a line each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut all = self.trouble.clone();
        for entry in &self.entries {
            all.extend(entry.failed.iter().map(|(kind, count)| format!("{}: {kind}, {count} times", entry.habit)));
            if entry.right == 0 && self.elapsed_s >= MINUTE_S {
                all.push(format!("{}: nothing ever went right", entry.habit));
            }
        }
        if let Some(memory) = self.resident().filter(|memory| memory.ratio() > GROWTH) {
            all.push(format!("memory grew to {:.3} of that after the first minute", memory.ratio()));
        }
        all
    }

    /// A report for people, in Markdown.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let sum = |kinds: &BTreeMap<String, u64>| kinds.values().sum::<u64>();
        let kinds = |kinds: &BTreeMap<String, u64>| {
            kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(text, "| {}, cores {} | right | permitted faults | failures |", self.io, self.cores)?;
        writeln!(text, "|---|---|---|---|")?;
        for entry in &self.entries {
            let (permitted, failed) = (kinds(&entry.permitted), kinds(&entry.failed));
            writeln!(text, "| {} | {} | {permitted} | {failed} |", entry.habit, entry.right)?;
        }
        let (right, permitted, failed) = self.entries.iter().fold((0, 0, 0), |(right, permitted, failed), entry| {
            (right + entry.right, permitted + sum(&entry.permitted), failed + sum(&entry.failed))
        });
        writeln!(text, "| in all | {right} | {permitted} | {failed} |\n")?;

        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        writeln!(text, "| figure | |\n|---|---|")?;
        writeln!(text, "| clients at a time | {} for {:.0} s |", self.clients, self.elapsed_s)?;
        writeln!(text, "| reloads; deaths of a server behind | {}; {} |", self.reloads, self.deaths)?;
        for (name, memory) in [("resident", self.resident()), ("anonymous", self.anonymous())] {
            match memory {
                Some(memory) => writeln!(
                    text,
                    "| {name} memory after the first minute, in the end | {:.1}, {:.1} MiB: {:.3} |",
                    mib(memory.minute),
                    mib(memory.end),
                    memory.ratio()
                )?,
                None => writeln!(text, "| {name} memory after the first minute, in the end | too short to tell |")?,
            }
        }
        let most = self.samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0);
        let peak = self.samples.iter().map(|sample| sample.resident).max().unwrap_or(0);
        writeln!(text, "| most resident memory, most descriptors | {:.1} MiB, {most} |", mib(peak))?;
        if let Some(rest) = &self.rest {
            writeln!(
                text,
                "| descriptors, threads before; when all had left | {}, {}; {}, {} |",
                self.first.descriptors, self.first.threads, rest.descriptors, rest.threads
            )?;
            writeln!(
                text,
                "| resident memory before; when all had left | {:.1}; {:.1} MiB |",
                mib(self.first.resident),
                mib(rest.resident)
            )?;
            writeln!(text, "| processor time | {:.0} s |", rest.processor_s)?;
        }
        if let Some(drain) = self.drain_s {
            writeln!(text, "| drain | exit code 0 after {drain:.2} s |")?;
        }
        for (message, count) in &self.complaints {
            writeln!(text, "| logged: {message} | {count} |")?;
        }
        let failures = self.failures();
        writeln!(text, "\n{}", if failures.is_empty() { "Verdict: nothing failed." } else { "Verdict: FAILED." })?;
        for failure in &failures {
            writeln!(text, "- {failure}")?;
        }
        if !self.told.is_empty() {
            writeln!(text, "\nThe first failures of clients:")?;
            for line in &self.told {
                writeln!(text, "- {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(resident: impl Fn(u64) -> u64, seconds: u64) -> Report {
        let sample = |at: u64| Sample { at_s: at as f64, resident: resident(at), ..Sample::default() };
        Report {
            io: "epoll".into(),
            cores: "0".into(),
            elapsed_s: seconds as f64,
            reloads: 1,
            deaths: 0,
            clients: 1,
            entries: vec![Entry { habit: "fixed".into(), right: 1, ..Entry::default() }],
            told: Vec::new(),
            first: Sample::default(),
            samples: (0..=seconds).map(sample).collect(),
            rest: None,
            drain_s: None,
            complaints: BTreeMap::new(),
            trouble: Vec::new(),
        }
    }

    #[test]
    fn memory_that_grows_by_more_than_5_percent_after_the_first_minute_fails() {
        let steady = report(|at| if at < 60 { at } else { 100 }, 300);
        assert_eq!(steady.failures(), [""; 0]);
        let growing = report(|at| 1000 + at, 300);
        assert_eq!(growing.resident(), Some(Memory { minute: 1070, end: 1290 }));
        assert!(growing.failures()[0].starts_with("memory grew to 1.206"), "{:?}", growing.failures());
        assert_eq!(report(|at| at, 99).resident(), None, "too short to tell");
    }

    #[test]
    fn a_client_that_failed_or_was_never_served_fails() {
        let mut report = report(|_| 1, 10);
        report.entries[0].permitted.insert("status 502".into(), 3);
        assert_eq!(report.failures(), [""; 0]);
        report.entries[0].failed.insert("wrong answer".into(), 2);
        assert_eq!(report.failures(), ["fixed: wrong answer, 2 times"]);
        assert!(report.text().contains("Verdict: FAILED") && report.text().contains("| status 502 3 |"));
        report.entries[0] = Entry { habit: "idle".into(), ..Entry::default() };
        assert_eq!(report.failures(), [""; 0], "it had little time");
        report.elapsed_s = 60.0;
        assert_eq!(report.failures(), ["idle: nothing ever went right"]);
    }
}
