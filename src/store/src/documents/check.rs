//! Are all documents sound? Looks without changing anything, for `strandline verify`.

use super::folder::Folder;
use super::found::collections;
use super::{DIR, Unreadable};
use crate::disk::Disk;
use crate::error::Corruption;

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
    /// Files and folders whose names are none of a document: perhaps one that was damaged.
    pub(crate) foreign: Vec<String>,
}

/// Reads every document.
pub(crate) fn check(disk: &dyn Disk) -> Checked {
    let mut checked = Checked::default();
    let found = match collections(disk) {
        Ok((found, foreign)) => {
            checked.foreign = foreign;
            found
        }
        Err(error) => {
            checked.damage.push(Corruption::new(DIR, "folder", error.to_string()));
            return checked;
        }
    };
    for collection in found {
        let folder = Folder::new(collection);
        let listed = match folder.list(disk) {
            Ok(listed) => listed,
            Err(error) => {
                checked.damage.push(Corruption::new(&folder.path, "folder", error.to_string()));
                continue;
            }
        };
        checked.leftovers.extend(listed.leftovers);
        checked.foreign.extend(listed.foreign);
        for entry in listed.documents.iter().filter_map(|name| folder.look(disk, name, 0)) {
            match entry.version {
                Ok(_) => {
                    checked.documents += 1;
                    checked.bytes += entry.bytes;
                }
                Err(Unreadable::Damaged(damage)) => checked.damage.push(damage),
                Err(Unreadable::Refused { path, what, .. }) => {
                    checked.damage.push(Corruption::new(&path, "file", what));
                }
            }
        }
    }
    checked
}
