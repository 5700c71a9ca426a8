//! What cannot be simulated lies in a folder of the machine's own: sled writes by itself. What would a crash leave there?
//!
//! That which was in it at the moment of the crash: a kill loses nothing that was written. What a power cut does to such
//! files is for their own tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that can be set back to what it was.
#[derive(Debug)]
pub(super) struct Local {
    /// What the process sees.
    live: PathBuf,
    /// What it was when the process was killed.
    crashed: PathBuf,
}

impl Local {
    pub(super) fn new(folder: &Path) -> Self {
        Self { live: folder.join("live"), crashed: folder.join("crashed") }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.live.join(path)
    }

    /// Keeps the folder as it is.
    pub(super) fn note_crash(&self) {
        let _ = fs::remove_dir_all(&self.crashed);
        copy(&self.live, &self.crashed).unwrap_or_else(|error| report(&error));
    }

    /// Makes the folder what was kept.
    pub(super) fn restore(&self) {
        let _ = fs::remove_dir_all(&self.live);
        if self.crashed.is_dir() {
            fs::rename(&self.crashed, &self.live).unwrap_or_else(|error| report(&error));
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            match fs::copy(entry.path(), &target) {
                // sled's threads drop old snapshots meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => drop(other?),
            }
        }
    }
    Ok(())
}

fn report(error: &io::Error) {
    tracing::error!(%error, "the local folder of a simulated disk could not be kept");
}
