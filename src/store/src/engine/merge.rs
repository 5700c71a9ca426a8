//! Merging segments: rows of equal streams together, by time, each once, without what retention has expired and what
//! was deleted.

use crate::deletes::{Delete, Hiding};
use crate::error::{Corruption, StoreError};
use crate::invariant::invariant;
use crate::segment::{Block, Columns, Segment, SegmentWriter, StreamRow};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use strandline_model::{Labels, Metadata};

/// Reads a segment's rows in order, one chunk of streams and one block at a time.
struct Source {
    segment: Arc<Segment>,
    chunk: VecDeque<StreamRow>,
    next_chunk: usize,
    next_ordinal: u32,
    /// The stream at hand.
    stream: Option<(u32, StreamRow)>,
    /// Its labels.
    last: Option<Labels>,
    block: Option<(u32, Block)>,
    /// Rows of the stream in the block that are still to come.
    rows: std::ops::Range<usize>,
    packed: Vec<u8>,
    hidden: Hiding,
    /// Those of `hidden` that may mean lines of the stream at hand.
    deletes: Vec<Arc<Delete>>,
}

impl Source {
    fn new((segment, hidden): (Arc<Segment>, Hiding)) -> Result<Self, StoreError> {
        let mut source = Self {
            segment,
            chunk: VecDeque::new(),
            next_chunk: 0,
            next_ordinal: 0,
            stream: None,
            last: None,
            block: None,
            rows: 0..0,
            packed: Vec::new(),
            hidden,
            deletes: Vec::new(),
        };
        source.next_stream()?;
        Ok(source)
    }

    fn labels(&self) -> Option<&Labels> {
        self.stream.as_ref().map(|(_, row)| &row.labels)
    }

    fn take_labels(&mut self) -> Labels {
        invariant!(self.stream.is_some(), "a merge takes a stream of a source that is at its end");
        self.stream.as_mut().map(|(_, row)| std::mem::take(&mut row.labels)).unwrap_or_default()
    }

    fn next_stream(&mut self) -> Result<(), StoreError> {
        if self.chunk.is_empty() && self.next_chunk < self.segment.chunk_count()? {
            self.chunk = self.segment.stream_chunk(self.next_chunk)?.into();
            self.next_chunk += 1;
        }
        self.stream = self.chunk.pop_front().map(|row| (self.next_ordinal, row));
        // The writer states the same of its own; of a file it is damage.
        if let (Some((_, row)), Some(last)) = (&self.stream, &self.last)
            && row.labels <= *last
        {
            return Err(self.damaged("stream table", "streams are out of order"));
        }
        self.last = self.stream.as_ref().map(|(_, row)| row.labels.clone());
        self.next_ordinal += 1;
        self.rows = 0..0;
        if let Some((_, row)) = &self.stream {
            let may_mean = |d: &&Arc<Delete>| d.overlaps(row.time) && d.selects(&row.labels);
            self.deletes = self.hidden.0.iter().filter(may_mean).cloned().collect();
            let first = row.blocks.0;
            self.enter(first)?;
        }
        Ok(())
    }

    fn damaged(&self, part: &str, what: &str) -> StoreError {
        Corruption::new(&self.segment.meta().path(), part, what).into()
    }

    /// Makes `block` the one at hand, with the present stream's rows in it.
    fn enter(&mut self, block: u32) -> Result<(), StoreError> {
        if self.block.as_ref().is_none_or(|(at, _)| *at != block) {
            self.block = None;
            self.block = Some((block, self.segment.block(block as usize, Columns::ALL)?));
        }
        if let (Some((ordinal, _)), Some((_, block))) = (&self.stream, &self.block) {
            self.rows = block.rows_of(*ordinal);
        }
        Ok(())
    }

    /// Moves to the stream's next row; false when there is none left.
    fn ready(&mut self) -> Result<bool, StoreError> {
        while self.rows.is_empty() {
            let next = match (&self.stream, &self.block) {
                (Some((_, row)), Some((at, _))) if *at < row.blocks.1 => *at + 1,
                _ => return Ok(false),
            };
            self.enter(next)?;
        }
        Ok(true)
    }

    fn ts(&self) -> i64 {
        let ts = self.block.as_ref().and_then(|(_, b)| b.times.get(self.rows.start)).copied();
        invariant!(ts.is_some(), "a merge takes a row that its source has not");
        ts.unwrap_or(i64::MAX)
    }

    /// The row at hand, and the delete that means it, if one does.
    fn row(&mut self, labels: &Labels) -> (&[u8], Metadata<'_>, Option<u64>) {
        let (ts, row) = (self.ts(), self.rows.start);
        let (line, metadata) = match &self.block {
            Some((_, block)) => (block.line(row), block.packed_metadata(row, &mut self.packed)),
            None => {
                invariant!(false, "a merge takes a line of no block");
                (&[][..], Metadata::default())
            }
        };
        let deleted = self.deletes.iter().find(|delete| delete.takes(labels, ts, line, metadata));
        (line, metadata, deleted.map(|delete| delete.record().number))
    }
}

/// What a merge left out.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Rows that were deleted, by the number of the delete.
    pub(super) erased: BTreeMap<u64, u64>,
    /// Whether any stream lost all its rows.
    pub(super) vanished: bool,
}

/// Where merged rows go.
pub(super) trait Sink {
    /// The writer for the next rows, and whether it is a new one (so that the stream has to begin again).
    fn writer(&mut self) -> Result<(&mut SegmentWriter, bool), StoreError>;
    /// Called between rows: waits when others need the machine. False stops the merge.
    fn pace(&mut self) -> bool;
}

/// Rows between two calls of [`Sink::pace`].
const PACE_ROWS: usize = 2048;

/// Merges `segments` (in order of their sequences) into `sink`. `cutoff` names, per stream, the time before which
/// rows have expired; with each segment comes what is deleted in it. Returns `None` when the sink stopped the merge.
pub(super) fn merge(
    segments: Vec<(Arc<Segment>, Hiding)>,
    sink: &mut impl Sink,
    cutoff: impl Fn(&Labels) -> i64,
) -> Result<Option<Merged>, StoreError> {
    let mut merged = Merged::default();
    let mut sources = segments.into_iter().map(Source::new).collect::<Result<Vec<_>, _>>()?;
    let mut until_pause = PACE_ROWS;
    while let Some(first) = first_by_labels(&sources) {
        let labels = sources.get_mut(first).map(Source::take_labels).unwrap_or_default();
        let same = sources.iter_mut().enumerate().filter(|(i, s)| *i == first || s.labels() == Some(&labels));
        let mut same: Vec<&mut Source> = same.map(|(_, source)| source).collect();
        let mut stream = StreamMerge {
            labels: &labels,
            cutoff: cutoff(&labels),
            begun: false,
            until_pause: &mut until_pause,
            erased: &mut merged.erased,
        };
        if !stream.run(&mut same, sink)? {
            return Ok(None);
        }
        merged.vanished |= !stream.begun;
        for source in same {
            source.next_stream()?;
        }
    }
    Ok(Some(merged))
}

/// The first of those sources that stand at the least label set.
fn first_by_labels(sources: &[Source]) -> Option<usize> {
    let labels = sources.iter().enumerate().filter_map(|(i, source)| Some((source.labels()?, i)));
    labels.min().map(|(_, i)| i)
}

struct StreamMerge<'a> {
    labels: &'a Labels,
    cutoff: i64,
    begun: bool,
    /// Rows until the sink is asked again, whatever streams they are of.
    until_pause: &'a mut usize,
    erased: &'a mut BTreeMap<u64, u64>,
}

impl StreamMerge<'_> {
    /// Takes, again and again, all rows with the earliest time: one in the usual case, which is not copied. False when
    /// the sink stopped the merge.
    fn run(&mut self, sources: &mut [&mut Source], sink: &mut impl Sink) -> Result<bool, StoreError> {
        let mut last = i64::MIN;
        loop {
            let mut earliest: Option<i64> = None;
            for source in sources.iter_mut() {
                if source.ready()? {
                    earliest = Some(earliest.map_or(source.ts(), |t| t.min(source.ts())));
                }
            }
            let Some(ts) = earliest else { return Ok(true) };
            if ts < last {
                let back = sources.iter().find(|s| !s.rows.is_empty() && s.ts() == ts);
                let damage = back.map(|s| s.damaged("block", "rows of a stream are out of order"));
                return Err(damage.unwrap_or(StoreError::Poisoned));
            }
            last = ts;
            if !self.take(ts, sources, sink)? {
                return Ok(false);
            }
        }
    }

    fn take(
        &mut self,
        ts: i64,
        sources: &mut [&mut Source],
        sink: &mut impl Sink,
    ) -> Result<bool, StoreError> {
        let mut seen: HashSet<u128> = HashSet::new();
        let several = sources.iter().filter(|s| !s.rows.is_empty() && s.ts() == ts).count() > 1;
        for source in sources.iter_mut() {
            while source.ready()? && source.ts() == ts {
                let (line, metadata, deleted) = source.row(self.labels);
                // Rows of one segment are distinct already; only rows of different ones can repeat. One that is deleted
                // does not count: the same line can have been pushed again since.
                if let Some(number) = deleted {
                    *self.erased.entry(number).or_default() += 1;
                } else if !several || seen.insert(super::flush::identity(ts, line, metadata)) {
                    self.emit(ts, line, metadata, sink)?;
                }
                source.rows.start += 1;
                // Here and not between streams alone: one stream can be all that a day has.
                *self.until_pause -= 1;
                if *self.until_pause == 0 {
                    *self.until_pause = PACE_ROWS;
                    if !sink.pace() {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn emit(
        &mut self,
        ts: i64,
        line: &[u8],
        metadata: Metadata<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), StoreError> {
        if ts < self.cutoff {
            return Ok(());
        }
        let (writer, is_new) = sink.writer()?;
        if is_new || !self.begun {
            writer.begin_stream(self.labels)?;
            self.begun = true;
        }
        writer.push(ts, line, metadata)
    }
}
