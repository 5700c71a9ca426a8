//! Do slots go round, and come back?

use super::*;
use std::sync::atomic::AtomicUsize;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

struct Countdown {
    tenant: TenantId,
    left: AtomicUsize,
    done: Arc<AtomicUsize>,
}

impl Work for Countdown {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn run_one(self: Arc<Self>, pool: &WorkQueue) {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 1 {
            pool.offer(self.clone());
        }
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    fn fail(&self) {}
}

#[test]
fn every_unit_is_done_and_a_stop_joins_the_threads() {
    let done = Arc::new(AtomicUsize::new(0));
    let pool = Pool::start(3).unwrap();
    for (n, name) in [(1, "a"), (5, "b"), (20, "a")] {
        let (left, done) = (AtomicUsize::new(n), Arc::clone(&done));
        pool.offer(Arc::new(Countdown { tenant: tenant(name), left, done }));
    }
    while done.load(Ordering::SeqCst) < 26 {
        std::thread::yield_now();
    }
    drop(pool);
    assert_eq!(done.load(Ordering::SeqCst), 26);
}

/// A unit that panics.
struct Broken(TenantId, Arc<AtomicUsize>);

impl Work for Broken {
    fn tenant(&self) -> &TenantId {
        &self.0
    }

    fn run_one(self: Arc<Self>, _: &WorkQueue) {
        panic!("planted");
    }

    fn fail(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// A unit that ends when all slots are in such units at once.
struct Meeting(TenantId, Arc<AtomicUsize>);

impl Work for Meeting {
    fn tenant(&self) -> &TenantId {
        &self.0
    }

    fn run_one(self: Arc<Self>, pool: &WorkQueue) {
        self.1.fetch_add(1, Ordering::SeqCst);
        while self.1.load(Ordering::SeqCst) < SLOTS && !pool.state.lock().stopping {
            std::thread::yield_now();
        }
    }

    fn fail(&self) {}
}

const SLOTS: usize = 2;

#[test]
fn a_panic_costs_the_work_that_it_is_of_but_no_thread_and_no_slot() {
    let pool = Pool::start(SLOTS).unwrap();
    let [failed, met] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let all = SLOTS * THREADS_PER_SLOT;
    (0..2 * all).for_each(|_| pool.offer(Arc::new(Broken(tenant("a"), Arc::clone(&failed)))));
    until(|| failed.load(Ordering::SeqCst) == 2 * all);
    assert!(pool.threads.iter().all(|thread| !thread.is_finished()));
    (0..SLOTS).for_each(|_| pool.offer(Arc::new(Meeting(tenant("b"), Arc::clone(&met)))));
    until(|| met.load(Ordering::SeqCst) == SLOTS);
}

/// Waits for a condition.
fn until(holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < end, "it does not come");
        std::thread::yield_now();
    }
}

/// A unit that lasts until it is told to end.
struct Long {
    tenant: TenantId,
    clock: AtomicUsize,
    begun: Arc<AtomicUsize>,
    until: Arc<AtomicUsize>,
}

impl Work for Long {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn run_one(self: Arc<Self>, _: &WorkQueue) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while self.until.load(Ordering::SeqCst) > 0 {
            yield_slot(self.clock.fetch_add(1, Ordering::SeqCst) as i64 * SLICE_NS);
        }
    }

    fn fail(&self) {}
}

/// The unit that tells them, and notes how many had begun before it.
struct Short {
    tenant: TenantId,
    begun: Arc<AtomicUsize>,
    before: Arc<AtomicUsize>,
    until: Arc<AtomicUsize>,
}

impl Work for Short {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn run_one(self: Arc<Self>, _: &WorkQueue) {
        self.before.store(self.begun.load(Ordering::SeqCst), Ordering::SeqCst);
        self.until.store(0, Ordering::SeqCst);
    }

    fn fail(&self) {}
}

/// With one slot and `n` long units of `a` of which `held` have a thread, a short unit of `short` comes: how many of
/// the long ones had begun before it was done.
fn begun_before(n: usize, held: usize, short: &str) -> usize {
    let [begun, before] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let until = Arc::new(AtomicUsize::new(1));
    let pool = Pool::start(1).unwrap();
    for _ in 0..n {
        let (begun, until) = (Arc::clone(&begun), Arc::clone(&until));
        pool.offer(Arc::new(Long { tenant: tenant("a"), clock: AtomicUsize::new(0), begun, until }));
    }
    while begun.load(Ordering::SeqCst) < held {
        std::thread::yield_now();
    }
    let (before_at, until_at) = (Arc::clone(&before), Arc::clone(&until));
    pool.offer(Arc::new(Short { tenant: tenant(short), begun, before: before_at, until: until_at }));
    while until.load(Ordering::SeqCst) > 0 {
        std::thread::yield_now();
    }
    drop(pool);
    before.load(Ordering::SeqCst)
}

#[test]
fn long_units_give_their_slot_to_short_ones() {
    let long = THREADS_PER_SLOT - 2;
    assert_eq!(begun_before(long, long, "a"), long);
}

#[test]
fn a_tenant_with_long_units_on_all_its_threads_leaves_one_for_others() {
    // More long units than there are threads: without a bound by tenant they would have them all.
    assert_eq!(begun_before(THREADS_PER_SLOT * 2, THREADS_PER_SLOT - 1, "b"), THREADS_PER_SLOT - 1);
}

#[test]
fn two_tenants_with_long_units_leave_a_thread_for_a_third() {
    let queue = WorkQueue::new(1, THREADS_PER_SLOT);
    let done = Arc::new(AtomicUsize::new(0));
    let work = |name: &str| {
        let (left, done) = (AtomicUsize::new(1), Arc::clone(&done));
        Arc::new(Countdown { tenant: tenant(name), left, done }) as Arc<dyn Work>
    };
    (0..20).for_each(|_| queue.offer(work("a")));
    (0..20).for_each(|_| queue.offer(work("b")));
    let mut state = queue.state.lock();
    state.resting = THREADS_PER_SLOT;
    // Each unit gets a thread and keeps it.
    let mut begun = Vec::new();
    while let Some(Waiting::New(work)) = state.next(queue.threads_of_tenant) {
        state.resting -= 1;
        begun.push(work.tenant().as_str().to_owned());
    }
    assert_eq!(state.resting, 1, "{begun:?}");
    state.free_slots = 0;
    drop(state);
    queue.offer(work("c"));
    let mut state = queue.state.lock();
    let next = state.next(queue.threads_of_tenant);
    assert!(matches!(next, Some(Waiting::New(work)) if work.tenant().as_str() == "c"));
}

#[test]
fn slots_go_round_the_tenants_not_the_queries() {
    let queue = WorkQueue::new(1, THREADS_PER_SLOT);
    let done = Arc::new(AtomicUsize::new(0));
    let work = |name: &str| {
        let (left, done) = (AtomicUsize::new(1), Arc::clone(&done));
        Arc::new(Countdown { tenant: tenant(name), left, done }) as Arc<dyn Work>
    };
    (0..100).for_each(|_| queue.offer(work("a")));
    queue.offer(work("b"));
    let mut state = queue.state.lock();
    state.resting = THREADS_PER_SLOT;
    let mut next = || match state.next(usize::MAX) {
        Some(Waiting::New(work)) => work.tenant().as_str().to_owned(),
        _ => panic!("nothing"),
    };
    assert_eq!([next(), next(), next()], ["a", "b", "a"]);
}
