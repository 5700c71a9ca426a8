//! How does a batch reach the log? Encoded on the caller's thread, handed over without blocking, counted.

use crate::push_memory::PushMemory;
use std::sync::Arc;
use strandline_model::{Batch, Clock, Exhausted};
use strandline_store::{EncodedBatch, Runtime, StoreError};

/// Why a batch was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// There is no memory to pack it for the log.
    #[error(transparent)]
    NoMemory(#[from] Exhausted),
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hands batches to a running store. Clones hand over to the same one.
#[derive(Debug, Clone)]
pub struct Submitter {
    runtime: Arc<Runtime>,
}

impl Submitter {
    /// A submitter to `runtime`.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self { runtime }
    }

    /// The clock of the store.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.runtime.engine().clock()
    }

    /// Compresses the batch for the log, which is CPU work, and hands it over with the memory that it holds. `done` is
    /// called once, from another thread, when the lines are safe and searchable, or refused. An error here means that
    /// `done` is never called.
    pub fn submit(
        &self,
        batch: Batch,
        memory: Option<PushMemory>,
        done: impl FnOnce(Result<(), Arc<StoreError>>) + Send + 'static,
    ) -> Result<(), SubmitError> {
        let (lines, bytes) = (batch.entries.len() as u64, batch.bytes.len() as u64);
        let before = memory.as_ref().map_or(0, PushMemory::bytes);
        if let Some(memory) = &memory {
            memory.take(EncodedBatch::encoding_bytes(&batch))?;
        }
        let encoded = EncodedBatch::new(batch);
        if let Some(memory) = &memory {
            memory.keep(before + encoded.stored_bytes());
        }
        let counted = move |result: Result<(), Arc<StoreError>>| {
            if result.is_ok() {
                metrics::counter!("strandline_ingested_lines_total").increment(lines);
                metrics::counter!("strandline_ingested_bytes_total").increment(bytes);
            }
            drop(memory);
            done(result);
        };
        Ok(self.runtime.submit(encoded, Box::new(counted))?)
    }

    /// Writes everything in memory to segments; blocks until it is done.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.runtime.flush()
    }
}
