//! How much is there? Entries and bytes of lines and structured metadata by labels and time, of whole streams: from the tables of the segments as far as
//! these can tell, and without a look at any line.
//!
//! Loki's `index/volume`, `index/volume_range` and `index/stats` are three views of it. The numbers are
//! those of the window, start included and end not, as a log query has it; what is not flushed yet counts too.

mod counts;
mod keys;
mod request;
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
use crate::scope::Scope;
use crate::slot::Slot;
use crate::stats::QueryStats;
use counts::{VolumeSink, counts};
use keys::Keys;
pub use request::{StreamStats, Volume, VolumeBy, VolumeRequest, VolumeResult};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::{Selector, TimeRange};
use strandline_store::StoreError;
use strandline_store::engine::SegmentHandle;
use strandline_store::head::Head;
pub use table::Count;
use table::Table;

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
        let sink = Arc::new(VolumeSink::new(request, keys, range));
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

/// A sink with what it collected, and what it lacks.
type Counted = (Arc<VolumeSink>, Vec<String>);

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
        for rows in fresh::select(scope, source, head) {
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
