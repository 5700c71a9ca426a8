//! How many streams are active in all? Counted for the whole process, so that new ones are refused before they fill the
//! memory; those that are known go on.
//!
//! A stream is active from its first entry until one to two hours after its last. Streams of the label cache remember in
//! which hour they were counted, so that the usual entry costs one comparison.

use crate::label_cache::KnownStream;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use strandline_model::time::HOUR_NS;
use strandline_model::{Batch, StreamId, TenantId};

/// After this long the streams counted so far are those of before, and those of before are forgotten.
const PERIOD_NS: i64 = HOUR_NS;
const SHARDS: usize = 16;

/// The streams of all tenants that had entries lately.
#[derive(Debug)]
pub struct ActiveStreams {
    max: usize,
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    /// Number of the period, and when it began.
    period: AtomicU64,
    began_ns: AtomicI64,
    seed: RandomState,
}

/// What has become of a stream that wants to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is counted already.
    Known,
    /// It is now.
    New,
    /// It is not: there are too many.
    TooMany,
}

#[derive(Debug, Default)]
struct Shard {
    period: u64,
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl ActiveStreams {
    /// Counts up to `max` streams.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
            period: AtomicU64::new(1),
            began_ns: AtomicI64::new(i64::MIN),
            seed: RandomState::new(),
        }
    }

    /// The most streams at once: `server.max_active_streams`.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Streams that are active, those of shards that had no entry lately included.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Begins a new period when the current one is over; called once per push with the time of the monotonic clock.
    pub fn age(&self, now_ns: i64) {
        let began = self.began_ns.load(Ordering::Relaxed);
        if began == i64::MIN {
            let _ = self.began_ns.compare_exchange(began, now_ns, Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        let periods = now_ns.saturating_sub(began) / PERIOD_NS;
        let begins = began.saturating_add(periods.saturating_mul(PERIOD_NS));
        let exchanged = self.began_ns.compare_exchange(began, begins, Ordering::Relaxed, Ordering::Relaxed);
        if periods < 1 || exchanged.is_err() {
            return;
        }
        let period =
            self.period.fetch_add(periods.unsigned_abs(), Ordering::Relaxed) + periods.unsigned_abs();
        // Here and not when a shard is next used: one that is not used any more must not count for ever.
        for shard in &self.shards {
            shard.lock().catch_up(period, &self.count);
        }
    }

    /// Counts a stream of `tenant` as active, unless it is new and there are too many.
    pub(crate) fn take(&self, tenant: &TenantId, stream: &KnownStream) -> Taken {
        let period = self.period.load(Ordering::Relaxed);
        if stream.counted_in.load(Ordering::Relaxed) == period {
            return Taken::Known;
        }
        let (key, shard) = self.place_of(tenant, stream);
        let Some(shard) = shard else { return Taken::Known };
        let mut shard = shard.lock();
        shard.catch_up(period, &self.count);
        let mut taken = Taken::Known;
        if !shard.now.contains(&key) {
            let is_known = shard.before.remove(&key);
            if !is_known {
                if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return Taken::TooMany;
                }
                taken = Taken::New;
            }
            shard.now.insert(key);
        }
        stream.counted_in.store(period, Ordering::Relaxed);
        taken
    }

    /// Counts those of `new` no more that are not in `batch`: what is refused must not be in the way of other tenants.
    pub fn keep(&self, new: NewStreams, batch: Option<&Batch>) {
        if new.streams.is_empty() {
            return;
        }
        let kept: HashSet<StreamId> =
            batch.iter().flat_map(|batch| &batch.streams).map(|stream| stream.id).collect();
        for stream in new.streams.iter().filter(|stream| !kept.contains(&stream.id)) {
            self.release(&new.tenant, stream);
        }
    }

    fn release(&self, tenant: &TenantId, stream: &KnownStream) {
        let (key, shard) = self.place_of(tenant, stream);
        let Some(shard) = shard else { return };
        let mut shard = shard.lock();
        // Under the lock: whoever brings it next finds it not counted.
        stream.counted_in.store(0, Ordering::Relaxed);
        let was_counted = shard.now.remove(&key) || shard.before.remove(&key);
        self.count.fetch_sub(usize::from(was_counted), Ordering::Relaxed);
    }

    fn place_of(&self, tenant: &TenantId, stream: &KnownStream) -> (u64, Option<&Mutex<Shard>>) {
        let key = self.seed.hash_one((tenant, stream.id));
        (key, self.shards.get((key >> 60) as usize % SHARDS))
    }
}

/// Streams that a push was the first to bring; they stay counted as far as they are kept ([`ActiveStreams::keep`]).
#[derive(Debug)]
pub struct NewStreams {
    tenant: TenantId,
    streams: Vec<Arc<KnownStream>>,
}

/// Counts the streams of a push that is being read. Dropped, it takes back what it has counted.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    active: &'a ActiveStreams,
    new: NewStreams,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(active: &'a ActiveStreams, tenant: TenantId) -> Self {
        Self { active, new: NewStreams { tenant, streams: Vec::new() } }
    }

    /// The most streams at once.
    pub(crate) fn max(&self) -> usize {
        self.active.max()
    }

    /// Counts a stream; false when it is new and there are too many.
    pub(crate) fn take(&mut self, stream: &Arc<KnownStream>) -> bool {
        let taken = self.active.take(&self.new.tenant, stream);
        if taken == Taken::New {
            self.new.streams.push(Arc::clone(stream));
        }
        taken != Taken::TooMany
    }

    /// Leaves it to the caller to keep what is counted.
    pub(crate) fn finish(mut self) -> NewStreams {
        let streams = std::mem::take(&mut self.new.streams);
        NewStreams { tenant: self.new.tenant.clone(), streams }
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        for stream in &self.new.streams {
            self.active.release(&self.new.tenant, stream);
        }
    }
}

impl Shard {
    fn catch_up(&mut self, period: u64, count: &AtomicUsize) {
        let behind = period.saturating_sub(self.period);
        if behind == 0 {
            return;
        }
        self.period = period;
        let gone = std::mem::replace(&mut self.before, std::mem::take(&mut self.now));
        count.fetch_sub(gone.len(), Ordering::Relaxed);
        if behind > 1 {
            count.fetch_sub(self.before.len(), Ordering::Relaxed);
            self.before = HashSet::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_model::Labels;

    fn stream(n: usize) -> KnownStream {
        KnownStream::new(Labels::from_pairs(&[("n", n.to_string())]).unwrap())
    }

    fn take(active: &ActiveStreams, tenant: &TenantId, stream: &KnownStream) -> bool {
        active.take(tenant, stream) != Taken::TooMany
    }

    #[test]
    fn what_a_push_counted_is_taken_back_unless_it_is_kept() {
        let active = ActiveStreams::new(3);
        let tenant = TenantId::default_tenant();
        let known: Vec<Arc<KnownStream>> = (0..4).map(|n| Arc::new(stream(n))).collect();
        let mut begun = Counting::new(&active, tenant.clone());
        assert!(
            begun.take(&known[0]) && begun.take(&known[0]) && begun.take(&known[1]) && begun.take(&known[2])
        );
        assert!(!begun.take(&known[3]));
        drop(begun);
        assert_eq!(active.count(), 0);
        let mut builder = strandline_model::BatchBuilder::new(tenant.clone(), 0);
        builder.begin_known_stream(known[1].id, known[1].labels.clone());
        assert!(builder.push(1, b"x", &mut Vec::new()));
        let batch = builder.finish();
        let mut begun = Counting::new(&active, tenant.clone());
        assert!(known[..3].iter().all(|stream| begun.take(stream)));
        active.keep(begun.finish(), Some(&batch));
        assert_eq!(active.count(), 1);
        // One that was counted before stays, whatever becomes of the push.
        let mut begun = Counting::new(&active, tenant.clone());
        assert!(begun.take(&known[1]) && begun.take(&known[2]));
        active.keep(begun.finish(), None);
        assert_eq!(active.count(), 1);
        assert!(take(&active, &tenant, &known[3]) && take(&active, &tenant, &known[0]));
        assert!(!take(&active, &tenant, &known[2]));
    }

    #[test]
    fn new_streams_are_refused_above_the_bound_and_known_ones_go_on() {
        let active = ActiveStreams::new(100);
        let tenant = TenantId::default_tenant();
        active.age(0);
        let known: Vec<KnownStream> = (0..100).map(stream).collect();
        assert!(known.iter().all(|stream| take(&active, &tenant, stream)));
        assert!(!take(&active, &tenant, &stream(100)));
        // Known by the cache or read anew, in this hour and the next.
        assert!(known.iter().all(|stream| take(&active, &tenant, stream)));
        assert!((0..100).all(|n| take(&active, &tenant, &stream(n))));
        active.age(PERIOD_NS);
        assert!((0..50).all(|n| take(&active, &tenant, &stream(n))));
        assert!(!take(&active, &tenant, &stream(100)));
        assert_eq!(active.count(), 100);
        // The others were quiet for an hour: there is room for as many.
        active.age(2 * PERIOD_NS);
        assert_eq!(active.count(), 50);
        assert!((100..150).all(|n| take(&active, &tenant, &stream(n))));
        assert!(!take(&active, &tenant, &stream(150)));
        active.age(9 * PERIOD_NS);
        assert_eq!(active.count(), 0);
    }

    #[test]
    fn tenants_count_each_for_itself_and_together() {
        let active = ActiveStreams::new(2);
        let [a, b, c] = ["a", "b", "c"].map(|name| TenantId::new(name).unwrap());
        assert!(take(&active, &a, &stream(1)) && take(&active, &b, &stream(1)));
        assert!(!take(&active, &c, &stream(1)));
        assert!(take(&active, &a, &stream(1)));
    }

    #[test]
    fn many_threads_do_not_pass_the_bound() {
        let active = ActiveStreams::new(500);
        let tenant = TenantId::default_tenant();
        std::thread::scope(|scope| {
            for t in 0..4 {
                let (active, tenant) = (&active, &tenant);
                scope.spawn(move || {
                    for n in 0..300 {
                        active.age(n);
                        take(active, tenant, &stream(t * 300 + n as usize));
                    }
                });
            }
        });
        assert_eq!(active.count(), 500);
        assert_eq!(active.shards.iter().map(|s| s.lock().now.len()).sum::<usize>(), 500);
    }
}
