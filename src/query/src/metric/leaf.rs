//! What must be read for a metric query, and how far can it be aggregated while it is read?

use super::partial::Reduction;
use std::collections::BTreeSet;
use strandline_logql::ast::{Grouping, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp};

/// A range aggregation to be computed: its samples fall into one series for each set of labels that `grouping` leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf<'a> {
    /// The aggregation. Its own grouping and the label that it unwraps are in `grouping` already.
    pub aggregation: &'a RangeAggregation,
    /// The labels to keep; `without ()` keeps all. Names are sorted and unique.
    pub grouping: Grouping,
    /// Whether it is the inside of a vector aggregation, which `grouping` stems from.
    pub is_inside: bool,
    /// Whether Loki, too, reads only the labels that the query names, and so sees no other faults of lines.
    pub is_named_only: bool,
}

/// The labels that tell the series of a leaf apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeededLabels<'a> {
    /// Any label may.
    All,
    /// Only these.
    Only(BTreeSet<&'a str>),
}

impl<'a> Leaf<'a> {
    /// The leaf of an aggregation by itself.
    pub fn of(aggregation: &'a RangeAggregation) -> Self {
        // Whether anything is there at all does not depend on labels.
        if aggregation.op == RangeOp::Absent {
            let grouping = Grouping::default();
            return Self { aggregation, grouping, is_inside: false, is_named_only: true };
        }
        let mut grouping =
            aggregation.grouping.clone().unwrap_or(Grouping { without: true, labels: Vec::new() });
        if let (true, Some(unwrap)) = (grouping.without, &aggregation.unwrap) {
            grouping.labels.push(unwrap.label.clone());
        }
        let is_named_only = !grouping.without;
        Self { aggregation, grouping: sorted(grouping), is_inside: false, is_named_only }
    }

    /// How its windows can be computed piece by piece, if they can.
    pub fn reduction(&self) -> Option<Reduction> {
        Reduction::of_range(self.aggregation.op)
    }
}

fn sorted(mut grouping: Grouping) -> Grouping {
    grouping.labels.sort_unstable();
    grouping.labels.dedup();
    grouping
}

/// The leaf that already is the whole of `sum by (a) (rate(...))` and the like: sums of sums, minima of minima and maxima
/// of maxima can be taken all at once.
pub fn pushdown(vector: &VectorAggregation) -> Option<Leaf<'_>> {
    let MetricExpr::Range(aggregation) = &*vector.inner else { return None };
    let same = match vector.op {
        VectorOp::Sum => matches!(
            aggregation.op,
            RangeOp::Rate | RangeOp::Count | RangeOp::BytesRate | RangeOp::Bytes | RangeOp::Sum
        ),
        VectorOp::Min => aggregation.op == RangeOp::Min,
        VectorOp::Max => aggregation.op == RangeOp::Max,
        _ => false,
    };
    if !same || aggregation.grouping.is_some() {
        return None;
    }
    let mut grouping = vector.grouping.clone().unwrap_or_default();
    // The inner series do not have the unwrapped label, so neither may these.
    if let Some(unwrap) = &aggregation.unwrap {
        match grouping.without {
            true => grouping.labels.push(unwrap.label.clone()),
            false => grouping.labels.retain(|label| *label != unwrap.label),
        }
    }
    let is_named_only = vector.op == VectorOp::Sum && !grouping.without;
    Some(Leaf { aggregation, grouping: sorted(grouping), is_inside: true, is_named_only })
}

/// The labels that must be known of each line to put it into its series. Stages and `unwrap` may need others.
pub fn needed_labels<'l>(leaf: &'l Leaf<'_>) -> NeededLabels<'l> {
    if leaf.grouping.without {
        NeededLabels::All
    } else {
        NeededLabels::Only(leaf.grouping.labels.iter().map(String::as_str).collect())
    }
}

/// The leaves of an expression in the order in which they are asked for, each once.
pub fn leaves(expr: &MetricExpr) -> Vec<Leaf<'_>> {
    uses(expr).into_iter().map(|(leaf, _)| leaf).collect()
}

/// The leaves of an expression, and how often each occurs.
pub fn uses(expr: &MetricExpr) -> Vec<(Leaf<'_>, usize)> {
    let mut found: Vec<(Leaf<'_>, usize)> = Vec::new();
    visit(expr, &mut |leaf| match found.iter_mut().find(|(known, _)| *known == leaf) {
        Some((_, uses)) => *uses += 1,
        None => found.push((leaf, 1)),
    });
    found
}

fn visit<'a>(expr: &'a MetricExpr, found: &mut impl FnMut(Leaf<'a>)) {
    match expr {
        MetricExpr::Range(aggregation) => found(Leaf::of(aggregation)),
        MetricExpr::Vector(vector) => match pushdown(vector) {
            Some(leaf) => found(leaf),
            None => visit(&vector.inner, found),
        },
        MetricExpr::Binary(binary) => {
            visit(&binary.left, found);
            visit(&binary.right, found);
        }
        MetricExpr::LabelReplace(replace) => visit(&replace.inner, found),
        MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {}
    }
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
