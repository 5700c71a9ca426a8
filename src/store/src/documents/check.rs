//! Are all documents sound? Looks without changing anything, for `strandline verify`.

use super::folder::Folder;
use super::store::collections;
use crate::disk::Disk;
use crate::error::{Corruption, StoreError};

/// What a look at all documents found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Those that are sound.
    pub(crate) documents: usize,
    /// Bytes of their files.
    pub(crate) bytes: u64,
    pub(crate) damage: Vec<Corruption>,
    /// Files of puts that were cut off; a start removes them.
    pub(crate) leftovers: Vec<String>,
}

/// Reads every document.
pub(crate) fn check(disk: &dyn Disk) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for collection in collections(disk)? {
        let folder = Folder::new(collection);
        let (names, leftovers) = match folder.list(disk) {
            Ok(listed) => listed,
            Err(error) => {
                checked.damage.push(Corruption::new(&folder.path, "folder", error.to_string()));
                continue;
            }
        };
        checked.leftovers.extend(leftovers);
        for entry in names.iter().filter_map(|name| folder.look(disk, name)) {
            match entry.version() {
                Ok(_) => {
                    checked.documents += 1;
                    checked.bytes += entry.bytes;
                }
                Err(damage) => checked.damage.push(damage),
            }
        }
    }
    Ok(checked)
}
