//! The stream table: which streams a segment holds, in order, in chunks, so that one stream is found by reading one.

use crate::codec::Codec;
use crate::invariant::invariant;
use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use strandline_model::Labels;

/// Streams per chunk.
pub(crate) const CHUNK: usize = 256;

/// One stream of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// Its labels; rows of the table are sorted by them.
    pub labels: Labels,
    /// Entries.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of their structured metadata, names and values, without `detected_level`; 0 where the segment is of a time
    /// before this was counted.
    pub metadata_bytes: u64,
    /// Earliest and latest timestamp.
    pub time: (i64, i64),
    /// First and last block with entries of the stream; all blocks between hold nothing else.
    pub blocks: (u32, u32),
}

/// What one stream has in a segment, without its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCounts {
    /// Entries.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of their structured metadata, names and values, without `detected_level`; 0 where the segment is of a time
    /// before this was counted.
    pub metadata_bytes: u64,
    /// Earliest and latest timestamp.
    pub time: (i64, i64),
    /// First and last block with entries of the stream; all blocks between hold nothing else.
    pub blocks: (u32, u32),
}

/// Where a chunk lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) first: Labels,
    pub(crate) rows: u32,
    pub(crate) codec: Codec,
    /// From the start of the file.
    pub(crate) offset: u64,
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) crc: u32,
}

/// Appends a label set.
pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

pub(crate) fn take_labels(reader: &mut Reader<'_>) -> Option<Labels> {
    let n = reader.count(2)?;
    let from = *reader;
    for _ in 0..2 * n {
        reader.bytes()?;
    }
    let (mut pairs, mut left) = (from, n);
    let pairs = std::iter::from_fn(|| {
        left = left.checked_sub(1)?;
        Some((pairs.text()?, pairs.text()?))
    });
    // The lengths are at most two bytes each for all but the longest of labels: room for the text, and little more.
    let room = from.rest().len() - reader.rest().len() - 2 * n;
    // A pair that is no text ends them early.
    Labels::from_ordered(pairs, n, room).filter(|labels| labels.len() == n)
}

pub(crate) fn encode_chunk(rows: &[StreamRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 96);
    for row in rows {
        put_labels(&mut out, &row.labels);
    }
    invariant!(rows.len() <= CHUNK, "a chunk of {} streams", rows.len());
    let (mut block, mut time) = (0, 0);
    for row in rows {
        invariant!(row.time.0 <= row.time.1, "a stream's times are reversed");
        put_varint(&mut out, row.rows);
        put_varint(&mut out, row.line_bytes);
        put_signed(&mut out, row.time.0.wrapping_sub(time));
        put_signed(&mut out, row.time.1.wrapping_sub(row.time.0));
        put_varint(&mut out, u64::from(row.blocks.0 - block));
        put_varint(&mut out, u64::from(row.blocks.1 - row.blocks.0));
        (block, time) = (row.blocks.0, row.time.0);
    }
    put_sizes(&mut out, rows.iter().map(|row| row.metadata_bytes));
    out
}

/// Appends sizes, unless all are 0.
pub(crate) fn put_sizes(out: &mut Vec<u8>, sizes: impl Iterator<Item = u64> + Clone) {
    if sizes.clone().any(|size| size > 0) {
        sizes.for_each(|size| put_varint(out, size));
    }
}

/// Reads what [`put_sizes`] appended for the things that `size` names, which is the rest.
pub(crate) fn take_sizes<T>(
    reader: &mut Reader<'_>,
    things: &mut [T],
    size: impl Fn(&mut T) -> &mut u64,
) -> Option<()> {
    if !reader.rest().is_empty() {
        for thing in things {
            *size(thing) = reader.varint()?;
        }
    }
    reader.end()
}

pub(crate) fn decode_chunk(bytes: &[u8], rows: usize) -> Option<Vec<StreamRow>> {
    let mut all = Vec::with_capacity(rows.min(CHUNK));
    decode_chunk_where(bytes, rows, |_, _| true, |_, row| all.push(row))?;
    Some(all)
}

/// Calls `each` with the streams of a chunk that `wanted` accepts by their place in it and their labels; of the others
/// no labels are made.
pub(crate) fn decode_chunk_where(
    bytes: &[u8],
    rows: usize,
    mut wanted: impl FnMut(u32, &[(&str, &str)]) -> bool,
    mut each: impl FnMut(u32, StreamRow),
) -> Option<()> {
    if rows > CHUNK {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let mut found: Vec<Option<Labels>> = Vec::with_capacity(rows);
    let mut pairs = Vec::new();
    for i in 0..rows as u32 {
        let before = reader.rest().len();
        pairs.clear();
        for _ in 0..reader.count(2)? {
            pairs.push((reader.text()?, reader.text()?));
        }
        let labels = || {
            // Lengths are one or two bytes for all but the longest labels: room for the text, and little more.
            let room = before.saturating_sub(reader.rest().len() + 2 * pairs.len());
            Labels::from_ordered(pairs.iter().copied(), pairs.len(), room)
        };
        found.push(if wanted(i, &pairs) { Some(labels()?) } else { None });
    }
    let counts = take_counts(reader, rows)?;
    for ((i, labels), counts) in (0u32..).zip(found).zip(counts) {
        let StreamCounts { rows, line_bytes, metadata_bytes, time, blocks } = counts;
        if let Some(labels) = labels {
            each(i, StreamRow { labels, rows, line_bytes, metadata_bytes, time, blocks });
        }
    }
    Some(())
}

/// Calls `each` with the place, the labels and the counts of every stream of a chunk; no label set is made. `None` from
/// `each` says that the labels are none.
pub(crate) fn decode_chunk_counts(
    bytes: &[u8],
    rows: usize,
    mut each: impl FnMut(u32, &[(&str, &str)], StreamCounts) -> Option<()>,
) -> Option<()> {
    if rows > CHUNK {
        return None;
    }
    // The counts come behind all labels: these are passed over once to get there.
    let mut reader = Reader::new(bytes);
    for _ in 0..rows {
        for _ in 0..reader.count(2)? {
            reader.bytes()?;
            reader.bytes()?;
        }
    }
    let (counts, mut reader) = (take_counts(reader, rows)?, Reader::new(bytes));
    let mut pairs = Vec::new();
    for (i, counts) in (0u32..).zip(counts) {
        pairs.clear();
        for _ in 0..reader.count(2)? {
            pairs.push((reader.text()?, reader.text()?));
        }
        each(i, &pairs, counts)?;
    }
    Some(())
}

/// Reads the counts of a chunk's streams, each told by its distance from the one before.
fn take_counts(mut reader: Reader<'_>, streams: usize) -> Option<Vec<StreamCounts>> {
    let mut all = Vec::with_capacity(streams.min(CHUNK));
    let (mut block, mut time) = (0u32, 0i64);
    for _ in 0..streams {
        let (rows, line_bytes) = (reader.varint()?, reader.varint()?);
        time = time.wrapping_add(reader.signed()?);
        let last_time = time.wrapping_add(reader.signed()?);
        block = block.checked_add(reader.u32()?)?;
        let last = block.checked_add(reader.u32()?)?;
        let (time, blocks) = ((time, last_time), (block, last));
        all.push(StreamCounts { rows, line_bytes, metadata_bytes: 0, time, blocks });
    }
    take_sizes(&mut reader, &mut all, |counts| &mut counts.metadata_bytes)?;
    Some(all)
}

pub(crate) fn encode_directory(chunks: &[ChunkPlace]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, chunks.len() as u64);
    for chunk in chunks {
        put_labels(&mut out, &chunk.first);
        put_varint(&mut out, u64::from(chunk.rows));
        out.push(chunk.codec as u8);
        put_varint(&mut out, chunk.offset);
        put_varint(&mut out, u64::from(chunk.stored_len));
        put_varint(&mut out, u64::from(chunk.raw_len));
        out.extend_from_slice(&chunk.crc.to_le_bytes());
    }
    out
}

pub(crate) fn decode_directory(bytes: &[u8]) -> Option<Vec<ChunkPlace>> {
    let mut reader = Reader::new(bytes);
    let chunks = (0..reader.count(9)?)
        .map(|_| {
            Some(ChunkPlace {
                first: take_labels(&mut reader)?,
                rows: reader.u32()?,
                codec: Codec::from_byte(reader.byte()?)?,
                offset: reader.varint()?,
                stored_len: reader.u32()?,
                raw_len: reader.u32()?,
                crc: u32::from_le_bytes(reader.fixed()?),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    reader.end()?;
    chunks.iter().all(|chunk| chunk.rows as usize <= CHUNK).then_some(chunks)
}
