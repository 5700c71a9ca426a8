//! All file access of the engine goes through [`Disk`]: one real implementation and a simulated one.
//!
//! Paths are relative to the data directory, `/`-separated. What is durable when: bytes of a file after
//! [`DiskFile::sync`] returned; names (create, rename, remove) after [`Disk::sync_dir`] of their folder returned.
//! Nothing else is, and nothing is ordered by itself: file systems write unsynced bytes and names back in any order, and a
//! power cut keeps any part of them.

mod open_files;
mod real;
#[cfg(test)]
pub mod sim;

pub use open_files::raise_open_file_limit;
pub use real::RealDisk;

use std::io;
use std::sync::Arc;

/// A folder tree.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file for reading and writing; an existing one is emptied.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, replacing an existing one. Durable after `sync_dir` of both folders.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable after `sync_dir` of its folder.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Names in a folder, sorted; folders end in `/`. A missing folder is an empty one.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Creates a folder and its missing parents and syncs the parents.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Free bytes for this process.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Takes the data directory for this process; a second process gets `WouldBlock`. Held until the disk is dropped.
    fn lock(&self, path: &str) -> io::Result<()>;
    /// The folder on the machine's own file system, if this is one (sled needs it).
    fn local_path(&self, path: &str) -> Option<std::path::PathBuf>;
}

/// An open file.
pub trait DiskFile: Send + Sync + std::fmt::Debug {
    /// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` when the file is shorter.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at `offset`. Not durable before `sync`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all bytes written so far (and the length) durable. After an error the file must not be written again:
    /// the kernel may have dropped the dirty pages and report success next time.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills the file with zeros up to `len`, so that later writes below it neither need space nor change metadata.
    fn preallocate(&self, len: u64) -> io::Result<()>;
}

/// An error with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
struct Named {
    path: String,
    source: io::Error,
}

/// The same error, with the file that it is about.
pub(crate) fn named(source: io::Error, path: &str) -> io::Error {
    io::Error::new(source.kind(), Named { path: path.to_owned(), source })
}

/// The system's number of an error, if it has one.
pub(crate) fn os_code(error: &io::Error) -> Option<i32> {
    let named = error.get_ref().and_then(|inner| inner.downcast_ref::<Named>());
    error.raw_os_error().or_else(|| named.and_then(|named| named.source.raw_os_error()))
}

/// Reads a whole file, refusing one larger than `limit` bytes.
pub fn read_all(disk: &dyn Disk, path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{path}: {len} bytes, more than {limit}"),
        ));
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Whether the medium, or the file system's own checksum, refuses these very bytes: nothing that passes.
pub(crate) fn is_medium_error(error: &io::Error) -> bool {
    matches!(os_code(error), Some(libc::EIO | libc::EUCLEAN | libc::EBADMSG | libc::ENODATA))
}

/// [`read_all`], with zeros for what the medium does not give. An error when it gives next to nothing: each attempt can take
/// seconds, and a start must not take hours.
pub(crate) fn read_what_is_readable(disk: &dyn Disk, path: &str, limit: u64) -> io::Result<Vec<u8>> {
    /// What a disk reads at once, mostly.
    const SECTOR: usize = 4096;
    const MAX_BAD_SECTORS: usize = 256;
    match read_all(disk, path, limit) {
        Err(error) if is_medium_error(&error) => tracing::error!(%error, "read as far as possible"),
        read => return read,
    }
    let file = disk.open(path)?;
    let (mut bytes, mut bad) = (vec![0; file.len()? as usize], 0);
    for (i, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        match file.read_at(sector, (i * SECTOR) as u64) {
            Err(error) if is_medium_error(&error) && bad < MAX_BAD_SECTORS => {
                bad += 1;
                sector.fill(0);
            }
            read => read?,
        }
    }
    Ok(bytes)
}

/// Writes a file so that after a crash either the old or the new content is there, whole: temporary file in the
/// same folder, sync, rename, sync of the folder.
pub fn replace_file(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{path}.tmp");
    let file = disk.create(&temporary)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(parent(path))
}

/// The folder of `path`; empty for the top.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}
