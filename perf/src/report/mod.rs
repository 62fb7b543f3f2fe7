//! How figures are shown: text for a terminal, Markdown to keep, JSON to draw from.

mod json;
mod tables;

use std::fmt::Write;
use std::net::SocketAddr;

pub use json::json;
pub use tables::{Align, Table};

use crate::load::Fault;
use crate::machine::Machine;
use crate::scenario::{Goal, Idle, Method, Outcome, Round, Rounds, Scenario, Turns, Work};
use crate::stat::Spread;
use crate::subject::{Duty, Subject, io_word};

/// Everything that was measured in one run.
#[derive(Debug)]
pub struct Report {
    /// The day, `2026-11-21`.
    pub date: String,
    /// The time of day it began, UTC.
    pub time: String,
    /// The command line.
    pub command: String,
    /// The commit, with `+` when the work tree was changed.
    pub commit: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// Who was measured.
    pub subjects: Vec<Subject>,
    /// Versions of what was measured.
    pub versions: Vec<(String, String)>,
    /// What it came to.
    pub outcomes: Vec<(&'static Scenario, Outcome)>,
}

/// A goal and what became of it; `None` when somebody it needs was not measured.
struct Verdict {
    text: String,
    goal: f64,
    figure: Option<Spread>,
}

impl Report {
    /// The tables, with aligned columns.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (scenario, outcome) in &self.outcomes {
            let _ = writeln!(text, "\n{}: {}", scenario.name, scenario.about);
            text.push_str(&table(outcome).text());
        }
        text.push_str("\ngoals\n");
        text.push_str(&self.goals().text());
        text
    }

    /// The whole report.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# Measured on {}\n\n", self.date);
        let _ = writeln!(text, "Made by `{}` at {} UTC, commit {}.\n", self.command, self.time, self.commit_text());
        text.push_str(METHOD);
        text.push_str("\n## Goals\n\n");
        text.push_str(&self.goals().markdown());
        for (scenario, outcome) in &self.outcomes {
            let _ = writeln!(text, "\n## {}\n\n{}.\n", scenario.name, scenario.about);
            text.push_str(&table(outcome).markdown());
        }
        self.answers(&mut text);
        text.push_str("\n## Machine and method\n\n");
        text.push_str(&self.facts().markdown());
        text.push_str("\n## Configurations\n");
        for (subject, port) in self.subjects.iter().zip(self.method.port..) {
            let listen = SocketAddr::from(([127, 0, 0, 1], port));
            let shown = subject.configuration(listen, self.method.server_core, &Duty::default());
            let _ = write!(text, "\n{}:\n\n```\n{}\n```\n", subject.name(), shown.trim_end());
        }
        text
    }

    /// Whether every goal that was measured holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts().all(|verdict| verdict.figure.is_none_or(|figure| figure.median <= verdict.goal))
    }

    fn commit_text(&self) -> &str {
        self.commit.as_deref().unwrap_or("unknown")
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.outcomes.iter().flat_map(|(scenario, outcome)| {
            scenario.goals.iter().map(move |goal| Verdict {
                text: goal_text(scenario, goal),
                goal: goal.at_most,
                figure: figure(outcome, goal),
            })
        })
    }

    fn goals(&self) -> Table {
        let mut table = Table::new(&[
            ("goal", Align::Left),
            ("at most", Align::Right),
            ("measured", Align::Right),
            ("", Align::Left),
        ]);
        for Verdict { text, goal, figure } in self.verdicts() {
            let (shown, verdict) = match figure {
                None => ("not measured".to_owned(), ""),
                Some(figure) => (spread(figure, goal), if figure.median <= goal { "holds" } else { "**missed**" }),
            };
            table.row([text, number(goal, goal), shown, verdict.to_owned()]);
        }
        table
    }

    /// What each subject answers, in the first scenario that has answers.
    fn answers(&self, text: &mut String) {
        let mut rounds = self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Rounds(rounds) => Some(rounds),
            Outcome::Idle(_) => None,
        });
        if let Some(rounds) = rounds.next() {
            text.push_str("\n## Answers\n");
            for turns in &rounds.subjects {
                let _ = write!(text, "\n{}:\n\n```\n{}\n```\n", turns.name, turns.answer.replace('\r', "").trim_end());
            }
        }
    }

    fn facts(&self) -> Table {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        let machine = &self.machine;
        let method = &self.method;
        table.row(["processor".to_owned(), machine.processor.clone()]);
        table.row(["memory".to_owned(), format!("{} MiB", machine.memory_mib)]);
        table.row(["kernel".to_owned(), machine.kernel.clone()]);
        table.row(["clock".to_owned(), machine.clock.clone()]);
        table.row(["load average at the start".to_owned(), machine.load_average.clone()]);
        if let Some(governor) = &machine.governor {
            table.row(["governor".to_owned(), governor.clone()]);
        }
        for (name, version) in &self.versions {
            table.row([name.clone(), version.clone()]);
        }
        table.row(["server on core".to_owned(), method.server_core.to_string()]);
        table.row(["load on core".to_owned(), format!("{}, {}", method.load_core, io_word(method.load_io))]);
        table.row(["rounds".to_owned(), method.rounds.to_string()]);
        let turn = format!("{:.1} s after {:.1} s", method.duration.as_secs_f64(), method.warm_up.as_secs_f64());
        table.row(["a turn".to_owned(), turn]);
        table
    }
}

const METHOD: &str = "\
The first figure is the server's processor time a request: what the kernel accounts to all its threads while the load\n\
counts, by the answers of that time. Subjects take turns within each round, and each round begins with another. Figures\n\
are medians over the rounds, in brackets the middle half of them; a ratio is taken within each round. Load and server run\n\
on one core each, over loopback, where a packet is received at the cost of who sent it. `busy` is the part of its core\n\
the server used: below 100 % the load was the slower side. A floor parses nothing and sends canned answers.\n";

fn table(outcome: &Outcome) -> Table {
    match outcome {
        Outcome::Rounds(rounds) => requests(rounds),
        Outcome::Idle(idle) => memory(idle),
    }
}

fn requests(rounds: &Rounds) -> Table {
    let columns =
        ["CPU µs/request", "by nginx", "by floor", "requests/s", "busy", "p50 µs", "p99 µs", "p99.9 µs", "errors"];
    let mut table = Table::new(&[("", Align::Left)]);
    for column in columns {
        table.column(column, Align::Right);
    }
    for Turns { name, rounds: turns, .. } in &rounds.subjects {
        let median = |figure: &dyn Fn(&Round) -> f64| {
            Spread::of(&turns.iter().map(figure).collect::<Vec<_>>()).map_or(f64::NAN, |spread| spread.median)
        };
        let cost = Spread::of(&turns.iter().map(Round::cost).collect::<Vec<_>>());
        let by = |against: &str| rounds.ratio(name, against).map_or_else(String::new, |ratio| spread(ratio, 1.0));
        let floor = if name.ends_with("-uring") { "floor-uring" } else { "floor-epoll" };
        let faults: Vec<String> = Fault::ALL
            .iter()
            .map(|&fault| (fault, turns.iter().map(|turn| turn.tally.faults(fault)).sum::<u64>()))
            .filter(|&(_, count)| count > 0)
            .map(|(fault, count)| format!("{} {count}", fault.name()))
            .collect();
        table.row([
            (*name).to_owned(),
            cost.map_or_else(String::new, |cost| spread(cost, 1.0)),
            by("nginx"),
            by(floor),
            format!("{:.0}", median(&|turn| turn.tally.rate())),
            format!("{:.0} %", median(&|turn| turn.busy() * 100.0)),
            format!("{:.0}", median(&|turn| turn.tally.latency_us(0.5))),
            format!("{:.0}", median(&|turn| turn.tally.latency_us(0.99))),
            format!("{:.0}", median(&|turn| turn.tally.latency_us(0.999))),
            if faults.is_empty() { "0".to_owned() } else { faults.join(", ") },
        ]);
    }
    table
}

fn memory(idle: &Idle) -> Table {
    let mut table = Table::new(&[("", Align::Left)]);
    for column in ["bytes a connection", "with 64", "with all"] {
        table.column(column, Align::Right);
    }
    for &(name, first, all) in &idle.subjects {
        let kib = |bytes: u64| format!("{} KiB", bytes / 1024);
        table.row([name.to_owned(), format!("{:.0}", idle.each(name).unwrap_or(f64::NAN)), kib(first), kib(all)]);
    }
    table
}

fn goal_text(scenario: &Scenario, goal: &Goal) -> String {
    match (goal.against, scenario.work) {
        (Some(against), _) => format!("{}: {} by {against}", scenario.name, goal.subject),
        (None, Work::Idle { .. }) => format!("{}: {}, bytes a connection", scenario.name, goal.subject),
        (None, Work::Requests { .. }) => format!("{}: {}, µs a request", scenario.name, goal.subject),
    }
}

fn figure(outcome: &Outcome, goal: &Goal) -> Option<Spread> {
    match (outcome, goal.against) {
        (Outcome::Rounds(rounds), Some(against)) => rounds.ratio(goal.subject, against),
        (Outcome::Rounds(rounds), None) => Spread::of(&rounds.series(goal.subject, Round::cost)?),
        (Outcome::Idle(idle), Some(against)) => Spread::of(&[idle.each(goal.subject)? / idle.each(against)?]),
        (Outcome::Idle(idle), None) => Spread::of(&[idle.each(goal.subject)?]),
    }
}

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
    use std::time::Duration;

    use anygate_shard::Io;

    fn report(bytes: u64) -> Report {
        let idle = Idle { connections: 1064, subjects: vec![("anygate-epoll", 0, bytes * 1000)] };
        Report {
            date: "2026-11-21".to_owned(),
            time: "03:00:00".to_owned(),
            command: "cargo xtask bench".to_owned(),
            commit: None,
            machine: Machine::this(),
            method: Method {
                rounds: 1,
                duration: Duration::from_secs(1),
                warm_up: Duration::from_secs(1),
                server_core: 0,
                load_core: 1,
                load_io: Io::Epoll,
                port: 1,
            },
            subjects: vec![Subject::Floor(Io::Epoll)],
            versions: Vec::new(),
            outcomes: vec![(Scenario::named("idle").unwrap(), Outcome::Idle(idle))],
        }
    }

    #[test]
    fn a_goal_that_is_missed_says_so_and_one_that_was_not_measured_is_no_failure() {
        let good = report(400);
        assert!(good.holds());
        assert!(good.text().contains("not measured"), "uring was not measured");
        let bad = report(401);
        assert!(!bad.holds());
        assert!(bad.markdown().contains("**missed**"));
    }

    #[test]
    fn figures_are_as_exact_as_their_goal() {
        let figure = Spread { median: 1.006, low: 0.99, high: 1.2 };
        assert_eq!(spread(figure, 1.0), "1.01 [0.99–1.20]");
        assert_eq!(spread(Spread { median: 317.4, low: 317.4, high: 317.4 }, 400.0), "317");
    }
}
