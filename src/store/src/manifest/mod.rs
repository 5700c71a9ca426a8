//! The manifest: the only truth about which segments exist, how much of the log they hold, and what is deleted.
//!
//! One file at a time, and a copy of it in a second folder: a snapshot frame, then one frame per edit, synced one by one.
//! When the edits outgrow the snapshot, or a write failed, a new file with the whole state replaces it. Format:
//! `schema/manifest.md`.

mod delete;
mod edit;
mod files;
mod log;
mod read;
mod segment_id;
mod state;

pub use delete::DeleteRecord;
pub(crate) use delete::{DeleteChanges, Deletes};
pub use edit::SegmentMeta;
pub(crate) use edit::{Edit, partition_dir};
pub(crate) use log::{Manifest, Opened};
pub use segment_id::SegmentId;

pub(crate) use read::{Checked, check};

#[cfg(test)]
use files::COPY_DIR;
pub(crate) use files::DIR;

#[cfg(test)]
mod tests;
