//! How is a long answer sent? Piece by piece, the next one written while one is being sent, and not to a client that takes
//! none: what it keeps in memory is given back after a while.

use crate::state::AppState;
use axum::extract::{Request, State};
use axum::middleware;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use parking_lot::Mutex;
use std::fmt;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// An answer up to this length (bytes) is sent whole; longer ones in pieces that are hardly longer.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// Looks at whether a client takes anything, for each time that it may take nothing.
const LOOKS: u32 = 4;

/// Pieces that are written at a time, over all answers: more would not be faster.
static WRITING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Arc::new(Semaphore::new(cores.max(2)))
});

/// A piece, if there was one left, and what is left behind it; nothing if the writing broke.
type Written = Option<(Option<Vec<u8>>, Box<Pieces>)>;
/// Appends the next item of an answer; `false` when there is none.
type Item = Box<dyn FnMut(&mut Vec<u8>) -> bool + Send>;

/// The task that writes a piece. It runs whether or not somebody asks for the piece: a right to write that is given to a
/// future that nobody polls would be lost to all. Ends with what wants the piece.
struct Writing(JoinHandle<Written>);

impl Writing {
    fn begin(pieces: Box<Pieces>) -> Self {
        Self(tokio::spawn(written(pieces)))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Written> {
        Pin::new(&mut self.0).poll(context).map(|written| written.ok().flatten())
    }

    fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is left of an answer.
pub(crate) struct Pieces {
    head: Vec<u8>,
    /// Gone, with all that it holds, once it has nothing more.
    item: Option<Item>,
    tail: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    done: bool,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Pieces {
    pub(crate) fn new(head: Vec<u8>, item: Item, tail: Vec<u8>) -> Self {
        Self { head, item: Some(item), tail, gzip: None, done: false }
    }

    /// Whether all is written.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Writes the next piece as it is.
    pub(crate) fn next_plain(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.head);
        while out.len() < PIECE_BYTES
            && let Some(item) = &mut self.item
        {
            if !item(&mut out) {
                self.item = None;
            }
        }
        if self.item.is_none() {
            out.append(&mut self.tail);
            self.done = true;
        }
        out
    }

    /// Packs from now on; `first` is what was written so far.
    pub(crate) fn pack_from(&mut self, first: Vec<u8>) -> Vec<u8> {
        self.gzip = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        self.packed(&first)
    }

    fn packed(&mut self, plain: &[u8]) -> Vec<u8> {
        let Some(gzip) = &mut self.gzip else { return plain.to_vec() };
        // Writing into memory does not fail.
        let _ = gzip.write_all(plain);
        let mut out = std::mem::take(gzip.get_mut());
        if self.done
            && let Some(gzip) = self.gzip.take()
        {
            out.extend_from_slice(&gzip.finish().unwrap_or_default());
        }
        out
    }

    /// Writes the next piece, packed if need be; nothing after the last.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        while !self.done {
            let plain = self.next_plain();
            let piece = if self.gzip.is_some() { self.packed(&plain) } else { plain };
            // What packs well may give nothing yet.
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }
}

/// A body that is written as it is sent.
pub(crate) struct Streamed {
    sending: Arc<Mutex<Sending>>,
}

/// What is left to send.
pub(crate) struct Sending {
    next: Next,
    /// Pieces that the client's connection has taken.
    taken: u64,
    waker: Option<Waker>,
}

enum Next {
    /// This piece; the others are not written yet.
    Ready(Vec<u8>, Box<Pieces>),
    /// A piece that is being written.
    Writing(Writing),
    End,
    Broken(Broken),
}

/// Why an answer is cut off.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the client took nothing of the answer for too long (server.write_timeout)")]
    Stalled,
    #[error("the answer could not be written")]
    Internal,
}

impl Streamed {
    /// A body that begins with `first`.
    pub(crate) fn new(first: Vec<u8>, rest: Pieces) -> Self {
        let sending = Sending { next: Next::Ready(first, Box::new(rest)), taken: 0, waker: None };
        Self { sending: Arc::new(Mutex::new(sending)) }
    }

    /// What ends it when the client takes nothing.
    pub(crate) fn stall(&self) -> Stall {
        Stall(Arc::downgrade(&self.sending))
    }
}

/// Ends a body whose client takes nothing of it. Travels with the response to where the setting is known.
#[derive(Clone)]
pub(crate) struct Stall(Weak<Mutex<Sending>>);

/// Layer over all answers: those that are written as they are sent are given up when their client takes no piece for
/// `server.write_timeout`, which makes that a least rate, too. What the answer holds is free then, though a connection that
/// does not ask for more does not learn of it.
pub(crate) async fn give_up_stalled(
    State(state): State<AppState>,
    request: Request,
    next: middleware::Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(stall) = response.extensions_mut().remove::<Stall>() {
        tokio::spawn(stall.watch(state.config.write_timeout));
    }
    response
}

impl Stall {
    async fn watch(self, timeout: Duration) {
        let (mut seen, mut looks) = (0, 0);
        loop {
            tokio::time::sleep(timeout / LOOKS).await;
            let Some(sending) = self.0.upgrade() else { return };
            looks = if sending.lock().has_moved(&mut seen) { 0 } else { looks + 1 };
            if looks == LOOKS {
                let (dropped, waker) = sending.lock().give_up();
                metrics::counter!("strandline_answers_stalled_total").increment(1);
                drop(dropped);
                if let Some(waker) = waker {
                    waker.wake();
                }
                return;
            }
        }
    }
}

/// Writes a piece on a blocking thread.
async fn written(mut pieces: Box<Pieces>) -> Written {
    let permit = Arc::clone(&WRITING).acquire_owned().await.ok()?;
    let writing = tokio::task::spawn_blocking(move || {
        let piece = pieces.next();
        drop(permit);
        (piece, pieces)
    });
    writing.await.ok()
}

impl Sending {
    /// Whether the client has taken a piece since the last look, or there is none that it could take.
    fn has_moved(&mut self, seen: &mut u64) -> bool {
        let is_being_written = matches!(&self.next, Next::Writing(writing) if !writing.is_done());
        let moved = self.taken != *seen || is_being_written;
        *seen = self.taken;
        moved
    }

    /// Lets go of everything. Returns it, to be dropped without the lock, and whom to wake.
    fn give_up(&mut self) -> (Next, Option<Waker>) {
        (std::mem::replace(&mut self.next, Next::Broken(Broken::Stalled)), self.waker.take())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match std::mem::replace(&mut self.next, Next::End) {
                Next::Ready(piece, pieces) => {
                    if !pieces.is_done() {
                        // Begun at once, to be there when this piece is sent.
                        self.next = Next::Writing(Writing::begin(pieces));
                    }
                    self.taken += 1;
                    return Poll::Ready(Some(Ok(Bytes::from(piece))));
                }
                Next::Writing(mut writing) => match writing.poll(context) {
                    Poll::Ready(found) => self.next = Next::of(found),
                    Poll::Pending => {
                        self.next = Next::Writing(writing);
                        self.waker = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                },
                Next::End => return Poll::Ready(None),
                Next::Broken(why) => {
                    self.next = Next::Broken(why);
                    return Poll::Ready(Some(Err(why)));
                }
            }
        }
    }
}

impl Next {
    fn of(found: Written) -> Self {
        match found {
            Some((Some(piece), pieces)) => Self::Ready(piece, pieces),
            Some((None, _)) => Self::End,
            None => Self::Broken(Broken::Internal),
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.sending.lock().poll(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An answer of 100 pieces that counts how many were written, and what it holds.
    fn streamed() -> (Streamed, Arc<AtomicUsize>) {
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let item = move |out: &mut Vec<u8>| {
            out.resize(out.len() + PIECE_BYTES, b'x');
            counted.fetch_add(1, Ordering::SeqCst) < 99
        };
        let mut pieces = Pieces::new(Vec::new(), Box::new(item), Vec::new());
        let first = pieces.next_plain();
        (Streamed::new(first, pieces), written)
    }

    async fn next(body: &mut Streamed) -> Option<Result<usize, Broken>> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap().len()))
    }

    fn run<T>(body: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(body)
    }

    #[test]
    fn pieces_are_written_one_ahead_of_the_client_and_no_more() {
        run(async {
            let (mut body, written) = streamed();
            for taken in 1..=3 {
                assert_eq!(next(&mut body).await.unwrap().unwrap(), PIECE_BYTES);
                // One is out, the next may be ready or in the making.
                assert!(written.load(Ordering::SeqCst) <= taken + 1);
            }
            let mut rest = 0;
            while let Some(piece) = next(&mut body).await {
                rest += piece.unwrap();
            }
            assert_eq!(rest, 97 * PIECE_BYTES);
        });
    }

    #[test]
    fn an_answer_that_nobody_takes_is_let_go_and_ends_with_an_error() {
        run(async {
            let (mut body, written) = streamed();
            next(&mut body).await.unwrap().unwrap();
            let watch = tokio::spawn(body.stall().watch(Duration::from_millis(20)));
            watch.await.unwrap();
            // What it held is gone though the body is still there; but for a piece that was in the making.
            while Arc::strong_count(&written) > 1 {
                tokio::task::yield_now().await;
            }
            assert!(matches!(next(&mut body).await, Some(Err(Broken::Stalled))));
        });
    }

    #[test]
    fn the_watch_over_an_answer_ends_with_it() {
        run(async {
            let (body, _) = streamed();
            let watch = tokio::spawn(body.stall().watch(Duration::from_millis(20)));
            drop(body);
            watch.await.unwrap();
        });
    }

    #[test]
    fn answers_that_are_not_asked_for_more_hold_no_right_to_write() {
        run(async {
            let all = u32::try_from(WRITING.available_permits()).unwrap();
            let taken = Arc::clone(&WRITING).acquire_many_owned(all).await.unwrap();
            // As many slow clients as there are rights, each with a piece to be written, and none takes another.
            let mut slow: Vec<Streamed> = (0..all).map(|_| streamed().0).collect();
            for body in &mut slow {
                next(body).await.unwrap().unwrap();
            }
            drop(taken);
            let (mut quick, _) = streamed();
            let all_of_it = async { while next(&mut quick).await.is_some() {} };
            tokio::time::timeout(Duration::from_secs(20), all_of_it).await.unwrap();
        });
    }

    #[test]
    fn waiting_for_the_right_to_write_is_no_stall_of_the_client() {
        run(async {
            let all = u32::try_from(WRITING.available_permits()).unwrap();
            let taken = Arc::clone(&WRITING).acquire_many_owned(all).await.unwrap();
            let (mut body, _) = streamed();
            next(&mut body).await.unwrap().unwrap();
            let mut seen = 0;
            let mut moved = || body.sending.lock().has_moved(&mut seen);
            assert!(moved(), "the first piece was taken");
            assert!(moved(), "there is no second one to take");
            drop(taken);
            while moved() {
                tokio::task::yield_now().await;
            }
        });
    }
}
