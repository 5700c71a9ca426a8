//! What did an answer take?

use std::sync::atomic::{AtomicU64, Ordering};

/// What a query read and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Time from the first look to the answer (ns).
    pub exec_ns: i64,
    /// Time before it, waiting for other queries (ns).
    pub queue_ns: i64,
    /// Line bytes that were looked at.
    pub bytes: u64,
    /// Lines that were looked at.
    pub lines: u64,
    /// Lines that passed the filters.
    pub lines_passed: u64,
    /// Line bytes that were looked at in memory (part of `bytes`).
    pub head_bytes: u64,
    /// Lines that were looked at in memory (part of `lines`).
    pub head_lines: u64,
    /// Segments that were opened.
    pub segments: u64,
    /// Blocks of which lines were read.
    pub blocks: u64,
    /// Blocks that the text index ruled out.
    pub blocks_ruled_out: u64,
    /// Entries that were there more than once.
    pub duplicates: u64,
    /// Entries in the answer.
    pub entries: u64,
}

impl QueryStats {
    /// Adds another part of the same answer.
    pub(crate) fn add(&mut self, other: &Self) {
        self.exec_ns += other.exec_ns;
        self.queue_ns += other.queue_ns;
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.lines_passed += other.lines_passed;
        self.head_bytes += other.head_bytes;
        self.head_lines += other.head_lines;
        self.segments += other.segments;
        self.blocks += other.blocks;
        self.blocks_ruled_out += other.blocks_ruled_out;
        self.duplicates += other.duplicates;
        self.entries += other.entries;
    }
}

/// The same while it is being counted, by many threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
    pub(crate) lines: AtomicU64,
    pub(crate) lines_passed: AtomicU64,
    pub(crate) head_bytes: AtomicU64,
    pub(crate) head_lines: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) blocks: AtomicU64,
    pub(crate) blocks_ruled_out: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    /// The counts so far.
    pub(crate) fn snapshot(&self) -> QueryStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        QueryStats {
            bytes: of(&self.bytes) + of(&self.head_bytes),
            lines: of(&self.lines) + of(&self.head_lines),
            lines_passed: of(&self.lines_passed),
            head_bytes: of(&self.head_bytes),
            head_lines: of(&self.head_lines),
            segments: of(&self.segments),
            blocks: of(&self.blocks),
            blocks_ruled_out: of(&self.blocks_ruled_out),
            ..QueryStats::default()
        }
    }
}
