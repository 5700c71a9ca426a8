//! How does a query get its answer? It is read in a lookup's slot, joins those who ask the same or waits for a query's slot,
//! runs, and its answer is written: on one blocking thread if nobody is before it, and on none while it waits.

use crate::http::blocking::{self, CancelOnDrop};
use crate::http::failure::Failure;
use crate::state::AppState;
use std::pin::Pin;
use std::sync::Arc;
use strandline_query::{
    Before, CancelFlag, CountedWait, Deadline, Ended, Follower, HOLD_BACK, Leader, Parked, QueryError, Queue,
    Reader, Role, Shareable, Slot, Waiting,
};

/// At most this part of a query's time is spent on waiting for an equal one to end: the rest is for its own run.
const HOLD_BACK_PART: u32 = 4;

/// What a query came to on the thread where it was read.
pub(crate) enum Step<T> {
    Done(T),
    /// It has to wait; the thread is needed by others.
    Later(Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>),
}

/// The slot in which a query is read.
pub(crate) struct Reading {
    state: AppState,
    slot: Slot,
}

/// Whether what is made of an answer is done in the query's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// It costs little, like writing the answer: the next query may begin.
    Apart,
    /// It is as much work as the query.
    InSlot,
}

/// What is needed to run a query, beside itself, and what is made of its answer.
struct Ask<F> {
    state: AppState,
    reader: Reader,
    deadline: Deadline,
    kind: Finish,
    finish: F,
}

/// Runs `read` on a blocking thread, which ends with a call of [`Reading::run`].
pub(crate) async fn query<T: Send + 'static>(
    state: &AppState,
    reader: &Reader,
    read: impl FnOnce(Reading) -> Result<Step<T>, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cancel = CancelFlag::default();
    // Until the end: what comes later is asked by the same client.
    let _guard = CancelOnDrop::new(&cancel);
    let slot = blocking::slot(state.query.queue(Queue::Lookup, reader, &cancel)?).await?;
    let reading = Reading { state: state.clone(), slot };
    match blocking::on_thread(move || read(reading)).await? {
        Step::Done(found) => Ok(found),
        Step::Later(rest) => rest.await,
    }
}

impl Reading {
    /// The slot in which the query is read: its regular expressions take their memory from it.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Runs the request, or lets another's run serve it. `finish` makes of the answer what the client gets.
    pub(crate) fn run<R, T, F>(self, request: R, finish: F) -> Result<Step<T>, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        self.begin(request, Finish::Apart, finish)
    }

    /// As [`Self::run`] where `finish` is as much work as the query.
    pub(crate) fn run_and_work<R, T, F>(self, request: R, finish: F) -> Result<Step<T>, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        self.begin(request, Finish::InSlot, finish)
    }

    fn begin<R, T, F>(self, request: R, kind: Finish, finish: F) -> Result<Step<T>, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let Self { state, slot } = self;
        let (deadline, reader) = (slot.deadline().clone(), request.reader().clone());
        let ask = Ask { state, reader, deadline, kind, finish };
        let engine = &ask.state.query;
        match R::join(engine, request.key(), &ask.deadline) {
            Role::Lead(mut leader) => match leader.before() {
                Some(before) => {
                    let counted = engine.count_waiting(Queue::Query, &ask.reader)?;
                    let parked = request.park(engine)?;
                    Ok(Step::Later(Box::pin(ask.make_after(before, parked, leader, counted))))
                }
                None => match ask.waiting()?.at_once() {
                    Ok(own) => {
                        drop(slot);
                        Ok(Step::Done(ask.make(request, leader, own)?))
                    }
                    Err(waiting) => {
                        let parked = request.park(engine)?;
                        Ok(Step::Later(Box::pin(ask.make_later(parked, leader, waiting))))
                    }
                },
            },
            Role::Follow(call) => {
                let counted = engine.count_waiting(Queue::Query, &ask.reader)?;
                let parked = request.park(engine)?;
                Ok(Step::Later(Box::pin(ask.join(parked, call, counted))))
            }
        }
    }
}

impl<F> Ask<F> {
    fn waiting(&self) -> Result<Waiting, QueryError> {
        self.state.query.queue_again(Queue::Query, &self.reader, self.deadline.clone())
    }

    fn make<R, T>(self, request: R, leader: Leader<R::Answer>, slot: Slot) -> Result<T, Failure>
    where
        R: Shareable,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure>,
    {
        let found = request.make(&self.state.query, leader, &slot)?;
        drop(request);
        self.finished::<R, T>(found, slot)
    }

    /// Makes of the answer what the client gets.
    fn finished<R, T>(self, found: Arc<R::Answer>, slot: Slot) -> Result<T, Failure>
    where
        R: Shareable,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure>,
    {
        let slot = (self.kind == Finish::InSlot).then_some(slot);
        let finished = (self.finish)(found, &self.deadline);
        drop(slot);
        finished
    }

    async fn make_later<R, T>(
        self,
        parked: Parked<R>,
        leader: Leader<R::Answer>,
        waiting: Waiting,
    ) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let slot = blocking::slot(waiting).await?;
        blocking::on_thread(move || self.make(parked.compiled(&slot)?, leader, slot)).await
    }

    /// Makes the answer once an equal question's run has ended, counted as waiting until then.
    async fn make_after<R, T>(
        self,
        before: Before<R::Answer>,
        parked: Parked<R>,
        leader: Leader<R::Answer>,
        counted: CountedWait,
    ) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        // However it ends: what is waited for is time in which others can join.
        let most = HOLD_BACK.min(self.deadline.left() / HOLD_BACK_PART);
        let _ = tokio::time::timeout(most, before).await;
        drop(counted);
        let waiting = self.waiting()?;
        self.make_later(parked, leader, waiting).await
    }

    /// Waits for the answer of another one, counted as waiting.
    async fn join<R, T>(
        self,
        parked: Parked<R>,
        mut call: Follower<R::Answer>,
        counted: CountedWait,
    ) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let mut has_failed = false;
        loop {
            let ended = tokio::time::timeout(self.deadline.left(), call).await;
            let Ok(ended) = ended else {
                self.state.query.count_outcome(&QueryError::TimedOut);
                return Err(QueryError::TimedOut.into());
            };
            match ended {
                Ended::Answer(found) => {
                    R::count_shared(&found);
                    drop((parked, counted));
                    return self.finish_later::<R, T>(found).await;
                }
                Ended::Failed if has_failed => {
                    drop(counted);
                    return self.make_alone(parked).await;
                }
                // One of those who waited tries again, for all of them.
                Ended::Failed => has_failed = true,
                Ended::Abandoned => {}
            }
            match parked.join(&self.state.query, &self.deadline) {
                Role::Follow(next) => call = next,
                Role::Lead(mut leader) => {
                    if let Some(before) = leader.before() {
                        return self.make_after(before, parked, leader, counted).await;
                    }
                    drop(counted);
                    let waiting = self.waiting()?;
                    return self.make_later(parked, leader, waiting).await;
                }
            }
        }
    }

    async fn make_alone<R, T>(self, parked: Parked<R>) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let slot = blocking::slot(self.waiting()?).await?;
        blocking::on_thread(move || {
            let request = parked.compiled(&slot)?;
            let found = request.make_alone(&self.state.query, &slot)?;
            drop(request);
            self.finished::<R, T>(found, slot)
        })
        .await
    }

    async fn finish_later<R, T>(self, found: Arc<R::Answer>) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let waiting = self.state.query.queue_again(Queue::Lookup, &self.reader, self.deadline.clone())?;
        let slot = blocking::slot(waiting).await?;
        blocking::on_thread(move || {
            let finished = (self.finish)(found, &self.deadline);
            drop(slot);
            finished
        })
        .await
    }
}
