//! How are lines deleted by request? Loki's `delete` endpoint, which hides them before it answers.

use super::duration;
use super::json::put_text;
use super::window::parse_timestamp;
use crate::access::{DeleteAccess, QueryAccess};
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::io::Write;
use strandline_model::time::SECOND_NS;
use strandline_query::{DeleteError, DeleteStatus};

const REQUEST_ID: &str = "x-delete-request-id";
const MILLISECOND_NS: i64 = 1_000_000;

/// `POST|PUT /loki/api/v1/delete`
pub(crate) async fn add(
    State(state): State<AppState>,
    access: DeleteAccess,
    request: Request,
) -> Result<Response, Failure> {
    let tenant = access.tenant();
    let (params, _) = Params::of(&state, &tenant, request).await?;
    let query = params.get("query").ok_or_else(|| Failure::bad_request("query not set"))?.to_owned();
    let range = range(&params, state.query.clock().now_ns())?;
    let engine = state.query.clone();
    let number =
        blocking::operate(&state, move |_| engine.add_delete(&tenant, &query, range).map_err(refused))
            .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(id) = HeaderValue::from_str(&format!("{number:08x}")) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

fn refused(error: DeleteError) -> Failure {
    match error {
        DeleteError::Query(why) => Failure::bad_request(format!("invalid query expression: {why}")),
        DeleteError::TooLong | DeleteError::Processed => Failure::bad_request(error),
        DeleteError::TooMany => Failure::new(StatusCode::TOO_MANY_REQUESTS, error),
        DeleteError::Unknown => Failure::new(StatusCode::NOT_FOUND, error),
        DeleteError::Store(error) => Failure::busy(error),
    }
}

/// The first and the last timestamp that are meant.
fn range(params: &Params, now_ns: i64) -> Result<(i64, i64), Failure> {
    let at = |name: &str, text: &str| {
        let wrong = |_| format!("invalid {name} time: require unix seconds or RFC3339 format");
        parse_timestamp(text).map_err(wrong).map_err(Failure::bad_request)
    };
    let start = params.get("start").ok_or_else(|| Failure::bad_request("start time not set"))?;
    let start = at("start", start)?;
    let end = params.get("end").map_or(Ok(now_ns), |text| at("end", text))?;
    // Requests are split by nobody here; that the number makes sense is all that is asked of it.
    let interval = params.get("max_interval").map(duration::prometheus);
    if interval == Some(None) {
        return Err(Failure::bad_request("invalid max_interval: valid time units are 's', 'm', 'h'"));
    }
    if end > now_ns {
        return Err(Failure::bad_request("deletes in the future are not allowed"));
    }
    if start >= end {
        return Err(Failure::bad_request("start time can't be greater than or equal to end time"));
    }
    Ok((start, end))
}

/// `GET /loki/api/v1/delete`
pub(crate) async fn list(
    State(state): State<AppState>,
    access: DeleteAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let tenant = access.tenant();
    let (params, headers) = Params::of(&state, &tenant, request).await?;
    let bound = |name: &str| {
        let wrong = |_| Failure::bad_request(format!("invalid {name} time"));
        params.get(name).map(|text| parse_timestamp(text).map_err(wrong)).transpose()
    };
    let (start, end) = (bound("start")?.unwrap_or(i64::MIN), bound("end")?.unwrap_or(i64::MAX));
    let engine = state.query.clone();
    blocking::operate(&state, move |_| {
        let mut deletes = engine.deletes(&tenant);
        deletes.retain(|d| d.range.0 <= end && start <= d.range.1);
        Ok(Answer::json(encode(&deletes)).packed_if(takes_gzip(&headers)))
    })
    .await
}

fn encode(deletes: &[DeleteStatus]) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for (i, delete) in deletes.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let status = if delete.processed { "processed" } else { "received" };
        let (start, end) = (seconds(delete.range.0), seconds(delete.range.1));
        let (number, created) = (delete.number, seconds(delete.created_ns));
        // Writing into memory does not fail.
        let _ = write!(
            out,
            "{comma}{{\"request_id\":\"{number:08x}\",\"start_time\":{start},\"end_time\":{end},\"query\":"
        );
        put_text(&mut out, &delete.query);
        let _ = write!(out, ",\"status\":\"{status}\",\"created_at\":{created},\"user_id\":\"\"}}");
    }
    out.extend_from_slice(b"]\n");
    out
}

/// Seconds with milliseconds, as short as they go.
fn seconds(ns: i64) -> String {
    let (whole, ms) = (ns.div_euclid(SECOND_NS), ns.rem_euclid(SECOND_NS) / MILLISECOND_NS);
    let text = format!("{whole}.{ms:03}");
    match ns >= 0 {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => format!("{}", ns as f64 / SECOND_NS as f64),
    }
}

/// `DELETE /loki/api/v1/delete`
pub(crate) async fn cancel(
    State(state): State<AppState>,
    access: DeleteAccess,
    request: Request,
) -> Result<StatusCode, Failure> {
    let tenant = access.tenant();
    let (params, _) = Params::of(&state, &tenant, request).await?;
    let number = params.get("request_id").and_then(|id| u64::from_str_radix(id, 16).ok());
    let number = number.ok_or_else(|| refused(DeleteError::Unknown))?;
    let engine = state.query.clone();
    blocking::operate(&state, move |_| engine.cancel_delete(&tenant, number).map_err(refused)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /loki/api/v1/cache/generation_numbers`: Loki's own parts ask it; there is no cache here that could be stale.
pub(crate) async fn generation_numbers(_: QueryAccess) -> Answer {
    Answer::json(b"\"\"\n".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_219_723_000_000_000;

    #[test]
    fn bounds_as_loki_reads_them_and_more() {
        let of = |query: &str| range(&Params::from_query(query), NOW).map_err(|f| f.text().to_owned());
        assert_eq!(of("start=1795219720"), Ok((NOW - 3 * SECOND_NS, NOW)));
        assert_eq!(of("start=1795219720.5&end=1795219721"), Ok((NOW - 2_500_000_000, NOW - 2 * SECOND_NS)));
        assert_eq!(of("start=1795219720000000001&end=2026-11-21T00:08:43Z"), Ok((NOW - 2_999_999_999, NOW)));
        for (query, wanted) in [
            ("end=5", "start time not set"),
            ("start=x", "invalid start time: require unix seconds or RFC3339 format"),
            ("start=1&end=x", "invalid end time: require unix seconds or RFC3339 format"),
            ("start=1&end=1795219724", "deletes in the future are not allowed"),
            ("start=5&end=5", "start time can't be greater than or equal to end time"),
            ("start=1&end=2&max_interval=x", "invalid max_interval: valid time units are 's', 'm', 'h'"),
        ] {
            assert_eq!(of(query), Err(wanted.to_owned()), "{query}");
        }
        assert!(of("start=1&end=2&max_interval=1h").is_ok());
    }

    #[test]
    fn the_list_is_lokis_json() {
        let delete = DeleteStatus {
            number: 0x55b0_148c,
            query: "{app=\"web\"} |= `x`".to_owned(),
            range: (NOW, NOW + 3_600_204_000_000),
            created_ns: NOW + 3_600_204_999_999,
            processed: false,
        };
        assert_eq!(
            String::from_utf8(encode(&[delete])).unwrap(),
            "[{\"request_id\":\"55b0148c\",\"start_time\":1795219723,\"end_time\":1795223323.204,\
             \"query\":\"{app=\\\"web\\\"} |= `x`\",\"status\":\"received\",\"created_at\":1795223323.204,\
             \"user_id\":\"\"}]\n"
        );
        assert_eq!(encode(&[]), b"[]\n");
        assert_eq!((seconds(0), seconds(-1_500_000_000)), ("0".to_owned(), "-1.5".to_owned()));
    }
}
