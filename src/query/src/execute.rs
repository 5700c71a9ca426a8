//! How does a query run? Its units are taken, most promising first, by the threads of the pool, until none is left
//! that could change the answer.

use crate::damage::Damage;
use crate::engine::Deadline;
use crate::error::QueryError;
use crate::frontier::{Frontier, Unit};
use crate::language::LogQuery;
use crate::merge::{Best, Found};
use crate::plan::{self, SegmentPlan};
use crate::pool::{Queue, Work};
use crate::request::{Direction, LogRequest};
use crate::stats::Counters;
use crate::{heads, scan};
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use strandline_model::{Labels, TenantId, TimeRange};
use strandline_store::{StoreError, View};

/// A waiting client's thread looks this often whether the query is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// One run of a query over a view. Shared by all threads that work on it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) tenant: TenantId,
    pub(crate) query: LogQuery,
    pub(crate) range: TimeRange,
    pub(crate) limit: usize,
    pub(crate) direction: Direction,
    /// The selected streams of the segments, by label order, when they are few.
    pub(crate) few: Option<Vec<Arc<Labels>>>,
    pub(crate) counters: Counters,
    deadline: Deadline,
    max_bytes: usize,
    view: View,
    frontier: Mutex<Frontier>,
    ended: Condvar,
    best: Mutex<Best>,
    /// Copies of what `best` says, to be read without its lock.
    bound: AtomicI64,
    bytes: AtomicUsize,
    damage: Damage,
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) found: Vec<Found>,
    pub(crate) duplicates: u64,
    pub(crate) warnings: Vec<String>,
}

impl Run {
    /// A run of `request` over `view`; `few` are the selected streams, if they are known to be few.
    pub(crate) fn new(
        request: &LogRequest,
        range: TimeRange,
        limit: usize,
        view: View,
        few: Option<Vec<Labels>>,
        (deadline, max_bytes): (Deadline, usize),
    ) -> Self {
        let few = few.map(|mut few| {
            few.sort_unstable();
            few.into_iter().map(Arc::new).collect()
        });
        Self {
            tenant: request.tenant.clone(),
            query: request.query.clone(),
            range,
            limit,
            direction: request.direction,
            few,
            counters: Counters::default(),
            deadline,
            max_bytes,
            frontier: Mutex::new(first_units(&view, range, request.direction)),
            view,
            ended: Condvar::new(),
            best: Mutex::new(Best::new(limit, request.direction)),
            bound: AtomicI64::new(i64::MIN),
            bytes: AtomicUsize::new(0),
            damage: Damage::default(),
        }
    }

    /// Entries with a lower key are not wanted any more.
    pub(crate) fn bound(&self) -> i64 {
        self.bound.load(Ordering::Relaxed)
    }

    /// The part of the range in which entries can reach `bound`.
    pub(crate) fn range_within(&self, bound: i64) -> TimeRange {
        let mut range = self.range;
        if bound > i64::MIN {
            let ts = self.direction.ts(bound);
            match self.direction {
                Direction::Backward => range.start = range.start.max(ts),
                Direction::Forward => range.end = range.end.min(ts.saturating_add(1)),
            }
        }
        range
    }

    /// Takes entries that passed.
    pub(crate) fn take(&self, found: Vec<Found>) {
        if found.is_empty() {
            return;
        }
        let mut best = self.best.lock();
        best.add(found);
        self.bound.store(best.bound(), Ordering::Relaxed);
        self.bytes.store(best.bytes(), Ordering::Relaxed);
    }

    /// Whether the answer is not wanted any more, or cannot be had.
    pub(crate) fn is_given_up(&self) -> bool {
        self.reason_to_give_up().is_some()
    }

    fn reason_to_give_up(&self) -> Option<QueryError> {
        if self.bytes.load(Ordering::Relaxed) > self.max_bytes {
            return Some(QueryError::TooLarge(self.max_bytes));
        }
        self.deadline.passed()
    }

    /// Waits for the end.
    pub(crate) fn wait(self: &Arc<Self>) -> Result<(), QueryError> {
        let mut frontier = self.frontier.lock();
        loop {
            if let Some(error) = frontier.failure.take() {
                return Err(error);
            }
            if frontier.is_done() {
                return Ok(());
            }
            if let Some(error) = self.reason_to_give_up() {
                frontier.clear();
                return Err(error);
            }
            self.ended.wait_for(&mut frontier, TICK);
        }
    }

    /// The answer, once the run has ended.
    pub(crate) fn into_outcome(self: Arc<Self>) -> Outcome {
        // A thread may still hold the run for a moment after it reported its last unit.
        let empty = Best::new(0, self.direction);
        let (found, duplicates) = std::mem::replace(&mut *self.best.lock(), empty).finish();
        Outcome { found, duplicates, warnings: self.damage.take_warnings() }
    }

    fn look_at(&self, unit: &Unit) -> Vec<(i64, Unit)> {
        match unit {
            Unit::Head(i) => {
                if let Some(head) = self.view.heads.get(*i) {
                    heads::scan(self, self.view.segments.len() + i, head);
                }
            }
            Unit::Segment(i) => return self.plan_segment(*i),
            Unit::Block(plan, index) => self.scan_block(plan, *index),
        }
        Vec::new()
    }

    fn plan_segment(&self, i: usize) -> Vec<(i64, Unit)> {
        let Some(handle) = self.view.segments.get(i) else { return Vec::new() };
        match plan::plan(self, i, handle) {
            Ok(plan) => {
                let plan = Arc::new(plan);
                let key = |block: u32| {
                    let row = plan.table.blocks.get(block as usize);
                    row.map_or(i64::MAX, |row| self.best_key(row.time))
                };
                let unit = |block: &u32| (key(*block), Unit::Block(Arc::clone(&plan), *block));
                plan.blocks.iter().map(unit).collect()
            }
            Err(error) => {
                handle.note_damage(&error);
                let meta = handle.meta();
                self.damage.note(format_args!("segment {}", meta.id), meta.rows, meta.time, &error);
                Vec::new()
            }
        }
    }

    fn scan_block(&self, plan: &Arc<SegmentPlan>, index: u32) {
        match scan::scan(self, plan, index, self.bound()) {
            Ok(found) => self.take(found),
            Err(error) => self.note_block(plan, index, &error),
        }
    }

    fn note_block(&self, plan: &SegmentPlan, index: u32, error: &StoreError) {
        plan.handle.note_damage(error);
        let meta = plan.handle.meta();
        let row = plan.table.blocks.get(index as usize);
        let (rows, time) = row.map_or((meta.rows, meta.time), |row| (row.rows.into(), row.time));
        self.damage.note(format_args!("block {index} of segment {}", meta.id), rows, time, error);
    }

    fn best_key(&self, time: (i64, i64)) -> i64 {
        best_key(self.range, self.direction, time)
    }

    fn give_up(&self, frontier: &mut Frontier, error: QueryError) {
        frontier.clear();
        frontier.failure.get_or_insert(error);
    }
}

/// The best key of an entry inside `range` with a timestamp in `time`.
fn best_key(range: TimeRange, direction: Direction, (first, last): (i64, i64)) -> i64 {
    direction.best_key((first.max(range.start), last.min(range.end.saturating_sub(1))))
}

fn first_units(view: &View, range: TimeRange, direction: Direction) -> Frontier {
    let mut frontier = Frontier::default();
    for i in 0..view.heads.len() {
        // Nothing is known of their times; the newest lines are most likely here.
        frontier.push(i64::MAX, Unit::Head(i));
    }
    for (i, handle) in view.segments.iter().enumerate() {
        frontier.push(best_key(range, direction, handle.meta().time), Unit::Segment(i));
    }
    frontier.offered = true;
    frontier
}

impl Work for Run {
    fn run_one(self: Arc<Self>, pool: &Queue) {
        let unit = {
            let mut frontier = self.frontier.lock();
            frontier.offered = false;
            if let Some(error) = self.reason_to_give_up() {
                self.give_up(&mut frontier, error);
            }
            let unit = frontier.take(self.bound());
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
        let looked = catch_unwind(AssertUnwindSafe(|| self.look_at(&unit)));
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
}
