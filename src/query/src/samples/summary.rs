//! The samples of blocks that need not be read: the block table tells how many entries and bytes each has, in all and of
//! each level.
//!
//! It suffices where all entries of a block are selected, lie in one bucket and fall into the same series, levels apart.
//! Segments repeat no entry of each other (a flush leaves repeats out), so what is counted here is what a look at the rows
//! would count; where a delete may hide some of them, the rows are looked at.

use super::collected::{Measure, SampleSink};
use super::plain::{Codes, Outcome, Reading, StreamKeys, reads};
use super::series::Table;
use crate::metric::Reduction;
use crate::plan::{SegmentPlan, Streams};
use crate::scope::{Gathering, Scope};
use crate::search::Search;
use crate::stats::count;
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use strandline_model::metadata::DETECTED_LEVEL;
use strandline_store::segment::{Block, BlockRow, MetadataColumn};

/// Blocks between two looks at whether the query is still wanted.
const BLOCKS_PER_CHECK: usize = 256;

/// Entries of a block that have the same level.
#[derive(Debug, Clone, Copy)]
struct Share {
    /// 0: they have none. Else 1 + the index of the level.
    code: u32,
    rows: u64,
    /// Bytes of their lines.
    bytes: u64,
}

/// Counts the blocks of a plan for which the table suffices, and takes them out of it.
pub(super) fn count_blocks(sink: &SampleSink, scope: &Scope, plan: &mut SegmentPlan) -> Table {
    let mut table = Table::default();
    if !may_suffice(sink, scope, plan) {
        return table;
    }
    let mut blocks = std::mem::take(&mut plan.blocks);
    if let Some(streams) = plan.selected() {
        let (mut n, mut over) = (0usize, false);
        let mut gathering = Gathering::new(scope);
        blocks.retain(|block| {
            over = over || (n.is_multiple_of(BLOCKS_PER_CHECK) && scope.is_over());
            n += 1;
            if over {
                return true;
            }
            let is_counted = add_block(sink, scope, plan, streams, *block, &mut table);
            over = gathering.grown_to(table.bytes(), sink.bytes.load(Ordering::Relaxed));
            !is_counted
        });
    }
    plan.blocks = blocks;
    table
}

/// Whether any block of a segment can do without a look at its rows.
pub(super) fn may_suffice(sink: &SampleSink, scope: &Scope, plan: &SegmentPlan) -> bool {
    // A head leaves repeats of damaged segments to those who read the rows.
    plan.hidden.is_empty()
        && !plan.handle.is_damaged()
        && scope.query.looks_at_labels_only()
        && matches!(scope.query.search(false), Search::All)
        && matches!(sink.keeping.reduction, Some(Reduction::Sum | Reduction::Present))
}

/// Adds the entries of a block to their series, if the table suffices for that; `streams` are the selected ones.
pub(super) fn add_block(
    sink: &SampleSink,
    scope: &Scope,
    plan: &SegmentPlan,
    streams: &Streams,
    index: u32,
    table: &mut Table,
) -> bool {
    let Some(row) = plan.table.blocks.get(index as usize) else { return false };
    let bucket = sink.keeping.buckets.of(row.time.0);
    let is_in_one = bucket.is_some() && bucket == sink.keeping.buckets.of(row.time.1);
    if !is_in_one || !scope.range.covers(row.time.0, row.time.1) {
        return false;
    }
    let mut by_level = Vec::new();
    for name in plan.table.metadata_of(row).filter(|name| reads(sink, scope, name)) {
        if **name != *DETECTED_LEVEL || row.levels.is_empty() {
            return false;
        }
        by_level.push(MetadataColumn::of_values(name, row.levels.iter().map(|level| &*level.level)));
    }
    let Some(shares) = shares(row, !by_level.is_empty()) else { return false };
    let none = Block::default();
    let mut reading = Reading::new(sink, scope, (&none, &none), &by_level, std::mem::take(table));
    let series = series_of(&mut reading, (sink, scope), row, streams, &by_level, &shares);
    *table = reading.table;
    let Some(series) = series else { return false };
    let mut passed = 0;
    for (share, outcome) in shares.iter().zip(series) {
        let Outcome::Series(series) = outcome else { continue };
        passed += share.rows;
        let value = match sink.measure {
            Measure::Lines => share.rows,
            Measure::Bytes => share.bytes,
        };
        if let Some(samples) = table.get(series) {
            samples.add(&sink.keeping, row.time.0, value as f64);
        }
    }
    count(&scope.counters.lines_passed, passed);
    count(&scope.counters.blocks_counted, 1);
    true
}

/// The entries of a block, in all or by level. `None` if the numbers contradict each other.
fn shares(row: &BlockRow, by_level: bool) -> Option<SmallVec<[Share; 8]>> {
    let mut rest = Share { code: 0, rows: u64::from(row.rows), bytes: row.line_bytes };
    let mut shares: SmallVec<[Share; 8]> = SmallVec::new();
    if by_level {
        for (code, level) in (1u32..).zip(&row.levels) {
            let (rows, bytes) = (u64::from(level.rows), level.bytes);
            rest.rows = rest.rows.checked_sub(rows)?;
            rest.bytes = rest.bytes.checked_sub(bytes)?;
            shares.push(Share { code, rows, bytes });
        }
    }
    shares.push(rest);
    shares.retain(|share| share.rows > 0);
    Some(shares)
}

/// The series of each share, if it is the same for all streams of the block, all of them are selected and none fails.
fn series_of<'a>(
    reading: &mut Reading<'a>,
    (sink, scope): (&SampleSink, &Scope),
    row: &BlockRow,
    streams: &'a Streams,
    by_level: &'a [MetadataColumn],
    shares: &[Share],
) -> Option<SmallVec<[Outcome; 8]>> {
    let mut series: SmallVec<[Outcome; 8]> = SmallVec::new();
    for ordinal in row.streams.0..=row.streams.1 {
        let mut stream = StreamKeys::new(sink, scope, streams.get(ordinal)?, by_level);
        for (i, share) in shares.iter().enumerate() {
            let codes: Codes = stream.columns.iter().map(|_| share.code).collect();
            let outcome = reading.series(&mut stream, &codes);
            match series.get(i) {
                _ if outcome == Outcome::Failing => return None,
                None => series.push(outcome),
                Some(known) if *known == outcome => {}
                Some(_) => return None,
            }
        }
    }
    Some(series)
}
