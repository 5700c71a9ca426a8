//! When may a request run? When it has a slot.
//!
//! A request waits for a slot in one of two queues: queries in one, lookups of labels, streams and counts, which cost little,
//! in the other, so that they need not wait for queries. Its time begins when it enters the queue, so waiting counts.

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::fair_slots::{Permit, Ticket};
use crate::memory::{Held, QueryMemory, RegexMemory};
use crate::outcome::count_outcome;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// A thread that waits for a slot looks this often whether the request is still wanted.
const TICK: Duration = Duration::from_millis(50);

/// Which queue a request waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Reads lines.
    Query,
    /// Reads indexes and tables alone.
    Lookup,
}

/// A request in a queue: a future of its [`Slot`], which needs no runtime. Dropping it leaves the queue. It knows its
/// deadline but has no timer: whoever waits has to look at [`Self::deadline`].
#[derive(Debug)]
pub struct Waiting {
    ticket: Ticket,
    deadline: Deadline,
    since_ns: i64,
    memory: Arc<QueryMemory>,
    regexes: Arc<RegexMemory>,
    /// Whether it is known how the waiting ended.
    has_ended: bool,
}

/// Held while a request runs.
#[derive(Debug)]
pub struct Slot {
    deadline: Deadline,
    /// Time waited for it.
    pub(crate) queue_ns: i64,
    memory: Arc<QueryMemory>,
    regexes: Arc<RegexMemory>,
    _permit: Permit,
}

impl Waiting {
    /// A request in the queue since `since_ns`, with the memory that it and its expressions will hold.
    pub(crate) fn new(
        ticket: Ticket,
        deadline: Deadline,
        since_ns: i64,
        (memory, regexes): (Arc<QueryMemory>, Arc<RegexMemory>),
    ) -> Self {
        Self { ticket, deadline, since_ns, memory, regexes, has_ended: false }
    }

    /// When to wait no longer.
    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// The slot, if there is one already.
    pub fn at_once(mut self) -> Result<Slot, Self> {
        match Pin::new(&mut self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Ok(slot),
            Poll::Pending => Err(self),
        }
    }

    /// Counts the request as one that ended by `error`.
    pub fn given_up(mut self, error: QueryError) -> QueryError {
        self.has_ended = true;
        count_outcome(&error);
        error
    }

    /// Waits on this thread.
    pub(crate) fn wait(mut self) -> Result<Slot, QueryError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            if let Poll::Ready(slot) = Pin::new(&mut self).poll(&mut Context::from_waker(&waker)) {
                return Ok(slot);
            }
            if let Some(error) = self.deadline.passed() {
                return Err(self.given_up(error));
            }
            std::thread::park_timeout(TICK);
        }
    }
}

impl Future for Waiting {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Slot> {
        let Poll::Ready(permit) = Pin::new(&mut self.ticket).poll(context) else { return Poll::Pending };
        let deadline = self.deadline.clone();
        let queue_ns = deadline.clock.monotonic_ns().saturating_sub(self.since_ns);
        self.has_ended = true;
        let (memory, regexes) = (Arc::clone(&self.memory), Arc::clone(&self.regexes));
        Poll::Ready(Slot { deadline, queue_ns, memory, regexes, _permit: permit })
    }
}

impl Drop for Waiting {
    /// Nobody waits any more: the client has gone.
    fn drop(&mut self) {
        if !self.has_ended {
            count_outcome(&QueryError::Cancelled);
        }
    }
}

impl Slot {
    /// What the request holds of the process's memory.
    pub fn memory(&self) -> &Arc<QueryMemory> {
        &self.memory
    }

    /// What its compiled regular expressions hold. They may be held longer than the slot.
    pub fn regexes(&self) -> &Arc<RegexMemory> {
        &self.regexes
    }

    /// Whether to go on: an error says why not.
    pub fn check(&self) -> Result<(), QueryError> {
        self.deadline.passed().map_or(Ok(()), Err)
    }

    /// When to stop working.
    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }
}

/// The memory of a request that has given its slot back, for its answer to keep.
impl From<Slot> for Held {
    fn from(slot: Slot) -> Self {
        Self::of(&slot.memory)
    }
}

/// Wakes a thread that waits for a slot.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
