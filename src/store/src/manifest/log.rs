//! The manifest's file: opening it after anything, appending edits, replacing it by a snapshot.

use super::{DIR, Deletes, Edit, SegmentId, SegmentMeta};
use crate::codec::{Codec, Compression, compress};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{AtPath, Corruption, StoreError};
use crate::frame::{Found, Frame, Payload, Place, padded, put_frame, read_frame};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const KIND_SNAPSHOT: u8 = 1;
const KIND_EDIT: u8 = 2;
/// Edits are appended until the file is this large or twice its snapshot, whichever is more.
const MIN_ROTATE_BYTES: u64 = 1 << 20;
const MAX_FILE_BYTES: u64 = 1 << 32;

/// The manifest, open for edits.
#[derive(Debug)]
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    state: State,
    number: u64,
    /// None after a failed write: the next edit begins a new file, since nobody knows what this one holds.
    file: Option<Arc<dyn DiskFile>>,
    at: u64,
    rotate_at: u64,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    /// Counts the edits; the label index names the edit it has seen.
    generation: u64,
    low_water: u64,
    segments: BTreeMap<SegmentId, SegmentMeta>,
    /// Segments dropped since the last start that saw their files gone: a file that comes back after a power cut,
    /// because its removal was not durable, must not be taken up again.
    dropped: BTreeSet<SegmentId>,
    deletes: Deletes,
}

/// What opening found.
#[derive(Debug)]
pub(crate) enum Opened {
    /// No manifest at all: a new data directory (or one that lost its manifest).
    Missing,
    /// The state is known up to the last acknowledged edit.
    Sound(Manifest),
    /// Edits are damaged: the segments' own footers have to tell what exists.
    Damaged(Corruption),
}

impl Manifest {
    /// Reads the newest file.
    pub(crate) fn open(disk: &Arc<dyn Disk>) -> Result<Opened, StoreError> {
        let mut numbers: Vec<u64> =
            disk.list(DIR).at(DIR)?.iter().filter_map(|name| file_number(name)).collect();
        numbers.sort_unstable();
        let Some(&number) = numbers.last() else { return Ok(Opened::Missing) };
        let path = file_path(number);
        let bytes = read_all(disk.as_ref(), &path, MAX_FILE_BYTES).at(&path)?;
        let (state, at) = match read_state(number, &bytes) {
            Ok(found) => found,
            Err((part, what)) => return Ok(Opened::Damaged(Corruption::new(&path, part, what))),
        };
        let mut manifest =
            Self { disk: Arc::clone(disk), state, number, file: None, at: at as u64, rotate_at: 0 };
        // A fresh file drops a torn tail for good and leaves the old one untouched until it is durable.
        let state = manifest.state.clone();
        manifest.rotate(&state)?;
        Ok(Opened::Sound(manifest))
    }

    /// Begins a manifest with these segments: for a new directory, or after damage.
    pub(crate) fn create(disk: &Arc<dyn Disk>, segments: Vec<SegmentMeta>) -> Result<Self, StoreError> {
        let numbers = disk.list(DIR).at(DIR)?;
        let number = numbers.iter().filter_map(|name| file_number(name)).max().unwrap_or(0);
        let state = State {
            // A generation that no label index has seen yet.
            generation: number << 32 | 1,
            low_water: 0,
            segments: segments.into_iter().map(|s| (s.id, s)).collect(),
            dropped: BTreeSet::new(),
            deletes: Deletes::default(),
        };
        let mut manifest = Self { disk: Arc::clone(disk), state, number, file: None, at: 0, rotate_at: 0 };
        let state = manifest.state.clone();
        manifest.rotate(&state)?;
        Ok(manifest)
    }

    /// Makes an edit durable. After an error it is not known whether the edit survives a crash, so nothing that it
    /// makes superfluous may be removed.
    pub(crate) fn commit(&mut self, edit: &Edit) -> Result<u64, StoreError> {
        let payload = payload_of(KIND_EDIT, &edit.encode());
        let bytes = padded(payload.stored.len()) as u64;
        match &self.file {
            Some(file) if self.at + bytes <= self.rotate_at => {
                let mut frame = Vec::with_capacity(bytes as usize);
                let generation = self.state.generation;
                let place = Place { epoch: self.number, seq: generation + 1, base: 0, durable: generation };
                put_frame(&mut frame, place, &payload);
                let result = file.write_at(&frame, self.at).and_then(|()| file.sync());
                if let Err(e) = result {
                    self.file = None;
                    return Err(e).at(&file_path(self.number));
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
        Ok(self.state.generation)
    }

    /// Writes `state` as the snapshot of a new file, which replaces the present one.
    fn rotate(&mut self, state: &State) -> Result<(), StoreError> {
        self.file = None;
        let number = self.number + 1;
        // Counted up even when this attempt fails: a half-made file of this number may be left.
        self.number = number;
        let path = file_path(number);
        let temporary = format!("{path}.tmp");
        let mut frame = Vec::new();
        let place = Place { epoch: number, seq: state.generation, base: 0, durable: state.generation };
        put_frame(&mut frame, place, &payload_of(KIND_SNAPSHOT, &state.encode()));
        let file = self.disk.create(&temporary).at(&temporary)?;
        file.write_at(&frame, 0).and_then(|()| file.sync()).at(&temporary)?;
        self.disk.rename(&temporary, &path).at(&path)?;
        self.disk.sync_dir(DIR).at(DIR)?;
        self.at = frame.len() as u64;
        self.rotate_at = (self.at * 2).max(MIN_ROTATE_BYTES);
        self.file = Some(file);
        self.remove_older(number);
        Ok(())
    }

    /// Older files are void from now on, whether they can be removed or not: failing here would deny an edit that the
    /// new file already holds.
    fn remove_older(&self, number: u64) {
        for name in self.disk.list(DIR).unwrap_or_default() {
            let old = file_number(&name).is_some_and(|n| n < number);
            if (old || name.ends_with(".tmp"))
                && let Err(error) = self.disk.remove(&format!("{DIR}/{name}"))
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

    /// Whether an edit dropped this segment.
    pub(crate) fn is_dropped(&self, id: SegmentId) -> bool {
        self.state.dropped.contains(&id)
    }

    /// The files of all dropped segments are gone for good.
    pub(crate) fn forget_dropped(&mut self) {
        self.state.dropped.clear();
    }

    /// The deletes, pending and processed.
    pub(crate) fn deletes(&self) -> &Deletes {
        &self.state.deletes
    }

    /// The segments that exist.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentMeta> {
        self.state.segments.values()
    }
}

impl State {
    fn apply(&mut self, edit: &Edit) {
        self.generation += 1;
        for id in &edit.drop {
            self.segments.remove(id);
            self.dropped.insert(*id);
        }
        for meta in &edit.add {
            self.segments.insert(meta.id, meta.clone());
        }
        self.low_water = self.low_water.max(edit.low_water.unwrap_or(0));
        let segments = &self.segments;
        self.deletes.apply(&edit.deletes, |id| segments.contains_key(id));
    }

    fn encode(&self) -> Vec<u8> {
        let edit = Edit {
            add: self.segments.values().cloned().collect(),
            drop: self.dropped.iter().copied().collect(),
            low_water: Some(self.low_water),
            deletes: self.deletes.snapshot(),
        };
        edit.encode()
    }

    fn decode(generation: u64, bytes: &[u8]) -> Option<Self> {
        let edit = Edit::decode(bytes)?;
        let segments: BTreeMap<SegmentId, SegmentMeta> = edit.add.into_iter().map(|s| (s.id, s)).collect();
        let mut deletes = Deletes::default();
        deletes.apply(&edit.deletes, |id| segments.contains_key(id));
        Some(Self {
            generation,
            low_water: edit.low_water?,
            segments,
            dropped: edit.drop.into_iter().collect(),
            deletes,
        })
    }
}

fn payload_of(kind: u8, raw: &[u8]) -> Payload {
    let mut stored = Vec::new();
    let codec: Codec = compress(&mut stored, raw, Compression::Zstd(1));
    Payload { kind, codec, raw_len: raw.len() as u32, stored }
}

/// Reads the snapshot and all edits; anything that does not fit is damage, but for a torn last edit, which is left
/// out. Should that edit have been whole once, its segments are found and taken up again at start (`open::adopt`).
fn read_state(number: u64, bytes: &[u8]) -> Result<(State, usize), (String, String)> {
    let damage = |at: usize, what: &str| (format!("frame at byte {at}"), what.to_owned());
    let own = |frame: &Frame<'_>| frame.place.epoch == number;
    let Found::Frame(first) = read_frame(bytes) else { return Err(damage(0, "checksum does not hold")) };
    let state = first.raw().and_then(|raw| State::decode(first.place.seq, &raw));
    let (KIND_SNAPSHOT, true, Some(mut state)) = (first.kind, own(&first), state) else {
        return Err(damage(0, "not a snapshot"));
    };
    let mut at = first.padded_len();
    while at < bytes.len() {
        let Found::Frame(frame) = read_frame(bytes.get(at..).unwrap_or_default()) else { break };
        let edit = frame.raw().and_then(|raw| Edit::decode(&raw));
        let next = own(&frame) && frame.kind == KIND_EDIT && frame.place.seq == state.generation + 1;
        let (true, Some(edit)) = (next, edit) else { return Err(damage(at, "not the next edit")) };
        state.apply(&edit);
        at += frame.padded_len();
    }
    // Behind a torn tail there is nothing. A whole frame there means that an acknowledged edit is damaged.
    let mut beyond = at;
    while beyond < bytes.len() {
        if let Found::Frame(frame) = read_frame(bytes.get(beyond..).unwrap_or_default())
            && own(&frame)
        {
            return Err(damage(at, "checksum does not hold"));
        }
        beyond += crate::frame::ALIGN;
    }
    Ok((state, at))
}

/// Checks the newest file without changing anything: the segments it lists, or the damage.
pub(crate) fn check(disk: &dyn Disk) -> Result<Result<Vec<SegmentMeta>, Corruption>, StoreError> {
    let numbers = disk.list(DIR).at(DIR)?;
    let Some(number) = numbers.iter().filter_map(|name| file_number(name)).max() else {
        return Ok(Err(Corruption::new(DIR, "file", "there is none")));
    };
    let path = file_path(number);
    let bytes = read_all(disk, &path, MAX_FILE_BYTES).at(&path)?;
    Ok(match read_state(number, &bytes) {
        Ok((_, at)) if bytes.get(at..).is_some_and(|tail| tail.iter().any(|b| *b != 0)) => {
            Err(Corruption::new(
                &path,
                format!("frame at byte {at}"),
                "checksum does not hold (or a torn last edit)",
            ))
        }
        Ok((state, _)) => Ok(state.segments.into_values().collect()),
        Err((part, what)) => Err(Corruption::new(&path, part, what)),
    })
}

/// The low-water mark that the newest file names; 0 when it cannot be read.
pub(crate) fn low_water(disk: &dyn Disk) -> Result<u64, StoreError> {
    let numbers = disk.list(DIR).at(DIR)?;
    let Some(number) = numbers.iter().filter_map(|name| file_number(name)).max() else { return Ok(0) };
    let path = file_path(number);
    let bytes = read_all(disk, &path, MAX_FILE_BYTES).at(&path)?;
    Ok(read_state(number, &bytes).map_or(0, |(state, _)| state.low_water))
}

fn file_path(number: u64) -> String {
    format!("{DIR}/{number:016x}.log")
}

fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}
