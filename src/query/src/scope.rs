//! What do all parts of a query's work share? Whose data, which of it, until when, and what it has cost.

use crate::error::QueryError;
use crate::language::LogQuery;
use crate::memory::QueryMemory;
use crate::pool;
use crate::reader::Part;
use crate::stats::Counters;
use crate::turn::Deadline;
use std::sync::Arc;
use strandline_model::{Labels, TimeRange};
use strandline_store::View;
use strandline_store::head::{Head, HeadRows};

/// What is read, for whom and until when.
#[derive(Debug)]
pub(crate) struct Scope {
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
    /// moment to let others have their turn.
    pub(crate) fn is_over(&self) -> bool {
        pool::breathe(self.now_ns());
        self.deadline.passed().is_some()
    }
}
