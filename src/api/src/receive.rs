//! How does a push come in, whatever its format? Read within bounds, decoded on a blocking thread, stored.
//!
//! The one way in: every format has the same limits, counts and statuses. What may pass when it is sent again is 503,
//! never 500, for agents drop what was answered with 500.

use crate::access::PushAccess;
use crate::http::body::{self, BodyError, body_rules};
use crate::http::failure::Failure;
use crate::state::AppState;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;
use strandline_ingest::formats::{DecodeError, Fault, UnpackLimits};
use strandline_ingest::{
    Accepted, Admitted, Intake, IntakeError, PushMemory, Rejections, StoreError, SubmitError,
};
use strandline_model::{Batch, Exhausted, Lease, MemoryClass};
use tokio::sync::oneshot;

/// A body as sent up to here may be decoded in a slot for small ones...
const SMALL_BODY_BYTES: usize = 128 << 10;
/// ...if it unpacks to no more than this.
const SMALL_BYTES: usize = 1 << 20;

/// How a message of gRPC is packed.
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Reads a body by those of its headers that are [`needed`] into an intake.
pub(crate) type Decode = fn(&HeaderMap, &[u8], &UnpackLimits, &mut Intake<'_>) -> Result<(), DecodeError>;

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
pub(crate) async fn receive(state: &AppState, request: Request, decode: Decode) -> Result<Received, Failure> {
    let (parts, body) = request.into_parts();
    let max = state.config.max_body_bytes;
    let access = match PushAccess::of(state, &parts).await {
        Ok(access) => access,
        Err(failure) => {
            let is_held_back = body::is_held_back(&parts.headers);
            drop(parts);
            body::discard(body, is_held_back, max).await;
            return Err(failure);
        }
    };
    let headers = needed(&parts.headers);
    drop(parts);
    let refused = |(reason, failure)| {
        state.counts.refused(access.tenant(), reason);
        failure
    };
    let lease = state.config.memory.lease(MemoryClass::Ingest, access.tenant());
    let body = body_of(state, body, &headers, &lease).await.map_err(unread).map_err(refused)?;
    let body = Body { bytes: body, _lease: lease };
    let decoded = decoded(state, &access, decode, headers, body).await.map_err(refused)?;
    let admitted = decoded.admitted?;
    let stored = admitted.batch.entries.len();
    if stored > 0 {
        commit(state, admitted.batch, decoded.memory).await.map_err(refused)?;
    }
    let mut over_limit = decoded.over_limit;
    over_limit.extend(admitted.refused);
    Ok(Received { stored, rejected: decoded.rejected, over_limit })
}

/// Copies of the headers that are needed to read and decode a body: a head is kept as long as its body takes to come, and is
/// much larger than these.
fn needed(headers: &HeaderMap) -> HeaderMap {
    let names = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, GRPC_ENCODING];
    let copied = names.into_iter().filter_map(|name| {
        let value = HeaderValue::from_bytes(headers.get(&name)?.as_bytes()).ok()?;
        Some((name, value))
    });
    copied.collect()
}

/// Reads a body whole, within its rules and into memory of `lease`.
async fn body_of(
    state: &AppState,
    body: axum::body::Body,
    headers: &HeaderMap,
    lease: &Lease,
) -> Result<Vec<u8>, BodyError> {
    let rules = body_rules(state);
    let crowded = || lease.is_in_the_way();
    body::read(body, headers, &rules, lease, state.submitter.clock().as_ref(), crowded).await
}

/// A body that was read, and the memory that it holds.
struct Body {
    bytes: Vec<u8>,
    _lease: Lease,
}

/// A push that was understood.
struct Decoded {
    rejected: Rejections,
    /// Why some of its streams have to wait for others to become quiet.
    over_limit: Vec<String>,
    /// What the tenant may send at the moment.
    admitted: Result<Admitted, Failure>,
    memory: Option<PushMemory>,
}

/// Lets through what the tenant may send at the moment. Looks at each entry where there are rates: CPU work.
fn admit(state: &AppState, access: &PushAccess, batch: Batch) -> Result<Admitted, Failure> {
    let now_ns = state.submitter.clock().monotonic_ns();
    let lines = batch.entries.len() as u64;
    match state.quotas.admit(batch, access.limits(), now_ns) {
        Ok(admitted) => {
            state.counts.over_limit(access.tenant(), "stream", admitted.refused_lines);
            Ok(admitted)
        }
        Err(error) => {
            state.counts.over_limit(access.tenant(), "rate", lines);
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

fn unread(error: BodyError) -> Refused {
    match error {
        BodyError::TooLarge(..) => ("too_large", Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)),
        // The network may be better the next time.
        BodyError::Paused(_) | BodyError::Slow(_) | BodyError::Overdue(_) => ("slow", Failure::busy(error)),
        BodyError::Cut => ("cut_off", Failure::bad_request(error)),
        BodyError::NoMemory(exhausted) => no_memory(&exhausted),
        BodyError::GaveWay => ("inflight_bytes", Failure::busy(error)),
    }
}

/// What may fit later is to be sent again; what never does is too large.
fn no_memory(error: &Exhausted) -> Refused {
    if error.is_temporary() {
        (
            "inflight_bytes",
            Failure::busy(format_args!("too many pushes are under way: {error}; retry after a moment")),
        )
    } else {
        (
            "too_large",
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format_args!("the push is too large: {error}")),
        )
    }
}

fn undecodable(error: &DecodeError) -> Refused {
    if let DecodeError::Intake(IntakeError::NoMemory(exhausted)) = error {
        return no_memory(exhausted);
    }
    let (reason, status) = match error.fault() {
        Fault::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
        Fault::NoStreams => ("no_streams", StatusCode::UNPROCESSABLE_ENTITY),
        Fault::NoMemoryNow => ("undecodable", StatusCode::SERVICE_UNAVAILABLE),
        Fault::Decoder => ("undecodable", StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Undecodable => ("undecodable", StatusCode::BAD_REQUEST),
    };
    (reason, Failure::new(status, error.message()))
}

/// Decodes on a blocking thread; few do it at once, for an unpacked body can be large. Small bodies have slots of their own:
/// they never wait for large ones, nor for memory. What is small only as sent, or finds no memory at once, begins again
/// among the large.
async fn decoded(
    state: &AppState,
    access: &PushAccess,
    decode: Decode,
    headers: HeaderMap,
    body: Body,
) -> Result<Decoded, Refused> {
    let broken = || ("internal", Failure::busy("internal error"));
    let full = state.body_limits;
    let small = UnpackLimits { max_decompressed: full.max_decompressed.min(SMALL_BYTES), ..full };
    let rounds = [(&state.decoding_small, small), (&state.decoding, full)];
    let first = usize::from(body.bytes.len() > SMALL_BODY_BYTES);
    let mut push = Push { access: access.clone(), decode, headers, body };
    for (slots, limits) in rounds.into_iter().skip(first) {
        let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| broken())?;
        let shared = Arc::clone(state);
        let decoding = tokio::task::spawn_blocking(move || {
            let decoded = push.decoded(&shared, &limits, limits == full);
            // The thread is free only now, whether or not the client still waits.
            drop(slot);
            match decoded {
                Err(error) if limits != full && (error.is_too_large() || error.is_for_want_of_memory()) => {
                    Err(Box::new(push))
                }
                decoded => Ok(push.admitted(&shared, decoded)),
            }
        });
        match decoding.await {
            Ok(Ok(done)) => return done,
            Ok(Err(larger)) => push = *larger,
            Err(_) => {
                tracing::error!("decoding a push ended by a panic");
                return Err(broken());
            }
        }
    }
    Err(broken())
}

/// A push whose body has come.
struct Push {
    access: PushAccess,
    decode: Decode,
    headers: HeaderMap,
    body: Body,
}

impl Push {
    /// Reads the body within `limits`; `waits` says whether it may wait for memory. What does not wait is small, and takes
    /// of the memory of bodies: large pushes can fill their own for seconds.
    fn decoded(&self, state: &AppState, limits: &UnpackLimits, waits: bool) -> Result<Accepted, DecodeError> {
        let clock = state.submitter.clock();
        let lease = |class| state.config.memory.lease(class, self.access.tenant());
        let memory = match waits {
            true => PushMemory::new(lease(MemoryClass::Decode), Arc::clone(clock), wait_until_ns(state)),
            false => PushMemory::of_what_is_there(lease(MemoryClass::Ingest), Arc::clone(clock)),
        };
        state.active.age(clock.monotonic_ns());
        let mut intake = self.access.intake(state, clock.now_ns(), memory);
        (self.decode)(&self.headers, &self.body.bytes, limits, &mut intake)?;
        Ok(intake.finish()?)
    }

    /// Counts what came and lets through what may pass. The body is dropped before.
    fn admitted(self, state: &AppState, decoded: Result<Accepted, DecodeError>) -> Result<Decoded, Refused> {
        let Self { access, body, .. } = self;
        drop(body);
        let accepted = decoded.map_err(|error| undecodable(&error))?;
        state.counts.received(&accepted);
        let Accepted { batch, rejected, memory, over_limit, over_limit_lines, new_streams, .. } = accepted;
        state.counts.over_limit(access.tenant(), "streams", over_limit_lines);
        let admitted = admit(state, &access, batch);
        if let Some(new) = new_streams {
            state.active.keep(new, admitted.as_ref().ok().map(|admitted| &admitted.batch));
        }
        // What it needs from here on it waits for without a slot.
        let memory = memory.map(|memory| memory.waiting_until(wait_until_ns(state)));
        Ok(Decoded { rejected, over_limit, admitted, memory })
    }
}

/// How long a push waits for memory that it needs now, by the monotonic clock.
fn wait_until_ns(state: &AppState) -> i64 {
    let wait_ns = i64::try_from(state.config.memory_wait.as_nanos()).unwrap_or(i64::MAX);
    state.submitter.clock().monotonic_ns().saturating_add(wait_ns)
}

/// What a client is told whose batch the store does not take.
fn not_taken(error: StoreError) -> Failure {
    match error.is_too_large() {
        // Sent again, it would be refused again.
        true => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error),
        false => Failure::busy(error),
    }
}

/// Hands the batch to the log and waits until it is safe.
async fn commit(state: &AppState, batch: Batch, memory: Option<PushMemory>) -> Result<(), Refused> {
    let not_stored = |failure| ("not_stored", failure);
    let (done, safe) = oneshot::channel();
    let submitter = state.submitter.clone();
    // Packing the batch for the log is CPU work too.
    let submitted = tokio::task::spawn_blocking(move || {
        submitter.submit(batch, memory, move |result| {
            // Nobody listens when the client has gone; its lines are stored all the same.
            let _ = done.send(result);
        })
    });
    match submitted.await {
        Ok(Ok(())) => {}
        Ok(Err(SubmitError::NoMemory(exhausted))) => return Err(no_memory(&exhausted)),
        Ok(Err(SubmitError::Store(error))) => return Err(not_stored(not_taken(error))),
        Err(_) => return Err(not_stored(Failure::busy("internal error"))),
    }
    match safe.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(not_stored(Failure::busy(error))),
        // The log's thread ended without an answer: nobody knows whether the lines are stored.
        Err(_) => Err(not_stored(Failure::busy("the store stopped before it answered"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_taken_is_not_to_be_sent_again() {
        let too_large = StoreError::BatchTooLarge { bytes: 2, limit: 1 };
        assert_eq!(not_taken(too_large).status(), 413);
        assert_eq!(not_taken(StoreError::Busy).status(), 503);
    }
}
