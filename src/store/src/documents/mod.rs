//! Small documents that must survive: rules, checkpoints of sources, saved views, the state of notifications.
//!
//! A document is some bytes under a name, in a [`Collection`]: of one tenant or of the process, of one kind. [`Documents`]
//! puts, gets, deletes and lists them. What a put or a delete has acknowledged survives a kill and a power cut; one that was
//! cut off leaves the old document or the new one, whole.
//!
//! # One file per document, replaced as a whole
//!
//! A put writes a temporary file, syncs it, renames it over the old one and syncs the folder (`schema/documents.md`). The
//! other way would be to append to a log, as the manifest does, or to write in place into two slots, as the log's mark does.
//! Both cost one sync less. But a log of checkpoints that come each second grows until somebody compacts it, under a lock that
//! all tenants share. And of two slots the newer one that does not read may be a write that was cut off, where the older
//! one counts, or damage to an acknowledged one, where handing out the older one would be a lie. A file that was renamed into
//! its place was whole and synced before: if it does not read, it is damaged, always, and that document alone. The disk
//! holds what the documents are, however often they are written; a damaged one is mended by the next put.
//!
//! A failed sync is never repeated: the temporary file is removed, the old document stays, and the next put begins a new file
//! (once the removal has succeeded).
//!
//! # Who waits for whom
//!
//! One put or delete at a time in a collection; those of other collections go on meanwhile. Readers wait for no sync of
//! bytes, only for the rename and the sync of the folder of their own collection, so that nobody sees a document that a power
//! cut could still take back. All calls block: they belong on threads that may.

mod check;
mod collection;
mod error;
mod file;
mod folder;
mod found;
mod store;
mod usage;
mod version;

#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub use collection::{Collection, MAX_KIND_BYTES, MAX_NAME_BYTES, Owner};
pub use error::{Bound, DocumentError, Unreadable};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use file::{decode, encode, seal};
pub use store::Documents;
pub use usage::DocumentLimits;
pub use version::Version;

/// The folder of all documents.
pub(crate) const DIR: &str = "documents";

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The put that it is of.
    pub version: Version,
    /// What was put.
    pub bytes: Vec<u8>,
}

/// What must be there for a put or a delete to go on; otherwise it ends with [`DocumentError::Conflict`] and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there, damaged or not.
    Anything,
    /// Nothing.
    Absent,
    /// This version.
    Version(Version),
}

/// A document in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// Its version, or why it does not say. It is read whole at start and whenever it is asked for: damage that came since
    /// is not known here.
    pub version: Result<Version, Unreadable>,
}
