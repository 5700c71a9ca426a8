//! The engine: durable ingest, indexed segments, labels, compaction, retention. Knows no LogQL and no HTTP;
//! runs without tokio, on any [`disk::Disk`] and [`strandline_model::Clock`].

mod codec;
mod commit_queue;
pub mod deletes;
pub mod disk;
pub mod documents;
pub mod engine;
pub mod error;
mod format;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod head;
mod invariant;
pub mod labels;
mod lookup;
mod losses;
mod manifest;
pub mod runtime;
pub mod segment;
mod sequences;
#[cfg(test)]
mod testing;
pub mod text;
mod wal;
mod wire;

pub use deletes::{Delete, DeleteFilter, DeleteLanguage};
pub use documents::{Collection, Document, DocumentError, Documents};
pub use engine::Lookup;
pub use engine::{EncodedBatch, Engine, EngineConfig, LookupAnswer, UnreadSegment, View};
pub use error::{Corruption, StoreError};
pub use lookup::{LookupError, LookupLimits};
pub use losses::{Loss, Lost};
pub use manifest::{DeleteRecord, SegmentId, SegmentMeta};
pub use runtime::Runtime;
pub use sequences::Sequences;
pub use text::BlockSet;
pub use wal::{ReplayReport, SyncMode};
