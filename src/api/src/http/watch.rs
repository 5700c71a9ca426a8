//! How many requests are there, and how do they end?

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

/// Counts requests by path pattern and status.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    // The pattern, not the path: a client must not be able to make up series.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let path = path.as_ref().map_or("unknown", MatchedPath::as_str).to_owned();
    let status = response.status().as_u16().to_string();
    metrics::counter!("strandline_http_requests_total", "path" => path, "status" => status).increment(1);
    response
}
