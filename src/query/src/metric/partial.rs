//! What has to be remembered of some samples, so that they can be aggregated with others later?
//!
//! One kind for each way to aggregate, so that a million buckets cost no more than their way needs. The same kinds
//! serve windows over time and groups of series at one step.

use super::sliding::Merge;
use strandline_logql::ast::{RangeOp, VectorOp};

/// Ways to aggregate that work piece by piece, in any order of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is LogQL's word for it")]
pub enum Reduction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Stddev,
    Stdvar,
    First,
    Last,
    /// Whether there is anything: 1.
    Present,
}

impl Reduction {
    /// How a window is aggregated; `None` if that needs all of its samples in order (quantiles and counters).
    /// Rates are sums here, of ones or of values.
    pub fn of_range(op: RangeOp) -> Option<Self> {
        Some(match op {
            RangeOp::Count => Self::Count,
            RangeOp::Rate | RangeOp::BytesRate | RangeOp::Bytes | RangeOp::Sum => Self::Sum,
            RangeOp::Avg => Self::Avg,
            RangeOp::Min => Self::Min,
            RangeOp::Max => Self::Max,
            RangeOp::Stddev => Self::Stddev,
            RangeOp::Stdvar => Self::Stdvar,
            RangeOp::First => Self::First,
            RangeOp::Last => Self::Last,
            RangeOp::Absent => Self::Present,
            RangeOp::RateCounter | RangeOp::Quantile => return None,
        })
    }

    /// How series are aggregated; `None` for those that choose or order series instead.
    pub fn of_vector(op: VectorOp) -> Option<Self> {
        Some(match op {
            VectorOp::Sum => Self::Sum,
            VectorOp::Avg => Self::Avg,
            VectorOp::Min => Self::Min,
            VectorOp::Max => Self::Max,
            VectorOp::Count => Self::Count,
            VectorOp::Stddev => Self::Stddev,
            VectorOp::Stdvar => Self::Stdvar,
            VectorOp::Topk
            | VectorOp::Bottomk
            | VectorOp::ApproxTopk
            | VectorOp::Sort
            | VectorOp::SortDesc => {
                return None;
            }
        })
    }
}

/// A sum that keeps what rounding loses (Neumaier).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn merge(&mut self, other: &Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    fn value(&self) -> f64 {
        // Beyond the finite nothing sensible was lost.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

/// What is remembered of at least one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Partial {
    /// Counts, sums and presence.
    Total(Total),
    /// Average.
    Mean {
        /// Sum of the values.
        total: Total,
        /// Their number.
        count: u64,
    },
    /// The least value; NaN only if there is no other.
    Least(f64),
    /// The greatest value; NaN only if there is no other.
    Greatest(f64),
    /// Standard deviation and variance.
    Spread {
        /// Number of values.
        count: u64,
        /// Their mean.
        mean: f64,
        /// Sum of their squared distances from it.
        squares: f64,
    },
    /// The first by time.
    First(i64, f64),
    /// The last by time.
    Last(i64, f64),
}

impl Partial {
    /// One sample. The time matters for the first and the last only.
    pub fn of(reduction: Reduction, ts: i64, value: f64) -> Self {
        let total = |value| Total { sum: value, lost: 0.0 };
        match reduction {
            Reduction::Count => Self::Total(total(1.0)),
            Reduction::Present => Self::Greatest(1.0),
            Reduction::Sum => Self::Total(total(value)),
            Reduction::Avg => Self::Mean { total: total(value), count: 1 },
            Reduction::Min => Self::Least(value),
            Reduction::Max => Self::Greatest(value),
            Reduction::Stddev | Reduction::Stdvar => {
                // Not finite: there is no distance from the mean.
                Self::Spread {
                    count: 1,
                    mean: value,
                    squares: if value.is_finite() { 0.0 } else { f64::NAN },
                }
            }
            Reduction::First => Self::First(ts, value),
            Reduction::Last => Self::Last(ts, value),
        }
    }

    /// One more sample. Of those with the same time, the one that came first is the first.
    pub fn add(&mut self, reduction: Reduction, ts: i64, value: f64) {
        self.merge(&Self::of(reduction, ts, value));
    }

    /// The aggregate.
    pub fn finish(&self, reduction: Reduction) -> f64 {
        match *self {
            Self::Total(total) => total.value(),
            Self::Mean { total, count } => total.value() / count as f64,
            Self::Least(value) | Self::Greatest(value) | Self::First(_, value) | Self::Last(_, value) => {
                value
            }
            Self::Spread { count, squares, .. } => {
                let variance = squares / count as f64;
                if reduction == Reduction::Stddev { variance.sqrt() } else { variance }
            }
        }
    }
}

impl Merge for Partial {
    /// Takes in what is remembered of samples that came later. Those of another reduction are left out.
    fn merge(&mut self, later: &Self) {
        match (self, later) {
            (Self::Total(a), Self::Total(b)) => a.merge(b),
            (Self::Mean { total, count }, Self::Mean { total: more, count: n }) => {
                total.merge(more);
                *count += n;
            }
            (Self::Least(a), Self::Least(b)) if *b < *a || a.is_nan() => *a = *b,
            (Self::Greatest(a), Self::Greatest(b)) if *b > *a || a.is_nan() => *a = *b,
            (Self::Spread { count, mean, squares }, Self::Spread { count: n, mean: m, squares: s }) => {
                let (a, b) = (*count as f64, *n as f64);
                let apart = m - *mean;
                *squares += s + apart * apart * a * b / (a + b);
                *mean += apart * b / (a + b);
                *count += n;
            }
            (Self::First(at, value), Self::First(ts, v)) if ts < at => (*at, *value) = (*ts, *v),
            (Self::Last(at, value), Self::Last(ts, v)) if ts >= at => (*at, *value) = (*ts, *v),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;
