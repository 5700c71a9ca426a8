//! Metric queries: the samples of one range aggregation, read from heads and blocks and kept by series.

mod collected;
mod heads;
mod keys;
mod plain;
mod series;
mod staged;

use crate::error::QueryError;
use crate::execute::Sink;
use crate::plan::SegmentPlan;
use crate::scope::Scope;
pub(crate) use collected::SampleSink;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_store::StoreError;
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

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        let found = match scope.query.looks_at_labels_only() {
            true => plain::read(self, scope, plan, index),
            false => staged::read(self, scope, plan, index),
        };
        found.map(|found| self.take(found))
    }
}
