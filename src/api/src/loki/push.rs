//! How does a push come in? Read within bounds, decoded on a blocking thread, answered when its lines are safe.

use crate::http::body::{self, BodyError};
use crate::http::failure::{Failure, one_line};
use crate::http::inflight::{Full, Reserved};
use crate::http::respond;
use crate::http::tenant::{self, Access};
use crate::push::decode_push;
use crate::state::Door;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use strandline_ingest::submit::count_refused;
use strandline_ingest::{Accepted, Intake, Rejections};
use strandline_model::TenantId;
use tokio::sync::oneshot;

/// `POST /loki/api/v1/push` and its older name.
pub(crate) async fn push(State(state): State<Door>, request: Request) -> Response {
    match take(&state, request).await {
        Ok(rejected) if rejected.is_empty() => StatusCode::NO_CONTENT.into_response(),
        // What is in order has been stored; the client must not send the rest again.
        Ok(rejected) => respond::text(StatusCode::BAD_REQUEST, refusal_text(&rejected)),
        Err(failure) => failure.with_newline().into_response(),
    }
}

/// One line per kind of refusal.
fn refusal_text(rejected: &Rejections) -> String {
    rejected.messages().iter().map(|message| one_line(message) + "\n").collect()
}

async fn take(state: &Door, request: Request) -> Result<Rejections, Failure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant::of(&parts.headers, state.config.auth_enabled, Access::Write)?;
    let mut reserved = state.inflight.begin();
    let (max, pause) = (state.config.max_body_bytes, state.config.body_pause);
    let body = body::read(body, &parts.headers, max, pause, |bytes| reserved.set(bytes)).await;
    let body = body.map_err(unread)?;
    let (accepted, reserved) = decode(state, tenant, parts.headers, body, reserved).await?;
    count_refused(&accepted);
    if accepted.batch.entries.is_empty() {
        return Ok(accepted.rejected);
    }
    let rejected = accepted.rejected;
    commit(state, accepted.batch, reserved).await?;
    Ok(rejected)
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
    tenant: TenantId,
    headers: HeaderMap,
    body: Vec<u8>,
    mut reserved: Reserved,
) -> Result<(Accepted, Reserved), Failure> {
    let _turn = state.decoding.acquire().await.map_err(|_| Failure::internal())?;
    let shared = state.clone();
    let decoding = tokio::task::spawn_blocking(move || {
        let now_ns = shared.submitter.clock().now_ns();
        let mut intake = Intake::new(tenant, &shared.config.limits, now_ns, &shared.labels);
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
async fn commit(state: &Door, batch: strandline_model::Batch, reserved: Reserved) -> Result<(), Failure> {
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
