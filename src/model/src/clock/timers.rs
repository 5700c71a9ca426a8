//! Who is to be woken when? The wakers of a clock, in the order of their times.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Most alarms of a clock that are set at once. Of more, the one that is set is rung at once: its owner looks at the time and
/// sets it again, so that waiting becomes slow instead of memory growing.
pub const MAX_ALARMS: usize = 100_000;

/// The alarms of a clock.
#[derive(Debug, Default)]
pub(super) struct Timers {
    set: Mutex<Set>,
}

#[derive(Debug, Default)]
struct Set {
    /// By time, then in the order of setting.
    wakers: BTreeMap<(i64, u64), Waker>,
    next: u64,
}

/// A waker that is to be called; dropping it forgets it.
#[derive(Debug)]
#[must_use = "an alarm that is dropped does not ring"]
pub struct Alarm {
    timers: Arc<Timers>,
    key: (i64, u64),
}

impl Timers {
    /// Sets an alarm. One that is due already is rung at once.
    pub(super) fn set(self: &Arc<Self>, due_ns: i64, waker: Waker, now_ns: i64) -> Alarm {
        let mut set = self.lock();
        let key = (due_ns, set.next);
        set.next += 1;
        let alarm = Alarm { timers: Arc::clone(self), key };
        if due_ns <= now_ns || set.wakers.len() >= MAX_ALARMS {
            drop(set);
            waker.wake();
        } else {
            set.wakers.insert(key, waker);
        }
        alarm
    }

    /// When the first alarm is due.
    pub(super) fn next(&self) -> Option<i64> {
        self.lock().wakers.first_key_value().map(|((due, _), _)| *due)
    }

    /// Rings all that are due, in the order of their times. Those that are set meanwhile wait for the next call.
    pub(super) fn ring_until(&self, now_ns: i64) {
        let due = {
            let mut set = self.lock();
            match now_ns.checked_add(1) {
                None => std::mem::take(&mut set.wakers),
                Some(later) => {
                    let later = set.wakers.split_off(&(later, 0));
                    std::mem::replace(&mut set.wakers, later)
                }
            }
        };
        // Without the lock: who is woken may set the next alarm right away. A waker that panics (its message is printed) must
        // take neither the others with it nor the thread that rings.
        for waker in due.into_values() {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// How many are set.
    pub(super) fn len(&self) -> usize {
        self.lock().wakers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarm {
    /// Whether it is still to ring.
    pub(super) fn is_set(&self) -> bool {
        self.timers.lock().wakers.contains_key(&self.key)
    }

    /// Rings now.
    pub(super) fn ring(&self) {
        let waker = self.timers.lock().wakers.remove(&self.key);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // The waker itself goes without the lock: it may own what waits.
        let waker = self.timers.lock().wakers.remove(&self.key);
        drop(waker);
    }
}
