//! Log queries: from the entries that were found to streams as a client gets them.

use crate::cancel::CancelFlag;
use crate::collect::LOG_ANSWER_COPIES;
use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::explain::Read;
use crate::logs;
use crate::memory::{Held, WRITTEN_BYTES};
use crate::request::LogRequest;
use crate::result::LogResult;
use crate::slot::Slot;
use crate::stats::QueryStats;

impl QueryEngine {
    /// Finds log lines in a slot of the request. Blocks the calling thread; the work is done by the engine's own threads.
    pub fn logs_in(&self, slot: &Slot, request: &LogRequest) -> Result<LogResult, QueryError> {
        self.logs_begun(slot, slot.deadline(), request, || ())
    }

    /// As [`Self::logs_in`], waiting for a slot first.
    pub fn logs(&self, request: &LogRequest) -> Result<LogResult, QueryError> {
        self.logs_in(&self.slot(&request.reader, &CancelFlag::default())?, request)
    }

    pub(crate) fn logs_begun(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        request: &LogRequest,
        begun: impl Fn(),
    ) -> Result<LogResult, QueryError> {
        self.counted(slot, deadline, |stats| {
            begun();
            let whole = |error| match error {
                QueryError::TooLarge(part) => QueryError::TooLarge(part.saturating_mul(LOG_ANSWER_COPIES)),
                other => other,
            };
            let outcome = self.thinned(request, deadline, slot.memory(), stats).map_err(whole)?;
            stats.duplicates = outcome.duplicates;
            stats.entries = outcome.found.len() as u64;
            let streams = logs::group::streams(outcome.found, request.direction, request.categorize);
            // The entries that were collected are gone; what is written of a long answer needs some.
            let bytes = slot.memory().bytes();
            slot.memory().keep(bytes.min(bytes / LOG_ANSWER_COPIES + WRITTEN_BYTES));
            let held = Held::of(slot.memory());
            let read = Read { stats: *stats, ..Read::new(&request.query, request.range) };
            let (stats, warnings) = (QueryStats::default(), outcome.warnings);
            Ok(LogResult { streams, stats, warnings, reads: vec![read], held })
        })
    }
}
