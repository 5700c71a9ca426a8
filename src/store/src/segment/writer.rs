//! Writing a segment: rows in order of stream and time go in, a sealed, synced, named file comes out.

use super::block::{BlockBuilder, RawColumn};
use super::footer::{Footer, MAX_FOOTER, PartPlace, TAIL};
use super::streams::{CHUNK, ChunkPlace, StreamRow, encode_chunk, encode_directory};
use super::table::{BlockTable, ColumnPlace};
use super::{MAX_PART, Part, part_crc};
use crate::codec::{Compression, compress};
use crate::disk::{Disk, DiskFile};
use crate::error::{AtPath, StoreError};
use crate::invariant::{debug_invariant, invariant};
use crate::manifest::{SegmentId, SegmentMeta};
use crate::text::TextIndexBuilder;
use std::collections::HashMap;
use std::sync::Arc;
use strandline_model::metadata::DETECTED_LEVEL;
use strandline_model::{Day, Labels, Metadata, TenantId};

/// Written in pieces of this size.
const BUFFER_BYTES: usize = 1 << 20;

/// How a segment is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterOptions {
    /// Line bytes after which a block is cut.
    pub(crate) block_bytes: usize,
    pub(crate) compression: Compression,
    /// Whether to build the full-text index.
    pub(crate) index: bool,
}

/// Where the rows of a segment come from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) id: SegmentId,
    pub(crate) tenant: TenantId,
    pub(crate) day: Day,
    pub(crate) compacted: bool,
    pub(crate) seq: (u64, u64),
    /// Set on the last output of a merge: everything that the merge took over.
    pub(crate) replaces: Vec<SegmentId>,
    /// Names the merge; a flushed segment's own id.
    pub(crate) group: SegmentId,
}

/// A segment being written. Dropped unfinished it removes its temporary file (as does the next start).
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    finished: bool,
    disk: Arc<dyn Disk>,
    origin: Origin,
    options: WriterOptions,
    temporary: String,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u64,
    block: BlockBuilder,
    table: BlockTable,
    name_ordinals: HashMap<Arc<str>, u32>,
    row_names: Vec<u32>,
    streams: Vec<StreamRow>,
    chunks: Vec<ChunkPlace>,
    stream_count: u32,
    text: Option<TextIndexBuilder>,
    rows: u64,
    raw_bytes: u64,
    time: (i64, i64),
}

impl SegmentWriter {
    /// Begins a segment in its partition's folder, which is created when missing.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        origin: Origin,
        options: WriterOptions,
    ) -> Result<Self, StoreError> {
        let dir = crate::manifest::partition_dir(&origin.tenant, origin.day);
        disk.create_dir(&dir).at(&dir)?;
        let temporary = format!("{dir}/{}.tmp", origin.id);
        let file = disk.create(&temporary).at(&temporary)?;
        Ok(Self {
            finished: false,
            disk: Arc::clone(disk),
            origin,
            options,
            temporary,
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4),
            written: 0,
            block: BlockBuilder::default(),
            table: BlockTable::default(),
            name_ordinals: HashMap::new(),
            row_names: Vec::new(),
            streams: Vec::new(),
            chunks: Vec::new(),
            stream_count: 0,
            text: options.index.then(TextIndexBuilder::new),
            rows: 0,
            raw_bytes: 0,
            time: (i64::MAX, i64::MIN),
        })
    }

    /// Begins a stream; streams come in the order of their labels.
    pub(crate) fn begin_stream(&mut self, labels: &Labels) -> Result<(), StoreError> {
        let last = self.streams.last();
        invariant!(last.is_none_or(|last| last.labels < *labels), "streams of a segment are out of order");
        invariant!(last.is_none_or(|last| last.rows > 0), "a stream of a segment has no row");
        // A nearly full block is cut here rather than a few rows into the next stream.
        if self.block.bytes() >= self.options.block_bytes / 4 * 3 {
            self.cut_block()?;
        }
        if self.streams.len() == CHUNK {
            self.cut_chunk()?;
        }
        let at = self.table.blocks.len() as u32;
        let time = (i64::MAX, i64::MIN);
        self.streams.push(StreamRow {
            labels: labels.clone(),
            rows: 0,
            line_bytes: 0,
            metadata_bytes: 0,
            time,
            blocks: (at, at),
        });
        self.stream_count += 1;
        Ok(())
    }

    /// Adds a row to the stream begun last; rows come in the order of time.
    pub(crate) fn push(&mut self, ts: i64, line: &[u8], metadata: Metadata<'_>) -> Result<(), StoreError> {
        let metadata_bytes = self.name_row(metadata);
        // A column must not pass what readers take; only lines of hundreds of megabytes come near it.
        let large = self.block.bytes() + line.len() > MAX_PART as usize / 2;
        if large || !self.block.has_room(&self.row_names, self.options.block_bytes) {
            self.cut_block()?;
        }
        let block = self.table.blocks.len() as u32;
        let Some(stream) = self.streams.last_mut() else {
            invariant!(false, "a row of a segment came before its stream");
            return Err(StoreError::Poisoned);
        };
        debug_invariant!(stream.rows == 0 || stream.time.1 <= ts, "rows of a stream are out of order");
        if stream.rows == 0 {
            stream.blocks.0 = block;
        }
        stream.blocks.1 = block;
        stream.rows += 1;
        stream.line_bytes += line.len() as u64;
        stream.metadata_bytes += metadata_bytes;
        for time in [&mut stream.time, &mut self.time] {
            *time = (time.0.min(ts), time.1.max(ts));
        }
        self.rows += 1;
        self.raw_bytes += line.len() as u64;
        self.block.push(self.stream_count - 1, ts, line, metadata, (&self.row_names, metadata_bytes));
        Ok(())
    }

    /// Finds the ordinals of the row's metadata names. Rows next to each other mostly have the same names in the same
    /// order, so the row before is asked first. Returns the bytes of names and values, without the level.
    fn name_row(&mut self, metadata: Metadata<'_>) -> u64 {
        let (mut count, mut bytes) = (0, 0);
        for (name, value) in metadata.iter() {
            if name != DETECTED_LEVEL {
                bytes += (name.len() + value.len()) as u64;
            }
            let before = self.row_names.get(count).and_then(|i| self.table.names.get(*i as usize));
            if before.is_none_or(|before| **before != *name) {
                let ordinal = self.name_ordinal(name);
                self.row_names.truncate(count);
                self.row_names.push(ordinal);
            }
            count += 1;
        }
        self.row_names.truncate(count);
        bytes
    }

    fn name_ordinal(&mut self, name: &str) -> u32 {
        if let Some(ordinal) = self.name_ordinals.get(name) {
            return *ordinal;
        }
        let (ordinal, name) = (self.table.names.len() as u32, Arc::<str>::from(name));
        self.table.names.push(Arc::clone(&name));
        self.name_ordinals.insert(name, ordinal);
        ordinal
    }

    /// Line bytes so far.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Makes this the last output of its merge, the one that makes the merge complete.
    pub(crate) fn close_group(&mut self, replaces: Vec<SegmentId>) {
        self.origin.replaces = replaces;
    }

    /// Memory held by the text index under construction, in bytes.
    pub(crate) fn index_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, TextIndexBuilder::memory_bytes)
    }

    fn cut_block(&mut self) -> Result<(), StoreError> {
        if self.block.rows() == 0 {
            return Ok(());
        }
        if let Some(text) = &mut self.text {
            let names = &self.table.names;
            let named = |(name, value)| names.get(name as usize).map(|n: &Arc<str>| (&**n, value));
            text.add_block(self.block.lines(), self.block.metadata().filter_map(named));
        }
        let level = self.name_ordinals.get(DETECTED_LEVEL).copied();
        let (columns, mut row) = self.block.finish(level);
        invariant!(
            row.time.0 <= row.time.1 && row.streams.0 <= row.streams.1,
            "a block's bounds are reversed"
        );
        invariant!(row.streams.1 < self.stream_count, "a block holds a stream that has not begun");
        row.offset = self.written + self.buffer.len() as u64;
        let block = self.table.blocks.len() as u64;
        let mut offset = 0;
        for (i, column) in columns.iter().enumerate() {
            check_part(Part::Column, column.bytes.len())?;
            let place = self.put_column(column, block << 16 | i as u64, offset);
            offset += place.stored_len;
            row.columns.push(place);
        }
        self.table.blocks.push(row);
        self.spill(BUFFER_BYTES)
    }

    fn put_column(&mut self, column: &RawColumn, index: u64, offset: u32) -> ColumnPlace {
        let start = self.buffer.len();
        let codec = compress(&mut self.buffer, &column.bytes, self.options.compression);
        let stored = self.buffer.get(start..).unwrap_or_default();
        let crc = part_crc(self.origin.id, Part::Column, index, stored);
        ColumnPlace::new(column, codec, offset, stored.len() as u32, crc)
    }

    fn cut_chunk(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.streams.first().map(|s| s.labels.clone()) else { return Ok(()) };
        // Blocks are still being cut while a stream is open, so only finished streams are in the chunk.
        let (rows, index) = (self.streams.len() as u32, self.chunks.len() as u64);
        invariant!(self.streams.len() <= CHUNK, "a chunk of streams is too long: {rows}");
        invariant!(self.streams.iter().all(|s| s.blocks.0 <= s.blocks.1), "a stream's blocks are reversed");
        let raw = encode_chunk(&self.streams);
        let place = self.put_part(Part::StreamChunk, index, &raw)?;
        let PartPlace { codec, offset, stored_len, raw_len, crc, .. } = place;
        self.chunks.push(ChunkPlace { first, rows, codec, offset, stored_len, raw_len, crc });
        self.streams.clear();
        Ok(())
    }

    fn put_part(&mut self, part: Part, index: u64, raw: &[u8]) -> Result<PartPlace, StoreError> {
        check_part(part, raw.len())?;
        let start = self.buffer.len();
        let codec = compress(&mut self.buffer, raw, self.options.compression);
        let stored = self.buffer.get(start..).unwrap_or_default();
        let place = PartPlace {
            part,
            codec,
            offset: self.written + start as u64,
            stored_len: stored.len() as u32,
            raw_len: raw.len() as u32,
            crc: part_crc(self.origin.id, part, index, stored),
        };
        self.spill(BUFFER_BYTES)?;
        Ok(place)
    }

    fn spill(&mut self, at_least: usize) -> Result<(), StoreError> {
        if self.buffer.len() >= at_least && !self.buffer.is_empty() {
            self.file.write_at(&self.buffer, self.written).at(&self.temporary)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Writes the tables and the footer, syncs the file and gives it its name. The caller syncs the folder (once for
    /// all segments of a flush) before the manifest may list the segment. `None` when there was no row.
    pub(crate) fn finish(mut self) -> Result<Option<SegmentMeta>, StoreError> {
        if self.rows == 0 {
            return Ok(None);
        }
        self.cut_block()?;
        self.cut_chunk()?;
        self.check_tables();
        let mut parts = vec![];
        let directory = encode_directory(&self.chunks);
        parts.push(self.put_part(Part::StreamDirectory, 0, &directory)?);
        let table = self.table.encode();
        parts.push(self.put_part(Part::BlockTable, 0, &table)?);
        if let Some(text) = self.text.take() {
            match text.finish() {
                Ok(encoded) => {
                    parts.push(self.put_part(Part::Terms, 0, &encoded.terms)?);
                    parts.push(self.put_part(Part::Postings, 0, &encoded.tantivy)?);
                }
                // The index is derived data: without it the blocks are scanned.
                Err(e) => {
                    tracing::error!(segment = %self.origin.id, error = %e, "the text index could not be built")
                }
            }
        }
        let meta = self.seal(parts)?;
        Ok(Some(meta))
    }

    /// The tables must say what was pushed.
    fn check_tables(&self) {
        let blocks = &self.table.blocks;
        let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
        invariant!(rows == self.rows, "blocks hold {rows} rows, {} were pushed", self.rows);
        for block in blocks {
            let levels = block.levels.iter().map(|level| u64::from(level.rows)).sum::<u64>();
            invariant!(levels <= u64::from(block.rows), "levels of a block count {levels} rows");
            let gapless = block.columns.is_sorted_by(|a, b| a.offset + a.stored_len == b.offset);
            invariant!(gapless, "columns of a block leave gaps");
        }
        let bytes: u64 = blocks.iter().map(|block| block.line_bytes).sum();
        invariant!(bytes == self.raw_bytes, "blocks hold {bytes} line bytes, {} were pushed", self.raw_bytes);
        let streams: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.rows)).sum();
        invariant!(
            streams == u64::from(self.stream_count),
            "chunks hold {streams} streams, not all that came"
        );
        invariant!(
            blocks.iter().all(|b| self.time.0 <= b.time.0 && b.time.1 <= self.time.1),
            "a block lies outside the time of its segment"
        );
        invariant!(blocks.is_sorted_by(|a, b| a.offset < b.offset), "blocks are out of order");
        invariant!(blocks.is_sorted_by(|a, b| a.streams.1 <= b.streams.0), "streams of blocks overlap");
        invariant!(self.chunks.is_sorted_by(|a, b| a.first < b.first), "chunks are out of order");
    }

    fn seal(&mut self, parts: Vec<PartPlace>) -> Result<SegmentMeta, StoreError> {
        let origin = &self.origin;
        let mut meta = SegmentMeta {
            id: origin.id,
            tenant: origin.tenant.clone(),
            day: origin.day,
            compacted: origin.compacted,
            rows: self.rows,
            raw_bytes: self.raw_bytes,
            file_bytes: 0,
            streams: self.stream_count,
            blocks: self.table.blocks.len() as u32,
            time: self.time,
            seq: origin.seq,
        };
        // The file's own length stands in the footer, and changes the footer's length by its varint: two rounds.
        let before = self.written + self.buffer.len() as u64;
        let (replaces, group) = (origin.replaces.clone(), origin.group);
        let mut footer = Footer { meta: meta.clone(), replaces, group, parts };
        let mut encoded = footer.encode();
        while footer.meta.file_bytes != before + encoded.len() as u64 {
            footer.meta.file_bytes = before + encoded.len() as u64;
            encoded = footer.encode();
        }
        let bytes = encoded.len() - TAIL;
        if bytes > MAX_FOOTER {
            return Err(StoreError::PartTooLarge { part: Part::Footer.name(), bytes, limit: MAX_FOOTER });
        }
        meta.file_bytes = footer.meta.file_bytes;
        self.buffer.extend_from_slice(&encoded);
        self.spill(1)?;
        invariant!(
            self.written == meta.file_bytes,
            "a segment of {} bytes has {}",
            meta.file_bytes,
            self.written
        );
        self.file.sync().at(&self.temporary)?;
        self.disk.rename(&self.temporary, &meta.path()).at(&self.temporary)?;
        self.finished = true;
        Ok(meta)
    }
}

/// What a reader would refuse must not be written.
fn check_part(part: Part, bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_PART as usize {
        return Err(StoreError::PartTooLarge { part: part.name(), bytes, limit: MAX_PART as usize });
    }
    Ok(())
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            // On a full disk the half of a segment must not stand in the way of the next attempt.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}
