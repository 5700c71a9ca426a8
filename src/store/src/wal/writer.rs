//! Appending groups of frames to the log's files, and recycling the files.

use super::mark::{Mark, Vouched};
use super::record::KIND_WITNESS;
use super::{DIR, SyncMode, file_path};
use crate::codec::Codec;
use crate::disk::{Disk, DiskFile};
use crate::error::{AtPath, StoreError};
use crate::frame::{Payload, Position, padded, put_frame};
use crate::invariant::invariant;
use crate::sequences::Sequences;
use std::sync::Arc;

/// Size of the first file after a start or an idle time; doubles with every further file up to the setting.
const MIN_FILE_BYTES: u64 = 256 * 1024;
/// Recycled files kept ready.
const MAX_SPARE: usize = 2;

/// The writing end of the log. All methods belong to one thread at a time.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    file_bytes: u64,
    active: Option<ActiveFile>,
    /// Files with frames that may not have reached segments yet, oldest first.
    full: Vec<FullFile>,
    spare: Vec<FullFile>,
    /// Files begun up to this sequence are not used again but removed: they may hold lines that were deleted.
    scrubbed_seq: u64,
    next_number: u64,
    next_seq: u64,
    /// First sequence that this process vouches for: none before it has failed to be written.
    base_seq: u64,
    durable_seq: u64,
    /// The `durable` of the last frame written: evidence on disk that everything up to it was acknowledged.
    witnessed_seq: u64,
    next_file_bytes: u64,
    group: Vec<u8>,
    /// What was synced before the sequences from `base_seq` on, above the low-water mark.
    synced_before: Sequences,
    low_water: u64,
    mark: Mark,
}

#[derive(Debug)]
struct ActiveFile {
    number: u64,
    file: Arc<dyn DiskFile>,
    at: u64,
    capacity: u64,
    begun_seq: u64,
    last_seq: u64,
}

#[derive(Debug)]
struct FullFile {
    number: u64,
    /// First sequence that the file can hold, remains of its former use included.
    begun_seq: u64,
    last_seq: u64,
}

/// A file found at start, with the last sequence in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OldFile {
    pub(crate) number: u64,
    pub(crate) last_seq: u64,
}

impl Wal {
    /// A log that continues behind `old` files; `last_seq` is the highest sequence ever used.
    pub(crate) fn new(disk: Arc<dyn Disk>, file_bytes: u64, old: &[OldFile], last_seq: u64) -> Self {
        let full = |f: &OldFile| FullFile { number: f.number, begun_seq: 0, last_seq: f.last_seq };
        let full = old.iter().map(full).collect();
        Self {
            mark: Mark::new(Arc::clone(&disk)),
            synced_before: Sequences::default(),
            low_water: 0,
            disk,
            file_bytes,
            active: None,
            full,
            spare: Vec::new(),
            scrubbed_seq: 0,
            next_number: old.iter().map(|f| f.number + 1).max().unwrap_or(1),
            next_seq: last_seq + 1,
            base_seq: last_seq + 1,
            durable_seq: last_seq,
            witnessed_seq: last_seq,
            next_file_bytes: MIN_FILE_BYTES.min(file_bytes),
            group: Vec::new(),
        }
    }

    /// Appends the payloads as one group; durable on return when `sync` is set. Returns the first sequence used.
    ///
    /// After an error nothing of the group counts as written, and the file is left for a new one: a sync that
    /// failed once may succeed falsely the next time.
    pub(crate) fn append(&mut self, payloads: &[&Payload], sync: bool) -> Result<u64, StoreError> {
        let bytes: u64 = payloads.iter().map(|p| padded(p.stored.len()) as u64).sum();
        if self.active.as_ref().is_none_or(|a| a.at + bytes > a.capacity) {
            self.rotate(bytes)?;
        }
        let first = self.next_seq;
        let Some(active) = self.active.as_mut() else { return Err(StoreError::Poisoned) };
        self.group.clear();
        for (i, payload) in payloads.iter().enumerate() {
            let seq = first + i as u64;
            put_frame(
                &mut self.group,
                Position { epoch: active.number, seq, base: self.base_seq, durable: self.durable_seq },
                payload,
            );
        }
        invariant!(self.group.len() as u64 == bytes, "a group of {bytes} bytes takes {}", self.group.len());
        invariant!(active.at + bytes <= active.capacity, "a group leaves its file");
        invariant!(active.last_seq < first, "sequence {first} follows {}", active.last_seq);
        let mut result = active.file.write_at(&self.group, active.at);
        if sync && result.is_ok() {
            result = active.file.sync();
        }
        let path = file_path(active.number);
        if result.is_err() {
            self.abandon_active();
            // Its frames may come back at a replay, so their sequences are used up: were they given to the next group,
            // a head could hold one of the two and its flush would let go of both.
            self.next_seq = first + payloads.len() as u64;
            self.move_base();
            return result.at(&path).map(|()| 0);
        }
        active.at += bytes;
        self.witnessed_seq = self.durable_seq;
        self.next_seq = first + payloads.len() as u64;
        active.last_seq = self.next_seq - 1;
        if sync {
            self.durable_seq = active.last_seq;
        }
        // A giant group must not pin its buffer for ever.
        self.group.shrink_to(4 << 20);
        Ok(first)
    }

    /// Begins a file where none is in use: whether that works shows whether the log can be written.
    pub(crate) fn begin_file(&mut self) -> Result<(), StoreError> {
        if self.is_in_use() { Ok(()) } else { self.rotate(padded(0) as u64) }
    }

    /// Whether a file is in use.
    pub(crate) fn is_in_use(&self) -> bool {
        self.active.is_some()
    }

    /// Makes everything appended durable (for `interval` and for a stop).
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let Some(active) = &self.active else { return Ok(()) };
        if active.last_seq > self.durable_seq {
            let (result, path, last) = (active.file.sync(), file_path(active.number), active.last_seq);
            if result.is_err() {
                self.abandon_active();
                self.move_base();
            }
            result.at(&path)?;
            self.durable_seq = last;
        }
        Ok(())
    }

    /// Writes down how far the log is durable, when no later group does: without it, damage to the last group
    /// could not be told from a torn write that nobody was promised. To be called when the log falls idle.
    pub(crate) fn witness(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.as_mut().filter(|_| self.durable_seq > self.witnessed_seq) else {
            return Ok(());
        };
        if active.at + padded(0) as u64 > active.capacity {
            return Ok(());
        }
        self.witnessed_seq = self.durable_seq;
        let position =
            Position { epoch: active.number, seq: 0, base: self.base_seq, durable: self.durable_seq };
        let mut frame = Vec::with_capacity(padded(0));
        put_frame(
            &mut frame,
            position,
            &Payload { kind: KIND_WITNESS, codec: Codec::Raw, raw_len: 0, stored: Vec::new() },
        );
        let path = file_path(active.number);
        let result = active.file.write_at(&frame, active.at).and_then(|()| active.file.sync());
        active.at += frame.len() as u64;
        if result.is_err() {
            self.abandon_active();
        }
        result.at(&path)
    }

    /// Nobody was promised what the latest sequences hold: vouches only for what comes next, and for what was synced
    /// before.
    fn move_base(&mut self) {
        self.synced_before.add(self.base_seq, self.durable_seq);
        self.base_seq = self.next_seq;
    }

    /// Notes that the frames with these sequences, which a start found, are synced.
    pub(crate) fn note_synced(&mut self, found: Sequences, low_water: u64) {
        (self.synced_before, self.low_water) = (found, low_water);
    }

    /// Writes down in a file of its own, beside the log, what of the log is synced: damage to the log's end does not reach
    /// it. Costs a sync when anything was synced or flushed since the last time.
    pub(crate) fn write_mark(&mut self) -> Result<(), StoreError> {
        let mut synced = self.synced_before.clone();
        synced.add(self.base_seq, self.durable_seq);
        let vouched = Vouched { low_water: self.low_water, synced: synced.above(self.low_water) };
        self.mark.write(vouched)
    }

    fn abandon_active(&mut self) {
        if let Some(active) = self.active.take() {
            let ActiveFile { number, begun_seq, last_seq, .. } = active;
            self.full.push(FullFile { number, begun_seq, last_seq });
        }
    }

    /// Goes on in a new file, and uses none again that holds anything written so far: what is to be deleted must leave
    /// the log for good once it has reached segments. Returns the last sequence used.
    pub(crate) fn scrub(&mut self) -> Result<u64, StoreError> {
        self.sync()?;
        // Nothing follows in this file that could vouch for its last group.
        self.witness()?;
        self.abandon_active();
        self.scrub_up_to(self.last_seq());
        for spare in std::mem::take(&mut self.spare) {
            // One that cannot be removed now is tried again when the next files are retired.
            self.full.push(spare);
        }
        Ok(self.last_seq())
    }

    /// No file that was begun up to `seq` is used again.
    pub(crate) fn scrub_up_to(&mut self, seq: u64) {
        self.scrubbed_seq = self.scrubbed_seq.max(seq);
    }

    /// The first sequence that any file can still hold, remains of its former use included.
    pub(crate) fn first_seq(&self) -> Option<u64> {
        let idle = self.full.iter().chain(&self.spare).map(|f| f.begun_seq);
        idle.chain(self.active.as_ref().map(|a| a.begun_seq)).min()
    }

    /// Makes the removal of files durable.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        self.disk.sync_dir(DIR).at(DIR)
    }

    /// Begins a file with room for at least `bytes`: a recycled one where it is large enough, else a new one.
    fn rotate(&mut self, bytes: u64) -> Result<(), StoreError> {
        // Frames written without a sync must not depend on a file that nobody syncs any more.
        self.sync()?;
        self.abandon_active();
        let number = self.next_number;
        let path = file_path(number);
        let wanted = self.next_file_bytes.max(bytes);
        let spare = self.spare.pop();
        let begun_seq = spare.as_ref().map_or(self.next_seq, |spare| spare.begun_seq);
        let (file, capacity) = match spare {
            Some(spare) => {
                if let Err(e) = self.disk.rename(&file_path(spare.number), &path) {
                    self.full.push(spare);
                    return Err(e).at(&path);
                }
                self.next_number += 1;
                match self.disk.open(&path).and_then(|file| file.len().map(|len| (file, len))) {
                    Ok(opened) => opened,
                    Err(e) => {
                        self.full.push(FullFile { number, ..spare });
                        return Err(e).at(&path);
                    }
                }
            }
            None => {
                let file = self.disk.create(&path).at(&path)?;
                self.next_number += 1;
                (file, 0)
            }
        };
        let mut ready = Ok(());
        if capacity < wanted {
            ready = file.preallocate(wanted).and_then(|()| file.sync());
        }
        if let Err(e) = ready.and_then(|()| self.disk.sync_dir(DIR)) {
            // On a full disk every further push comes here: the half-made file must not stay. It may hold remains of its
            // former use, which a delete has to know of.
            if self.disk.remove(&path).is_err() {
                self.full.push(FullFile { number, begun_seq, last_seq: 0 });
            }
            return Err(e).at(&path);
        }
        self.next_file_bytes = (self.next_file_bytes * 2).min(self.file_bytes);
        let (last_seq, capacity) = (self.next_seq - 1, capacity.max(wanted));
        self.active = Some(ActiveFile { number, file, at: 0, capacity, begun_seq, last_seq });
        Ok(())
    }

    /// Recycles the files whose every frame has reached segments, as the manifest (already synced) says.
    pub(crate) fn retire(&mut self, low_water: u64) -> Result<(), StoreError> {
        self.low_water = self.low_water.max(low_water);
        self.synced_before = self.synced_before.above(low_water);
        let mut kept = Vec::new();
        let mut result = Ok(());
        for full in std::mem::take(&mut self.full) {
            if full.last_seq > low_water {
                kept.push(full);
            } else if self.spare.len() < MAX_SPARE && full.begun_seq > self.scrubbed_seq {
                self.spare.push(full);
            } else if let Err(e) = self.remove(full.number) {
                kept.push(full);
                result = Err(e);
            }
        }
        self.full = kept;
        result
    }

    /// Gives the disk space back after everything reached segments: no spare files, no file in use.
    pub(crate) fn release(&mut self, low_water: u64) -> Result<(), StoreError> {
        if self.next_seq - 1 > low_water {
            return Ok(());
        }
        self.abandon_active();
        self.retire(low_water)?;
        while let Some(spare) = self.spare.pop() {
            if let Err(e) = self.remove(spare.number) {
                self.full.push(spare);
                return Err(e);
            }
        }
        self.next_file_bytes = MIN_FILE_BYTES.min(self.file_bytes);
        Ok(())
    }

    fn remove(&mut self, number: u64) -> Result<(), StoreError> {
        self.disk.remove(&file_path(number)).at(&file_path(number))
    }

    /// The highest sequence used.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Whether a file is in use or kept ready.
    #[cfg(test)]
    pub(crate) fn holds_files(&self) -> bool {
        self.active.is_some() || !self.spare.is_empty() || !self.full.is_empty()
    }
}

impl SyncMode {
    /// Whether every group is synced before it is acknowledged.
    pub(crate) fn before_ack(self) -> bool {
        self == Self::Always
    }
}
