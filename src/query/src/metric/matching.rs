//! Which series of two sides belong together, and what does an operation between their points give?

use super::aggregate::groups;
use super::error::{EvalError, Hand};
use super::matrix::{LabelKey, Matrix, Point, Series, SeriesLabels};
use super::operator::apply;
use std::collections::HashMap;
use strandline_logql::ast::{BinaryExpr, GroupSide, Grouping};

/// A point of the side where labels must be unique, with the place of its series.
type OnePoint = (u32, f64, usize);

/// `left op right` for arithmetic and comparisons. `matched` are the labels that must be equal.
pub fn combine(
    expr: &BinaryExpr,
    matched: &Grouping,
    left: &Matrix,
    right: &Matrix,
) -> Result<Matrix, EvalError> {
    let group = expr.matching.as_ref().and_then(|matching| matching.group.as_ref());
    let many_is_right = matches!(group, Some((GroupSide::Right, _)));
    let (many, one, hand) =
        if many_is_right { (right, left, Hand::Left) } else { (left, right, Hand::Right) };
    let ones = one_side(one, matched, hand)?;
    let mut results = Results::default();
    // In the order of the "many" side, which may be sorted.
    for series in &many.series {
        let key = series.labels.key(matched);
        let Some(one_points) = ones.get(&key) else { continue };
        let labels = |at: usize| match group {
            None => SeriesLabels::of_key(&key),
            Some((_, included)) => included_labels(series, included, one.series.get(at)),
        };
        results.begin_series();
        for (step, m, o, at) in common_steps(&series.points, one_points) {
            let (a, b) = if many_is_right { (o, m) } else { (m, o) };
            if let Some(value) = apply(expr.op, expr.returns_bool, a, b) {
                results.push(at, (step, value), labels);
            }
        }
    }
    let clash = if group.is_some() { EvalError::AmbiguousResult } else { EvalError::ManyToOne };
    results.finish().ok_or(clash)
}

/// The points of the side that must be unique, by matching labels.
fn one_side<'a>(
    matrix: &'a Matrix,
    matched: &Grouping,
    hand: Hand,
) -> Result<HashMap<LabelKey<'a>, Vec<OnePoint>>, EvalError> {
    let mut sides = HashMap::new();
    for group in groups(matrix, matched) {
        let points = group
            .members
            .iter()
            .flat_map(|(at, series)| series.points.iter().map(move |(step, value)| (*step, *value, *at)));
        let mut points: Vec<OnePoint> = points.collect();
        if group.members.len() > 1 {
            points.sort_unstable_by_key(|(step, ..)| *step);
            if points.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
                return Err(EvalError::ManyToMany(hand));
            }
        }
        sides.insert(group.labels, points);
    }
    Ok(sides)
}

/// The labels of the "many" side, with those copied that the "one" side has.
fn included_labels(many: &Series, included: &[String], one: Option<&Series>) -> SeriesLabels {
    included.iter().fold(many.labels.clone(), |labels, name| {
        labels.with(name, one.and_then(|one| one.labels.get(name)).unwrap_or_default())
    })
}

/// The points of both sides at the same steps: step, many's value, one's value, one's place.
fn common_steps<'a>(
    many: &'a [Point],
    one: &'a [OnePoint],
) -> impl Iterator<Item = (u32, f64, f64, usize)> + 'a {
    let mut ones = one.iter().peekable();
    many.iter().filter_map(move |(step, value)| {
        while ones.next_if(|(at, ..)| at < step).is_some() {}
        ones.next_if(|(at, ..)| at == step).map(|(_, other, place)| (*step, *value, *other, *place))
    })
}

/// Result series, found by labels.
#[derive(Default)]
struct Results {
    series: Vec<Series>,
    by_labels: HashMap<SeriesLabels, usize>,
    /// Where the series at hand goes, by the place of its partner: it rarely has more than one.
    current: HashMap<usize, usize>,
}

impl Results {
    fn begin_series(&mut self) {
        self.current.clear();
    }

    fn push(&mut self, partner: usize, point: Point, labels: impl Fn(usize) -> SeriesLabels) {
        let home = *self.current.entry(partner).or_insert_with(|| {
            let labels = labels(partner);
            *self.by_labels.entry(labels.clone()).or_insert_with(|| {
                self.series.push(Series { labels, points: Vec::new() });
                self.series.len() - 1
            })
        });
        if let Some(series) = self.series.get_mut(home) {
            series.points.push(point);
        }
    }

    /// The series in order of step; `None` if one has two points at a step.
    fn finish(mut self) -> Option<Matrix> {
        for series in &mut self.series {
            series.points.sort_by_key(|(step, _)| *step);
            if series.points.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
                return None;
            }
        }
        Some(Matrix { series: self.series })
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
