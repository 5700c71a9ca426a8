//! How far has a client taken its answers? An answer is under way until it is handed over whole; one of which nothing is taken
//! for `server.write_timeout` ends its connection. No write waits there that could run into a time limit: a client of HTTP/2
//! opens no window, and nothing is asked of the answer any more.

use super::connections::{Activity, UnderWay};
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Most that HTTP/2 is handed at a time: it takes a whole frame into memory for a window of one byte.
const MAX_HTTP2_FRAME: usize = 16 << 10;

/// An answer's body, with which its request ends.
pub(crate) struct AnswerBody {
    body: Body,
    /// What is left of a frame that is handed over in parts.
    rest: Bytes,
    max_frame: usize,
    number: u64,
    under_way: UnderWay,
}

impl AnswerBody {
    /// The body of an answer to a request under way.
    pub(crate) fn new(body: Body, under_way: UnderWay, is_http2: bool) -> Self {
        let max_frame = if is_http2 { MAX_HTTP2_FRAME } else { usize::MAX };
        let activity = under_way.activity();
        let number = activity.answers().add(activity.now_ns());
        Self { body, rest: Bytes::new(), max_frame, number, under_way }
    }

    fn activity(&self) -> &Arc<Activity> {
        self.under_way.activity()
    }

    /// Notes that something was taken, or that there is nothing to take and the server has to come up with more.
    fn note(&self, has_more: bool) {
        let activity = self.activity();
        activity.answers().note(self.number, has_more, activity.now_ns());
    }

    /// The first part of `bytes`, as much as may be handed over at a time.
    fn part_of(&mut self, mut bytes: Bytes) -> Frame<Bytes> {
        self.rest = bytes.split_off(bytes.len().min(self.max_frame));
        Frame::data(bytes)
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            self.note(true);
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.part_of(rest))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.note(polled.is_ready());
        polled.map_ok(|frame| match frame.into_data() {
            Ok(bytes) => self.part_of(bytes),
            Err(trailers) => trailers,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole.set_lower(hint.lower().saturating_add(rest));
        whole
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.note(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::connections::{Admission, Connections, Slot};
    use std::net::IpAddr;
    use strandline_model::ManualClock;

    fn slot() -> (Slot, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(0));
        let connections = Connections::new(1, 1, Arc::clone(&clock) as _);
        match connections.admit(IpAddr::from([10, 0, 0, 1])) {
            Admission::Open(slot) => (slot, clock),
            other => panic!("{other:?}"),
        }
    }

    fn next(body: &mut AnswerBody) -> Option<usize> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap().into_data().unwrap().len()),
            Poll::Pending => panic!("nothing comes"),
        }
    }

    #[test]
    fn http_2_gets_long_answers_in_parts() {
        let (slot, _) = slot();
        let body = || Body::from(vec![b'x'; 40_000]);
        let mut whole = AnswerBody::new(body(), slot.activity().begin(), false);
        assert_eq!((next(&mut whole), next(&mut whole)), (Some(40_000), None));
        let mut parts = AnswerBody::new(body(), slot.activity().begin(), true);
        let mut left = 40_000;
        for part in [16_384, 16_384, 7232] {
            assert_eq!((parts.size_hint().exact(), parts.is_end_stream()), (Some(left), false));
            assert_eq!(next(&mut parts), Some(part));
            left -= part as u64;
        }
        assert!(parts.is_end_stream() && next(&mut parts).is_none());
    }

    #[test]
    fn an_answer_stalls_while_there_is_something_to_take_and_nobody_takes_it() {
        let (slot, clock) = slot();
        let stalled = || slot.activity().stalled_ns();
        let mut long = AnswerBody::new(Body::from(vec![b'x'; 20_000]), slot.activity().begin(), true);
        clock.advance(5);
        assert_eq!(stalled(), 5, "its head");
        next(&mut long);
        assert_eq!(stalled(), 0);
        clock.advance(3);
        let short = AnswerBody::new(Body::empty(), slot.activity().begin(), true);
        clock.advance(4);
        assert_eq!(stalled(), 7, "the older one");
        drop(long);
        assert_eq!(stalled(), 4);
        drop(short);
        assert_eq!(stalled(), 0);
        // The server's own delay is none of the client's.
        let (_tell, told) = tokio::sync::oneshot::channel::<()>();
        let pending = futures_util::stream::once(async move {
            let _ = told.await;
            Ok::<_, std::convert::Infallible>(Bytes::new())
        });
        let mut waits = AnswerBody::new(Body::from_stream(pending), slot.activity().begin(), true);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut waits).poll_frame(&mut context).is_pending());
        clock.advance(9);
        assert_eq!(stalled(), 0);
    }
}
