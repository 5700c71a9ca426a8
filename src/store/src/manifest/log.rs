//! The manifest's files: appending edits, replacing them by a snapshot. Each file stands twice, in two folders, with the
//! same bytes: one damage does not lose what was deleted, nor which segments count.

use super::files::{DIR, FOLDERS, KIND_EDIT, KIND_SNAPSHOT, file_number, file_path};
use super::read::{self, Newest};
use super::state::State;
use super::{Deletes, Edit, SegmentId, SegmentMeta};
use crate::codec::{Codec, Compression, compress};
use crate::disk::{Disk, DiskFile};
use crate::error::{AtPath, Corruption, StoreError};
use crate::frame::{Payload, Position, padded, put_frame};
use crate::invariant::invariant;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Edits are appended until the file is this large or twice its snapshot, whichever is more.
const MIN_ROTATE_BYTES: u64 = 1 << 20;
/// The manifest, open for edits.
#[derive(Debug)]
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    state: State,
    number: u64,
    /// One per folder. None after a failed write: the next edit begins new files, since nobody knows what these hold.
    files: Option<[Arc<dyn DiskFile>; 2]>,
    at: u64,
    rotate_at: u64,
}

/// What opening found.
#[derive(Debug)]
pub(crate) enum Opened {
    /// No manifest at all: a new data directory (or one that lost its manifest).
    Missing,
    /// The state is known up to the last acknowledged edit; one of the two files may be damaged.
    Sound(Manifest),
    /// Edits are damaged in both files: the segments' own footers have to tell what exists.
    Damaged(Vec<Corruption>),
}

impl Manifest {
    /// Reads the newest files. `keep` is told of a damaged file whose content the other one has, before it is removed.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        keep: &mut dyn FnMut(&Corruption),
    ) -> Result<Opened, StoreError> {
        let (number, state, damage, notes) = match read::newest(disk.as_ref())? {
            Newest::Nothing => return Ok(Opened::Missing),
            Newest::Damaged(damage) => return Ok(Opened::Damaged(damage)),
            Newest::Sound { number, state, damage, notes } => (number, state, damage, notes),
        };
        damage.iter().for_each(keep);
        notes.iter().for_each(|note| tracing::info!(note, "one of the manifest's two files is behind"));
        let number = number.max(read::highest_number(disk.as_ref())?);
        let mut manifest = Self { disk: Arc::clone(disk), state, number, files: None, at: 0, rotate_at: 0 };
        // Fresh files drop a torn tail for good and leave the old ones untouched until they are durable.
        let state = manifest.state.clone();
        manifest.begin(&state)?;
        Ok(Opened::Sound(manifest))
    }

    /// Begins a manifest without segments, for a new directory (`fresh` 0) or in place of one that is lost: then `fresh`
    /// is a number that no earlier manifest began with, below 2^30. Generations and numbers of deletes go on behind it,
    /// so that no label index has seen such a generation and no client knows such a delete.
    pub(crate) fn create(disk: &Arc<dyn Disk>, fresh: u64) -> Result<Self, StoreError> {
        let number = read::highest_number(disk.as_ref())?;
        let state = State::empty(fresh << 32 | 1, fresh);
        let mut manifest = Self { disk: Arc::clone(disk), state, number, files: None, at: 0, rotate_at: 0 };
        let state = manifest.state.clone();
        manifest.begin(&state)?;
        Ok(manifest)
    }

    fn begin(&mut self, state: &State) -> Result<(), StoreError> {
        for folder in FOLDERS {
            self.disk.create_dir(folder).at(folder)?;
        }
        self.rotate(state)
    }

    /// Makes an edit durable. After an error it is not known whether the edit survives a crash, so nothing that it
    /// makes superfluous may be removed.
    pub(crate) fn commit(&mut self, edit: &Edit) -> Result<u64, StoreError> {
        self.check(edit);
        let before = self.state.generation;
        let payload = payload_of(KIND_EDIT, &edit.encode());
        let bytes = padded(payload.stored.len()) as u64;
        match &self.files {
            Some(files) if self.at + bytes <= self.rotate_at => {
                let mut frame = Vec::with_capacity(bytes as usize);
                let generation = self.state.generation;
                let position =
                    Position { epoch: self.number, seq: generation + 1, base: 0, durable: generation };
                put_frame(&mut frame, position, &payload);
                let append =
                    |file: &Arc<dyn DiskFile>| file.write_at(&frame, self.at).and_then(|()| file.sync());
                if let Err(e) = files.iter().try_for_each(append) {
                    self.files = None;
                    return Err(e).at(&file_path(DIR, self.number));
                }
                self.at += bytes;
                self.state.apply(edit);
            }
            _ => {
                let mut next = self.state.clone();
                next.apply(edit);
                self.rotate(&next)?;
                self.state = next;
            }
        }
        invariant!(
            self.state.generation == before + 1,
            "edit {} follows edit {before}",
            self.state.generation
        );
        Ok(self.state.generation)
    }

    /// States what every edit keeps to. What lies on the disk may not: that is damage. (An edit may drop what is not listed:
    /// outputs of an edit of which nobody knows whether it arrived.)
    fn check(&self, edit: &Edit) {
        let State { segments, low_water, deletes, .. } = &self.state;
        for meta in &edit.add {
            let known = segments.contains_key(&meta.id) || self.state.dropped.contains(&meta.id);
            invariant!(!known, "an edit adds segment {} again", meta.id);
        }
        invariant!(
            edit.low_water.is_none_or(|new| *low_water <= new),
            "the log's mark goes back from {low_water}"
        );
        let next = deletes.next_number();
        invariant!(
            edit.deletes.add.iter().all(|record| record.number >= next && !record.processed),
            "a delete has a number below {next}"
        );
        let listed = |number: &u64| deletes.records().any(|record| record.number == *number);
        let named = edit.deletes.processed.iter().chain(&edit.deletes.cancel);
        invariant!(named.clone().all(listed), "an edit ends a delete that is not listed");
    }

    /// Writes `state` as the snapshot of new files, which replace the present ones.
    fn rotate(&mut self, state: &State) -> Result<(), StoreError> {
        self.files = None;
        let number = self.number + 1;
        // Counted up even when this attempt fails: a half-made file of this number may be left.
        self.number = number;
        let mut frame = Vec::new();
        let position = Position { epoch: number, seq: state.generation, base: 0, durable: state.generation };
        put_frame(&mut frame, position, &payload_of(KIND_SNAPSHOT, &state.encode()));
        let [copy, main] = FOLDERS;
        let files = [self.begin_file(copy, number, &frame)?, self.begin_file(main, number, &frame)?];
        self.at = frame.len() as u64;
        self.rotate_at = (self.at * 2).max(MIN_ROTATE_BYTES);
        self.files = Some(files);
        FOLDERS.iter().for_each(|folder| self.remove_older(folder, number));
        Ok(())
    }

    fn begin_file(&self, folder: &str, number: u64, frame: &[u8]) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = file_path(folder, number);
        let temporary = format!("{path}.tmp");
        let file = self.disk.create(&temporary).at(&temporary)?;
        file.write_at(frame, 0).and_then(|()| file.sync()).at(&temporary)?;
        self.disk.rename(&temporary, &path).at(&path)?;
        self.disk.sync_dir(folder).at(folder)?;
        Ok(file)
    }

    /// Older files are void from now on, whether they can be removed or not: failing here would deny an edit that the
    /// new files already hold.
    fn remove_older(&self, folder: &str, number: u64) {
        for name in self.disk.list(folder).unwrap_or_default() {
            let old = file_number(&name).is_some_and(|n| n < number);
            if (old || name.ends_with(".tmp"))
                && let Err(error) = self.disk.remove(&format!("{folder}/{name}"))
            {
                tracing::warn!(%error, "an old manifest file could not be removed yet");
            }
        }
    }

    /// The number of the last edit.
    pub(crate) fn generation(&self) -> u64 {
        self.state.generation
    }

    /// Log frames up to this sequence are in segments.
    pub(crate) fn low_water(&self) -> u64 {
        self.state.low_water
    }

    /// Whether an edit dropped this segment, and its file may still be there.
    pub(crate) fn is_dropped(&self, id: SegmentId) -> bool {
        self.state.dropped.contains(&id)
    }

    /// Whether files of dropped segments may still be there.
    pub(crate) fn has_dropped(&self) -> bool {
        !self.state.dropped.is_empty()
    }

    /// The files of all dropped segments are gone for good.
    pub(crate) fn forget_dropped(&mut self) {
        self.state.dropped.clear();
    }

    /// The files of these dropped segments are gone for good: the removal of their names is durable. The next snapshot
    /// does not name them any more.
    pub(crate) fn forget_removed(&mut self, removed: &BTreeSet<SegmentId>) {
        self.state.dropped.retain(|id| !removed.contains(id));
    }

    /// The deletes, pending and processed.
    pub(crate) fn deletes(&self) -> &Deletes {
        &self.state.deletes
    }

    /// The segments that exist.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentMeta> {
        self.state.segments.values()
    }

    /// Dropped segments that are still named.
    #[cfg(test)]
    pub(crate) fn dropped_count(&self) -> usize {
        self.state.dropped.len()
    }
}

fn payload_of(kind: u8, raw: &[u8]) -> Payload {
    let mut stored = Vec::new();
    let codec: Codec = compress(&mut stored, raw, Compression::Zstd(1));
    Payload { kind, codec, raw_len: raw.len() as u32, stored }
}
