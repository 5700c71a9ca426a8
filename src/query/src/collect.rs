//! Which entries can be in the answer of a log query? Read from all tenants of the reader into one list.

use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::execute::Execution;
use crate::logs::{self, LogSink, Outcome};
use crate::memory::QueryMemory;
use crate::pool::Work;
use crate::request::{Direction, LogRequest};
use crate::stats::QueryStats;
use std::sync::Arc;
use strandline_model::TimeRange;

/// A log answer's entries and what is made of them are in memory together.
pub(crate) const LOG_ANSWER_COPIES: usize = 2;

/// The entries of an answer, before the stages that are best run over the answer alone.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) outcome: Outcome,
    /// How they were found, if there was anything to look for.
    execution: Option<Arc<Execution<Arc<LogSink>>>>,
    direction: Direction,
}

impl Collected {
    /// The entries as the query shows them.
    pub(crate) fn shown(mut self) -> Result<Outcome, QueryError> {
        if let Some(execution) = &self.execution
            && execution.scope.query.is_deferred()
            && !execution.scope.query.is_plain()
        {
            logs::staged::apply(&execution.scope, &mut self.outcome.found, self.direction)?;
        }
        Ok(self.outcome)
    }
}

impl QueryEngine {
    /// Finds the entries of an answer.
    pub(crate) fn collect(
        &self,
        request: &LogRequest,
        range: TimeRange,
        limit: usize,
        deadline: &Deadline,
        memory: &Arc<QueryMemory>,
        stats: &mut QueryStats,
    ) -> Result<Collected, QueryError> {
        let range = self.seen_by(&request.reader, range);
        let direction = request.direction;
        let mut collected = Collected { outcome: Outcome::default(), execution: None, direction };
        if limit == 0 || range.start >= range.end {
            return Ok(collected);
        }
        // One list of the best entries for all tenants: what one has makes the others' older entries superfluous.
        let sink = Arc::new(LogSink::new(limit, direction));
        for part in request.reader.parts(request.query.selector()) {
            let mut scope = self.scope(part, &request.query, range, deadline.clone(), memory);
            // The other part is for the answer that is made of the entries.
            scope.max_bytes /= LOG_ANSWER_COPIES;
            scope.copies = LOG_ANSWER_COPIES;
            let execution = Arc::new(Execution::new(scope, Arc::clone(&sink)));
            self.pool().offer(Arc::clone(&execution) as Arc<dyn Work>);
            collected.outcome.warnings.extend(execution.wait()?);
            stats.add(&execution.scope.counters.snapshot());
            collected.execution = Some(execution);
        }
        (collected.outcome.found, collected.outcome.duplicates) = sink.finish();
        Ok(collected)
    }
}
