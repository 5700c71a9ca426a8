//! Until when may a request be worked on, and does anybody still want its answer?

use crate::cancel::CancelFlag;
use crate::error::QueryError;
use std::sync::Arc;
use std::time::Duration;
use strandline_model::Clock;

/// When to stop working on a request.
#[derive(Debug, Clone)]
pub struct Deadline {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) at_ns: i64,
    pub(crate) cancel: CancelFlag,
}

impl Deadline {
    /// Why to stop now, if there is a reason.
    pub fn passed(&self) -> Option<QueryError> {
        if self.cancel.is_cancelled() {
            Some(QueryError::Cancelled)
        } else if self.clock.monotonic_ns() >= self.at_ns {
            Some(QueryError::TimedOut)
        } else {
            None
        }
    }

    /// Time that is left; zero when it has passed.
    pub fn left(&self) -> Duration {
        let left = self.at_ns.saturating_sub(self.clock.monotonic_ns());
        Duration::from_nanos(u64::try_from(left).unwrap_or(0))
    }
}
