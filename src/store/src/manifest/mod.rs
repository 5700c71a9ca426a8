//! The manifest: the only truth about which segments exist, how much of the log they hold, and what is deleted.
//!
//! One file at a time: a snapshot frame, then one frame per edit, synced one by one. When the edits outgrow the
//! snapshot, or a write failed, a new file with the whole state replaces it. Format: `schema/manifest.md`.

mod delete;
mod edit;
mod log;

pub use delete::DeleteRecord;
pub(crate) use delete::{DeleteChanges, Deletes};
pub(crate) use edit::{Edit, partition_dir};
pub use edit::{SegmentId, SegmentMeta};
pub(crate) use log::{Manifest, Opened};

/// The folder of the manifest.
pub(crate) const DIR: &str = "manifest";
pub(crate) use log::{check, low_water};

#[cfg(test)]
mod tests;
