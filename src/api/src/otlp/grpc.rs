//! How is an export over gRPC read and answered? `LogsService/Export`, by hand: one method, one message each way.
//!
//! A gRPC library would read the message into memory before anybody counts it, unpack it on the async runtime, and know
//! neither our limits nor pauses. What is left to do is a frame of five bytes and a status in the trailers.

use super::status;
use crate::http::failure::{Failure, RETRY_AFTER_S};
use crate::loki::push::{over_limit_text, refusal_text};
use crate::receive::{GRPC_ENCODING, header, receive};
use crate::state::AppState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_body_util::{BodyExt, Full};
use strandline_ingest::formats::{DecodeError, OtlpFormat, UnpackLimits, decode_otlp};
use strandline_ingest::{Intake, Outcome};

/// The path of the method.
pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,deflate,zstd");
/// Whether the message is packed, and its length.
const FRAME_BYTES: usize = 5;
/// Longest message of a status: it travels in a header.
const MAX_MESSAGE_CHARS: usize = 1000;

/// Codes of gRPC.
const OK: u64 = 0;
const INVALID_ARGUMENT: u64 = 3;
const PERMISSION_DENIED: u64 = 7;
const RESOURCE_EXHAUSTED: u64 = 8;
const UNAVAILABLE: u64 = 14;
const UNAUTHENTICATED: u64 = 16;

/// The method.
pub(crate) async fn export(State(state): State<AppState>, request: Request) -> Response {
    let kind = header(request.headers(), CONTENT_TYPE).unwrap_or("");
    if !kind.starts_with("application/grpc") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match receive(&state, request, decode).await {
        Ok(received) if !received.over_limit.is_empty() => {
            // What is in order has been stored, and is known when it comes again.
            try_again(over_limit_text(&received.over_limit).trim_end(), RETRY_AFTER_S)
        }
        Ok(received) => accepted(&received),
        // gRPC has no way to say that there was nothing to do; an export without records is in order.
        Err(failure) if failure.status() == 422 => message(status::export_response(0, "")),
        Err(failure) => refused(&failure),
    }
}

/// Takes the message out of its frame.
fn decode(
    headers: &HeaderMap,
    body: &[u8],
    limits: &UnpackLimits,
    intake: &mut Intake<'_>,
) -> Result<(), DecodeError> {
    let (frame, message) = body.split_at_checked(FRAME_BYTES).ok_or(DecodeError::Frame)?;
    let (packed, length) = match *frame {
        [packed @ 0..=1, a, b, c, d] => (packed == 1, u32::from_be_bytes([a, b, c, d])),
        _ => return Err(DecodeError::Frame),
    };
    if usize::try_from(length) != Ok(message.len()) {
        return Err(DecodeError::Frame);
    }
    let encoding = if packed { header(headers, GRPC_ENCODING) } else { None };
    decode_otlp(OtlpFormat::Protobuf, encoding, message, limits, intake)
}

/// What was rejected is told as a partial success, which a client must not send again; all of it rejected is an error.
fn accepted(received: &Outcome) -> Response {
    let text = refusal_text(&received.rejected);
    if received.stored == 0 && !received.rejected.is_empty() {
        return status_alone(INVALID_ARGUMENT, text.trim_end(), None);
    }
    message(status::export_response(received.rejected.total(), text.trim_end()))
}

fn refused(failure: &Failure) -> Response {
    let text = failure.text().trim_end();
    let code = match failure.status() {
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        // Without a time to wait it is final, as it should be for a message that is too large.
        413 => RESOURCE_EXHAUSTED,
        429 => return try_again(text, failure.retry_after_s().unwrap_or(RETRY_AFTER_S)),
        400..=499 => INVALID_ARGUMENT,
        _ => return try_again(text, failure.retry_after_s().unwrap_or(RETRY_AFTER_S)),
    };
    status_alone(code, text, None)
}

fn try_again(text: &str, seconds: u64) -> Response {
    status_alone(UNAVAILABLE, text, Some(status::retry_status(UNAVAILABLE, text, seconds)))
}

/// One message, and that all went well.
fn message(message: Vec<u8>) -> Response {
    let length = u32::try_from(message.len()).unwrap_or(0);
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from(OK));
    let body = Full::new(bytes::Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    grpc(Response::new(Body::new(body)))
}

/// A status and no message: in headers alone.
fn status_alone(code: u64, text: &str, details: Option<Vec<u8>>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    let short: String = text.chars().take(MAX_MESSAGE_CHARS).collect();
    if let Ok(text) = HeaderValue::from_str(&percent_encoded(&short)) {
        headers.insert(GRPC_MESSAGE, text);
    }
    if let Some(Ok(details)) = details.map(|d| HeaderValue::from_str(&STANDARD_NO_PAD.encode(d))) {
        headers.insert(GRPC_DETAILS, details);
    }
    grpc(response)
}

fn grpc(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, ENCODINGS);
    response
}

/// `text` as gRPC writes messages into headers.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(b)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_ingest::LabelCache;
    use strandline_model::{Limits, TenantId};

    fn refusal(headers: &HeaderMap, body: &[u8]) -> String {
        let cache = LabelCache::default();
        let mut intake = Intake::new(TenantId::default_tenant(), &Limits::default(), 0, &cache);
        decode(headers, body, &UnpackLimits::default(), &mut intake).unwrap_err().to_string()
    }

    #[test]
    fn frames_that_lie_are_refused() {
        let none = HeaderMap::new();
        let mut brotli = HeaderMap::new();
        brotli.insert(GRPC_ENCODING, HeaderValue::from_static("br"));
        for body in
            [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01", b"\0\0\0\0\0\0", b"\x02\0\0\0\0", b"\0\xff\xff\xff\xff"]
        {
            assert!(refusal(&none, body).contains("frame"), "{body:?}");
        }
        assert!(refusal(&brotli, b"\x01\0\0\0\0").contains("not supported"));
        // Nothing in it: well-formed, and no stream.
        assert!(refusal(&brotli, b"\0\0\0\0\0").contains("at least one valid stream"));
    }

    #[test]
    fn codes_tell_what_may_be_sent_again() {
        let code = |failure: Failure| {
            let response = refused(&failure);
            let retry = response.headers().contains_key(GRPC_DETAILS);
            (response.headers().get(GRPC_STATUS).unwrap().to_str().unwrap().to_owned(), retry)
        };
        let of = |status: u16| Failure::new(StatusCode::from_u16(status).unwrap(), "é%\n");
        for (status, wanted, retry) in [
            (400, "3", false),
            (401, "16", false),
            (403, "7", false),
            (413, "8", false),
            (429, "14", true),
            (500, "14", true),
            (503, "14", true),
        ] {
            assert_eq!(code(of(status)), (wanted.to_owned(), retry), "{status}");
        }
        let response = refused(&of(400));
        assert_eq!(response.headers().get(GRPC_MESSAGE).unwrap(), "%C3%A9%25");
    }
}
