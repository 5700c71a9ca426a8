//! Metric queries: the samples of one range aggregation, read from heads and blocks and kept by series.

mod collected;
mod heads;
mod keys;
mod plain;
mod series;
mod staged;
mod summary;

use crate::error::QueryError;
use crate::execute::Sink;
use crate::plan::{self, SegmentPlan};
use crate::scope::Scope;
pub(crate) use collected::SampleSink;
use series::Table;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_store::StoreError;
use strandline_store::engine::SegmentHandle;
use strandline_store::head::Head;

impl Sink for SampleSink {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn failure(&self) -> Option<QueryError> {
        self.failure.lock().take()
    }

    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        heads::read(self, scope, source, head);
        Ok(())
    }

    fn segment(
        &self,
        scope: &Scope,
        source: usize,
        handle: &Arc<SegmentHandle>,
    ) -> Result<SegmentPlan, StoreError> {
        let mut plan = plan::plan(scope, source, handle)?;
        self.take(summary::count_blocks(self, scope, &mut plan));
        Ok(plan)
    }

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        if !scope.query.looks_at_labels_only() {
            return staged::read(self, scope, plan, index).map(|found| self.take(found));
        }
        let streams = plan.streams_of(scope, index)?;
        let mut table = Table::default();
        let is_counted = plan.selected().is_none()
            && summary::may_suffice(self, scope, plan)
            && summary::add_block(self, scope, plan, &streams, index, &mut table);
        if !is_counted {
            table = plain::read(self, scope, plan, &streams, index)?;
        }
        self.take(table);
        Ok(())
    }
}
