//! Metric queries: each leaf of the expression is read by a run of its own, the rest is computed from what comes back.

use crate::engine::{Deadline, QueryEngine};
use crate::error::QueryError;
use crate::execute::Run;
use crate::language::MetricQuery;
use crate::metric::{Budget, Leaf, Matrix, Steps, Value, evaluate};
use crate::pool::Work;
use crate::request::MetricRequest;
use crate::result::MetricResult;
use crate::samples::SampleSink;
use crate::stats::QueryStats;
use std::sync::Arc;
use strandline_model::TenantId;

/// What the parts of one metric query have in common.
struct Evaluation<'a> {
    engine: &'a QueryEngine,
    tenant: &'a TenantId,
    query: &'a MetricQuery,
    deadline: &'a Deadline,
    stats: &'a mut QueryStats,
    warnings: Vec<String>,
    /// Leaves that were read: they come in the query's order.
    read: usize,
}

impl QueryEngine {
    /// Computes numbers from log lines. Blocks the calling thread.
    pub fn metrics(&self, request: &MetricRequest) -> Result<MetricResult, QueryError> {
        self.counted(&request.cancel, |deadline, stats| {
            let budget = Budget { bytes: self.config().max_result_bytes, series: request.max_series };
            let mut evaluation = Evaluation {
                engine: self,
                tenant: &request.tenant,
                query: &request.query,
                deadline,
                stats,
                warnings: Vec::new(),
                read: 0,
            };
            let steps = request.steps;
            let mut read = |leaf: &Leaf<'_>, bytes: usize| evaluation.read(leaf, steps, bytes);
            let value = evaluate(request.query.expr(), &steps, &budget, &mut read)?;
            let mut warnings = evaluation.warnings;
            warnings.sort_unstable();
            warnings.dedup();
            stats.entries = match &value {
                Value::Scalar(_) => 1,
                Value::Matrix(matrix) => matrix.series.iter().map(|s| s.points.len() as u64).sum(),
            };
            Ok(MetricResult { value, stats: QueryStats::default(), warnings })
        })
    }
}

impl Evaluation<'_> {
    fn read(&mut self, leaf: &Leaf<'_>, steps: Steps, bytes: usize) -> Result<Matrix, QueryError> {
        let query = self.query.leaf(self.read).ok_or(QueryError::Internal)?;
        self.read += 1;
        let sink = SampleSink::new(self.engine.store(), leaf, steps);
        let Some(range) = sink.range() else { return Ok(Matrix::default()) };
        let mut scope = self.engine.scope(self.tenant, query, range, self.deadline.clone());
        scope.max_bytes = bytes;
        let run = Arc::new(Run::new(scope, sink));
        self.engine.pool().offer(Arc::clone(&run) as Arc<dyn Work>);
        self.warnings.extend(run.wait()?);
        self.stats.add(&run.scope.counters.snapshot());
        Ok(run.sink.finish())
    }
}
