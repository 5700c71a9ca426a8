//! Where the time comes from, and who is woken when it has come: a parameter, so that tests can set it.
//!
//! [`Clock::wake_at`] is the one primitive: a [`Waker`] is called when a monotonic time has come. On it stand [`Signal::wait`],
//! which threads and async tasks use alike (until a time, a notification or a stop), and [`WallTicks`], for work at multiples
//! of the wall clock, which jumps. A simulation drives all of it with [`ManualClock`].

mod manual;
mod signal;
mod timers;
mod wall;

pub use manual::ManualClock;
pub use signal::{Signal, Wait, Woke};
pub use timers::{Alarm, MAX_ALARMS};
pub use wall::{Tick, WallTicks};

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timers::Timers;

/// A source of wall-clock and monotonic time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Nanoseconds since the Unix epoch.
    fn now_ns(&self) -> i64;
    /// Nanoseconds from an arbitrary start that never go back; for ages and intervals.
    fn monotonic_ns(&self) -> i64;
    /// Calls `waker` once when the monotonic time is at or behind `monotonic_ns`: from another thread, or before this returns if
    /// that time has come already. Wakers are called in the order of their times. Dropping the alarm forgets it; a waker that is
    /// being called at that moment may still be.
    ///
    /// A waker must not block: all others wait for it. It may be called early (when [`MAX_ALARMS`] are set, or the system has no
    /// thread for the clock), so whoever is woken looks at the time.
    fn wake_at(&self, monotonic_ns: i64, waker: Waker) -> Alarm;
}

/// The machine's clocks. Alarms are rung by one thread, begun with the first of them, which ends with the clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    bell: Arc<Bell>,
}

/// What the clock shares with its thread.
#[derive(Debug, Default)]
struct Bell {
    timers: Arc<Timers>,
    state: Mutex<BellState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    has_thread: bool,
    /// Until when the thread sleeps; an earlier alarm wakes it.
    sleeps_until: i64,
    is_over: bool,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now(), bell: Arc::default() }
    }
}

impl SystemClock {
    /// Begins the thread if there is none; false if the system has none to give.
    fn has_thread(&self, state: &mut MutexGuard<'_, BellState>) -> bool {
        if !state.has_thread {
            let (bell, started) = (Arc::clone(&self.bell), self.started);
            let thread =
                std::thread::Builder::new().name("clock".to_owned()).spawn(move || ring(&bell, started));
            state.has_thread = thread.is_ok();
        }
        state.has_thread
    }
}

impl Clock for SystemClock {
    fn now_ns(&self) -> i64 {
        // A clock before 1970 reads as 0: sequence numbers, not times, order what is stored.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }

    fn monotonic_ns(&self) -> i64 {
        since(self.started)
    }

    fn wake_at(&self, monotonic_ns: i64, waker: Waker) -> Alarm {
        let alarm = self.bell.timers.set(monotonic_ns, waker, self.monotonic_ns());
        if alarm.is_set() {
            let mut state = self.bell.lock();
            if !self.has_thread(&mut state) {
                drop(state);
                // Early, which is allowed; never is not.
                alarm.ring();
            } else if monotonic_ns < state.sleeps_until {
                self.bell.changed.notify_one();
            }
        }
        alarm
    }
}

impl Drop for SystemClock {
    fn drop(&mut self) {
        self.bell.lock().is_over = true;
        self.bell.changed.notify_one();
        // Nobody is left waiting for a time that never comes.
        self.bell.timers.ring_until(i64::MAX);
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since(started: Instant) -> i64 {
    i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

/// The clock's thread: sleeps until the first alarm is due, or an earlier one is set.
fn ring(bell: &Bell, started: Instant) {
    loop {
        bell.timers.ring_until(since(started));
        let mut state = bell.lock();
        if state.is_over {
            return;
        }
        // With the state locked: an alarm that is set from here on finds how long the thread sleeps.
        let next = bell.timers.next();
        state.sleeps_until = next.unwrap_or(i64::MAX);
        state = match next {
            None => bell.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(next) => {
                let left = u64::try_from(next.saturating_sub(since(started))).unwrap_or(0);
                let waited = bell.changed.wait_timeout(state, Duration::from_nanos(left));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.sleeps_until = i64::MIN;
    }
}

#[cfg(test)]
mod tests;
