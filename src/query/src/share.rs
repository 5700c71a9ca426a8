//! Do others ask the same at this moment? Then one answer is made for all of them: a dashboard that many people look at,
//! or one person's impatient reloads.
//!
//! Whoever asks first makes the answer. Others join as long as it will hold every line that was acknowledged before they
//! asked: the answer is not begun yet, or nothing has been committed since. An error is nobody's but the first one's.

use crate::error::QueryError;
use crate::request::CancelFlag;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Whoever waits looks this often whether its own client still does.
const TICK: Duration = Duration::from_millis(50);

/// Answers in the making, by what was asked.
#[derive(Debug)]
pub(crate) struct Shared<A> {
    flights: Mutex<HashMap<String, Arc<Flight<A>>>>,
}

impl<A> Default for Shared<A> {
    fn default() -> Self {
        Self { flights: Mutex::default() }
    }
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Flight<A> {
    state: Mutex<State<A>>,
    ended: Condvar,
    /// Set when none of those who want the answer does any more.
    cancel: CancelFlag,
}

#[derive(Debug)]
struct State<A> {
    /// The store's commits when the answer was begun.
    begun_at: Option<u64>,
    outcome: Outcome<A>,
}

#[derive(Debug)]
enum Outcome<A> {
    Pending,
    Answer(Arc<A>),
    Failed,
}

impl<A> Flight<A> {
    /// Says that the answer is begun: it holds what was committed by now.
    pub(crate) fn begin(&self, commits: u64) {
        self.state.lock().begun_at = Some(commits);
    }

    /// Set when none of those who want the answer does any more.
    pub(crate) fn cancel(&self) -> &CancelFlag {
        &self.cancel
    }

    fn end(&self, outcome: Outcome<A>) {
        self.state.lock().outcome = outcome;
        self.ended.notify_all();
    }

    /// The answer, or nothing if it failed or `cancel` is set.
    fn wait(&self, cancel: &CancelFlag) -> Option<Arc<A>> {
        let mut state = self.state.lock();
        loop {
            match &state.outcome {
                Outcome::Answer(answer) => return Some(Arc::clone(answer)),
                Outcome::Failed => return None,
                Outcome::Pending if cancel.is_cancelled() => return None,
                Outcome::Pending => {}
            }
            self.ended.wait_for(&mut state, TICK);
        }
    }
}

/// Takes a flight off the list and tells those who wait that it failed, should its maker end without a word.
struct Landing<'a, A> {
    shared: &'a Shared<A>,
    key: &'a str,
    flight: &'a Arc<Flight<A>>,
}

impl<A> Drop for Landing<'_, A> {
    fn drop(&mut self) {
        let mut flights = self.shared.flights.lock();
        if flights.get(self.key).is_some_and(|listed| Arc::ptr_eq(listed, self.flight)) {
            flights.remove(self.key);
        }
        drop(flights);
        let mut state = self.flight.state.lock();
        if matches!(state.outcome, Outcome::Pending) {
            state.outcome = Outcome::Failed;
        }
        self.flight.ended.notify_all();
    }
}

impl<A> Shared<A> {
    /// The answer to what `key` names: another's, if one is in the making that serves, or the one that `make` makes.
    pub(crate) fn answer(
        &self,
        key: &str,
        cancel: &CancelFlag,
        commits: impl Fn() -> u64,
        make: impl FnOnce(&Flight<A>) -> Result<A, QueryError>,
    ) -> Result<Arc<A>, QueryError> {
        let (flight, is_first) = self.board(key, cancel, commits());
        if !is_first {
            if let Some(answer) = flight.wait(cancel) {
                metrics::counter!("strandline_queries_shared_total").increment(1);
                return Ok(answer);
            }
            if cancel.is_cancelled() {
                return Err(QueryError::Cancelled);
            }
            // Whatever kept the other's answer from being made may not keep ours; but nobody else is to wait for it.
            let own = Flight::new(cancel);
            return make(&own).map(Arc::new);
        }
        let _landing = Landing { shared: self, key, flight: &flight };
        let answer = make(&flight).map(Arc::new)?;
        flight.end(Outcome::Answer(Arc::clone(&answer)));
        Ok(answer)
    }

    /// A flight that serves, and whether the caller is the one to make the answer.
    fn board(&self, key: &str, cancel: &CancelFlag, commits: u64) -> (Arc<Flight<A>>, bool) {
        let mut flights = self.flights.lock();
        match flights.entry_ref(key) {
            EntryRef::Occupied(mut listed) => {
                let begun_at = listed.get().state.lock().begun_at;
                if begun_at.is_none_or(|begun| begun == commits) && listed.get().cancel.join(cancel) {
                    return (Arc::clone(listed.get()), false);
                }
                let own = Arc::new(Flight::new(cancel));
                *listed.get_mut() = Arc::clone(&own);
                (own, true)
            }
            EntryRef::Vacant(place) => {
                let own = Arc::new(Flight::new(cancel));
                place.insert(Arc::clone(&own));
                (own, true)
            }
        }
    }
}

impl<A> Flight<A> {
    fn new(cancel: &CancelFlag) -> Self {
        let state = State { begun_at: None, outcome: Outcome::Pending };
        Self { state: Mutex::new(state), ended: Condvar::new(), cancel: CancelFlag::of_all(cancel) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    /// Asks `n` times at once while the first answer is being made, and says how many were made.
    fn made(commits_between: u64, begun: bool) -> usize {
        let (shared, made, commits) = (Shared::<usize>::default(), AtomicUsize::new(0), AtomicU64::new(7));
        let ask = |gate: &dyn Fn()| {
            let make = |flight: &Flight<usize>| {
                if begun {
                    flight.begin(commits.load(Ordering::SeqCst));
                }
                gate();
                Ok(made.fetch_add(1, Ordering::SeqCst))
            };
            shared.answer("k", &CancelFlag::default(), || commits.load(Ordering::SeqCst), make).unwrap()
        };
        let waiting = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                ask(&|| {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    // Until the others have had the time to join.
                    while waiting.load(Ordering::SeqCst) < 4 {
                        std::thread::yield_now();
                    }
                    std::thread::sleep(Duration::from_millis(50));
                })
            });
            while waiting.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            commits.fetch_add(commits_between, Ordering::SeqCst);
            for _ in 0..3 {
                threads.spawn(|| {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    ask(&|| ())
                });
            }
        });
        assert!(shared.flights.lock().is_empty());
        made.load(Ordering::SeqCst)
    }

    #[test]
    fn one_answer_serves_all_who_may_see_no_more_than_it_holds() {
        assert_eq!(made(0, true), 1);
        assert_eq!(made(5, false), 1);
        assert!(made(1, true) > 1);
    }

    #[test]
    fn a_failure_is_not_shared_and_work_ends_when_nobody_wants_it() {
        let shared = Shared::<u8>::default();
        let (first, second) = (CancelFlag::default(), CancelFlag::default());
        let result = shared.answer(
            "k",
            &first,
            || 0,
            |flight| {
                let (same, is_first) = shared.board("k", &second, 0);
                assert!(!is_first && same.cancel().join(&second));
                first.cancel();
                assert!(!flight.cancel().is_cancelled());
                second.cancel();
                assert!(flight.cancel().is_cancelled());
                // Nobody can join what is given up.
                assert!(shared.board("k", &CancelFlag::default(), 0).1);
                Err(QueryError::Cancelled)
            },
        );
        assert!(matches!(result, Err(QueryError::Cancelled)));
        assert_eq!(*shared.answer("other", &CancelFlag::default(), || 0, |_| Ok(3)).unwrap(), 3);
    }
}
