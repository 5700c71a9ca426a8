//! `strandline serve`: in which order do the parts start and stop?
//!
//! Start: engine (replays the write-ahead log), then the listeners. Stop: requests drained first, then the head sealed and
//! everything synced, all within [`DEADLINE`]; what is not done by then is replayed at the next start.

use crate::config::{Config, Loaded, memory};
use crate::controls::Controls;
use crate::logging::LogLevel;
use crate::open_files::OpenFileShares;
use crate::reload::Reload;
use crate::shutdown::{DEADLINE, Shutdown};
use crate::wiring;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use strandline_api::{ApiConfig, ApiError, ApiState};
use strandline_ingest::{Admission, Submitter};
use strandline_query::QueryEngine;
use strandline_store::Runtime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Why the server did not start or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another server running? choose another with --http-listen"
    )]
    Listen {
        /// The address of `server.http_listen`.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime or the signal handlers could not be set up.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The engine or a listener failed.
    #[error("{0}")]
    Part(String),
}

/// Serves until a signal ends it.
pub fn run(loaded: &Loaded, log_level: LogLevel) -> Result<(), ServeError> {
    let config = &loaded.config;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Start)?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(ServeError::Start)?;
        let process = Arc::new(Controls::new(loaded, log_level, shutdown.clone()));
        let reload = Reload::begin(config).map_err(ServeError::Part)?;
        let open_files = OpenFileShares::of_process();
        let mut api_config =
            wiring::api_config(config, &reload, &config.memory.budget()).map_err(ServeError::Part)?;
        open_files.bound(&mut api_config, config.server.max_connections_per_address);
        for (_, warning) in memory::warnings(config) {
            tracing::warn!("{warning}");
        }
        tracing::info!(
            max_memory = config.server.max_memory,
            for_requests = config.memory.requests,
            max_active_streams = config.server.max_active_streams,
            "memory is divided"
        );
        reload.keep_looking().map_err(ServeError::Start)?;
        let http = listen(config.server.http_listen).await?;
        let otlp_grpc = listen_for_otlp(config.server.otlp_grpc_listen).await;
        let listeners = Listeners { http, otlp_grpc };
        warn_if_reachable(&listeners, config);
        tokio::select! {
            result = serve(config, api_config, open_files, listeners, process, &shutdown) => result,
            () = overdue(&shutdown) => Ok(()),
        }
    });
    // A blocking task that is stuck must not hold the process; what it had acknowledged is synced already.
    runtime.shutdown_background();
    result
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    // Not always the address asked for: port 0 means any.
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!(address = %bound, "listening");
    Ok(listener)
}

/// Says what somebody who set up a server in haste may not have thought of.
fn warn_if_reachable(listeners: &Listeners, config: &Config) {
    let mut bound_to = std::iter::once(&listeners.http).chain(&listeners.otlp_grpc);
    if bound_to.all(|listener| listener.local_addr().is_ok_and(|bound| bound.ip().is_loopback())) {
        return;
    }
    let has_credentials = !config.auth.tokens.is_empty() || !config.auth.users.is_empty();
    if !has_credentials && config.tls.client_ca_file.is_none() {
        tracing::warn!(
            "listening beyond this machine without credentials: whoever reaches this address may read and write \
             everything; `strandline token new NAME` makes a token for auth.tokens"
        );
    }
    if has_credentials && config.tls.cert_file.is_none() {
        tracing::warn!(
            "tokens and passwords cross the network as they are: set tls.cert_file and tls.key_file, or put a proxy in \
             front that does TLS"
        );
    }
}

/// Bound, but not answering yet.
struct Listeners {
    http: TcpListener,
    otlp_grpc: Option<TcpListener>,
}

/// The port for OTLP over gRPC. Its default is the one that every collector has too, and the same exports are taken on the
/// main port, so a port that cannot be had is no reason not to start.
async fn listen_for_otlp(address: Option<SocketAddr>) -> Option<TcpListener> {
    let address = address?;
    match listen(address).await {
        Ok(listener) => Some(listener),
        Err(_) => {
            tracing::warn!(
                %address,
                "OTLP over gRPC has no port of its own, for this one cannot be listened on; the main port takes it \
                 too. server.otlp_grpc_listen chooses another, or off"
            );
            None
        }
    }
}

/// Opens the engine, then serves; once `stop` resolves, closes them in the other order. Everything that ties the
/// crates together is here and in [`crate::wiring`]. The deadline is kept by the caller: it drops this future when the
/// stop takes too long.
async fn serve(
    config: &Config,
    api_config: ApiConfig,
    open_files: OpenFileShares,
    listeners: Listeners,
    process: Arc<Controls>,
    shutdown: &Shutdown,
) -> Result<(), ServeError> {
    let part = |e: &dyn std::fmt::Display| ServeError::Part(e.to_string());
    let prometheus = wiring::metrics().map_err(|e| part(&e))?;
    let engine_config = wiring::engine_config(config, open_files.segments).map_err(ServeError::Part)?;
    let data_dir = config.storage.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || wiring::open(&data_dir, engine_config)).await;
    let engine = opened.map_err(|e| part(&e))?.map_err(|e| part(&e))?;
    let runtime = Arc::new(Runtime::start(Arc::clone(&engine)).map_err(ServeError::Start)?);
    let query_config = wiring::query_config(config, &api_config.memory);
    let query = QueryEngine::new(engine, query_config).map_err(ServeError::Start)?;
    let admission_config = wiring::admission_config(config, &api_config.memory);
    let admission = Admission::new(Submitter::new(Arc::clone(&runtime)), admission_config);
    let state = ApiState::new(admission, Arc::new(query), api_config, prometheus, Some(process));
    let served = serve_listeners(listeners, state, shutdown).await;
    let stopped = tokio::task::spawn_blocking(move || runtime.stop()).await;
    served.map_err(|e| part(&e))?;
    stopped.map_err(|e| part(&e))?.map_err(|e| part(&e))
}

/// Serves on both ports until a stop begins, or the main one fails.
async fn serve_listeners(listeners: Listeners, state: ApiState, shutdown: &Shutdown) -> Result<(), ApiError> {
    let (serving, ended) = oneshot::channel::<()>();
    let http = async {
        let served = strandline_api::serve(listeners.http, state.clone(), shutdown.begun()).await;
        drop(serving);
        served
    };
    let otlp_grpc = async {
        let Some(listener) = listeners.otlp_grpc else { return };
        let stop = async {
            tokio::select! {
                () = shutdown.begun() => {}
                // Nothing is ever sent: what counts is that the other listener has closed.
                _ = ended => {}
            }
        };
        if let Err(error) = strandline_api::serve_otlp_grpc(listener, state.clone(), stop).await {
            tracing::error!(%error, "OTLP over gRPC is taken on the main port only from now on");
        }
    };
    tokio::join!(http, otlp_grpc).0
}

/// Resolves when a stop has begun and its deadline has passed.
async fn overdue(shutdown: &Shutdown) {
    shutdown.begun().await;
    tokio::time::sleep(DEADLINE).await;
    tracing::warn!("not everything was done in time; the write-ahead log is replayed at the next start");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_says_what_to_do() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let error = listen(first.local_addr().unwrap()).await.unwrap_err().to_string();
            assert!(error.contains("--http-listen"), "{error}");
            assert!(
                listen_for_otlp(first.local_addr().ok()).await.is_none(),
                "and a start goes on without it"
            );
            assert!(listen_for_otlp(None).await.is_none());
        });
    }
}
