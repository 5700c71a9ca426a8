//! What is asked?

use crate::language::{LogQuery, MetricQuery};
use crate::metric::Steps;
use crate::reader::Reader;
use strandline_model::TimeRange;

/// From which end entries are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    #[default]
    Backward,
}

impl Direction {
    /// A key by which the better of two timestamps is the greater: all code behind it looks one way only.
    pub(crate) fn key(self, ts: i64) -> i64 {
        match self {
            Self::Forward => !ts,
            Self::Backward => ts,
        }
    }

    /// The timestamp of a key.
    pub(crate) fn ts(self, key: i64) -> i64 {
        // Its own inverse.
        self.key(key)
    }

    /// The best key that a timestamp between these two can have.
    pub(crate) fn best_key(self, (first, last): (i64, i64)) -> i64 {
        self.key(first).max(self.key(last))
    }
}

/// A question for log lines.
#[derive(Debug, Clone)]
pub struct LogRequest {
    /// Who asks: whose lines, and which of them may be seen.
    pub reader: Reader,
    /// Which lines.
    pub query: LogQuery,
    /// From when; the end is not inside.
    pub range: TimeRange,
    /// Most entries wanted.
    pub limit: usize,
    /// From which end.
    pub direction: Direction,
    /// Least time between two entries of the answer, over all its streams; 0 leaves none out.
    pub interval_ns: i64,
    /// Whether structured metadata stays with the entries instead of joining the labels.
    pub categorize: bool,
}

impl LogRequest {
    /// Equal for equal questions.
    pub(crate) fn key(&self) -> String {
        let Self { reader, query, range, limit, direction, interval_ns, categorize } = self;
        let text = query.text();
        format!("{}\n{range:?} {limit} {direction:?} {interval_ns} {categorize}\n{text}", reader.key())
    }
}

/// A question for numbers.
#[derive(Debug, Clone)]
pub struct MetricRequest {
    /// Who asks: whose lines, and which of them may be seen.
    pub reader: Reader,
    /// What is computed.
    pub query: MetricQuery,
    /// At which moments.
    pub steps: Steps,
    /// Most series in the answer, if they are limited.
    pub max_series: Option<usize>,
    /// Whether an answer with more series is cut, with a warning, instead of refused.
    pub cut_series: bool,
}

impl MetricRequest {
    /// Equal for equal questions.
    pub(crate) fn key(&self) -> String {
        let Self { reader, query, steps, max_series, cut_series } = self;
        let text = query.expr();
        format!("{}\n{steps:?} {max_series:?} {cut_series}\n{text}", reader.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_order_timestamps_in_the_query_s_direction(a in any::<i64>(), b in any::<i64>()) {
            let (forward, backward) = (Direction::Forward, Direction::Backward);
            prop_assert_eq!(a.cmp(&b), backward.key(a).cmp(&backward.key(b)));
            prop_assert_eq!(a.cmp(&b), forward.key(b).cmp(&forward.key(a)));
            prop_assert_eq!(forward.ts(forward.key(a)), a);
            prop_assert_eq!(forward.best_key((a.min(b), a.max(b))), !a.min(b));
        }
    }
}
