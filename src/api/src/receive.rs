//! How does a push come in, whatever its format? Read within bounds, decoded on a blocking thread, stored.
//!
//! The one way in: every format has the same limits, counts and statuses. What may pass when it is sent again is 503,
//! never 500, for agents drop what was answered with 500.

use crate::access::Pusher;
use crate::http::body::{self, BodyError};
use crate::http::failure::Failure;
use crate::http::inflight::{Full, Reserved};
use crate::push::{BodyLimits, PushError};
use crate::state::Door;
use axum::extract::Request;
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, StatusCode};
use strandline_ingest::{Accepted, Admitted, Intake, Rejections};
use strandline_model::Batch;
use tokio::sync::oneshot;

/// Reads a body by its headers into an intake.
pub(crate) type Decode = fn(&HeaderMap, &[u8], &BodyLimits, &mut Intake<'_>) -> Result<(), PushError>;

/// What has become of a push that was not refused whole.
#[derive(Debug)]
pub(crate) struct Received {
    /// Lines that are stored.
    pub(crate) stored: usize,
    /// Lines that are not; the client must not send them again.
    pub(crate) rejected: Rejections,
    /// Why some of its streams have to wait; these are to be sent again.
    pub(crate) over_limit: Vec<String>,
}

/// Takes a push. The answer is known once its lines are safe.
pub(crate) async fn receive(state: &Door, request: Request, decode: Decode) -> Result<Received, Failure> {
    let (parts, body) = request.into_parts();
    let max = state.config.max_body_bytes;
    let pusher = match Pusher::of(state, &parts.headers).await {
        Ok(pusher) => pusher,
        Err(failure) => {
            body::discard(body, &parts.headers, max).await;
            return Err(failure);
        }
    };
    let refused = |(reason, failure)| {
        state.counts.refused(pusher.tenant(), reason);
        failure
    };
    let mut reserved = state.inflight.begin();
    let pause = state.config.body_pause;
    let body = body::read(body, &parts.headers, max, pause, |bytes| reserved.set(bytes)).await;
    let body = body.map_err(unread).map_err(refused)?;
    let decoded = decoded(state, &pusher, decode, parts.headers, body, reserved).await.map_err(refused)?;
    let admitted = decoded.admitted?;
    let stored = admitted.batch.entries.len();
    if stored > 0 {
        commit(state, admitted.batch, decoded.reserved).await.map_err(|f| refused(("not_stored", f)))?;
    }
    Ok(Received { stored, rejected: decoded.rejected, over_limit: admitted.refused })
}

/// A push that was understood.
struct Decoded {
    rejected: Rejections,
    /// What the tenant may send at the moment.
    admitted: Result<Admitted, Failure>,
    reserved: Reserved,
}

/// Lets through what the tenant may send at the moment. Looks at each entry where there are rates: CPU work.
fn admit(state: &Door, pusher: &Pusher, batch: Batch) -> Result<Admitted, Failure> {
    let now_ns = state.submitter.clock().monotonic_ns();
    let lines = batch.entries.len() as u64;
    match state.quotas.admit(batch, pusher.limits(), now_ns) {
        Ok(admitted) => {
            state.counts.over_limit(pusher.tenant(), "stream", admitted.refused_lines);
            Ok(admitted)
        }
        Err(error) => {
            state.counts.over_limit(pusher.tenant(), "rate", lines);
            Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, &error).worth_a_retry(error.retry_after_s))
        }
    }
}

/// The text of a header.
pub(crate) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// A failure and the reason to count it under.
type Refused = (&'static str, Failure);

fn unread(error: BodyError<Full>) -> Refused {
    match error {
        BodyError::TooLarge(_) => ("too_large", Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)),
        BodyError::Slow => ("slow", Failure::new(StatusCode::REQUEST_TIMEOUT, error)),
        BodyError::Cut => ("cut_off", Failure::bad_request(error)),
        BodyError::Refused(Full) => no_room(),
    }
}

fn no_room() -> Refused {
    ("inflight_bytes", Failure::busy("too many pushes are under way; retry after a moment"))
}

fn undecodable(error: &PushError) -> Refused {
    let reason = match error.status() {
        413 => "too_large",
        422 => "no_streams",
        _ => "undecodable",
    };
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (reason, Failure::new(status, error.message()))
}

/// Decodes on a blocking thread; few do it at once, for an unpacked body can be large.
async fn decoded(
    state: &Door,
    pusher: &Pusher,
    decode: Decode,
    headers: HeaderMap,
    body: Vec<u8>,
    mut reserved: Reserved,
) -> Result<Decoded, Refused> {
    let broken = || ("internal", Failure::busy("internal error"));
    let _turn = state.decoding.acquire().await.map_err(|_| broken())?;
    let (shared, pusher) = (state.clone(), pusher.clone());
    let decoding = tokio::task::spawn_blocking(move || {
        let now_ns = shared.submitter.clock().now_ns();
        let mut intake = pusher.intake(&shared, now_ns);
        decode(&headers, &body, &shared.body_limits, &mut intake).map_err(|error| undecodable(&error))?;
        drop(body);
        let accepted = intake.finish();
        reserved.set(accepted.batch.memory_bytes()).map_err(|Full| no_room())?;
        shared.counts.received(&accepted);
        let Accepted { batch, rejected, .. } = accepted;
        let admitted = admit(&shared, &pusher, batch);
        Ok(Decoded { rejected, admitted, reserved })
    });
    decoding.await.unwrap_or_else(|_| {
        tracing::error!("decoding a push ended by a panic");
        Err(broken())
    })
}

/// Hands the batch to the log and waits until it is safe.
async fn commit(state: &Door, batch: Batch, reserved: Reserved) -> Result<(), Failure> {
    let (done, safe) = oneshot::channel();
    let submitter = state.submitter.clone();
    // Packing the batch for the log is CPU work too.
    let submitted = tokio::task::spawn_blocking(move || {
        submitter.submit(batch, move |result| {
            drop(reserved);
            // Nobody listens when the client has gone; its lines are stored all the same.
            let _ = done.send(result);
        })
    });
    match submitted.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::busy(error)),
        Err(_) => return Err(Failure::busy("internal error")),
    }
    match safe.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::busy(error)),
        // The log's thread ended without an answer: nobody knows whether the lines are stored.
        Err(_) => Err(Failure::busy("the store stopped before it answered")),
    }
}
