//! What may an operator see and change while the server runs? Loki's operational paths.

use crate::access::{Caller, Identity, OperatorAccess};
use crate::http::answer::{Answer, takes_gzip};
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::respond;
use crate::operate::LOKI_VERSION;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::{Limits, TenantId};
use strandline_query::reader::go_duration;

/// `GET|POST /log_level`: the level of the server's own log, and with `log_level` a new one.
pub(crate) async fn log_level(
    State(state): State<AppState>,
    _: OperatorAccess,
    request: Request,
) -> Result<Response, Failure> {
    let method = request.method().clone();
    let (params, _) = Params::of(&state, &TenantId::default_tenant(), request).await?;
    let Some(process) = &state.process else { return Ok(respond::not_found()) };
    if method != Method::POST {
        let message = format!("Current log level is {}", process.log_level());
        return Ok(respond::json(StatusCode::OK, json!({ "message": message }).to_string()));
    }
    let level = params.get("log_level").unwrap_or("");
    let (status, outcome, message) = match process.set_log_level(level) {
        Ok(()) => (StatusCode::OK, "success", format!("Log level set to {level}")),
        Err(error) => (StatusCode::BAD_REQUEST, "failed", error),
    };
    Ok(respond::json(status, json!({ "status": outcome, "message": message }).to_string()))
}

/// `GET /config`: the settings in force; `?mode=defaults` the default ones.
pub(crate) async fn config(
    State(state): State<AppState>,
    _: OperatorAccess,
    request: Request,
) -> Result<Response, Failure> {
    let (params, _) = Params::of(&state, &TenantId::default_tenant(), request).await?;
    let Some(process) = &state.process else { return Ok(respond::not_found()) };
    Ok(respond::text(StatusCode::OK, process.settings(params.get("mode") == Some("defaults"))))
}

/// `GET /services`: the parts of the server and how they are.
pub(crate) async fn services(State(state): State<AppState>, _: Identity) -> Response {
    let phase = if state.stopping.load(Ordering::Relaxed) { "Stopping" } else { "Running" };
    let writes = if state.query.read_only().is_some() { "Failed" } else { phase };
    let text = format!("server => {phase}\ningester => {writes}\nquerier => {phase}\ncompactor => {phase}\n");
    respond::text(StatusCode::OK, text)
}

/// `GET|POST|DELETE /ingester/prepare_shutdown`: whether the next stop shall write all memory to segments. A stop does so
/// anyway; the mark is kept for tools that set it and ask for it.
pub(crate) async fn prepare_shutdown(
    State(state): State<AppState>,
    _: OperatorAccess,
    method: Method,
) -> Response {
    match method {
        Method::POST => state.shutdown_prepared.store(true, Ordering::Relaxed),
        Method::DELETE => state.shutdown_prepared.store(false, Ordering::Relaxed),
        _ => {
            let set = state.shutdown_prepared.load(Ordering::Relaxed);
            return respond::text(StatusCode::OK, if set { "set\n" } else { "unset\n" }.to_owned());
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

/// `POST /ingester/shutdown`: a graceful stop, which writes what is in memory to segments. Loki takes a `GET` too; here a
/// link must not stop a server.
pub(crate) async fn shutdown(State(state): State<AppState>, _: OperatorAccess) -> Response {
    let Some(process) = &state.process else { return respond::not_found() };
    process.stop();
    StatusCode::NO_CONTENT.into_response()
}

/// `GET /loki/api/v1/drilldown-limits`: what Logs Drilldown asks for at its start. Loki refuses it without a tenant's name
/// even where there is only one; it is always answered here.
pub(crate) async fn drilldown_limits(State(state): State<AppState>, parts: Parts) -> Result<Answer, Failure> {
    let body = json!({
        "limits": limits(&state, &parts).await?,
        "pattern_ingester_enabled": true,
        "version": LOKI_VERSION,
    });
    Ok(Answer::json(format!("{body}\n").into_bytes()).packed_if(takes_gzip(&parts.headers)))
}

/// `GET /config/tenant/v1/limits`: the same limits as YAML.
pub(crate) async fn tenant_limits(State(state): State<AppState>, parts: Parts) -> Result<Response, Failure> {
    let limits = limits(&state, &parts).await?;
    // JSON is YAML.
    let lines = limits.as_object().into_iter().flatten().map(|(name, value)| format!("{name}: {value}\n"));
    Ok(respond::text(StatusCode::OK, lines.collect()))
}

async fn limits(state: &AppState, parts: &Parts) -> Result<Value, Failure> {
    let is_open = state.access.is_open();
    let reader = match state.access.query(&Caller::of(parts)).await {
        Err(failure) if is_open && failure.status() == StatusCode::UNAUTHORIZED.as_u16() => None,
        other => Some(other?.0),
    };
    let first = reader.as_ref().and_then(|reader| reader.tenants().first());
    let name = first.map_or("", |tenant| tenant.as_str());
    let retention = state.process.as_ref().map_or(0, |process| process.retention_ns(name));
    let limits =
        reader.map_or_else(|| Arc::clone(state.config.limits.defaults()), |r| Arc::clone(&r.rules().limits));
    Ok(shown(&limits, retention, state.query.timeout_ns()))
}

/// Limits under Loki's names.
fn shown(limits: &Limits, retention_ns: i64, timeout_ns: i64) -> Value {
    json!({
        "discover_log_levels": true,
        "discover_service_name": strandline_ingest::enrich::SERVICE_LABELS,
        "log_level_fields": strandline_ingest::level::FIELDS,
        "max_entries_limit_per_query": limits.max_entries_per_query,
        "max_line_size": limits.max_line_bytes,
        "max_line_size_truncate": false,
        "max_query_bytes_read": "0B",
        "max_query_length": go_duration(limits.max_query_length_ns),
        "max_query_lookback": go_duration(limits.max_query_lookback_ns),
        "max_query_range": go_duration(limits.max_query_range_ns),
        "max_query_series": limits.max_series_per_query,
        "metric_aggregation_enabled": false,
        "otlp_config": {},
        "pattern_persistence_enabled": false,
        "query_timeout": go_duration(if limits.query_timeout_ns > 0 { limits.query_timeout_ns } else { timeout_ns }),
        "retention_period": go_duration(retention_ns),
        "volume_enabled": limits.volume_enabled,
        "volume_max_series": limits.volume_max_series,
    })
}
