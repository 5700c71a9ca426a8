//! Where does the image lie, and what becomes of one that cannot be used?

use crate::disk::{Disk, RealDisk};
use std::io;
use std::path::{Path, PathBuf};

/// The place of the image: a folder that exists or not, and its neighbours.
#[derive(Debug)]
pub(super) struct Folder {
    parent: RealDisk,
    name: String,
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(parent)) = (name, path.parent()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the label index needs a named folder"));
        };
        Ok(Self { parent: RealDisk::new(parent)?, name: name.to_owned(), path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> io::Result<bool> {
        Ok(self.parent.list("")?.contains(&format!("{}/", self.name)))
    }

    /// Removes the folder.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.parent, &self.name)?;
        self.parent.sync_dir("")
    }

    /// Makes the folder's name durable.
    pub(super) fn sync_name(&self) -> io::Result<()> {
        self.parent.sync_dir("")
    }

    /// Renames the folder to `<name>.bad-<n>`, as evidence. One is kept: the newest.
    pub(super) fn set_aside(&self) -> io::Result<()> {
        let mark = format!("{}.bad-", self.name);
        let mut n = 0u64;
        for old in self.parent.list("")? {
            let Some(number) = old.strip_prefix(&mark).and_then(|rest| rest.strip_suffix('/')) else {
                continue;
            };
            n = n.max(number.parse().unwrap_or(0));
            remove_tree(&self.parent, &format!("{mark}{number}"))?;
        }
        self.parent.rename(&self.name, &format!("{mark}{}", n + 1))?;
        self.parent.sync_dir("")
    }
}

fn remove_tree(disk: &RealDisk, dir: &str) -> io::Result<()> {
    for name in disk.list(dir)? {
        match name.strip_suffix('/') {
            Some(inner) => remove_tree(disk, &format!("{dir}/{inner}"))?,
            None => disk.remove(&format!("{dir}/{name}"))?,
        }
    }
    disk.remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_folder_is_kept_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("labels")).unwrap();
        assert!(!folder.exists().unwrap());
        for round in 1..4 {
            std::fs::create_dir_all(dir.path().join("labels/deep")).unwrap();
            std::fs::write(dir.path().join("labels/deep/file"), round.to_string()).unwrap();
            assert!(folder.exists().unwrap());
            folder.set_aside().unwrap();
            assert_eq!(folder.parent.list("").unwrap(), [format!("labels.bad-{round}/")]);
        }
        assert_eq!(std::fs::read(dir.path().join("labels.bad-3/deep/file")).unwrap(), b"3");
        std::fs::create_dir_all(dir.path().join("labels/deep")).unwrap();
        folder.remove().unwrap();
        assert!(!folder.exists().unwrap());
    }
}
