//! What many rounds say together: the middle, how far they lie apart, and how sure that is.

use serde::{Deserialize, Serialize};

/// How often rounds are drawn anew for a bound.
const DRAWS: usize = 10_000;
/// Draws begin here, so that the same figures have the same bound.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A series of figures, one a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter of the figures are below.
    pub low: f64,
    /// A quarter of the figures are above.
    pub high: f64,
}

impl Spread {
    /// The spread of `figures`; `None` when there is none, or one of them is no number.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Self> {
        if figures.is_empty() || figures.iter().any(|figure| figure.is_nan()) {
            return None;
        }
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self { median: quantile(&sorted, 0.5), low: quantile(&sorted, 0.25), high: quantile(&sorted, 0.75) })
    }

    /// The spread of `figures[i] / bases[i]`: each round is compared with itself, so that drift cancels.
    #[must_use]
    pub fn of_ratios(figures: &[f64], bases: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = figures.iter().zip(bases).map(|(figure, base)| figure / base).collect();
        Self::of(&ratios)
    }
}

/// The figure that the median of `figures` stays below with a certainty of `part` (0.95: the 95 % bound), by bootstrap:
/// as many rounds are drawn from them, with repetition, many times. `None` where [`Spread::of`] has nothing to say.
#[must_use]
pub fn upper_bound(figures: &[f64], part: f64) -> Option<f64> {
    Spread::of(figures)?;
    let mut state = SEED;
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut drawn: Vec<f64> = figures.iter().map(|_| figures[below(&mut state, figures.len())]).collect();
            drawn.sort_by(f64::total_cmp);
            quantile(&drawn, 0.5)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Some(quantile(&medians, part))
}

/// A number below `count`, by SplitMix64.
fn below(state: &mut u64, count: usize) -> usize {
    *state = state.wrapping_add(SEED);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((u128::from(mixed ^ (mixed >> 31)) * count as u128) >> 64) as usize
}

/// By linear interpolation between the two nearest figures.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_order_and_outliers() {
        let spread = Spread::of(&[9.0, 1.0, 3.0, 2.0, 1000.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, low: 2.0, high: 9.0 });
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(&[7.0]).unwrap(), Spread { median: 7.0, low: 7.0, high: 7.0 });
    }

    #[test]
    fn no_figure_and_no_number_are_nothing() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_bound_lies_above_the_median_within_the_figures_and_closer_with_more_of_them() {
        let figures = |count: usize| -> Vec<f64> { (0..count).map(|at| 0.9 + 0.2 * (at % 10) as f64 / 9.0).collect() };
        let few = upper_bound(&figures(10), 0.95).unwrap();
        let many = upper_bound(&figures(1000), 0.95).unwrap();
        assert!(1.0 < many && many < few && few < 1.1, "{many} {few}");
        assert_eq!(upper_bound(&[2.0, 2.0, 2.0], 0.95), Some(2.0));
        assert_eq!(upper_bound(&[], 0.95), None);
        assert_eq!(few, upper_bound(&figures(10), 0.95).unwrap(), "the same figures have the same bound");
    }

    #[test]
    fn draws_are_even() {
        let mut counts = [0; 7];
        let mut state = SEED;
        (0..70_000).for_each(|_| counts[below(&mut state, 7)] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // A machine that gets twice as slow from round to round changes no ratio.
        let ratio = Spread::of_ratios(&[1.0, 2.0, 4.0], &[2.0, 4.0, 8.0]).unwrap();
        assert_eq!(ratio, Spread { median: 0.5, low: 0.5, high: 0.5 });
    }
}
