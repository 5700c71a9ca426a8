//! How much may queries do at once, and with what?

use strandline_model::MemoryBudget;
use strandline_model::time::SECOND_NS;

/// Settings of the query engine.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// `query.threads`: threads that scan; 0 is one per core.
    pub threads: usize,
    /// `query.timeout` (ns): time after which a query is given up, waiting included.
    pub timeout_ns: i64,
    /// `query.max_concurrent`: queries that run at once, more wait; 0 is twice the threads. A tenant of which none runs may
    /// start one beyond it, up to twice as many in all.
    pub max_concurrent: usize,
    /// `query.max_queued`: queries of one tenant that wait; more are refused. Of all tenants, four times as many may.
    pub max_queued: usize,
    /// `query.max_memory` (bytes): most that one query may hold for its answer.
    pub max_memory_bytes: usize,
    /// What all requests of the process may hold together: classes `Query` and `Tail` are for what happens here.
    pub memory: MemoryBudget,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            timeout_ns: 60 * SECOND_NS,
            max_concurrent: 0,
            max_queued: 512,
            max_memory_bytes: 256 << 20,
            memory: MemoryBudget::unlimited(),
        }
    }
}
