//! Which samples has a leaf so far? Shared by the threads that look for more.

use super::keys::Kept;
use super::series::{Keeping, Table};
use crate::error::QueryError;
use crate::metric::steps::{Buckets, Steps, Windows};
use crate::metric::{Leaf, Matrix};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_logql::ast::{RangeAggregation, RangeOp};
use strandline_model::TimeRange;

/// What a line counts for, if no label is unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// One.
    Lines,
    /// Its bytes.
    Bytes,
}

/// Collects the samples of a leaf.
#[derive(Debug)]
pub(crate) struct SampleSink {
    pub(super) aggregation: RangeAggregation,
    pub(super) kept: Kept,
    pub(super) keeping: Keeping,
    pub(super) measure: Measure,
    pub(super) table: Mutex<Table>,
    pub(super) bytes: AtomicUsize,
    pub(super) failure: Mutex<Option<QueryError>>,
    /// Whether there was one.
    pub(super) failed: AtomicBool,
}

impl SampleSink {
    /// A sink for a leaf, evaluated at `steps`.
    pub(crate) fn new(leaf: &Leaf<'_>, steps: Steps) -> Self {
        let aggregation = leaf.aggregation.clone();
        let windows = Windows::new(steps, aggregation.range_ns, aggregation.offset_ns);
        let measure = match aggregation.op {
            RangeOp::Bytes | RangeOp::BytesRate => Measure::Bytes,
            _ => Measure::Lines,
        };
        Self {
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

    pub(super) fn take(&self, found: Table) {
        if found.is_empty() {
            return;
        }
        let mut table = self.table.lock();
        table.append(&self.keeping, found);
        self.bytes.store(table.bytes(), Ordering::Relaxed);
    }

    /// Ends the query; the first reason stands.
    pub(super) fn fail(&self, reason: impl FnOnce() -> QueryError) {
        let mut failure = self.failure.lock();
        if failure.is_none() && !self.failed.swap(true, Ordering::Relaxed) {
            *failure = Some(reason());
        }
    }

    pub(super) fn has_failed(&self) -> bool {
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
