//! Which path leads where?

use crate::control;
use crate::explain;
use crate::http::failure::Failure;
use crate::http::respond::{self, internal_error};
use crate::http::sites::{self, HostRule};
use crate::http::{pieces, watch};
use crate::loki::{delete, detected, format, labels, legacy, logs, patterns, push, rules, tail, volume};
use crate::operate;
use crate::otlp;
use crate::state::AppState;
use axum::Router;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

/// Loki answers a wrong method on a reading path as if the path were unknown.
fn read<H, T>(handler: H) -> MethodRouter<AppState>
where
    H: Handler<T, AppState>,
    T: 'static,
{
    get(handler.clone()).post(handler).fallback(not_found)
}

async fn not_found() -> axum::response::Response {
    respond::not_found()
}

/// What load balancers and scrapers ask, with and without the prefix.
fn operating() -> Router<AppState> {
    Router::new()
        .route("/ready", get(operate::ready))
        .route("/health", get(operate::health))
        .route("/metrics", get(operate::metrics))
}

/// All paths, behind the prefix if there is one, as a listener on a loopback address or another serves them.
pub(crate) fn router(state: AppState, is_loopback: bool) -> Router {
    let prefix = state.config.path_prefix.clone();
    let all = if prefix.is_empty() { paths(&state) } else { operating().nest(&prefix, paths(&state)) };
    finished(all.fallback(not_found), state, is_loopback)
}

/// What is answered on connections beyond the bounds.
pub(crate) fn reserve_router(state: AppState, is_loopback: bool) -> Router {
    let prefix = state.config.path_prefix.clone();
    let all = if prefix.is_empty() { operating() } else { operating().nest(&prefix, operating()) };
    finished(all.fallback(too_many_connections), state, is_loopback)
}

async fn too_many_connections() -> Failure {
    Failure::busy(
        "too many connections are open (server.max_connections, server.max_connections_per_address); retry after a \
         moment",
    )
    .with_newline()
}

/// The one path of the port for OTLP over gRPC.
pub(crate) fn otlp_grpc_router(state: AppState, is_loopback: bool) -> Router {
    let export = Router::new().route(otlp::grpc::EXPORT, post(otlp::grpc::export));
    let guarded = export.route_layer(middleware::from_fn_with_state(state.clone(), sites::guard_push));
    finished(guarded.fallback(not_found), state, is_loopback)
}

/// What all paths have in common.
fn finished(paths: Router<AppState>, state: AppState, is_loopback: bool) -> Router {
    let hosts = HostRule { state: state.clone(), is_loopback, is_pushed_to: |path| PUSHING.contains(&path) };
    paths
        .layer(middleware::from_fn_with_state(hosts, sites::guard_host))
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .layer(middleware::from_fn(watch::count))
        .layer(middleware::from_fn_with_state(state.clone(), pieces::give_up_stalled))
        .with_state(state)
}

fn paths(state: &AppState) -> Router<AppState> {
    let pushing = pushing().route_layer(middleware::from_fn_with_state(state.clone(), sites::guard_push));
    let changing = changing().route_layer(middleware::from_fn_with_state(state.clone(), sites::guard_change));
    operating().merge(reading()).merge(pushing).merge(changing)
}

/// Paths that take log lines.
const PUSHING: [&str; 5] = [PUSH, LEGACY_PUSH, OTLP_LOGS, OTLP_LOGS_ALONE, otlp::grpc::EXPORT];
const PUSH: &str = "/loki/api/v1/push";
const LEGACY_PUSH: &str = "/api/prom/push";
const OTLP_LOGS: &str = "/otlp/v1/logs";
const OTLP_LOGS_ALONE: &str = "/v1/logs";

fn pushing() -> Router<AppState> {
    Router::new()
        .route(PUSH, post(push::push))
        .route(LEGACY_PUSH, post(push::push))
        .route(OTLP_LOGS, post(otlp::http::logs))
        .route(OTLP_LOGS_ALONE, post(otlp::http::logs))
        .route(otlp::grpc::EXPORT, post(otlp::grpc::export))
}

/// Paths that change something else, by any method but GET.
fn changing() -> Router<AppState> {
    Router::new()
        .route("/log_level", get(control::log_level).post(control::log_level))
        .route(
            "/ingester/prepare_shutdown",
            get(control::prepare_shutdown).post(control::prepare_shutdown).delete(control::prepare_shutdown),
        )
        .route("/ingester/shutdown", post(control::shutdown))
        .route(
            "/loki/api/v1/delete",
            get(delete::list).post(delete::add).put(delete::add).delete(delete::cancel),
        )
        .route("/flush", post(operate::flush))
        .route("/flush/tenant", post(operate::flush))
}

/// Paths that change nothing.
fn reading() -> Router<AppState> {
    Router::new()
        .route("/loki/api/v1/query_range", read(logs::query_range))
        .route("/loki/api/v1/query", read(logs::query))
        .route("/loki/api/v1/tail", read(tail::tail))
        .route("/api/prom/tail", read(tail::legacy_tail))
        .route("/loki/api/v1/format_query", read(format::format_query))
        .route("/strandline/v1/explain", read(explain::explain))
        .route("/loki/api/v1/labels", read(labels::names))
        .route("/loki/api/v1/label", read(labels::names))
        .route("/api/prom/label", read(labels::names))
        .route("/loki/api/v1/label/{name}/values", read(labels::values))
        .route("/api/prom/label/{name}/values", read(labels::values))
        .route("/loki/api/v1/series", read(labels::series))
        .route("/api/prom/series", read(labels::series))
        .route("/loki/api/v1/index/stats", read(volume::index_stats))
        .route("/loki/api/v1/index/volume", read(volume::index_volume))
        .route("/loki/api/v1/index/volume_range", read(volume::index_volume_range))
        .route("/loki/api/v1/detected_labels", read(detected::labels))
        .route("/loki/api/v1/detected_fields", read(detected::fields))
        .route("/loki/api/v1/detected_field/{name}/values", read(detected::values))
        .route("/loki/api/v1/patterns", read(patterns::patterns))
        .route("/api/prom/query", read(legacy::query))
        .route("/loki/api/v1/drilldown-limits", read(control::drilldown_limits))
        .route("/config/tenant/v1/limits", get(control::tenant_limits))
        .route("/config", get(control::config))
        .route("/services", get(control::services))
        .route("/loki/api/v1/cache/generation_numbers", get(delete::generation_numbers))
        .route("/loki/api/v1/status/buildinfo", get(operate::buildinfo))
        .route("/prometheus/api/v1/rules", get(rules::status))
        .route("/prometheus/api/v1/alerts", get(rules::alerts))
        .route("/loki/api/v1/rules", get(rules::list))
        .route("/loki/api/v1/rules/{namespace}", get(rules::list))
        .route("/loki/api/v1/rules/{namespace}/{group}", get(rules::group))
        .route("/api/prom/rules", get(rules::list))
        .route("/api/prom/rules/{namespace}", get(rules::list))
        .route("/api/prom/rules/{namespace}/{group}", get(rules::group))
}
