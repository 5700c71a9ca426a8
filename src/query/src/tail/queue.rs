//! What waits for one tail? As much as has its bound; then the oldest goes, and the tail is told what it lost.

use super::entry::TailEntry;
use super::frame::Frame;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use strandline_model::Labels;

/// Most bytes that wait for one tail; one frame may be larger when it is alone.
pub(super) const MAX_QUEUE_BYTES: usize = 1 << 20;
/// Most frames that wait for one tail.
pub(super) const MAX_QUEUE_FRAMES: usize = 1024;
/// Most lost entries that are named; more are only counted.
pub(super) const MAX_NAMED_LOSSES: usize = 1000;

/// What comes next in a tail.
#[derive(Debug)]
pub enum Delivery {
    /// Entries.
    Frame(Arc<Frame>),
    /// Entries were lost before those that come next.
    Lost(Lost),
    /// The tail cannot go on; nothing comes after this.
    Failed(&'static str),
}

/// Entries that a tail did not get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// The time and the stream's labels of the first of them; no labels where nobody looked which streams they were in.
    pub named: Vec<(i64, Option<Arc<Labels>>)>,
}

/// Frames that wait for one tail.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    lost: Lost,
    failed: Option<&'static str>,
    waker: Option<Waker>,
}

impl Queue {
    /// Puts a frame behind the others. `crowded` says that the queues of all tails together hold too much: then what
    /// this one has not taken yet goes. Returns how many entries were lost.
    pub(super) fn push(&self, frame: &Arc<Frame>, crowded: bool) -> u64 {
        let mut state = self.state.lock();
        let mut lost = 0;
        while (crowded
            || state.bytes + frame.memory_bytes() > MAX_QUEUE_BYTES
            || state.frames.len() >= MAX_QUEUE_FRAMES)
            && let Some(oldest) = state.frames.pop_front()
        {
            state.bytes -= oldest.memory_bytes();
            lost += oldest.entries().len() as u64;
            state.lost.add(oldest.entries());
        }
        state.bytes += frame.memory_bytes();
        state.frames.push_back(Arc::clone(frame));
        wake(state);
        lost
    }

    /// Notes entries that nobody looked at.
    pub(super) fn note_missed(&self, ts: i64, count: u64) {
        let mut state = self.state.lock();
        state.lost.count += count;
        state.lost.name(ts, None);
        wake(state);
    }

    /// Ends the tail.
    pub(super) fn fail(&self, why: &'static str) {
        let mut state = self.state.lock();
        state.failed = Some(why);
        wake(state);
    }

    /// The next thing, or a promise to wake the task when there is one.
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Delivery> {
        let mut state = self.state.lock();
        if state.lost.count > 0 {
            return Poll::Ready(Delivery::Lost(std::mem::take(&mut state.lost)));
        }
        if let Some(frame) = state.frames.pop_front() {
            state.bytes -= frame.memory_bytes();
            return Poll::Ready(Delivery::Frame(frame));
        }
        if let Some(why) = state.failed {
            return Poll::Ready(Delivery::Failed(why));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// Wakes the task without the lock: it would run into it at once.
fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Lost {
    fn add(&mut self, entries: &[TailEntry]) {
        self.count += entries.len() as u64;
        entries.iter().for_each(|entry| self.name(entry.ts(), Some(entry.stream())));
    }

    fn name(&mut self, ts: i64, labels: Option<&Arc<Labels>>) {
        if self.named.len() < MAX_NAMED_LOSSES {
            self.named.push((ts, labels.map(Arc::clone)));
        }
    }
}
