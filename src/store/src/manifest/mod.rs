//! The manifest: the only truth about which segments exist, how much of the log they hold, and what is deleted.
//!
//! One file at a time, and a copy of it in a second folder: a snapshot frame, then one frame per edit, synced one by one.
//! When the edits outgrow the snapshot, or a write failed, a new file with the whole state replaces it. Format:
//! `schema/manifest.md`.

mod delete;
mod edit;
mod log;
mod read;
mod state;

pub use delete::DeleteRecord;
pub(crate) use delete::{DeleteChanges, Deletes};
pub(crate) use edit::{Edit, partition_dir};
pub use edit::{SegmentId, SegmentMeta};
pub(crate) use log::{Manifest, Opened};

pub(crate) use read::{Checked, check};

/// The folder of the manifest.
pub(crate) const DIR: &str = "manifest";
/// The folder of its copy.
pub(crate) const COPY_DIR: &str = "manifest-copy";

#[cfg(test)]
mod tests;
