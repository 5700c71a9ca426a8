//! The machine's own file system.

use super::{Disk, DiskFile, named, parent};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A folder of the machine's file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// The folder and the lock file.
    lock: Mutex<Vec<File>>,
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl RealDisk {
    /// Uses `root`, which is created (mode 0700) when it is missing.
    pub fn new(root: &Path) -> io::Result<Self> {
        if !root.exists() {
            fs::create_dir_all(root)?;
            fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
            if let Some(above) = root.parent().filter(|p| !p.as_os_str().is_empty()) {
                File::open(above)?.sync_all()?;
            }
        }
        Ok(Self { root: root.to_owned(), lock: Mutex::default() })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn open_with(&self, path: &str, options: &mut OpenOptions) -> io::Result<Arc<dyn DiskFile>> {
        // A planted symbolic link must not lead writes out of the data directory.
        let options =
            options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        let file = options.open(self.path(path)).map_err(|e| named(e, path))?;
        Ok(Arc::new(RealFile { file }))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, &mut OpenOptions::new())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(path, OpenOptions::new().create(true).truncate(true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to)).map_err(|e| named(e, from))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path)).map_err(|e| named(e, path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| named(e, dir))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is not UTF-8 is not ours.
            if let Ok(mut name) = entry.file_name().into_string() {
                if entry.file_type()?.is_dir() {
                    name.push('/');
                }
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.path(dir);
        if dir.is_empty() || path.is_dir() {
            return Ok(());
        }
        self.create_dir(parent(dir))?;
        match fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(named(e, dir)),
            _ => fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?,
        }
        self.sync_dir(parent(dir))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.path(dir)).map_err(|e| named(e, dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir)).and_then(|f| f.sync_all()).map_err(|e| named(e, dir))
    }

    #[expect(unsafe_code, reason = "statvfs has no safe wrapper in std")]
    fn free_bytes(&self) -> io::Result<u64> {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::CString::new(self.root.as_os_str().as_bytes())?;
        // SAFETY: statvfs is plain integers, for which all-zero is a value; `path` is a NUL-terminated string that
        // outlives the call, and `stat` is valid for writing.
        let (result, stat) = unsafe {
            let mut stat: libc::statvfs = std::mem::zeroed();
            (libc::statvfs(path.as_ptr(), &raw mut stat), stat)
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        #[expect(clippy::allow_attributes, reason = "the fields' width differs between platforms")]
        #[allow(clippy::unnecessary_cast)]
        Ok(stat.f_bavail as u64 * stat.f_frsize as u64)
    }

    fn lock(&self, path: &str) -> io::Result<()> {
        // The folder itself: a file in it can be removed, and the next process would make and lock another one.
        let folder = File::open(&self.root)?;
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // Some network file systems lock no folders; the file has to do there.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "the data directory cannot be locked itself")
            }
            Ok(()) => {}
        }
        // The file, too, for programs that know no other lock.
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.path(path))?;
        file.try_lock()?;
        if let Ok(mut held) = self.lock.lock() {
            held.extend([folder, file]);
        }
        Ok(())
    }

    fn local_path(&self, path: &str) -> Option<PathBuf> {
        Some(self.path(path))
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut at = self.len()?;
        while at < len {
            let step = ((len - at) as usize).min(ZEROS.len());
            self.file.write_all_at(ZEROS.get(..step).unwrap_or(&ZEROS), at)?;
            at += step as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (RealDisk::new(dir.path()).unwrap(), RealDisk::new(dir.path()).unwrap());
        one.lock("LOCK").unwrap();
        assert_eq!(two.lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        fs::remove_file(dir.path().join("LOCK")).unwrap();
        assert_eq!(two.lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock, "without the file");
        drop(one);
        two.lock("LOCK").unwrap();
    }

    /// As a program held it that knew no lock of the folder.
    #[test]
    fn a_lock_of_the_file_alone_is_honored() {
        let dir = tempfile::tempdir().unwrap();
        let older = File::create(dir.path().join("LOCK")).unwrap();
        older.try_lock().unwrap();
        let disk = RealDisk::new(dir.path()).unwrap();
        assert_eq!(disk.lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(older);
        disk.lock("LOCK").unwrap();
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(dir.path()).unwrap();
        std::os::unix::fs::symlink("/tmp", dir.path().join("link")).unwrap();
        assert!(disk.create("link").is_err());
    }

    #[test]
    fn files_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(&dir.path().join("deep/data")).unwrap();
        disk.create_dir("a/b").unwrap();
        super::super::replace_file(&disk, "a/b/file", b"hello").unwrap();
        assert_eq!(disk.list("a/b").unwrap(), ["file"]);
        assert_eq!(disk.list("a").unwrap(), ["b/"]);
        assert_eq!(disk.list("none").unwrap(), Vec::<String>::new());
        assert_eq!(super::super::read_all(&disk, "a/b/file", 10).unwrap(), b"hello");
        let file = disk.open("a/b/file").unwrap();
        file.preallocate(100_000).unwrap();
        assert_eq!(file.len().unwrap(), 100_000);
        assert!(file.read_at(&mut [0; 2], 99_999).is_err());
        assert!(disk.free_bytes().unwrap() > 0);
    }
}
