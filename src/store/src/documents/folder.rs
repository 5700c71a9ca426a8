//! The documents of one collection: what lies in its folder, and what is known of each.

use super::collection::{Collection, FileName, file_name, temporary_name};
use super::error::DocumentError;
use super::file::{MAX_FILE_BYTES, decode};
use super::{Document, Version};
use crate::disk::{Disk, is_medium_error, read_all};
use crate::error::{AtPath, Corruption, StoreError};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;

/// One collection.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) collection: Collection,
    pub(super) path: String,
    /// Held by the one put or delete that is under way.
    pub(super) writing: Mutex<Writing>,
    /// Locked for writing while names change, until they are durable.
    pub(super) index: RwLock<Index>,
}

/// What a writer has to know of the folder.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// The folder's own name is durable, as far as this process has seen to it.
    pub(super) is_made: bool,
    /// A change of names could not be synced, and none has been since.
    pub(super) is_unsynced: bool,
}

/// What is known of the folder's documents.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// False as long as the folder could not be listed.
    pub(super) is_loaded: bool,
    /// The last document was deleted: this folder is in nobody's way any more, a new one begins anew.
    pub(super) is_retired: bool,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// What is known of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes of its file; 0 when that could not be read.
    pub(super) bytes: u64,
    pub(super) state: State,
}

/// Whether a document can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Sound(Version),
    Damaged(Corruption),
    /// The system refused for a reason that may pass: it is tried again.
    Unread(Corruption),
}

impl Folder {
    pub(super) fn new(collection: Collection) -> Self {
        let path = collection.folder();
        Self { collection, path, writing: Mutex::default(), index: RwLock::default() }
    }

    /// The file of a document.
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{}", self.path, file_name(name))
    }

    /// The file that is written before it takes the document's place.
    pub(super) fn temporary(&self, name: &str) -> String {
        format!("{}/{}", self.path, temporary_name(name))
    }

    /// Reads a document; `None` when there is no file. Also gives the length of its file.
    pub(super) fn read(&self, disk: &dyn Disk, name: &str) -> Result<Option<(Document, u64)>, StoreError> {
        let path = self.file(name);
        let file = match read_all(disk, &path, MAX_FILE_BYTES) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData || is_medium_error(&e) => {
                return Err(self.damage(name, e.to_string()).into());
            }
            Err(e) => return Err(e).at(&path),
        };
        match decode(&self.collection, name, &file) {
            Ok(document) => Ok(Some((document, file.len() as u64))),
            Err(what) => Err(self.damage(name, what).into()),
        }
    }

    fn damage(&self, name: &str, what: impl Into<String>) -> Corruption {
        Corruption::new(&self.file(name), format!("document {name:?} ({})", self.collection), what)
    }

    /// What is to be known of a document as it is on the disk now.
    pub(super) fn look(&self, disk: &dyn Disk, name: &str) -> Option<Entry> {
        let bytes = || disk.open(&self.file(name)).and_then(|file| file.len()).unwrap_or(0);
        match self.read(disk, name) {
            Ok(Some((document, bytes))) => Some(Entry { bytes, state: State::Sound(document.version) }),
            Ok(None) => None,
            Err(StoreError::Corrupt(damage)) => Some(Entry { bytes: bytes(), state: State::Damaged(damage) }),
            Err(other) => {
                Some(Entry { bytes: 0, state: State::Unread(self.damage(name, other.to_string())) })
            }
        }
    }

    /// Names in the folder: of documents, and of files that puts left which were cut off.
    pub(super) fn list(&self, disk: &dyn Disk) -> Result<(Vec<String>, Vec<String>), DocumentError> {
        let (mut names, mut leftovers) = (Vec::new(), Vec::new());
        for file in disk.list(&self.path).at(&self.path)? {
            match FileName::of(&file) {
                FileName::Document(name) => names.push(name),
                FileName::Leftover => leftovers.push(format!("{}/{file}", self.path)),
                FileName::Foreign => {}
            }
        }
        Ok((names, leftovers))
    }
}

impl Entry {
    /// The version, or what is wrong.
    pub(super) fn version(&self) -> Result<Version, Corruption> {
        match &self.state {
            State::Sound(version) => Ok(*version),
            State::Damaged(damage) | State::Unread(damage) => Err(damage.clone()),
        }
    }
}
