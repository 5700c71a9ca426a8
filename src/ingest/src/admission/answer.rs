//! How does the sender learn what has become of its push? From whichever thread knows, once, and also when that thread ends
//! without a word.

use super::outcome::{Outcome, PushError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// What the sender's task waits for. `P` is a push that has to be decoded once more, with more memory.
pub(super) enum Told<P> {
    Done(Result<Outcome, PushError>),
    Larger(P),
}

/// The right to answer; clones are the same right, which is used once.
pub(super) struct Answer<P>(Arc<Inner<P>>);

struct Inner<P> {
    tell: Mutex<Option<oneshot::Sender<Told<P>>>>,
    /// The store has it: whoever ends without a word is the store.
    is_in_the_store: AtomicBool,
}

impl<P> Answer<P> {
    /// The right, and where the answer comes.
    pub(super) fn new() -> (Self, oneshot::Receiver<Told<P>>) {
        let (tell, told) = oneshot::channel();
        let inner = Inner { tell: Mutex::new(Some(tell)), is_in_the_store: AtomicBool::new(false) };
        (Self(Arc::new(inner)), told)
    }

    /// Answers, if nobody has.
    pub(super) fn tell(&self, told: Told<P>) {
        let tell = self.0.tell.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tell) = tell {
            // Nobody listens when the sender has gone; its lines are stored all the same.
            let _ = tell.send(told);
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_unwanted(&self) -> bool {
        self.0
            .tell
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_none_or(oneshot::Sender::is_closed)
    }

    /// The same right, for the store.
    pub(super) fn for_the_store(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// The store has the push and its right to answer.
    pub(super) fn is_handed_over(&self) {
        self.0.is_in_the_store.store(true, Ordering::Relaxed);
    }
}

impl<P> Drop for Inner<P> {
    fn drop(&mut self) {
        let tell = self.tell.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(tell) = tell.filter(|tell| !tell.is_closed()) else { return };
        let error = if *self.is_in_the_store.get_mut() {
            PushError::Unanswered
        } else {
            if std::thread::panicking() {
                tracing::error!("decoding a push ended by a panic");
            }
            PushError::Internal
        };
        let _ = tell.send(Told::Done(Err(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(told: oneshot::Receiver<Told<()>>) -> PushError {
        match told.blocking_recv() {
            Ok(Told::Done(Err(error))) => error,
            _ => panic!("an error was to come"),
        }
    }

    #[test]
    fn who_ends_without_a_word_is_named() {
        let (answer, waiting) = Answer::new();
        drop(answer);
        assert!(matches!(told(waiting), PushError::Internal));
        let (answer, waiting) = Answer::new();
        let stored = answer.for_the_store();
        answer.is_handed_over();
        drop(answer);
        assert!(!stored.is_unwanted());
        drop(stored);
        assert!(matches!(told(waiting), PushError::Unanswered));
    }

    #[test]
    fn the_first_word_counts() {
        let (answer, waiting) = Answer::new();
        let stored = answer.for_the_store();
        answer.tell(Told::Done(Err(PushError::Internal)));
        stored.tell(Told::Larger(()));
        assert!(matches!(told(waiting), PushError::Internal));
        assert!(answer.is_unwanted());
    }
}
