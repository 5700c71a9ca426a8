//! How much is there? Entries and bytes of lines and structured metadata by labels and time, of whole streams: from the tables of the segments as far as
//! these can tell, and without a look at any line.
//!
//! Loki's `index/volume`, `index/volume_range` and `index/stats` are three views of it. The numbers are
//! those of the window, start included and end not, as a log query has it; what is not flushed yet counts too.

mod keys;
mod segment;
mod table;

use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::execute::{Execution, Sink};
use crate::fresh;
use crate::language::LogQuery;
use crate::plan::SegmentPlan;
use crate::pool::Work;
use crate::reader::Reader;
use crate::result::Answer;
use crate::scope::Scope;
use crate::slot::Slot;
use crate::stats::QueryStats;
use keys::Keys;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use strandline_model::metadata::DETECTED_LEVEL;
use strandline_model::{Selector, TimeRange};
use strandline_store::engine::SegmentHandle;
use strandline_store::head::Head;
use strandline_store::{Engine, StoreError};
pub use table::Count;
use table::{Buckets, Table};

/// By what volumes are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeBy {
    /// Each distinct set of the labels that count.
    Series,
    /// Each name among the labels that count.
    Labels,
    /// Each stream.
    Streams,
}

/// A question for volumes.
#[derive(Debug, Clone)]
pub struct VolumeRequest {
    /// Who asks: whose entries, and which of them may be seen.
    pub reader: Reader,
    /// Of which streams.
    pub selector: Selector,
    /// From when; the end is not inside.
    pub range: TimeRange,
    /// Length of the buckets into which the range is cut from its start on (ns); `None` for one that is the whole.
    pub step_ns: Option<i64>,
    /// By what they are summed up.
    pub by: VolumeBy,
    /// The labels that count; a stream that lacks one of them does not. Without any, `Series` means the labels that the
    /// selector names (all, if it names none), and `Labels` all.
    pub targets: Vec<String>,
    /// Most label sets that may come of it.
    pub max_series: usize,
}

/// The volume of one label set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// By name; the value is empty where volumes are summed up by label names.
    pub labels: Vec<(String, String)>,
    /// In the whole range.
    pub total: Count,
    /// The buckets that hold anything, by time: where each ends (ns), and what it holds.
    pub buckets: Vec<(i64, Count)>,
}

/// The answer to a question for volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeResult {
    /// Largest first, by bytes; equal ones by labels.
    pub volumes: Vec<Volume>,
    /// Blocks and heads that hold entries of the selected streams in the range.
    pub chunks: u64,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks because it could not be read.
    pub warnings: Vec<String>,
}

/// How much there is of the selected streams in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Streams with entries in the range.
    pub streams: u64,
    /// Blocks and heads that hold entries of the selected streams in the range.
    pub chunks: u64,
    /// All of them together.
    pub total: Count,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks because it could not be read.
    pub warnings: Vec<String>,
}

impl Answer for VolumeResult {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}

impl Answer for StreamStats {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}

impl QueryEngine {
    /// Counts entries and line bytes. Blocks the calling thread; the work is done by the engine's own threads.
    pub fn volume(&self, slot: &Slot, request: &VolumeRequest) -> Result<VolumeResult, QueryError> {
        self.counted(slot, slot.deadline(), |stats| {
            let Some((sink, warnings)) = self.count_volume(
                request,
                Keys::new(request.by, &request.selector, &request.targets),
                slot,
                stats,
            )?
            else {
                return Ok(VolumeResult::default());
            };
            let volumes = sink.volumes();
            stats.entries = volumes.len() as u64;
            Ok(VolumeResult { volumes, chunks: sink.chunks(), stats: QueryStats::default(), warnings })
        })
    }

    /// Counts streams, entries and line bytes. Blocks the calling thread.
    pub fn stream_stats(
        &self,
        slot: &Slot,
        reader: &Reader,
        selector: &Selector,
        range: TimeRange,
    ) -> Result<StreamStats, QueryError> {
        let request = VolumeRequest {
            reader: reader.clone(),
            selector: selector.clone(),
            range,
            step_ns: None,
            by: VolumeBy::Streams,
            targets: Vec::new(),
            max_series: usize::MAX,
        };
        self.counted(slot, slot.deadline(), |stats| {
            let Some((sink, warnings)) = self.count_volume(&request, Keys::of_streams(), slot, stats)? else {
                return Ok(StreamStats::default());
            };
            let (streams, total) = sink.table.lock().totals();
            Ok(StreamStats { streams, chunks: sink.chunks(), total, stats: QueryStats::default(), warnings })
        })
    }

    /// What was counted, and what could not be; nothing if the range is empty.
    fn count_volume(
        &self,
        request: &VolumeRequest,
        keys: Keys,
        slot: &Slot,
        stats: &mut QueryStats,
    ) -> Result<Option<Counted>, QueryError> {
        let range = self.seen_by(&request.reader, request.range);
        if range.start >= range.end {
            return Ok(None);
        }
        let query = LogQuery::of_streams(request.selector.clone())?;
        let sink = Arc::new(VolumeSink::new(self.store(), request, keys, range));
        let mut warnings = Vec::new();
        // All tenants' counts go into one table.
        for part in request.reader.parts(&request.selector) {
            let scope = self.scope(part, &query, range, slot.deadline().clone(), slot.memory());
            let execution = Arc::new(Execution::new(scope, Arc::clone(&sink)));
            self.pool().offer(Arc::clone(&execution) as Arc<dyn Work>);
            warnings.extend(execution.wait()?);
            stats.add(&execution.scope.counters.snapshot());
        }
        Ok(Some((sink, warnings)))
    }
}

/// Whether structured metadata of this name counts as bytes that somebody sent.
fn counts(name: &str) -> bool {
    name != DETECTED_LEVEL
}

/// A sink with what it collected, and what it lacks.
type Counted = (Arc<VolumeSink>, Vec<String>);

/// Collects counts.
#[derive(Debug)]
struct VolumeSink {
    engine: Arc<Engine>,
    buckets: Buckets,
    keys: Keys,
    max_series: usize,
    table: Mutex<Table>,
    bytes: AtomicUsize,
    chunks: AtomicU64,
    has_too_many: AtomicBool,
}

impl VolumeSink {
    fn new(engine: &Arc<Engine>, request: &VolumeRequest, keys: Keys, range: TimeRange) -> Self {
        Self {
            engine: Arc::clone(engine),
            buckets: Buckets::new(range, request.step_ns),
            keys,
            max_series: request.max_series,
            table: Mutex::default(),
            bytes: AtomicUsize::new(0),
            chunks: AtomicU64::new(0),
            has_too_many: AtomicBool::new(false),
        }
    }

    fn note_chunks(&self, n: u64) {
        self.chunks.fetch_add(n, Ordering::Relaxed);
    }

    fn take(&self, found: Table) {
        let mut table = self.table.lock();
        if table.bytes() == 0 {
            *table = found;
        } else {
            table.append(found);
        }
        self.bytes.store(table.bytes(), Ordering::Relaxed);
        if table.filled() > self.max_series {
            self.has_too_many.store(true, Ordering::Relaxed);
        }
    }

    fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    fn volumes(&self) -> Vec<Volume> {
        let series = std::mem::take(&mut *self.table.lock()).into_series();
        let volume = |(key, counts): (table::Key, table::Counts)| {
            let mut total = Count::default();
            counts.iter().for_each(|(_, count)| total += *count);
            let buckets =
                counts.iter().map(|(bucket, count)| (self.buckets.end_of(*bucket), *count)).collect();
            Volume { labels: keys::labels_of(&key), total, buckets }
        };
        // A series may have been made for a stream of which nothing is inside.
        let mut volumes: Vec<Volume> = series.map(volume).filter(|volume| volume.total.entries > 0).collect();
        let larger_first =
            |a: &Volume, b: &Volume| (b.total.bytes, &a.labels).cmp(&(a.total.bytes, &b.labels));
        volumes.sort_unstable_by(larger_first);
        volumes
    }
}

impl Sink for VolumeSink {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn failure(&self) -> Option<QueryError> {
        let has_too_many = self.has_too_many.load(Ordering::Relaxed);
        has_too_many.then_some(QueryError::TooManyVolumes(self.max_series))
    }

    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        let (mut table, mut key, mut series) = (Table::default(), Vec::new(), SmallVec::<[usize; 16]>::new());
        for rows in fresh::select(&self.engine, scope, source, head) {
            if scope.is_over() {
                break;
            }
            let pairs: SmallVec<[(&str, &str); 16]> = rows.labels.iter().collect();
            series.clear();
            self.keys.each(&pairs, &mut key, |key| series.push(table.index(key)));
            for i in 0..rows.len() {
                let (line, metadata) = rows.content(i);
                let counted = metadata.iter().filter(|(name, _)| counts(name));
                let metadata: usize = counted.map(|(name, value)| name.len() + value.len()).sum();
                let (bucket, bytes) = (self.buckets.of(rows.ts(i)), (line.len() + metadata) as u64);
                series.iter().for_each(|series| table.add(*series, bucket, Count { entries: 1, bytes }));
            }
        }
        self.note_chunks(u64::from(table.filled() > 0));
        self.take(table);
        Ok(())
    }

    fn segment(
        &self,
        scope: &Scope,
        source: usize,
        handle: &Arc<SegmentHandle>,
    ) -> Result<SegmentPlan, StoreError> {
        let (plan, counted) = segment::read(self, scope, source, handle)?;
        self.take(counted);
        Ok(plan)
    }

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        segment::read_block(self, scope, plan, index).map(|found| self.take(found))
    }
}
