//! How is an export over HTTP answered? 204 like Loki, errors as `google.rpc.Status` in the encoding of the request.

use super::status;
use crate::http::failure::{Failure, RETRY_AFTER_S};
use crate::http::respond;
use crate::loki::push::{over_limit_text, refusal_text};
use crate::receive::{header, receive};
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use strandline_ingest::Intake;
use strandline_ingest::formats::{DecodeError, OtlpFormat, UnpackLimits, decode_otlp};

/// `POST /otlp/v1/logs` and `/v1/logs`.
pub(crate) async fn logs(State(state): State<AppState>, request: Request) -> Response {
    let format = format_of(request.headers());
    match receive(&state, request, decode).await {
        Ok(received) if !received.over_limit.is_empty() => {
            // What is in order has been stored, and is known when it comes again.
            let text = over_limit_text(&received.over_limit);
            error(format, StatusCode::TOO_MANY_REQUESTS, text.trim_end(), Some(RETRY_AFTER_S))
        }
        Ok(received) if received.rejected.is_empty() => StatusCode::NO_CONTENT.into_response(),
        // What is in order has been stored; the client must not send the rest again.
        Ok(received) => {
            let text = refusal_text(&received.rejected);
            error(format, StatusCode::BAD_REQUEST, text.trim_end(), None)
        }
        Err(failure) => refusal(format, failure),
    }
}

/// The encoding of errors: that of the request, protobuf when it has none that is known.
fn format_of(headers: &HeaderMap) -> OtlpFormat {
    OtlpFormat::of(header(headers, CONTENT_TYPE)).unwrap_or(OtlpFormat::Protobuf)
}

fn decode(
    headers: &HeaderMap,
    body: &[u8],
    limits: &UnpackLimits,
    intake: &mut Intake<'_>,
) -> Result<(), DecodeError> {
    let format = OtlpFormat::of(header(headers, CONTENT_TYPE))?;
    decode_otlp(format, header(headers, CONTENT_ENCODING), body, limits, intake)
}

fn refusal(format: OtlpFormat, failure: Failure) -> Response {
    match StatusCode::from_u16(failure.status()).unwrap_or_default() {
        // As in Loki: whoever is not let in may speak anything.
        StatusCode::UNAUTHORIZED => failure.into_response(),
        // Collectors take 500 for final and drop their logs.
        StatusCode::INTERNAL_SERVER_ERROR => {
            error(format, StatusCode::SERVICE_UNAVAILABLE, failure.text().trim_end(), Some(RETRY_AFTER_S))
        }
        status => error(format, status, failure.text().trim_end(), failure.retry_after_s()),
    }
}

fn error(format: OtlpFormat, status: StatusCode, message: &str, retry_after_s: Option<u64>) -> Response {
    let mut response = match format {
        OtlpFormat::Protobuf => {
            let mut response = (status, status::status(message)).into_response();
            let kind = HeaderValue::from_static("application/x-protobuf");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        OtlpFormat::Json => respond::json(status, serde_json::json!({ "message": message }).to_string()),
    };
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_later_is_never_a_500() {
        let internal = refusal(OtlpFormat::Json, Failure::internal());
        assert_eq!(internal.status(), 503);
        assert_eq!(internal.headers().get("retry-after").unwrap(), "1");
        let busy = refusal(OtlpFormat::Protobuf, Failure::busy("x"));
        assert_eq!(busy.headers().get("content-type").unwrap(), "application/x-protobuf");
        assert_eq!(refusal(OtlpFormat::Json, Failure::bad_request("x")).headers().get("retry-after"), None);
    }
}
