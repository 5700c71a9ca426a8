//! What happens on a tail's socket, from the history to the close frame?

use super::frames::{self, Form};
use super::open_tails::{OpenTail, Share};
use super::question::Question;
use crate::http::blocking;
use crate::http::failure::{Failure, one_line};
use crate::http::polling;
use crate::state::AppState;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::SinkExt;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use strandline_model::TenantId;
use strandline_query::tail::{Delivery, History, Tail};
use strandline_query::{LogQuery, Queue, Reader};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

/// How often the client is pinged, as Loki does.
const PING: Duration = Duration::from_secs(1);
/// A client that takes nothing for so long has gone.
const STALL: Duration = Duration::from_secs(60);
/// How long a client may take to answer the close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Most frames that are gathered into one write.
const MAX_GATHERED: usize = 64;
/// Longest reason of a close frame (RFC 6455, 5.5).
const MAX_REASON_BYTES: usize = 123;

/// Why a tail ends.
#[derive(Debug)]
enum End {
    /// The client went away, or the connection broke.
    Gone,
    /// It is closed with this code and reason.
    Closed(u16, String),
}

impl End {
    fn refused(why: impl Into<String>) -> Self {
        Self::Closed(close_code::ERROR, why.into())
    }

    fn stopping() -> Self {
        Self::Closed(close_code::AWAY, "the server is shutting down".to_owned())
    }
}

/// A socket and what can end it.
struct Session {
    socket: WebSocket,
    closing: watch::Receiver<bool>,
    ping: Interval,
    form: Form,
}

/// Serves a tail to its end. `counted` is held until then.
pub(super) async fn run(state: AppState, question: Question, socket: WebSocket, counted: OpenTail) {
    polling::marked(serve(state, question, socket)).await;
    drop(counted);
}

async fn serve(state: AppState, question: Question, socket: WebSocket) {
    let mut ping = tokio::time::interval(PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    let closing = state.tails.closing();
    let mut session = Session { socket, closing, ping, form: question.form };
    let end = match session.serve(&state, question).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    if let End::Closed(code, reason) = end {
        session.close(code, &reason).await;
    }
}

impl Session {
    async fn serve(&mut self, state: &AppState, question: Question) -> Result<std::convert::Infallible, End> {
        let limits = std::sync::Arc::clone(&question.reader.rules().limits);
        let Some(query) = &question.query else {
            return Err(End::refused("only log selector is supported"));
        };
        let _shares = shares(state, &question.reader)?;
        let mut over = pin!(after(limits.tail_max_duration_ns));
        let (mut tail, history) = self.begin(state, &question, query).await?;
        tail.begin_after(&history);
        self.send_history(history).await?;
        loop {
            tokio::select! {
                delivery = poll_fn(|context| tail.poll_next(context)) => self.deliver(delivery, &mut tail).await?,
                message = self.socket.recv() => heard(message)?,
                _ = self.ping.tick() => self.send_ping().await?,
                () = begun(&mut self.closing) => return Err(End::stopping()),
                () = &mut over => return Err(End::refused("reached tail max duration limit")),
            }
        }
    }

    /// Opens the tail and reads its history, while the client may go away or the server stop.
    async fn begin(
        &mut self,
        state: &AppState,
        question: &Question,
        query: &LogQuery,
    ) -> Result<(Tail, History), End> {
        let engine = state.query.clone();
        let form = question.form;
        let (reader, query) = (question.reader.clone(), query.clone());
        let (start, limit) = (question.start, question.limit);
        let mut reading = pin!(blocking::in_slot(state, Queue::Query, &question.reader, move |slot| {
            let tail = engine.tail(&reader, &query, form.live_encoder(query.is_bare()));
            let history = engine.tail_history(&slot, &tail, form.encoder(), start, limit)?;
            Ok((tail, history))
        }));
        loop {
            tokio::select! {
                read = &mut reading => return read.map_err(|failure: Failure| End::refused(failure.into_text())),
                message = self.socket.recv() => heard(message)?,
                _ = self.ping.tick() => self.send_ping().await?,
                () = begun(&mut self.closing) => return Err(End::stopping()),
            }
        }
    }

    async fn send_history(&mut self, history: History) -> Result<(), End> {
        if !history.warnings.is_empty() {
            self.feed(text(frames::warnings(&history.warnings).into())).await?;
        }
        for frame in &history.frames {
            self.feed(text(frame.bytes().clone())).await?;
        }
        self.flush().await
    }

    /// Sends what came, and with it what waits already.
    async fn deliver(&mut self, first: Delivery, tail: &mut Tail) -> Result<(), End> {
        let (mut next, mut sent) = (Some(first), 0);
        while let Some(delivery) = next {
            let message = match delivery {
                Delivery::Frame(frame) => text(frame.bytes().clone()),
                Delivery::Lost(lost) => text(self.form.lost(&lost).into()),
                Delivery::Failed(why) => return Err(End::refused(why)),
            };
            self.feed(message).await?;
            sent += 1;
            next = match sent < MAX_GATHERED {
                true => poll_fn(|context| Poll::Ready(ready(tail.poll_next(context)))).await,
                false => None,
            };
        }
        metrics::counter!("strandline_tail_frames_total").increment(sent as u64);
        self.flush().await
    }

    async fn send_ping(&mut self) -> Result<(), End> {
        self.feed(Message::Ping(Bytes::new())).await?;
        self.flush().await
    }

    async fn feed(&mut self, message: Message) -> Result<(), End> {
        unless_stuck(self.socket.feed(message), &mut self.closing).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        unless_stuck(self.socket.flush(), &mut self.closing).await
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: cut(reason).into() };
        let socket = &mut self.socket;
        let handshake = async {
            // What the client has sent must be read until it closes: a socket that is dropped with unread bytes is
            // reset, and the client may never see the reason.
            if socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = socket.recv().await {}
            }
        };
        // A client that does not answer is left; there is nobody to tell.
        let _ = tokio::time::timeout(CLOSE_WAIT, handshake).await;
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A share of the tails of each tenant.
fn shares(state: &AppState, reader: &Reader) -> Result<Vec<Share<TenantId>>, End> {
    let max = reader.rules().limits.max_concurrent_tail_requests;
    let refused = |count| {
        End::refused(format!(
            "max concurrent tail requests limit exceeded, count > limit ({count} > {max}) \
             (limits.max_concurrent_tail_requests)"
        ))
    };
    reader.tenants().iter().map(|tenant| state.tails.count(tenant, max).map_err(refused)).collect()
}

/// Resolves when the server stops.
async fn begun(closing: &mut watch::Receiver<bool>) {
    // A sender that is gone cannot say that the server runs on.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Resolves after so many nanoseconds; 0 is never.
async fn after(ns: i64) {
    match u64::try_from(ns) {
        Ok(0) | Err(_) => pending().await,
        Ok(ns) => tokio::time::sleep(Duration::from_nanos(ns)).await,
    }
}

/// What clients send is of no interest, only that they are there.
fn heard(message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
    match message {
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        Some(Ok(_)) => Ok(()),
    }
}

/// Waits for a write, but not for ever, nor longer than the server runs.
async fn unless_stuck(
    write: impl Future<Output = Result<(), axum::Error>>,
    closing: &mut watch::Receiver<bool>,
) -> Result<(), End> {
    tokio::select! {
        biased;
        written = write => written.map_err(|_| End::Gone),
        () = begun(closing) => Err(End::stopping()),
        () = tokio::time::sleep(STALL) => Err(End::Gone),
    }
}

fn text(json: Bytes) -> Message {
    // JSON of ours is UTF-8; were it not, the client would rather have it than nothing.
    Utf8Bytes::try_from(json.clone()).map_or_else(|_| Message::Binary(json), Message::Text)
}

/// As much of a reason as a close frame holds.
fn cut(reason: &str) -> String {
    let mut line = one_line(reason);
    if line.len() > MAX_REASON_BYTES {
        let mut end = MAX_REASON_BYTES - 3;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        assert_eq!(cut("short\nand sweet"), "short and sweet");
        let long = cut(&"é".repeat(200));
        assert!(long.len() <= MAX_REASON_BYTES && long.ends_with("é..."), "{long}");
    }
}
