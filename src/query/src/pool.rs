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
#[path = "pool_tests.rs"]
mod tests;
