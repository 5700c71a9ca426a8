//! What do all queries have in common? The storage that they read, the slots that they wait for, and the threads that work.
//!
//! Questions go in by methods in the files of what is asked: `log_query`, `metric_query`, `lookup`, `volume`, `patterns`,
//! `detected`, `tail`. `queueing` is where they wait.

use crate::config::QueryConfig;
use crate::damage::Damage;
use crate::deadline::Deadline;
use crate::fair_slots::{FairSlots, SlotBounds};
use crate::language::LogQuery;
use crate::memory::QueryMemory;
use crate::pool::Pool;
use crate::reader::{Part, Reader};
use crate::result::{LogResult, MetricResult};
use crate::scope::{Gathered, Scope};
use crate::singleflight::Singleflight;
use crate::slot::Queue;
use crate::stats::{self, Counters};
use crate::storage::{Selection, Storage};
use crate::tail::{Hub, HubThread};
use std::sync::Arc;
use strandline_model::{Clock, TimeRange};
use strandline_store::LookupLimits;

/// With at most this many selected streams, segments are asked for each instead of for all they have.
const FEW_STREAMS: usize = 64;

/// Lookups that run at once for each of the threads: they read what is in memory, mostly.
const LOOKUPS_PER_THREAD: usize = 4;
/// So many tenants can have full queues at once.
const QUEUED_TENANTS: usize = 4;

/// Answers queries over a storage.
#[derive(Debug)]
pub struct QueryEngine {
    storage: Arc<dyn Storage>,
    config: QueryConfig,
    queries: FairSlots,
    lookups: FairSlots,
    pool: Pool,
    pub(crate) shared_logs: Singleflight<LogResult>,
    pub(crate) shared_metrics: Singleflight<MetricResult>,
    tails: HubThread,
}

impl QueryEngine {
    /// Starts the threads.
    pub fn new(storage: Arc<dyn Storage>, config: QueryConfig) -> std::io::Result<Self> {
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
        let tails = HubThread::start(storage.as_ref(), &config.memory)?;
        Ok(Self { storage, config, queries, lookups, pool, shared_logs, shared_metrics, tails })
    }

    /// The clock of the storage.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.storage.clock()
    }

    /// How long a query may take (ns).
    pub fn timeout_ns(&self) -> i64 {
        self.config.timeout_ns
    }

    /// Why the store takes no writes at the moment, if so.
    pub fn read_only(&self) -> Option<String> {
        self.storage.read_only()
    }

    /// What the store failed to do in the background and tries again, and what it has lost, in words that name no tenant.
    pub fn store_troubles(&self) -> Vec<String> {
        self.storage.troubles()
    }

    /// What is read.
    pub(crate) fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// The slots of a kind of request.
    pub(crate) fn slots(&self, queue: Queue) -> &FairSlots {
        match queue {
            Queue::Query => &self.queries,
            Queue::Lookup => &self.lookups,
        }
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

    /// The part of `range` that the reader may look back to (`limits.max_query_lookback`).
    pub(crate) fn seen_by(&self, reader: &Reader, mut range: TimeRange) -> TimeRange {
        let lookback_ns = reader.rules().limits.max_query_lookback_ns;
        if lookback_ns > 0 {
            range.start = range.start.max(self.storage.clock().now_ns().saturating_sub(lookback_ns));
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
        let view = self.storage.view(&part.tenant, range);
        let few = match view.segments.len() {
            0 => None,
            _ => {
                // Without an answer in time the query ends by itself.
                let stop = || deadline.passed().is_some();
                let limits = LookupLimits { stop: &stop, max_bytes: usize::MAX };
                let streams = Selection { tenant: &part.tenant, range, selector: &part.selector, limits };
                self.storage.few_streams(streams, FEW_STREAMS)
            }
        };
        let few = few.map(|mut few| {
            few.sort_unstable();
            few.into_iter().map(Arc::new).collect()
        });
        let counters = Counters::default();
        stats::count(&counters.segments_considered, view.segments.len() as u64);
        Scope {
            storage: Arc::clone(&self.storage),
            part,
            query: query.clone(),
            range,
            view,
            few,
            counters,
            deadline,
            wall_ns: self.storage.clock().now_ns(),
            max_units: self.pool.slots(),
            max_bytes: self.config.max_memory_bytes,
            memory: Arc::clone(memory),
            other_bytes: 0,
            copies: 1,
            gathered: Gathered::default(),
            damage: Damage::default(),
        }
    }
}
