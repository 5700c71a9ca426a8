//! What of `server.max_memory` is for requests, and how they share it.

use strandline_model::{MemoryBudget, MemoryClass};

/// What of `server.max_memory` goes where, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryPlan {
    /// For all requests together.
    pub requests: u64,
    /// Parsed labels that are kept from push to push.
    pub label_cache: u64,
    /// The text index that a merge builds.
    pub merge_index: u64,
}

impl MemoryPlan {
    /// The budget of requests. Half of it is divided into floors, the rest is for who comes first.
    pub fn budget(&self) -> MemoryBudget {
        let sixteenths = |n: u64| usize::try_from(self.requests / 16 * n).unwrap_or(usize::MAX);
        let floors = [
            (MemoryClass::Ingest, sixteenths(2)),
            (MemoryClass::Decode, sixteenths(2)),
            (MemoryClass::Query, sixteenths(2)),
            (MemoryClass::Answer, sixteenths(1)),
            (MemoryClass::Tail, sixteenths(1)),
        ];
        MemoryBudget::new(usize::try_from(self.requests).unwrap_or(usize::MAX), &floors)
    }
}
