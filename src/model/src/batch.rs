//! A decoded, checked push on its way to the log: the unit of the WAL, and what the head keeps.

use crate::labels::{Labels, StreamId};
use crate::metadata::Metadata;
use crate::tenant::TenantId;
use std::ops::Range;
use std::sync::Arc;

/// Lines of one tenant, grouped by stream, in arrival order. All line and metadata bytes lie in one buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Owner.
    pub tenant: TenantId,
    /// The streams; each stands once.
    pub streams: Vec<BatchStream>,
    /// The entries of all streams, stream after stream.
    pub entries: Vec<BatchEntry>,
    /// Per entry its line, directly followed by its packed metadata.
    pub bytes: Vec<u8>,
}

/// One stream of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStream {
    /// Hash of the canonical label text.
    pub id: StreamId,
    /// The labels.
    pub labels: Arc<Labels>,
    /// Which of the batch's entries are the stream's.
    pub entries: Range<u32>,
}

/// Time and place of one entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry {
    /// Nanoseconds since the epoch.
    pub ts: i64,
    /// Where the line starts in the batch's bytes.
    pub start: u32,
    /// Length of the line.
    pub line_bytes: u32,
    /// Length of the packed metadata behind the line.
    pub metadata_bytes: u32,
}

impl Batch {
    /// The line of `entry`.
    pub fn line(&self, entry: &BatchEntry) -> &[u8] {
        let start = entry.start as usize;
        self.bytes.get(start..start + entry.line_bytes as usize).unwrap_or_default()
    }

    /// The metadata of `entry`.
    pub fn metadata(&self, entry: &BatchEntry) -> Metadata<'_> {
        let start = entry.start as usize + entry.line_bytes as usize;
        Metadata(self.bytes.get(start..start + entry.metadata_bytes as usize).unwrap_or_default())
    }

    /// The entries of `stream`.
    pub fn stream_entries(&self, stream: &BatchStream) -> &[BatchEntry] {
        self.entries.get(stream.entries.start as usize..stream.entries.end as usize).unwrap_or_default()
    }

    /// Bytes that the batch holds in memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<BatchEntry>()
            + self.streams.capacity() * size_of::<BatchStream>()
    }
}

/// What a vector of this capacity takes while it grows to hold `wanted`.
fn grown(capacity: usize, wanted: usize) -> usize {
    if wanted <= capacity { capacity } else { wanted.max(2 * capacity) + capacity }
}

/// Builds a batch stream by stream.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// An empty batch of `tenant`, with space for about `bytes` of lines.
    pub fn new(tenant: TenantId, bytes: usize) -> Self {
        let batch =
            Batch { tenant, streams: Vec::new(), entries: Vec::new(), bytes: Vec::with_capacity(bytes) };
        Self { batch }
    }

    /// Begins a stream; the entries that follow are its own. A stream without entries leaves no trace.
    pub fn begin_stream(&mut self, labels: Arc<Labels>) {
        self.begin_known_stream(labels.stream_id(), labels);
    }

    /// As [`Self::begin_stream`] for a caller that has hashed the labels already; `id` is theirs.
    pub fn begin_known_stream(&mut self, id: StreamId, labels: Arc<Labels>) {
        self.drop_empty_stream();
        let at = self.batch.entries.len() as u32;
        self.batch.streams.push(BatchStream { id, labels, entries: at..at });
    }

    /// Adds an entry to the stream begun last. Returns false (and adds nothing) when the batch would pass 4 GiB.
    pub fn push(&mut self, ts: i64, line: &[u8], metadata: &mut Vec<(&str, &str)>) -> bool {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(line);
        Metadata::pack(&mut self.batch.bytes, metadata);
        self.seal_entry(ts, start, line.len())
    }

    /// Adds an entry whose metadata is packed already.
    pub fn push_packed(&mut self, ts: i64, line: &[u8], metadata: Metadata<'_>) -> bool {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(line);
        self.batch.bytes.extend_from_slice(metadata.0);
        self.seal_entry(ts, start, line.len())
    }

    fn seal_entry(&mut self, ts: i64, start: usize, line_bytes: usize) -> bool {
        let end = self.batch.bytes.len();
        let Some(stream) = self.batch.streams.last_mut() else {
            self.batch.bytes.truncate(start);
            return false;
        };
        if u32::try_from(end).is_err() || self.batch.entries.len() >= u32::MAX as usize - 1 {
            self.batch.bytes.truncate(start);
            return false;
        }
        self.batch.entries.push(BatchEntry {
            ts,
            start: start as u32,
            line_bytes: line_bytes as u32,
            metadata_bytes: (end - start - line_bytes) as u32,
        });
        stream.entries.end += 1;
        true
    }

    /// Entries so far.
    pub fn len(&self) -> usize {
        self.batch.entries.len()
    }

    /// Bytes of lines and packed metadata so far.
    pub fn bytes(&self) -> usize {
        self.batch.bytes.len()
    }

    /// Bytes that the batch holds at most while one more entry of `line_bytes` and one more stream are added, roughly:
    /// where a vector has to grow, its old and its new place.
    #[inline]
    pub fn memory_bytes_with(&self, line_bytes: usize) -> usize {
        let batch = &self.batch;
        grown(batch.bytes.capacity(), batch.bytes.len() + line_bytes)
            + grown(batch.entries.capacity(), batch.entries.len() + 1) * size_of::<BatchEntry>()
            + grown(batch.streams.capacity(), batch.streams.len() + 1) * size_of::<BatchStream>()
    }

    /// Whether there is no entry yet.
    pub fn is_empty(&self) -> bool {
        self.batch.entries.is_empty()
    }

    fn drop_empty_stream(&mut self) {
        if self.batch.streams.last().is_some_and(|s| s.entries.is_empty()) {
            self.batch.streams.pop();
        }
    }

    /// The batch.
    pub fn finish(mut self) -> Batch {
        self.drop_empty_stream();
        self.batch
    }
}
