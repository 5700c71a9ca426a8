//! How does a query run? Its units are taken, most promising first, by the threads of the pool, until none is left
//! that could change the answer.

use crate::error::QueryError;
use crate::frontier::{Frontier, Unit};
use crate::plan::{self, SegmentPlan};
use crate::pool::{Work, WorkQueue};
use crate::scope::Scope;
use crate::stats::count;
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use strandline_model::{TenantId, TimeRange};
use strandline_store::engine::SegmentHandle;
use strandline_store::head::Head;
use strandline_store::{StoreError, View};

/// A waiting client's thread looks this often whether the query is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// What becomes of the data that a run looks at.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Units with a lower key need not be looked at any more.
    fn bound(&self) -> i64 {
        i64::MIN
    }

    /// The best key of an entry inside `range` with a timestamp in `time`.
    fn best_key(&self, _range: TimeRange, _time: (i64, i64)) -> i64 {
        0
    }

    /// Bytes held.
    fn bytes(&self) -> usize;

    /// Why the answer cannot be had, if so.
    fn failure(&self) -> Option<QueryError> {
        None
    }

    /// Looks at a head; `source` is its place behind the view's segments.
    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError>;

    /// Looks at a segment: what of it is left to be looked at block by block.
    fn segment(
        &self,
        scope: &Scope,
        source: usize,
        handle: &Arc<SegmentHandle>,
    ) -> Result<SegmentPlan, StoreError> {
        plan::plan(scope, source, handle)
    }

    /// Looks at a block.
    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError>;
}

/// One sink may serve several executions, one after the other.
impl<S: Sink> Sink for Arc<S> {
    fn bound(&self) -> i64 {
        (**self).bound()
    }

    fn best_key(&self, range: TimeRange, time: (i64, i64)) -> i64 {
        (**self).best_key(range, time)
    }

    fn bytes(&self) -> usize {
        (**self).bytes()
    }

    fn failure(&self) -> Option<QueryError> {
        (**self).failure()
    }

    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        (**self).head(scope, source, head)
    }

    fn segment(
        &self,
        scope: &Scope,
        source: usize,
        handle: &Arc<SegmentHandle>,
    ) -> Result<SegmentPlan, StoreError> {
        (**self).segment(scope, source, handle)
    }

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        (**self).block(scope, plan, index)
    }
}

/// One execution of a query over a view. Shared by all threads that work on it.
#[derive(Debug)]
pub(crate) struct Execution<S> {
    pub(crate) scope: Scope,
    pub(crate) sink: S,
    frontier: Mutex<Frontier>,
    ended: Condvar,
}

impl<S: Sink> Execution<S> {
    /// An execution that hands what `scope` names to `sink`.
    pub(crate) fn new(scope: Scope, sink: S) -> Self {
        let frontier = Mutex::new(first_units(&scope.view, scope.range, &sink));
        for delete in &scope.view.deletes {
            if let Some(why) = delete.misunderstood() {
                let (number, query) = (delete.record().number, &delete.record().query);
                scope.damage.tell(format!(
                    "delete request {number:08x} is not understood any more and hides nothing: {query}: {why}"
                ));
            }
        }
        scope.view.warnings.iter().for_each(|warning| scope.damage.tell(warning.clone()));
        Self { scope, sink, frontier, ended: Condvar::new() }
    }

    fn reason_to_give_up(&self) -> Option<QueryError> {
        let failure = self.sink.failure().or_else(|| self.scope.take_failure());
        failure.or_else(|| self.scope.reason_to_give_up(self.sink.bytes()))
    }

    /// Waits for the end. Returns what the answer lacks.
    pub(crate) fn wait(&self) -> Result<Vec<String>, QueryError> {
        let mut frontier = self.frontier.lock();
        loop {
            if let Some(error) = frontier.failure.take() {
                return Err(error);
            }
            if frontier.is_done() {
                // The last unit may have found it, or have collected what nobody has counted yet.
                return match self.sink.failure().or_else(|| self.scope.take_failure()) {
                    Some(error) => Err(error),
                    None => self.scope.hold(self.sink.bytes()).map(|()| self.scope.damage.take_warnings()),
                };
            }
            if let Some(error) = self.reason_to_give_up() {
                frontier.clear();
                return Err(error);
            }
            self.ended.wait_for(&mut frontier, TICK);
        }
    }

    fn look_at(&self, unit: &Unit) -> Vec<(i64, Unit)> {
        match unit {
            Unit::Head(i) => {
                if let Some(head) = self.scope.view.heads.get(*i)
                    && let Err(error) = self.sink.head(&self.scope, self.scope.view.segments.len() + i, head)
                {
                    self.scope.damage.note(format_args!("lines in memory"), 0, (0, 0), &error);
                }
            }
            Unit::Segment(i) => return self.plan_segment(*i),
            Unit::Block(plan, index) => {
                if let Err(error) = self.sink.block(&self.scope, plan, *index) {
                    self.note_block(plan, *index, &error);
                }
            }
        }
        Vec::new()
    }

    fn plan_segment(&self, i: usize) -> Vec<(i64, Unit)> {
        let Some(handle) = self.scope.view.segments.get(i) else { return Vec::new() };
        match self.sink.segment(&self.scope, i, handle) {
            Ok(plan) => {
                let plan = Arc::new(plan);
                let key = |block: u32| {
                    let row = plan.table.blocks.get(block as usize);
                    row.map_or(i64::MAX, |row| self.sink.best_key(self.scope.range, row.time))
                };
                let unit = |block: &u32| (key(*block), Unit::Block(Arc::clone(&plan), *block));
                plan.blocks.iter().map(unit).collect()
            }
            Err(error) => {
                handle.note_damage(&error);
                let meta = handle.meta();
                self.scope.damage.note(format_args!("segment {}", meta.id), meta.rows, meta.time, &error);
                Vec::new()
            }
        }
    }

    fn note_block(&self, plan: &SegmentPlan, index: u32, error: &StoreError) {
        plan.handle.note_damage(error);
        let meta = plan.handle.meta();
        let row = plan.table.blocks.get(index as usize);
        let (rows, time) = row.map_or((meta.rows, meta.time), |row| (row.rows.into(), row.time));
        self.scope.damage.note(format_args!("block {index} of segment {}", meta.id), rows, time, error);
    }

    fn give_up(&self, frontier: &mut Frontier, error: QueryError) {
        frontier.clear();
        frontier.failure.get_or_insert(error);
    }
}

fn first_units(view: &View, range: TimeRange, sink: &impl Sink) -> Frontier {
    let mut frontier = Frontier::default();
    for i in 0..view.heads.len() {
        // Nothing is known of their times; the newest lines are most likely here.
        frontier.push(i64::MAX, Unit::Head(i));
    }
    for (i, handle) in view.segments.iter().enumerate() {
        frontier.push(sink.best_key(range, handle.meta().time), Unit::Segment(i));
    }
    frontier.offered = true;
    frontier
}

impl<S: Sink> Work for Execution<S> {
    fn tenant(&self) -> &TenantId {
        &self.scope.part.tenant
    }

    fn run_one(self: Arc<Self>, pool: &WorkQueue) {
        let unit = {
            let mut frontier = self.frontier.lock();
            frontier.offered = false;
            if let Some(error) = self.reason_to_give_up() {
                self.give_up(&mut frontier, error);
            }
            if frontier.running >= self.scope.max_units && frontier.failure.is_none() {
                // More threads of this one query would only keep those of others from being free.
                return;
            }
            let unit = frontier.take(self.sink.bound());
            if !frontier.is_empty() {
                frontier.offered = true;
                pool.offer(Arc::clone(&self) as Arc<dyn Work>);
            }
            unit
        };
        let Some(unit) = unit else {
            self.ended.notify_all();
            return;
        };
        let begun = self.scope.now_ns();
        metrics::gauge!("strandline_query_threads_busy").increment(1.0);
        let looked = catch_unwind(AssertUnwindSafe(|| self.look_at(&unit)));
        metrics::gauge!("strandline_query_threads_busy").decrement(1.0);
        let counters = &self.scope.counters;
        let spent = match unit {
            Unit::Head(_) => &counters.head_ns,
            Unit::Segment(_) => &counters.plan_ns,
            Unit::Block(..) => &counters.block_ns,
        };
        count(spent, self.scope.now_ns().saturating_sub(begun).max(0) as u64);
        // A plan holds its segment: let it go before the end is told, for the view's owner may drop it then.
        drop(unit);
        let mut frontier = self.frontier.lock();
        frontier.running -= 1;
        match looked {
            Ok(more) => more.into_iter().for_each(|(key, unit)| frontier.push(key, unit)),
            Err(_) => {
                tracing::error!("a query ended by a panic");
                self.give_up(&mut frontier, QueryError::Internal);
            }
        }
        if !frontier.is_empty() && !frontier.offered {
            frontier.offered = true;
            pool.offer(Arc::clone(&self) as Arc<dyn Work>);
        }
        if frontier.is_done() {
            self.ended.notify_all();
        }
    }

    fn fail(&self) {
        self.give_up(&mut self.frontier.lock(), QueryError::Internal);
        self.ended.notify_all();
    }
}
