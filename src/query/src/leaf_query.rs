//! What is special about the lines that a metric query reads? Which errors fail it, and which stages nobody looks at.

use crate::metric::Leaf;
use std::borrow::Cow;
use strandline_logql::ast::{LabelFilterExpr, LogExpr, RangeAggregation, RangeOp, Stage};
use strandline_logql::row;

/// Which errors of stages a metric query does not forgive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Any that show. Where the query names no labels, parsers do nothing, and dashboards rely on it.
    All,
    /// None: the query asks for errors, to count them.
    None,
}

impl Errors {
    pub(crate) fn of_leaf(leaf: &Leaf<'_>) -> Self {
        let labels = &leaf.grouping.labels;
        let filters_errors = |stage: &Stage| match stage {
            Stage::LabelFilter(filter) => asks_for_error(filter),
            _ => false,
        };
        let by_errors = !leaf.grouping.without && labels.iter().any(|label| label == row::ERROR);
        if leaf.is_inside && (by_errors || leaf.aggregation.log.stages.iter().any(filters_errors)) {
            Self::None
        } else {
            Self::All
        }
    }

    /// Whether this one fails the query.
    pub(crate) fn includes(self, error: &str) -> bool {
        match self {
            Self::All => !error.is_empty(),
            Self::None => false,
        }
    }
}

/// The lines of a range aggregation without the formats of lines that nobody looks at: as in Loki, these cannot fail.
pub(crate) fn without_idle_formats(aggregation: &RangeAggregation) -> Cow<'_, LogExpr> {
    let reads_line = |stage: &Stage| {
        !matches!(
            stage,
            Stage::LabelFilter(_)
                | Stage::Drop(_)
                | Stage::Keep(_)
                | Stage::LineFormat(_)
                | Stage::Decolorize
        )
    };
    let stages = &aggregation.log.stages;
    let last_reader = stages.iter().rposition(reads_line).map_or(0, |at| at + 1);
    let is_idle = |stage: &Stage| matches!(stage, Stage::LineFormat(_));
    let counts_bytes = matches!(aggregation.op, RangeOp::Bytes | RangeOp::BytesRate);
    if counts_bytes || !stages.iter().skip(last_reader).any(is_idle) {
        return Cow::Borrowed(&aggregation.log);
    }
    let (before, behind) = stages.split_at_checked(last_reader).unwrap_or((stages, &[]));
    let kept = before.iter().chain(behind.iter().filter(|stage| !is_idle(stage))).cloned().collect();
    Cow::Owned(LogExpr { matchers: aggregation.log.matchers.clone(), stages: kept })
}

fn asks_for_error(filter: &LabelFilterExpr) -> bool {
    match filter {
        LabelFilterExpr::And(left, right) | LabelFilterExpr::Or(left, right) => {
            asks_for_error(left) || asks_for_error(right)
        }
        LabelFilterExpr::Text(matcher) => matcher.name == row::ERROR,
        LabelFilterExpr::Quantity { .. } | LabelFilterExpr::Ip { .. } => false,
    }
}
