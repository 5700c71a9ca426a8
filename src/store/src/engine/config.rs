//! What the engine can be told.

use crate::deletes::DeleteLanguage;
use crate::documents::DocumentLimits;
use crate::wal::SyncMode;
use std::sync::Arc;
use strandline_model::{Selector, TenantId, time};

/// Settings of the engine; the names of the keys stand behind each.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// `wal.sync`
    pub sync: SyncMode,
    /// `wal.file_bytes`: largest size of a log file.
    pub wal_file_bytes: u64,
    /// `head.max_bytes`: a head this large is sealed. Twice as much may be in memory while one is being flushed.
    pub head_max_bytes: usize,
    /// `head.max_age`: a head is sealed this long after its first batch (ns).
    pub head_max_age_ns: i64,
    /// `head.idle`: a head of some size is sealed this long after its last batch (ns).
    pub head_idle_ns: i64,
    /// `segment.block_bytes`: line bytes per block.
    pub block_bytes: usize,
    /// `compaction.enabled`
    pub compaction: bool,
    /// `compaction.target_bytes`: line bytes of a compacted segment.
    pub compaction_target_bytes: u64,
    /// Most memory of the text index that a merge builds: a segment ends there at the latest.
    pub merge_index_bytes: usize,
    /// `compaction.zstd_level`
    pub zstd_level: i32,
    /// `storage.min_free_bytes`: below this much free space the store is read-only.
    pub min_free_bytes: u64,
    /// `storage.cache_bytes`: memory for tables and text indexes of open segments.
    pub cache_bytes: usize,
    /// `storage.label_index_bytes`: most memory of the label index; beyond it stream tables of segments answer, slower.
    pub label_index_bytes: usize,
    /// Most segment files that are open at once, but for those that are being read at the moment.
    pub max_open_files: usize,
    /// `retention.*`
    pub retention: Retention,
    /// `deletes.cancel_period`: what is deleted by request is hidden at once, and stays on the disk for this long (ns).
    pub delete_cancel_period_ns: i64,
    /// What the queries of deletes mean; without it none is taken.
    pub delete_language: Option<Arc<dyn DeleteLanguage>>,
    /// Bounds of small documents.
    pub documents: DocumentLimits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            sync: SyncMode::Always,
            wal_file_bytes: 16 << 20,
            head_max_bytes: 28 << 20,
            head_max_age_ns: 5 * time::MINUTE_NS,
            head_idle_ns: 5 * time::SECOND_NS,
            block_bytes: 512 << 10,
            compaction: true,
            compaction_target_bytes: 256 << 20,
            merge_index_bytes: 64 << 20,
            zstd_level: 1,
            min_free_bytes: 256 << 20,
            cache_bytes: 48 << 20,
            label_index_bytes: 256 << 20,
            max_open_files: 256,
            retention: Retention::default(),
            delete_cancel_period_ns: 0,
            delete_language: None,
            documents: DocumentLimits::default(),
        }
    }
}

/// What is deleted when. Zero means never.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// `retention.max_age` (ns).
    pub max_age_ns: i64,
    /// `retention.max_total_bytes`: bytes of all segment files.
    pub max_total_bytes: u64,
    /// `retention.min_free_bytes`: oldest days go until this much of the disk is free.
    pub min_free_bytes: u64,
    /// `retention.tenants`
    pub tenants: Vec<TenantRetention>,
    /// `retention.streams`; of all rules that select a stream the one with the highest priority counts.
    pub streams: Vec<StreamRetention>,
}

/// Retention of one tenant.
#[derive(Debug, Clone)]
pub struct TenantRetention {
    /// Whose.
    pub tenant: TenantId,
    /// Age (ns); `None` leaves the global one in force.
    pub max_age_ns: Option<i64>,
    /// Bytes of this tenant's segment files.
    pub max_total_bytes: u64,
}

/// Retention of selected streams.
#[derive(Debug, Clone)]
pub struct StreamRetention {
    /// Of one tenant, or of all.
    pub tenant: Option<TenantId>,
    /// Which streams.
    pub selector: Selector,
    /// Age (ns); 0 keeps them for ever.
    pub max_age_ns: i64,
    /// The rule with the highest number counts.
    pub priority: i32,
}
