//! Do others ask the same at this moment? Then one answer is made for all of them: a dashboard that many people look at,
//! or one person's impatient reloads.
//!
//! Whoever asks first makes the answer (the leader). Others join (as followers) as long as it will hold every line that was
//! acknowledged before they asked: the answer is not begun yet, or nothing has been committed since. Under ingest something
//! always has been. So the next leader does not begin at once, but when the answer before its own has ended, or after
//! [`HOLD_BACK`]: whoever asks meanwhile joins it, and equal questions cost one run at a time however many ask them.
//!
//! An error is nobody's but the leader's. Who waits does so as a future, without a thread.

use crate::cancel::CancelFlag;
use crate::deadline::Deadline;
use crate::error::QueryError;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Longest that a leader waits for the end of an equal question's run before it begins its own. A run that takes longer
/// than this would else cost the next client its own time limit.
pub const HOLD_BACK: Duration = Duration::from_secs(1);

/// Answers in the making, by what was asked. Clones are the same list.
#[derive(Debug)]
pub(crate) struct Singleflight<A>(Arc<Mutex<HashMap<String, Arc<Call<A>>>>>);

impl<A> Default for Singleflight<A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<A> Clone for Singleflight<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Who makes the answer?
#[derive(Debug)]
pub enum Role<A> {
    /// The caller.
    Lead(Leader<A>),
    /// Another one, who asked the same.
    Follow(Follower<A>),
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
pub struct Follower<A>(Arc<Call<A>>);

/// The duty to make an answer. Dropped without a call of [`Self::make`], it tells those who wait that nobody does.
#[derive(Debug)]
pub struct Leader<A> {
    calls: Singleflight<A>,
    key: String,
    call: Arc<Call<A>>,
    /// The answer that was in the making when this one was asked for, and does not serve.
    before: Option<Before<A>>,
}

/// Resolves when the answer before a leader's own has ended, however it did. Has no timer: see [`HOLD_BACK`].
#[derive(Debug)]
pub struct Before<A>(Arc<Call<A>>);

/// An answer in the making.
#[derive(Debug)]
struct Call<A> {
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

impl<A> Call<A> {
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

impl<A> Call<A> {
    /// Whether it has ended; if not, `context` is told when it does.
    fn has_ended(&self, context: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        let is_pending = matches!(state.outcome, Outcome::Pending);
        if is_pending && !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        !is_pending
    }
}

impl<A> Future for Before<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.has_ended(context) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<A> Future for Follower<A> {
    type Output = Ended<A>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<A>> {
        if !self.0.has_ended(context) {
            return Poll::Pending;
        }
        Poll::Ready(match &self.0.state.lock().outcome {
            Outcome::Answer(answer) => {
                metrics::counter!("strandline_queries_shared_total").increment(1);
                Ended::Answer(Arc::clone(answer))
            }
            Outcome::Failed => Ended::Failed,
            Outcome::Abandoned => Ended::Abandoned,
            // It has ended, and stays so.
            Outcome::Pending => return Poll::Pending,
        })
    }
}

impl<A> Leader<A> {
    /// What to wait for, at most [`HOLD_BACK`], before the answer is begun: others may join in the meantime.
    pub fn before(&mut self) -> Option<Before<A>> {
        self.before.take()
    }

    /// Makes the answer by `make`, which gets a deadline that holds for all who want it, and says when it begins, with the
    /// store's commits at that moment.
    pub(crate) fn make(
        self,
        deadline: &Deadline,
        make: impl FnOnce(&Deadline, &dyn Fn(u64)) -> Result<A, QueryError>,
    ) -> Result<Arc<A>, QueryError> {
        let deadline = Deadline { cancel: self.call.cancel.clone(), ..deadline.clone() };
        let begun = |commits| self.call.state.lock().begun_at = Some(commits);
        match make(&deadline, &begun) {
            Ok(answer) => {
                let answer = Arc::new(answer);
                self.call.end(Outcome::Answer(Arc::clone(&answer)));
                Ok(answer)
            }
            Err(error) => {
                self.call.end(Outcome::Failed);
                Err(error)
            }
        }
    }
}

impl<A> Drop for Leader<A> {
    /// Takes the call off the list, and tells those who wait, should it end without a word.
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock();
        if calls.get(&self.key).is_some_and(|listed| Arc::ptr_eq(listed, &self.call)) {
            calls.remove(&self.key);
        }
        drop(calls);
        let begun = self.call.state.lock().begun_at.is_some();
        self.call.end(if begun { Outcome::Failed } else { Outcome::Abandoned });
    }
}

impl<A> Singleflight<A> {
    /// Those who make or wait for answers.
    pub(crate) fn sharing(&self) -> usize {
        self.0.lock().values().map(|call| call.cancel.members()).sum()
    }

    /// Joins the answer in the making to what `key` names, if one serves; else the caller is to make it.
    pub(crate) fn join(&self, key: String, cancel: &CancelFlag, commits: u64) -> Role<A> {
        let mut calls = self.0.lock();
        let mut before = None;
        let call = match calls.entry_ref(key.as_str()) {
            EntryRef::Occupied(mut listed) => {
                let begun_at = listed.get().state.lock().begun_at;
                if begun_at.is_none_or(|begun| begun == commits) && listed.get().cancel.join(cancel) {
                    return Role::Follow(Follower(Arc::clone(listed.get())));
                }
                let own = Arc::new(Call::new(cancel));
                before = Some(Before(std::mem::replace(listed.get_mut(), Arc::clone(&own))));
                own
            }
            EntryRef::Vacant(entry) => {
                let own = Arc::new(Call::new(cancel));
                entry.insert(Arc::clone(&own));
                own
            }
        };
        drop(calls);
        Role::Lead(Leader { calls: self.clone(), key, call, before })
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

    fn leader(role: Role<u8>) -> Leader<u8> {
        match role {
            Role::Lead(leader) => leader,
            Role::Follow(_) => panic!("joined"),
        }
    }

    fn follower(role: Role<u8>) -> Follower<u8> {
        match role {
            Role::Follow(wait) => wait,
            Role::Lead(_) => panic!("to be made"),
        }
    }

    fn ended(wait: &mut Follower<u8>) -> Option<Ended<u8>> {
        match pin!(wait).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_answer_serves_all_who_may_see_no_more_than_it_holds() {
        let (calls, want) = (Singleflight::<u8>::default(), CancelFlag::default());
        let join = |commits| calls.join("k".to_owned(), &want, commits);
        let first = leader(join(7));
        // Not begun yet: it will hold what was committed meanwhile.
        let mut joined = [follower(join(7)), follower(join(12))];
        assert!(joined.iter_mut().all(|wait| ended(wait).is_none()));
        let answer = first.make(&deadline(), |_, begun| {
            begun(12);
            let mut late = follower(join(12));
            assert!(ended(&mut late).is_none());
            // Something was committed since it was begun.
            drop(leader(join(13)));
            Ok(5)
        });
        assert_eq!(*answer.unwrap(), 5);
        for wait in &mut joined {
            assert!(matches!(ended(wait), Some(Ended::Answer(answer)) if *answer == 5));
        }
        assert!(calls.0.lock().is_empty());
    }

    #[test]
    fn who_cannot_join_waits_for_the_run_to_end_and_is_joined_itself() {
        let (calls, want) = (Singleflight::<u8>::default(), CancelFlag::default());
        let join = |commits| calls.join("k".to_owned(), &want, commits);
        let mut first = leader(join(1));
        assert!(first.before().is_none());
        let ready =
            |before: &mut Before<u8>| pin!(before).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let (mut second, mut before) = (None, None);
        let answer = first.make(&deadline(), |_, begun| {
            begun(1);
            // Under ingest each of them comes after another commit.
            let mut own = leader(join(2));
            before = own.before();
            assert!(before.as_mut().is_some_and(|before| !ready(before)), "it is under way");
            let mut third = follower(join(3));
            assert!(ended(&mut third).is_none());
            second = Some((own, third));
            Ok(1)
        });
        assert_eq!(*answer.unwrap(), 1);
        assert!(before.as_mut().is_some_and(ready), "it has ended");
        let (own, mut third) = second.unwrap();
        let answer = own.make(&deadline(), |_, begun| {
            begun(3);
            Ok(2)
        });
        assert_eq!(*answer.unwrap(), 2);
        assert!(matches!(ended(&mut third), Some(Ended::Answer(answer)) if *answer == 2));
        assert!(calls.0.lock().is_empty());
    }

    #[test]
    fn a_failure_is_not_shared_and_work_ends_when_nobody_wants_it() {
        let calls = Singleflight::<u8>::default();
        let (first, second) = (CancelFlag::default(), CancelFlag::default());
        let own = leader(calls.join("k".to_owned(), &first, 0));
        let mut joined = follower(calls.join("k".to_owned(), &second, 0));
        let result = own.make(&deadline(), |deadline, _| {
            first.cancel();
            assert!(!deadline.cancel.is_cancelled());
            second.cancel();
            assert!(deadline.cancel.is_cancelled());
            // Nobody can join what is given up.
            drop(leader(calls.join("k".to_owned(), &CancelFlag::default(), 0)));
            Err(QueryError::Cancelled)
        });
        assert!(matches!(result, Err(QueryError::Cancelled)));
        assert!(matches!(ended(&mut joined), Some(Ended::Failed)));
        assert!(calls.0.lock().is_empty());
    }

    #[test]
    fn who_joined_is_told_when_the_first_one_goes_before_it_begins() {
        let (calls, want) = (Singleflight::<u8>::default(), CancelFlag::default());
        let first = leader(calls.join("k".to_owned(), &want, 0));
        let mut joined = follower(calls.join("k".to_owned(), &want, 0));
        drop(first);
        assert!(matches!(ended(&mut joined), Some(Ended::Abandoned)));
        assert!(calls.0.lock().is_empty());
    }
}
