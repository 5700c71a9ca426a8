//! What does a segment hold of a window? Its stream table says it for streams that lie in one bucket, the block table for
//! blocks of one stream that do; of what is cut by an edge the times and the lengths of lines are read, never a line.

use super::counts::{VolumeSink, counts};
use super::table::{Count, Table};
use crate::plan::{self, SegmentPlan, Streams};
use crate::reader::Part;
use crate::rows;
use crate::scope::Scope;
use crate::stats::count;
use smallvec::SmallVec;
use std::sync::Arc;
use strandline_model::Labels;
use strandline_store::StoreError;
use strandline_store::deletes::Hiding;
use strandline_store::engine::SegmentHandle;
use strandline_store::segment::{BlockTable, Columns, MetadataColumn, StreamCounts};

/// What is read of blocks.
const COUNTED: Columns = Columns { times: true, streams: true, lengths: true, lines: false, metadata: false };
/// Streams between two looks at whether the answer is still wanted.
const STREAMS_PER_CHECK: usize = 4096;

/// Counts what the tables tell; the plan is for the rest.
pub(super) fn read(
    sink: &VolumeSink,
    scope: &Scope,
    source: usize,
    handle: &Arc<SegmentHandle>,
) -> Result<(SegmentPlan, Table), StoreError> {
    let segment = handle.open()?;
    count(&scope.counters.segments, 1);
    let table = segment.table()?;
    let hidden = scope.view.hidden_in(handle);
    let mut reading = Reading::new(sink, &scope.part, &table, &hidden);
    if let Some(few) = plan::few(scope, &segment) {
        // Sorted, as the table is, so the ordinals ascend.
        for labels in few {
            if let Some((ordinal, row)) = segment.find_stream(labels)? {
                let pairs: SmallVec<[(&str, &str); 16]> = labels.iter().collect();
                let counts = StreamCounts {
                    rows: row.rows,
                    line_bytes: row.line_bytes,
                    metadata_bytes: row.metadata_bytes,
                    time: row.time,
                    blocks: row.blocks,
                };
                reading.add(ordinal, &pairs, counts);
            }
        }
    } else {
        let (mut n, mut over) = (0, false);
        segment.each_selected(&scope.part.selector, |ordinal, pairs, counts| {
            n += 1;
            over = over || (n % STREAMS_PER_CHECK == 0 && scope.is_over());
            if over { Some(()) } else { reading.add(ordinal, pairs, counts) }
        })?;
    }
    let Reading { counted, cut, touched, to_read, .. } = reading;
    let numbers = |flags: Vec<bool>| (0u32..).zip(flags).filter(|(_, set)| *set).map(|(block, _)| block);
    sink.note_chunks(numbers(touched).count() as u64);
    let blocks: Vec<u32> = numbers(to_read).collect();
    count(&scope.counters.blocks_considered, table.blocks.len() as u64);
    let plan = SegmentPlan::of_streams((source, handle), segment, Arc::clone(&table), cut, blocks, hidden);
    Ok((plan, counted))
}

struct Reading<'a> {
    sink: &'a VolumeSink,
    part: &'a Part,
    table: &'a BlockTable,
    /// What is deleted and still there: of streams that this may concern, the tables say too much.
    hidden: &'a Hiding,
    counted: Table,
    /// Streams of which blocks have to be read.
    cut: Streams,
    /// Blocks that may hold entries of selected streams inside the window.
    touched: Vec<bool>,
    to_read: Vec<bool>,
    /// Room for keys, and the series of the stream at hand.
    key: Vec<u8>,
    series: SmallVec<[usize; 16]>,
}

impl<'a> Reading<'a> {
    fn new(sink: &'a VolumeSink, part: &'a Part, table: &'a BlockTable, hidden: &'a Hiding) -> Self {
        Self {
            sink,
            part,
            table,
            hidden,
            counted: Table::default(),
            cut: Streams::default(),
            touched: vec![false; table.blocks.len()],
            to_read: vec![false; table.blocks.len()],
            key: Vec::new(),
            series: SmallVec::new(),
        }
    }

    /// Counts a stream, or notes that it is cut; `None` if its labels are none.
    fn add(&mut self, ordinal: u32, pairs: &[(&str, &str)], counts: StreamCounts) -> Option<()> {
        let buckets = &self.sink.buckets;
        if !buckets.range.overlaps(counts.time.0, counts.time.1) {
            return Some(());
        }
        // Only where tenants are told apart are labels shown otherwise than they are stored.
        let shown = if self.part.shows_tenant() { Some(shown_labels(self.part, pairs)?) } else { None };
        let shown_pairs: Option<SmallVec<[(&str, &str); 16]>> =
            shown.as_ref().map(|labels| labels.iter().collect());
        let Self { counted, series, key, .. } = self;
        series.clear();
        self.sink
            .keys
            .each(shown_pairs.as_deref().unwrap_or(pairs), key, |key| series.push(counted.index(key)));
        if series.is_empty() {
            return Some(());
        }
        let may_be_less =
            !self.hidden.is_empty() && self.hidden.may_hide(&stored_labels(pairs)?, counts.time);
        let whole = buckets.whole(counts.time).filter(|_| !may_be_less);
        if let Some(bucket) = whole {
            let bytes = counts.line_bytes + counts.metadata_bytes;
            self.add_count(bucket, Count { entries: counts.rows, bytes });
        }
        if self.look_at_blocks(ordinal, counts.blocks, whole.is_some(), may_be_less) {
            let labels = shown_labels(self.part, pairs)?;
            self.cut.push(ordinal, labels);
        }
        Some(())
    }

    /// Marks a stream's blocks; counts those that lie in one bucket, if the stream is not counted already. Whether any has to
    /// be read, as all have to of which something may be deleted.
    fn look_at_blocks(
        &mut self,
        ordinal: u32,
        (first, last): (u32, u32),
        is_counted: bool,
        may_be_less: bool,
    ) -> bool {
        let buckets = &self.sink.buckets;
        let mut is_cut = false;
        for (block, row) in (first..=last).filter_map(|b| Some((b, self.table.blocks.get(b as usize)?))) {
            if !buckets.range.overlaps(row.time.0, row.time.1) {
                continue;
            }
            if let Some(touched) = self.touched.get_mut(block as usize) {
                *touched = true;
            }
            let is_alone = row.streams == (ordinal, ordinal);
            match buckets.whole(row.time) {
                _ if is_counted => {}
                Some(bucket) if is_alone && !may_be_less => {
                    let bytes = row.line_bytes + row.metadata_bytes;
                    self.add_count(bucket, Count { entries: row.rows.into(), bytes });
                }
                _ => {
                    is_cut = true;
                    if let Some(to_read) = self.to_read.get_mut(block as usize) {
                        *to_read = true;
                    }
                }
            }
        }
        is_cut
    }

    fn add_count(&mut self, bucket: u32, count: Count) {
        for series in &self.series {
            self.counted.add(*series, bucket, count);
        }
    }
}

/// A stream's labels as they are shown; `None` if they are none.
fn shown_labels(part: &Part, pairs: &[(&str, &str)]) -> Option<Arc<Labels>> {
    Some(part.shown(Arc::new(stored_labels(pairs)?)))
}

fn stored_labels(pairs: &[(&str, &str)]) -> Option<Labels> {
    let room = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    Labels::from_ordered(pairs.iter().copied(), pairs.len(), room)
}

/// Counts the rows of a block that are inside the window, of the streams that are cut.
pub(super) fn read_block(
    sink: &VolumeSink,
    scope: &Scope,
    plan: &SegmentPlan,
    index: u32,
) -> Result<Table, StoreError> {
    let streams = plan.streams_of(scope, index)?;
    let block = plan.segment.block(index as usize, COUNTED)?;
    count(&scope.counters.blocks, 1);
    let has_metadata = plan.table.blocks.get(index as usize).is_some_and(|row| row.metadata_bytes > 0);
    let metadata = match has_metadata {
        true => plan.segment.metadata(index as usize, counts)?,
        false => Vec::new(),
    };
    let metadata_bytes = |row: usize| {
        let of = |column: &MetadataColumn| column.get(row).map_or(0, |value| column.name.len() + value.len());
        metadata.iter().map(of).sum::<usize>() as u64
    };
    let (mut table, mut key, mut series) = (Table::default(), Vec::new(), SmallVec::<[usize; 16]>::new());
    for part in rows::visible(scope, plan, index, &streams, &block, scope.range)? {
        let pairs: SmallVec<[(&str, &str); 16]> = part.labels.iter().collect();
        series.clear();
        sink.keys.each(&pairs, &mut key, |key| series.push(table.index(key)));
        let mut from = part.rows.start;
        while let Some(ts) = block.times.get(from..part.rows.end).and_then(<[i64]>::first) {
            let bucket = sink.buckets.of(*ts);
            let end = sink.buckets.end_of(bucket);
            let rest = block.times.get(from..part.rows.end).unwrap_or_default();
            let to = from + rest.partition_point(|ts| *ts < end).max(1);
            let start_of = |row: usize| block.starts.get(row).copied().unwrap_or(0);
            let entries = (to - from) as u64;
            // Each line is followed by a newline.
            let lines = u64::from(start_of(to).saturating_sub(start_of(from))).saturating_sub(entries);
            let bytes = lines + if has_metadata { (from..to).map(metadata_bytes).sum() } else { 0 };
            series.iter().for_each(|series| table.add(*series, bucket, Count { entries, bytes }));
            from = to;
        }
    }
    Ok(table)
}
