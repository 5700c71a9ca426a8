//! Which value do a given share of the values not exceed?

use std::ops::Range;

/// The `phi`-quantile, between the nearest two ranks. NaN counts as less than any number. Reorders `values`.
pub fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if phi.is_nan() || values.is_empty() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    for value in values.iter_mut().filter(|value| value.is_nan()) {
        // The one NaN that sorts before all else.
        *value = f64::NAN.copysign(-1.0);
    }
    let rank = phi * (values.len() - 1) as f64;
    let share = rank.fract();
    let (_, low, above) = values.select_nth_unstable_by(rank as usize, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp);
    match next {
        // On a rank exactly, the next one has no part in it, not even if it is infinite.
        Some(next) if share > 0.0 => *low * (1.0 - share) + next * share,
        _ => *low,
    }
}

/// Quantiles of windows that move over samples and have most of them in common: each sample is put in its rank once, and
/// a window is a count of each rank, summed up in a tree (Fenwick 1994), so that a step costs no more than what comes
/// and goes.
#[derive(Debug)]
pub struct Ranked {
    /// All values in order; NaN before any number.
    sorted: Vec<f64>,
    /// The place of each sample's value in that order.
    ranks: Vec<u32>,
    /// Partial sums of how many samples of the window have a rank.
    tree: Vec<u32>,
    window: Range<usize>,
}

impl Ranked {
    /// An empty window over these values.
    pub fn new(values: impl Iterator<Item = f64>) -> Self {
        // The one NaN that sorts before all else.
        let plain = |value: f64| if value.is_nan() { f64::NAN.copysign(-1.0) } else { value };
        let mut order: Vec<(f64, u32)> = values.map(plain).zip(0..).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut ranks = vec![0; order.len()];
        for (rank, (_, sample)) in (0u32..).zip(&order) {
            if let Some(slot) = ranks.get_mut(*sample as usize) {
                *slot = rank;
            }
        }
        let tree = vec![0; order.len()];
        Self { sorted: order.into_iter().map(|(value, _)| value).collect(), ranks, tree, window: 0..0 }
    }

    /// The `phi`-quantile of the samples in `window`, which never moves back and is not empty.
    pub fn quantile(&mut self, phi: f64, window: Range<usize>) -> f64 {
        for sample in self.window.end.max(window.start)..window.end {
            self.count(sample, true);
        }
        for sample in self.window.start..window.start.min(self.window.end) {
            self.count(sample, false);
        }
        self.window = window;
        if phi.is_nan() {
            return f64::NAN;
        }
        if !(0.0..=1.0).contains(&phi) {
            return if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        let rank = phi * (self.window.len() - 1) as f64;
        let (low, share) = (self.nth(rank as usize), rank.fract());
        if share > 0.0 { low * (1.0 - share) + self.nth(rank as usize + 1) * share } else { low }
    }

    fn count(&mut self, sample: usize, comes: bool) {
        let Some(rank) = self.ranks.get(sample) else { return };
        let mut node = *rank as usize + 1;
        while let Some(sum) = self.tree.get_mut(node - 1) {
            *sum = if comes { *sum + 1 } else { sum.saturating_sub(1) };
            node += node & node.wrapping_neg();
        }
    }

    /// The `n`-th least value of the window, from 0.
    fn nth(&self, n: usize) -> f64 {
        let (mut at, mut left) = (0, n as u32);
        let mut width = (self.tree.len() + 1).next_power_of_two() / 2;
        while width > 0 {
            if let Some(sum) = self.tree.get(at + width - 1)
                && *sum <= left
            {
                at += width;
                left -= sum;
            }
            width /= 2;
        }
        self.sorted.get(at).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moving_windows_have_the_quantiles_of_standing_ones(
            values in proptest::collection::vec(prop_oneof![-9i8..9, Just(99)], 1..60),
            moves in proptest::collection::vec((0usize..9, 0usize..9), 1..30),
            phi in prop_oneof![0.0..=1.0f64, Just(-1.0), Just(2.0), Just(0.5)],
        ) {
            let values: Vec<f64> = values.iter().map(|v| if *v == 99 { f64::NAN } else { f64::from(*v) }).collect();
            let mut ranked = Ranked::new(values.iter().copied());
            let (mut low, mut high) = (0, 1);
            for (more, fewer) in moves {
                high = (high + more).min(values.len());
                low = (low + fewer).min(high - 1);
                let wanted = quantile(phi, &mut values[low..high].to_vec());
                let found = ranked.quantile(phi, low..high);
                prop_assert!(found == wanted || (found.is_nan() && wanted.is_nan()), "{found} {wanted}");
            }
        }
    }
}
