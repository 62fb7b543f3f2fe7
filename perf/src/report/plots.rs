//! What is drawn: bars of what a request costs, curves of latency, lines of how a figure went over runs.

use super::svg::{Anchor, Drawing, OTHERS, colour};
use crate::scenario::{QUANTILES, Rounds, Turns};
use crate::stat::Spread;

const WIDTH: f64 = 760.0;
/// Where drawings begin and end from left to right.
const RIGHT: f64 = 40.0;
const TOP: f64 = 72.0;
/// The most characters that a line of words has room for.
const LINE: usize = 108;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) figure: Spread,
}

/// What stands above a drawing: its name, what it is about, and what is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title<'a> {
    pub(super) name: &'a str,
    pub(super) about: &'a str,
    pub(super) unit: &'a str,
}

impl Title<'_> {
    fn write(&self, drawing: &mut Drawing) {
        drawing.words((16.0, 24.0), Anchor::Start, "title", self.name);
        drawing.words((16.0, 42.0), Anchor::Start, "", &cut(self.about));
        drawing.words((16.0, 58.0), Anchor::Start, "quiet", self.unit);
    }
}

/// As much of it as a line has room for, in whole words.
fn cut(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(LINE) else { return text.to_owned() };
    let end = text[..end].rfind(' ').unwrap_or(end);
    format!("{} …", text[..end].trim_end_matches([',', ' ']))
}

/// Bars from left to right, one below the other, with their figures.
pub(super) fn bars(title: Title<'_>, bars: &[Bar]) -> String {
    const ROW: f64 = 26.0;
    const THICK: f64 = 16.0;
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let left = 24.0 + longest as f64 * 7.2;
    let most = bars.iter().map(|bar| bar.figure.high).fold(0.0, f64::max);
    let ticks = linear(most);
    let end = ticks.last().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    let room = WIDTH - left - RIGHT - 60.0;
    let x = |figure: f64| left + figure / end * room;
    let bottom = TOP + bars.len() as f64 * ROW;
    let mut drawing = Drawing::new(WIDTH, bottom + 28.0);
    title.write(&mut drawing);
    for &tick in &ticks {
        drawing.rule((x(tick), TOP - 4.0), (x(tick), bottom), "grid");
        drawing.words((x(tick), bottom + 16.0), Anchor::Middle, "quiet", &short(tick));
    }
    for (at, bar) in bars.iter().enumerate() {
        let top = TOP + at as f64 * ROW + (ROW - THICK) / 2.0;
        let middle = top + THICK / 2.0;
        let Spread { median, low, high } = bar.figure;
        let ours = if bar.name.starts_with("anygate") { "strong" } else { "" };
        drawing.words((left - 8.0, middle + 4.0), Anchor::End, ours, &bar.name);
        drawing.bar((left, top), x(median) - left, THICK, &colour(&bar.name, at));
        if high > low {
            drawing.rule((x(low), middle), (x(high), middle), "whisker");
            for edge in [low, high] {
                drawing.rule((x(edge), middle - 4.0), (x(edge), middle + 4.0), "whisker");
            }
        }
        drawing.words((x(median.max(high)) + 7.0, middle + 4.0), Anchor::Start, ours, &figure(median));
    }
    drawing.rule((left, TOP - 4.0), (left, bottom), "axis");
    drawing.finish(title.name)
}

/// Latency by percentile: each nine has as much room as the one before.
pub(super) fn percentiles(title: Title<'_>, rounds: &Rounds) -> String {
    const LEFT: f64 = 70.0;
    const HEIGHT: f64 = 300.0;
    const LEGEND: f64 = 130.0;
    /// The end of the axis, as nines: what is above is the maximum.
    const NINES: f64 = 4.4;
    let room = WIDTH - LEFT - RIGHT - LEGEND;
    let x = |part: f64| LEFT + (-(1.0 - part).log10()).min(NINES) / NINES * room;
    let curves: Vec<(&Turns, Vec<(f64, f64)>)> = rounds.entrants.iter().map(|turns| (turns, curve(turns))).collect();
    let all = curves.iter().flat_map(|(_, points)| points.iter().map(|&(_, latency)| latency));
    let (least, most) = all.fold((f64::MAX, 0.0_f64), |(least, most), latency| (least.min(latency), most.max(latency)));
    let (least, most) = if most > 0.0 { (least.max(1.0), most.max(2.0)) } else { (1.0, 10.0) };
    let (low, high) = (least.log10(), (most * 1.1).log10());
    let y = |latency: f64| TOP + HEIGHT - (latency.max(least).log10() - low) / (high - low).max(0.1) * HEIGHT;
    let mut drawing = Drawing::new(WIDTH, TOP + HEIGHT + 50.0);
    title.write(&mut drawing);
    for latency in logarithmic(least, most * 1.1) {
        drawing.rule((LEFT, y(latency)), (LEFT + room, y(latency)), "grid");
        drawing.words((LEFT - 8.0, y(latency) + 4.0), Anchor::End, "quiet", &time(latency));
    }
    for (name, part) in
        [("0", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)]
    {
        drawing.rule((x(part), TOP), (x(part), TOP + HEIGHT), "grid");
        drawing.words((x(part), TOP + HEIGHT + 18.0), Anchor::Middle, "quiet", name);
    }
    drawing.rule((LEFT, TOP + HEIGHT), (LEFT + room, TOP + HEIGHT), "axis");
    // Names stand where their curves end, in that order.
    let mut ends: Vec<(f64, &str, String)> = Vec::new();
    for (at, (turns, points)) in curves.iter().enumerate() {
        let placed: Vec<(f64, f64)> = points.iter().map(|&(part, latency)| (x(part), y(latency))).collect();
        drawing.curve(&placed, &colour(&turns.name, at), turns.name == "anygate-uring");
        if let Some(&(_, end)) = placed.last() {
            ends.push((end, &turns.name, colour(&turns.name, at)));
        }
    }
    legend(&mut drawing, LEFT + room + 14.0, TOP + HEIGHT, ends);
    drawing.finish(title.name)
}

/// The points of a curve: part of all answers, and microseconds.
fn curve(turns: &Turns) -> Vec<(f64, f64)> {
    let points = QUANTILES.iter().map(|&(name, part)| (part, turns.median(|turn| turn.latency(name))));
    points.filter(|(_, latency)| latency.is_finite()).collect()
}

/// A line over runs.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// A figure a run, where there is one.
    pub(super) figures: Vec<Option<f64>>,
}

/// How figures went over runs, oldest first; 1 is emphasised.
pub(super) fn trend(title: Title<'_>, runs: &[String], lines: &[Line]) -> String {
    const LEFT: f64 = 60.0;
    const HEIGHT: f64 = 320.0;
    const LEGEND: f64 = 150.0;
    let room = WIDTH - LEFT - RIGHT - LEGEND;
    let most = lines.iter().flat_map(|line| line.figures.iter().flatten()).copied().fold(1.0, f64::max);
    let ticks = linear(most);
    let end = ticks.last().copied().unwrap_or(1.0);
    let x = |run: usize| LEFT + room * (run as f64 + 0.5) / runs.len().max(1) as f64;
    let y = |figure: f64| TOP + HEIGHT - figure / end * HEIGHT;
    let mut drawing = Drawing::new(WIDTH, TOP + HEIGHT + 50.0);
    title.write(&mut drawing);
    for &tick in &ticks {
        let class = if (tick - 1.0).abs() < 1e-9 { "axis" } else { "grid" };
        drawing.rule((LEFT, y(tick)), (LEFT + room, y(tick)), class);
        drawing.words((LEFT - 8.0, y(tick) + 4.0), Anchor::End, "quiet", &short(tick));
    }
    // As many names below as there is room for; the last is always there.
    let every = runs.len().div_ceil(5).max(1);
    for (at, run) in runs.iter().enumerate().filter(|(at, _)| (runs.len() - 1 - at).is_multiple_of(every)) {
        for (row, words) in run.split(' ').enumerate() {
            drawing.words((x(at), TOP + HEIGHT + 18.0 + 15.0 * row as f64), Anchor::Middle, "quiet", words);
        }
    }
    let mut ends: Vec<(f64, &str, String)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let figures = line.figures.iter().enumerate();
        let points: Vec<(f64, f64)> = figures.filter_map(|(run, figure)| Some((x(run), y((*figure)?)))).collect();
        let colour = format!("other-{}", at % OTHERS);
        drawing.curve(&points, &colour, false);
        for &point in &points {
            drawing.dot(point, &colour);
        }
        if let Some(&(_, end)) = points.last() {
            ends.push((end, &line.name, colour));
        }
    }
    legend(&mut drawing, LEFT + room + 14.0, TOP + HEIGHT, ends);
    drawing.finish(title.name)
}

/// Names at the heights where their curves end, moved apart where they would meet.
fn legend(drawing: &mut Drawing, x: f64, bottom: f64, mut ends: Vec<(f64, &str, String)>) {
    const APART: f64 = 17.0;
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP;
    let mut heights: Vec<f64> = ends
        .iter()
        .map(|(end, ..)| {
            let height = end.max(free);
            free = height + APART;
            height
        })
        .collect();
    let mut limit = bottom;
    for height in heights.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - APART;
    }
    for ((_, name, colour), height) in ends.iter().zip(heights) {
        drawing.bar((x, height - 5.0), 10.0, 10.0, colour);
        let ours = if name.starts_with("anygate") { "strong" } else { "" };
        drawing.words((x + 16.0, height + 4.0), Anchor::Start, ours, name);
    }
}

/// Round numbers from 0 to just above `most`, four to eight of them.
fn linear(most: f64) -> Vec<f64> {
    if most.is_nan() || most <= 0.0 || most.is_infinite() {
        return vec![0.0, 1.0];
    }
    let scale = 10f64.powf((most / 4.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * scale).into_iter().find(|step| most / step <= 6.0);
    let step = step.unwrap_or(scale * 10.0);
    (0..=(most / step).ceil() as usize).map(|at| at as f64 * step).collect()
}

/// 1, 2, 5, 10 … within the bounds.
fn logarithmic(low: f64, high: f64) -> Vec<f64> {
    let powers = -3..=9;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    all.filter(|&tick| (low..=high).contains(&tick)).collect()
}

/// A time in its unit: `250 µs`, `5 ms`.
fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{} µs", short(us)),
        us if us < 1e6 => format!("{} ms", short(us / 1e3)),
        us => format!("{} s", short(us / 1e6)),
    }
}

/// A number with about three digits.
fn figure(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The same without what says nothing.
fn short(round: f64) -> String {
    let text = figure(round);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: Title<'_> = Title { name: "fixed", about: "what it is", unit: "µs" };

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.35, 5.0, 12.34, 1043.4].map(short), ["0", "0.35", "5", "12.3", "1043"]);
        assert_eq!([250.0, 5000.0, 2e6].map(time), ["250 µs", "5 ms", "2 s"]);
    }

    #[test]
    fn ticks_are_round_and_reach_above() {
        assert_eq!(linear(8.1), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear(0.0), [0.0, 1.0]);
        for most in [0.003, 0.9, 1.0, 7.7, 99.0, 12345.0] {
            let ticks = linear(most);
            assert!(*ticks.last().unwrap() >= most && (3..=8).contains(&ticks.len()), "{most}: {ticks:?}");
        }
        assert_eq!(logarithmic(15.0, 250.0), [20.0, 50.0, 100.0, 200.0]);
    }

    #[test]
    fn every_entrant_is_in_the_drawing_even_without_figures() {
        let turns = |name: &str| Turns { name: name.to_owned(), ..Turns::default() };
        let rounds = Rounds { entrants: vec![turns("nginx"), turns("h2o")] };
        assert!(percentiles(TITLE, &rounds).ends_with("</svg>\n"));
        let spread = Spread { median: 1.0, low: 0.9, high: 1.2 };
        let drawn = bars(TITLE, &[Bar { name: "nginx".to_owned(), figure: spread }]);
        assert!(drawn.contains(">nginx</text>") && drawn.contains("whisker"));
        let line = Line { name: "fixed".to_owned(), figures: vec![None, Some(0.8)] };
        assert!(trend(TITLE, &["a b".to_owned(), "c d".to_owned()], &[line]).contains(">fixed</text>"));
        assert!(trend(TITLE, &[], &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn words_end_where_the_paper_does() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"µ".repeat(LINE)), "µ".repeat(LINE));
        let long = cut(&"eight ch, ".repeat(20));
        assert!(long.ends_with("eight …") || long.ends_with("ch …"), "{long}");
        assert!(long.chars().count() <= LINE + 2);
    }

    #[test]
    fn names_keep_apart() {
        let mut drawing = Drawing::new(1.0, 1.0);
        let ends = (0..5).map(|_| (100.0, "a", "nginx".to_owned())).collect();
        legend(&mut drawing, 0.0, 120.0, ends);
        let text = drawing.finish("");
        let heights: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with("<text"))
            .filter_map(|line| line.split("y=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(heights.len(), 5);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= 16.9), "{heights:?}");
    }
}
