//! A clock that moves only when told to, and wakes those who wait as it does.

use super::Clock;
use super::timers::{Alarm, Timers};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Waker;

/// A clock for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    monotonic_ns: AtomicI64,
    /// How far the wall clock is ahead of the monotonic one.
    wall_ahead_ns: AtomicI64,
    timers: Arc<Timers>,
}

impl ManualClock {
    /// A clock of which both times stand at `now_ns`.
    pub fn at(now_ns: i64) -> Self {
        Self { monotonic_ns: AtomicI64::new(now_ns), ..Self::default() }
    }

    /// Moves both clocks on by `ns`, and wakes those whose time has come, in the order of their times. They run as their
    /// threads and executors get to it, and see the time as it is then: a simulation in which each has to see its own moves the
    /// clock by [`ManualClock::next_alarm_ns`].
    pub fn advance(&self, ns: i64) {
        let before = self.monotonic_ns.fetch_add(ns, Ordering::SeqCst);
        self.timers.ring_until(before.saturating_add(ns));
    }

    /// Moves the wall clock alone, forward or back, as NTP, an operator or a suspended machine do. Nobody is woken.
    pub fn jump(&self, ns: i64) {
        self.wall_ahead_ns.fetch_add(ns, Ordering::SeqCst);
    }

    /// The monotonic time for which the first of those who wait do so.
    pub fn next_alarm_ns(&self) -> Option<i64> {
        self.timers.next()
    }

    /// How many wait for a time.
    pub fn alarms(&self) -> usize {
        self.timers.len()
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> i64 {
        self.monotonic_ns().saturating_add(self.wall_ahead_ns.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> i64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }

    fn wake_at(&self, monotonic_ns: i64, waker: Waker) -> Alarm {
        let alarm = self.timers.set(monotonic_ns, waker, self.monotonic_ns());
        // The clock may have moved past it between the look at the time and the setting.
        if monotonic_ns <= self.monotonic_ns() {
            alarm.ring();
        }
        alarm
    }
}
