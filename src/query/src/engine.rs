//! Where does a question go in, and the answer come out?

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::execute::Execution;
use crate::explain::Read;
use crate::fair_slots::{FairSlots, SlotBounds};
use crate::language::LogQuery;
use crate::logs::{self, LogSink, Outcome};
use crate::memory::{Held, QueryMemory};
use crate::pool::{Pool, Work};
use crate::reader::{Part, Reader};
use crate::request::{CancelFlag, Direction, LogRequest};
use crate::result::{Answer, LogResult, MetricResult};
use crate::scope::{Gathered, Scope};
use crate::singleflight::Singleflight;
use crate::slot::{Queue, Slot};
use crate::stats::{self, Counters, QueryStats};
use crate::tail::{Hub, HubThread};
use std::sync::Arc;
use strandline_model::memory::Class;
use strandline_model::time::SECOND_NS;
use strandline_model::{Clock, MemoryBudget, TimeRange};
use strandline_store::{Engine, LookupLimits};

/// With at most this many selected streams, segments are asked for each instead of for all they have.
const FEW_STREAMS: usize = 64;

/// What a long answer takes while it is sent, beside itself.
pub(crate) const WRITTEN_BYTES: usize = 768 << 10;

/// Lookups that run at once for each of the threads: they read what is in memory, mostly.
const LOOKUPS_PER_THREAD: usize = 4;
/// So many tenants can have full queues at once.
const QUEUED_TENANTS: usize = 4;

/// A log answer's entries and what is made of them are in memory together.
const LOG_ANSWER_COPIES: usize = 2;

/// Settings of the query engine.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// `query.threads`: threads that scan; 0 is one per core.
    pub threads: usize,
    /// `query.timeout` (ns): time after which a query is given up, waiting included.
    pub timeout_ns: i64,
    /// `query.max_concurrent`: queries that run at once, more wait; 0 is twice the threads. A tenant of which none runs may
    /// start one beyond it, up to twice as many in all.
    pub max_concurrent: usize,
    /// `query.max_queued`: queries of one tenant that wait; more are refused. Of all tenants, four times as many may.
    pub max_queued: usize,
    /// `query.max_memory` (bytes): most that one query may hold for its answer.
    pub max_memory_bytes: usize,
    /// What all requests of the process may hold together: classes `Query` and `Tail` are for what happens here.
    pub memory: MemoryBudget,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            timeout_ns: 60 * SECOND_NS,
            max_concurrent: 0,
            max_queued: 512,
            max_memory_bytes: 256 << 20,
            memory: MemoryBudget::unlimited(),
        }
    }
}

/// Answers queries over a store.
#[derive(Debug)]
pub struct QueryEngine {
    engine: Arc<Engine>,
    config: QueryConfig,
    queries: FairSlots,
    lookups: FairSlots,
    pool: Pool,
    pub(crate) shared_logs: Singleflight<LogResult>,
    pub(crate) shared_metrics: Singleflight<MetricResult>,
    tails: HubThread,
}

/// The entries of an answer, before the stages that are best run over the answer alone.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) outcome: Outcome,
    /// How they were found, if there was anything to look for.
    execution: Option<Arc<Execution<Arc<LogSink>>>>,
    direction: Direction,
}

impl Collected {
    /// The entries as the query shows them.
    pub(crate) fn shown(mut self) -> Result<Outcome, QueryError> {
        if let Some(execution) = &self.execution
            && execution.scope.query.is_deferred()
            && !execution.scope.query.is_plain()
        {
            logs::staged::apply(&execution.scope, &mut self.outcome.found, self.direction)?;
        }
        Ok(self.outcome)
    }
}

/// Counts a query as running while it lives.
struct Running;

impl Running {
    fn new() -> Self {
        metrics::gauge!("strandline_queries_running").increment(1.0);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!("strandline_queries_running").decrement(1.0);
    }
}

impl QueryEngine {
    /// Starts the threads.
    pub fn new(engine: Arc<Engine>, config: QueryConfig) -> std::io::Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if config.threads == 0 { cores() } else { config.threads };
        let inside = if config.max_concurrent == 0 { 2 * threads } else { config.max_concurrent };
        let rules = |running| SlotBounds {
            running,
            running_of_idle_tenants: 2 * running,
            waiting_of_tenant: config.max_queued,
            waiting: QUEUED_TENANTS * config.max_queued,
        };
        let (queries, lookups) =
            (FairSlots::new(rules(inside)), FairSlots::new(rules(threads * LOOKUPS_PER_THREAD)));
        let pool = Pool::start(threads)?;
        let (shared_logs, shared_metrics) = Default::default();
        let tails = HubThread::start(&engine, &config.memory)?;
        Ok(Self { engine, config, queries, lookups, pool, shared_logs, shared_metrics, tails })
    }

    /// The clock of the store.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.engine.clock()
    }

    /// How long a query may take (ns).
    pub fn timeout_ns(&self) -> i64 {
        self.config.timeout_ns
    }

    /// Why the store takes no writes at the moment, if so.
    pub fn read_only(&self) -> Option<String> {
        self.engine.read_only()
    }

    /// What the store failed to do in the background and tries again, and what it has lost, in words that name no tenant.
    pub fn store_troubles(&self) -> Vec<String> {
        let lost = self.engine.losses().into_iter().map(|loss| format!("lost: {}", loss.without_names()));
        self.engine.background_failures().into_iter().chain(lost).collect()
    }

    /// Finds log lines in a slot of the request. Blocks the calling thread; the work is done by the engine's own threads.
    pub fn logs_in(&self, slot: &Slot, request: &LogRequest) -> Result<LogResult, QueryError> {
        self.logs_begun(slot, slot.deadline(), request, || ())
    }

    /// As [`Self::logs_in`], waiting for a slot first.
    pub fn logs(&self, request: &LogRequest) -> Result<LogResult, QueryError> {
        self.logs_in(&self.slot(&request.reader, &CancelFlag::default())?, request)
    }

    pub(crate) fn logs_begun(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        request: &LogRequest,
        begun: impl Fn(),
    ) -> Result<LogResult, QueryError> {
        self.counted(slot, deadline, |stats| {
            begun();
            let whole = |error| match error {
                QueryError::TooLarge(part) => QueryError::TooLarge(part.saturating_mul(LOG_ANSWER_COPIES)),
                other => other,
            };
            let outcome = self.thinned(request, deadline, slot.memory(), stats).map_err(whole)?;
            stats.duplicates = outcome.duplicates;
            stats.entries = outcome.found.len() as u64;
            let streams = logs::group::streams(outcome.found, request.direction, request.categorize);
            // The entries that were collected are gone; what is written of a long answer needs some.
            let bytes = slot.memory().bytes();
            slot.memory().keep(bytes.min(bytes / LOG_ANSWER_COPIES + WRITTEN_BYTES));
            let held = Held::of(slot.memory());
            let read = Read { stats: *stats, ..Read::new(&request.query, request.range) };
            let (stats, warnings) = (QueryStats::default(), outcome.warnings);
            Ok(LogResult { streams, stats, warnings, reads: vec![read], held })
        })
    }

    /// Runs a query in its slot, measures it and counts how it ends. `deadline` is that of all who want its answer.
    pub(crate) fn counted<A: Answer>(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        run: impl FnMut(&mut QueryStats) -> Result<A, QueryError>,
    ) -> Result<A, QueryError> {
        let result = self.measured(slot, deadline, run);
        match &result {
            Ok(found) => count_answer(found),
            Err(error) => count_outcome(error),
        }
        result
    }

    /// Counts a query that has no answer and did not run.
    pub fn count_outcome(&self, error: &QueryError) {
        count_outcome(error);
    }

    fn measured<A: Answer>(
        &self,
        slot: &Slot,
        deadline: &Deadline,
        mut run: impl FnMut(&mut QueryStats) -> Result<A, QueryError>,
    ) -> Result<A, QueryError> {
        let clock = self.engine.clock();
        let _running = Running::new();
        let begun = clock.monotonic_ns();
        let fresh = || QueryStats { queue_ns: slot.queue_ns, ..QueryStats::default() };
        let mut stats = fresh();
        let mut result = run(&mut stats);
        let mut bytes = stats.bytes();
        let most = self.config.memory.most(Class::Query);
        // Each time with twice as much in hand, so this ends.
        while let Err(QueryError::Memory(error)) = result {
            if let Err(error) = slot.memory().start_over(error, most, deadline) {
                result = Err(error);
                break;
            }
            // The answer tells of the run that it comes from.
            stats = fresh();
            result = run(&mut stats);
            bytes += stats.bytes();
        }
        stats.exec_ns = clock.monotonic_ns() - begun;
        // Counted for failed queries and runs too: their work was done.
        metrics::counter!("strandline_query_bytes_total").increment(bytes);
        metrics::counter!("strandline_query_exec_ns_total").increment(stats.exec_ns.max(0) as u64);
        result.map(|answer| answer.with_stats(stats))
    }

    /// Requests that make or wait for an answer that several may share.
    pub fn sharing(&self) -> usize {
        self.shared_logs.sharing() + self.shared_metrics.sharing()
    }

    /// Requests that wait for a slot.
    pub fn waiting(&self, queue: Queue) -> usize {
        self.slots(queue).waiting()
    }

    /// The slots of a kind of request.
    pub(crate) fn slots(&self, queue: Queue) -> &FairSlots {
        match queue {
            Queue::Query => &self.queries,
            Queue::Lookup => &self.lookups,
        }
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The settings.
    pub(crate) fn config(&self) -> &QueryConfig {
        &self.config
    }

    /// The tails.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.tails.hub()
    }

    /// The threads.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Runs the query, more than once if entries are to keep a distance: where they lie close, the next one is behind
    /// any limit that a single run could have.
    fn thinned(
        &self,
        request: &LogRequest,
        deadline: &Deadline,
        memory: &Arc<QueryMemory>,
        stats: &mut QueryStats,
    ) -> Result<Outcome, QueryError> {
        let mut all = self.run(request, request.range, request.limit, deadline, memory, stats)?;
        if request.interval_ns <= 0 {
            return Ok(all);
        }
        let mut kept = Vec::new();
        let mut range = request.range;
        loop {
            let page = std::mem::take(&mut all.found);
            let more = page.len() >= request.limit;
            for found in page {
                let ts = request.direction.ts(found.key);
                if kept.len() < request.limit && range.contains(ts) {
                    range = beyond(range, request.direction, ts, request.interval_ns);
                    kept.push(found);
                }
            }
            if !more || kept.len() >= request.limit {
                all.found = kept;
                return Ok(all);
            }
            let next = self.run(request, range, request.limit, deadline, memory, stats)?;
            all.found = next.found;
            all.duplicates += next.duplicates;
            all.warnings.extend(next.warnings);
            all.warnings.sort_unstable();
            all.warnings.dedup();
        }
    }

    fn run(
        &self,
        request: &LogRequest,
        range: TimeRange,
        limit: usize,
        deadline: &Deadline,
        memory: &Arc<QueryMemory>,
        stats: &mut QueryStats,
    ) -> Result<Outcome, QueryError> {
        self.collect(request, range, limit, deadline, memory, stats)?.shown()
    }

    /// Finds the entries of an answer.
    pub(crate) fn collect(
        &self,
        request: &LogRequest,
        range: TimeRange,
        limit: usize,
        deadline: &Deadline,
        memory: &Arc<QueryMemory>,
        stats: &mut QueryStats,
    ) -> Result<Collected, QueryError> {
        let range = self.seen_by(&request.reader, range);
        let direction = request.direction;
        let mut collected = Collected { outcome: Outcome::default(), execution: None, direction };
        if limit == 0 || range.start >= range.end {
            return Ok(collected);
        }
        // One list of the best entries for all tenants: what one has makes the others' older entries superfluous.
        let sink = Arc::new(LogSink::new(limit, direction));
        for part in request.reader.parts(request.query.selector()) {
            let mut scope = self.scope(part, &request.query, range, deadline.clone(), memory);
            // The other part is for the answer that is made of the entries.
            scope.max_bytes /= LOG_ANSWER_COPIES;
            scope.copies = LOG_ANSWER_COPIES;
            let execution = Arc::new(Execution::new(scope, Arc::clone(&sink)));
            self.pool.offer(Arc::clone(&execution) as Arc<dyn Work>);
            collected.outcome.warnings.extend(execution.wait()?);
            stats.add(&execution.scope.counters.snapshot());
            collected.execution = Some(execution);
        }
        (collected.outcome.found, collected.outcome.duplicates) = sink.finish();
        Ok(collected)
    }

    /// The part of `range` that the reader may look back to (`limits.max_query_lookback`).
    pub(crate) fn seen_by(&self, reader: &Reader, mut range: TimeRange) -> TimeRange {
        let lookback_ns = reader.rules().limits.max_query_lookback_ns;
        if lookback_ns > 0 {
            range.start = range.start.max(self.engine.clock().now_ns().saturating_sub(lookback_ns));
            range.end = range.end.max(range.start);
        }
        range
    }

    /// What is there to read for a query.
    pub(crate) fn scope(
        &self,
        part: Part,
        query: &LogQuery,
        range: TimeRange,
        deadline: Deadline,
        memory: &Arc<QueryMemory>,
    ) -> Scope {
        let view = self.engine.view(&part.tenant, range);
        let few = match view.segments.len() {
            0 => None,
            _ => {
                // Without an answer in time the query ends by itself.
                let stop = || deadline.passed().is_some();
                let limits = LookupLimits { stop: &stop, max_bytes: usize::MAX };
                self.engine
                    .lookup(&part.tenant, range, &part.selector, limits)
                    .few(FEW_STREAMS)
                    .ok()
                    .flatten()
            }
        };
        let few = few.map(|mut few| {
            few.sort_unstable();
            few.into_iter().map(Arc::new).collect()
        });
        let counters = Counters::default();
        stats::count(&counters.segments_considered, view.segments.len() as u64);
        Scope {
            part,
            query: query.clone(),
            range,
            view,
            few,
            counters,
            deadline,
            wall_ns: self.engine.clock().now_ns(),
            max_units: self.pool.slots(),
            max_bytes: self.config.max_memory_bytes,
            memory: Arc::clone(memory),
            other_bytes: 0,
            copies: 1,
            gathered: Gathered::default(),
        }
    }
}

/// Counts a query that has an answer.
pub(crate) fn count_answer(answer: &impl Answer) {
    count(if answer.warnings().is_empty() { "ok" } else { "incomplete" });
}

/// Counts a query that has none.
pub(crate) fn count_outcome(error: &QueryError) {
    count(match error {
        QueryError::Cancelled => "cancelled",
        QueryError::TimedOut => "timed_out",
        QueryError::QueueFull(_) => "refused",
        _ => "failed",
    });
}

fn count(outcome: &'static str) {
    metrics::counter!("strandline_queries_total", "outcome" => outcome).increment(1);
}

/// What is left of `range` beyond an entry at `ts`, at least `interval_ns` away from it.
fn beyond(mut range: TimeRange, direction: Direction, ts: i64, interval_ns: i64) -> TimeRange {
    match direction {
        Direction::Forward => range.start = ts.saturating_add(interval_ns),
        Direction::Backward => range.end = ts.saturating_sub(interval_ns).saturating_add(1),
    }
    range
}
