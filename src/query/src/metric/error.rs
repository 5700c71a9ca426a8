//! Why can a metric query not be evaluated?

use strandline_logql::ast::BinaryOp;

/// Why an expression over series has no value. Loki answers 500 where series do not match; that is for the caller.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EvalError {
    /// The side that must be unique has several series for one match.
    #[error(
        "found duplicate series on the {0} hand-side;many-to-many matching not allowed: matching labels must be \
         unique on one side"
    )]
    ManyToMany(Hand),
    /// Several series match one, and the query does not say so.
    #[error("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")]
    ManyToOne,
    /// Several results would have the same labels.
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    AmbiguousResult,
    /// `and`, `or` or `unless` with a number.
    #[error("unexpected literal for a leg of logical/set binary operation ({0})")]
    LiteralInSet(&'static str),
    /// The pattern of a `label_replace`.
    #[error("{0}")]
    Pattern(String),
    /// The series do not fit into the memory that is set aside.
    #[error(
        "the series of the query need more than {0} bytes (query.max_memory): narrow the query or aggregate earlier"
    )]
    TooManyBytes(usize),
    /// The answer has too many series.
    #[error(
        "maximum number of series ({0}) reached for a single query; consider reducing query cardinality by adding \
         more specific stream selectors, reducing the time range, or aggregating results with functions like sum(), \
         count() or topk() (limits.max_series_per_query)"
    )]
    TooManySeries(usize),
}

impl EvalError {
    /// Whether another query would have been answered, whatever the series are. (Loki calls series that do not match an
    /// error of the server.)
    pub fn is_of_the_query(&self) -> bool {
        !matches!(self, Self::ManyToMany(_) | Self::ManyToOne | Self::AmbiguousResult)
    }

    /// A set operation with a number.
    pub fn literal_in_set(op: BinaryOp) -> Self {
        Self::LiteralInSet(match op {
            BinaryOp::And => "and",
            BinaryOp::Unless => "unless",
            _ => "or",
        })
    }
}

/// A side of a binary operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// What stands before the operator.
    Left,
    /// What stands behind it.
    Right,
}

impl std::fmt::Display for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}
