//! Which value do a given share of the values not exceed?

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
