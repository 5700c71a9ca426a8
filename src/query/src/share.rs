//! Do others ask the same at this moment? Then one answer is made for all of them: a dashboard that many people look at,
//! or one person's impatient reloads.
//!
//! Whoever asks first makes the answer. Others join as long as it will hold every line that was acknowledged before they
//! asked: the answer is not begun yet, or nothing has been committed since. An error is nobody's but the first one's. Who
//! joined waits as a future, without a thread.

use crate::error::QueryError;
use crate::request::CancelFlag;
use crate::turn::Deadline;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Answers in the making, by what was asked. Clones are the same list.
#[derive(Debug)]
pub(crate) struct Flights<A>(Arc<Mutex<HashMap<String, Arc<Flight<A>>>>>);

impl<A> Default for Flights<A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<A> Clone for Flights<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Who makes the answer?
#[derive(Debug)]
pub enum Shared<A> {
    /// The caller.
    Make(Maker<A>),
    /// Another one, who asked the same.
    Wait(FlightWait<A>),
}

/// How the answer of another one came out.
#[derive(Debug)]
pub enum Ended<A> {
    /// Here it is.
    Answer(Arc<A>),
    /// It failed; what kept it from being made may not keep another attempt.
    Failed,
    /// It was not begun: its client has gone.
    Abandoned,
}

/// Waits for the answer of another one. Has no timer.
#[derive(Debug)]
pub struct FlightWait<A>(Arc<Flight<A>>);

/// The duty to make an answer. Dropped without a call of [`Self::make`], it tells those who wait that nobody does.
#[derive(Debug)]
pub struct Maker<A> {
    flights: Flights<A>,
    key: String,
    flight: Arc<Flight<A>>,
}

/// An answer in the making.
#[derive(Debug)]
struct Flight<A> {
    state: Mutex<State<A>>,
    /// Set when none of those who want the answer does any more.
    cancel: CancelFlag,
}

#[derive(Debug)]
struct State<A> {
    /// The store's commits when the answer was begun.
    begun_at: Option<u64>,
    outcome: Outcome<A>,
    waiting: Vec<Waker>,
}

#[derive(Debug)]
enum Outcome<A> {
    Pending,
    Answer(Arc<A>),
    Failed,
    Abandoned,
}

impl<A> Flight<A> {
    fn new(cancel: &CancelFlag) -> Self {
        let state = State { begun_at: None, outcome: Outcome::Pending, waiting: Vec::new() };
        Self { state: Mutex::new(state), cancel: CancelFlag::of_all(cancel) }
    }

    /// Ends it, unless it has ended.
    fn end(&self, outcome: Outcome<A>) {
        let mut state = self.state.lock();
        if matches!(state.outcome, Outcome::Pending) {
            state.outcome = outcome;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<A> Future for FlightWait<A> {
    type Output = Ended<A>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<A>> {
        let mut state = self.0.state.lock();
        Poll::Ready(match &state.outcome {
            Outcome::Answer(answer) => {
                metrics::counter!("strandline_queries_shared_total").increment(1);
                Ended::Answer(Arc::clone(answer))
            }
            Outcome::Failed => Ended::Failed,
            Outcome::Abandoned => Ended::Abandoned,
            Outcome::Pending => {
                if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.waiting.push(context.waker().clone());
                }
                return Poll::Pending;
            }
        })
    }
}

impl<A> Maker<A> {
    /// Makes the answer by `make`, which gets a deadline that holds for all who want it, and says when it begins, with the
    /// store's commits at that moment.
    pub(crate) fn make(
        self,
        deadline: &Deadline,
        make: impl FnOnce(&Deadline, &dyn Fn(u64)) -> Result<A, QueryError>,
    ) -> Result<Arc<A>, QueryError> {
        let deadline = Deadline { cancel: self.flight.cancel.clone(), ..deadline.clone() };
        let begun = |commits| self.flight.state.lock().begun_at = Some(commits);
        match make(&deadline, &begun) {
            Ok(answer) => {
                let answer = Arc::new(answer);
                self.flight.end(Outcome::Answer(Arc::clone(&answer)));
                Ok(answer)
            }
            Err(error) => {
                self.flight.end(Outcome::Failed);
                Err(error)
            }
        }
    }
}

impl<A> Drop for Maker<A> {
    /// Takes the flight off the list, and tells those who wait, should it end without a word.
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        if flights.get(&self.key).is_some_and(|listed| Arc::ptr_eq(listed, &self.flight)) {
            flights.remove(&self.key);
        }
        drop(flights);
        let begun = self.flight.state.lock().begun_at.is_some();
        self.flight.end(if begun { Outcome::Failed } else { Outcome::Abandoned });
    }
}

impl<A> Flights<A> {
    /// Those who make or wait for answers.
    pub(crate) fn sharing(&self) -> usize {
        self.0.lock().values().map(|flight| flight.cancel.members()).sum()
    }

    /// Joins the answer in the making to what `key` names, if one serves; else the caller is to make it.
    pub(crate) fn board(&self, key: String, cancel: &CancelFlag, commits: u64) -> Shared<A> {
        let mut flights = self.0.lock();
        let flight = match flights.entry_ref(key.as_str()) {
            EntryRef::Occupied(mut listed) => {
                let begun_at = listed.get().state.lock().begun_at;
                if begun_at.is_none_or(|begun| begun == commits) && listed.get().cancel.join(cancel) {
                    return Shared::Wait(FlightWait(Arc::clone(listed.get())));
                }
                let own = Arc::new(Flight::new(cancel));
                *listed.get_mut() = Arc::clone(&own);
                own
            }
            EntryRef::Vacant(place) => {
                let own = Arc::new(Flight::new(cancel));
                place.insert(Arc::clone(&own));
                own
            }
        };
        drop(flights);
        Shared::Make(Maker { flights: self.clone(), key, flight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use strandline_model::ManualClock;

    fn deadline() -> Deadline {
        Deadline { clock: Arc::new(ManualClock::default()), at_ns: i64::MAX, cancel: CancelFlag::default() }
    }

    fn maker(boarded: Shared<u8>) -> Maker<u8> {
        match boarded {
            Shared::Make(maker) => maker,
            Shared::Wait(_) => panic!("joined"),
        }
    }

    fn wait(boarded: Shared<u8>) -> FlightWait<u8> {
        match boarded {
            Shared::Wait(wait) => wait,
            Shared::Make(_) => panic!("to be made"),
        }
    }

    fn ended(wait: &mut FlightWait<u8>) -> Option<Ended<u8>> {
        match pin!(wait).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_answer_serves_all_who_may_see_no_more_than_it_holds() {
        let (flights, want) = (Flights::<u8>::default(), CancelFlag::default());
        let board = |commits| flights.board("k".to_owned(), &want, commits);
        let first = maker(board(7));
        // Not begun yet: it will hold what was committed meanwhile.
        let mut joined = [wait(board(7)), wait(board(12))];
        assert!(joined.iter_mut().all(|wait| ended(wait).is_none()));
        let answer = first.make(&deadline(), |_, begun| {
            begun(12);
            let mut late = wait(board(12));
            assert!(ended(&mut late).is_none());
            // Something was committed since it was begun.
            drop(maker(board(13)));
            Ok(5)
        });
        assert_eq!(*answer.unwrap(), 5);
        for wait in &mut joined {
            assert!(matches!(ended(wait), Some(Ended::Answer(answer)) if *answer == 5));
        }
        assert!(flights.0.lock().is_empty());
    }

    #[test]
    fn a_failure_is_not_shared_and_work_ends_when_nobody_wants_it() {
        let flights = Flights::<u8>::default();
        let (first, second) = (CancelFlag::default(), CancelFlag::default());
        let own = maker(flights.board("k".to_owned(), &first, 0));
        let mut joined = wait(flights.board("k".to_owned(), &second, 0));
        let result = own.make(&deadline(), |deadline, _| {
            first.cancel();
            assert!(!deadline.cancel.is_cancelled());
            second.cancel();
            assert!(deadline.cancel.is_cancelled());
            // Nobody can join what is given up.
            drop(maker(flights.board("k".to_owned(), &CancelFlag::default(), 0)));
            Err(QueryError::Cancelled)
        });
        assert!(matches!(result, Err(QueryError::Cancelled)));
        assert!(matches!(ended(&mut joined), Some(Ended::Failed)));
        assert!(flights.0.lock().is_empty());
    }

    #[test]
    fn who_joined_is_told_when_the_first_one_goes_before_it_begins() {
        let (flights, want) = (Flights::<u8>::default(), CancelFlag::default());
        let first = maker(flights.board("k".to_owned(), &want, 0));
        let mut joined = wait(flights.board("k".to_owned(), &want, 0));
        drop(first);
        assert!(matches!(ended(&mut joined), Some(Ended::Abandoned)));
        assert!(flights.0.lock().is_empty());
    }
}
