//! What did a query cost, and how did it end? Every query runs inside of this.

use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::outcome::{count_answer, count_outcome};
use crate::result::Answer;
use crate::slot::Slot;
use crate::stats::QueryStats;
use strandline_model::memory::Class;

/// Counts a query as running while it lives.
struct Running;

impl Running {
    fn new() -> Self {
        metrics::gauge!("strandline_queries_running").increment(1.0);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!("strandline_queries_running").decrement(1.0);
    }
}

impl QueryEngine {
    /// Runs a query in its slot, measures it and counts how it ends. `deadline` is that of all who want its answer.
    pub(crate) fn counted<A: Answer>(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        run: impl FnMut(&mut QueryStats) -> Result<A, QueryError>,
    ) -> Result<A, QueryError> {
        let result = self.measured(slot, deadline, run);
        match &result {
            Ok(found) => count_answer(found),
            Err(error) => count_outcome(error),
        }
        result
    }

    /// Counts a query that has no answer and did not run.
    pub fn count_outcome(&self, error: &QueryError) {
        count_outcome(error);
    }

    fn measured<A: Answer>(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        mut run: impl FnMut(&mut QueryStats) -> Result<A, QueryError>,
    ) -> Result<A, QueryError> {
        let clock = self.clock();
        let _running = Running::new();
        let begun = clock.monotonic_ns();
        let fresh = || QueryStats { queue_ns: slot.queue_ns, ..QueryStats::default() };
        let mut stats = fresh();
        let mut result = run(&mut stats);
        let mut bytes = stats.bytes();
        let most = self.config().memory.most(Class::Query);
        // Each time with twice as much in hand, so this ends.
        while let Err(QueryError::Memory(error)) = result {
            if let Err(error) = slot.memory().start_over(error, most, deadline) {
                result = Err(error);
                break;
            }
            // The answer tells of the run that it comes from.
            stats = fresh();
            result = run(&mut stats);
            bytes += stats.bytes();
        }
        stats.exec_ns = clock.monotonic_ns() - begun;
        // Counted for failed queries and runs too: their work was done.
        metrics::counter!("strandline_query_bytes_total").increment(bytes);
        metrics::counter!("strandline_query_exec_ns_total").increment(stats.exec_ns.max(0) as u64);
        result.map(|answer| answer.with_stats(stats))
    }
}
