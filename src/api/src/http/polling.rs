//! Which futures run on the runtime's own threads? Those of connections and tails; they are marked while they are polled
//! ([`strandline_model::polling`]), so that a debug build finds CPU work among them.

use hyper::rt::Executor;
use std::future::poll_fn;
use std::pin::pin;
use strandline_model::polling;

/// Polls `future` with the mark set.
pub(crate) async fn marked<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _mark = polling::mark();
        future.as_mut().poll(context)
    })
    .await
}

/// Spawns the tasks of HTTP/2 streams, marked.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkedTasks;

impl<F> Executor<F> for MarkedTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(marked(future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn work() {
        tokio::task::spawn_blocking(|| polling::assert_none("a test")).await.unwrap();
        polling::assert_none("a test");
    }

    #[test]
    fn work_is_found_in_marked_futures_only() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = |marked: bool| {
            let task = async move {
                match marked {
                    true => super::marked(work()).await,
                    false => work().await,
                }
            };
            runtime.block_on(async { tokio::spawn(task).await }).is_ok()
        };
        assert_eq!((outcome(false), outcome(true)), (true, false));
    }
}
