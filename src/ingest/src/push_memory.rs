//! How does a push take memory while it is decoded? Before it allocates, and waiting for a moment where there is none.

use std::sync::Arc;
use strandline_model::{Clock, Exhausted, Lease};

/// The memory of one push. Given back when dropped.
#[derive(Debug)]
pub struct PushMemory {
    lease: Lease,
    clock: Arc<dyn Clock>,
    /// How long it waits, if it does.
    until_ns: Option<i64>,
}

impl PushMemory {
    /// Takes from `lease`; waits, on the calling thread, until `until_ns` of the monotonic clock at most.
    pub fn new(lease: Lease, clock: Arc<dyn Clock>, until_ns: i64) -> Self {
        Self { lease, clock, until_ns: Some(until_ns) }
    }

    /// Takes from `lease` what is there at once.
    pub fn of_what_is_there(lease: Lease, clock: Arc<dyn Clock>) -> Self {
        Self { lease, clock, until_ns: None }
    }

    /// The same memory; it waits from now on, as that of [`Self::new`] does.
    #[must_use]
    pub fn waiting_until(self, until_ns: i64) -> Self {
        Self { until_ns: Some(until_ns), ..self }
    }

    /// Takes `bytes` more.
    pub fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        match (self.lease.try_grow(bytes), self.until_ns) {
            (Err(error), Some(until_ns)) if error.is_temporary() => {
                self.lease.grow_until(bytes, self.clock.as_ref(), until_ns)
            }
            (done, _) => done,
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
