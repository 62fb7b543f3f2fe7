//! How figures went over the runs that were kept.

use super::plots::{self, Line, Title};
use super::{Align, Report, Table};
use crate::scenario::Outcome;
use crate::stat::Spread;

/// Scenarios whose figures are drawn, where a run has them.
const FOLLOWED: &[&str] =
    &["fixed", "pipelined", "connect", "static-1k", "static-100k", "proxy", "proxy-100k", "upload-1m"];
/// Whose figures.
const SUBJECT: &str = "anygate-uring";
/// By whom they are divided, so that machines and days can be compared.
const AGAINST: &str = "nginx";

/// The drawing, and the table of its figures; `None` with fewer than two runs.
pub(super) fn of(reports: &[Report]) -> Option<(String, Table)> {
    let runs: Vec<&Report> = reports.iter().filter(|report| !report.method.quick && report.has_ratio()).collect();
    if runs.len() < 2 {
        return None;
    }
    let all = FOLLOWED.iter().map(|&name| {
        let figures = runs.iter().map(|run| ratio(run, name)).collect();
        Line { name: name.to_owned(), figures }
    });
    let lines: Vec<Line> = all.filter(|line| line.figures.iter().any(Option::is_some)).collect();
    let labels: Vec<String> = runs
        .iter()
        .map(|run| {
            format!("{} {}", run.date, run.commit.as_deref().map_or("", |commit| commit.get(..7).unwrap_or(commit)))
        })
        .collect();
    let about = format!("Processor time a request of {SUBJECT} by {AGAINST} of the same run");
    let title = Title {
        name: "Over the runs kept",
        about: &about,
        unit: "less is better; each point is a run, the newest on the right",
    };
    let drawing = plots::trend(title, &labels, &lines);
    let mut table = Table::new(&[("run", Align::Left)]);
    for line in &lines {
        table.column(&line.name, Align::Right);
    }
    for (at, run) in runs.iter().enumerate() {
        let figures =
            lines.iter().map(|line| line.figures[at].map_or_else(String::new, |figure| format!("{figure:.2}")));
        let name = format!("{} {}, {}", run.date, run.time, run.commit.as_deref().unwrap_or("unknown"));
        table.row(std::iter::once(name).chain(figures));
    }
    Some((drawing, table))
}

impl Report {
    /// Whether a figure is in it that can be followed.
    fn has_ratio(&self) -> bool {
        FOLLOWED.iter().any(|name| ratio(self, name).is_some())
    }
}

fn ratio(report: &Report, scenario: &str) -> Option<f64> {
    let kept = report.outcomes.iter().find(|kept| kept.scenario == scenario)?;
    let Outcome::Rounds(rounds) = &kept.outcome else { return None };
    Some(Spread::of(&rounds.ratios(SUBJECT, AGAINST, |turn| turn.cpu_us)?)?.median)
}
