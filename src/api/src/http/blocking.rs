//! How does work get a thread? After waiting for a slot, which holds none; and it is told when the client has gone.
//!
//! Queries and lookups wait in the queues of the query engine, tenant by tenant. Operations (flush, deletes) and what belongs
//! to no tenant have slots of their own, so that none of them waits for queries.

use crate::http::failure::Failure;
use crate::state::AppState;
use std::sync::Arc;
use strandline_query::{CancelFlag, QueryError, Queue, Reader, Slot, Waiting};
use tokio::sync::Semaphore;

/// Cancels a query when the request's future is dropped, which is how a client that went away shows.
pub(crate) struct CancelOnDrop(CancelFlag);

impl CancelOnDrop {
    pub(crate) fn new(cancel: &CancelFlag) -> Self {
        Self(cancel.clone())
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs `work` on a blocking thread when it has a slot among the requests of all tenants.
pub(crate) async fn in_slot<T: Send + 'static>(
    state: &AppState,
    queue: Queue,
    reader: &Reader,
    work: impl FnOnce(Slot) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cancel = CancelFlag::default();
    let _guard = CancelOnDrop::new(&cancel);
    let slot = slot(state.query.queue(queue, reader, &cancel)?).await?;
    on_thread(move || work(slot)).await
}

/// Waits until there is a slot or the time is over.
pub(crate) async fn slot(waiting: Waiting) -> Result<Slot, Failure> {
    let mut waiting = match waiting.at_once() {
        Ok(slot) => return Ok(slot),
        Err(waiting) => waiting,
    };
    let left = waiting.deadline().left();
    match tokio::time::timeout(left, &mut waiting).await {
        Ok(slot) => Ok(slot),
        Err(_) => Err(waiting.given_up(QueryError::TimedOut).into()),
    }
}

/// Runs what belongs to no tenant, costs little and needs no credentials.
pub(crate) async fn read<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(CancelFlag) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    in_slot_of(&state.reading, work).await
}

/// Runs what changes the store or waits for it.
pub(crate) async fn operate<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(CancelFlag) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    in_slot_of(&state.operating, work).await
}

async fn in_slot_of<T: Send + 'static>(
    slots: &Arc<Semaphore>,
    work: impl FnOnce(CancelFlag) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| Failure::internal())?;
    let cancel = CancelFlag::default();
    let _guard = CancelOnDrop::new(&cancel);
    on_thread(move || {
        let result = work(cancel);
        // The thread is free only now, whether or not anybody still waits.
        drop(slot);
        result
    })
    .await
}

/// Runs `work` on a blocking thread. The caller has a slot for it.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!("a request ended by a panic");
            Err(Failure::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_request_cancels_its_query() {
        let cancel = CancelFlag::default();
        let guard = CancelOnDrop::new(&cancel);
        assert!(!cancel.is_cancelled());
        drop(guard);
        assert!(cancel.is_cancelled());
    }
}
