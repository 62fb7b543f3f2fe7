//! What came of fuzzing a target: read from what libFuzzer says, kept as JSON, shown as one table.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// One target's run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    target: String,
    executions: u64,
    seconds: u64,
    /// Places in the code that were reached.
    edges: u64,
    /// Inputs that reach something of their own.
    inputs: u64,
    /// The input that broke a promise, and what was said.
    crash: Option<(String, String)>,
    /// Executions of all runs that are kept, this one included.
    in_all: u64,
    runs: u64,
    crashes_in_all: u64,
}

impl Outcome {
    /// Reads a log.
    pub(super) fn read(target: &str, log: &str, time: Duration, success: bool) -> Self {
        let last = |mark: &str| {
            let line = log.lines().rev().find(|line| line.contains(mark))?;
            let rest = line.split_once(mark)?.1.trim_start();
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
        };
        // Without the final figures, the last `#n` tells how far it came.
        let counted = || {
            let line = log.lines().rev().find(|line| line.starts_with('#') && line.contains("cov:"))?;
            line[1..].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let crash = (!success).then(|| {
            let file = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, file)| file);
            let mut lines = log.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:"));
            let said = [lines.next(), lines.next()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            (file.unwrap_or("no input was kept").to_owned(), said.chars().take(400).collect())
        });
        let executions = last("stat::number_of_executed_units:").or_else(counted).unwrap_or(0);
        Self {
            target: target.to_owned(),
            executions,
            seconds: time.as_secs().max(1),
            edges: last(" cov: ").unwrap_or(0),
            inputs: last(" corp: ").unwrap_or(0),
            in_all: executions,
            runs: 1,
            crashes_in_all: u64::from(crash.is_some()),
            crash,
        }
    }

    /// Adds it to the sums of the runs before, in `<folder>/<target>.json`.
    pub(super) fn keep(&self, folder: &Path, sanitizer: &str) -> Result<(), String> {
        let path = folder.join(format!("{}.json", self.target));
        let before = fs::read_to_string(&path).unwrap_or_default();
        let sum = |name: &str, own: u64| number(&before, name).unwrap_or(0) + own;
        let text = format!(
            "{{\n  \"target\": \"{}\",\n  \"sanitizer\": \"{sanitizer}\",\n  \"executions\": {},\n  \"seconds\": {},\n  \
             \"edges\": {},\n  \"inputs\": {},\n  \"runs\": {},\n  \"executions_in_all\": {},\n  \"seconds_in_all\": {},\n  \
             \"crashes_in_all\": {}\n}}\n",
            self.target,
            self.executions,
            self.seconds,
            self.edges,
            self.inputs,
            sum("runs", 1),
            sum("executions_in_all", self.executions),
            sum("seconds_in_all", self.seconds),
            sum("crashes_in_all", u64::from(self.crash.is_some())),
        );
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// With the sums that are kept.
    pub(super) fn with_sums(mut self, folder: &Path) -> Self {
        let kept = fs::read_to_string(folder.join(format!("{}.json", self.target))).unwrap_or_default();
        self.in_all = number(&kept, "executions_in_all").unwrap_or(self.executions);
        self.runs = number(&kept, "runs").unwrap_or(1);
        self.crashes_in_all = number(&kept, "crashes_in_all").unwrap_or(self.crashes_in_all);
        self
    }

    /// What broke, and with which input.
    pub(super) fn fault(&self) -> Option<String> {
        self.crash.as_ref().map(|(file, said)| format!("{}: {said}\n    {file}", self.target))
    }
}

/// The number of that name in what [`Outcome::keep`] wrote.
fn number(json: &str, name: &str) -> Option<u64> {
    let rest = json.split_once(&format!("\"{name}\": "))?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// One line a target.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:<14} {:>12} {:>9} {:>7} {:>7} {:>7}   {:>14} {:>5} {:>7}\n",
        "target", "executions", "a second", "edges", "inputs", "crashes", "in all runs", "runs", "crashes"
    );
    for one in outcomes {
        text += &format!(
            "{:<14} {:>12} {:>9} {:>7} {:>7} {:>7}   {:>14} {:>5} {:>7}\n",
            one.target,
            one.executions,
            one.executions / one.seconds,
            one.edges,
            one.inputs,
            u64::from(one.crash.is_some()),
            one.in_all,
            one.runs,
            one.crashes_in_all,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "#2\tINITED cov: 10 ft: 11 corp: 1/1b\n#900\tDONE   cov: 120 ft: 130 corp: 7/20b lim: 4\n\
                        stat::number_of_executed_units: 901\nstat::average_exec_per_sec:     450\n";
    const BAD: &str = "#64\tNEW    cov: 5 ft: 6 corp: 2/2b\nthread '<unnamed>' panicked at src/route.rs:1:\nno\n\
                       artifact_prefix='/a/'; Test unit written to /a/crash-1\n";

    #[test]
    fn the_figures_are_those_libfuzzer_ends_with() {
        let outcome = Outcome::read("route", GOOD, Duration::from_secs(2), true);
        assert_eq!((outcome.executions, outcome.edges, outcome.inputs), (901, 120, 7));
        assert_eq!(outcome.fault(), None);
        assert!(table(&[outcome]).contains("450"));
    }

    #[test]
    fn a_fault_names_its_input_and_what_was_said() {
        let outcome = Outcome::read("route", BAD, Duration::from_secs(2), false);
        assert_eq!(outcome.executions, 64);
        let fault = outcome.fault().expect("it crashed");
        assert!(fault.contains("/a/crash-1") && fault.contains("src/route.rs:1: no"), "{fault}");
    }

    #[test]
    fn executions_of_several_runs_are_summed() {
        let folder = std::env::temp_dir().join(format!("anygate-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for _ in 0..2 {
            Outcome::read("route", GOOD, Duration::from_secs(2), true).keep(&folder, "none").expect("room");
        }
        let outcome = Outcome::read("route", GOOD, Duration::from_secs(2), true).with_sums(&folder);
        assert_eq!((outcome.in_all, outcome.runs, outcome.crashes_in_all), (1802, 2, 0));
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
