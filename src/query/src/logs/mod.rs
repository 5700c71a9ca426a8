//! Log queries: the first entries from one end of a time range, with what is needed to know when no better ones can come.

pub(crate) mod best;
mod collected;
pub(crate) mod group;
mod heads;
mod scan;
pub(crate) mod staged;

use crate::execute::Sink;
use crate::plan::SegmentPlan;
use crate::scope::Scope;
use best::Hit;
pub(crate) use collected::LogSink;
use std::sync::Arc;
use strandline_model::TimeRange;
use strandline_store::StoreError;
use strandline_store::head::Head;

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) found: Vec<Hit>,
    pub(crate) duplicates: u64,
    pub(crate) warnings: Vec<String>,
}

impl Sink for LogSink {
    fn bound(&self) -> i64 {
        Self::bound(self)
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn best_key(&self, range: TimeRange, (first, last): (i64, i64)) -> i64 {
        self.direction().best_key((first.max(range.start), last.min(range.end.saturating_sub(1))))
    }

    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        heads::scan(self, scope, source, head);
        Ok(())
    }

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        scan::scan(self, scope, plan, index).map(|found| self.take(found))
    }
}
