//! Metric queries: each leaf of the expression is read by a run of its own, the rest is computed from what comes back.

use crate::cancel::CancelFlag;
use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::execute::Execution;
use crate::explain::Read;
use crate::language::MetricQuery;
use crate::memory::{Held, QueryMemory, WRITTEN_BYTES};
use crate::metric::{Budget, EvalError, Leaf, Matrix, Steps, Value, evaluate};
use crate::pool::{self, Work};
use crate::reader::Reader;
use crate::request::MetricRequest;
use crate::result::MetricResult;
use crate::samples::SampleSink;
use crate::slot::Slot;
use crate::stats::QueryStats;
use std::sync::Arc;
use strandline_model::TimeRange;

/// What the parts of one metric query have in common.
struct Evaluation<'a> {
    engine: &'a QueryEngine,
    reader: &'a Reader,
    query: &'a MetricQuery,
    deadline: &'a Deadline,
    memory: &'a Arc<QueryMemory>,
    stats: &'a mut QueryStats,
    warnings: Vec<String>,
    /// The leaves that were read: they come in the query's order.
    reads: Vec<Read>,
}

impl QueryEngine {
    /// Computes numbers from log lines in a slot of the request. Blocks the calling thread.
    pub fn metrics_in(&self, slot: &Slot, request: &MetricRequest) -> Result<MetricResult, QueryError> {
        self.metrics_begun(slot, slot.deadline(), request, || ())
    }

    /// As [`Self::metrics_in`], waiting for a slot first.
    pub fn metrics(&self, request: &MetricRequest) -> Result<MetricResult, QueryError> {
        self.metrics_in(&self.slot(&request.reader, &CancelFlag::default())?, request)
    }

    pub(crate) fn metrics_begun(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        request: &MetricRequest,
        begun: impl Fn(),
    ) -> Result<MetricResult, QueryError> {
        self.counted(slot, deadline, |stats| {
            begun();
            let series = request.max_series.filter(|_| !request.cut_series);
            let budget = Budget { bytes: self.config().max_memory_bytes, series };
            let mut evaluation = Evaluation {
                engine: self,
                reader: &request.reader,
                query: &request.query,
                deadline,
                memory: slot.memory(),
                stats,
                warnings: Vec::new(),
                reads: Vec::new(),
            };
            let steps = request.steps;
            let mut read = |leaf: &Leaf<'_>, bytes: usize| evaluation.read(leaf, steps, bytes);
            let memory = slot.memory();
            let go_on = |bytes| memory.hold(bytes).and(deadline.passed().map_or(Ok(()), Err));
            let mut value = evaluate(request.query.expr(), &steps, &budget, &go_on, &mut read)?;
            let (mut warnings, reads) = (evaluation.warnings, evaluation.reads);
            warnings.extend(cut(&mut value, request.max_series));
            warnings.sort_unstable();
            warnings.dedup();
            stats.entries = match &value {
                Value::Scalar(_) => 1,
                Value::Matrix(matrix) => matrix.series.iter().map(|s| s.points.len() as u64).sum(),
            };
            // What the answer was made from is gone; what is written of a long one needs some.
            memory.keep(memory.bytes().min(value.bytes().saturating_add(WRITTEN_BYTES)));
            let held = Held::of(memory);
            Ok(MetricResult { value, stats: QueryStats::default(), warnings, reads, held })
        })
    }
}

/// Cuts an answer with more series than are allowed, and says so.
fn cut(value: &mut Value, max_series: Option<usize>) -> Option<String> {
    let (Value::Matrix(matrix), Some(max)) = (value, max_series) else { return None };
    let all = matrix.series.len();
    matrix.series.truncate(max);
    (all > max).then(|| format!("{max} of {all} series are shown (limits.max_series_per_query)"))
}

impl Evaluation<'_> {
    fn read(&mut self, leaf: &Leaf<'_>, steps: Steps, bytes: usize) -> Result<Matrix, QueryError> {
        let query = self.query.leaf(self.reads.len()).ok_or(QueryError::Internal)?;
        let sink = Arc::new(SampleSink::new(leaf, steps));
        let Some(range) = sink.range().map(|range| self.engine.seen_by(self.reader, range)) else {
            self.reads.push(Read::for_numbers(query, TimeRange::new(0, 0)));
            return Ok(Matrix::default());
        };
        let mut read = Read::for_numbers(query, range);
        let other_bytes = self.engine.config().max_memory_bytes.saturating_sub(bytes);
        // All tenants' samples go into one table: what is summed over tenants is summed here.
        for part in self.reader.parts(query.selector()) {
            let mut scope = self.engine.scope(part, query, range, self.deadline.clone(), self.memory);
            scope.max_bytes = bytes;
            scope.other_bytes = other_bytes;
            let execution = Arc::new(Execution::new(scope, Arc::clone(&sink)));
            self.engine.pool().offer(Arc::clone(&execution) as Arc<dyn Work>);
            self.warnings.extend(execution.wait()?);
            read.stats.add(&execution.scope.counters.snapshot());
        }
        self.stats.add(&read.stats);
        self.reads.push(read);
        let over = || {
            pool::yield_slot(self.deadline.clock.monotonic_ns());
            self.deadline.passed().is_some()
        };
        let hold = |series: usize| match series > bytes {
            true => Err(EvalError::TooManyBytes(bytes).into()),
            false => self.memory.hold(series.saturating_add(other_bytes)),
        };
        let matrix = sink.finish(&hold, &over)?;
        self.deadline.passed().map_or(Ok(matrix), Err)
    }
}
