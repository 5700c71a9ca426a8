//! What if a client does not take what is sent to it? Its connection is cut after a while; else it would keep a place among the
//! connections and what waits for it in memory for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Least that a client takes within the time, as long as something waits for it (bytes).
const MIN_TAKEN: usize = 4 << 10;

/// A stream whose writes end with an error when the other side takes nothing for too long.
#[derive(Debug)]
pub(crate) struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    /// Runs while something waits to be taken.
    timer: Option<Pin<Box<Sleep>>>,
    /// Taken since the timer was set.
    taken: usize,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, timer: None, taken: 0 }
    }

    /// Looks at the result of a write.
    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &written {
            self.taken = self.taken.saturating_add(*result.as_ref().unwrap_or(&0));
            return written;
        }
        ready!(self.poll_stalled(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes too little (server.write_timeout)",
        )))
    }

    /// Resolves when too little was taken for too long.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let (timeout, taken) = (self.timeout, &mut self.taken);
            let timer = self.timer.get_or_insert_with(|| {
                *taken = 0;
                Box::pin(tokio::time::sleep(timeout))
            });
            ready!(timer.as_mut().poll(context));
            if self.taken < MIN_TAKEN {
                return Poll::Ready(());
            }
            self.timer = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            // Whoever writes flushes when nothing waits any more.
            self.timer = None;
            return flushed;
        }
        ready!(self.poll_stalled(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn run<T>(body: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(body)
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_client_that_takes_nothing_is_cut_off() {
        run(async {
            let (near, _far) = tokio::io::duplex(1000);
            let mut near = WriteTimeout::new(near, SHORT);
            let stalled = near.write_all(&[0; 2000]).await.unwrap_err();
            assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_is_cut_off() {
        run(async {
            let (near, mut far) = tokio::io::duplex(1000);
            let mut near = WriteTimeout::new(near, SHORT);
            let mut pace = tokio::time::interval(SHORT / 4);
            let trickle = async {
                while far.read_exact(&mut [0; 1]).await.is_ok() {
                    pace.tick().await;
                }
            };
            let writing = async {
                let written = near.write_all(&[0; 100_000]).await;
                drop(near);
                written
            };
            let written = tokio::select! {
                written = writing => written,
                () = trickle => panic!("the stream ended"),
            };
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn no_timer_runs_where_nothing_waits_to_be_taken() {
        run(async {
            let (near, mut far) = tokio::io::duplex(1000);
            let mut near = WriteTimeout::new(near, LONG);
            let mut back = [0; 3000];
            let (written, read) = tokio::join!(near.write_all(&[1; 3000]), far.read_exact(&mut back));
            assert!(written.is_ok() && read.is_ok());
            assert!(near.timer.is_some(), "it had to wait");
            near.flush().await.unwrap();
            assert!(near.timer.is_none());
        });
    }
}
