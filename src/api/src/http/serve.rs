//! How do connections come and go? An accept loop of our own: axum's sets no time limit on request headers.
//!
//! Connections are bounded in number; each has to send its first request and every further header in time. When the
//! server stops, no connection is taken any more, those there are finish what they have begun.

use crate::config::ApiConfig;
use crate::http::polling::{self, MarkedTasks};
use crate::http::write_timeout::WriteTimeout;
use crate::router::{otlp_grpc_router, router};
use crate::state::{ApiState, Door, Shared};
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::{ServiceExt, service_fn};

/// After a failed accept (out of file descriptors, most often) the loop rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often the recorder of metrics is given time to tidy up.
const METRICS_TIDY: Duration = Duration::from_secs(5);
/// Longest header of one HTTP/1 request, and buffer of a connection.
const MAX_HTTP1_BUFFER: usize = 256 << 10;
/// Header limits and streams of HTTP/2.
const MAX_HTTP2_HEADERS: u32 = 256 << 10;
const MAX_HTTP2_STREAMS: u32 = 128;
const HTTP2_PING: Duration = Duration::from_secs(30);

/// Why the door closed unasked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The listening socket is of no use any more.
    #[error("the listening socket failed: {0}")]
    Listener(std::io::Error),
}

/// Serves until `stop` resolves, then lets requests in flight finish for a while.
pub async fn serve(
    listener: TcpListener,
    ApiState(state): ApiState,
    stop: impl Future<Output = ()>,
) -> Result<(), ApiError> {
    let app = router(state.clone(), is_loopback(&listener));
    accept(listener, state, app, stop).await
}

/// As [`serve`], for the port that takes OTLP over gRPC and nothing else.
pub async fn serve_otlp_grpc(
    listener: TcpListener,
    ApiState(state): ApiState,
    stop: impl Future<Output = ()>,
) -> Result<(), ApiError> {
    let app = otlp_grpc_router(state.clone(), is_loopback(&listener));
    accept(listener, state, app, stop).await
}

/// Whether only programs on this machine can connect.
fn is_loopback(listener: &TcpListener) -> bool {
    listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

async fn accept(
    listener: TcpListener,
    state: Door,
    app: Router,
    stop: impl Future<Output = ()>,
) -> Result<(), ApiError> {
    let config = state.config.clone();
    let (closing, closed) = watch::channel(false);
    let room = Arc::new(Semaphore::new(config.max_connections.max(1)));
    let mut connections = JoinSet::new();
    let mut tidy = tokio::time::interval(METRICS_TIDY);
    let mut stop = pin!(stop);
    loop {
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let stream = loop {
            tokio::select! {
                () = &mut stop => break None,
                _ = tidy.tick() => state.prometheus.run_upkeep(),
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => break Some(stream),
                    Err(error) if is_fatal(&error) => return Err(ApiError::Listener(error)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                }
            }
        };
        let Some(stream) = stream else { break };
        let connection = taken(stream, app.clone(), config.clone(), closed.clone());
        connections.spawn(polling::marked(async move {
            connection.await;
            drop(permit);
        }));
    }
    state.stopping.store(true, Ordering::Relaxed);
    drop(listener);
    state.tails.close();
    drain(&closing, connections, &state, config.drain_timeout).await;
    Ok(())
}

/// Errors of the socket itself, as against those of one connection or of the moment.
fn is_fatal(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported)
}

async fn drain(
    closing: &watch::Sender<bool>,
    mut connections: JoinSet<()>,
    state: &Shared,
    timeout: Duration,
) {
    closing.send_replace(true);
    let all = async {
        while connections.join_next().await.is_some() {}
        // A tail is no connection of the server's any more; it has the socket to itself.
        state.tails.emptied().await;
    };
    if tokio::time::timeout(timeout, all).await.is_err() {
        let (left, tails) = (connections.len(), state.tails.open());
        tracing::warn!(left, tails, "connections that did not end in time are cut");
        connections.shutdown().await;
    }
}

/// Takes a connection, through the lock if there is one.
async fn taken(stream: TcpStream, app: Router, config: ApiConfig, closed: watch::Receiver<bool>) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let Some(tls) = config.tls.clone() else { return connection(stream, app, config, closed).await };
    // The lock of this moment, for as long as the connection lives.
    let acceptor = tls.acceptor();
    match tokio::time::timeout(config.header_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, app, config, closed).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection came to no agreement on TLS"),
        Err(_) => tracing::debug!("a connection took too long to agree on TLS"),
    }
}

/// Serves one connection to its end.
async fn connection<S>(stream: S, app: Router, config: ApiConfig, mut closed: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let app = service_fn(move |request: Request<Incoming>| {
        noted.store(true, Ordering::Relaxed);
        app.clone().oneshot(request.map(Body::new))
    });
    let builder = builder(&config);
    let stream = WriteTimeout::new(stream, config.write_timeout);
    let mut serving =
        pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(app)));
    let mut first_request = pin!(tokio::time::sleep(config.header_timeout));
    let mut waiting = true;
    loop {
        tokio::select! {
            result = &mut serving => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            // While it finds out which HTTP is spoken, hyper knows no time limit.
            () = &mut first_request, if waiting => {
                waiting = false;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            changed = closed.changed(), if !*closed.borrow() => {
                if changed.is_err() {
                    return;
                }
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(config: &ApiConfig) -> Builder<MarkedTasks> {
    let mut builder = Builder::new(MarkedTasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(MAX_HTTP1_BUFFER)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HTTP2_HEADERS)
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING);
    builder
}
