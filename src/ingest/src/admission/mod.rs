//! How do lines come in, whatever brought them? Held in memory that was leased for them, decoded on a blocking thread in one of
//! few slots, checked, counted, handed to the log, and answered line by line when they are safe.
//!
//! The one way in, for requests and for sources that have none: whoever sends says who it is (a [`Sender`]), gives bytes and
//! their decoder, or entries, and waits. Nothing here runs on the thread that polls.

mod answer;
mod outcome;
mod push;
mod sender;
mod shared;

pub use outcome::{Outcome, PushError};
pub use sender::Sender;
pub use shared::AdmissionConfig;

use crate::formats::{DecodeError, UnpackLimits};
use crate::intake::{Intake, IntakeError};
use crate::submit::Submitter;
use answer::{Answer, Told};
use push::{Push, Round};
use shared::Shared;
use std::fmt;
use std::sync::Arc;
use strandline_model::{Clock, Lease, MemoryClass};

/// A payload of up to this size begins among the small pushes.
const SMALL_PAYLOAD_BYTES: usize = 128 << 10;

/// Takes in lines. Clones share everything.
#[derive(Clone)]
pub struct Admission(Arc<Shared>);

/// Bytes that came for a push, and the memory that they hold.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    _lease: Lease,
}

impl Payload {
    /// `bytes`, in memory of `lease` (see [`Admission::lease`]).
    pub fn new(bytes: Vec<u8>, lease: Lease) -> Self {
        Self { bytes, _lease: lease }
    }

    /// What came. A method, so that a closure which reads it holds the lease, too: of a field it would take the field alone.
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Admission {
    /// Hands what it takes to `submitter`.
    pub fn new(submitter: Submitter, config: AdmissionConfig) -> Self {
        Self(Arc::new(Shared::new(submitter, config)))
    }

    /// What it hands its batches to.
    pub fn submitter(&self) -> &Submitter {
        &self.0.submitter
    }

    /// The clock of the store.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.0.submitter.clock()
    }

    /// Streams of all tenants with lines in the last hour or two.
    pub fn active_streams(&self) -> usize {
        self.0.active.count()
    }

    /// A lease for bytes of `sender` that come in: to be grown before they are kept.
    pub fn lease(&self, sender: &Sender) -> Lease {
        self.0.memory.lease(MemoryClass::Ingest, sender.tenant())
    }

    /// Counts a push that did not even come whole, under a `reason` out of a few.
    pub fn count_refused(&self, sender: &Sender, reason: &'static str) {
        self.0.counts.refused(sender.tenant(), reason);
    }

    /// Takes the entries that `decode` reads from a payload into the intake, within the limits that it gets. Answers once the
    /// lines are safe and searchable. A decoder is called a second time where the first limits do not do.
    ///
    /// Whoever drops this future before does not know whether the lines are stored.
    pub async fn push(
        &self,
        sender: &Sender,
        payload: Payload,
        decode: impl Fn(&[u8], &UnpackLimits, &mut Intake<'_>) -> Result<(), DecodeError> + Send + 'static,
    ) -> Result<Outcome, PushError> {
        let bytes = payload.bytes().len();
        let read =
            move |limits: &UnpackLimits, intake: &mut Intake<'_>| decode(payload.bytes(), limits, intake);
        self.take(bytes, Push { sender: sender.clone(), read }).await
    }

    /// As [`Self::push`] for entries of about `bytes` that need no decoding: `feed` gives them to the intake. It may be called a
    /// second time, as whoever hands over the same lines again calls it again: equal lines with equal times count once, so
    /// times have to be those of the lines, not of the call.
    pub async fn push_entries(
        &self,
        sender: &Sender,
        bytes: usize,
        feed: impl Fn(&mut Intake<'_>) -> Result<(), IntakeError> + Send + 'static,
    ) -> Result<Outcome, PushError> {
        let read = move |limits: &UnpackLimits, intake: &mut Intake<'_>| {
            intake.limit_bytes(limits.max_decompressed);
            intake.expect_bytes(bytes.min(limits.max_decompressed))?;
            Ok(feed(intake)?)
        };
        self.take(bytes, Push { sender: sender.clone(), read }).await
    }

    /// Few pushes are decoded at once, for an unpacked one can be large. Small ones have slots of their own: they wait neither
    /// for large ones nor for memory. What is small only as sent, or finds no memory at once, begins again among the large.
    async fn take<R>(&self, bytes: usize, push: Push<R>) -> Result<Outcome, PushError>
    where
        R: Fn(&UnpackLimits, &mut Intake<'_>) -> Result<(), DecodeError> + Send + 'static,
    {
        let sender = push.sender.clone();
        let outcome = self.rounds(bytes, push).await;
        if let Some(reason) = outcome.as_ref().err().and_then(PushError::reason) {
            self.count_refused(&sender, reason);
        }
        outcome
    }

    async fn rounds<R>(&self, bytes: usize, mut push: Push<R>) -> Result<Outcome, PushError>
    where
        R: Fn(&UnpackLimits, &mut Intake<'_>) -> Result<(), DecodeError> + Send + 'static,
    {
        let rounds = [(Round::Small, &self.0.small_slots), (Round::Large, &self.0.slots)];
        let first = usize::from(bytes > SMALL_PAYLOAD_BYTES);
        for (round, slots) in rounds.into_iter().skip(first) {
            // Fails only for a closed semaphore, which these never are.
            let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| PushError::Internal)?;
            let (answer, told) = Answer::new();
            let shared = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || push.run(&shared, round, slot, &answer));
            match told.await.map_err(|_| PushError::Internal)? {
                Told::Done(outcome) => return outcome,
                Told::Larger(larger) => push = larger,
            }
        }
        Err(PushError::Internal)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admission").field(&self.0.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
