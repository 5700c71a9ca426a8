//! Is the server well, and what does it count?

use crate::access::{MetricsAccess, OperatorAccess};
use crate::http::answer::Answer;
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::respond;
use crate::state::AppState;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::MemoryClass;
use tokio::sync::{Semaphore, oneshot};

/// The Loki that clients may take this server for: some compare version numbers.
pub(crate) const LOKI_VERSION: &str = "3.5.0";

/// `GET /ready`: whether requests are taken. `?verbose` says more.
pub(crate) async fn ready(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    if state.stopping.load(Ordering::Relaxed) {
        return respond::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let mut text = "ready\n".to_owned();
    if query.is_some_and(|q| q.contains("verbose")) {
        match state.query.read_only() {
            Some(reason) => text.push_str(&format!("read-only: {reason}\n")),
            None => text.push_str("writes are taken\n"),
        }
        state.query.store_troubles().iter().for_each(|trouble| text.push_str(&format!("{trouble}\n")));
    }
    respond::text(StatusCode::OK, text)
}

/// `GET /health`: whether the process answers at all.
pub(crate) async fn health() -> Response {
    respond::text(StatusCode::OK, "ok\n".to_owned())
}

/// `GET /metrics`: Prometheus' text format.
pub(crate) async fn metrics(State(state): State<AppState>, _: MetricsAccess) -> Result<Response, Failure> {
    let read_only = f64::from(u8::from(state.query.read_only().is_some()));
    metrics::gauge!("strandline_read_only").set(read_only);
    metrics::gauge!("strandline_active_streams").set(state.admission.active_streams() as f64);
    let mut pushes = 0;
    for usage in state.config.memory.usage() {
        let class = usage.class.name();
        metrics::gauge!("strandline_memory_used_bytes", "class" => class).set(usage.used as f64);
        metrics::gauge!("strandline_memory_peak_bytes", "class" => class).set(usage.peak as f64);
        metrics::gauge!("strandline_memory_waiting", "class" => class).set(usage.waiting as f64);
        metrics::counter!("strandline_memory_refused_total", "class" => class).absolute(usage.refused);
        if matches!(usage.class, MemoryClass::Ingest | MemoryClass::Decode) {
            pushes += usage.used;
        }
    }
    metrics::gauge!("strandline_push_inflight_bytes").set(pushes as f64);
    let content_type = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, rendered(&state).await?).into_response())
}

/// The metrics as text. Thousands of series take their time.
async fn rendered(state: &AppState) -> Result<String, Failure> {
    let prometheus = state.prometheus.clone();
    on_own_thread(&state.scrapes, move || prometheus.render()).await
}

/// Does `work` on a thread of its own when one of the `slots` is free: the runtime's blocking threads may all be taken when
/// somebody wants to know why. The slot is the thread's until it is done, whether or not the client still waits.
async fn on_own_thread<T: Send + 'static>(
    slots: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| Failure::internal())?;
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    thread
        .spawn(move || {
            let done = work();
            drop(slot);
            // Nobody listens when the client has gone.
            let _ = tell.send(done);
        })
        .map_err(Failure::busy)?;
    told.await.map_err(|_| Failure::internal())
}

/// `POST /flush`: writes what is in memory to segments, and answers when it is done.
pub(crate) async fn flush(State(state): State<AppState>, _: OperatorAccess) -> Result<Response, Failure> {
    let submitter = state.admission.submitter().clone();
    let failed = |error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error);
    blocking::operate(&state, move |_| submitter.flush().map_err(failed)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /loki/api/v1/status/buildinfo`
pub(crate) async fn buildinfo(headers: HeaderMap) -> Response {
    let body = format!(
        "{{\"version\":\"{LOKI_VERSION}\",\"revision\":\"strandline-{}\",\"branch\":\"\",\"buildUser\":\"\",\
         \"buildDate\":\"\",\"goVersion\":\"\"}}\n",
        env!("CARGO_PKG_VERSION")
    );
    Answer::json(body.into_bytes()).packed_for(&headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    #[test]
    fn a_client_that_goes_away_does_not_free_the_slot_of_its_thread() {
        let slots = Arc::new(Semaphore::new(1));
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let mut gone = Box::pin(on_own_thread(&slots, move || wait.recv()));
        assert!(gone.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(gone);
        assert_eq!(slots.available_permits(), 0, "the thread is still at work");
        drop(go_on);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(on_own_thread(&slots, || 7)), Ok(7));
    }
}
