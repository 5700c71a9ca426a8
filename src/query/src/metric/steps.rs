//! At which moments is a query evaluated, and which of them does a line's time count for?
//!
//! The window of the moment t is `(t - range - offset, t - offset]`. All of it is computed in 128 bits: times come from
//! clients, and any 64 bits may be one.

use std::ops::RangeInclusive;

/// The moments at which a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    start_ns: i64,
    step_ns: i64,
    count: u32,
    instant: bool,
}

impl Steps {
    /// The one moment of an instant query.
    pub fn instant(at_ns: i64) -> Self {
        Self { start_ns: at_ns, step_ns: 1, count: 1, instant: true }
    }

    /// `count` moments from `start_ns` on, `step_ns` apart. The request has aligned them.
    pub fn range(start_ns: i64, step_ns: i64, count: u32) -> Self {
        Self { start_ns, step_ns: step_ns.max(1), count, instant: false }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether this is an instant query, whose answer has no time axis but may have an order.
    pub fn is_instant(&self) -> bool {
        self.instant
    }

    /// Time of a step.
    pub fn at(&self, step: u32) -> i64 {
        narrow(i128::from(self.start_ns) + i128::from(step) * i128::from(self.step_ns))
    }
}

fn narrow(ns: i128) -> i64 {
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

fn div_ceil(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}

/// Something that has one window over ascending positions for each step.
pub trait Grid {
    /// How many steps there are.
    fn steps(&self) -> u32;
    /// Where a step's window begins (exclusive) and ends (inclusive).
    fn window(&self, step: u32) -> (i128, i128);
    /// The first step whose window ends at or after `position`; may be beyond the last.
    fn first_reaching(&self, position: i128) -> i128;
}

/// The windows of a range aggregation over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    steps: Steps,
    range_ns: i64,
    offset_ns: i64,
}

impl Windows {
    /// Whether most samples are in several windows.
    pub fn overlap(&self) -> bool {
        self.steps.count > 1 && self.range_ns / 2 > self.steps.step_ns
    }

    /// The windows `[range]` with `offset` at each step.
    pub fn new(steps: Steps, range_ns: i64, offset_ns: i64) -> Self {
        Self { steps, range_ns: range_ns.max(1), offset_ns }
    }

    /// Length of each window.
    pub fn range_ns(&self) -> i64 {
        self.range_ns
    }

    /// The steps whose windows hold `ts`: neighbors, as windows are equally long.
    pub fn steps_of(&self, ts: i64) -> Option<RangeInclusive<u32>> {
        let end = self.first_reaching(i128::from(ts) + i128::from(self.range_ns));
        let first = u32::try_from(self.first_reaching(i128::from(ts))).ok()?;
        let last = u32::try_from(end.min(i128::from(self.steps.count)) - 1).ok()?;
        (first <= last).then_some(first..=last)
    }

    /// The first and the last time that any window can hold. Between windows may be gaps.
    pub fn span(&self) -> Option<RangeInclusive<i64>> {
        let last = self.steps.count.checked_sub(1)?;
        let (first, last) = (self.window(0).0 + 1, self.window(last).1);
        let overlaps = first <= i128::from(i64::MAX) && last >= i128::from(i64::MIN);
        overlaps.then(|| narrow(first)..=narrow(last))
    }
}

impl Grid for Windows {
    fn steps(&self) -> u32 {
        self.steps.count
    }

    fn window(&self, step: u32) -> (i128, i128) {
        let t = i128::from(self.steps.start_ns) + i128::from(step) * i128::from(self.steps.step_ns);
        let end = t - i128::from(self.offset_ns);
        (end - i128::from(self.range_ns), end)
    }

    fn first_reaching(&self, position: i128) -> i128 {
        div_ceil(position - self.window(0).1, i128::from(self.steps.step_ns)).max(0)
    }
}

/// Equal pieces of time of which every window is made: as long as step and range have in common. What is summed up by
/// piece once need not be kept line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    windows: Windows,
    width_ns: i64,
    /// Buckets from one window's beginning to the next.
    per_step: i128,
    per_range: i128,
}

impl Buckets {
    /// The buckets of these windows.
    pub fn new(windows: Windows) -> Self {
        let range = windows.range_ns;
        // A single window needs no more than one bucket, whatever its step says.
        let step = if windows.steps.count > 1 { windows.steps.step_ns } else { range };
        let width_ns = gcd(step, range);
        Self {
            windows,
            width_ns,
            per_step: i128::from(step / width_ns),
            per_range: i128::from(range / width_ns),
        }
    }

    /// The windows made of them.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Length of each.
    pub fn width_ns(&self) -> i64 {
        self.width_ns
    }

    /// How many buckets one window has.
    pub fn per_window(&self) -> u64 {
        u64::try_from(self.per_range).unwrap_or(u64::MAX)
    }

    /// How many there are from the first window's beginning to the last one's end.
    pub fn count(&self) -> u64 {
        match self.windows.steps.count.checked_sub(1) {
            Some(last) => {
                u64::try_from(i128::from(last) * self.per_step + self.per_range).unwrap_or(u64::MAX)
            }
            None => 0,
        }
    }

    /// The times of a bucket: after the first, up to and with the second.
    pub fn times_of(&self, bucket: u64) -> (i64, i64) {
        let after = self.windows.window(0).0 + i128::from(bucket) * i128::from(self.width_ns);
        (narrow(after), narrow(after + i128::from(self.width_ns)))
    }

    /// The bucket that holds `ts`, if any window has it.
    pub fn of(&self, ts: i64) -> Option<u64> {
        let last = self.windows.steps.count.checked_sub(1)?;
        let (first, until) = (self.windows.window(0).0, self.windows.window(last).1);
        // Nearly all times are such that the wide arithmetic, which is slow, is not needed.
        if let (Ok(narrow_first), Ok(narrow_until), Ok(per_step)) =
            (i64::try_from(first), i64::try_from(until), u64::try_from(self.per_step))
        {
            if ts <= narrow_first || ts > narrow_until {
                return None;
            }
            let index = (ts.wrapping_sub(narrow_first) as u64 - 1) / self.width_ns as u64;
            return (i128::from(index % per_step) < self.per_range).then_some(index);
        }
        let ts = i128::from(ts);
        if ts <= first || ts > until {
            return None;
        }
        // Left open: a time on an edge belongs to the bucket that ends there.
        let index = (ts - first - 1) / i128::from(self.width_ns);
        let in_gap = index % self.per_step >= self.per_range;
        if in_gap { None } else { u64::try_from(index).ok() }
    }
}

impl Grid for Buckets {
    fn steps(&self) -> u32 {
        self.windows.steps.count
    }

    fn window(&self, step: u32) -> (i128, i128) {
        let first = i128::from(step) * self.per_step;
        (first - 1, first + self.per_range - 1)
    }

    fn first_reaching(&self, position: i128) -> i128 {
        div_ceil(position - self.per_range + 1, self.per_step).max(0)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.max(1), b.max(1));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
