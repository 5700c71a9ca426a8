//! Who does the work? A fixed number of threads that take turns between the queries at hand.
//!
//! A query is offered as a [`Work`]; a thread takes it, puts it back behind the others if there is more to do, and does
//! one unit of it. So a query over years does not keep one over minutes waiting for longer than a block takes. A unit
//! that takes long lets others have its turn now and then ([`breathe`]): there are more threads than turns.

use parking_lot::{Condvar, Mutex};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

/// How long a unit works before it lets others have its turn (ns).
const SLICE_NS: i64 = 10_000_000;
/// Threads for each turn: so many long units can be under way while short ones get theirs.
const THREADS_PER_TURN: usize = 4;

/// Something that can be done in units by many threads.
pub(crate) trait Work: Send + Sync {
    /// Takes a unit and does it. `pool` is offered the work again as long as there are units.
    fn run_one(self: Arc<Self>, pool: &Queue);
}

/// The work at hand.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<dyn Work>>,
    stopping: bool,
}

impl Queue {
    /// Puts work behind what waits already.
    pub(crate) fn offer(&self, work: Arc<dyn Work>) {
        self.state.lock().waiting.push_back(work);
        self.arrived.notify_one();
    }

    fn next(&self) -> Option<Arc<dyn Work>> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            self.arrived.wait(&mut state);
        }
    }
}

/// Turns at the cores, taken in the order in which they were asked for.
#[derive(Debug)]
struct Turns {
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Debug)]
struct Line {
    free: usize,
    next_ticket: u64,
    waiting: VecDeque<u64>,
}

impl Turns {
    fn new(free: usize) -> Self {
        let line = Line { free, next_ticket: 0, waiting: VecDeque::new() };
        Self { line: Mutex::new(line), moved: Condvar::new() }
    }

    fn take(&self) {
        let mut line = self.line.lock();
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.waiting.push_back(ticket);
        while line.free == 0 || line.waiting.front() != Some(&ticket) {
            self.moved.wait(&mut line);
        }
        line.waiting.pop_front();
        line.free -= 1;
        if line.free > 0 {
            self.moved.notify_all();
        }
    }

    fn give(&self) {
        self.line.lock().free += 1;
        self.moved.notify_all();
    }

    fn is_wanted(&self) -> bool {
        !self.line.lock().waiting.is_empty()
    }
}

thread_local! {
    /// The turns that this thread takes part in, if it is one of the pool's.
    static TURNS: RefCell<Option<Arc<Turns>>> = const { RefCell::new(None) };
    /// When this thread's turn was first looked at.
    static SINCE: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Called by long work now and then, with the monotonic time: lets others have the turn when it has lasted long enough.
pub(crate) fn breathe(now_ns: i64) {
    match SINCE.get() {
        None => SINCE.set(Some(now_ns)),
        Some(since) if now_ns.saturating_sub(since) < SLICE_NS => {}
        Some(_) => TURNS.with_borrow(|turns| {
            SINCE.set(None);
            if let Some(turns) = turns
                && turns.is_wanted()
            {
                turns.give();
                turns.take();
            }
        }),
    }
}

/// The threads.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    turns: usize,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts threads of which `turns` work at a time.
    pub(crate) fn start(turns: usize) -> std::io::Result<Self> {
        let turns = turns.max(1);
        let mut pool = Self { queue: Arc::default(), turns, threads: Vec::new() };
        let shared = Arc::new(Turns::new(turns));
        for i in 0..turns * THREADS_PER_TURN {
            let (queue, turns) = (Arc::clone(&pool.queue), Arc::clone(&shared));
            let body = move || {
                TURNS.set(Some(Arc::clone(&turns)));
                while let Some(work) = queue.next() {
                    turns.take();
                    SINCE.set(None);
                    work.run_one(&queue);
                    turns.give();
                }
            };
            pool.threads.push(std::thread::Builder::new().name(format!("query-{i}")).spawn(body)?);
        }
        Ok(pool)
    }

    /// How many units are worked on at a time.
    pub(crate) fn turns(&self) -> usize {
        self.turns
    }

    /// Hands work to the threads.
    pub(crate) fn offer(&self, work: Arc<dyn Work>) {
        self.queue.offer(work);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.state.lock().stopping = true;
        self.queue.arrived.notify_all();
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Countdown {
        left: AtomicUsize,
        done: Arc<AtomicUsize>,
    }

    impl Work for Countdown {
        fn run_one(self: Arc<Self>, pool: &Queue) {
            if self.left.fetch_sub(1, Ordering::SeqCst) > 1 {
                pool.offer(self.clone());
            }
            self.done.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_unit_is_done_and_a_stop_joins_the_threads() {
        let done = Arc::new(AtomicUsize::new(0));
        let pool = Pool::start(3).unwrap();
        for n in [1, 5, 20] {
            pool.offer(Arc::new(Countdown { left: AtomicUsize::new(n), done: Arc::clone(&done) }));
        }
        while done.load(Ordering::SeqCst) < 26 {
            std::thread::yield_now();
        }
        drop(pool);
        assert_eq!(done.load(Ordering::SeqCst), 26);
    }

    struct Long {
        clock: Arc<AtomicUsize>,
        until: Arc<AtomicUsize>,
    }

    impl Work for Long {
        fn run_one(self: Arc<Self>, _: &Queue) {
            while self.until.load(Ordering::SeqCst) > 0 {
                breathe(self.clock.fetch_add(1, Ordering::SeqCst) as i64 * SLICE_NS);
            }
        }
    }

    #[test]
    fn long_units_let_short_ones_have_their_turn() {
        let left = Arc::new(AtomicUsize::new(1));
        let pool = Pool::start(1).unwrap();
        for _ in 0..THREADS_PER_TURN - 1 {
            pool.offer(Arc::new(Long { clock: Arc::default(), until: Arc::clone(&left) }));
        }
        // Only this one ends the others, and there is one turn.
        struct Short(Arc<AtomicUsize>);
        impl Work for Short {
            fn run_one(self: Arc<Self>, _: &Queue) {
                self.0.store(0, Ordering::SeqCst);
            }
        }
        pool.offer(Arc::new(Short(Arc::clone(&left))));
        drop_when(|| left.load(Ordering::SeqCst) == 0, pool);
        assert_eq!(left.load(Ordering::SeqCst), 0);
    }

    fn drop_when(done: impl Fn() -> bool, pool: Pool) {
        while !done() {
            std::thread::yield_now();
        }
        drop(pool);
    }
}
