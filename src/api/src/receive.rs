//! How does a push come in over HTTP, whatever its format? Read within bounds and given to the admission.
//!
//! Every format has the same limits, counts and statuses. What may pass when it is sent again is 503,
//! never 500, for agents drop what was answered with 500.

use crate::access::Caller;
use crate::http::body::{self, BodyError, body_rules};
use crate::http::failure::Failure;
use crate::state::AppState;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use strandline_ingest::formats::{DecodeError, Fault, UnpackLimits};
use strandline_ingest::{Intake, Outcome, Payload, PushError};
use strandline_model::{Exhausted, Lease};

/// How a message of gRPC is packed.
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Reads a body by those of its headers that are [`needed`] into an intake.
pub(crate) type Decode = fn(&HeaderMap, &[u8], &UnpackLimits, &mut Intake<'_>) -> Result<(), DecodeError>;

/// Takes a push. The answer is known once its lines are safe.
pub(crate) async fn receive(state: &AppState, request: Request, decode: Decode) -> Result<Outcome, Failure> {
    let (parts, body) = request.into_parts();
    let max = state.config.max_body_bytes;
    let access = match state.access.push(&Caller::of(&parts)).await {
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
    let (admission, sender) = (&state.admission, access.sender());
    let lease = admission.lease(sender);
    let bytes = match body_of(state, body, &headers, &lease).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let (reason, failure) = unread(error);
            admission.count_refused(sender, reason);
            return Err(failure);
        }
    };
    let decode = move |body: &[u8], limits: &UnpackLimits, intake: &mut Intake<'_>| {
        decode(&headers, body, limits, intake)
    };
    let taken = admission.push(sender, Payload::new(bytes, lease), decode).await;
    taken.map_err(|error| not_taken(&error))
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
    body::read(body, headers, &rules, lease, state.admission.clock().as_ref(), crowded).await
}

/// The text of a header.
pub(crate) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// What a client is told whose body did not come whole, and the reason to count that under.
fn unread(error: BodyError) -> (&'static str, Failure) {
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
fn no_memory(error: &Exhausted) -> (&'static str, Failure) {
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

/// What a client is told of whose push nothing was taken.
fn not_taken(error: &PushError) -> Failure {
    match error {
        PushError::Decode(error) => Failure::new(status_of(error.fault()), error.message()),
        PushError::NoMemory(exhausted) => no_memory(exhausted).1,
        PushError::OverRate(over) => {
            Failure::new(StatusCode::TOO_MANY_REQUESTS, over).worth_a_retry(over.retry_after_s)
        }
        // Sent again, it would be refused again.
        PushError::NotTaken(error) if error.is_too_large() => {
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error)
        }
        PushError::NotTaken(_) | PushError::NotStored(_) | PushError::Unanswered | PushError::Internal => {
            Failure::busy(error)
        }
    }
}

fn status_of(fault: Fault) -> StatusCode {
    match fault {
        Fault::Undecodable => StatusCode::BAD_REQUEST,
        Fault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Fault::NoStreams => StatusCode::UNPROCESSABLE_ENTITY,
        Fault::NoMemoryNow => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Decoder => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_ingest::{IntakeError, StoreError};

    #[test]
    fn what_can_never_be_taken_is_not_to_be_sent_again() {
        let too_large = StoreError::BatchTooLarge { bytes: 2, limit: 1 };
        assert_eq!(not_taken(&PushError::NotTaken(too_large)).status(), 413);
        assert_eq!(not_taken(&PushError::NotTaken(StoreError::Busy)).status(), 503);
        assert_eq!(not_taken(&PushError::Unanswered).status(), 503);
    }

    #[test]
    fn each_kind_of_payload_that_cannot_be_taken_has_its_status() {
        for (error, status) in [
            (DecodeError::Snappy, 400),
            (DecodeError::Bomb(400), 413),
            (DecodeError::NoStreams, 422),
            (DecodeError::Intake(IntakeError::NoStream), 500),
        ] {
            let failure = not_taken(&PushError::Decode(error));
            assert_eq!((failure.status(), failure.retry_after_s()), (status, None));
        }
    }
}
