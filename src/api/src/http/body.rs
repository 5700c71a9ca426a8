//! How is a request's body read? Up to a size, and not for ever.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use std::time::Duration;

/// Set aside at once for a body that says it is long; more comes as it arrives.
const MAX_EAGER_BYTES: usize = 1 << 20;

/// Longest time for which a refused body is read on.
const MAX_DISCARD: Duration = Duration::from_secs(5);

/// Why a body was not read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BodyError<E> {
    /// It is longer than allowed.
    #[error("request body too large: more than {0} bytes")]
    TooLarge(usize),
    /// The connection broke or spoke nonsense.
    #[error("the request body was cut off")]
    Cut,
    /// The client stopped sending.
    #[error("the request body did not arrive in time")]
    Slow,
    /// The caller had no room for it.
    #[error("no room")]
    Refused(E),
}

/// Reads `body` whole. `room` is told how many bytes there are so far and may refuse them.
pub(crate) async fn read<E>(
    mut body: Body,
    headers: &HeaderMap,
    max_bytes: usize,
    pause: Duration,
    mut room: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<u8>, BodyError<E>> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let declared = declared.unwrap_or(0);
    if declared > max_bytes {
        discard(body, headers, max_bytes).await;
        return Err(BodyError::TooLarge(max_bytes));
    }
    if let Err(refused) = room(declared) {
        discard(body, headers, max_bytes).await;
        return Err(BodyError::Refused(refused));
    }
    let mut bytes = Vec::with_capacity(declared.min(MAX_EAGER_BYTES));
    loop {
        let frame = tokio::time::timeout(pause, body.frame()).await.map_err(|_| BodyError::Slow)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
        if bytes.len() + data.len() > max_bytes {
            drop(bytes);
            discard(body, headers, max_bytes).await;
            return Err(BodyError::TooLarge(max_bytes));
        }
        if bytes.len() + data.len() > declared
            && let Err(refused) = room(bytes.len() + data.len())
        {
            drop(bytes);
            discard(body, headers, max_bytes).await;
            return Err(BodyError::Refused(refused));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Reads on for a while without keeping anything: a client whose connection is closed while it still sends does not see
/// the answer, and sends the same again and again. One that waits to be asked for its body is not asked.
pub(crate) async fn discard(mut body: Body, headers: &HeaderMap, max_bytes: usize) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let mut left = max_bytes.saturating_mul(4);
    let reading = async {
        while left > 0
            && let Some(Ok(frame)) = body.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(1, bytes::Bytes::len));
        }
    };
    // Whether it came to an end makes no difference.
    let _ = tokio::time::timeout(MAX_DISCARD, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_now(
        body: Body,
        declared: Option<&'static str>,
        max_bytes: usize,
        room: usize,
    ) -> Result<Vec<u8>, BodyError<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut headers = HeaderMap::new();
        if let Some(declared) = declared {
            headers.insert(CONTENT_LENGTH, axum::http::HeaderValue::from_static(declared));
        }
        let allowed = |n: usize| if n > room { Err(()) } else { Ok(()) };
        runtime.block_on(read(body, &headers, max_bytes, Duration::from_millis(20), allowed))
    }

    #[test]
    fn bodies_are_bounded_in_size_and_time() {
        assert_eq!(read_now(Body::from("hello"), None, 5, 5), Ok(b"hello".to_vec()));
        assert_eq!(read_now(Body::from("hello"), None, 4, 9), Err(BodyError::TooLarge(4)));
        assert_eq!(read_now(Body::from(""), Some("5"), 4, 9), Err(BodyError::TooLarge(4)));
        assert_eq!(read_now(Body::from("hello"), None, 9, 4), Err(BodyError::Refused(())));
        assert_eq!(read_now(Body::from(""), Some("5"), 9, 4), Err(BodyError::Refused(())));
        let silent = Body::new(Never);
        assert_eq!(read_now(silent, None, 9, 9), Err(BodyError::Slow));
    }

    /// A body of which nothing ever comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
}
