//! Which k series of each group have the greatest or the least values, at each step anew?

use super::aggregate::{Group, groups};
use super::matrix::{Matrix, Point, Series};
use super::order::Rank;
use strandline_logql::ast::Grouping;

/// A series' value at one step, and the place of its labels among all labels: it breaks ties.
#[derive(Clone, Copy)]
struct Candidate {
    step: u32,
    place: u32,
    series: usize,
    value: f64,
}

/// The chosen points, under the full labels of their series. `rank` says which come first.
pub fn choose(rank: Rank, k: u64, grouping: &Grouping, matrix: &Matrix) -> Matrix {
    let places = places(matrix);
    let mut chosen: Vec<Vec<Point>> = vec![Vec::new(); matrix.series.len()];
    for group in groups(matrix, grouping) {
        if u64::try_from(group.members.len()).is_ok_and(|members| members <= k) {
            for (at, series) in group.members {
                if let Some(points) = chosen.get_mut(at) {
                    points.clone_from(&series.points);
                }
            }
            continue;
        }
        for candidate in best(rank, k, &group, &places) {
            if let Some(points) = chosen.get_mut(candidate.series) {
                points.push((candidate.step, candidate.value));
            }
        }
    }
    let mut result = Matrix::default();
    for (Series { labels, .. }, points) in matrix.series.iter().zip(chosen) {
        result.push(labels.clone(), points);
    }
    result
}

/// The best candidates of each step, step by step.
fn best(rank: Rank, k: u64, group: &Group, places: &[u32]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for (at, series) in &group.members {
        let place = places.get(*at).copied().unwrap_or_default();
        let points = series.points.iter();
        candidates.extend(points.map(|(step, value)| Candidate {
            step: *step,
            place,
            series: *at,
            value: *value,
        }));
    }
    candidates.sort_unstable_by(|a, b| {
        let by_step = a.step.cmp(&b.step);
        by_step.then_with(|| rank.compare(a.value, b.value)).then_with(|| a.place.cmp(&b.place))
    });
    let (mut step, mut taken) = (None, 0);
    candidates.retain(|candidate| {
        taken = if step == Some(candidate.step) { taken + 1 } else { 1 };
        step = Some(candidate.step);
        taken <= k
    });
    candidates
}

/// Each series' place when all are ordered by labels.
fn places(matrix: &Matrix) -> Vec<u32> {
    let mut order: Vec<(usize, &Series)> = matrix.series.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.labels.cmp(&b.labels));
    let mut places = vec![0; order.len()];
    for ((at, _), place) in order.into_iter().zip(0..) {
        if let Some(slot) = places.get_mut(at) {
            *slot = place;
        }
    }
    places
}
