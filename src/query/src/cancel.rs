//! Does anybody still wait for an answer?

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says that nobody waits for an answer any more. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    /// A flag of several is set when this one is ...
    first: Option<CancelFlag>,
    /// ... and these, at which nobody has to look until then.
    others: Mutex<Vec<CancelFlag>>,
}

impl CancelFlag {
    /// A flag that is set when `first` and all that join later are.
    pub(crate) fn of_all(first: &Self) -> Self {
        Self(Arc::new(Flag { first: Some(first.clone()), ..Flag::default() }))
    }

    /// Lets another one have a say, unless it is too late.
    pub(crate) fn join(&self, other: &Self) -> bool {
        let mut others = self.0.others.lock();
        // Under the lock, or the last of the others could set the flag in between.
        let in_time = !self.0.set.load(Ordering::Relaxed);
        if in_time {
            others.push(other.clone());
        }
        in_time
    }

    /// The flags that have a say.
    pub(crate) fn members(&self) -> usize {
        usize::from(self.0.first.is_some()) + self.0.others.lock().len()
    }

    /// Asks the query to stop.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        let is_set = |flag: &CancelFlag| flag.0.set.load(Ordering::Relaxed);
        if is_set(self) {
            return true;
        }
        if !self.0.first.as_ref().is_some_and(is_set) {
            return false;
        }
        let others = self.0.others.lock();
        let cancelled = others.iter().all(is_set);
        if cancelled {
            self.cancel();
        }
        cancelled
    }
}
