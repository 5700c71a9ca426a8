//! How do connections come and go? An accept loop of our own: axum's sets no time limit on request headers.
//!
//! Connections are bounded in number ([`super::connections`]); each has to send its first request and every further one in
//! time. When the server stops, no connection is taken any more, those there are finish what they have begun.

use crate::access::Peer;
use crate::config::ApiConfig;
use crate::http::answer_body::AnswerBody;
use crate::http::connections::{Activity, Admission, Slot};
use crate::http::failure::Failure;
use crate::http::polling::{self, MarkedTasks};
use crate::http::write_timeout::WriteTimeout;
use crate::router::{otlp_grpc_router, reserve_router, router};
use crate::state::{ApiState, AppState, SharedState};
use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{ServiceExt, service_fn};

/// After a failed accept (out of file descriptors, most often) the loop rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a connection of the reserve may take to ask.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the recorder of metrics is given time to tidy up.
const METRICS_TIDY: Duration = Duration::from_secs(5);
/// Longest head of one HTTP/1 request, and buffer of a connection: a target of 64 KiB (hyper takes no longer one) and headers.
const MAX_HTTP1_BUFFER: usize = 96 << 10;
/// The same for a head of HTTP/2; it counts 32 bytes more for each field.
const MAX_HTTP2_HEADERS: u32 = 80 << 10;
/// Most fields of a head: fields of HTTP/2 can be a byte each, and take 100 bytes of memory. hyper's own bound for HTTP/1.
const MAX_FIELDS: usize = 100;
/// Requests at a time of one HTTP/2 connection: nothing else bounds how many heads it can have in memory.
const MAX_HTTP2_STREAMS: u32 = 64;
/// What a connection of HTTP/2 may send before it is read, on all streams and on each: the protocol's own default.
const HTTP2_WINDOW: u32 = 65_535;
const HTTP2_PING: Duration = Duration::from_secs(30);

/// Why the server ended without having been asked to.
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
    state: AppState,
    app: Router,
    stop: impl Future<Output = ()>,
) -> Result<(), ApiError> {
    let config = state.config.clone();
    let (closing, closed) = watch::channel(false);
    let open = Service { app, config: config.clone(), is_reserve: false };
    let reserve = Service {
        app: reserve_router(state.clone(), is_loopback(&listener)),
        config: ApiConfig { header_timeout: config.header_timeout.min(RESERVE_TIMEOUT), ..config.clone() },
        is_reserve: true,
    };
    let mut connections = JoinSet::new();
    let mut tidy = tokio::time::interval(METRICS_TIDY);
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            _ = tidy.tick() => {
                state.prometheus.run_upkeep();
                continue;
            }
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_fatal(&error) => return Err(ApiError::Listener(error)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            },
        };
        let (slot, service) = match state.connections.admit(peer.ip()) {
            Admission::Open(slot) => (slot, open.clone()),
            Admission::Reserved(slot) => (slot, reserve.clone()),
            // Dropping the stream closes it.
            Admission::Refused => continue,
        };
        let peer = Peer(peer.ip());
        connections.spawn(polling::marked(taken(stream, peer, service, slot, closed.clone())));
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
    state: &SharedState,
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

/// What a connection is served with.
#[derive(Clone)]
struct Service {
    app: Router,
    config: ApiConfig,
    /// One request, and then the connection ends.
    is_reserve: bool,
}

/// Takes a connection, through TLS if it is set up.
async fn taken(stream: TcpStream, peer: Peer, service: Service, slot: Slot, closed: watch::Receiver<bool>) {
    // Small answers must not wait for more to come.
    let _ = stream.set_nodelay(true);
    let Some(tls) = service.config.tls.clone() else {
        return connection(stream, peer, service, slot, closed).await;
    };
    // A later change of the certificate does not concern this connection.
    let acceptor = if service.is_reserve { tls.http1_acceptor() } else { tls.acceptor() };
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(service.config.header_timeout, acceptor.accept(stream)) => agreed,
        () = slot.activity().asked_to_close() => return,
    };
    match agreed {
        Ok(Ok(stream)) => connection(stream, peer, service, slot, closed).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection came to no agreement on TLS"),
        Err(_) => tracing::debug!("a connection took too long to agree on TLS"),
    }
}

/// Serves one connection to its end.
async fn connection<S>(stream: S, peer: Peer, service: Service, slot: Slot, closed: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Service { app, config, is_reserve } = service;
    let activity = Arc::clone(slot.activity());
    let app = service_fn(move |mut request: Request<Incoming>| {
        let under_way = activity.begin();
        let is_http2 = request.version() == Version::HTTP_2;
        request.extensions_mut().insert(peer);
        // A head that is too long is dropped here, before the next one is read.
        let answer = has_few_fields(&request).then(|| app.clone().oneshot(request.map(Body::new)));
        async move {
            let answer = match answer {
                Some(answer) => answer.await?,
                None => too_many_fields(),
            };
            Ok::<_, Infallible>(answer.map(|body| AnswerBody::new(body, under_way, is_http2)))
        }
    });
    let builder = builder(&config, is_reserve);
    let stream = TokioIo::new(WriteTimeout::new(stream, config.write_timeout));
    let app = TowerToHyperService::new(app);
    let open = OpenConnection { slot, config, is_reserve, closed };
    if is_reserve {
        // One request and one answer, whose writing has a time limit; streams could hold a connection in many ways.
        let builder = builder.http1_only();
        let serving = pin!(builder.serve_connection(stream, app));
        return open.until_its_end(serving, |serving| serving.graceful_shutdown()).await;
    }
    let serving = pin!(builder.serve_connection_with_upgrades(stream, app));
    open.until_its_end(serving, |serving| serving.graceful_shutdown()).await;
}

/// A connection that is served, and what can end it.
struct OpenConnection {
    slot: Slot,
    config: ApiConfig,
    is_reserve: bool,
    closed: watch::Receiver<bool>,
}

impl OpenConnection {
    async fn until_its_end<F, E: Display>(mut self, mut serving: Pin<&mut F>, shut_down: impl Fn(Pin<&mut F>))
    where
        F: Future<Output = Result<(), E>>,
    {
        let config = &self.config;
        let mut look = pin!(tokio::time::sleep(config.header_timeout.min(config.write_timeout)));
        loop {
            tokio::select! {
                result = &mut serving => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection ended");
                    }
                    return;
                }
                // While it finds out which HTTP is spoken, hyper knows no time limit, and none for idle connections of HTTP/2.
                () = &mut look => match time_left(self.slot.activity(), config, self.is_reserve) {
                    Some(left) => look.set(tokio::time::sleep(left)),
                    None => return,
                },
                () = self.slot.activity().asked_to_close() => {
                    // A request may have come since it was chosen.
                    if self.slot.activity().is_idle() {
                        return;
                    }
                    shut_down(serving.as_mut());
                }
                changed = self.closed.changed(), if !*self.closed.borrow() => {
                    if changed.is_err() {
                        return;
                    }
                    shut_down(serving.as_mut());
                }
            }
        }
    }
}

fn has_few_fields<B>(request: &Request<B>) -> bool {
    request.headers().len() <= MAX_FIELDS
}

fn too_many_fields() -> Response {
    let text = format_args!("the request has more than {MAX_FIELDS} header fields");
    Failure::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text).with_newline().into_response()
}

/// How long until the next look at a connection; `None`: it was idle, or its client took nothing of an answer, for too long.
fn time_left(activity: &Activity, config: &ApiConfig, is_reserve: bool) -> Option<Duration> {
    let left = |most: Duration, spent_ns: i64| {
        let spent = Duration::from_nanos(u64::try_from(spent_ns).unwrap_or(0));
        most.checked_sub(spent).filter(|left| !left.is_zero())
    };
    let most = if activity.has_asked() && !is_reserve { config.idle_timeout } else { config.header_timeout };
    let idle = left(most, activity.idle_ns())?;
    let Some(stalled) = left(config.write_timeout, activity.stalled_ns()) else {
        metrics::counter!("strandline_answers_stalled_total").increment(1);
        tracing::debug!("a client took nothing of an answer for too long (server.write_timeout)");
        return None;
    };
    Some(idle.min(stalled))
}

fn builder(config: &ApiConfig, is_reserve: bool) -> Builder<MarkedTasks> {
    let mut builder = Builder::new(MarkedTasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper counts from the end of the answer before.
        .header_read_timeout(config.header_timeout.max(config.idle_timeout))
        .max_buf_size(MAX_HTTP1_BUFFER)
        .keep_alive(!is_reserve);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HTTP2_HEADERS)
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .initial_stream_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOW)
        .keep_alive_interval(HTTP2_PING);
    builder
}
