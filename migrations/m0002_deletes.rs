//! Format 1 to 2: the manifest may record deletes by request. A program of format 1 would take it for damaged, begin a new one, and show
//! again what was deleted; the number keeps it from that. What format 1 wrote is read as it is.

use crate::disk::Disk;
use std::io;

/// Changes nothing but the number.
pub(crate) fn run(_disk: &dyn Disk) -> io::Result<()> {
    Ok(())
}
