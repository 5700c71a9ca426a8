//! How is a query laid out for reading?

use crate::access::Identity;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::respond;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use strandline_model::TenantId;

/// `GET|POST /loki/api/v1/format_query`. Unlike everywhere else, a mistake in the query is told in JSON.
pub(crate) async fn format_query(
    State(state): State<AppState>,
    _: Identity,
    request: Request,
) -> Result<Response, Failure> {
    let (params, headers) = Params::of(&state, &TenantId::default_tenant(), request).await?;
    let strict = state.config.strict;
    blocking::read(&state, move |_| {
        match strandline_query::pretty(params.get("query").unwrap_or(""), strict) {
            Ok(text) => {
                let body = serde_json::json!({ "status": "success", "data": text });
                Ok(Answer::json(body.to_string().into_bytes())
                    .packed_if(takes_gzip(&headers))
                    .into_response())
            }
            Err(error) => {
                let body = serde_json::json!({ "status": "invalid-query", "error": error.to_string() });
                Ok(respond::json(StatusCode::BAD_REQUEST, body.to_string()))
            }
        }
    })
    .await
}
