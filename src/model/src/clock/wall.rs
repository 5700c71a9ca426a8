//! Work at multiples of the wall clock: each full minute, each half past. The wall clock jumps, work must not.
//!
//! The wall clock can be set, forward and back, and a machine that was suspended wakes hours later, of which its monotonic
//! clock knows nothing. So a wait for a wall-clock time cannot be one long wait for a monotonic one: it would end hours late
//! behind a suspension and never know of a jump. It is many short ones ([`LOOK_EVERY_NS`] at most), each followed by a look at the
//! wall clock:
//!
//! - The time has come: the tick is due. Ticks that were passed over (a suspended machine, a clock set forward, work that took
//!   longer than the interval) are not made up for one by one: the latest counts, and how many were missed is told.
//! - The next tick is further away than one interval: the clock was set back. The next tick is the next multiple from now on,
//!   except for the one that came last, of which a small correction must not make two. Set back by more than an interval, ticks
//!   of times that were there before come again: a clock that shows a time twice means it twice.
//! - However the clock jumps, two ticks are at least half an interval of monotonic time apart, or [`MAX_GAP_NS`] if that is
//!   less, so that a clock that is set again and again does not set off work without end; and as long as it does not jump,
//!   they are where they belong. The bound is there for long intervals: a daily tick behind a suspension is not half a day late.

use super::Clock;
use super::signal::{Signal, Woke};

/// A wait looks at the wall clock this often: so late can a tick be behind a jump of the clock.
const LOOK_EVERY_NS: i64 = 1_000_000_000;

/// Two ticks need not be further apart than this.
const MAX_GAP_NS: i64 = 30_000_000_000;

/// Ticks at multiples of an interval since 1970.
#[derive(Debug, Clone)]
pub struct WallTicks {
    interval_ns: i64,
    offset_ns: i64,
    /// Wall clock of the next tick.
    next_ns: i64,
    /// Wall clock of the last one.
    last_ns: Option<i64>,
    /// Monotonic time before which no tick comes.
    not_before_ns: i64,
}

/// Something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The multiple for which it is: evaluate as of this time, not as of now.
    pub at_ns: i64,
    /// Multiples before it that were passed over since the last tick.
    pub missed: u64,
}

impl WallTicks {
    /// Ticks at each wall-clock time that is `offset_ns` behind a multiple of `interval_ns`, the first one behind now.
    /// An interval below 1 ns is taken for 1 ns; ticks are never closer to each other than half of it, or
    /// half a minute if that is less.
    pub fn new(clock: &dyn Clock, interval_ns: i64, offset_ns: i64) -> Self {
        let interval_ns = interval_ns.max(1);
        let mut ticks = Self {
            interval_ns,
            offset_ns: offset_ns.rem_euclid(interval_ns),
            next_ns: 0,
            last_ns: None,
            not_before_ns: i64::MIN,
        };
        ticks.next_ns = ticks.multiple_behind(clock.now_ns());
        ticks
    }

    /// Whether a tick is due now; otherwise the monotonic time at which to look again.
    pub fn look(&mut self, clock: &dyn Clock) -> Result<Tick, i64> {
        let (wall, monotonic) = (clock.now_ns(), clock.monotonic_ns());
        let following = self.multiple_behind(wall);
        // Set back: by less than an interval it is as if time had stood still, and the tick comes later.
        let left = self.next_ns.saturating_sub(wall);
        let is_far_back = left > self.interval_ns.saturating_mul(2);
        if is_far_back || (left > self.interval_ns && self.last_ns != Some(following)) {
            self.next_ns = following;
        }
        if wall < self.next_ns || monotonic < self.not_before_ns {
            let left = self.next_ns.saturating_sub(wall).max(self.not_before_ns.saturating_sub(monotonic));
            return Err(monotonic.saturating_add(left.clamp(1, LOOK_EVERY_NS)));
        }
        let at_ns = following.saturating_sub(self.interval_ns);
        let missed = u64::try_from(at_ns.saturating_sub(self.next_ns) / self.interval_ns).unwrap_or(0);
        self.next_ns = following;
        self.last_ns = Some(at_ns);
        self.not_before_ns = monotonic.saturating_add((self.interval_ns / 2).min(MAX_GAP_NS));
        Ok(Tick { at_ns, missed })
    }

    /// Waits with this thread for the next tick, or until `signal` says something else.
    pub fn block(&mut self, clock: &dyn Clock, signal: &Signal) -> Result<Tick, Woke> {
        loop {
            let until_ns = match self.look(clock) {
                // Of a stop and a tick the stop counts.
                Ok(_) if signal.is_stopped() => return Err(Woke::Stopped),
                Ok(tick) => return Ok(tick),
                Err(until_ns) => until_ns,
            };
            match signal.wait(clock, until_ns).block() {
                Woke::Due => {}
                other => return Err(other),
            }
        }
    }

    /// The same as a future.
    pub async fn wait(&mut self, clock: &dyn Clock, signal: &Signal) -> Result<Tick, Woke> {
        loop {
            let until_ns = match self.look(clock) {
                Ok(_) if signal.is_stopped() => return Err(Woke::Stopped),
                Ok(tick) => return Ok(tick),
                Err(until_ns) => until_ns,
            };
            match signal.wait(clock, until_ns).await {
                Woke::Due => {}
                other => return Err(other),
            }
        }
    }

    /// The first tick's time behind `wall_ns`.
    fn multiple_behind(&self, wall_ns: i64) -> i64 {
        let into = wall_ns.saturating_sub(self.offset_ns).rem_euclid(self.interval_ns);
        wall_ns.saturating_add(self.interval_ns - into)
    }
}
