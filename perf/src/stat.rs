//! What many rounds say together: the middle, and how far they lie apart.

/// A series of figures, one a round.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    fn ratios_are_taken_within_a_round() {
        // A machine that gets twice as slow from round to round changes no ratio.
        let ratio = Spread::of_ratios(&[1.0, 2.0, 4.0], &[2.0, 4.0, 8.0]).unwrap();
        assert_eq!(ratio, Spread { median: 0.5, low: 0.5, high: 0.5 });
    }
}
