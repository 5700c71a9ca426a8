//! What may a lookup of labels or streams cost, and when must it end?
//!
//! The caller brings a check (its deadline, its cancellation) and the most bytes that the answer may hold. A lookup asks
//! the check every few hundred steps, so that no selector and no number of streams keeps it going for long after.

use std::cell::Cell;

/// Steps (label values tried, streams looked at) between two looks at the check: a fraction of a millisecond, or a few
/// milliseconds where each step runs a costly pattern.
const STEPS_PER_CHECK: u32 = 512;
/// What a text or a label set of an answer costs beside its bytes: its place in a tree and its allocation.
pub(crate) const ITEM_BYTES: usize = 48;

/// Bounds of one lookup.
#[derive(Clone, Copy)]
pub struct LookupLimits<'a> {
    /// Whether to stop: nobody waits any more, or the deadline has passed.
    pub stop: &'a dyn Fn() -> bool,
    /// Most bytes of memory that the answer may take, roughly.
    pub max_bytes: usize,
}

impl LookupLimits<'static> {
    /// No bounds: for tests, and for callers that have none.
    pub const NONE: Self = Self { stop: &|| false, max_bytes: usize::MAX };
}

impl std::fmt::Debug for LookupLimits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookupLimits").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

/// Why a lookup ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The caller's check said so.
    #[error("the lookup was stopped")]
    Stopped,
    /// The answer would take more than [`LookupLimits::max_bytes`], which this names.
    #[error("the answer needs more than {0} bytes")]
    TooLarge(usize),
}

/// Counts the steps and bytes of one lookup against its limits.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    limits: LookupLimits<'a>,
    steps: Cell<u32>,
    bytes: Cell<usize>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(limits: LookupLimits<'a>) -> Self {
        Self { limits, steps: Cell::new(0), bytes: Cell::new(0) }
    }

    /// To be called for each value or stream that is looked at.
    pub(crate) fn step(&self) -> Result<(), LookupError> {
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if steps.is_multiple_of(STEPS_PER_CHECK) { self.check() } else { Ok(()) }
    }

    /// Asks at once; to be called before reading from the disk.
    pub(crate) fn check(&self) -> Result<(), LookupError> {
        if (self.limits.stop)() { Err(LookupError::Stopped) } else { Ok(()) }
    }

    /// Notes that the answer holds a text or label set of this many bytes more.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), LookupError> {
        let held = self.bytes.get().saturating_add(bytes + ITEM_BYTES);
        self.bytes.set(held);
        if held > self.limits.max_bytes { Err(LookupError::TooLarge(self.limits.max_bytes)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_asked_every_few_hundred_steps_and_bytes_have_an_end() {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        let meter = Meter::new(LookupLimits { stop: &stop, max_bytes: 1000 });
        let steps = (0..).take_while(|_| meter.step().is_ok()).count();
        assert_eq!((steps as u32, asked.get()), (3 * STEPS_PER_CHECK - 1, 3));
        let held = (0..).take_while(|_| meter.hold(52).is_ok()).count();
        assert_eq!((held, meter.hold(0)), (10, Err(LookupError::TooLarge(1000))));
    }
}
