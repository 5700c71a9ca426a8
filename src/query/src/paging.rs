//! Which entries of a log query keep a distance from each other? Read page by page: where entries lie close, the next one to
//! be shown is behind any limit that a single page could have.

use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::logs::Outcome;
use crate::memory::QueryMemory;
use crate::request::{Direction, LogRequest};
use crate::stats::QueryStats;
use std::sync::Arc;
use strandline_model::TimeRange;

impl QueryEngine {
    /// Runs the query, more than once if entries are to keep a distance: where they lie close, the next one is behind
    /// any limit that a single run could have.
    pub(crate) fn thinned(
        &self,
        request: &LogRequest,
        deadline: &Deadline,
        memory: &Arc<QueryMemory>,
        stats: &mut QueryStats,
    ) -> Result<Outcome, QueryError> {
        let mut all = self.run(request, request.range, request.limit, deadline, memory, stats)?;
        if request.interval_ns <= 0 {
            return Ok(all);
        }
        let mut kept = Vec::new();
        let mut range = request.range;
        loop {
            let page = std::mem::take(&mut all.found);
            let more = page.len() >= request.limit;
            for found in page {
                let ts = request.direction.ts(found.key);
                if kept.len() < request.limit && range.contains(ts) {
                    range = beyond(range, request.direction, ts, request.interval_ns);
                    kept.push(found);
                }
            }
            if !more || kept.len() >= request.limit {
                all.found = kept;
                return Ok(all);
            }
            let next = self.run(request, range, request.limit, deadline, memory, stats)?;
            all.found = next.found;
            all.duplicates += next.duplicates;
            all.warnings.extend(next.warnings);
            all.warnings.sort_unstable();
            all.warnings.dedup();
        }
    }

    fn run(
        &self,
        request: &LogRequest,
        range: TimeRange,
        limit: usize,
        deadline: &Deadline,
        memory: &Arc<QueryMemory>,
        stats: &mut QueryStats,
    ) -> Result<Outcome, QueryError> {
        self.collect(request, range, limit, deadline, memory, stats)?.shown()
    }
}

/// What is left of `range` beyond an entry at `ts`, at least `interval_ns` away from it.
fn beyond(mut range: TimeRange, direction: Direction, ts: i64, interval_ns: i64) -> TimeRange {
    match direction {
        Direction::Forward => range.start = ts.saturating_add(interval_ns),
        Direction::Backward => range.end = ts.saturating_sub(interval_ns).saturating_add(1),
    }
    range
}
