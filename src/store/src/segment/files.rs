//! Which segment files are open? At most so many at once, whatever the number of segments and of their readers: a
//! descriptor is closed when others are needed more, and opened again on demand.

use crate::disk::{Disk, DiskFile, os_code};
use crate::manifest::{SegmentId, SegmentMeta};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The open files of all segments, least recently used ones closed first. A read holds its file for as long as it takes,
/// so that there can be as many more open as there are reads at the moment.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    disk: Arc<dyn Disk>,
    max: usize,
    removing: Arc<dyn RemoveSegment>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<SegmentId, (Arc<dyn DiskFile>, u64)>,
    tick: u64,
}

impl OpenFiles {
    /// At most `max` files of `disk`.
    pub(crate) fn new(disk: Arc<dyn Disk>, max: usize, removing: Arc<dyn RemoveSegment>) -> Arc<Self> {
        Arc::new(Self { disk, max: max.max(1), removing, kept: Mutex::default() })
    }

    fn get(&self, id: SegmentId, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        {
            let mut kept = self.kept.lock();
            kept.tick += 1;
            let tick = kept.tick;
            if let Some((file, used)) = kept.files.get_mut(&id) {
                *used = tick;
                return Ok(Arc::clone(file));
            }
        }
        let file = match self.disk.open(path) {
            Err(e) if is_out_of_descriptors(&e) => {
                // Those that are not being read at the moment are the only ones that can be given back.
                self.kept.lock().files.clear();
                self.disk.open(path)?
            }
            opened => opened?,
        };
        let mut kept = self.kept.lock();
        while kept.files.len() >= self.max {
            let oldest = kept.files.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            kept.files.remove(&oldest);
        }
        let tick = kept.tick;
        Ok(Arc::clone(&kept.files.entry(id).or_insert((file, tick)).0))
    }

    fn forget(&self, id: SegmentId) {
        self.kept.lock().files.remove(&id);
    }

    /// Files that are open.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept.lock().files.len()
    }
}

/// Whether the process or the system has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(os_code(error), Some(libc::EMFILE | libc::ENFILE))
}

/// Removes the files of segments that are no longer listed.
pub(crate) trait RemoveSegment: Send + Sync + std::fmt::Debug {
    /// Removes the file of a dropped segment that nobody reads any more.
    fn remove(&self, disk: &dyn Disk, meta: SegmentMeta);
}

/// The file of a listed segment. When it is dropped after [`SegmentFile::doom`], the file is removed: readers of a
/// segment that is no longer listed can open it again until the last of them is done.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    meta: SegmentMeta,
    path: String,
    files: Arc<OpenFiles>,
    doomed: AtomicBool,
}

impl SegmentFile {
    pub(crate) fn new(meta: &SegmentMeta, files: &Arc<OpenFiles>) -> Arc<Self> {
        let (meta, path, files) = (meta.clone(), meta.path(), Arc::clone(files));
        Arc::new(Self { meta, path, files, doomed: AtomicBool::new(false) })
    }

    /// Relative to the data directory.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The open file.
    pub(crate) fn get(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.files.get(self.meta.id, &self.path)
    }

    /// The manifest no longer lists the segment.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        self.files.forget(self.meta.id);
        if self.doomed.load(Ordering::Relaxed) {
            self.files.removing.remove(self.files.disk.as_ref(), self.meta.clone());
        }
    }
}
