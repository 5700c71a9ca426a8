//! Metric queries: the samples of one range aggregation, read from heads and blocks and kept by series.

mod heads;
mod keys;
mod plain;
mod series;
mod staged;

use crate::error::QueryError;
use crate::execute::Sink;
use crate::metric::steps::{Buckets, Steps, Windows};
use crate::metric::{Leaf, Matrix};
use crate::plan::SegmentPlan;
use crate::scope::Scope;
use keys::Kept;
use parking_lot::Mutex;
use series::{Keeping, Table};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_logql::ast::{RangeAggregation, RangeOp};
use strandline_model::TimeRange;
use strandline_store::head::Head;
use strandline_store::{Engine, StoreError};

/// What a line counts for, if no label is unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// One.
    Lines,
    /// Its bytes.
    Bytes,
}

/// Collects the samples of a leaf.
#[derive(Debug)]
pub(crate) struct SampleSink {
    engine: Arc<Engine>,
    aggregation: RangeAggregation,
    kept: Kept,
    keeping: Keeping,
    measure: Measure,
    table: Mutex<Table>,
    bytes: AtomicUsize,
    failure: Mutex<Option<QueryError>>,
    /// Whether there was one.
    failed: AtomicBool,
}

impl SampleSink {
    /// A sink for a leaf, evaluated at `steps`.
    pub(crate) fn new(engine: &Arc<Engine>, leaf: &Leaf<'_>, steps: Steps) -> Self {
        let aggregation = leaf.aggregation.clone();
        let windows = Windows::new(steps, aggregation.range_ns, aggregation.offset_ns);
        let measure = match aggregation.op {
            RangeOp::Bytes | RangeOp::BytesRate => Measure::Bytes,
            _ => Measure::Lines,
        };
        Self {
            engine: Arc::clone(engine),
            kept: Kept::new(leaf.grouping.clone()),
            keeping: Keeping::new(Buckets::new(windows), leaf.reduction()),
            measure,
            aggregation,
            table: Mutex::default(),
            bytes: AtomicUsize::new(0),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// The times that any window holds.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let span = self.keeping.buckets.windows().span()?;
        Some(TimeRange::new(*span.start(), span.end().saturating_add(1)))
    }

    fn take(&self, found: Table) {
        if found.is_empty() {
            return;
        }
        let mut table = self.table.lock();
        table.append(&self.keeping, found);
        self.bytes.store(table.bytes(), Ordering::Relaxed);
    }

    /// Ends the query; the first reason stands.
    fn fail(&self, reason: impl FnOnce() -> QueryError) {
        let mut failure = self.failure.lock();
        if failure.is_none() && !self.failed.swap(true, Ordering::Relaxed) {
            *failure = Some(reason());
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// The points of all series; `over` says that nobody waits for them any more, `hold` takes memory for them.
    pub(crate) fn finish(
        &self,
        hold: &dyn Fn(usize) -> Result<(), QueryError>,
        over: &dyn Fn() -> bool,
    ) -> Result<Matrix, QueryError> {
        let table = std::mem::take(&mut *self.table.lock());
        table.into_matrix(&self.keeping, &self.aggregation, hold, over)
    }
}

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
