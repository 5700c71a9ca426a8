//! From head to segments: one per tenant and day, then one manifest edit, and only then is the log recycled.

use super::retry::{Task, is_corruption};
use super::{Engine, SegmentHandle};
use crate::codec::Compression;
use crate::deletes::{self, Delete, Hiding};
use crate::error::{AtPath, StoreError};
use crate::head::{Head, HeadRows};
use crate::invariant::{self, debug_invariant, invariant};
use crate::labels::LabelIndex;
use crate::manifest::{Edit, SegmentMeta, partition_dir};
use crate::segment::{Columns, Origin, SegmentWriter, StreamRow, WriterOptions};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use strandline_model::metadata::put_varint;
use strandline_model::{Day, Labels, Metadata, Selector, TenantId, TimeRange};
use xxhash_rust::xxh3::xxh3_128;

/// Rows over more days than this are looked for in all segments rather than asking about each day.
const MAX_DAYS_ASKED: u32 = 8;
/// With more streams than this the whole stream table of an older segment is read instead of single chunks.
const FEW_STREAMS: usize = 64;

/// So often in a row a flush fails for a segment that cannot be read; then the heads have to be emptied all the same.
const MAX_FLUSHES_FOR_READING: u32 = 5;

impl Engine {
    /// Flushes the oldest sealed head. False when there was none. After an error the head stays, and so does the log.
    pub fn flush_one(&self) -> Result<bool, StoreError> {
        let result = self.flush_oldest();
        match result {
            Ok(false) => Ok(false),
            _ => self.note_outcome(Task::Flush, &[], result),
        }
    }

    fn flush_oldest(&self) -> Result<bool, StoreError> {
        let _one_at_a_time = self.flushing.lock();
        let Some(head) = self.state.read().sealed.front().cloned() else { return Ok(false) };
        let seq = head.fill().seq;
        invariant!(seq.is_some(), "an empty head was sealed");
        let Some(seq) = seq else { return Ok(false) };
        let mut add = Vec::new();
        for (tenant, day) in head.partitions() {
            let written = match head.written(&tenant, day) {
                Some(written) => written,
                None => self.flush_partition(&head, &tenant, day, seq)?,
            };
            head.note_written(&tenant, day, written.clone());
            add.extend(written);
        }
        if !head.names_are_durable() {
            self.sync_dirs(&add).inspect_err(|_| self.take_back(&head, &add))?;
            head.note_names_durable();
        }
        let edit = Edit { add, low_water: Some(seq.1), ..Edit::default() };
        self.publish(&edit, Some(&head), |labels| self.index_labels(labels, &edit.add, &head, seq.1))?;
        if let Err(error) = self.recycle_log(seq.1) {
            // The flush itself is done. The files left over go at a later flush or the next start.
            tracing::warn!(%error, "the log's old files could not be recycled yet");
        }
        metrics::counter!("strandline_flushes_total").increment(1);
        Ok(true)
    }

    /// Lets go of the log up to `low_water`, which the manifest has made durable.
    fn recycle_log(&self, low_water: u64) -> Result<(), StoreError> {
        let mut wal = self.wal.lock();
        invariant!(
            low_water <= wal.last_seq(),
            "the log ends at {} below its mark {low_water}",
            wal.last_seq()
        );
        wal.retire(low_water)?;
        if wal.last_seq() == low_water && self.state.read().sealed.is_empty() {
            // Nothing is in the log alone: give its space back. Under load the next group comes before this.
            wal.release(low_water)?;
        }
        Ok(())
    }

    /// Seals and flushes everything: for a stop, and for `/flush`.
    pub fn flush_all(&self) -> Result<(), StoreError> {
        self.seal();
        while self.flush_one()? {}
        Ok(())
    }

    fn flush_partition(
        &self,
        head: &Arc<Head>,
        tenant: &TenantId,
        day: Day,
        seq: (u64, u64),
    ) -> Result<Option<SegmentMeta>, StoreError> {
        let range = TimeRange::new(day.start_ns(), day.end_ns());
        let mut streams = head.select(tenant, range, &Selector::all());
        if day.end_ns() == i64::MAX {
            // The last nanosecond that i64 can name lies in no half-open range.
            streams = head.select_from(tenant, day.start_ns());
        }
        // What cannot be read now is no reason to write its rows a second time: no merge may ever find them.
        self.drop_known(head, tenant, day, &mut streams)?;
        head.note_left_out(tenant, day, streams.iter().filter(|s| s.is_empty()).map(|s| s.id).collect());
        let id = self.new_segment_id();
        let replaces = head.taken_back(tenant, day);
        let origin = Origin { id, group: id, tenant: tenant.clone(), day, compacted: false, seq, replaces };
        let options = WriterOptions {
            block_bytes: self.config.block_bytes,
            compression: Compression::Lz4,
            // A merge follows within seconds of quiet or after a few flushes, and tokenizes anew: an index of its own
            // would cost a fifth of all ingest CPU. Until then these blocks are scanned, at 2 GB/s and more per core.
            index: false,
        };
        debug_invariant!(
            streams.is_sorted_by(|a, b| a.labels < b.labels),
            "streams of a head are out of order"
        );
        invariant!(seq.0 <= seq.1, "a head has the sequences {seq:?}");
        let mut writer = SegmentWriter::create(&self.disk, origin, options)?;
        for rows in streams.iter().filter(|s| !s.is_empty()) {
            writer.begin_stream(&rows.labels)?;
            for i in 0..rows.len() {
                let (line, metadata) = rows.content(i);
                writer.push(rows.ts(i), line, metadata)?;
            }
        }
        // What a head or a writer found wrong with itself must not be published.
        invariant::check()?;
        let rows: usize = streams.iter().map(HeadRows::len).sum();
        let meta = writer.finish()?;
        let written = meta.as_ref().map_or(0, |meta| meta.rows);
        invariant!(written == rows as u64, "{rows} rows of a head make a segment of {written}");
        Ok(meta)
    }

    /// A folder's sync that failed once may succeed falsely the next time: the next attempt writes new files, whose
    /// names have never been synced.
    fn take_back(&self, head: &Head, segments: &[SegmentMeta]) {
        for segment in segments {
            // A file that cannot be removed is taken again after all, or its rows would be there twice.
            if self.disk.remove(&segment.path()).is_ok() {
                head.note_taken_back(&segment.tenant, segment.day, segment.id);
            }
        }
    }

    fn sync_dirs(&self, segments: &[SegmentMeta]) -> Result<(), StoreError> {
        let dirs: BTreeSet<String> = segments.iter().map(|s| partition_dir(&s.tenant, s.day)).collect();
        for dir in dirs {
            self.disk.sync_dir(&dir).at(&dir)?;
        }
        Ok(())
    }

    /// Adds the flushed streams to the label index. Most of them are in it since an earlier flush of the same day; a
    /// set of hashes knows that ten times faster than the index does. A stream of which an older segment had all rows when
    /// this one was written is not in this one, and since then the older one may have lost it (simulated seed 1571).
    fn index_labels(&self, labels: &LabelIndex, segments: &[SegmentMeta], head: &Arc<Head>, seq: u64) {
        let mut flushed = self.flushed.lock();
        flushed.begin(seq);
        for meta in segments {
            let place = flushed.partition(meta.tenant.as_str(), meta.day);
            let left_out = head.left_out(&meta.tenant, meta.day);
            let wanted = |id, latest| !left_out.contains(&id) && flushed.note(place, id, latest);
            let fresh = head.streams_between(&meta.tenant, meta.time, wanted);
            // An index that is being filled finds the segment when it catches up.
            if labels.is_complete() {
                labels.add(&meta.tenant, meta.day, fresh.iter().map(AsRef::as_ref));
            }
        }
    }

    /// Per stream, whether a flush since the start put rows of it into segments that reach to its first row here. Lines
    /// mostly come in order, and those need not be looked for.
    fn flushed_before(&self, tenant: &TenantId, streams: &[HeadRows]) -> Vec<bool> {
        let flushed = self.flushed.lock();
        let reaches = |s: &HeadRows| {
            let (first, last) = (Day::of(s.ts(0)), Day::of(s.ts(s.len().saturating_sub(1))));
            let on_day = |day| {
                let place = flushed.partition(tenant.as_str(), Day(day));
                flushed.latest(place, s.id).is_some_and(|latest| latest >= s.ts(0))
            };
            last.0.abs_diff(first.0) > MAX_DAYS_ASKED || (first.0..=last.0).any(on_day)
        };
        streams.iter().map(|s| !s.is_empty() && reaches(s)).collect()
    }

    /// Drops the rows that a segment of the partition holds already: an agent repeated a batch whose acknowledgement
    /// it missed, or the log is replayed behind segments that were published before a crash.
    fn drop_known(
        &self,
        head: &Head,
        tenant: &TenantId,
        day: Day,
        streams: &mut [HeadRows],
    ) -> Result<(), StoreError> {
        let state = self.state.read().clone();
        let segments = state.catalog.partition(tenant, day);
        let Err(error) = self.drop_rows_of(tenant, segments, &state.deletes, head, streams) else {
            return Ok(());
        };
        if self.retries.lock().failures(Task::Flush) < MAX_FLUSHES_FOR_READING {
            return Err(error);
        }
        tracing::warn!(%error, "a segment cannot be read; lines that it holds may be stored a second time");
        Ok(())
    }

    /// Drops the rows of `head` that any of `segments` holds too. `streams` are sorted by labels, as a head gives them.
    /// What one of `deletes` takes out of a segment does not count, unless it takes the same out of the head: a line that
    /// was deleted can be pushed again. A segment that is damaged or gone holds nothing; an error says that one could
    /// not be read for another reason, so that rows of it may be left.
    pub fn drop_rows_of<'s>(
        &self,
        tenant: &TenantId,
        segments: impl IntoIterator<Item = &'s Arc<SegmentHandle>>,
        deletes: &[Arc<Delete>],
        head: &Head,
        streams: &mut [HeadRows],
    ) -> Result<(), StoreError> {
        let mut unread = Ok(());
        let before: Vec<Arc<Delete>> = deletes.iter().filter(|d| !d.covers_head(head)).cloned().collect();
        let earlier = self.flushed_before(tenant, streams);
        for handle in segments {
            let (time, covered) = (handle.meta().time, self.flushed.lock().covers(handle.meta().seq.0));
            let overlaps = |s: &HeadRows| !s.is_empty() && s.ts(0) <= time.1 && s.ts(s.len() - 1) >= time.0;
            let mut overlapping: Vec<&mut HeadRows> = streams
                .iter_mut()
                .zip(&earlier)
                .filter(|(s, earlier)| (!covered || **earlier) && overlaps(s))
                .map(|(s, _)| s)
                .collect();
            unread = unread.and(drop_rows_in(handle, &before, &mut overlapping));
        }
        unread
    }
}

/// Drops the rows that one segment holds too, as [`Engine::drop_rows_of`] does. `before` are the deletes from before these
/// rows.
pub(super) fn drop_rows_in(
    handle: &SegmentHandle,
    before: &[Arc<Delete>],
    streams: &mut [&mut HeadRows],
) -> Result<(), StoreError> {
    if streams.is_empty() {
        return Ok(());
    }
    let hiding = deletes::of_segment(before, handle.meta(), handle.clean_of());
    let known = handle.open().and_then(|segment| {
        let found = find_streams(&segment, streams)?;
        for (rows, found) in streams.iter_mut().zip(found) {
            if let Some((ordinal, row)) = found {
                drop_known_rows(&segment, ordinal, &row, &hiding, rows)?;
            }
        }
        Ok(())
    });
    // A damaged segment hides whether a row is known: it is kept, and shown once the damage is repaired.
    let Err(error) = known else { return Ok(()) };
    handle.note_damage(&error);
    if is_corruption(&error) || is_gone(&error) { Ok(()) } else { Err(error) }
}

/// A file that is not there holds no rows.
fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

type KnownStream = Option<(u32, StreamRow)>;

fn find_streams(
    segment: &crate::segment::Segment,
    wanted: &[&mut HeadRows],
) -> Result<Vec<KnownStream>, StoreError> {
    if wanted.len() <= FEW_STREAMS {
        return wanted.iter().map(|s| segment.find_stream(&s.labels)).collect();
    }
    let mut found: Vec<KnownStream> = vec![None; wanted.len()];
    debug_invariant!(
        wanted.is_sorted_by(|a, b| a.labels < b.labels),
        "streams that are looked for are out of order"
    );
    // Both sides are sorted by labels.
    let mut at = 0;
    segment.each_stream(|ordinal, row| {
        while wanted.get(at).is_some_and(|w| *w.labels < row.labels) {
            at += 1;
        }
        if wanted.get(at).is_some_and(|w| *w.labels == row.labels)
            && let Some(slot) = found.get_mut(at)
        {
            *slot = Some((ordinal, row));
        }
    })?;
    Ok(found)
}

fn drop_known_rows(
    segment: &crate::segment::Segment,
    ordinal: u32,
    row: &StreamRow,
    hiding: &Hiding,
    rows: &mut HeadRows,
) -> Result<(), StoreError> {
    let (first, last) = (rows.ts(0), rows.ts(rows.len() - 1));
    if row.time.0 > last || row.time.1 < first {
        return Ok(());
    }
    let named = |i: usize| {
        let (line, metadata) = rows.content(i);
        identity(rows.ts(i), line, metadata)
    };
    let names: Vec<u128> = (0..rows.len()).map(named).collect();
    let own: HashSet<u128> = names.iter().copied().collect();
    let mut known: HashSet<u128> = HashSet::new();
    let table = segment.table()?;
    for index in row.blocks.0..=row.blocks.1 {
        let overlaps =
            table.blocks.get(index as usize).is_some_and(|b| b.time.0 <= last && b.time.1 >= first);
        if !overlaps {
            continue;
        }
        let block = segment.block(index as usize, Columns::ALL)?;
        let mut packed = Vec::new();
        for i in block.rows_of(ordinal) {
            let ts = block.times.get(i).copied().unwrap_or(0);
            if ts >= first && ts <= last {
                let (line, metadata) = (block.line(i), block.packed_metadata(i, &mut packed));
                let name = identity(ts, line, metadata);
                // What a delete means can be much work, so it is asked about repeated rows alone.
                let repeats = own.contains(&name);
                if repeats && (hiding.is_empty() || !hiding.hides(&row.labels, ts, line, metadata)) {
                    known.insert(name);
                }
            }
        }
    }
    let keep: Vec<bool> = names.iter().map(|name| !known.contains(name)).collect();
    invariant!(keep.len() == rows.len(), "{} rows were looked at, there are {}", keep.len(), rows.len());
    rows.retain(|i| keep.get(i).copied().unwrap_or(true));
    Ok(())
}

/// A 128-bit name of an entry within its stream.
pub(super) fn identity(ts: i64, line: &[u8], metadata: Metadata<'_>) -> u128 {
    let mut bytes = Vec::with_capacity(line.len() + metadata.0.len() + 16);
    bytes.extend_from_slice(&ts.to_le_bytes());
    put_varint(&mut bytes, line.len() as u64);
    bytes.extend_from_slice(line);
    bytes.extend_from_slice(metadata.0);
    xxh3_128(&bytes)
}

/// The labels that a set of segments holds, for the label index.
pub(super) fn labels_of(segment: &crate::segment::Segment) -> Result<Vec<Labels>, StoreError> {
    let mut labels = Vec::with_capacity(segment.meta().streams as usize);
    segment.each_stream(|_, row| labels.push(row.labels))?;
    Ok(labels)
}
