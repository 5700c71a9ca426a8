//! Which rules and alerts are there? None until the server evaluates rules; clients are told so in the words of a Loki
//! without rules.

use crate::access::QueryAccess;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::respond;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// `GET /prometheus/api/v1/rules`: groups and their state, as Grafana's alert page asks for them.
pub(crate) async fn status(_: QueryAccess, RawQuery(query): RawQuery) -> Response {
    let params = Params::from_query(query.as_deref().unwrap_or(""));
    match params.get("type") {
        None | Some("alert" | "record") => answered(StatusCode::OK, json!({ "groups": [] }), None),
        Some(other) => {
            let error = format!("not supported value {other:?}");
            answered(StatusCode::BAD_REQUEST, Value::Null, Some(("bad_data", error)))
        }
    }
}

/// `GET /prometheus/api/v1/alerts`: what fires.
pub(crate) async fn alerts(_: QueryAccess) -> Response {
    answered(StatusCode::OK, json!({ "alerts": [] }), None)
}

/// `GET /loki/api/v1/rules` and one namespace of it, and the older names.
pub(crate) async fn list(_: QueryAccess) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "no rule groups found").with_newline()
}

/// `GET /loki/api/v1/rules/{namespace}/{group}` and its older name. Grafana takes this text for rules that can be kept here.
pub(crate) async fn group(_: QueryAccess) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "group does not exist").with_newline()
}

fn answered(status: StatusCode, data: Value, error: Option<(&str, String)>) -> Response {
    let outcome = if error.is_none() { "success" } else { "error" };
    let (kind, error) = error.unwrap_or_default();
    let body = json!({ "status": outcome, "data": data, "errorType": kind, "error": error });
    respond::json(status, format!("{body}\n"))
}
