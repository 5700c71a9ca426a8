//! Up to when has a stream been flushed? Two questions at every flush are answered from memory with it: whether the
//! label index knows the stream already, and whether older segments can hold any of its rows.

use crate::invariant::invariant;
use hashbrown::{DefaultHashBuilder, HashMap};
use std::hash::BuildHasher;
use strandline_model::{Day, StreamId};

/// Most (partition, stream) pairs remembered: 16 bytes each and the table's slack.
const MAX_STREAMS: usize = 250_000;

/// What the flushes since some log sequence have put into segments.
#[derive(Debug)]
pub(super) struct Flushed {
    /// By a secret hash of partition and stream, the latest timestamp. Two pairs that share a hash share the later
    /// of their times, which is only asked for more often.
    latest: HashMap<u64, i64>,
    secret: DefaultHashBuilder,
    /// Segments that hold a sequence up to this one may hold rows that nothing here knows of.
    since: u64,
    /// Latest sequence flushed.
    newest: u64,
}

impl Flushed {
    /// Nothing is known of segments with sequences up to `since`.
    pub(super) fn new(since: u64) -> Self {
        Self { latest: HashMap::new(), secret: DefaultHashBuilder::default(), since, newest: since }
    }

    /// Forgets everything: the label index may have lost streams.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.newest);
    }

    /// Whether all rows of a segment with this first sequence are known here.
    pub(super) fn covers(&self, first_seq: u64) -> bool {
        first_seq > self.since
    }

    /// The latest time that was flushed for a stream of a partition, if any was.
    pub(super) fn latest(&self, partition: u64, stream: StreamId) -> Option<i64> {
        self.latest.get(&self.key(partition, stream)).copied()
    }

    /// Names a partition.
    pub(super) fn partition(&self, tenant: &str, day: Day) -> u64 {
        self.secret.hash_one((tenant, day.0))
    }

    /// A flush with sequences up to `seq` begins to be noted.
    pub(super) fn begin(&mut self, seq: u64) {
        invariant!(self.since <= self.newest, "flushes up to {} are noted since {}", self.newest, self.since);
        self.newest = self.newest.max(seq);
        if self.latest.len() > MAX_STREAMS {
            self.forget();
        }
    }

    /// Notes that rows of a stream up to `ts` are in a segment. Returns whether the stream was unknown.
    pub(super) fn note(&mut self, partition: u64, stream: StreamId, ts: i64) -> bool {
        let mut new = false;
        let latest = self.latest.entry(self.key(partition, stream)).or_insert_with(|| {
            new = true;
            ts
        });
        *latest = ts.max(*latest);
        new
    }

    fn key(&self, partition: u64, stream: StreamId) -> u64 {
        self.secret.hash_one((partition, stream.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_since_the_start_is_known() {
        let mut flushed = Flushed::new(7);
        let (a, b) = (flushed.partition("t", Day(1)), flushed.partition("t", Day(2)));
        assert!(!flushed.covers(7) && flushed.covers(8));
        flushed.begin(9);
        assert!(flushed.note(a, StreamId(1), 50) && !flushed.note(a, StreamId(1), 40));
        assert_eq!((flushed.latest(a, StreamId(1)), flushed.latest(b, StreamId(1))), (Some(50), None));
        flushed.forget();
        assert!(!flushed.covers(9) && flushed.covers(10) && flushed.latest(a, StreamId(1)).is_none());
    }
}
