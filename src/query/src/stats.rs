//! What did an answer take?

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares what is counted once, for the sums and for the counters alike.
macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a query read and how long it took.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct QueryStats {
            /// Time from the first look to the answer (ns).
            pub exec_ns: i64,
            /// Time before it, waiting for other queries (ns).
            pub queue_ns: i64,
            /// Entries that were there more than once.
            pub duplicates: u64,
            /// Entries in the answer, or points of its series.
            pub entries: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same while it is being counted, by many threads.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl QueryStats {
            /// Adds another part of the same answer.
            pub(crate) fn add(&mut self, other: &Self) {
                self.exec_ns += other.exec_ns;
                self.queue_ns += other.queue_ns;
                self.duplicates += other.duplicates;
                self.entries += other.entries;
                $(self.$name += other.$name;)*
            }
        }

        impl Counters {
            /// The counts so far.
            pub(crate) fn snapshot(&self) -> QueryStats {
                QueryStats {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    ..QueryStats::default()
                }
            }
        }
    };
}

counted! {
    /// Line bytes that were looked at in segments.
    segment_bytes,
    /// Lines that were looked at in segments.
    segment_lines,
    /// Line bytes that were looked at in memory.
    head_bytes,
    /// Lines that were looked at in memory.
    head_lines,
    /// Lines that passed the line filters.
    lines_passed,
    /// Segments of the tenant whose time overlaps the query's.
    segments_considered,
    /// Segments that were opened.
    segments,
    /// Blocks of the segments that were opened.
    blocks_considered,
    /// Of these, blocks outside the query's time.
    blocks_out_of_time,
    /// Blocks without a selected stream.
    blocks_of_other_streams,
    /// Blocks that the text index ruled out.
    blocks_ruled_out,
    /// Blocks whose entries were counted from the block table, without a look at them.
    blocks_counted,
    /// Blocks that were read, wholly or in part.
    blocks,
    /// Time spent on planning, all threads together (ns).
    plan_ns,
    /// Time spent on heads, all threads together (ns).
    head_ns,
    /// Time spent on blocks, all threads together (ns).
    block_ns,
}

impl QueryStats {
    /// Line bytes that were looked at.
    pub fn bytes(&self) -> u64 {
        self.segment_bytes + self.head_bytes
    }

    /// Lines that were looked at.
    pub fn lines(&self) -> u64 {
        self.segment_lines + self.head_lines
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
