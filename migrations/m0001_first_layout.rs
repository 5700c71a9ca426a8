//! Format 0 (an empty folder) to 1: the folders of the first layout.

use crate::disk::Disk;
use std::io;

/// Creates `wal/`, `manifest/` and `tenants/`; all of them may exist already.
pub(crate) fn run(disk: &dyn Disk) -> io::Result<()> {
    for dir in ["wal", "manifest", "tenants"] {
        disk.create_dir(dir)?;
    }
    Ok(())
}
