//! What a scenario came to, as tables and drawings.

use super::plots::{self, Bar, Title};
use super::{Align, Table, number, spread};
use crate::scenario::{Idle, Kind, Outcome, Rounds, Scenario, Shares, Turns};
use crate::stat::Spread;

/// The table of an outcome.
pub(super) fn table(scenario: Option<&Scenario>, outcome: &Outcome) -> Table {
    match outcome {
        Outcome::Rounds(rounds) if is_routes(scenario) => costs(rounds),
        Outcome::Rounds(rounds) => requests(rounds),
        Outcome::Idle(idle) => memory(idle),
        Outcome::Balance(all) => balance(all),
    }
}

/// The drawing of an outcome.
pub(super) fn drawing(name: &str, scenario: Option<&Scenario>, outcome: &Outcome) -> String {
    let title = |unit| Title { name, about: scenario.map_or("", |scenario| scenario.about), unit };
    let bar = |name: &str, figure: Option<Spread>| Some(Bar { name: name.to_owned(), figure: figure? });
    match outcome {
        Outcome::Rounds(rounds) if is_open(rounds) => plots::percentiles(title(LATENCY), rounds),
        Outcome::Rounds(rounds) => {
            let cost = |turns: &Turns| bar(&turns.name, Spread::of(&turns.series(|turn| turn.cpu_us)));
            plots::bars(title(COST), &rounds.entrants.iter().filter_map(cost).collect::<Vec<_>>())
        }
        Outcome::Idle(idle) => {
            let each = |name: &str| bar(name, Spread::of(&[idle.each(name)?]));
            let names = idle.subjects.iter().map(|resting| resting.name.as_str());
            plots::bars(title(MEMORY), &names.filter_map(each).collect::<Vec<_>>())
        }
        Outcome::Balance(all) => {
            let uneven = |shares: &Shares| bar(&shares.name, ratio(shares));
            plots::bars(title(BALANCE), &all.iter().filter_map(uneven).collect::<Vec<_>>())
        }
    }
}

const LATENCY: &str = "latency by percentile, medians over the rounds; less is better";
const COST: &str = "microseconds of the server's processor time a request; less is better; the line is the middle half";
const MEMORY: &str = "bytes of the server's own memory a connection; less is better";
const BALANCE: &str = "the busiest thread's processor time by the lightest's; 1 is even; the line is the middle half";

fn is_routes(scenario: Option<&Scenario>) -> bool {
    matches!(scenario.map(|scenario| scenario.kind), Some(Kind::Routes { .. }))
}

/// Whether the load kept a rate of its own.
fn is_open(rounds: &Rounds) -> bool {
    rounds.entrants.iter().flat_map(|turns| &turns.rounds).any(|turn| turn.asked.is_some())
}

fn requests(rounds: &Rounds) -> Table {
    let open = is_open(rounds);
    let floor = ["floor", "relay"].into_iter().find(|floor| rounds.entrants.iter().any(|t| t.name.starts_with(floor)));
    let best = rounds.best(|turn| turn.cpu_us);
    let mut table = Table::new(&[("", Align::Left), ("CPU µs/request", Align::Right)]);
    for against in ["nginx"].into_iter().chain(best.filter(|best| *best != "nginx")) {
        table.column(&format!("by {against}"), Align::Right);
    }
    if let Some(floor) = floor {
        table.column(&format!("by {floor}"), Align::Right);
    }
    if open {
        table.column("asked/s", Align::Right);
    }
    for column in ["requests/s", "busy", "p50 µs", "p99 µs", "p99.9 µs"] {
        table.column(column, Align::Right);
    }
    if open {
        table.column("p99.99 µs", Align::Right);
    }
    table.column("errors", Align::Right);
    for turns in &rounds.entrants {
        let name = &turns.name;
        let by = |against: &str| {
            let ratio = rounds.ratios(name, against, |turn| turn.cpu_us).and_then(|ratios| Spread::of(&ratios));
            ratio.map_or_else(String::new, |ratio| spread(ratio, 1.0))
        };
        let cost = Spread::of(&turns.series(|turn| turn.cpu_us));
        let mut row = vec![name.clone(), cost.map_or_else(String::new, |cost| spread(cost, cost.median))];
        row.push(by("nginx"));
        row.extend(best.filter(|best| *best != "nginx").map(by));
        if let Some(floor) = floor {
            row.push(by(&format!("{floor}-{}", if name.ends_with("-uring") { "uring" } else { "epoll" })));
        }
        if open {
            row.push(format!("{:.0}", turns.median(|turn| turn.asked.unwrap_or(f64::NAN))));
        }
        row.push(number(
            turns.median(|turn| turn.rate),
            if turns.median(|turn| turn.rate) < 100.0 { 1.0 } else { 100.0 },
        ));
        row.push(format!("{:.0} %", turns.median(|turn| turn.busy * 100.0)));
        for quantile in ["p50", "p99", "p999"].into_iter().chain(open.then_some("p9999")) {
            row.push(format!("{:.0}", turns.median(|turn| turn.latency(quantile))));
        }
        let faults: Vec<String> = turns.faults().iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        row.push(if faults.is_empty() { "0".to_owned() } else { faults.join(", ") });
        table.row(row);
    }
    table
}

/// Only what a request costs, for many numbers of routes.
fn costs(rounds: &Rounds) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("CPU µs/request", Align::Right), ("by the fewest", Align::Right)]);
    for turns in &rounds.entrants {
        let subject = turns.name.split(',').next().unwrap_or_default();
        let fewest = rounds.entrants.iter().find(|other| other.name.split(',').next() == Some(subject));
        let ratio = fewest.and_then(|fewest| rounds.ratios(&turns.name, &fewest.name, |turn| turn.cpu_us));
        let shown = |figures: Option<Vec<f64>>| {
            figures.and_then(|figures| Spread::of(&figures)).map_or_else(String::new, |figure| spread(figure, 1.0))
        };
        table.row([turns.name.clone(), shown(Some(turns.series(|turn| turn.cpu_us))), shown(ratio)]);
    }
    table
}

fn memory(idle: &Idle) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("bytes a connection", Align::Right)]);
    table.column(&format!("with {}", idle.first), Align::Right);
    table.column(&format!("with {}", idle.connections), Align::Right);
    for resting in &idle.subjects {
        let kib = |bytes: u64| format!("{} KiB", bytes / 1024);
        let each = format!("{:.0}", idle.each(&resting.name).unwrap_or(f64::NAN));
        table.row([resting.name.clone(), each, kib(resting.first), kib(resting.all)]);
    }
    table
}

fn balance(all: &[Shares]) -> Table {
    let mut table = Table::new(&[("", Align::Left), ("busiest by lightest", Align::Right)]);
    table.column("CPU of each thread, last round", Align::Right);
    table.column("requests/s", Align::Right);
    for shares in all {
        let last = shares.rounds.last();
        let times =
            last.map(|share| share.threads_s.iter().map(|time| format!("{:.0} ms", time * 1e3)).collect::<Vec<_>>());
        let rates: Vec<f64> = shares.rounds.iter().map(|share| share.rate).collect();
        table.row([
            shares.name.clone(),
            ratio(shares).map_or_else(String::new, |ratio| spread(ratio, 1.0)),
            times.unwrap_or_default().join(", "),
            Spread::of(&rates).map_or_else(String::new, |rate| format!("{:.0}", rate.median)),
        ]);
    }
    table
}

fn ratio(shares: &Shares) -> Option<Spread> {
    Spread::of(&shares.rounds.iter().map(crate::scenario::Share::ratio).collect::<Vec<_>>())
}
