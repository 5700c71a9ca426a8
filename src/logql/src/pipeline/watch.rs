//! Is the work for a row still wanted? Asked now and then: one row can be minutes of work.

use std::cell::Cell;

/// Work between two questions. 256 bytes of a line that a stage reads are about one, as are a few labels.
const WORK_PER_QUESTION: usize = 1024;
/// Bytes of a line that count as one.
const BYTES_PER_WORK: usize = 256;
/// What a template counts for: it may run for a hundred thousand steps of its own.
pub(super) const TEMPLATE_WORK: usize = 64;

/// Counts work, and asks.
pub(crate) struct Watch<'w> {
    stop: &'w dyn Fn() -> bool,
    work: Cell<usize>,
    over: Cell<bool>,
}

impl<'w> Watch<'w> {
    /// `stop` says that nobody wants the row any more.
    pub(crate) fn new(stop: &'w dyn Fn() -> bool) -> Self {
        Self { stop, work: Cell::new(0), over: Cell::new(false) }
    }

    /// Counts work that is about to be done; true: it is not wanted any more.
    pub(crate) fn is_over(&self, work: usize) -> bool {
        let work = self.work.get().saturating_add(work);
        if work < WORK_PER_QUESTION {
            self.work.set(work);
        } else {
            self.work.set(0);
            self.over.set(self.over.get() || (self.stop)());
        }
        self.over.get()
    }

    /// The work that it is to look at so many bytes.
    pub(crate) fn work_of(bytes: usize) -> usize {
        1 + bytes / BYTES_PER_WORK
    }
}
