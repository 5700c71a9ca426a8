//! Which of two values comes first, and in which order does an instant query's answer stand?

use super::matrix::{Matrix, Series};
use std::cmp::Ordering;
use strandline_logql::ast::{MetricExpr, VectorOp};

/// Which end of the numbers comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// The least.
    Ascending,
    /// The greatest.
    Descending,
}

impl Rank {
    /// Compares two values; NaN comes last either way.
    pub fn compare(self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (false, false) => {
                let ascending = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
                if self == Self::Ascending { ascending } else { ascending.reverse() }
            }
            (a, b) => a.cmp(&b),
        }
    }
}

/// Brings the series into the order of their first values, equal ones into that of their labels.
pub fn by_value(matrix: &mut Matrix, rank: Rank) {
    let first = |series: &Series| series.points.first().map_or(f64::NAN, |(_, value)| *value);
    matrix.series.sort_by(|a, b| rank.compare(first(a), first(b)).then_with(|| a.labels.cmp(&b.labels)));
}

/// Brings the series into the order of their labels.
pub fn by_labels(matrix: &mut Matrix) {
    matrix.series.sort_by(|a, b| a.labels.cmp(&b.labels));
}

/// Whether an instant query's answer stays in the order in which it was computed: when anything in it is sorted. All else
/// is in the order of labels, also what `topk` chooses.
pub fn is_by_value(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Vector(vector) => {
            matches!(vector.op, VectorOp::Sort | VectorOp::SortDesc) || is_by_value(&vector.inner)
        }
        MetricExpr::Binary(binary) => is_by_value(&binary.left) || is_by_value(&binary.right),
        MetricExpr::LabelReplace(replace) => is_by_value(&replace.inner),
        MetricExpr::Range(_) | MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => false,
    }
}
