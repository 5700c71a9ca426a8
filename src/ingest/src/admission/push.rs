//! What happens to a push on the thread that decodes it? Read, checked, held against the tenant's rates and handed to the
//! log, without another thread in between.

use super::answer::{Answer, Told};
use super::outcome::{Outcome, PushError};
use super::sender::Sender;
use super::shared::Shared;
use crate::formats::{DecodeError, UnpackLimits};
use crate::intake::{Accepted, Intake};
use crate::push_memory::PushMemory;
use std::sync::Arc;
use strandline_model::{Batch, MemoryClass};
use tokio::sync::OwnedSemaphorePermit;

/// What is small unpacks to no more than this.
const SMALL_BYTES: usize = 1 << 20;

/// How much a push may take while it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Little, and only of the memory that is there: of that of payloads, for large pushes can fill their own for seconds.
    Small,
    /// As much as pushes may; it waits for memory.
    Large,
}

/// A push that has come whole.
pub(super) struct Push<R> {
    pub(super) sender: Sender,
    /// Reads its entries. It holds the payload.
    pub(super) read: R,
}

/// What a push has become: the lines to store, the memory that they hold, and what to answer once they are safe.
struct Taken {
    batch: Batch,
    memory: Option<PushMemory>,
    outcome: Outcome,
}

impl<R> Push<R>
where
    R: Fn(&UnpackLimits, &mut Intake<'_>) -> Result<(), DecodeError> + Send + 'static,
{
    /// Decodes the push in `slot` and hands it over. The slot is free before it waits for memory to be packed for the log.
    pub(super) fn run(
        self,
        shared: &Shared,
        round: Round,
        slot: OwnedSemaphorePermit,
        answer: &Answer<Self>,
    ) {
        let decoded = self.decoded(shared, round);
        drop(slot);
        let decoded = match decoded {
            Err(error)
                if round == Round::Small && (error.is_too_large() || error.is_for_want_of_memory()) =>
            {
                return answer.tell(Told::Larger(self));
            }
            decoded => decoded,
        };
        let Self { sender, read } = self;
        // Its payload is not needed any more.
        drop(read);
        match decoded.map_err(PushError::from).and_then(|accepted| within_rates(shared, &sender, accepted)) {
            Ok(taken) => hand_over(shared, taken, answer),
            Err(error) => answer.tell(Told::Done(Err(error))),
        }
    }

    fn decoded(&self, shared: &Shared, round: Round) -> Result<Accepted, DecodeError> {
        let (clock, sender) = (shared.submitter.clock(), &self.sender);
        let lease = |class| shared.memory.lease(class, sender.tenant());
        let full = shared.limits;
        let (limits, memory) = match round {
            Round::Small => {
                let limits =
                    UnpackLimits { max_decompressed: full.max_decompressed.min(SMALL_BYTES), ..full };
                (limits, PushMemory::of_what_is_there(lease(MemoryClass::Ingest), Arc::clone(clock)))
            }
            Round::Large => {
                let lease = lease(MemoryClass::Decode);
                (full, PushMemory::new(lease, Arc::clone(clock), shared.wait_until_ns()))
            }
        };
        shared.active.age(clock.monotonic_ns());
        let intake = Intake::new(sender.tenant().clone(), sender.limits(), clock.now_ns(), &shared.labels)
            .with_memory(memory)
            .counted_by(&shared.active);
        let mut intake = match sender.confined() {
            Some((selector, text)) => intake.confined_to(selector, text),
            None => intake,
        };
        (self.read)(&limits, &mut intake)?;
        Ok(intake.finish()?)
    }
}

/// Counts what came and takes of it what the tenant may send at the moment. Looks at each entry where there are rates.
fn within_rates(shared: &Shared, sender: &Sender, accepted: Accepted) -> Result<Taken, PushError> {
    let (counts, tenant) = (&shared.counts, sender.tenant());
    counts.received(&accepted);
    counts.over_limit(tenant, "streams", accepted.over_limit_lines);
    let lines = accepted.batch.entries.len() as u64;
    let now_ns = shared.submitter.clock().monotonic_ns();
    let admitted = shared.quotas.admit(accepted.batch, sender.limits(), now_ns);
    if let Some(new) = accepted.new_streams {
        shared.active.keep(new, admitted.as_ref().ok().map(|admitted| &admitted.batch));
    }
    let admitted = admitted.inspect_err(|_| counts.over_limit(tenant, "rate", lines))?;
    counts.over_limit(tenant, "stream", admitted.refused_lines);
    let mut over_limit = accepted.over_limit;
    over_limit.extend(admitted.refused);
    let refused = match admitted.refused_streams.is_empty() {
        true => accepted.refused,
        false => accepted.refused.with_streams(accepted.spans.of(&admitted.refused_streams)),
    };
    Ok(Taken {
        outcome: Outcome {
            stored: admitted.batch.entries.len(),
            rejected: accepted.rejected,
            over_limit,
            over_limit_lines: accepted.over_limit_lines + admitted.refused_lines,
            refused,
        },
        batch: admitted.batch,
        // It holds no slot from here on, so it may wait.
        memory: accepted.memory.map(|memory| memory.waiting_until(shared.wait_until_ns())),
    })
}

/// Hands the batch to the log, which answers when it is safe.
fn hand_over<P: Send + 'static>(shared: &Shared, taken: Taken, answer: &Answer<P>) {
    let Taken { batch, memory, outcome } = taken;
    if batch.entries.is_empty() {
        return answer.tell(Told::Done(Ok(outcome)));
    }
    // Whoever has gone takes it for not stored, and gives it again elsewhere.
    if answer.is_unwanted() {
        return;
    }
    let store = answer.for_the_store();
    let submitted = shared.submitter.submit(batch, memory, move |result| {
        store.tell(Told::Done(result.map(|()| outcome).map_err(PushError::NotStored)));
    });
    match submitted {
        Ok(()) => answer.is_handed_over(),
        Err(error) => answer.tell(Told::Done(Err(error.into()))),
    }
}
