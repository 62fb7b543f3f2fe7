//! How figures are shown: text for a terminal, Markdown and drawings to keep, JSON to draw from again.

mod figures;
mod json;
mod notes;
mod plots;
mod svg;
mod tables;
mod trend;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

pub use json::{read, read_all, write};
pub use notes::Notes;
pub use tables::{Align, Table};

use crate::machine::Machine;
use crate::scenario::{Figure, Goal, Measure, Method, Outcome, Scenario};
use crate::stat::Spread;
use crate::subject::io_word;

/// Everything that was measured in one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The day, `2026-11-21`.
    pub date: String,
    /// The time of day it began, UTC.
    pub time: String,
    /// What it is about, in a word, where it is not about everything: `tls`.
    #[serde(default)]
    pub about: Option<String>,
    /// The command line.
    pub command: String,
    /// The commit, with `+` when the work tree was changed.
    pub commit: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// How it was measured.
    pub method: Facts,
    /// Versions of what was measured.
    pub versions: Vec<(String, String)>,
    /// Who could not be measured, and why.
    pub left_out: Vec<String>,
    /// How everybody was configured.
    pub configurations: Vec<Configuration>,
    /// What it came to.
    pub outcomes: Vec<Kept>,
}

/// What there is to know about how it was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Rounds, where they were the same everywhere.
    pub rounds: Option<u32>,
    /// Seconds of a turn, where they were the same everywhere.
    pub seconds: Option<f64>,
    /// Seconds a turn ran before it counted.
    pub warm_up_s: f64,
    /// Everything was cut short: the figures mean nothing.
    pub quick: bool,
    /// The core of the servers.
    pub server_core: usize,
    /// The core of the load.
    pub load_core: usize,
    /// The load's driver.
    pub load_io: String,
}

impl From<&Method> for Facts {
    fn from(method: &Method) -> Self {
        Self {
            rounds: method.rounds,
            seconds: method.duration.map(|duration| duration.as_secs_f64()),
            warm_up_s: method.warm_up.as_secs_f64(),
            quick: method.quick,
            server_core: method.server_core,
            load_core: method.load_core,
            load_io: io_word(method.load_io).to_owned(),
        }
    }
}

/// How one subject was configured for one work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// The work.
    pub work: String,
    /// The subject's name.
    pub name: String,
    /// A command line, and files.
    pub text: String,
}

/// A scenario and what it came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The scenario's name.
    pub scenario: String,
    /// What it came to.
    pub outcome: Outcome,
}

/// A file of a report beside its text.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Its name, with `.svg`.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// A goal and what became of it.
struct Verdict {
    /// `SCENARIO: GOAL`: also the heading of its note.
    name: String,
    goal: &'static Goal,
    /// `None` when somebody it needs was not measured.
    figure: Option<Figure>,
}

impl Verdict {
    fn holds(&self) -> bool {
        self.figure.as_ref().is_none_or(|figure| figure.value <= self.goal.at_most)
    }
}

impl Report {
    /// What its file and its folder of drawings are called: the day, and what it is about.
    #[must_use]
    pub fn name(&self) -> String {
        self.about.as_ref().map_or_else(|| self.date.clone(), |about| format!("{}-{about}", self.date))
    }

    /// The tables, with aligned columns.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for kept in &self.outcomes {
            let scenario = Scenario::named(&kept.scenario);
            let _ = writeln!(text, "\n{}: {}", kept.scenario, scenario.map_or("", |scenario| scenario.about));
            text.push_str(&figures::table(scenario, &kept.outcome).text());
        }
        text.push_str("\ngoals\n");
        text.push_str(&self.goals().text());
        text
    }

    /// The whole report, with `notes` beside what they are about. `before` are reports of earlier runs and this one, for
    /// how figures went; drawings are named as files in a folder that has the report's [name](Self::name).
    #[must_use]
    pub fn markdown(&self, notes: &Notes, before: &[Self]) -> (String, Vec<Plot>) {
        let mut plots = Vec::new();
        let folder = self.name();
        let about = self.about.as_ref().map_or_else(String::new, |about| format!(": {about}"));
        let mut text = format!("# Measured on {}{about}\n\n", self.date);
        let commit = self.commit.as_deref().unwrap_or("unknown");
        let _ = writeln!(text, "Made by `{}` at {} UTC, commit {commit}.\n", self.command, self.time);
        if self.method.quick {
            text.push_str("**A quick look: everything was cut short, and the figures mean nothing.**\n\n");
        }
        text.push_str(METHOD);
        if let Some(note) = notes.about("report") {
            let _ = write!(text, "\n{note}\n");
        }
        text.push_str("\n## Goals\n\n");
        text.push_str(&self.goals().markdown());
        self.explanations(notes, &mut text);
        if let Some((drawing, table)) = trend::of(before) {
            let file = "trend.svg".to_owned();
            let _ = write!(text, "\n## Over the runs kept\n\n![over the runs kept]({folder}/{file})\n\n");
            text.push_str(&table.markdown());
            plots.push(Plot { file, text: drawing });
        }
        for Kept { scenario: name, outcome } in &self.outcomes {
            let scenario = Scenario::named(name);
            let _ = writeln!(text, "\n## {name}\n");
            if let Some(scenario) = scenario {
                let _ = writeln!(text, "{}.\n", scenario.about);
            }
            text.push_str(&figures::table(scenario, outcome).markdown());
            let file = format!("{name}.svg");
            let _ = write!(text, "\n![{name}]({folder}/{file})\n");
            plots.push(Plot { file, text: figures::drawing(name, scenario, outcome) });
            if let Some(note) = notes.about(name) {
                let _ = write!(text, "\n{note}\n");
            }
        }
        text.push_str("\n## Machine and method\n\n");
        text.push_str(&self.facts().markdown());
        for line in &self.left_out {
            let _ = write!(text, "\n{line}.\n");
        }
        self.answers(&mut text);
        self.show_configurations(&mut text);
        (text, plots)
    }

    /// Whether every goal that was measured holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts().all(|verdict| verdict.holds())
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.outcomes.iter().flat_map(|Kept { scenario, outcome }| {
            let goals = Scenario::named(scenario).map_or(&[][..], |scenario| scenario.goals);
            goals.iter().map(move |goal| Verdict {
                name: format!("{scenario}: {}", goal.text()),
                goal,
                figure: goal.figure(outcome),
            })
        })
    }

    fn goals(&self) -> Table {
        let mut table = Table::new(&[
            ("goal", Align::Left),
            ("at most", Align::Right),
            ("measured", Align::Right),
            ("", Align::Left),
            ("", Align::Left),
        ]);
        for verdict in self.verdicts() {
            let most = verdict.goal.at_most;
            let (shown, against, holds) = match &verdict.figure {
                None => ("not measured".to_owned(), String::new(), ""),
                Some(figure) => {
                    let shown = match verdict.goal.measure {
                        Measure::Tail => {
                            format!("{}, median {}", number(figure.value, most), spread(figure.spread, most))
                        }
                        _ => spread(figure.spread, most),
                    };
                    let against = figure.against.as_ref().map_or_else(String::new, |name| format!("by {name}"));
                    (shown, against, if verdict.holds() { "holds" } else { "**missed**" })
                }
            };
            table.row([verdict.name, number(most, most), shown, against, holds.to_owned()]);
        }
        table
    }

    /// What is to be said to each goal that was missed.
    fn explanations(&self, notes: &Notes, text: &mut String) {
        let missed: Vec<Verdict> = self.verdicts().filter(|verdict| !verdict.holds()).collect();
        if missed.is_empty() {
            return;
        }
        text.push_str("\n## What was missed, and why\n");
        for verdict in missed {
            let note = notes.about(&verdict.name).unwrap_or("Nothing is known about why.");
            let _ = write!(text, "\n**{}.** {note}\n", verdict.name);
        }
    }

    /// What each subject answers: once for each different answer of a scenario's first.
    fn answers(&self, text: &mut String) {
        let mut shown: BTreeMap<(&str, String), ()> = BTreeMap::new();
        let mut part = String::new();
        for Kept { scenario, outcome } in &self.outcomes {
            let Outcome::Rounds(rounds) = outcome else { continue };
            for turns in rounds.entrants.iter().filter(|turns| !turns.answer.is_empty() && !turns.name.contains(',')) {
                let shape: String = turns.answer.lines().filter_map(|line| line.split(':').next()).collect();
                if shown.insert((&turns.name, shape), ()).is_none() {
                    let head = turns.answer.replace('\r', "");
                    let _ = write!(part, "\n{} in {scenario}:\n\n```text\n{}\n```\n", turns.name, head.trim_end());
                }
            }
        }
        fold(text, "Answers", &part);
    }

    fn show_configurations(&self, text: &mut String) {
        let mut part = String::new();
        for Configuration { work, name, text } in &self.configurations {
            let _ = write!(part, "\n{name}, {work}:\n\n```text\n{}\n```\n", text.trim_end());
        }
        fold(text, "Configurations", &part);
    }

    fn facts(&self) -> Table {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        let Machine { processor, kernel, memory_mib, clock, load_average, governor } = &self.machine;
        let method = &self.method;
        table.row(["processor".to_owned(), processor.clone()]);
        table.row(["memory".to_owned(), format!("{memory_mib} MiB")]);
        table.row(["kernel".to_owned(), kernel.clone()]);
        table.row(["clock".to_owned(), clock.clone()]);
        table.row(["load average at the start".to_owned(), load_average.clone()]);
        if let Some(governor) = governor {
            table.row(["governor".to_owned(), governor.clone()]);
        }
        for (name, version) in &self.versions {
            table.row([name.clone(), version.clone()]);
        }
        table.row(["servers on core".to_owned(), method.server_core.to_string()]);
        table.row([
            "load, and the server behind, on core".to_owned(),
            format!("{}, {}", method.load_core, method.load_io),
        ]);
        let paces: Vec<String> = self.outcomes.iter().filter_map(pace).collect();
        table.row(["rounds, seconds".to_owned(), paces.join("; ")]);
        table.row(["a turn runs before it counts".to_owned(), format!("{:.1} s", method.warm_up_s)]);
        table
    }
}

/// How often and how long a scenario's turns were.
fn pace(kept: &Kept) -> Option<String> {
    let Outcome::Rounds(rounds) = &kept.outcome else { return None };
    let first = rounds.entrants.first()?;
    let seconds = first.median(|turn| turn.elapsed_s);
    Some(format!("{} {} × {seconds:.1}", kept.scenario, first.rounds.len()))
}

/// A part that is opened by who wants to read it.
fn fold(text: &mut String, heading: &str, part: &str) {
    if !part.is_empty() {
        let _ = write!(text, "\n## {heading}\n\n<details><summary>{heading}</summary>\n{part}\n</details>\n");
    }
}

const METHOD: &str = "\
The first figure is the server's processor time a request: what the kernel accounts to all threads of all its processes\n\
while the load counts, by the answers of that time. Subjects take turns within each round, and each round begins with\n\
another, so that drift cancels. Figures are medians over the rounds, in brackets the middle half of them; a ratio is taken\n\
within each round. Servers run on one core, the load and the server behind proxies on another, over loopback, where a packet\n\
is received at the cost of who sent it; the server behind never counts. `busy` is the part of its core the server used: below\n\
100 % the load was the slower side. A floor parses nothing and sends canned answers; a relay copies bytes and parses nothing.\n\
The best peer is the one whose median is the least in that scenario. In an open loop a request's latency counts from when\n\
it was due. A 95 % bound is by bootstrap over the rounds: the ratio stays below it with that certainty.\n";

/// A figure with its spread; as exact as `like` needs it.
fn spread(figure: Spread, like: f64) -> String {
    if figure.low == figure.high {
        return number(figure.median, like);
    }
    format!("{} [{}–{}]", number(figure.median, like), number(figure.low, like), number(figure.high, like))
}

fn number(figure: f64, like: f64) -> String {
    if like < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Idle, Resting, Rounds, Turn, Turns};

    fn report(outcomes: Vec<Kept>) -> Report {
        Report {
            date: "2026-11-21".to_owned(),
            time: "03:00:00".to_owned(),
            about: None,
            command: "cargo xtask bench".to_owned(),
            commit: Some("0123456789ab".to_owned()),
            machine: Machine::this(),
            method: Facts::default(),
            versions: Vec::new(),
            left_out: Vec::new(),
            configurations: vec![Configuration { text: "nginx -c x".to_owned(), ..Configuration::default() }],
            outcomes,
        }
    }

    fn idle(bytes: u64) -> Kept {
        let resting = Resting { name: "anygate-epoll".to_owned(), first: 0, all: bytes * 1000 };
        let idle = Idle { first: 64, connections: 1064, subjects: vec![resting] };
        Kept { scenario: "idle".to_owned(), outcome: Outcome::Idle(idle) }
    }

    fn fixed(ours: f64) -> Kept {
        let turns = |name: &str, cpu_us: f64| Turns {
            name: name.to_owned(),
            answer: "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n".to_owned(),
            rounds: vec![Turn { cpu_us, ..Turn::default() }],
        };
        let rounds = Rounds { entrants: vec![turns("anygate-uring", ours), turns("nginx", 1.0)] };
        Kept { scenario: "fixed".to_owned(), outcome: Outcome::Rounds(rounds) }
    }

    #[test]
    fn a_goal_that_is_missed_says_so_and_one_that_was_not_measured_is_no_failure() {
        let good = report(vec![idle(400)]);
        assert!(good.holds());
        assert!(good.text().contains("not measured"), "uring was not measured");
        let bad = report(vec![idle(401)]);
        assert!(!bad.holds());
        assert!(bad.markdown(&Notes::default(), &[]).0.contains("**missed**"));
    }

    #[test]
    fn a_note_stands_beside_the_goal_that_was_missed_and_only_there() {
        let notes = Notes::read("## fixed: anygate-uring by nginx\nThe reason.\n## idle: x\nNot this.\n");
        let (missed, _) = report(vec![fixed(0.9)]).markdown(&notes, &[]);
        assert!(missed.contains("**fixed: anygate-uring by nginx.** The reason."), "{missed}");
        assert!(!missed.contains("Not this."));
        let (held, _) = report(vec![fixed(0.8)]).markdown(&notes, &[]);
        assert!(!held.contains("The reason."));
    }

    #[test]
    fn a_report_comes_back_from_its_raw_figures() {
        let first = report(vec![fixed(0.8), idle(300)]);
        let again: Report = serde_json::from_str(&write(&first).unwrap()).unwrap();
        let (text, plots) = first.markdown(&Notes::default(), &[]);
        assert_eq!(again.markdown(&Notes::default(), &[]).0, text);
        let files: Vec<&str> = plots.iter().map(|plot| plot.file.as_str()).collect();
        assert_eq!(files, ["fixed.svg", "idle.svg"]);
        assert!(files.iter().all(|file| text.contains(&format!("(2026-11-21/{file})"))));
    }

    #[test]
    fn figures_are_followed_over_at_least_two_runs_that_were_not_cut_short() {
        let runs = |second_is_quick| {
            let mut runs = vec![report(vec![fixed(0.9)]), report(vec![fixed(0.8)])];
            runs[1].method.quick = second_is_quick;
            let (text, plots) = runs[0].markdown(&Notes::default(), &runs);
            (text.contains("0.90 |") && text.contains("0.80 |"), plots.iter().any(|plot| plot.file == "trend.svg"))
        };
        assert_eq!(runs(false), (true, true));
        assert!(!runs(true).1);
    }

    #[test]
    fn a_report_about_a_part_stands_beside_that_of_the_day() {
        let whole = report(vec![idle(300)]);
        let part = Report { about: Some("tls".to_owned()), ..whole.clone() };
        assert_eq!((whole.name().as_str(), part.name().as_str()), ("2026-11-21", "2026-11-21-tls"));
        let (text, _) = part.markdown(&Notes::default(), &[]);
        assert!(text.starts_with("# Measured on 2026-11-21: tls\n"), "{text}");
        assert!(text.contains("](2026-11-21-tls/idle.svg)"), "{text}");
    }

    #[test]
    fn figures_are_as_exact_as_their_goal() {
        let figure = Spread { median: 1.006, low: 0.99, high: 1.2 };
        assert_eq!(spread(figure, 1.0), "1.01 [0.99–1.20]");
        assert_eq!(spread(Spread { median: 317.4, low: 317.4, high: 317.4 }, 400.0), "317");
    }
}
