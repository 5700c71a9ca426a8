//! How does a push take memory while it is decoded? Before it allocates, and waiting for a moment where there is none.

use std::sync::Arc;
use strandline_model::{Clock, Exhausted, Lease};

/// The memory of one push. Given back when dropped.
#[derive(Debug)]
pub struct PushMemory {
    lease: Lease,
    clock: Arc<dyn Clock>,
    until_ns: i64,
}

impl PushMemory {
    /// Takes from `lease`; waits, on the calling thread, until `until_ns` of the monotonic clock at most.
    pub fn new(lease: Lease, clock: Arc<dyn Clock>, until_ns: i64) -> Self {
        Self { lease, clock, until_ns }
    }

    /// Takes `bytes` more.
    pub fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        match self.lease.try_grow(bytes) {
            Err(error) if error.is_temporary() => {
                self.lease.grow_until(bytes, self.clock.as_ref(), self.until_ns)
            }
            done => done,
        }
    }

    /// Gives `bytes` back.
    pub fn give_back(&self, bytes: usize) {
        self.lease.shrink(bytes);
    }

    /// Gives back all but `bytes`.
    pub fn keep(&self, bytes: usize) {
        self.lease.shrink(self.lease.bytes().saturating_sub(bytes));
    }

    /// Bytes that are taken.
    pub fn bytes(&self) -> usize {
        self.lease.bytes()
    }
}
