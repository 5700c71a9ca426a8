//! What kinds of lines are there, and how many of each?
//!
//! Lines are brought to shapes ([`shape`]) on the engine's threads, block by block; shapes that differ in names alone are
//! joined ([`cluster`]). Of much data a part is looked at, evenly spread, and counted for the whole.

mod cluster;
mod shape;

use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::execute::{Execution, Sink};
use crate::fresh;
use crate::language::LogQuery;
use crate::plan::SegmentPlan;
use crate::pool::Work;
use crate::reader::Reader;
use crate::result::{Answer, Pattern, PatternResult};
use crate::rows::{self, LINES, TIMES_AND_STREAMS};
use crate::scope::Scope;
use crate::slot::Slot;
use crate::stats::{QueryStats, count};
use cluster::{Counts, Shape};
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use strandline_model::metadata::DETECTED_LEVEL;
use strandline_model::time::SECOND_NS;
use strandline_model::{Selector, TimeRange};
use strandline_store::StoreError;
use strandline_store::head::Head;

/// Most lines that are brought to shapes.
const MAX_LINES: u64 = 200_000;
/// Most blocks that are read.
const MAX_BLOCKS: u64 = 512;
/// Most shapes that are kept; with so many, new ones are single lines.
const MAX_SHAPES: usize = 8192;
/// Most patterns in an answer.
const MAX_PATTERNS: usize = 500;
/// What a count takes in memory, with its share of the tree.
const COUNT_BYTES: usize = 32;

/// A question for patterns.
#[derive(Debug, Clone)]
pub struct PatternRequest {
    /// Who asks: whose lines, and which of them may be seen.
    pub reader: Reader,
    /// Of which streams.
    pub selector: Selector,
    /// From when; the end is not inside.
    pub range: TimeRange,
    /// Width of a bucket of time (ns).
    pub step_ns: i64,
}

impl QueryEngine {
    /// Finds the patterns of lines, most frequent first. Blocks the calling thread.
    pub fn patterns(&self, slot: &Slot, request: &PatternRequest) -> Result<PatternResult, QueryError> {
        let deadline = slot.deadline();
        self.counted(slot, slot.deadline(), |stats| {
            let query = LogQuery::of_streams(request.selector.clone())?;
            let weighed = self.weigh(request, &query, slot)?;
            let every = Every::of(&weighed);
            let sink = Arc::new(PatternSink::new(request.step_ns, every));
            let mut warnings = self.run_over(request, &query, slot, &sink, stats)?;
            let levels = std::mem::take(&mut *sink.levels.lock());
            let patterns = patterns(levels, &|| deadline.passed().is_some());
            if let Some(error) = deadline.passed() {
                return Err(error);
            }
            stats.entries = patterns.len() as u64;
            warnings.extend(every.warning(&weighed));
            Ok(PatternResult { patterns, stats: QueryStats::default(), warnings })
        })
    }

    /// How much there is to look at.
    fn weigh(&self, request: &PatternRequest, query: &LogQuery, slot: &Slot) -> Result<Weight, QueryError> {
        let sink = Arc::new(Weight::default());
        // What this costs is not what the answer costs.
        self.run_over(request, query, slot, &sink, &mut QueryStats::default())?;
        Ok(Weight {
            rows: AtomicU64::new(sink.rows.load(Ordering::Relaxed)),
            blocks: AtomicU64::new(sink.blocks.load(Ordering::Relaxed)),
        })
    }

    /// Runs over what each tenant has, one after the other, into one sink. Returns what could not be read.
    fn run_over<S: Sink>(
        &self,
        request: &PatternRequest,
        query: &LogQuery,
        slot: &Slot,
        sink: &Arc<S>,
        stats: &mut QueryStats,
    ) -> Result<Vec<String>, QueryError> {
        let range = self.seen_by(&request.reader, request.range);
        let mut warnings = Vec::new();
        for part in request.reader.parts(&request.selector) {
            let scope = self.scope(part, query, range, slot.deadline().clone(), slot.memory());
            let execution = Arc::new(Execution::new(scope, Arc::clone(sink)));
            self.pool().offer(Arc::clone(&execution) as Arc<dyn Work>);
            warnings.extend(execution.wait()?);
            stats.add(&execution.scope.counters.snapshot());
        }
        Ok(warnings)
    }
}

/// Counts what a query would look at, from the tables alone.
#[derive(Debug, Default)]
struct Weight {
    rows: AtomicU64,
    blocks: AtomicU64,
}

impl Sink for Weight {
    fn bytes(&self) -> usize {
        0
    }

    fn head(&self, scope: &Scope, _source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        let streams = head.select(&scope.part.tenant, scope.range, &scope.part.selector);
        self.rows.fetch_add(streams.iter().map(|rows| rows.len() as u64).sum(), Ordering::Relaxed);
        Ok(())
    }

    fn block(&self, _scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        let rows = plan.table.blocks.get(index as usize).map_or(0, |row| row.rows);
        self.rows.fetch_add(rows.into(), Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// One of how many blocks is read, and one of how many lines in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Every {
    block: u64,
    line: u64,
}

impl Every {
    fn of(weight: &Weight) -> Self {
        let block = weight.blocks.load(Ordering::Relaxed).div_ceil(MAX_BLOCKS).max(1);
        let line = weight.rows.load(Ordering::Relaxed).div_ceil(block).div_ceil(MAX_LINES).max(1);
        Self { block, line }
    }

    /// Whether a block is among those that are read: a choice that is as good as random and always the same.
    fn takes_block(self, segment: usize, index: u32) -> bool {
        // Knuth, The Art of Computer Programming, 6.4: multiplicative hashing.
        let mixed = ((segment as u64) << 32 | u64::from(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed.is_multiple_of(self.block)
    }

    fn warning(self, weight: &Weight) -> Option<String> {
        let each = self.block * self.line;
        let rows = weight.rows.load(Ordering::Relaxed);
        (each > 1).then(|| format!("patterns were counted from about one of {each} of up to {rows} lines"))
    }
}

/// The shapes of one level.
type Shapes = HashMap<Vec<u8>, Counts>;

/// Collects shapes.
#[derive(Debug)]
struct PatternSink {
    step_ns: i64,
    every: Every,
    levels: Mutex<BTreeMap<String, Shapes>>,
    bytes: AtomicUsize,
}

impl PatternSink {
    fn new(step_ns: i64, every: Every) -> Self {
        let (levels, bytes) = (Mutex::default(), AtomicUsize::new(0));
        Self { step_ns: step_ns.max(1), every, levels, bytes }
    }

    fn take(&self, mined: Mined) {
        let mut levels = self.levels.lock();
        // Of all levels: what is a level, clients say.
        let mut kept: usize = levels.values().map(Shapes::len).sum();
        let mut more = 0;
        for ((level, shape), counts) in mined.shapes {
            let is_known = levels.get(&level).is_some_and(|shapes| shapes.contains_key(&shape));
            if !is_known {
                if kept >= MAX_SHAPES {
                    continue;
                }
                kept += 1;
                more += level.len() + 2 * shape.len();
            }
            let known = levels.entry(level).or_default().entry(shape).or_default();
            for (bucket, n) in counts {
                let before = known.len();
                *known.entry(bucket).or_default() += n;
                more += (known.len() - before) * COUNT_BYTES;
            }
        }
        self.bytes.fetch_add(more, Ordering::Relaxed);
    }
}

/// What one thread has found in one part of the data.
struct Mined {
    step_ns: i64,
    weight: u64,
    shapes: HashMap<(String, Vec<u8>), Counts>,
    /// The level and the shape of the line at hand.
    key: (String, Vec<u8>),
}

impl Mined {
    fn new(step_ns: i64, weight: u64) -> Self {
        Self { step_ns, weight, shapes: HashMap::new(), key: Default::default() }
    }

    fn add(&mut self, ts: i64, line: &[u8], level: Option<&str>) {
        self.key.0.clear();
        self.key.0.push_str(level.unwrap_or_default());
        shape::of(line, &mut self.key.1);
        let bucket = ts.div_euclid(self.step_ns).saturating_mul(self.step_ns);
        let counts = match self.shapes.entry_ref(&self.key) {
            EntryRef::Occupied(known) => known.into_mut(),
            EntryRef::Vacant(new) => new.insert_with_key(self.key.clone(), Counts::new()),
        };
        *counts.entry(bucket).or_default() += self.weight;
    }
}

impl Sink for PatternSink {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        // Of the lines in memory all blocks' worth is there: they are thinned by both.
        let each = self.every.line * self.every.block;
        let mut seen = 0u64;
        for rows in fresh::select(scope, source, head) {
            if scope.is_over() {
                return Ok(());
            }
            let mut mined = Mined::new(self.step_ns, each);
            for i in 0..rows.len() {
                // Counted on from stream to stream, or the first line of each would stand for many.
                seen += 1;
                if !seen.is_multiple_of(each) {
                    continue;
                }
                let (line, metadata) = rows.content(i);
                let level = metadata.iter().find(|(name, _)| *name == DETECTED_LEVEL).map(|(_, value)| value);
                mined.add(rows.ts(i), line, level);
            }
            count(&scope.counters.head_lines, rows.len() as u64);
            self.take(mined);
        }
        Ok(())
    }

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        if !self.every.takes_block(plan.source, index) {
            return Ok(());
        }
        let streams = plan.streams_of(scope, index)?;
        let places = plan.segment.block(index as usize, TIMES_AND_STREAMS)?;
        let parts = rows::visible(scope, plan, index, &streams, &places, scope.range)?;
        if parts.is_empty() {
            return Ok(());
        }
        count(&scope.counters.blocks, 1);
        let lines = plan.segment.block(index as usize, LINES)?;
        let metadata = plan.segment.metadata(index as usize, |name| name == DETECTED_LEVEL)?;
        let mut mined = Mined::new(self.step_ns, self.every.block * self.every.line);
        let search = scope.query.search(plan.of_lines);
        let each = usize::try_from(self.every.line).unwrap_or(usize::MAX);
        rows::filtered(scope, search, &lines, &parts, |_, row| {
            if row.is_multiple_of(each) {
                let level = metadata.iter().find_map(|column| column.get(row));
                mined.add(places.times.get(row).copied().unwrap_or_default(), lines.line(row), level);
            }
        });
        self.take(mined);
        Ok(())
    }
}

/// Joins each level's shapes; the most frequent patterns of all.
fn patterns(levels: BTreeMap<String, Shapes>, over: &dyn Fn() -> bool) -> Vec<Pattern> {
    let mut all: Vec<Pattern> = Vec::new();
    for (level, shapes) in levels {
        let shapes = shapes.into_iter().map(|(bytes, counts)| {
            let total = counts.values().sum();
            Shape { bytes, total, counts }
        });
        let level = Some(level).filter(|level| !level.is_empty());
        all.extend(cluster::join(shapes.collect(), over).into_iter().map(|shape| Pattern {
            text: shape::shown(&shape.bytes),
            level: level.clone(),
            total: shape.total,
            samples: shape.counts.into_iter().map(|(ts, n)| (ts.div_euclid(SECOND_NS), n)).collect(),
        }));
    }
    all.retain(|pattern| !pattern.text.trim().is_empty());
    all.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.text.cmp(&b.text)));
    all.truncate(MAX_PATTERNS);
    all
}

impl Answer for PatternResult {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_data_a_part_is_looked_at_and_that_is_said() {
        let weight = |rows, blocks| Weight { rows: AtomicU64::new(rows), blocks: AtomicU64::new(blocks) };
        let every = |rows, blocks| Every::of(&weight(rows, blocks));
        assert_eq!(every(0, 0), Every { block: 1, line: 1 });
        assert_eq!(every(MAX_LINES, MAX_BLOCKS), Every { block: 1, line: 1 });
        assert_eq!(every(MAX_LINES + 1, 1), Every { block: 1, line: 2 });
        assert_eq!(every(30 * MAX_LINES, 3 * MAX_BLOCKS), Every { block: 3, line: 10 });
        assert_eq!(every(5, 1).warning(&weight(5, 1)), None);
        let told = every(30 * MAX_LINES, 3 * MAX_BLOCKS).warning(&weight(30 * MAX_LINES, 3 * MAX_BLOCKS));
        assert_eq!(told.unwrap(), "patterns were counted from about one of 30 of up to 6000000 lines");
        // About one of three blocks, wherever they lie.
        let third = Every { block: 3, line: 1 };
        let taken = (0..10).flat_map(|s| (0..300).map(move |b| (s, b)));
        let taken = taken.filter(|(segment, block)| third.takes_block(*segment, *block)).count();
        assert!((800..1200).contains(&taken), "{taken}");
    }
}
