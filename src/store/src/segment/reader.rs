//! Reading a segment: every byte is checked where it comes off the disk, and parts are read when first needed.

use super::block::{Block, Columns, LENGTHS, LINES, METADATA, STREAMS, TIMES};
use super::column::{MetadataColumn, decode_runs, decode_starts, decode_times};
use super::files::SegmentFile;
use super::footer::{Footer, PartPlace, TAIL};
use super::streams::{
    CHUNK, ChunkPlace, StreamCounts, StreamRow, decode_chunk, decode_chunk_counts, decode_chunk_where,
    decode_directory,
};
use super::table::{BlockRow, BlockTable, ColumnPlace};
use super::{MAX_PART, Part, part_crc};
use crate::codec::{Codec, decompress};
use crate::disk::{Disk, DiskFile};
use crate::error::{AtPath, Corruption, StoreError};
use crate::manifest::{SegmentId, SegmentMeta};
use crate::text::TextIndex;
use parking_lot::Mutex;
use std::io;
use std::sync::{Arc, OnceLock};
use strandline_model::{Labels, Selector};

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    /// A file that stays open.
    Open(Arc<dyn DiskFile>),
    /// The file of a listed segment, open when it is needed.
    Listed(Arc<SegmentFile>),
}

/// What a segment's footer says, without the open file.
#[derive(Debug)]
pub(crate) struct ClosedSegment(Footer);

impl Source {
    fn get(&self) -> io::Result<Arc<dyn DiskFile>> {
        match self {
            Self::Open(file) => Ok(Arc::clone(file)),
            Self::Listed(file) => file.get(),
        }
    }
}

impl ClosedSegment {
    pub(crate) fn meta(&self) -> &SegmentMeta {
        &self.0.meta
    }

    /// All segments whose entries this one took over.
    pub(crate) fn replaces(&self) -> &[SegmentId] {
        &self.0.replaces
    }

    /// The merge that wrote this segment.
    pub(crate) fn group(&self) -> SegmentId {
        self.0.group
    }
}

/// An open segment.
#[derive(Debug)]
pub struct Segment {
    path: String,
    file: Source,
    footer: Footer,
    table: OnceLock<Arc<BlockTable>>,
    directory: OnceLock<Arc<Vec<ChunkPlace>>>,
    /// Built at most once at a time; a failed attempt is tried again.
    text: Mutex<Option<Arc<TextIndex>>>,
}

impl Segment {
    /// Opens the file at `path` by its footer. It stays open as long as the segment lives.
    pub(crate) fn open(disk: &dyn Disk, path: &str) -> Result<Self, StoreError> {
        Self::read_footer(path, Source::Open(disk.open(path).at(path)?))
    }

    /// Opens the file of a listed segment by its footer.
    pub(crate) fn open_listed(file: &Arc<SegmentFile>) -> Result<Self, StoreError> {
        Self::read_footer(file.path(), Source::Listed(Arc::clone(file)))
    }

    /// Closes the file and keeps what the footer says.
    pub(crate) fn close(self) -> ClosedSegment {
        ClosedSegment(self.footer)
    }

    fn read_footer(path: &str, source: Source) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::from(Corruption::new(path, Part::Footer.name(), what));
        let file = source.get().at(path)?;
        let file_bytes = file.len().at(path)?;
        if file_bytes < TAIL as u64 {
            return Err(damaged("the file is too short"));
        }
        let mut tail = [0; TAIL];
        file.read_at(&mut tail, file_bytes - TAIL as u64).at(path)?;
        let len =
            Footer::len_from_tail(&tail).ok_or_else(|| damaged("the file does not end as a segment"))?;
        let start =
            file_bytes.checked_sub((len + TAIL) as u64).ok_or_else(|| damaged("the file is too short"))?;
        let mut bytes = vec![0; len + TAIL];
        file.read_at(&mut bytes, start).at(path)?;
        let footer = Footer::decode(&bytes, file_bytes).ok_or_else(|| damaged("checksum does not hold"))?;
        let (table, directory, text) = (OnceLock::new(), OnceLock::new(), Mutex::new(None));
        Ok(Self { path: path.to_owned(), file: source, footer, table, directory, text })
    }

    /// What the footer says of the segment.
    pub fn meta(&self) -> &SegmentMeta {
        &self.footer.meta
    }

    /// The whole footer.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// All segments whose entries this one took over.
    pub(crate) fn replaces(&self) -> &[SegmentId] {
        &self.footer.replaces
    }

    /// The merge that wrote this segment.
    pub(crate) fn group(&self) -> SegmentId {
        self.footer.group
    }

    /// The block table.
    pub fn table(&self) -> Result<Arc<BlockTable>, StoreError> {
        if let Some(table) = self.table.get() {
            return Ok(Arc::clone(table));
        }
        let raw = self.part(Part::BlockTable)?;
        let table = BlockTable::decode(&raw).filter(|t| t.blocks.len() == self.footer.meta.blocks as usize);
        let table = Arc::new(table.ok_or_else(|| self.damaged(Part::BlockTable, "does not decode"))?);
        Ok(Arc::clone(self.table.get_or_init(|| table)))
    }

    /// All streams, by label order.
    pub fn streams(&self) -> Result<Vec<StreamRow>, StoreError> {
        // What the footer says alone is not worth memory.
        let most = self.chunk_count()?.saturating_mul(CHUNK);
        let mut rows = Vec::with_capacity(most.min(self.footer.meta.streams as usize));
        self.each_stream(|_, row| rows.push(row))?;
        Ok(rows)
    }

    /// Calls `each` with every stream and its ordinal, by label order, holding one chunk in memory at a time.
    pub fn each_stream(&self, mut each: impl FnMut(u32, StreamRow)) -> Result<(), StoreError> {
        let mut ordinal = 0;
        for i in 0..self.chunk_count()? {
            for row in self.stream_chunk(i)? {
                each(ordinal, row);
                ordinal += 1;
            }
        }
        Ok(())
    }

    /// Calls `each` with the selected ones of the streams from ordinal `first` to `last`, both included, reading their
    /// chunks only.
    pub fn selected_between(
        &self,
        (first, last): (u32, u32),
        selector: &Selector,
        mut each: impl FnMut(u32, StreamRow),
    ) -> Result<(), StoreError> {
        let directory = self.directory()?;
        let mut ordinal = 0;
        for (i, chunk) in directory.iter().enumerate() {
            let next = ordinal + chunk.rows;
            if next > first && ordinal <= last {
                let inside = |at: u32| first <= ordinal + at && ordinal + at <= last;
                let raw = self.raw_chunk(&directory, i)?;
                decode_chunk_where(
                    &raw,
                    chunk.rows as usize,
                    |at, pairs| inside(at) && selector.matches_pairs(pairs),
                    |at, row| each(ordinal + at, row),
                )
                .ok_or_else(|| self.damaged(Part::StreamChunk, "does not decode"))?;
            }
            ordinal = next;
        }
        Ok(())
    }

    /// Calls `each` with ordinal, labels and counts of every selected stream, by label order, holding one chunk in memory
    /// at a time and making no label sets. Where `each` finds that the labels cannot be any (`None`), the table is damaged.
    pub fn each_selected(
        &self,
        selector: &Selector,
        mut each: impl FnMut(u32, &[(&str, &str)], StreamCounts) -> Option<()>,
    ) -> Result<(), StoreError> {
        let directory = self.directory()?;
        let mut before = 0;
        for (i, chunk) in directory.iter().enumerate() {
            let raw = self.raw_chunk(&directory, i)?;
            decode_chunk_counts(&raw, chunk.rows as usize, |at, pairs, counts| {
                if selector.matches_pairs(pairs) { each(before + at, pairs, counts) } else { Some(()) }
            })
            .ok_or_else(|| self.damaged(Part::StreamChunk, "does not decode"))?;
            before += chunk.rows;
        }
        Ok(())
    }

    /// Number of chunks of the stream table.
    pub(crate) fn chunk_count(&self) -> Result<usize, StoreError> {
        Ok(self.directory()?.len())
    }

    /// The streams of one chunk of the table.
    pub(crate) fn stream_chunk(&self, i: usize) -> Result<Vec<StreamRow>, StoreError> {
        let directory = self.directory()?;
        self.chunk(&directory, i)
    }

    /// Calls `each` with the labels and the times of the selected streams of one chunk of the table.
    pub(crate) fn selected_in_chunk(
        &self,
        i: usize,
        selector: &Selector,
        mut each: impl FnMut(&Labels, (i64, i64)),
    ) -> Result<(), StoreError> {
        let directory = self.directory()?;
        let raw = self.raw_chunk(&directory, i)?;
        let rows = directory.get(i).map_or(0, |place| place.rows as usize);
        decode_chunk_where(
            &raw,
            rows,
            |_, pairs| selector.matches_pairs(pairs),
            |_, row| each(&row.labels, row.time),
        )
        .ok_or_else(|| self.damaged(Part::StreamChunk, "does not decode"))
    }

    /// The stream with these labels and its ordinal; reads one chunk of the table.
    pub fn find_stream(&self, labels: &Labels) -> Result<Option<(u32, StreamRow)>, StoreError> {
        let directory = self.directory()?;
        let Some(at) = directory.partition_point(|c| c.first <= *labels).checked_sub(1) else {
            return Ok(None);
        };
        let rows = self.chunk(&directory, at)?;
        let before: u32 = directory.iter().take(at).map(|c| c.rows).sum();
        let found = rows.into_iter().enumerate().find(|(_, row)| row.labels == *labels);
        Ok(found.map(|(i, row)| (before + i as u32, row)))
    }

    /// The full-text index; `None` when the segment was written without one.
    pub fn text(&self) -> Result<Option<Arc<TextIndex>>, StoreError> {
        let mut kept = self.text.lock();
        if let Some(text) = &*kept {
            return Ok(Some(Arc::clone(text)));
        }
        if self.footer.part(Part::Terms).is_none() {
            return Ok(None);
        }
        let (terms, postings) = (self.part(Part::Terms)?, self.part(Part::Postings)?);
        let text =
            TextIndex::open(&terms, &postings).map_err(|e| self.damaged(Part::Postings, &e.to_string()))?;
        let text = Arc::new(text);
        *kept = Some(Arc::clone(&text));
        Ok(Some(text))
    }

    /// Reads the wanted columns of a block.
    pub fn block(&self, index: usize, columns: Columns) -> Result<Block, StoreError> {
        let block = self.decoded(index, |place, _| match place.kind {
            TIMES => columns.times,
            STREAMS => columns.streams,
            LENGTHS => columns.lengths || columns.lines,
            LINES => columns.lines,
            _ => columns.metadata,
        })?;
        let complete =
            !columns.lines || block.starts.last().is_some_and(|end| *end as usize == block.lines.len());
        if complete { Ok(block) } else { Err(self.damaged_block(index, "lines and lengths disagree")) }
    }

    /// Reads the metadata columns of a block whose name `wanted` accepts, by name.
    pub fn metadata(
        &self,
        index: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<MetadataColumn>, StoreError> {
        let named = |place: &ColumnPlace, names: &[Arc<str>]| {
            place.kind == METADATA && names.get(place.name as usize).is_some_and(|name| wanted(name))
        };
        self.decoded(index, named).map(|block| block.metadata)
    }

    fn decoded(
        &self,
        index: usize,
        wanted: impl Fn(&ColumnPlace, &[Arc<str>]) -> bool,
    ) -> Result<Block, StoreError> {
        let table = self.table()?;
        let row = table.blocks.get(index).ok_or_else(|| self.damaged(Part::Column, "no such block"))?;
        let places = row.columns.iter().enumerate().filter(|(_, place)| wanted(place, &table.names));
        let mut block = Block { rows: row.rows as usize, ..Block::default() };
        for (i, place, stored) in self.columns(row, places)? {
            self.check(Part::Column, (index as u64) << 16 | i as u64, &stored, place.crc, Some(index))?;
            decode_column(&mut block, &table, &place, &stored)
                .ok_or_else(|| self.damaged_block(index, "a column does not decode"))?;
        }
        block.metadata.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(block)
    }

    /// Bytes of the columns, in one read from the first to the last.
    fn columns<'a>(
        &self,
        row: &BlockRow,
        places: impl Iterator<Item = (usize, &'a ColumnPlace)>,
    ) -> Result<Vec<(usize, ColumnPlace, Vec<u8>)>, StoreError> {
        let places: Vec<(usize, ColumnPlace)> = places.map(|(i, p)| (i, *p)).collect();
        let Some(start) = places.iter().map(|(_, p)| p.offset).min() else { return Ok(Vec::new()) };
        let end = places.iter().map(|(_, p)| p.offset + p.stored_len).max().unwrap_or(start);
        let bytes = self.read(row.offset.saturating_add(start.into()), end - start)?;
        let cut = |p: &ColumnPlace| {
            let at = (p.offset - start) as usize;
            bytes.get(at..at + p.stored_len as usize).unwrap_or_default().to_vec()
        };
        Ok(places.iter().map(|(i, p)| (*i, *p, cut(p))).collect())
    }

    fn directory(&self) -> Result<Arc<Vec<ChunkPlace>>, StoreError> {
        if let Some(directory) = self.directory.get() {
            return Ok(Arc::clone(directory));
        }
        let raw = self.part(Part::StreamDirectory)?;
        let directory =
            decode_directory(&raw).ok_or_else(|| self.damaged(Part::StreamDirectory, "does not decode"))?;
        Ok(Arc::clone(self.directory.get_or_init(|| Arc::new(directory))))
    }

    fn chunk(&self, directory: &[ChunkPlace], i: usize) -> Result<Vec<StreamRow>, StoreError> {
        let raw = self.raw_chunk(directory, i)?;
        let rows = directory.get(i).map_or(0, |place| place.rows as usize);
        decode_chunk(&raw, rows).ok_or_else(|| self.damaged(Part::StreamChunk, "does not decode"))
    }

    fn raw_chunk(&self, directory: &[ChunkPlace], i: usize) -> Result<Vec<u8>, StoreError> {
        let part = Part::StreamChunk;
        let place = directory.get(i).ok_or_else(|| self.damaged(part, "no such chunk"))?;
        let stored = self.read(place.offset, place.stored_len)?;
        self.check(part, i as u64, &stored, place.crc, None)?;
        self.unpack(part, place.codec, &stored, place.raw_len)
    }

    fn part(&self, part: Part) -> Result<Vec<u8>, StoreError> {
        let place: PartPlace = *self.footer.part(part).ok_or_else(|| self.damaged(part, "is missing"))?;
        let stored = self.read(place.offset, place.stored_len)?;
        self.check(part, 0, &stored, place.crc, None)?;
        self.unpack(part, place.codec, &stored, place.raw_len)
    }

    fn unpack(&self, part: Part, codec: Codec, stored: &[u8], raw_len: u32) -> Result<Vec<u8>, StoreError> {
        let raw = if raw_len > MAX_PART { None } else { decompress(codec, stored, raw_len as usize) };
        raw.ok_or_else(|| self.damaged(part, "does not decompress"))
    }

    fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, StoreError> {
        if offset.saturating_add(len.into()) > self.footer.meta.file_bytes {
            return Err(Corruption::new(&self.path, "a part", "lies behind the end of the file").into());
        }
        let mut bytes = vec![0; len as usize];
        self.file.get().and_then(|file| file.read_at(&mut bytes, offset)).at(&self.path)?;
        Ok(bytes)
    }

    fn check(
        &self,
        part: Part,
        index: u64,
        stored: &[u8],
        crc: u32,
        block: Option<usize>,
    ) -> Result<(), StoreError> {
        match (part_crc(self.footer.meta.id, part, index, stored) == crc, block) {
            (true, _) => Ok(()),
            (false, Some(block)) => Err(self.damaged_block(block, "checksum does not hold")),
            (false, None) => Err(self.damaged(part, "checksum does not hold")),
        }
    }

    fn damaged(&self, part: Part, what: &str) -> StoreError {
        Corruption::new(&self.path, part.name(), what).into()
    }

    fn damaged_block(&self, block: usize, what: &str) -> StoreError {
        Corruption::new(&self.path, format!("block {block}"), what).into()
    }

    /// Reads and checks every byte; all damage found.
    pub(crate) fn verify(&self) -> Vec<Corruption> {
        let mut found = Vec::new();
        let mut note = |result: Result<(), StoreError>| match result {
            Ok(()) => {}
            Err(StoreError::Corrupt(damage)) => found.push(damage),
            Err(other) => found.push(Corruption::new(&self.path, "file", other.to_string())),
        };
        note(
            self.streams()
                .and_then(|rows| self.compare("streams", rows.len() as u64, self.meta().streams.into())),
        );
        note(self.text().map(|_| ()));
        match self.table() {
            Err(e) => note(Err(e)),
            Ok(table) => {
                let rows = table.blocks.iter().map(|b| u64::from(b.rows)).sum();
                note(self.compare("rows", rows, self.meta().rows));
                for i in 0..table.blocks.len() {
                    note(self.block(i, Columns::ALL).map(|_| ()));
                }
            }
        }
        note(self.verify_gaps());
        found
    }

    fn compare(&self, what: &str, found: u64, expected: u64) -> Result<(), StoreError> {
        if found == expected {
            return Ok(());
        }
        Err(Corruption::new(&self.path, what, format!("{found} found, {expected} expected")).into())
    }

    /// Every byte of the file belongs to a checked part: there is no room for unnoticed ones.
    fn verify_gaps(&self) -> Result<(), StoreError> {
        let mut covered: Vec<(u64, u64)> =
            self.footer.parts.iter().map(|p| (p.offset, p.offset + u64::from(p.stored_len))).collect();
        for chunk in self.directory()?.iter() {
            covered.push((chunk.offset, chunk.offset.saturating_add(chunk.stored_len.into())));
        }
        for block in &self.table()?.blocks {
            let len: u64 = block.columns.iter().map(|c| u64::from(c.stored_len)).sum();
            covered.push((block.offset, block.offset.saturating_add(len)));
        }
        covered.sort_unstable();
        let mut at = 0;
        for (start, end) in covered {
            self.compare("layout", start, at)?;
            at = end;
        }
        let footer = self.footer.encode().len() as u64;
        self.compare("layout", at.saturating_add(footer), self.footer.meta.file_bytes)
    }

    /// Bytes of memory that the open segment holds, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let table = self.table.get().map_or(0, |t| t.memory_bytes());
        let directory = self.directory.get().map_or(0, |d| d.len() * 200);
        let text = self.text.try_lock().and_then(|t| t.as_ref().map(|t| t.memory_bytes())).unwrap_or(0);
        1024 + table + directory + text
    }
}

fn decode_column(block: &mut Block, table: &BlockTable, place: &ColumnPlace, stored: &[u8]) -> Option<()> {
    if place.raw_len > MAX_PART {
        return None;
    }
    let raw = decompress(place.codec, stored, place.raw_len as usize)?;
    match place.kind {
        TIMES => block.times = decode_times(&raw, block.rows)?,
        STREAMS => block.runs = decode_runs(&raw, block.rows)?,
        LENGTHS => block.starts = decode_starts(&raw, block.rows)?,
        LINES => block.lines = raw,
        METADATA => {
            let name = table.names.get(place.name as usize)?;
            block.metadata.push(MetadataColumn::decode(name, &raw, block.rows)?);
        }
        _ => return None,
    }
    Some(())
}
