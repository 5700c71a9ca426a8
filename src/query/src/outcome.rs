//! How did queries end? Counted once for each.

use crate::error::QueryError;
use crate::result::Answer;

/// Counts a query that has an answer.
pub(crate) fn count_answer(answer: &impl Answer) {
    count(if answer.warnings().is_empty() { "ok" } else { "incomplete" });
}

/// Counts a query that has none.
pub(crate) fn count_outcome(error: &QueryError) {
    count(match error {
        QueryError::Cancelled => "cancelled",
        QueryError::TimedOut => "timed_out",
        QueryError::QueueFull(_) => "refused",
        _ => "failed",
    });
}

fn count(outcome: &'static str) {
    metrics::counter!("strandline_queries_total", "outcome" => outcome).increment(1);
}
