//! How is a push of Loki's kind answered? 204, or the reasons one a line.

use crate::http::failure::{RETRY_AFTER_S, one_line};
use crate::http::respond;
use crate::receive::{header, receive};
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use strandline_ingest::formats::{DecodeError, UnpackLimits, decode_push};
use strandline_ingest::{Intake, Rejections};

/// `POST /loki/api/v1/push` and its older name.
pub(crate) async fn push(State(state): State<AppState>, request: Request) -> Response {
    match receive(&state, request, decode).await {
        Ok(received) if !received.over_limit.is_empty() => {
            // These are to be sent again; what is in order has been stored, and is known when it comes again.
            let text = over_limit_text(&received.over_limit) + &refusal_text(&received.rejected);
            let mut response = respond::text(StatusCode::TOO_MANY_REQUESTS, text);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            response
        }
        Ok(received) if received.rejected.is_empty() => StatusCode::NO_CONTENT.into_response(),
        // What is in order has been stored; the client must not send the rest again.
        Ok(received) => respond::text(StatusCode::BAD_REQUEST, refusal_text(&received.rejected)),
        Err(failure) => failure.with_newline().into_response(),
    }
}

fn decode(
    headers: &HeaderMap,
    body: &[u8],
    limits: &UnpackLimits,
    intake: &mut Intake<'_>,
) -> Result<(), DecodeError> {
    let (content_type, encoding) = (header(headers, CONTENT_TYPE), header(headers, CONTENT_ENCODING));
    decode_push(content_type, encoding, body, limits, intake)
}

/// One line per kind of refusal.
pub(crate) fn refusal_text(rejected: &Rejections) -> String {
    rejected.messages().iter().map(|message| one_line(message) + "\n").collect()
}

/// One line per stream that has to wait.
pub(crate) fn over_limit_text(over_limit: &[String]) -> String {
    over_limit.iter().map(|message| one_line(message) + "\n").collect()
}
