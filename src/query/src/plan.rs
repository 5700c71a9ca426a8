//! Which streams and which blocks of one segment can matter?

use crate::execute::Run;
use crate::stats::count;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use strandline_model::{Labels, Needle, TimeRange};
use strandline_store::engine::SegmentHandle;
use strandline_store::segment::{BlockRow, BlockTable, Segment};
use strandline_store::{BlockSet, StoreError};

/// Streams per chunk of a segment's stream table: finding one stream reads one chunk.
const STREAMS_PER_CHUNK: usize = 256;
/// With fewer blocks to look at than this, opening the text index costs more than it saves.
const MIN_BLOCKS_FOR_INDEX: usize = 3;

/// A segment with everything that its blocks' scans share.
#[derive(Debug)]
pub(crate) struct SegmentPlan {
    pub(crate) handle: Arc<SegmentHandle>,
    pub(crate) segment: Arc<Segment>,
    pub(crate) table: Arc<BlockTable>,
    pub(crate) streams: Streams,
    /// The segment's place in the view: arrival order.
    pub(crate) source: usize,
    /// Blocks that may hold entries of the answer.
    pub(crate) blocks: Vec<u32>,
}

/// The selected streams of one segment.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Ascending.
    ordinals: Vec<u32>,
    labels: Vec<Arc<Labels>>,
}

impl Streams {
    fn push(&mut self, ordinal: u32, labels: Arc<Labels>) {
        self.ordinals.push(ordinal);
        self.labels.push(labels);
    }

    /// The labels of a selected stream.
    pub(crate) fn get(&self, ordinal: u32) -> Option<&Arc<Labels>> {
        self.labels.get(self.ordinals.binary_search(&ordinal).ok()?)
    }

    /// Whether any stream between these two, both included, is selected.
    fn any_between(&self, first: u32, last: u32) -> bool {
        let at = self.ordinals.partition_point(|o| *o < first);
        self.ordinals.get(at).is_some_and(|o| *o <= last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }
}

/// One allocation per label set of a query, however many segments have it.
#[derive(Debug, Default)]
pub(crate) struct LabelPool(Mutex<HashSet<Arc<Labels>>>);

impl LabelPool {
    pub(crate) fn share(&self, labels: Labels) -> Arc<Labels> {
        let mut known = self.0.lock();
        match known.get(&labels) {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = Arc::new(labels);
                known.insert(Arc::clone(&shared));
                shared
            }
        }
    }
}

/// Opens a segment and finds what of it has to be looked at.
pub(crate) fn plan(run: &Run, source: usize, handle: &Arc<SegmentHandle>) -> Result<SegmentPlan, StoreError> {
    let segment = handle.open()?;
    count(&run.counters.segments, 1);
    let streams = select_streams(run, &segment)?;
    let table = segment.table()?;
    let mut blocks = Vec::new();
    if !streams.is_empty() {
        let wanted = |(_, block): &(u32, &BlockRow)| may_matter(block, run.range, &streams);
        blocks.extend((0u32..).zip(&table.blocks).filter(wanted).map(|(i, _)| i));
        rule_out(run, &segment, &mut blocks);
    }
    Ok(SegmentPlan { handle: Arc::clone(handle), segment, table, streams, source, blocks })
}

fn may_matter(block: &BlockRow, range: TimeRange, streams: &Streams) -> bool {
    range.overlaps(block.time.0, block.time.1) && streams.any_between(block.streams.0, block.streams.1)
}

/// Streams by name where they are few, else by a look at the whole table.
fn select_streams(run: &Run, segment: &Segment) -> Result<Streams, StoreError> {
    let mut streams = Streams::default();
    let inside = |time: (i64, i64)| run.range.overlaps(time.0, time.1);
    let chunks = (segment.meta().streams as usize).div_ceil(STREAMS_PER_CHUNK);
    if let Some(few) = run.few.as_ref().filter(|few| few.len() < chunks) {
        // Sorted, as the table is, so the ordinals ascend.
        for labels in few {
            if let Some((ordinal, row)) = segment.find_stream(labels)?
                && inside(row.time)
            {
                streams.push(ordinal, Arc::clone(labels));
            }
        }
        return Ok(streams);
    }
    segment.each_stream(|ordinal, row| {
        if inside(row.time) && run.query.selector().matches(&row.labels) {
            streams.push(ordinal, run.labels.share(row.labels));
        }
    })?;
    Ok(streams)
}

/// Drops the blocks that cannot hold what a line must contain.
fn rule_out(run: &Run, segment: &Segment, blocks: &mut Vec<u32>) {
    let needle = run.query.needle();
    if *needle == Needle::Any || blocks.len() < MIN_BLOCKS_FOR_INDEX {
        return;
    }
    match segment.text() {
        Ok(Some(text)) => {
            let candidates: BlockSet = text.candidates(needle);
            let before = blocks.len();
            blocks.retain(|block| candidates.contains(*block));
            count(&run.counters.blocks_ruled_out, (before - blocks.len()) as u64);
        }
        Ok(None) => {}
        // The index is derived data: without it every block is scanned, and the answer is the same.
        Err(error) => {
            metrics::counter!("strandline_query_damaged_text_index_total").increment(1);
            tracing::warn!(%error, "a text index cannot be read; all blocks are scanned");
        }
    }
}
