//! Which answers of a connection could its client take more of, and since when has it not?

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The answers of one connection that its client can take more of: at most one for each stream.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// The number of the next answer.
    next: u64,
    /// Since when (monotonic ns) nothing is taken, by the number of the answer.
    since_ns: BTreeMap<u64, i64>,
}

impl Answers {
    /// One more answer, of which nothing is taken yet; its number.
    pub(crate) fn add(&self, now_ns: i64) -> u64 {
        let mut table = self.0.lock();
        table.next += 1;
        let number = table.next;
        table.since_ns.insert(number, now_ns);
        number
    }

    /// Notes that something of an answer was taken, or that there is nothing to take at the moment.
    pub(crate) fn note(&self, number: u64, has_more: bool, now_ns: i64) {
        let mut table = self.0.lock();
        match has_more {
            true => table.since_ns.insert(number, now_ns),
            false => table.since_ns.remove(&number),
        };
    }

    /// For how long (ns) nothing of some answer was taken.
    pub(crate) fn stalled_ns(&self, now_ns: i64) -> i64 {
        let oldest = self.0.lock().since_ns.values().copied().min();
        oldest.map_or(0, |since_ns| now_ns.saturating_sub(since_ns))
    }
}
