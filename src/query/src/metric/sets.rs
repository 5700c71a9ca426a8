//! Which points have a partner on the other side (`and`, `unless`), and which have none (`or`)?

use super::matrix::{LabelKey, Matrix, Point, SeriesLabels};
use std::collections::HashMap;
use strandline_logql::ast::{BinaryOp, Grouping};

/// Some of a query's steps.
#[derive(Debug, Clone)]
pub struct StepSet(Vec<u64>);

impl StepSet {
    /// None of `count` steps.
    pub fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    /// Adds the steps of these points.
    pub fn extend(&mut self, points: &[Point]) {
        for (step, _) in points {
            if let Some(word) = self.0.get_mut((step / 64) as usize) {
                *word |= 1 << (step % 64);
            }
        }
    }

    /// Whether a step is among them.
    pub fn holds(&self, step: u32) -> bool {
        self.0.get((step / 64) as usize).is_some_and(|word| word >> (step % 64) & 1 == 1)
    }
}

/// `left op right` for the set operations; series belong together when `matching` keeps the same of their labels.
pub fn combine(op: BinaryOp, matching: &Grouping, left: Matrix, right: Matrix, steps: u32) -> Matrix {
    match op {
        BinaryOp::And => retain(left, &Present::of(&right, matching, steps), true),
        BinaryOp::Unless => retain(left, &Present::of(&right, matching, steps), false),
        _ => {
            let added = retain(right, &Present::of(&left, matching, steps), false);
            left.join(added)
        }
    }
}

/// At which steps each set of matching labels has a point.
struct Present<'a> {
    matching: &'a Grouping,
    steps: HashMap<LabelKey<'a>, StepSet>,
}

impl<'a> Present<'a> {
    fn of(matrix: &'a Matrix, matching: &'a Grouping, count: u32) -> Self {
        let mut steps: HashMap<LabelKey<'a>, StepSet> = HashMap::new();
        for series in &matrix.series {
            let set = steps.entry(series.labels.key(matching)).or_insert_with(|| StepSet::new(count));
            set.extend(&series.points);
        }
        Self { matching, steps }
    }

    fn partner<'s>(&'s self, labels: &'s SeriesLabels) -> Option<&'s StepSet> {
        self.steps.get(labels.key(self.matching).as_slice())
    }
}

/// The points of `matrix` that have a partner, or those that have none.
fn retain(mut matrix: Matrix, partners: &Present, wanted: bool) -> Matrix {
    for series in &mut matrix.series {
        let partner = partners.partner(&series.labels);
        series.points.retain(|(step, _)| partner.is_some_and(|steps| steps.holds(*step)) == wanted);
    }
    matrix.series.retain(|series| !series.points.is_empty());
    matrix
}

#[cfg(test)]
#[path = "sets_tests.rs"]
mod tests;
