//! How does a read get a thread? After waiting for its turn; and it is told when the client has gone.

use crate::http::failure::Failure;
use crate::state::Door;
use std::sync::Arc;
use strandline_query::CancelFlag;

/// Cancels a query when the request's future is dropped, which is how a client that went away shows.
struct CancelOnDrop(CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs `work` on a blocking thread.
pub(crate) async fn read<T: Send + 'static>(
    state: &Door,
    work: impl FnOnce(CancelFlag) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let turn = Arc::clone(&state.reading).acquire_owned().await.map_err(|_| Failure::internal())?;
    let cancel = CancelFlag::default();
    let _guard = CancelOnDrop(cancel.clone());
    let task = tokio::task::spawn_blocking(move || {
        let result = work(cancel);
        // The thread is free only now, whether or not anybody still waits.
        drop(turn);
        result
    });
    match task.await {
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
        let guard = CancelOnDrop(cancel.clone());
        assert!(!cancel.is_cancelled());
        drop(guard);
        assert!(cancel.is_cancelled());
    }
}
