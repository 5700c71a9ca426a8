//! What does a tail begin with? The newest entries of the past, read like any query once the tail is open.

use super::entry::TailEntry;
use super::frame::{Encoder, Frame, cut};
use super::hub::Tail;
use super::seam::{History, Seam};
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::language::LogQuery;
use crate::logs::best::Hit;
use crate::memory::Held;
use crate::reader::Reader;
use crate::request::LogRequest;
use crate::slot::Slot;
use crate::stats::QueryStats;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

impl QueryEngine {
    /// Opens a tail of the new lines that `reader` may see. Cheap, and never waits. Then ask for [`Self::tail_history`], and hand it to
    /// [`Tail::begin_after`].
    pub fn tail(&self, reader: &Reader, query: &LogQuery, encoder: Encoder) -> Tail {
        self.hub().open(reader, query, encoder)
    }

    /// What lies before a tail: the newest `limit` entries from `start` on, written by `encoder`. Blocks like any query.
    pub fn tail_history(
        &self,
        slot: &Slot,
        tail: &Tail,
        encoder: Encoder,
        start: i64,
        limit: usize,
    ) -> Result<History, QueryError> {
        self.past(slot, &tail.history_request(start, limit), encoder, tail.since())
    }

    /// Reads the past of a tail that is open since a commit.
    fn past(
        &self,
        slot: &Slot,
        request: &LogRequest,
        encoder: Encoder,
        since: u64,
    ) -> Result<History, QueryError> {
        self.counted(slot, slot.deadline(), |stats| {
            let (mut found, warnings, seam) = self.past_entries(request, since, slot, stats)?;
            found.sort_by_key(|found| (found.key, found.arrival));
            let total = Arc::new(AtomicUsize::new(0));
            let pieces = cut(found.into_iter().map(TailEntry).collect());
            let frames = pieces.iter().map(|entries| Frame::new(entries, encoder, &total)).collect();
            Ok(History { frames, warnings, held: Held::of(slot.memory()), seam })
        })
    }

    fn past_entries(
        &self,
        request: &LogRequest,
        since: u64,
        slot: &Slot,
        stats: &mut QueryStats,
    ) -> Result<(Vec<Hit>, Vec<String>, Seam), QueryError> {
        let collected =
            self.collect(request, request.range, request.limit, slot.deadline(), slot.memory(), stats)?;
        let until = self.storage().commits() + 1;
        // Before the stages that run over the answer alone make other lines of them.
        let seam = Seam::new(&request.query, (since, until), &collected.outcome.found);
        let outcome = collected.shown()?;
        Ok((outcome.found, outcome.warnings, seam))
    }
}
