//! Who does the work? A fixed number of threads that take turns between the queries at hand.
//!
//! A query is offered as a [`Work`]; a thread takes it, puts it back behind the others if there is more to do, and does
//! one unit of it. So a query over years does not keep one over minutes waiting for longer than a block takes.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

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

/// The threads.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts `threads` threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let mut pool = Self { queue: Arc::default(), threads: Vec::with_capacity(threads) };
        for i in 0..threads.max(1) {
            let queue = Arc::clone(&pool.queue);
            let body = move || {
                while let Some(work) = queue.next() {
                    work.run_one(&queue);
                }
            };
            pool.threads.push(std::thread::Builder::new().name(format!("query-{i}")).spawn(body)?);
        }
        Ok(pool)
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
}
