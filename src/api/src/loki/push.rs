//! How does a push come in? Read within bounds, decoded on a blocking thread, answered when its lines are safe.

use crate::access::Pusher;
use crate::http::body::{self, BodyError};
use crate::http::failure::{Failure, one_line};
use crate::http::inflight::{Full, Reserved};
use crate::http::respond;
use crate::push::decode_push;
use crate::state::Door;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use strandline_ingest::submit::count_refused;
use strandline_ingest::{Accepted, Admitted, Rejections};
use strandline_model::Batch;
use tokio::sync::oneshot;

/// `POST /loki/api/v1/push` and its older name.
pub(crate) async fn push(State(state): State<Door>, request: Request) -> Response {
    match take(&state, request).await {
        Ok(Taken { rejected, over_limit }) if !over_limit.is_empty() => {
            // These are to be sent again; what is in order has been stored, and is known when it comes again.
            let mut text: String = over_limit.iter().map(|message| one_line(message) + "\n").collect();
            text.push_str(&refusal_text(&rejected));
            let mut response = respond::text(StatusCode::TOO_MANY_REQUESTS, text);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Ok(Taken { rejected, .. }) if rejected.is_empty() => StatusCode::NO_CONTENT.into_response(),
        // What is in order has been stored; the client must not send the rest again.
        Ok(Taken { rejected, .. }) => respond::text(StatusCode::BAD_REQUEST, refusal_text(&rejected)),
        Err(failure) => failure.with_newline().into_response(),
    }
}

/// One line per kind of refusal.
fn refusal_text(rejected: &Rejections) -> String {
    rejected.messages().iter().map(|message| one_line(message) + "\n").collect()
}

/// What became of a push that was not refused whole.
struct Taken {
    rejected: Rejections,
    /// Why some of its streams have to wait.
    over_limit: Vec<String>,
}

async fn take(state: &Door, request: Request) -> Result<Taken, Failure> {
    let (parts, body) = request.into_parts();
    let (max, pause) = (state.config.max_body_bytes, state.config.body_pause);
    let pusher = match Pusher::of(state, &parts.headers).await {
        Ok(pusher) => pusher,
        Err(failure) => {
            body::discard(body, max).await;
            return Err(failure);
        }
    };
    let mut reserved = state.inflight.begin();
    let body = body::read(body, &parts.headers, max, pause, |bytes| reserved.set(bytes)).await;
    let body = body.map_err(unread)?;
    let (accepted, reserved) = decode(state, &pusher, parts.headers, body, reserved).await?;
    count_refused(&accepted);
    let rejected = accepted.rejected;
    let admitted = admit(state, &pusher, accepted.batch)?;
    if !admitted.batch.entries.is_empty() {
        commit(state, admitted.batch, reserved).await?;
    }
    Ok(Taken { rejected, over_limit: admitted.refused })
}

/// Lets through what the tenant may send at the moment.
pub(crate) fn admit(state: &Door, pusher: &Pusher, batch: Batch) -> Result<Admitted, Failure> {
    let now_ns = state.submitter.clock().monotonic_ns();
    let lines = batch.entries.len() as u64;
    match state.quotas.admit(batch, pusher.limits(), now_ns) {
        Ok(admitted) => {
            count_over_limit("stream", admitted.refused_lines);
            Ok(admitted)
        }
        Err(error) => {
            count_over_limit("rate", lines);
            Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, &error).worth_a_retry(error.retry_after_s))
        }
    }
}

fn count_over_limit(kind: &'static str, lines: u64) {
    if lines > 0 {
        metrics::counter!("strandline_over_limit_lines_total", "limit" => kind).increment(lines);
    }
}

fn unread(error: BodyError<Full>) -> Failure {
    match error {
        BodyError::TooLarge(_) => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error),
        BodyError::Slow => Failure::new(StatusCode::REQUEST_TIMEOUT, error),
        BodyError::Cut => Failure::bad_request(error),
        BodyError::Refused(Full) => no_room(),
    }
}

fn no_room() -> Failure {
    metrics::counter!("strandline_push_refused_total", "reason" => "inflight_bytes").increment(1);
    Failure::busy("too many pushes are under way; retry after a moment")
}

/// Decodes on a blocking thread; few do it at once, for an unpacked body can be large.
async fn decode(
    state: &Door,
    pusher: &Pusher,
    headers: HeaderMap,
    body: Vec<u8>,
    mut reserved: Reserved,
) -> Result<(Accepted, Reserved), Failure> {
    let _turn = state.decoding.acquire().await.map_err(|_| Failure::internal())?;
    let (shared, pusher) = (state.clone(), pusher.clone());
    let decoding = tokio::task::spawn_blocking(move || {
        let now_ns = shared.submitter.clock().now_ns();
        let mut intake = pusher.intake(&shared, now_ns);
        let (content_type, encoding) = (text(&headers, CONTENT_TYPE), text(&headers, CONTENT_ENCODING));
        decode_push(content_type, encoding, &body, &shared.body_limits, &mut intake).map_err(|error| {
            let status = StatusCode::from_u16(error.status()).unwrap_or_default();
            Failure::new(status, error.message())
        })?;
        drop(body);
        let accepted = intake.finish();
        reserved.set(accepted.batch.memory_bytes()).map_err(|Full| no_room())?;
        Ok((accepted, reserved))
    });
    decoding.await.unwrap_or_else(|_| {
        tracing::error!("decoding a push ended by a panic");
        Err(Failure::internal())
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
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
        Err(_) => return Err(Failure::internal()),
    }
    match safe.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::busy(error)),
        // The log's thread ended without an answer: nobody knows whether the lines are stored.
        Err(_) => Err(Failure::busy("the store stopped before it answered")),
    }
}
