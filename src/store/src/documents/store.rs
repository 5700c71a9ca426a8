//! Putting, getting, deleting and listing documents.

use super::collection::{Collection, Owner, check_name};
use super::error::{Bound, DocumentError};
use super::file::{MAX_FILE_BYTES, MAX_OVERHEAD, encode};
use super::folder::{Entry, Folder, Index, Writing};
use super::usage::{DocumentLimits, Usage};
use super::{DIR, Document, Expect, Listed, Version};
use crate::disk::Disk;
use crate::error::{AtPath, Corruption, StoreError};
use crate::invariant;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound as Edge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use strandline_model::{Clock, polling};

/// All documents of a data directory. Made by [`Engine::open`](crate::Engine::open), whose lock of the directory guards them
/// for as long as this lives.
#[derive(Debug)]
pub struct Documents {
    pub(super) disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    limits: DocumentLimits,
    /// Those that have documents, or are about to. Locked for a moment only, as `usage` is; behind the locks of a folder.
    pub(super) folders: Mutex<BTreeMap<Collection, Arc<Folder>>>,
    pub(super) usage: Mutex<Usage>,
    /// False as long as `documents/` could not be listed: until then nothing is said of any document.
    pub(super) is_listed: AtomicBool,
    /// Held by who lists it.
    pub(super) listing: Mutex<()>,
    /// The highest number given or read.
    last_version: AtomicU64,
}

impl Documents {
    /// Reads what there is. Returns what is damaged; what cannot be read now is tried again when it is asked for.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        limits: DocumentLimits,
    ) -> (Self, Vec<Corruption>) {
        let documents = Self {
            disk,
            clock,
            limits,
            folders: Mutex::default(),
            usage: Mutex::default(),
            is_listed: AtomicBool::new(false),
            listing: Mutex::default(),
            last_version: AtomicU64::new(0),
        };
        if let Err(error) = documents.list_collections() {
            tracing::error!(%error, "no documents could be read; tried again when they are asked for");
        }
        let damage = documents.damage();
        (documents, damage)
    }

    /// The bounds in force.
    pub fn limits(&self) -> &DocumentLimits {
        &self.limits
    }

    /// Reads a document; `None` if there is none. Damage is an error ([`StoreError::Corrupt`]) of this document alone.
    pub fn get(&self, collection: &Collection, name: &str) -> Result<Option<Document>, DocumentError> {
        polling::assert_none("reading a document");
        check_name(name)?;
        let Some(folder) = self.loaded(collection)? else { return Ok(None) };
        let index = folder.index.read();
        let Some(known) = index.entries.get(name).cloned() else { return Ok(None) };
        let found = folder.read(self.disk.as_ref(), name);
        drop(index);
        match found {
            Ok(Some((document, _))) if known.version.is_ok() => Ok(Some(document)),
            other => {
                // Not as it was known: lists and expectations must know it, too.
                let _one = folder.writing.lock();
                self.refresh(&folder, &mut folder.index.write(), name);
                Ok(other?.map(|(document, _)| document))
            }
        }
    }

    /// Stores a document in the place of the one of this name, if there is one. Returns when it is synced.
    ///
    /// After [`DocumentError::Unsynced`] the new document is in place, after any other error the old one is.
    pub fn put(
        &self,
        collection: &Collection,
        name: &str,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<Version, DocumentError> {
        polling::assert_none("writing a document");
        check_name(name)?;
        invariant::check()?;
        let limit = MAX_FILE_BYTES - MAX_OVERHEAD;
        if bytes.len() as u64 > limit {
            return Err(DocumentError::TooMuch { bound: Bound::DocumentBytes, limit });
        }
        self.list_collections()?;
        loop {
            let folder = self.folder_or_new(collection);
            let mut writing = folder.writing.lock();
            // Deleted with its last document since it was looked up.
            if folder.index.read().is_retired {
                continue;
            }
            let put = self.put_into(&folder, &mut writing, name, bytes, expect);
            self.retire_if_empty(&folder, &writing);
            return put;
        }
    }

    fn put_into(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
        name: &str,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<Version, DocumentError> {
        self.ready(folder, writing)?;
        let (before, others) = {
            let index = folder.index.read();
            (index.entries.get(name).cloned(), index.entries.len() as u64)
        };
        let before = self.check(folder, name, before, expect)?;
        let limit = self.limits.max_collection_documents;
        if before.is_none() && others >= limit {
            return Err(DocumentError::TooMuch { bound: Bound::CollectionDocuments, limit });
        }
        let version = self.next_version();
        let file = encode(&folder.collection, name, version, bytes);
        let (old, new) = (before.map(|entry| entry.bytes), file.len() as u64);
        let owner = folder.collection.owner();
        let limit = self.limits.max_document_bytes;
        if bytes.len() as u64 > limit && old.is_none_or(|old| new > old) {
            return Err(DocumentError::TooMuch { bound: Bound::DocumentBytes, limit });
        }
        self.usage.lock().take(&self.limits, owner, old, new)?;
        let entry = Entry { bytes: new, version: Ok(version) };
        let put = self.replace(folder, writing, name, &file, entry);
        if !matches!(put, Ok(()) | Err(DocumentError::Unsynced { .. })) {
            self.usage.lock().replace(owner, Some(new), old);
        }
        put.map(|()| version)
    }

    /// Writes the file of a document in steps; after each a crash leaves the old file or the new one.
    fn replace(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
        name: &str,
        bytes: &[u8],
        entry: Entry,
    ) -> Result<(), DocumentError> {
        let disk = self.disk.as_ref();
        self.make_folder(folder, writing)?;
        self.remove_leftovers(writing)?;
        let (path, temporary) = (folder.file(name), folder.temporary(name));
        let write = || {
            let file = disk.create(&temporary)?;
            file.write_at(bytes, 0)?;
            file.sync()
        };
        let written = write();
        // From here on readers wait: they see a document when it is certain.
        let mut index = folder.index.write();
        let is_written = written.is_ok();
        if let Err(error) = written.and_then(|()| disk.rename(&temporary, &path)) {
            writing.leftovers.push(temporary);
            // If that fails, the next put tries again.
            let _ = self.remove_leftovers(writing);
            // Somebody may have removed the folder.
            writing.is_made = false;
            if is_written {
                // A rename that failed may have been done.
                self.refresh(folder, &mut index, name);
            }
            return Err(error).at(&path).map_err(DocumentError::from);
        }
        let synced = self.sync_names(folder, writing);
        folder.know(&mut index, name, Some(entry));
        synced
    }

    /// Removes what earlier puts could not remove.
    pub(super) fn remove_leftovers(
        &self,
        writing: &mut MutexGuard<'_, Writing>,
    ) -> Result<(), DocumentError> {
        while let Some(path) = writing.leftovers.last() {
            match self.disk.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).at(path).map_err(DocumentError::from);
                }
                _ => drop(writing.leftovers.pop()),
            }
        }
        Ok(())
    }

    /// Deletes a document. Returns when that is synced, and whether there was one.
    ///
    /// After [`DocumentError::Unsynced`] it is gone, after any other error it is still there.
    pub fn delete(&self, collection: &Collection, name: &str, expect: Expect) -> Result<bool, DocumentError> {
        polling::assert_none("deleting a document");
        check_name(name)?;
        invariant::check()?;
        loop {
            let Some(folder) = self.loaded(collection)? else {
                return self.check_absent(expect).map(|()| false);
            };
            let mut writing = folder.writing.lock();
            // Somebody else deleted the last document: whoever puts one now makes another folder.
            if folder.index.read().is_retired {
                continue;
            }
            let deleted = self.delete_from(&folder, &mut writing, name, expect);
            self.retire_if_empty(&folder, &writing);
            return deleted;
        }
    }

    fn delete_from(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
        name: &str,
        expect: Expect,
    ) -> Result<bool, DocumentError> {
        let before = folder.index.read().entries.get(name).cloned();
        match self.check(folder, name, before, expect)? {
            Some(_) => self.remove(folder, writing, name).map(|()| true),
            // One that an earlier call could not be sure of.
            None if writing.is_unsynced => self.sync_names(folder, writing).map(|()| false),
            None => Ok(false),
        }
    }

    fn remove(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
        name: &str,
    ) -> Result<(), DocumentError> {
        let path = folder.file(name);
        let mut index = folder.index.write();
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // A removal that failed may have been done.
                self.refresh(folder, &mut index, name);
                Err(error).at(&path).map_err(DocumentError::from)
            }
            _ => {
                let synced = self.sync_names(folder, writing);
                self.note(folder, &mut index, name, None);
                synced
            }
        }
    }

    /// Documents of a collection by name, at most `limit` of those behind `after`.
    pub fn list(
        &self,
        collection: &Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, DocumentError> {
        polling::assert_none("listing documents");
        let Some(folder) = self.loaded(collection)? else { return Ok(Vec::new()) };
        let from = after.map_or(Edge::Unbounded, Edge::Excluded);
        let page = || {
            let index = folder.index.read();
            let entries = index.entries.range::<str, _>((from, Edge::Unbounded)).take(limit);
            entries.map(|(name, entry)| (name.clone(), entry.clone())).collect::<Vec<_>>()
        };
        let mut found = page();
        if found.iter().any(|(_, entry)| entry.is_refused()) {
            let _one = folder.writing.lock();
            for (name, _) in found.iter().filter(|(_, entry)| entry.is_refused()) {
                self.refresh(&folder, &mut folder.index.write(), name);
            }
            found = page();
        }
        let listed =
            |(name, entry): (String, Entry)| Listed { version: entry.version, bytes: entry.bytes, name };
        Ok(found.into_iter().map(listed).collect())
    }

    /// Who has documents of a kind, the process first, then tenants by name: at most `limit` of those behind `after`. Also those
    /// of whom it is not known, since their folder could not be read.
    pub fn owners(
        &self,
        kind: &str,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, DocumentError> {
        polling::assert_none("listing owners of documents");
        self.list_collections()?;
        let first = Collection::new(after.cloned().unwrap_or(Owner::Process), kind)?;
        let from = if after.is_some() { Edge::Excluded(first) } else { Edge::Included(first) };
        let folders = self.folders.lock();
        let of_kind = folders.range((from, Edge::Unbounded)).map(|(_, folder)| folder);
        let of_kind = of_kind.take_while(|folder| folder.collection.kind() == kind);
        let owners = of_kind.filter(|folder| folder.may_have_documents()).take(limit);
        Ok(owners.map(|folder| folder.collection.owner().clone()).collect())
    }

    /// Refuses what is not as expected. Returns what is there.
    fn check(
        &self,
        folder: &Folder,
        name: &str,
        before: Option<Entry>,
        expect: Expect,
    ) -> Result<Option<Entry>, DocumentError> {
        let Some(entry) = before else { return self.check_absent(expect).map(|()| None) };
        if expect == Expect::Anything {
            return Ok(Some(entry));
        }
        // What could not be read may be readable now.
        let entry = match entry.version {
            Ok(_) => Some(entry),
            Err(_) => self.refresh(folder, &mut folder.index.write(), name),
        };
        let version = entry.as_ref().map(|entry| entry.version.clone());
        let found = version.transpose().map_err(StoreError::from)?;
        let expected = match expect {
            Expect::Version(version) => Some(version),
            _ => None,
        };
        if found == expected { Ok(entry) } else { Err(DocumentError::Conflict { found }) }
    }

    fn check_absent(&self, expect: Expect) -> Result<(), DocumentError> {
        match expect {
            Expect::Version(_) => Err(DocumentError::Conflict { found: None }),
            _ => Ok(()),
        }
    }

    /// Looks at a document again, and knows it as it is from then on. The folder's writer alone may do so.
    fn refresh(&self, folder: &Folder, index: &mut Index, name: &str) -> Option<Entry> {
        if index.is_retired {
            return None;
        }
        let known = index.entries.get(name).map(|entry| entry.bytes);
        let now = folder.look(self.disk.as_ref(), name, known.unwrap_or(0));
        // That a file cannot be opened now is no sign that there is one.
        let now = now.filter(|entry| known.is_some() || !entry.is_refused());
        self.note(folder, index, name, now.clone());
        now
    }

    /// Knows a document as it is now, and counts its room.
    pub(super) fn note(&self, folder: &Folder, index: &mut Index, name: &str, now: Option<Entry>) {
        let (before, after) = (index.entries.get(name).map(|e| e.bytes), now.as_ref().map(|e| e.bytes));
        self.usage.lock().replace(folder.collection.owner(), before, after);
        if let Some(Ok(version)) = now.as_ref().map(|entry| &entry.version) {
            self.last_version.fetch_max(version.0, Ordering::Relaxed);
        }
        folder.know(index, name, now);
    }

    /// A version above all that were given.
    fn next_version(&self) -> Version {
        let now = u64::try_from(self.clock.now_ns()).unwrap_or(0);
        let next = |last: u64| now.max(last.saturating_add(1));
        let last =
            self.last_version.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        Version(next(last.unwrap_or_else(|last| last)))
    }

    pub(super) fn folder_or_new(&self, collection: &Collection) -> Arc<Folder> {
        let mut folders = self.folders.lock();
        let new = || Arc::new(Folder::new(collection.clone()));
        Arc::clone(folders.entry(collection.clone()).or_insert_with(new))
    }

    /// Makes the folder, and its name durable: once per process, since one that is there may be left by a process that could
    /// not sync its name.
    fn make_folder(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
    ) -> Result<(), DocumentError> {
        if !writing.is_made {
            let sync = || {
                self.disk.create_dir(&folder.path)?;
                self.disk.sync_dir("")?;
                self.disk.sync_dir(DIR)
            };
            sync().at(&folder.path)?;
            writing.is_made = true;
        }
        Ok(())
    }

    pub(super) fn sync_names(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
    ) -> Result<(), DocumentError> {
        let synced = self.disk.sync_dir(&folder.path);
        writing.is_unsynced = synced.is_err();
        synced.map_err(|source| DocumentError::Unsynced { path: folder.path.clone(), source })
    }

    /// Forgets a folder without documents: tenants come and go.
    pub(super) fn retire_if_empty(&self, folder: &Folder, writing: &MutexGuard<'_, Writing>) {
        let mut index = folder.index.write();
        if index.is_retired || folder.may_have_documents() || writing.is_unsynced {
            return;
        }
        index.is_retired = true;
        drop(index);
        // It may not be there, or hold what is none of ours. As long as it is in the map, whoever puts waits for `writing`, and
        // nobody else for this call of the disk.
        let _ = self.disk.remove_dir(&folder.path);
        let mut folders = self.folders.lock();
        // This one, and no other of that name.
        if folders.get(&folder.collection).is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), folder)) {
            folders.remove(&folder.collection);
        }
    }
}
