//! Who does the work? A fixed number of threads, which go round the queries at hand, tenant by tenant.
//!
//! A query is offered as a [`Work`]; a thread takes it, puts it back behind the others if there is more to do, and does
//! one unit of it. So a query over years does not keep one over minutes waiting for longer than a block takes, and many
//! queries of one tenant do not keep another's one waiting. A thread needs a slot to work; there are
//! as many slots as cores are meant to be busy, and more threads. So a unit that takes long can let others have its slot now
//! and then ([`yield_slot`]) and keep its thread, where its state is, until it gets one again.

use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use strandline_model::TenantId;

/// How long a unit works before it lets others have its slot (ns).
const SLICE_NS: i64 = 10_000_000;
/// Threads for each slot: so many long units can be under way while short ones get theirs.
const THREADS_PER_SLOT: usize = 5;
/// So many threads are for tenants that are in none, however many tenants are in the others.
const RESERVED_THREADS: usize = 1;

/// Something that can be done in units by many threads.
pub(crate) trait Work: Send + Sync {
    /// Whose share of the threads it takes.
    fn tenant(&self) -> &TenantId;

    /// Takes a unit and does it. `pool` is offered the work again as long as there are units.
    fn run_one(self: Arc<Self>, pool: &WorkQueue);

    /// A unit ended by a panic: nothing more comes of the work.
    fn fail(&self);
}

/// The work at hand.
pub(crate) struct WorkQueue {
    state: Mutex<State>,
    /// Work was handed to threads that rest. Each piece wakes one of them.
    handed_out: Condvar,
    /// Most threads that are in units of one tenant, paused ones included: the others stay free for other tenants.
    threads_of_tenant: usize,
}

#[derive(Default)]
struct State {
    /// Slots that nobody has.
    free_slots: usize,
    /// Threads that rest and have not been handed anything.
    resting: usize,
    tenants: HashMap<TenantId, Share>,
    /// The tenants that have something waiting; the first is next.
    order: VecDeque<TenantId>,
    /// Work with a slot, for any thread that rests.
    handed: VecDeque<Arc<dyn Work>>,
    stopping: bool,
}

/// What a tenant has in the pool.
#[derive(Default)]
struct Share {
    waiting: VecDeque<Waiting>,
    /// Threads that are in its units.
    threads: usize,
}

enum Waiting {
    /// Needs a thread and a slot.
    New(Arc<dyn Work>),
    /// A unit that has its thread and needs a slot to go on.
    Paused(Arc<Pause>),
}

/// A unit that lets others have its slot. Its thread waits here alone, so that whoever gives it a slot wakes no other.
#[derive(Default)]
struct Pause {
    /// Whether it has a slot again; changed with the pool's state locked.
    has_slot: AtomicBool,
    resumed: Condvar,
}

/// Whether the thread that hands out work takes what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    LooksForWork,
    Busy,
}

impl WorkQueue {
    fn new(slots: usize, threads: usize) -> Self {
        let state = State { free_slots: slots, ..State::default() };
        Self {
            state: Mutex::new(state),
            handed_out: Condvar::new(),
            threads_of_tenant: threads.saturating_sub(slots).max(1),
        }
    }

    /// Puts work behind what waits already for the same tenant.
    pub(crate) fn offer(&self, work: Arc<dyn Work>) {
        let mut state = self.state.lock();
        let tenant = work.tenant().clone();
        state.wait(&tenant, Waiting::New(work));
        self.hand_out(&mut state, Caller::Busy);
    }

    /// Gives free slots to what waits, tenant by tenant. A caller that looks for work itself takes the first piece.
    fn hand_out(&self, state: &mut State, caller: Caller) {
        while state.free_slots > 0
            && let Some(next) = state.next(self.threads_of_tenant)
        {
            state.free_slots -= 1;
            match next {
                Waiting::New(work) => {
                    state.resting -= 1;
                    state.handed.push_back(work);
                    if caller == Caller::Busy || state.handed.len() > 1 {
                        self.handed_out.notify_one();
                    }
                }
                Waiting::Paused(pause) => {
                    pause.has_slot.store(true, Ordering::Relaxed);
                    pause.resumed.notify_one();
                }
            }
        }
    }

    /// The body of a thread.
    fn serve(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.resting += 1;
        self.hand_out(&mut state, Caller::LooksForWork);
        while !state.stopping {
            let Some(work) = state.handed.pop_front() else {
                self.handed_out.wait(&mut state);
                continue;
            };
            drop(state);
            let tenant = work.tenant().clone();
            self.run_unit(&tenant, work);
            state = self.state.lock();
            state.free_slots += 1;
            state.resting += 1;
            state.leave(&tenant);
            self.hand_out(&mut state, Caller::LooksForWork);
        }
    }

    /// Runs a unit. A panic ends the work that it is of, and nothing else: the thread goes on, and its slot is free.
    fn run_unit(self: &Arc<Self>, tenant: &TenantId, work: Arc<dyn Work>) {
        SINCE.set(None);
        UNIT.set(Some((Arc::clone(self), tenant.clone())));
        let failed = Arc::clone(&work);
        if catch_unwind(AssertUnwindSafe(|| work.run_one(self))).is_err() {
            tracing::error!("a unit of a query ended by a panic");
            failed.fail();
        }
        UNIT.set(None);
    }

    /// Gives the slot of a unit of `tenant` to others, if any wait, and waits for another one.
    fn pause(&self, tenant: &TenantId) {
        let mut state = self.state.lock();
        if state.order.is_empty() {
            return;
        }
        let pause = Arc::new(Pause::default());
        state.wait(tenant, Waiting::Paused(Arc::clone(&pause)));
        state.free_slots += 1;
        self.hand_out(&mut state, Caller::Busy);
        while !pause.has_slot.load(Ordering::Relaxed) {
            pause.resumed.wait(&mut state);
        }
    }
}

impl State {
    fn wait(&mut self, tenant: &TenantId, waiting: Waiting) {
        let share = self.tenants.entry(tenant.clone()).or_default();
        if share.waiting.is_empty() {
            self.order.push_back(tenant.clone());
        }
        share.waiting.push_back(waiting);
    }

    /// Takes what is next: of the first tenant in the order that has anything for which there is a thread.
    fn next(&mut self, threads_of_tenant: usize) -> Option<Waiting> {
        for _ in 0..self.order.len() {
            let tenant = self.order.pop_front()?;
            let Some(share) = self.tenants.get_mut(&tenant) else { continue };
            let is_in_none = share.threads == 0;
            let resting =
                if is_in_none { self.resting } else { self.resting.saturating_sub(RESERVED_THREADS) };
            let may_begin = !self.stopping && resting > 0 && share.threads < threads_of_tenant;
            let ready = |waiting: &Waiting| may_begin || matches!(waiting, Waiting::Paused(_));
            let at = share.waiting.iter().position(ready);
            let next = at.and_then(|at| share.waiting.remove(at));
            if matches!(next, Some(Waiting::New(_))) {
                share.threads += 1;
            }
            if !share.waiting.is_empty() {
                self.order.push_back(tenant);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// A thread is out of a unit of `tenant`.
    fn leave(&mut self, tenant: &TenantId) {
        let Some(share) = self.tenants.get_mut(tenant) else { return };
        share.threads -= 1;
        if share.threads == 0 && share.waiting.is_empty() {
            self.tenants.remove(tenant);
        }
    }
}

thread_local! {
    /// The unit that this thread is in, if it is one of the pool's: where its slot is from, and whose the unit is.
    static UNIT: RefCell<Option<(Arc<WorkQueue>, TenantId)>> = const { RefCell::new(None) };
    /// When [`yield_slot`] was first asked about the slot that this thread has.
    static SINCE: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Called by long work now and then, with the monotonic time: lets others have the slot when the unit has had it long enough.
pub(crate) fn yield_slot(now_ns: i64) {
    match SINCE.get() {
        None => SINCE.set(Some(now_ns)),
        Some(since) if now_ns.saturating_sub(since) < SLICE_NS => {}
        Some(_) => UNIT.with_borrow(|unit| {
            SINCE.set(None);
            if let Some((queue, tenant)) = unit {
                queue.pause(tenant);
            }
        }),
    }
}

/// The threads.
pub(crate) struct Pool {
    queue: Arc<WorkQueue>,
    slots: usize,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts threads of which `slots` work at a time.
    pub(crate) fn start(slots: usize) -> std::io::Result<Self> {
        let slots = slots.max(1);
        let threads = slots * THREADS_PER_SLOT;
        let mut pool = Self { queue: Arc::new(WorkQueue::new(slots, threads)), slots, threads: Vec::new() };
        for i in 0..threads {
            let queue = Arc::clone(&pool.queue);
            let body = move || queue.serve();
            pool.threads.push(std::thread::Builder::new().name(format!("query-{i}")).spawn(body)?);
        }
        Ok(pool)
    }

    /// How many units are worked on at a time.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Hands work to the threads.
    pub(crate) fn offer(&self, work: Arc<dyn Work>) {
        self.queue.offer(work);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let mut state = self.queue.state.lock();
            state.stopping = true;
            // What no thread has begun is not begun any more; paused units need its slots to come to their ends.
            let unused = std::mem::take(&mut state.handed).len();
            state.free_slots += unused;
            state.resting += unused;
            self.queue.hand_out(&mut state, Caller::Busy);
        }
        self.queue.handed_out.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the query pool ended by a panic");
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
}
