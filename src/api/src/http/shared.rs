//! How does a query get its answer? It is read in a lookup's turn, joins those who ask the same or waits for a query's turn,
//! runs, and its answer is written: on one blocking thread if nobody is before it, and on none while it waits.

use crate::http::blocking::{self, CancelOnDrop};
use crate::http::failure::Failure;
use crate::state::AppState;
use std::pin::Pin;
use std::sync::Arc;
use strandline_query::{
    Beside, CancelFlag, Deadline, Ended, FlightWait, Maker, Parked, QueryError, Queue, Reader, Shareable,
    Shared, Turn, Waiting,
};

/// What a query came to on the thread where it was read.
pub(crate) enum Step<T> {
    Done(T),
    /// It has to wait; the thread is needed by others.
    Later(Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>),
}

/// The turn in which a query is read.
pub(crate) struct Reading {
    state: AppState,
    turn: Turn,
}

/// Whether what is made of an answer belongs to the query's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// It costs little, like writing the answer: the next query may begin.
    Apart,
    /// It is as much work as the query.
    InTurn,
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
    let turn = blocking::turn(state.query.queue(Queue::Lookup, reader, &cancel)?).await?;
    let reading = Reading { state: state.clone(), turn };
    match blocking::on_thread(move || read(reading)).await? {
        Step::Done(found) => Ok(found),
        Step::Later(rest) => rest.await,
    }
}

impl Reading {
    /// The turn in which the query is read: its regular expressions take their memory from it.
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
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
        self.begin(request, Finish::InTurn, finish)
    }

    fn begin<R, T, F>(self, request: R, kind: Finish, finish: F) -> Result<Step<T>, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let Self { state, turn } = self;
        let (deadline, reader) = (turn.deadline().clone(), request.reader().clone());
        let ask = Ask { state, reader, deadline, kind, finish };
        let engine = &ask.state.query;
        match R::board(engine, request.key(), &ask.deadline) {
            Shared::Make(maker) => match ask.waiting()?.at_once() {
                Ok(own) => {
                    drop(turn);
                    Ok(Step::Done(ask.make(request, maker, own)?))
                }
                Err(waiting) => {
                    let parked = request.park(engine)?;
                    Ok(Step::Later(Box::pin(ask.make_later(parked, maker, waiting))))
                }
            },
            Shared::Wait(flight) => {
                let place = engine.wait_beside(Queue::Query, &ask.reader)?;
                let parked = request.park(engine)?;
                Ok(Step::Later(Box::pin(ask.join(parked, flight, place))))
            }
        }
    }
}

impl<F> Ask<F> {
    fn waiting(&self) -> Result<Waiting, QueryError> {
        self.state.query.queue_again(Queue::Query, &self.reader, self.deadline.clone())
    }

    fn make<R, T>(self, request: R, maker: Maker<R::Answer>, turn: Turn) -> Result<T, Failure>
    where
        R: Shareable,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure>,
    {
        let found = request.make(&self.state.query, maker, &turn)?;
        drop(request);
        self.finished::<R, T>(found, turn)
    }

    /// Makes of the answer what the client gets.
    fn finished<R, T>(self, found: Arc<R::Answer>, turn: Turn) -> Result<T, Failure>
    where
        R: Shareable,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure>,
    {
        let turn = (self.kind == Finish::InTurn).then_some(turn);
        let finished = (self.finish)(found, &self.deadline);
        drop(turn);
        finished
    }

    async fn make_later<R, T>(
        self,
        parked: Parked<R>,
        maker: Maker<R::Answer>,
        waiting: Waiting,
    ) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let turn = blocking::turn(waiting).await?;
        blocking::on_thread(move || self.make(parked.compiled(&turn)?, maker, turn)).await
    }

    /// Waits for the answer of another one, at a `place` beside the queue.
    async fn join<R, T>(
        self,
        parked: Parked<R>,
        mut flight: FlightWait<R::Answer>,
        place: Beside,
    ) -> Result<T, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let mut has_failed = false;
        loop {
            let ended = tokio::time::timeout(self.deadline.left(), flight).await;
            let Ok(ended) = ended else {
                self.state.query.count_outcome(&QueryError::TimedOut);
                return Err(QueryError::TimedOut.into());
            };
            match ended {
                Ended::Answer(found) => {
                    R::count_shared(&found);
                    drop((parked, place));
                    return self.finish_later::<R, T>(found).await;
                }
                Ended::Failed if has_failed => {
                    drop(place);
                    return self.make_alone(parked).await;
                }
                // One of those who waited tries again, for all of them.
                Ended::Failed => has_failed = true,
                Ended::Abandoned => {}
            }
            match parked.board(&self.state.query, &self.deadline) {
                Shared::Wait(next) => flight = next,
                Shared::Make(maker) => {
                    drop(place);
                    let waiting = self.waiting()?;
                    return self.make_later(parked, maker, waiting).await;
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
        let turn = blocking::turn(self.waiting()?).await?;
        blocking::on_thread(move || {
            let request = parked.compiled(&turn)?;
            let found = request.make_alone(&self.state.query, &turn)?;
            drop(request);
            self.finished::<R, T>(found, turn)
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
        let turn = blocking::turn(waiting).await?;
        blocking::on_thread(move || {
            let finished = (self.finish)(found, &self.deadline);
            drop(turn);
            finished
        })
        .await
    }
}
