//! What do all pushes of the process share?

use crate::active::ActiveStreams;
use crate::counts::PushCounts;
use crate::formats::UnpackLimits;
use crate::label_cache::{DEFAULT_CACHE_BYTES, LabelCache};
use crate::quota::Quotas;
use crate::submit::Submitter;
use std::sync::Arc;
use std::time::Duration;
use strandline_model::MemoryBudget;
use tokio::sync::Semaphore;

/// Settings of the admission.
#[derive(Debug, Clone)]
pub struct AdmissionConfig {
    /// `server.max_memory`: what pushes hold is leased from it, as `Ingest` what was sent and as `Decode` what it becomes.
    pub memory: MemoryBudget,
    /// How long a push waits for memory, each time that it needs more, before it is refused.
    pub memory_wait: Duration,
    /// `server.max_decompressed_bytes`: largest payload once unpacked.
    pub max_decompressed_bytes: usize,
    /// `server.max_active_streams`: most streams of all tenants with lines in the last hour.
    pub max_active_streams: usize,
    /// Bytes of parsed labels kept from push to push.
    pub label_cache_bytes: usize,
    /// Large pushes that are decoded at a time, and as many small ones: CPU work, with up to `max_decompressed_bytes` of memory
    /// each.
    pub decode_slots: usize,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            memory: MemoryBudget::unlimited(),
            memory_wait: Duration::from_secs(2),
            max_decompressed_bytes: UnpackLimits::default().max_decompressed,
            max_active_streams: usize::MAX,
            label_cache_bytes: DEFAULT_CACHE_BYTES,
            decode_slots: std::thread::available_parallelism().map_or(2, usize::from).max(2),
        }
    }
}

/// The shared parts.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) submitter: Submitter,
    pub(super) memory: MemoryBudget,
    pub(super) limits: UnpackLimits,
    pub(super) labels: LabelCache,
    pub(super) quotas: Quotas,
    pub(super) active: ActiveStreams,
    pub(super) counts: PushCounts,
    /// Large pushes that may be decoded now.
    pub(super) slots: Arc<Semaphore>,
    /// The same for small ones, which never wait for large ones.
    pub(super) small_slots: Arc<Semaphore>,
    memory_wait_ns: i64,
}

impl Shared {
    pub(super) fn new(submitter: Submitter, config: AdmissionConfig) -> Self {
        let max_decompressed = config.max_decompressed_bytes;
        Self {
            submitter,
            memory: config.memory,
            limits: UnpackLimits { max_decompressed, ..UnpackLimits::default() },
            labels: LabelCache::new(config.label_cache_bytes),
            quotas: Quotas::default(),
            active: ActiveStreams::new(config.max_active_streams),
            counts: PushCounts::default(),
            slots: Arc::new(Semaphore::new(config.decode_slots.max(1))),
            small_slots: Arc::new(Semaphore::new(config.decode_slots.max(1))),
            memory_wait_ns: i64::try_from(config.memory_wait.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// How long a push waits for memory that it needs now, by the monotonic clock.
    pub(super) fn wait_until_ns(&self) -> i64 {
        self.submitter.clock().monotonic_ns().saturating_add(self.memory_wait_ns)
    }
}
