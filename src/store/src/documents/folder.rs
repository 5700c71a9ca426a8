//! The documents of one collection: what lies in its folder, and what is known of each.

use super::collection::{Collection, FileName, file_name, temporary_name};
use super::error::{DocumentError, Unreadable};
use super::file::{MAX_FILE_BYTES, decode};
use super::{Document, Version};
use crate::disk::{Disk, is_medium_error, read_all};
use crate::error::{AtPath, Corruption, StoreError};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// One collection.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) collection: Collection,
    pub(super) path: String,
    /// Held by the one put or delete that is under way.
    pub(super) writing: Mutex<Writing>,
    /// Locked for writing while names change, until they are durable.
    pub(super) index: RwLock<Index>,
    /// Whether there are documents, or may be: for those who must not wait for `index`.
    may_have: AtomicBool,
}

/// What a writer has to know of the folder.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// The folder's own name is durable, as far as this process has seen to it.
    pub(super) is_made: bool,
    /// A change of names could not be synced, and none has been since.
    pub(super) is_unsynced: bool,
    /// Files of puts that were cut off, which could not be removed yet. None is written to again: bytes of a failed sync may
    /// count as synced.
    pub(super) leftovers: Vec<String>,
}

/// What is known of the folder's documents.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// False as long as the folder could not be listed.
    pub(super) is_loaded: bool,
    /// False as long as what a process before left there was not synced by this one.
    pub(super) is_durable: bool,
    /// The last document was deleted: this folder is in nobody's way any more, a new one begins anew.
    pub(super) is_retired: bool,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// What is known of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes of its file, as far as they could ever be counted.
    pub(super) bytes: u64,
    /// Of a document that could not be read for a reason that may pass, it is tried again.
    pub(super) version: Result<Version, Unreadable>,
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Names of documents.
    pub(super) documents: Vec<String>,
    /// Paths of files that puts left which were cut off.
    pub(super) leftovers: Vec<String>,
    /// Paths of what is none of ours.
    pub(super) foreign: Vec<String>,
}

impl Folder {
    /// The folder of a collection that is not on the disk, as far as is known.
    pub(super) fn new(collection: Collection) -> Self {
        let path = collection.folder();
        let (writing, index) = (Mutex::default(), RwLock::default());
        Self { collection, path, writing, index, may_have: AtomicBool::new(false) }
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

    /// What is to be known of a document as it is on the disk now. Its file had so many bytes when they were counted last.
    pub(super) fn look(&self, disk: &dyn Disk, name: &str, known_bytes: u64) -> Option<Entry> {
        let bytes = || disk.open(&self.file(name)).and_then(|file| file.len()).unwrap_or(known_bytes);
        let why = match self.read(disk, name) {
            Ok(Some((document, bytes))) => return Some(Entry { bytes, version: Ok(document.version) }),
            Ok(None) => return None,
            Err(StoreError::Corrupt(damage)) => Unreadable::Damaged(damage),
            Err(StoreError::Io { path, source }) => {
                Unreadable::Refused { path, kind: source.kind(), what: source.to_string() }
            }
            Err(other) => Unreadable::Refused {
                path: self.file(name),
                kind: io::ErrorKind::Other,
                what: other.to_string(),
            },
        };
        Some(Entry { bytes: bytes(), version: Err(why) })
    }

    /// What lies in the folder.
    pub(super) fn list(&self, disk: &dyn Disk) -> Result<Listing, DocumentError> {
        let mut listing = Listing::default();
        for file in disk.list(&self.path).at(&self.path)? {
            match FileName::of(&file) {
                FileName::Document(name) => listing.documents.push(name),
                FileName::Leftover => listing.leftovers.push(format!("{}/{file}", self.path)),
                FileName::Foreign => listing.foreign.push(format!("{}/{file}", self.path)),
            }
        }
        Ok(listing)
    }

    /// Puts what is known of a document in the place of what was known, or forgets the document.
    pub(super) fn know(&self, index: &mut Index, name: &str, now: Option<Entry>) {
        match now {
            Some(entry) => drop(index.entries.insert(name.to_owned(), entry)),
            None => drop(index.entries.remove(name)),
        }
        self.note_emptiness(index);
    }

    /// It lies on the disk: as long as it was not read, nobody knows what is in it.
    pub(super) fn note_found(&self) {
        self.may_have.store(true, Ordering::Relaxed);
    }

    /// Whether there are documents is as the index says.
    pub(super) fn note_emptiness(&self, index: &Index) {
        self.may_have.store(!index.entries.is_empty(), Ordering::Relaxed);
    }

    /// Whether there are documents, or may be, since the folder could not be read.
    pub(super) fn may_have_documents(&self) -> bool {
        self.may_have.load(Ordering::Relaxed)
    }
}

impl Entry {
    /// Whether another look may tell what this one could not.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.version, Err(Unreadable::Refused { .. }))
    }
}
