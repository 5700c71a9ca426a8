//! A block: a run of entries sorted by stream and time, its columns apart so that a query decodes what it needs.

use super::column::{MetadataBuilder, encode_lengths, encode_runs, encode_times};
pub use super::column::{MetadataColumn, Run};
use super::table::{BlockRow, LevelCount};
use crate::invariant::invariant;
use crate::wire::put_bytes;
use std::collections::BTreeMap;
use strandline_model::Metadata;

/// Most distinct metadata names in one block; a row with a new name beyond it begins the next block, so that names
/// made up by a client cannot multiply columns by rows.
const MAX_NAMES: usize = 256;
/// Most rows in one block.
const MAX_ROWS: usize = 1 << 16;
/// Most values of `detected_level` that are counted apart in the block table.
const MAX_LEVELS: usize = 16;

/// Which columns of a block to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    /// Timestamps.
    pub times: bool,
    /// Streams.
    pub streams: bool,
    /// Line lengths.
    pub lengths: bool,
    /// Line bytes (and lengths).
    pub lines: bool,
    /// All structured metadata.
    pub metadata: bool,
}

impl Columns {
    /// Everything.
    pub const ALL: Self = Self { times: true, streams: true, lengths: true, lines: true, metadata: true };
}

/// A block as read back. Columns that were not asked for are empty.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Number of entries.
    pub rows: usize,
    /// Timestamps, ascending within a stream.
    pub times: Vec<i64>,
    /// Streams.
    pub runs: Vec<Run>,
    /// `rows + 1` offsets into `lines`; line `i` is `lines[starts[i]..starts[i + 1] - 1]`.
    pub starts: Vec<u32>,
    /// The lines, each followed by a newline.
    pub lines: Vec<u8>,
    /// One column per metadata name, by name.
    pub metadata: Vec<MetadataColumn>,
}

impl Block {
    /// The line of `row`.
    pub fn line(&self, row: usize) -> &[u8] {
        match (self.starts.get(row), self.starts.get(row + 1)) {
            (Some(&start), Some(&end)) => {
                self.lines.get(start as usize..end as usize - 1).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Length of the line of `row`.
    pub fn line_len(&self, row: usize) -> u32 {
        match (self.starts.get(row), self.starts.get(row + 1)) {
            (Some(start), Some(end)) => end - start - 1,
            _ => 0,
        }
    }

    /// The rows of the stream with this ordinal.
    pub fn rows_of(&self, stream: u32) -> std::ops::Range<usize> {
        let at = self.runs.partition_point(|run| run.stream < stream);
        match self.runs.get(at).filter(|run| run.stream == stream) {
            Some(run) => run.start as usize..(run.start + run.rows) as usize,
            None => 0..0,
        }
    }

    /// Metadata of `row`, packed into `buffer`.
    pub fn packed_metadata<'a>(&self, row: usize, buffer: &'a mut Vec<u8>) -> Metadata<'a> {
        buffer.clear();
        for (name, value) in self.metadata_of(row) {
            put_bytes(buffer, name.as_bytes());
            put_bytes(buffer, value.as_bytes());
        }
        Metadata(buffer)
    }

    /// Metadata of `row`, by name.
    pub fn metadata_of(&self, row: usize) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.metadata.iter().filter_map(move |c| c.get(row).map(|v| (&*c.name, v)))
    }
}

/// An encoded column, not yet compressed.
#[derive(Debug)]
pub(crate) struct RawColumn {
    pub(crate) kind: u8,
    /// For metadata the index in the segment's name table.
    pub(crate) name: u32,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) const TIMES: u8 = 0;
pub(crate) const STREAMS: u8 = 1;
pub(crate) const LENGTHS: u8 = 2;
pub(crate) const LINES: u8 = 3;
pub(crate) const METADATA: u8 = 4;

/// Collects rows until the block is full.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    times: Vec<i64>,
    runs: Vec<Run>,
    lengths: Vec<u32>,
    lines: Vec<u8>,
    metadata: BTreeMap<u32, MetadataBuilder>,
    metadata_bytes: usize,
    /// Bytes of all rows' metadata, as they count for volumes.
    counted_bytes: u64,
}

impl BlockBuilder {
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Bytes of lines and distinct metadata so far.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.len() + self.metadata_bytes
    }

    /// Whether a row with these metadata names still fits.
    pub(crate) fn has_room(&self, names: &[u32], block_bytes: usize) -> bool {
        let new_names = names.iter().filter(|n| !self.metadata.contains_key(n)).count();
        self.rows() < MAX_ROWS && self.bytes() < block_bytes && self.metadata.len() + new_names <= MAX_NAMES
    }

    /// Adds a row; `names` are the indices of the metadata names in the segment's name table, and the bytes that the
    /// metadata counts for.
    pub(crate) fn push(
        &mut self,
        stream: u32,
        ts: i64,
        line: &[u8],
        metadata: Metadata<'_>,
        (names, metadata_bytes): (&[u32], u64),
    ) {
        let row = self.rows();
        match self.runs.last_mut() {
            Some(run) if run.stream == stream => run.rows += 1,
            _ => self.runs.push(Run { stream, start: row as u32, rows: 1 }),
        }
        self.times.push(ts);
        self.lengths.push(line.len() as u32);
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.counted_bytes += metadata_bytes;
        for ((_, value), name) in metadata.iter().zip(names) {
            self.metadata_bytes += self.metadata.entry(*name).or_default().set(row, value);
        }
    }

    /// The line column, for the text index.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The distinct metadata of the block: name index and value.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (u32, &str)> {
        self.metadata.iter().flat_map(|(name, column)| column.values().map(move |v| (*name, v)))
    }

    /// Encodes and empties the block: its columns, and its row of the block table without the columns' places.
    pub(crate) fn finish(&mut self, level_name: Option<u32>) -> (Vec<RawColumn>, BlockRow) {
        let rows = self.rows();
        let level = level_name.and_then(|name| self.metadata.get(&name));
        invariant!(self.lengths.len() == rows, "{} lengths of {rows} rows", self.lengths.len());
        invariant!(self.runs.iter().map(|run| run.rows as usize).sum::<usize>() == rows, "runs miss rows");
        invariant!(self.runs.is_sorted_by(|a, b| a.stream < b.stream), "streams of a block are out of order");
        invariant!(self.lines.len() >= rows, "{} bytes of {rows} lines", self.lines.len());
        let summary = BlockRow {
            offset: 0,
            rows: rows as u32,
            line_bytes: self.lines.len() as u64 - rows as u64,
            metadata_bytes: self.counted_bytes,
            time: (
                self.times.iter().copied().min().unwrap_or(0),
                self.times.iter().copied().max().unwrap_or(0),
            ),
            streams: (self.runs.first().map_or(0, |r| r.stream), self.runs.last().map_or(0, |r| r.stream)),
            levels: level.map(|column| self.level_counts(column)).unwrap_or_default(),
            columns: Vec::new(),
        };
        let plain = |kind, bytes| RawColumn { kind, name: 0, bytes };
        let mut columns = vec![
            plain(TIMES, encode_times(&self.times)),
            plain(STREAMS, encode_runs(&self.runs)),
            plain(LENGTHS, encode_lengths(&self.lengths)),
            plain(LINES, std::mem::take(&mut self.lines)),
        ];
        for (name, column) in &mut self.metadata {
            columns.push(RawColumn { kind: METADATA, name: *name, bytes: column.encode(rows) });
        }
        *self = Self {
            lines: Vec::with_capacity(columns.get(3).map_or(0, |c| c.bytes.len())),
            ..Self::default()
        };
        (columns, summary)
    }

    fn level_counts(&self, column: &MetadataBuilder) -> Vec<LevelCount> {
        let mut counts: Vec<LevelCount> =
            column.values().map(|v| LevelCount { level: v.into(), rows: 0, bytes: 0 }).collect();
        for (code, length) in column.codes.iter().zip(&self.lengths) {
            if let Some(count) = (*code as usize).checked_sub(1).and_then(|i| counts.get_mut(i)) {
                count.rows += 1;
                count.bytes += u64::from(*length);
            }
        }
        // A client's own levels can be anything; a table of them would not be a summary.
        if counts.len() > MAX_LEVELS { Vec::new() } else { counts }
    }
}
