//! What do all parts of a query's work share? Whose data, which of it, until when, and what it has cost.

use crate::damage::Damage;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::language::LogQuery;
use crate::memory::QueryMemory;
use crate::pool;
use crate::reader::Part;
use crate::stats::Counters;
use crate::storage::Storage;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_model::{Labels, TimeRange};
use strandline_store::View;
use strandline_store::head::{Head, HeadRows};

/// A unit says what it holds whenever it has grown by this (bytes).
const GATHERED_STEP_BYTES: usize = 1 << 20;
/// Bytes of lines between two looks whether the query is still wanted, and what a line counts for besides its text.
const BYTES_PER_LOOK: usize = 64 << 10;
const BYTES_OF_LINE: usize = 16;

/// What is read, for whom and until when.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Where the view is from.
    pub(crate) storage: Arc<dyn Storage>,
    /// Whose data, and which of their streams; every look at streams goes by its selector, not by the query's.
    pub(crate) part: Part,
    pub(crate) query: LogQuery,
    /// The end is not inside.
    pub(crate) range: TimeRange,
    pub(crate) view: View,
    /// The selected streams of the segments, by label order, when they are few.
    pub(crate) few: Option<Vec<Arc<Labels>>>,
    pub(crate) counters: Counters,
    pub(crate) deadline: Deadline,
    /// The wall clock's time when the query began.
    pub(crate) wall_ns: i64,
    /// Most units that are worked on at a time.
    pub(crate) max_units: usize,
    /// Most bytes that an answer may hold while it is collected.
    pub(crate) max_bytes: usize,
    /// What the query holds of the process's memory.
    pub(crate) memory: Arc<QueryMemory>,
    /// Bytes that other parts of the query hold.
    pub(crate) other_bytes: usize,
    /// So many times what is collected is held at the end of it.
    pub(crate) copies: usize,
    /// What is collected by units under way.
    pub(crate) gathered: Gathered,
    /// What the answer lacks.
    pub(crate) damage: Damage,
}

/// What units have collected that no sink counts yet, and why the query cannot go on with it.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    bytes: AtomicUsize,
    failed: AtomicBool,
    failure: Mutex<Option<QueryError>>,
}

/// What one unit has collected. It no longer counts when this is dropped: then the sink counts it, or it is gone.
#[derive(Debug)]
pub(crate) struct Gathering<'s> {
    scope: &'s Scope,
    counted: usize,
}

/// Looks whether a query is still wanted, so often as lines were read.
#[derive(Debug)]
pub(crate) struct Looks<'s> {
    scope: &'s Scope,
    bytes: usize,
    /// Bytes between two looks.
    most: usize,
}

impl<'s> Gathering<'s> {
    pub(crate) fn new(scope: &'s Scope) -> Self {
        Self { scope, counted: 0 }
    }

    /// Notes that the unit holds so many bytes now, beside what the sink holds. True: it must stop, for that is too much.
    pub(crate) fn grown_to(&mut self, bytes: usize, in_sink: usize) -> bool {
        if bytes < self.counted.saturating_add(GATHERED_STEP_BYTES) {
            return false;
        }
        let gathered = &self.scope.gathered;
        let more = bytes - self.counted;
        let all = gathered.bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        self.counted = bytes;
        let Some(error) = self.scope.reason_to_give_up(all.saturating_add(in_sink)) else { return false };
        gathered.failure.lock().get_or_insert(error);
        gathered.failed.store(true, Ordering::Relaxed);
        true
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.scope.gathered.bytes.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl<'s> Looks<'s> {
    pub(crate) fn new(scope: &'s Scope) -> Self {
        let weight = scope.query.pipeline().line_filters().weight();
        Self { scope, bytes: 0, most: BYTES_PER_LOOK / weight }
    }

    /// Whether the query is over, before a line of so many bytes is read.
    pub(crate) fn is_over(&mut self, bytes: usize) -> bool {
        self.bytes += bytes + BYTES_OF_LINE;
        if self.bytes < self.most {
            return false;
        }
        self.bytes = 0;
        self.scope.is_over()
    }
}

impl Scope {
    /// Why to stop now, if there is a reason; `bytes` is what is held.
    pub(crate) fn reason_to_give_up(&self, bytes: usize) -> Option<QueryError> {
        if bytes > self.max_bytes {
            return Some(QueryError::TooLarge(self.max_bytes));
        }
        self.hold(bytes).err().or_else(|| self.deadline.passed())
    }

    /// Takes as much of the process's memory as the query needs when `bytes` are collected.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), QueryError> {
        self.memory.hold(bytes.saturating_mul(self.copies).saturating_add(self.other_bytes))
    }

    /// The selected streams' entries in a head, inside `range`, without what is deleted.
    pub(crate) fn select(&self, head: &Head, range: TimeRange) -> Vec<HeadRows> {
        let mut streams = head.select(&self.part.tenant, range, &self.part.selector);
        self.view.hide(head, &mut streams);
        streams
    }

    /// Monotonic time.
    pub(crate) fn now_ns(&self) -> i64 {
        self.deadline.clock.monotonic_ns()
    }

    /// Whether nobody waits any more, or no time is left. Asked now and then by whatever takes long, which is also the
    /// moment to let others have the slot.
    pub(crate) fn is_over(&self) -> bool {
        pool::yield_slot(self.now_ns());
        self.gathered.failed.load(Ordering::Relaxed) || self.deadline.passed().is_some()
    }

    /// Whether a line passes the query's line filters; means nothing once the query is over.
    pub(crate) fn takes(&self, line: &[u8]) -> bool {
        self.query.takes_until(line, &|| self.is_over())
    }

    /// Why units under way gave up, if they did.
    pub(crate) fn take_failure(&self) -> Option<QueryError> {
        match self.gathered.failed.load(Ordering::Relaxed) {
            true => self.gathered.failure.lock().take(),
            false => None,
        }
    }
}
