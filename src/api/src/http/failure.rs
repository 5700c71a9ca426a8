//! Why does a request get no answer, and how is that said?

use crate::http::respond;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::fmt::Display;
use strandline_query::QueryError;

/// What a client that was told to come back is to wait, unless something else is known.
pub(crate) const RETRY_AFTER_S: u64 = 1;
/// Longest error text; it may quote what the client sent.
const MAX_TEXT_CHARS: usize = 2000;
/// What Loki (and nginx before it) says when the client has gone.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Which credentials are taken.
const CHALLENGE: &str = "Bearer realm=\"strandline\", Basic realm=\"strandline\", charset=\"UTF-8\"";

/// A refused request: its status and one line of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
    /// Seconds after which a retry makes sense.
    retry_after_s: Option<u64>,
    challenge: bool,
}

impl Failure {
    /// A failure with this status; the text is cut to one line of bounded length.
    pub(crate) fn new(status: StatusCode, text: impl Display) -> Self {
        let temporary = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let retry_after_s = temporary.then_some(RETRY_AFTER_S);
        Self { status, text: one_line(&text.to_string()), retry_after_s, challenge: false }
    }

    /// The client's mistake.
    pub(crate) fn bad_request(text: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Not now: the client is to try again in a moment.
    pub(crate) fn busy(text: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// A part of the server broke; the log says more.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// The same, saying which credentials would do.
    pub(crate) fn asking_for_credentials(self) -> Self {
        Self { challenge: true, ..self }
    }

    /// The same, for a client that is to try again after so many seconds.
    pub(crate) fn worth_a_retry(self, after_s: u64) -> Self {
        Self { retry_after_s: Some(after_s), ..self }
    }

    /// The same with a newline at its end, as Loki's push path has it.
    pub(crate) fn with_newline(mut self) -> Self {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self
    }

    /// The text, for where there is no status to go with it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Seconds after which the same request may succeed; `None` if it never will.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// `text` without control characters, cut off where it gets too long.
pub(crate) fn one_line(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.take(MAX_TEXT_CHARS).collect();
    if line.len() < text.len() && text.chars().nth(MAX_TEXT_CHARS).is_some() {
        line.push_str("...");
    }
    line
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let status = match error {
            QueryError::Parse(_)
            | QueryError::Unsupported(_)
            | QueryError::Pipeline(_)
            | QueryError::Limit(_)
            | QueryError::TooLarge(_)
            | QueryError::TooManyVolumes(_) => StatusCode::BAD_REQUEST,
            QueryError::Evaluation(ref error) if error.is_of_the_query() => StatusCode::BAD_REQUEST,
            QueryError::Cancelled => StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or_default(),
            QueryError::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
            QueryError::Memory(ref error) if error.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            QueryError::Memory(_) => StatusCode::BAD_REQUEST,
            QueryError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            QueryError::Store(_) | QueryError::Evaluation(_) | QueryError::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = respond::text(self.status, self.text);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_line_of_bounded_length() {
        assert_eq!(one_line("a\nb\tc"), "a b c");
        assert_eq!(one_line(&"é".repeat(5000)).chars().count(), MAX_TEXT_CHARS + 3);
        assert_eq!(Failure::bad_request("x").with_newline().text(), "x\n");
        let late = Failure::from(QueryError::TimedOut);
        assert!(late.status() == 504 && late.text().contains("(query.timeout, limits.query_timeout)"));
        assert_eq!(Failure::from(QueryError::Cancelled).status(), 499);
    }
}
