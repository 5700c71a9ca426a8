//! What do the manifest's two files say, and which of them is to be believed?

use super::edit::{Edit, SegmentMeta};
use super::files::{
    COPY_DIR, DIR, FOLDERS, KIND_EDIT, KIND_SNAPSHOT, MAX_FILE_BYTES, file_number, file_path,
};
use super::state::State;
use crate::disk::{Disk, read_all};
use crate::error::{AtPath, Corruption, StoreError};
use crate::frame::{ALIGN, Frame, FrameRead, read_frame};

/// What the newest file of one folder says.
struct Copy {
    number: u64,
    /// The state, and whether something that is not zeros follows behind the last whole edit.
    read: Result<(State, bool), Corruption>,
}

/// What both say together.
pub(super) enum Newest {
    /// There is no file.
    Nothing,
    /// The state up to the last acknowledged edit.
    Sound {
        number: u64,
        state: State,
        /// The other file, if it is damaged.
        damage: Vec<Corruption>,
        /// What a start puts right.
        notes: Vec<String>,
    },
    /// No file can be believed.
    Damaged(Vec<Corruption>),
}

/// The highest number of any file, 0 when there is none.
pub(super) fn highest_number(disk: &dyn Disk) -> Result<u64, StoreError> {
    let mut highest = 0;
    for folder in FOLDERS {
        highest = highest.max(newest_in(disk, folder)?.unwrap_or(0));
    }
    Ok(highest)
}

fn newest_in(disk: &dyn Disk, folder: &str) -> Result<Option<u64>, StoreError> {
    Ok(disk.list(folder).at(folder)?.iter().filter_map(|name| file_number(name)).max())
}

fn read_copy(disk: &dyn Disk, folder: &str) -> Result<Option<Copy>, StoreError> {
    let Some(number) = newest_in(disk, folder)? else { return Ok(None) };
    let path = file_path(folder, number);
    let bytes = match read_all(disk, &path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        // A sector that cannot be read is damage like any other: the other file has its content.
        Err(e) => return Ok(Some(Copy { number, read: Err(Corruption::new(&path, "file", e.to_string())) })),
    };
    let read = read_state(number, &bytes).map_err(|(part, what)| Corruption::new(&path, part, what));
    let torn = |at: usize| bytes.get(at..).is_some_and(|tail| tail.iter().any(|b| *b != 0));
    Ok(Some(Copy { number, read: read.map(|(state, at)| (state, torn(at))) }))
}

/// Reads the newest file of each folder. An acknowledged edit is in the file of its number in both folders, and in every
/// file of a higher number: so of the sound ones the highest number counts, then the later edit.
pub(super) fn newest(disk: &dyn Disk) -> Result<Newest, StoreError> {
    let (copy, main) = (read_copy(disk, COPY_DIR)?, read_copy(disk, DIR)?);
    let number_of = |copy: &Option<Copy>| copy.as_ref().map(|c| c.number);
    let (copy_number, main_number) = (number_of(&copy), number_of(&main));
    let mut notes = Vec::new();
    for (folder, missing, other) in [(COPY_DIR, copy_number, main_number), (DIR, main_number, copy_number)] {
        if missing.is_none() && other.is_some() {
            notes.push(format!(
                "{folder}/ holds no manifest; the next start writes it again from the other copy"
            ));
        }
    }
    let (mut best, mut damage): (Option<(u64, State)>, Vec<Corruption>) = (None, Vec::new());
    for (folder, copy) in [(COPY_DIR, copy), (DIR, main)] {
        let Some(Copy { number, read }) = copy else { continue };
        match read {
            Ok((state, torn)) => {
                // An edit that is whole in the other file is not lost with it.
                if torn {
                    let path = file_path(folder, number);
                    notes.push(format!(
                        "{path} ends in an edit that is not whole; the next start writes a new file"
                    ));
                }
                if best.as_ref().is_none_or(|(n, s)| (number, state.generation) > (*n, s.generation)) {
                    best = Some((number, state));
                }
            }
            Err(corruption) => damage.push(corruption),
        }
    }
    let Some((number, state)) = best else {
        return Ok(if damage.is_empty() { Newest::Nothing } else { Newest::Damaged(damage) });
    };
    // The copy is begun first. Without it under the other's number a program that knew no copies wrote since, and what
    // the copy says is out of date.
    if main_number.is_some_and(|main| main > number) {
        return Ok(Newest::Damaged(damage));
    }
    Ok(Newest::Sound { number, state, damage, notes })
}

/// Reads the snapshot and all edits; anything that does not fit is damage, but for a torn last edit, which is left
/// out. Should that edit have been whole once, the other file has it.
pub(super) fn read_state(number: u64, bytes: &[u8]) -> Result<(State, usize), (String, String)> {
    let damage = |at: usize, what: &str| (format!("frame at byte {at}"), what.to_owned());
    let own = |frame: &Frame<'_>| frame.position.epoch == number;
    let FrameRead::Frame(first) = read_frame(bytes) else {
        return Err(damage(0, "checksum does not hold"));
    };
    let state = first.raw().and_then(|raw| State::decode(first.position.seq, &raw));
    let (KIND_SNAPSHOT, true, Some(mut state)) = (first.kind, own(&first), state) else {
        return Err(damage(0, "not a snapshot"));
    };
    let mut at = first.padded_len();
    while at < bytes.len() {
        let FrameRead::Frame(frame) = read_frame(bytes.get(at..).unwrap_or_default()) else { break };
        let edit = frame.raw().and_then(|raw| Edit::decode(&raw));
        let next = own(&frame) && frame.kind == KIND_EDIT && frame.position.seq == state.generation + 1;
        let (true, Some(edit)) = (next, edit) else { return Err(damage(at, "not the next edit")) };
        state.apply(&edit);
        at += frame.padded_len();
    }
    // Behind a torn tail there is nothing. A whole frame there means that an acknowledged edit is damaged.
    let mut beyond = at;
    while beyond < bytes.len() {
        if let FrameRead::Frame(frame) = read_frame(bytes.get(beyond..).unwrap_or_default())
            && own(&frame)
        {
            return Err(damage(at, "checksum does not hold"));
        }
        beyond += ALIGN;
    }
    Ok((state, at))
}

/// What a look at the newest files finds, without a change to any.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The segments that are listed; `None` when no file can be believed.
    pub(crate) segments: Option<Vec<SegmentMeta>>,
    /// 0 when it is not known.
    pub(crate) low_water: u64,
    pub(crate) damage: Vec<Corruption>,
    /// What the next start puts right.
    pub(crate) notes: Vec<String>,
}

/// Checks the newest files without changing anything.
pub(crate) fn check(disk: &dyn Disk) -> Result<Checked, StoreError> {
    Ok(match newest(disk)? {
        Newest::Nothing => {
            let damage = vec![Corruption::new(DIR, "file", "there is none")];
            Checked { segments: None, low_water: 0, damage, notes: Vec::new() }
        }
        Newest::Damaged(damage) => Checked { segments: None, low_water: 0, damage, notes: Vec::new() },
        Newest::Sound { state, damage, notes, .. } => {
            let low_water = state.low_water;
            Checked { segments: Some(state.segments.into_values().collect()), low_water, damage, notes }
        }
    })
}
