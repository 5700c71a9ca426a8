//! Finding what earlier processes left: at a start, or later what a start could not list, read or sync.

use super::DIR;
use super::collection::Collection;
use super::error::{DocumentError, Unreadable};
use super::folder::{Folder, Writing};
use super::store::Documents;
use crate::disk::Disk;
use crate::error::{AtPath, Corruption, StoreError};
use parking_lot::MutexGuard;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Documents {
    /// Finds all collections and reads them, if that has not been done.
    pub(super) fn list_collections(&self) -> Result<(), StoreError> {
        if self.is_listed.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one = self.listing.lock();
        if self.is_listed.load(Ordering::Acquire) {
            return Ok(());
        }
        let (collections, foreign) = collections(self.disk.as_ref())?;
        warn_of_foreign(&foreign);
        for collection in collections {
            let folder = self.folder_or_new(&collection);
            folder.note_found();
            let mut writing = folder.writing.lock();
            match self.load(&folder, &mut writing) {
                Ok(()) => self.drop_if_found_empty(&folder, &mut writing),
                Err(error) => {
                    tracing::error!(%error, %collection, "documents could not be read; tried again when they are asked for");
                }
            }
        }
        self.is_listed.store(true, Ordering::Release);
        Ok(())
    }

    /// Documents that are known to be damaged.
    pub(super) fn damage(&self) -> Vec<Corruption> {
        let folders: Vec<Arc<Folder>> = self.folders.lock().values().cloned().collect();
        let mut damage = Vec::new();
        for folder in folders {
            for entry in folder.index.read().entries.values() {
                match &entry.version {
                    Err(Unreadable::Damaged(found)) => damage.push(found.clone()),
                    Err(refused) => tracing::error!(%refused, "a document; tried again when it is asked for"),
                    Ok(_) => {}
                }
            }
        }
        damage
    }

    /// The folder of a collection that has, or may have, documents; read and synced, if it was not yet.
    pub(super) fn loaded(&self, collection: &Collection) -> Result<Option<Arc<Folder>>, DocumentError> {
        self.list_collections()?;
        let Some(folder) = self.folders.lock().get(collection).cloned() else { return Ok(None) };
        let is_ready = {
            let index = folder.index.read();
            index.is_loaded && index.is_durable
        };
        if !is_ready {
            self.ready(&folder, &mut folder.writing.lock())?;
        }
        Ok(Some(folder))
    }

    /// Reads and syncs the folder, if that has not been done. What a process that was killed left undone is visible, and may not
    /// be durable: nobody is told of a document, or that it is gone, while a power cut could change that.
    pub(super) fn ready(
        &self,
        folder: &Folder,
        writing: &mut MutexGuard<'_, Writing>,
    ) -> Result<(), DocumentError> {
        if folder.index.read().is_retired {
            return Ok(());
        }
        self.load(folder, writing)?;
        if !folder.index.read().is_durable {
            match self.sync_names(folder, writing) {
                // Removed only when it was empty and synced.
                Err(DocumentError::Unsynced { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    writing.is_unsynced = false;
                }
                Err(DocumentError::Unsynced { source, .. }) => {
                    return Err(source).at(&folder.path).map_err(DocumentError::from);
                }
                other => other?,
            }
            folder.index.write().is_durable = true;
        }
        Ok(())
    }

    /// Reads the folder, if that has not been done.
    fn load(&self, folder: &Folder, writing: &mut MutexGuard<'_, Writing>) -> Result<(), DocumentError> {
        if folder.index.read().is_loaded {
            return Ok(());
        }
        let listing = folder.list(self.disk.as_ref())?;
        warn_of_foreign(&listing.foreign);
        let mut index = folder.index.write();
        for name in listing.documents {
            let now = folder.look(self.disk.as_ref(), &name, 0);
            self.note(folder, &mut index, &name, now);
        }
        index.is_loaded = true;
        folder.note_emptiness(&index);
        writing.leftovers = listing.leftovers;
        // If that fails, the next put tries again.
        let _ = self.remove_leftovers(writing);
        Ok(())
    }

    /// Gives up a folder in which a start finds nothing.
    fn drop_if_found_empty(&self, folder: &Folder, writing: &mut MutexGuard<'_, Writing>) {
        let is_empty = folder.index.read().entries.is_empty();
        if is_empty && self.ready(folder, writing).is_ok() {
            self.retire_if_empty(folder, writing);
        }
    }
}

/// Collections that have a folder, and paths of what is none of ours.
pub(super) fn collections(disk: &dyn Disk) -> Result<(Vec<Collection>, Vec<String>), StoreError> {
    let (mut found, mut foreign) = (Vec::new(), Vec::new());
    for name in disk.list(DIR).at(DIR)? {
        match Collection::from_listed(&name) {
            Some(collection) => found.push(collection),
            None => foreign.push(format!("{DIR}/{name}")),
        }
    }
    Ok((found, foreign))
}

/// A document whose file's or folder's name was damaged is not found any more, and this is all that tells.
fn warn_of_foreign(paths: &[String]) {
    for path in paths {
        tracing::warn!(%path, "is none of the documents: if it was one, its name is damaged");
    }
}
