//! Waiting for a time or for somebody, whichever comes first: as a future, or with a thread.

use super::Clock;
use super::timers::Alarm;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// A thread whose clock has no alarm for it looks this often.
const EARLY_PAUSE: Duration = Duration::from_millis(10);

/// What somebody who waits can be told: that there is something to do, or that it is time to stop.
///
/// A notification is kept until somebody takes it, so that one that comes between two waits is not lost; several that nobody
/// has taken are one. Of several who wait, one gets it. A stop is for all and for good.
#[derive(Debug, Default)]
pub struct Signal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_notified: bool,
    is_stopped: bool,
    /// Who waits, by the order of coming. As many as there are waits.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woke {
    /// The time has come.
    Due,
    /// There is something to do.
    Notified,
    /// It is time to stop: this wait and all later ones end at once.
    Stopped,
}

impl Signal {
    /// Wakes one who waits, or the next who does.
    pub fn notify(&self) {
        let woken = {
            let mut state = self.lock();
            state.is_notified = true;
            // All: the first one may be about to give up its wait, and the notification must reach another then.
            state.waiting.values().cloned().collect::<Vec<_>>()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Ends all waits, for good.
    pub fn stop(&self) {
        let woken = {
            let mut state = self.lock();
            state.is_stopped = true;
            std::mem::take(&mut state.waiting)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Waits until the clock's monotonic time is `until_ns` (never, for `i64::MAX`), a notification or a stop. Poll it, or
    /// [`Wait::block`]. Of several reasons at once a stop counts first, then a notification: who is notified again and again
    /// has to look at the time itself. Dropping it forgets it, and takes no notification.
    pub fn wait<'a>(&'a self, clock: &'a dyn Clock, until_ns: i64) -> Wait<'a> {
        Wait { signal: self, clock, until_ns, alarm: None, ticket: None }
    }

    /// How many waits are under way.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait that is not over.
#[derive(Debug)]
#[must_use = "nothing waits before this is polled or blocked on"]
pub struct Wait<'a> {
    signal: &'a Signal,
    clock: &'a dyn Clock,
    until_ns: i64,
    /// With the waker that it calls.
    alarm: Option<(Alarm, Waker)>,
    ticket: Option<u64>,
}

impl Wait<'_> {
    /// Waits with this thread.
    pub fn block(self) -> Woke {
        let waker = Waker::from(Arc::new(Parked(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut wait = pin!(self);
        loop {
            if let Poll::Ready(woke) = wait.as_mut().poll(&mut context) {
                return woke;
            }
            if wait.was_early() {
                // The clock cannot wake anybody now.
                std::thread::sleep(EARLY_PAUSE);
            } else {
                // Returns at once when the waker was called since, and now and then for no reason.
                std::thread::park();
            }
        }
    }

    /// Whether the alarm rang before its time.
    fn was_early(&self) -> bool {
        let has_rung = self.alarm.as_ref().is_some_and(|(alarm, _)| !alarm.is_set());
        has_rung && self.clock.monotonic_ns() < self.until_ns
    }

    /// Looks what the signal and the clock say; `None` when it is to go on, and the waker is in the signal's list.
    fn look(&mut self, waker: &Waker) -> Option<Woke> {
        let mut state = self.signal.lock();
        let woke = if state.is_stopped {
            Some(Woke::Stopped)
        } else if std::mem::take(&mut state.is_notified) {
            Some(Woke::Notified)
        } else {
            (self.until_ns <= self.clock.monotonic_ns()).then_some(Woke::Due)
        };
        let replaced = match woke {
            Some(_) => self.ticket.take().and_then(|ticket| state.waiting.remove(&ticket)),
            None => {
                let ticket = *self.ticket.get_or_insert_with(|| {
                    state.next += 1;
                    state.next
                });
                state.waiting.insert(ticket, waker.clone())
            }
        };
        // A waker goes without the lock: with it may go a task that waits here, too.
        drop(state);
        drop(replaced);
        woke
    }
}

impl Future for Wait<'_> {
    type Output = Woke;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Woke> {
        let waker = context.waker();
        if let Some(woke) = self.look(waker) {
            self.alarm = None;
            return Poll::Ready(woke);
        }
        let is_known = self.alarm.as_ref().is_some_and(|(alarm, of)| alarm.is_set() && of.will_wake(waker));
        if !is_known && self.until_ns < i64::MAX {
            // Should the time come meanwhile, the waker is called, and this is polled again.
            let alarm = self.clock.wake_at(self.until_ns, waker.clone());
            self.alarm = Some((alarm, waker.clone()));
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = self.signal.lock().waiting.remove(&ticket);
            drop(waker);
        }
    }
}

/// Wakes a thread that is parked.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
