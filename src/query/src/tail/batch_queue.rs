//! Which batches wait to be shown to tails? Put here by the thread that commits, which never waits for anything.

use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use strandline_model::{Batch, TenantId};
use strandline_store::engine::CommitObserver;

/// Most bytes of batches that wait; what comes beyond is not shown to tails, and they are told.
pub(super) const MAX_WAITING_BYTES: usize = 32 << 20;
/// Most bytes that are taken as one round: the first tail of a round is served before the last.
const MAX_ROUND_BYTES: usize = 4 << 20;

/// Committed batches of tenants that have tails.
#[derive(Debug, Default)]
pub(super) struct BatchQueue {
    state: Mutex<State>,
    arrived: Condvar,
    listening: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(u64, Arc<Batch>)>,
    bytes: usize,
    tenants: HashMap<TenantId, Listener>,
    /// What was not taken in, by tenant.
    missed: HashMap<TenantId, Missed>,
    /// The last commit that was told of.
    last_commit: u64,
    /// Whether a round is under way.
    distributing: bool,
    closed: bool,
}

/// A tenant with tails.
#[derive(Debug, Default)]
struct Listener {
    /// How many.
    tails: usize,
    /// Bytes of its batches that wait.
    bytes: usize,
}

/// Entries that nobody looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) entries: u64,
    /// The time of the first of them.
    pub(super) ts: i64,
}

/// What is shown next.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) batches: Vec<(u64, Arc<Batch>)>,
    pub(super) missed: HashMap<TenantId, Missed>,
}

impl BatchQueue {
    /// From now on batches of `tenant` are taken in. Returns the last commit that was told of before.
    pub(super) fn listen(&self, tenant: &TenantId) -> u64 {
        let mut state = self.state.lock();
        state.tenants.entry(tenant.clone()).or_default().tails += 1;
        self.listening.store(true, Ordering::SeqCst);
        state.last_commit
    }

    /// One tail of `tenant` less.
    pub(super) fn leave(&self, tenant: &TenantId) {
        let mut state = self.state.lock();
        if let Some(listener) = state.tenants.get_mut(tenant) {
            listener.tails -= 1;
            if listener.tails == 0 {
                state.tenants.remove(tenant);
                state.missed.remove(tenant);
            }
        }
        self.listening.store(!state.tenants.is_empty(), Ordering::SeqCst);
    }

    /// Waits for something to show; `None` when the queue is closed. The round before counts as done.
    pub(super) fn next_round(&self) -> Option<Round> {
        let mut state = self.state.lock();
        state.distributing = false;
        while state.waiting.is_empty() && state.missed.is_empty() && !state.closed {
            self.arrived.wait(&mut state);
        }
        if state.closed {
            return None;
        }
        let mut round = Round { missed: std::mem::take(&mut state.missed), ..Round::default() };
        let mut bytes = 0;
        while let Some((_, batch)) = state.waiting.front() {
            let (size, tenant) = (batch.memory_bytes(), batch.tenant.clone());
            if bytes > 0 && bytes + size > MAX_ROUND_BYTES {
                break;
            }
            bytes += size;
            if let Some(listener) = state.tenants.get_mut(&tenant) {
                // Its batches of before its last tail left may still come.
                listener.bytes = listener.bytes.saturating_sub(size);
            }
            round.batches.extend(state.waiting.pop_front());
        }
        state.bytes -= bytes;
        state.distributing = true;
        Some(round)
    }

    /// Whether everything up to a commit later than `commit` was told of and has been shown.
    pub(super) fn is_past(&self, commit: u64) -> bool {
        let state = self.state.lock();
        state.last_commit > commit && state.waiting.is_empty() && !state.distributing
    }

    /// Ends the thread that takes rounds.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }
}

impl CommitObserver for BatchQueue {
    fn is_listening(&self) -> bool {
        self.listening.load(Ordering::SeqCst)
    }

    fn committed(&self, commit: u64, batches: &mut dyn Iterator<Item = &Arc<Batch>>) {
        let state = &mut *self.state.lock();
        state.last_commit = commit;
        let mut news = false;
        for batch in batches {
            let Some(listener) = state.tenants.get_mut(&batch.tenant) else { continue };
            news = true;
            let size = batch.memory_bytes();
            // A tenant may hold as much as is left for others.
            let is_full = state.bytes > 0 && state.bytes + size > MAX_WAITING_BYTES;
            let left = MAX_WAITING_BYTES.saturating_sub(state.bytes);
            if is_full || (listener.bytes > 0 && listener.bytes + size > left) {
                let ts = batch.entries.first().map_or(0, |entry| entry.ts);
                let missed = state.missed.entry(batch.tenant.clone()).or_insert(Missed { entries: 0, ts });
                missed.entries += batch.entries.len() as u64;
                continue;
            }
            listener.bytes += size;
            state.bytes += size;
            state.waiting.push_back((commit, Arc::clone(batch)));
        }
        if news {
            self.arrived.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_model::{BatchBuilder, Labels};

    fn batch(tenant: &str, bytes: usize) -> Arc<Batch> {
        let mut batch = BatchBuilder::new(TenantId::new(tenant).unwrap(), bytes);
        batch.begin_stream(Arc::new(Labels::parse("{a=\"b\"}").unwrap()));
        assert!(batch.push(7, &vec![b'x'; bytes], &mut Vec::new()));
        Arc::new(batch.finish())
    }

    #[test]
    fn only_tenants_with_tails_are_taken_in() {
        let queue = BatchQueue::default();
        let a = TenantId::new("a").unwrap();
        assert!(!queue.is_listening());
        assert_eq!(queue.listen(&a), 0);
        queue.committed(5, &mut [batch("b", 10), batch("a", 10)].iter());
        let round = queue.next_round().unwrap();
        assert_eq!(round.batches.len(), 1);
        assert_eq!((round.batches[0].0, round.batches[0].1.tenant.as_str()), (5, "a"));
        assert!(!queue.is_past(4), "a round is under way");
        assert_eq!(queue.listen(&a), 5);
        queue.leave(&a);
        assert!(queue.is_listening());
        queue.leave(&a);
        assert!(!queue.is_listening());
        queue.close();
        assert!(queue.next_round().is_none());
        assert!(queue.is_past(4) && !queue.is_past(5));
    }

    #[test]
    fn one_tenant_cannot_fill_it() {
        let queue = BatchQueue::default();
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        queue.listen(&a);
        queue.listen(&b);
        let (of_a, of_b) = (batch("a", 1 << 20), batch("b", 1 << 20));
        for commit in 1..=64 {
            queue.committed(commit, &mut [Arc::clone(&of_a)].iter());
        }
        for commit in 65..=69 {
            queue.committed(commit, &mut [Arc::clone(&of_b)].iter());
        }
        let (mut seen, mut missed) = (HashMap::<TenantId, usize>::new(), HashMap::new());
        while seen.values().sum::<usize>()
            + missed.values().map(|m: &Missed| m.entries as usize).sum::<usize>()
            < 69
        {
            let round = queue.next_round().unwrap();
            round.batches.iter().for_each(|(_, batch)| *seen.entry(batch.tenant.clone()).or_default() += 1);
            missed.extend(round.missed);
        }
        assert_eq!(seen.get(&b), Some(&5), "b's lines come though a's do not fit");
        assert!(seen[&a] >= 10 && missed.contains_key(&a) && !missed.contains_key(&b), "{seen:?}");
        queue.committed(70, &mut [of_a].iter());
        assert_eq!(queue.next_round().unwrap().batches.len(), 1, "what was shown does not count any more");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        let queue = BatchQueue::default();
        queue.listen(&TenantId::new("a").unwrap());
        let large = batch("a", MAX_WAITING_BYTES / 2);
        for commit in 1..=4 {
            queue.committed(commit, &mut [Arc::clone(&large)].into_iter().collect::<Vec<_>>().iter());
        }
        let round = queue.next_round().unwrap();
        assert_eq!(round.batches.len(), 1, "a round is bounded, but never empty");
        let missed: Vec<Missed> = round.missed.into_values().collect();
        assert_eq!(missed, [Missed { entries: 3, ts: 7 }], "with its bookkeeping, one takes more than half");
    }
}
