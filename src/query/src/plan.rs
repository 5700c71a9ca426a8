//! Which streams and which blocks of one segment can matter?

use crate::scope::Scope;
use crate::stats::count;
use std::borrow::Cow;
use std::sync::Arc;
use strandline_model::{Labels, Needle};
use strandline_store::deletes::Hiding;
use strandline_store::engine::SegmentHandle;
use strandline_store::segment::{BlockRow, BlockTable, Segment};
use strandline_store::{BlockSet, StoreError};

/// Streams per chunk of a segment's stream table: finding one stream reads one chunk.
const STREAMS_PER_CHUNK: usize = 256;
/// All streams of a segment.
const ALL: (u32, u32) = (0, u32::MAX);
/// In a segment with more streams than this, broad selectors are applied block by block, by all threads.
const MANY_STREAMS: u32 = 4096;
/// With fewer blocks to look at than this, opening the text index costs more than it saves.
const MIN_BLOCKS_FOR_INDEX: usize = 3;

/// A segment with everything that its blocks' scans share.
#[derive(Debug)]
pub(crate) struct SegmentPlan {
    pub(crate) handle: Arc<SegmentHandle>,
    pub(crate) segment: Arc<Segment>,
    pub(crate) table: Arc<BlockTable>,
    /// The selected streams; `None` where they are so many that each block looks at its own.
    streams: Option<Streams>,
    /// The segment's place in the view: arrival order.
    pub(crate) source: usize,
    /// Blocks that may hold entries of the answer.
    pub(crate) blocks: Vec<u32>,
    /// What is deleted and still there.
    pub(crate) hidden: Hiding,
    /// Whether the labels that stages may make of lines can have no other origin here.
    pub(crate) of_lines: bool,
}

impl SegmentPlan {
    /// A plan to look at these streams in these blocks.
    pub(crate) fn of_streams(
        (source, handle): (usize, &Arc<SegmentHandle>),
        segment: Arc<Segment>,
        table: Arc<BlockTable>,
        streams: Streams,
        blocks: Vec<u32>,
        hidden: Hiding,
    ) -> Self {
        let (handle, streams) = (Arc::clone(handle), Some(streams));
        Self { handle, segment, table, streams, source, blocks, hidden, of_lines: false }
    }

    /// The selected streams; `None` where they are so many that each block looks at its own.
    pub(crate) fn selected(&self) -> Option<&Streams> {
        self.streams.as_ref()
    }

    /// The selected streams of a block.
    pub(crate) fn streams_of(&self, scope: &Scope, block: u32) -> Result<Cow<'_, Streams>, StoreError> {
        match (&self.streams, self.table.blocks.get(block as usize)) {
            (Some(streams), _) => Ok(Cow::Borrowed(streams)),
            (None, Some(row)) => filter_streams(scope, &self.segment, row.streams).map(Cow::Owned),
            (None, None) => Ok(Cow::Owned(Streams::default())),
        }
    }
}

/// The selected streams of one segment, or of one of its blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    /// Ascending.
    ordinals: Vec<u32>,
    labels: Vec<Arc<Labels>>,
}

impl Streams {
    /// Whether none is selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// Adds a stream; ordinals ascend.
    pub(crate) fn push(&mut self, ordinal: u32, labels: Arc<Labels>) {
        self.ordinals.push(ordinal);
        self.labels.push(labels);
    }

    /// The labels of a selected stream.
    pub(crate) fn get(&self, ordinal: u32) -> Option<&Arc<Labels>> {
        // Where all are selected, a stream stands in the place of its number, counted from the first.
        let own = ordinal.checked_sub(*self.ordinals.first()?)? as usize;
        if self.ordinals.get(own) == Some(&ordinal) {
            return self.labels.get(own);
        }
        self.labels.get(self.ordinals.binary_search(&ordinal).ok()?)
    }

    /// Whether any stream between these two, both included, is selected.
    fn any_between(&self, first: u32, last: u32) -> bool {
        let at = self.ordinals.partition_point(|o| *o < first);
        self.ordinals.get(at).is_some_and(|o| *o <= last)
    }
}

/// Opens a segment and finds what of it has to be looked at.
pub(crate) fn plan(
    scope: &Scope,
    source: usize,
    handle: &Arc<SegmentHandle>,
) -> Result<SegmentPlan, StoreError> {
    let segment = handle.open()?;
    count(&scope.counters.segments, 1);
    let table = segment.table()?;
    let hidden = scope.view.hidden_in(handle);
    let in_range = |(_, block): &(u32, &BlockRow)| scope.range.overlaps(block.time.0, block.time.1);
    let mut blocks: Vec<u32> = (0u32..).zip(&table.blocks).filter(in_range).map(|(i, _)| i).collect();
    count(&scope.counters.blocks_considered, table.blocks.len() as u64);
    count(&scope.counters.blocks_out_of_time, (table.blocks.len() - blocks.len()) as u64);
    let streams;
    if let Some(few) = few(scope, &segment) {
        streams = find_streams(scope, &segment, few)?;
        keep_selected(scope, &mut blocks, &table, &streams);
        rule_out(scope.query.needle(), scope, &segment, &mut blocks);
    } else {
        // A look at all streams costs more than one at the text index, and is not needed where that leaves no block.
        rule_out(scope.query.needle(), scope, &segment, &mut blocks);
        if segment.meta().streams > MANY_STREAMS {
            return Ok(SegmentPlan {
                handle: Arc::clone(handle),
                segment,
                table,
                streams: None,
                source,
                blocks,
                hidden,
                of_lines: false,
            });
        }
        streams = if blocks.is_empty() { Streams::default() } else { filter_streams(scope, &segment, ALL)? };
        keep_selected(scope, &mut blocks, &table, &streams);
    }
    let mut of_lines = false;
    if scope.query.labels_asked_for().next().is_some() && not_of_streams(scope, &streams) {
        rule_out(scope.query.entry_needle(), scope, &segment, &mut blocks);
        of_lines = not_of_metadata(scope, &table);
    }
    let streams = Some(streams);
    Ok(SegmentPlan { handle: Arc::clone(handle), segment, table, streams, source, blocks, hidden, of_lines })
}

/// The selected streams, if looking up each of them in the segment is less than a look at all that it has.
pub(crate) fn few<'s>(scope: &'s Scope, segment: &Segment) -> Option<&'s Vec<Arc<Labels>>> {
    let chunks = (segment.meta().streams as usize).div_ceil(STREAMS_PER_CHUNK);
    scope.few.as_ref().filter(|few| few.len() < chunks)
}

fn keep_selected(scope: &Scope, blocks: &mut Vec<u32>, table: &BlockTable, streams: &Streams) {
    let before = blocks.len();
    blocks.retain(|block| {
        let row = table.blocks.get(*block as usize);
        row.is_some_and(|row| streams.any_between(row.streams.0, row.streams.1))
    });
    count(&scope.counters.blocks_of_other_streams, (before - blocks.len()) as u64);
}

/// The streams of a short list, each looked up.
fn find_streams(scope: &Scope, segment: &Segment, few: &[Arc<Labels>]) -> Result<Streams, StoreError> {
    let mut streams = Streams::default();
    // Sorted, as the table is, so the ordinals ascend.
    for labels in few {
        if let Some((ordinal, row)) = segment.find_stream(labels)?
            && scope.range.overlaps(row.time.0, row.time.1)
        {
            streams.push(ordinal, scope.part.shown(Arc::clone(labels)));
        }
    }
    Ok(streams)
}

/// The selected streams of a part of the table by a look at all of them.
fn filter_streams(scope: &Scope, segment: &Segment, ordinals: (u32, u32)) -> Result<Streams, StoreError> {
    let mut streams = Streams::default();
    segment.selected_between(ordinals, &scope.part.selector, |ordinal, row| {
        if scope.range.overlaps(row.time.0, row.time.1) {
            streams.push(ordinal, scope.part.shown(Arc::new(row.labels)));
        }
    })?;
    Ok(streams)
}

/// Whether none of the streams has a label that the query's stages ask for.
fn not_of_streams(scope: &Scope, streams: &Streams) -> bool {
    let mut labels = scope.query.labels_asked_for();
    labels.all(|(name, _)| streams.labels.iter().all(|labels| labels.get(name).is_none()))
}

/// Whether nothing has metadata with the name of a label that stages may make of lines.
fn not_of_metadata(scope: &Scope, table: &BlockTable) -> bool {
    let mut labels = scope.query.labels_asked_for().filter(|(_, of_lines)| *of_lines);
    labels.all(|(name, _)| table.names.iter().all(|known| **known != *name))
}

/// Drops the blocks that cannot hold what a line must contain.
fn rule_out(needle: &Needle, scope: &Scope, segment: &Segment, blocks: &mut Vec<u32>) {
    if *needle == Needle::Any || blocks.len() < MIN_BLOCKS_FOR_INDEX {
        return;
    }
    match segment.text() {
        Ok(Some(text)) => {
            let candidates: BlockSet = text.candidates(needle);
            let before = blocks.len();
            blocks.retain(|block| candidates.contains(*block));
            count(&scope.counters.blocks_ruled_out, (before - blocks.len()) as u64);
        }
        Ok(None) => {}
        // The index is derived data: without it every block is scanned, and the answer is the same.
        Err(error) => {
            metrics::counter!("strandline_query_damaged_text_index_total").increment(1);
            tracing::warn!(%error, "a text index cannot be read; all blocks are scanned");
        }
    }
}
