//! Does this thread poll an async task right now? Work that costs CPU asks, so that debug builds and tests fail where it
//! would hold up every other task of the runtime.
//!
//! Whoever polls tasks marks the thread meanwhile ([`mark`]); functions that are known to be expensive call
//! [`assert_none`]. Release builds do neither.

use std::cell::Cell;

thread_local! {
    static POLLING: Cell<bool> = const { Cell::new(false) };
}

/// As long as it lives, the thread counts as polling.
#[derive(Debug)]
pub struct Polling {
    before: bool,
}

/// Marks this thread until the value is dropped.
pub fn mark() -> Polling {
    Polling { before: cfg!(debug_assertions) && POLLING.replace(true) }
}

impl Drop for Polling {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            POLLING.set(self.before);
        }
    }
}

/// Fails in debug builds if this thread polls an async task: `work` belongs on a thread that may block.
pub fn assert_none(work: &str) {
    debug_assert!(!POLLING.get(), "{work} on a thread of the async runtime");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_nest_and_end() {
        let fails = || std::panic::catch_unwind(|| assert_none("a test")).is_err();
        assert!(!fails());
        let outer = mark();
        let inner = mark();
        drop(inner);
        assert!(fails());
        drop(outer);
        assert!(!fails());
    }
}
