//! Batches that wait for the log, and which of them are written next.
//!
//! All that wait and fit are one group, so that many pushes share one sync. Large batches wait apart: a group of small
//! ones and one of large ones take turns, and large ones leave a part of the heads' room free. Whoever pushes a few
//! lines waits for one large batch at most, not for all of them and not for their flush.
//!
//! Batches of one lane keep their order; between the lanes, and so between pushes that wait at the same time, there is
//! none.

use crate::engine::EncodedBatch;
use crate::error::StoreError;
use crate::invariant::invariant;
use std::collections::VecDeque;
use std::sync::Arc;
use strandline_model::time::SECOND_NS;

/// Most bytes that wait for the log in each lane; one batch may be larger when it is alone.
const MAX_LANE_BYTES: usize = 32 << 20;
/// Most bytes written and synced as one group.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// A batch of more is large.
const MAX_SMALL_BYTES: usize = MAX_GROUP_BYTES / 4;
/// How long batches wait for room in the heads before they are refused.
const MAX_STALL_NS: i64 = 10 * SECOND_NS;

/// Called once with the outcome of a batch.
pub type Done = Box<dyn FnOnce(Result<(), Arc<StoreError>>) + Send>;

/// What is written and synced at once.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) batches: Vec<EncodedBatch>,
    pub(crate) dones: Vec<Done>,
    bytes: usize,
}

/// How full the heads are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Bytes in all of them.
    pub(crate) bytes: usize,
    /// A head of this size is sealed; about two of them may be in memory.
    pub(crate) max_bytes: usize,
    /// Whether some wait for their flush.
    pub(crate) has_sealed: bool,
}

/// The batches that wait.
#[derive(Default)]
pub(crate) struct CommitQueue {
    small: Lane,
    large: Lane,
    large_is_next: bool,
    /// The size of the last large group if it was larger than a head: it takes no room of small ones.
    huge_bytes: usize,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<(EncodedBatch, Done)>,
    bytes: usize,
    /// When there began to be no room for its first batch.
    stalled_since_ns: Option<i64>,
}

/// What becomes of a group.
pub(crate) enum Next {
    Commit(Group),
    /// The heads had no room for it for too long.
    Refuse(Group),
}

impl CommitQueue {
    /// Takes a batch in.
    pub(crate) fn push(&mut self, batch: EncodedBatch, done: Done) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::Stopping);
        }
        let bytes = batch.memory_bytes();
        let lane = if bytes > MAX_SMALL_BYTES { &mut self.large } else { &mut self.small };
        if lane.bytes > 0 && lane.bytes + bytes > MAX_LANE_BYTES {
            return Err(StoreError::Busy);
        }
        lane.bytes += bytes;
        lane.jobs.push_back((batch, done));
        Ok(())
    }

    /// Takes no more batches in; those that wait need no room in the heads any more, for nothing else is to come.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.small.jobs.is_empty() && self.large.jobs.is_empty()
    }

    /// The next group that `heads` have room for, or have had none for too long.
    pub(crate) fn next(&mut self, heads: Heads, now_ns: i64) -> Option<Next> {
        let large = self.closed || heads.fit_large(self.large.first_bytes());
        let large = self.large.is_ready(large, now_ns);
        let small = self.small.is_ready(self.closed || heads.fit_small(self.huge_bytes), now_ns);
        if large && (self.large_is_next || !small) {
            self.large_is_next = false;
            let group = self.large.take();
            self.huge_bytes = if group.bytes > heads.max_bytes { group.bytes } else { 0 };
            return Some(Next::Commit(group));
        }
        self.large_is_next = true;
        if small {
            return Some(Next::Commit(self.small.take()));
        }
        let overdue = [&mut self.large, &mut self.small].into_iter().find(|lane| lane.is_overdue(now_ns));
        overdue.map(|lane| Next::Refuse(lane.take()))
    }
}

impl Heads {
    /// Whether small batches may come; `huge_bytes` of what is there were one batch.
    fn fit_small(self, huge_bytes: usize) -> bool {
        self.bytes <= self.max_bytes.saturating_mul(2).saturating_add(huge_bytes)
    }

    /// Whether a large batch of `bytes` may come. A head that nobody flushes makes room only when more comes.
    fn fit_large(self, bytes: usize) -> bool {
        let room = self.max_bytes.saturating_mul(2) - self.max_bytes / 4;
        !self.has_sealed || self.bytes.saturating_add(bytes.min(self.max_bytes)) <= room
    }
}

impl Lane {
    fn first_bytes(&self) -> usize {
        self.jobs.front().map_or(0, |(batch, _)| batch.memory_bytes())
    }

    fn is_ready(&mut self, has_room: bool, now_ns: i64) -> bool {
        let waits = !self.jobs.is_empty();
        self.stalled_since_ns = (waits && !has_room).then(|| self.stalled_since_ns.unwrap_or(now_ns));
        waits && has_room
    }

    fn is_overdue(&self, now_ns: i64) -> bool {
        self.stalled_since_ns.is_some_and(|since| now_ns.saturating_sub(since) >= MAX_STALL_NS)
    }

    /// The first batches, as many as a group takes.
    fn take(&mut self) -> Group {
        let mut group = Group::default();
        while let Some((batch, _)) = self.jobs.front() {
            let bytes = batch.memory_bytes();
            if group.bytes > 0 && group.bytes + bytes > MAX_GROUP_BYTES {
                break;
            }
            group.bytes += bytes;
            let Some((batch, done)) = self.jobs.pop_front() else { break };
            group.batches.push(batch);
            group.dones.push(done);
        }
        invariant!(group.bytes <= self.bytes, "{} bytes left a queue of {}", group.bytes, self.bytes);
        self.bytes = self.bytes.saturating_sub(group.bytes);
        invariant!(self.bytes == 0 || !self.jobs.is_empty(), "an empty queue counts {} bytes", self.bytes);
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch_of;

    const NONE: Heads = Heads { bytes: 0, max_bytes: 8 << 20, has_sealed: false };

    fn sealed(bytes: usize) -> Heads {
        Heads { bytes, has_sealed: true, ..NONE }
    }

    /// A batch of about twice `bytes`: random bytes do not get smaller in the log's record.
    fn push(queue: &mut CommitQueue, bytes: usize) -> Result<(), StoreError> {
        let mut state = 1u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        let line: Vec<u8> = random.take(bytes).collect();
        let batch = EncodedBatch::new(batch_of("t", &[(r#"{a="b"}"#, 1, &line)]));
        queue.push(batch, Box::new(|_| ()))
    }

    /// MiB of each line of the next group, if it is to be committed.
    fn next(queue: &mut CommitQueue, heads: Heads) -> Vec<usize> {
        match queue.next(heads, 0) {
            Some(Next::Commit(group)) => group.batches.iter().map(|b| b.batch().bytes.len() >> 20).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn small_batches_do_not_wait_for_all_large_ones() {
        let mut queue = CommitQueue::default();
        for _ in 0..3 {
            push(&mut queue, 3 << 20).unwrap();
        }
        push(&mut queue, 100).unwrap();
        assert_eq!(next(&mut queue, NONE), [0], "the small one first");
        push(&mut queue, 100).unwrap();
        push(&mut queue, 100).unwrap();
        assert_eq!(next(&mut queue, NONE), [3], "one large in between");
        assert_eq!(next(&mut queue, NONE), [0, 0], "all small ones at once");
        push(&mut queue, 100).unwrap();
        assert_eq!(next(&mut queue, NONE), [3], "nor do large ones wait for all small ones");
        assert_eq!(next(&mut queue, NONE), [0]);
        assert_eq!(next(&mut queue, NONE), [3]);
        assert!(queue.next(NONE, 0).is_none() && queue.is_empty());
    }

    #[test]
    fn large_batches_leave_room_in_the_heads() {
        let mut queue = CommitQueue::default();
        push(&mut queue, 1 << 20).unwrap();
        assert!(next(&mut queue, sealed(13 << 20)).is_empty(), "a part of two heads is for small ones");
        push(&mut queue, 100).unwrap();
        assert_eq!(next(&mut queue, sealed(16 << 20)), [0]);
        assert_eq!(next(&mut queue, sealed(10 << 20)), [1]);
        push(&mut queue, 100).unwrap();
        assert!(next(&mut queue, sealed((16 << 20) + 1)).is_empty());
        queue.close();
        assert_eq!(next(&mut queue, sealed(99 << 20)), [0], "nothing is flushed while the store stops");
    }

    #[test]
    fn a_huge_batch_takes_no_room_of_small_ones() {
        let mut queue = CommitQueue::default();
        push(&mut queue, 20 << 20).unwrap();
        assert!(next(&mut queue, sealed(7 << 20)).is_empty(), "with what is being flushed it is too much");
        assert_eq!(next(&mut queue, Heads { bytes: 7 << 20, ..NONE }), [20], "nothing would make more room");
        push(&mut queue, 100).unwrap();
        assert_eq!(next(&mut queue, sealed(50 << 20)), [0], "the huge one is still there");
        push(&mut queue, 2 << 20).unwrap();
        assert_eq!(next(&mut queue, NONE), [2]);
        push(&mut queue, 100).unwrap();
        assert!(next(&mut queue, sealed(50 << 20)).is_empty(), "it has gone, so these are others");
    }

    #[test]
    fn what_has_no_room_for_too_long_is_refused_beside_small_ones_that_have() {
        let (mut queue, heads) = (CommitQueue::default(), sealed(15 << 20));
        push(&mut queue, 2 << 20).unwrap();
        for second in 0..10 {
            push(&mut queue, 100).unwrap();
            assert!(matches!(queue.next(heads, second * SECOND_NS), Some(Next::Commit(_))));
            assert!(queue.next(heads, second * SECOND_NS).is_none());
        }
        assert!(
            matches!(queue.next(heads, MAX_STALL_NS), Some(Next::Refuse(group)) if group.bytes > 2 << 20)
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn lanes_are_bounded_each_for_itself() {
        let mut queue = CommitQueue::default();
        let taken = (0..40).filter(|_| push(&mut queue, 2 << 20).is_ok()).count();
        assert!((4..=8).contains(&taken), "{taken}");
        push(&mut queue, 100).unwrap();
        queue.close();
        assert!(matches!(push(&mut queue, 1), Err(StoreError::Stopping)));
    }
}
