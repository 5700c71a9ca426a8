//! How much of the process's memory does a query hold?
//!
//! A query takes what it needs as it collects (class `Query` of the budget), and its answer keeps that until it is sent.
//! When there is none left, it does not wait with what it has: it gives all of it back, waits for twice as much as it had
//! got to, and starts over with that in hand. So queries never wait for each other in a circle, and at most double their
//! work.

use crate::deadline::Deadline;
use crate::error::QueryError;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use strandline_model::MemoryBudget;
use strandline_model::TenantId;
use strandline_model::memory::{Class, Exhausted, Lease};

/// What a long answer takes while it is sent, beside itself.
pub(crate) const WRITTEN_BYTES: usize = 768 << 10;
/// Memory is taken in steps of this size (bytes).
const STEP_BYTES: usize = 64 << 10;
/// Least that a query waits for when it starts over (bytes).
const MIN_PROMISE_BYTES: usize = 1 << 20;

/// What one query holds, and its answer after it. Grows while the query runs, on many threads.
#[derive(Debug)]
pub struct QueryMemory {
    lease: Lease,
    /// Read without the lock, changed under it only: threads of an attempt that was given up may still come with a growth
    /// while what it held is given back.
    held: AtomicUsize,
    /// Most that was asked for.
    wanted: Mutex<usize>,
}

/// Memory that an answer keeps until it is dropped.
#[derive(Debug, Clone, Default)]
pub struct Held(Option<Arc<QueryMemory>>);

impl Held {
    pub(crate) fn of(memory: &Arc<QueryMemory>) -> Self {
        Self(Some(Arc::clone(memory)))
    }

    /// How much it is (bytes).
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |memory| memory.bytes())
    }

    /// Makes sure of at least `bytes`, for what is made of the answer.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        self.0.as_ref().map_or(Ok(()), |memory| memory.hold(bytes))
    }
}

impl QueryMemory {
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lease, held: AtomicUsize::new(0), wanted: Mutex::new(0) }
    }

    /// Makes sure of at least `bytes` in all.
    pub fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        if bytes <= self.bytes() {
            return Ok(());
        }
        let mut wanted = self.wanted.lock();
        let (held, target) = (self.bytes(), bytes.div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES));
        if bytes <= held {
            return Ok(());
        }
        *wanted = target.max(*wanted);
        self.lease.try_grow(target - held).map_err(QueryError::Memory)?;
        self.held.store(target, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back what is above `bytes`.
    pub(crate) fn keep(&self, bytes: usize) {
        let _changing = self.wanted.lock();
        let less = self.bytes().saturating_sub(bytes);
        self.held.fetch_sub(less, Ordering::Relaxed);
        self.lease.shrink(less);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Gives all back and waits on this thread for twice what was wanted, at most `most`.
    pub(crate) fn start_over(
        &self,
        error: Exhausted,
        most: usize,
        deadline: &Deadline,
    ) -> Result<(), QueryError> {
        self.keep(0);
        let wanted = *self.wanted.lock();
        if !error.is_temporary() || wanted > most {
            return Err(QueryError::Memory(error));
        }
        let promise = wanted.saturating_mul(2).max(MIN_PROMISE_BYTES).min(most);
        metrics::counter!("strandline_queries_restarted_total").increment(1);
        waited_for(&self.lease, promise, deadline)?;
        let _changing = self.wanted.lock();
        self.held.fetch_add(promise, Ordering::Relaxed);
        Ok(())
    }
}

/// Memory of compiled regular expressions: taken before they are compiled, held as long as they are.
#[derive(Debug)]
pub struct RegexMemory {
    lease: Lease,
    /// Until when it is waited for, if it is.
    deadline: Option<Deadline>,
}

impl RegexMemory {
    pub(crate) fn new(lease: Lease, deadline: Option<Deadline>) -> Self {
        Self { lease, deadline }
    }

    /// Memory that is always there, for tests and for what the operator wrote.
    pub fn unlimited() -> Arc<Self> {
        let lease = MemoryBudget::unlimited().lease(Class::Query, &TenantId::default_tenant());
        Arc::new(Self::new(lease, None))
    }

    /// Takes `bytes` more. With a deadline it waits for them on this thread, which should hold nothing else then.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let Err(error) = self.lease.try_grow(bytes) else { return Ok(()) };
        let Some(deadline) = self.deadline.as_ref().filter(|_| error.is_temporary()) else {
            return Err(QueryError::Memory(error));
        };
        waited_for(&self.lease, bytes, deadline)
    }
}

/// Waits on this thread for `bytes` more.
fn waited_for(lease: &Lease, bytes: usize, deadline: &Deadline) -> Result<(), QueryError> {
    let grown = lease.grow_blocking(bytes, || deadline.passed().is_some());
    grown.map_err(|error| match deadline.cancel.is_cancelled() {
        true => QueryError::Cancelled,
        false => QueryError::Memory(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::CancelFlag;
    use strandline_model::ManualClock;

    const MIB: usize = 1 << 20;

    fn memory(budget: &MemoryBudget) -> QueryMemory {
        QueryMemory::new(budget.lease(Class::Query, &TenantId::new("a").unwrap()))
    }

    fn used(budget: &MemoryBudget) -> usize {
        budget.usage().iter().map(|usage| usage.used).sum()
    }

    fn deadline(at_ns: i64) -> Deadline {
        Deadline { clock: Arc::new(ManualClock::at(5)), at_ns, cancel: CancelFlag::default() }
    }

    #[test]
    fn what_a_query_holds_is_taken_from_the_budget_and_given_back_with_its_answer() {
        let budget = MemoryBudget::new(40 * MIB, &[]);
        let own = Arc::new(memory(&budget));
        own.hold(10).unwrap();
        assert!(used(&budget) >= STEP_BYTES);
        own.hold(8 * MIB).unwrap();
        own.hold(5).unwrap();
        assert!(used(&budget) >= 8 * MIB);
        own.keep(MIB);
        assert!(used(&budget) < 4 * MIB, "{}", used(&budget));
        let held = Held::of(&own);
        drop(own);
        assert!(used(&budget) >= MIB, "the answer keeps it");
        drop(held);
        assert_eq!(used(&budget), 0);
    }

    #[test]
    fn threads_that_are_late_do_not_disturb_the_next_attempt() {
        let budget = MemoryBudget::new(4 * MIB, &[]);
        let own = memory(&budget);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let _ = own.hold(5 * MIB);
                        let _ = own.hold(MIB);
                    }
                });
            }
            for _ in 0..20_000 {
                own.keep(0);
                let bytes = own.bytes();
                assert!(bytes <= 5 * MIB, "{bytes}");
            }
        });
        own.keep(0);
        own.hold(2 * MIB).unwrap();
        assert!(used(&budget) >= 2 * MIB, "what it holds is taken");
    }

    #[test]
    fn a_query_without_memory_gives_back_what_it_has_before_it_waits_for_more() {
        let budget = MemoryBudget::new(40 * MIB, &[]);
        let (first, second) = (memory(&budget), memory(&budget));
        first.hold(20 * MIB).unwrap();
        second.hold(8 * MIB).unwrap();
        let Err(QueryError::Memory(error)) = second.hold(12 * MIB) else { panic!("fits") };
        // The deadline has passed: it does not wait.
        let over = second.start_over(error, 30 * MIB, &deadline(0));
        assert!(matches!(over, Err(QueryError::Memory(_))), "{over:?}");
        assert!(used(&budget) < 24 * MIB, "waits with empty hands");
        drop(first);
        second.start_over(error, 30 * MIB, &deadline(i64::MAX)).unwrap();
        assert_eq!(second.bytes(), 24 * MIB);
        second.hold(24 * MIB).unwrap();
        let Err(QueryError::Memory(never)) = second.hold(50 * MIB) else { panic!("fits") };
        assert!(!never.is_temporary());
        assert!(second.start_over(never, 30 * MIB, &deadline(i64::MAX)).is_err());
        assert_eq!(second.bytes(), 0);
    }
}
