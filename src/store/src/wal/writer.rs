//! Appending groups of frames to the log's files, and recycling the files.

use super::record::KIND_WITNESS;
use super::{DIR, SyncMode, file_path};
use crate::codec::Codec;
use crate::disk::{Disk, DiskFile};
use crate::error::{AtPath, StoreError};
use crate::frame::{Payload, Place, padded, put_frame};
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
    spare: Vec<u64>,
    next_number: u64,
    next_seq: u64,
    /// First sequence that this process vouches for: none before it has failed to be written.
    base_seq: u64,
    durable_seq: u64,
    /// The `durable` of the last frame written: evidence on disk that everything up to it was acknowledged.
    witnessed_seq: u64,
    next_file_bytes: u64,
    group: Vec<u8>,
}

#[derive(Debug)]
struct ActiveFile {
    number: u64,
    file: Arc<dyn DiskFile>,
    at: u64,
    capacity: u64,
    last_seq: u64,
}

#[derive(Debug)]
struct FullFile {
    number: u64,
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
        let full = old.iter().map(|f| FullFile { number: f.number, last_seq: f.last_seq }).collect();
        Self {
            disk,
            file_bytes,
            active: None,
            full,
            spare: Vec::new(),
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
                Place { epoch: active.number, seq, base: self.base_seq, durable: self.durable_seq },
                payload,
            );
        }
        let mut result = active.file.write_at(&self.group, active.at);
        if sync && result.is_ok() {
            result = active.file.sync();
        }
        let path = file_path(active.number);
        if result.is_err() {
            self.abandon_active();
            // Its frames may come back at a replay, so their sequences are used up: were they given to the next group,
            // a head could hold one of the two and its flush would let go of both (simulated seed 1080).
            self.next_seq = first + payloads.len() as u64;
            self.base_seq = self.next_seq;
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

    /// Makes everything appended durable (for `interval` and for a stop).
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let Some(active) = &self.active else { return Ok(()) };
        if active.last_seq > self.durable_seq {
            let (result, path, last) = (active.file.sync(), file_path(active.number), active.last_seq);
            if result.is_err() {
                self.abandon_active();
                self.base_seq = self.next_seq;
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
        let place = Place { epoch: active.number, seq: 0, base: self.base_seq, durable: self.durable_seq };
        let mut frame = Vec::with_capacity(padded(0));
        put_frame(
            &mut frame,
            place,
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

    fn abandon_active(&mut self) {
        if let Some(active) = self.active.take() {
            self.full.push(FullFile { number: active.number, last_seq: active.last_seq });
        }
    }

    /// Begins a file with room for at least `bytes`: a recycled one where it is large enough, else a new one.
    fn rotate(&mut self, bytes: u64) -> Result<(), StoreError> {
        // Frames written without a sync must not depend on a file that nobody syncs any more.
        self.sync()?;
        self.abandon_active();
        let number = self.next_number;
        let path = file_path(number);
        let wanted = self.next_file_bytes.max(bytes);
        let (file, capacity) = match self.spare.pop() {
            Some(spare) => {
                self.disk.rename(&file_path(spare), &path).at(&path)?;
                self.next_number += 1;
                let file = self.disk.open(&path).at(&path)?;
                (Arc::clone(&file), file.len().at(&path)?)
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
            // On a full disk every further push comes here: the half-made file must not stay.
            let _ = self.disk.remove(&path);
            return Err(e).at(&path);
        }
        self.next_file_bytes = (self.next_file_bytes * 2).min(self.file_bytes);
        let last_seq = self.next_seq - 1;
        self.active = Some(ActiveFile { number, file, at: 0, capacity: capacity.max(wanted), last_seq });
        Ok(())
    }

    /// Recycles the files whose every frame has reached segments, as the manifest (already synced) says.
    pub(crate) fn retire(&mut self, low_water: u64) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        let mut result = Ok(());
        for full in std::mem::take(&mut self.full) {
            if full.last_seq > low_water {
                kept.push(full);
            } else if self.spare.len() < MAX_SPARE {
                self.spare.push(full.number);
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
            self.remove(spare)?;
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
