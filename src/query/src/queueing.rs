//! Where does a request wait until it may run, and until when?

use crate::cancel::CancelFlag;
use crate::deadline::Deadline;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::fair_slots::CountedWait;
use crate::memory::{QueryMemory, RegexMemory};
use crate::outcome::count_outcome;
use crate::reader::Reader;
use crate::slot::{Queue, Slot, Waiting};
use std::sync::Arc;
use strandline_model::memory::Class;

fn refused(bound: usize) -> QueryError {
    let error = QueryError::QueueFull(bound);
    count_outcome(&error);
    error
}

impl QueryEngine {
    /// Requests that make or wait for an answer that several may share.
    pub fn sharing(&self) -> usize {
        self.shared_logs.sharing() + self.shared_metrics.sharing()
    }

    /// Requests that wait for a slot.
    pub fn waiting(&self, queue: Queue) -> usize {
        self.slots(queue).waiting()
    }

    /// Enters a queue; the request's time begins. An error says that the queue is full.
    pub fn queue(&self, queue: Queue, reader: &Reader, cancel: &CancelFlag) -> Result<Waiting, QueryError> {
        let since_ns = self.clock().monotonic_ns();
        let own = reader.rules().limits.query_timeout_ns;
        let timeout_ns = if own > 0 { own } else { self.timeout_ns() };
        let at_ns = since_ns.saturating_add(timeout_ns);
        let deadline = Deadline { clock: Arc::clone(self.clock()), at_ns, cancel: cancel.clone() };
        self.queue_again(queue, reader, deadline)
    }

    /// As [`Self::queue`], for a request whose time began earlier.
    pub fn queue_again(
        &self,
        queue: Queue,
        reader: &Reader,
        deadline: Deadline,
    ) -> Result<Waiting, QueryError> {
        let since_ns = self.clock().monotonic_ns();
        let ticket = self.slots(queue).enter(reader.payer()).map_err(|full| refused(full.bound))?;
        let lease = || self.config().memory.lease(Class::Query, reader.payer());
        let regexes = Arc::new(RegexMemory::new(lease(), Some(deadline.clone())));
        let memory = Arc::new(QueryMemory::new(lease()));
        Ok(Waiting::new(ticket, deadline, since_ns, (memory, regexes)))
    }

    /// Memory for the regular expressions of a tail, which has them as long as it is open. Not that of tails: what they
    /// are sure of is for their queues.
    pub fn tail_regexes(&self, reader: &Reader) -> Arc<RegexMemory> {
        Arc::new(RegexMemory::new(self.config().memory.lease(Class::Query, reader.payer()), None))
    }

    /// Counts a request as waiting that is in no queue: it waits for the answer of another one.
    pub fn count_waiting(&self, queue: Queue, reader: &Reader) -> Result<CountedWait, QueryError> {
        self.slots(queue).count_waiting(reader.payer()).map_err(|full| refused(full.bound))
    }

    /// Waits on this thread for a query's slot.
    pub fn slot(&self, reader: &Reader, cancel: &CancelFlag) -> Result<Slot, QueryError> {
        self.queue(Queue::Query, reader, cancel)?.wait()
    }
}
