//! How does a query get its answer? It is read in a lookup's turn, joins those who ask the same or waits for a query's turn,
//! runs, and its answer is written: on one blocking thread if nobody is before it, and on none while it waits.

use crate::http::blocking::{self, CancelOnDrop};
use crate::http::failure::Failure;
use crate::state::Door;
use std::pin::Pin;
use std::sync::Arc;
use strandline_query::{
    CancelFlag, Deadline, Ended, FlightWait, Maker, QueryError, Queue, Reader, Shareable, Shared, Turn,
    Waiting,
};

/// What a query came to on the thread where it was read.
pub(crate) enum Step<T> {
    Done(T),
    /// It has to wait; the thread is needed by others.
    Later(Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>),
}

/// The turn in which a query is read.
pub(crate) struct Reading {
    state: Door,
    turn: Turn,
}

/// A query with what is made of its answer.
struct Ask<R, F> {
    state: Door,
    request: Arc<R>,
    deadline: Deadline,
    finish: F,
}

/// Runs `read` on a blocking thread, which ends with a call of [`Reading::run`].
pub(crate) async fn query<T: Send + 'static>(
    state: &Door,
    reader: &Reader,
    read: impl FnOnce(Reading) -> Result<Step<T>, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cancel = CancelFlag::default();
    // Until the end: what comes later is asked by the same client.
    let _guard = CancelOnDrop::new(&cancel);
    let turn = blocking::turn(state, state.query.queue(Queue::Lookup, reader, &cancel)?).await?;
    let reading = Reading { state: state.clone(), turn };
    match blocking::on_thread(move || read(reading)).await? {
        Step::Done(found) => Ok(found),
        Step::Later(rest) => rest.await,
    }
}

impl Reading {
    /// Runs the request, or lets another's run serve it. `finish` makes of the answer what the client gets.
    pub(crate) fn run<R, T, F>(self, request: R, finish: F) -> Result<Step<T>, Failure>
    where
        R: Shareable,
        T: Send + 'static,
        F: FnOnce(&R, Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let Self { state, turn } = self;
        let deadline = turn.deadline().clone();
        let ask = Ask { state, request: Arc::new(request), deadline, finish };
        match ask.request.board(&ask.state.query, &ask.deadline) {
            Shared::Make(maker) => match ask.waiting()?.at_once() {
                Ok(own) => {
                    drop(turn);
                    Ok(Step::Done(ask.make(maker, own)?))
                }
                Err(waiting) => Ok(Step::Later(Box::pin(ask.make_later(maker, waiting)))),
            },
            Shared::Wait(flight) => Ok(Step::Later(Box::pin(ask.join(flight)))),
        }
    }
}

impl<R, T, F> Ask<R, F>
where
    R: Shareable,
    T: Send + 'static,
    F: FnOnce(&R, Arc<R::Answer>, &Deadline) -> Result<T, Failure> + Send + 'static,
{
    fn waiting(&self) -> Result<Waiting, QueryError> {
        self.state.query.queue_again(Queue::Query, self.request.reader(), self.deadline.clone())
    }

    fn make(self, maker: Maker<R::Answer>, turn: Turn) -> Result<T, Failure> {
        let found = self.request.make(&self.state.query, maker, &turn)?;
        // Writing the answer is no part of the query: the next one may begin.
        drop(turn);
        (self.finish)(&self.request, found, &self.deadline)
    }

    async fn make_later(self, maker: Maker<R::Answer>, waiting: Waiting) -> Result<T, Failure> {
        let turn = blocking::turn(&self.state, waiting).await?;
        blocking::on_thread(move || self.make(maker, turn)).await
    }

    /// Waits for the answer of another one.
    async fn join(self, mut flight: FlightWait<R::Answer>) -> Result<T, Failure> {
        loop {
            let ended = tokio::time::timeout(self.deadline.left(), flight).await;
            match ended.map_err(|_| QueryError::TimedOut)? {
                Ended::Answer(found) => return self.finish_later(found).await,
                Ended::Failed => {
                    let turn = blocking::turn(&self.state, self.waiting()?).await?;
                    return blocking::on_thread(move || {
                        let found = self.request.make_alone(&self.state.query, &turn)?;
                        drop(turn);
                        (self.finish)(&self.request, found, &self.deadline)
                    })
                    .await;
                }
                Ended::Abandoned => match self.request.board(&self.state.query, &self.deadline) {
                    Shared::Wait(next) => flight = next,
                    Shared::Make(maker) => {
                        let waiting = self.waiting()?;
                        return self.make_later(maker, waiting).await;
                    }
                },
            }
        }
    }

    async fn finish_later(self, found: Arc<R::Answer>) -> Result<T, Failure> {
        let (engine, reader) = (&self.state.query, self.request.reader());
        let waiting = engine.queue_again(Queue::Lookup, reader, self.deadline.clone())?;
        let turn = blocking::turn(&self.state, waiting).await?;
        blocking::on_thread(move || {
            let finished = (self.finish)(&self.request, found, &self.deadline);
            drop(turn);
            finished
        })
        .await
    }
}
