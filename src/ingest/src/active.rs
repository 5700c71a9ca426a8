//! How many streams are active in all? Counted for the whole process, so that new ones are refused before they fill the
//! memory; those that are known go on.
//!
//! A stream is active from its first entry until one to two hours after its last. Streams of the label cache remember in
//! which hour they were counted, so that the usual entry costs one comparison.

use crate::label_cache::KnownStream;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use strandline_model::TenantId;
use strandline_model::time::HOUR_NS;

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

    /// Counts a stream of `tenant` as active; false when it is new and there are too many.
    pub fn take(&self, tenant: &TenantId, stream: &KnownStream) -> bool {
        let period = self.period.load(Ordering::Relaxed);
        if stream.counted_in.load(Ordering::Relaxed) == period {
            return true;
        }
        let key = self.seed.hash_one((tenant, stream.id));
        let Some(shard) = self.shards.get((key >> 60) as usize % SHARDS) else { return true };
        let mut shard = shard.lock();
        shard.catch_up(period, &self.count);
        if !shard.now.contains(&key) {
            let is_known = shard.before.remove(&key);
            if !is_known && self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
                self.count.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            shard.now.insert(key);
        }
        stream.counted_in.store(period, Ordering::Relaxed);
        true
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

    #[test]
    fn new_streams_are_refused_above_the_bound_and_known_ones_go_on() {
        let active = ActiveStreams::new(100);
        let tenant = TenantId::default_tenant();
        active.age(0);
        let known: Vec<KnownStream> = (0..100).map(stream).collect();
        assert!(known.iter().all(|stream| active.take(&tenant, stream)));
        assert!(!active.take(&tenant, &stream(100)));
        // Known by the cache or read anew, in this hour and the next.
        assert!(known.iter().all(|stream| active.take(&tenant, stream)));
        assert!((0..100).all(|n| active.take(&tenant, &stream(n))));
        active.age(PERIOD_NS);
        assert!((0..50).all(|n| active.take(&tenant, &stream(n))));
        assert!(!active.take(&tenant, &stream(100)));
        assert_eq!(active.count(), 100);
        // The others were quiet for an hour: there is room for as many.
        active.age(2 * PERIOD_NS);
        assert_eq!(active.count(), 50);
        assert!((100..150).all(|n| active.take(&tenant, &stream(n))));
        assert!(!active.take(&tenant, &stream(150)));
        active.age(9 * PERIOD_NS);
        assert_eq!(active.count(), 0);
    }

    #[test]
    fn tenants_count_each_for_itself_and_together() {
        let active = ActiveStreams::new(2);
        let [a, b, c] = ["a", "b", "c"].map(|name| TenantId::new(name).unwrap());
        assert!(active.take(&a, &stream(1)) && active.take(&b, &stream(1)));
        assert!(!active.take(&c, &stream(1)));
        assert!(active.take(&a, &stream(1)));
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
                        active.take(tenant, &stream(t * 300 + n as usize));
                    }
                });
            }
        });
        assert_eq!(active.count(), 500);
        assert_eq!(active.shards.iter().map(|s| s.lock().now.len()).sum::<usize>(), 500);
    }
}
