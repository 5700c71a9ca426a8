//! Taking batches in: log, sync, head. On return the lines are safe and searchable.

use super::Engine;
use crate::error::StoreError;
use crate::frame::Payload;
use crate::head::Head;
use crate::invariant::{self, invariant};
use crate::wal::encode_batch;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::Batch;

/// What the log's record says of an entry beside its bytes: the time since the one before and two lengths, mostly. More
/// than it reserves at first, less than the longest varints.
const MAX_ENTRY_HEAD_BYTES: usize = 16;

/// A batch and its compressed log record; made on the pushing thread, since compression is CPU work.
#[derive(Debug)]
pub struct EncodedBatch {
    pub(crate) batch: Arc<Batch>,
    pub(crate) payload: Payload,
}

impl EncodedBatch {
    /// Encodes `batch` for the log.
    pub fn new(batch: Batch) -> Self {
        Self { payload: encode_batch(&batch), batch: Arc::new(batch) }
    }

    /// The batch.
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// Bytes that [`Self::new`] takes at most beside the batch: its record, and that compressed.
    pub fn encoding_bytes(batch: &Batch) -> usize {
        let labels: usize = batch.streams.iter().map(|s| s.labels.memory_bytes()).sum();
        let raw = batch.bytes.len() + batch.entries.len() * MAX_ENTRY_HEAD_BYTES + labels;
        // LZ4 sets aside what the worst case takes.
        2 * raw + raw / 128
    }

    /// Bytes of the compressed record.
    pub fn stored_bytes(&self) -> usize {
        self.payload.stored.len()
    }

    /// Bytes that the batch takes while it waits.
    pub fn memory_bytes(&self) -> usize {
        self.batch.memory_bytes() + self.payload.stored.len()
    }
}

impl Engine {
    /// Makes a group of batches durable (as `wal.sync` says) and searchable: all of them, or none is acknowledged.
    pub fn commit(&self, group: &[EncodedBatch]) -> Result<(), StoreError> {
        invariant::check()?;
        group.iter().try_for_each(|encoded| encoded.payload.check_size())?;
        self.check_space()?;
        let mut wal = self.wal.lock();
        let payloads: Vec<&Payload> = group.iter().map(|b| &b.payload).collect();
        let sync = self.config.sync.before_ack();
        let first = wal.append(&payloads, sync).inspect_err(|e| self.note_write_error(e))?;
        invariant!(
            wal.last_seq() + 1 == first + group.len() as u64,
            "the log counted a group of {} to {}",
            group.len(),
            wal.last_seq()
        );
        let active = Arc::clone(&self.state.read().active);
        self.note_written();
        let last = active.fill().seq.map(|seq| seq.1);
        invariant!(last.is_none_or(|last| last < first), "batch {first} comes into a head behind {last:?}");
        for (i, encoded) in group.iter().enumerate() {
            active.insert(first + i as u64, Arc::clone(&encoded.batch), self.clock.monotonic_ns());
        }
        let commit = self.commits.fetch_add(1, Ordering::Release) + 1;
        self.tell_observer(commit, group);
        if active.fill().bytes >= self.config.head_max_bytes {
            self.seal_locked();
        }
        // What the log or the head found wrong with themselves while they took the group in.
        invariant::check()
    }

    /// How often lines have become searchable since the start: two looks with the same number between them see the
    /// same lines.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Seals the head in use when it holds anything.
    pub fn seal(&self) {
        let _order = self.wal.lock();
        self.seal_locked();
    }

    /// To be called with the log locked: no batch may come between the head's last sequence and its sealing.
    pub(super) fn seal_locked(&self) {
        let mut state = self.state.write();
        if state.active.fill().seq.is_some() {
            let next = Arc::new(Head::after(&state.active));
            let sealed = std::mem::replace(&mut state.active, next);
            let seq = |head: &Arc<Head>| head.fill().seq;
            let in_order =
                state.sealed.back().is_none_or(|before| seq(before).map(|s| s.1) < seq(&sealed).map(|s| s.0));
            invariant!(in_order, "heads are out of order");
            state.sealed.push_back(sealed);
        }
    }

    /// Seals the head when it is old, or idle and not tiny. Returns whether heads wait for a flush.
    pub fn seal_if_due(&self) -> bool {
        /// An idle head below this stays in the log: a trickle of lines must not make a segment every few seconds.
        const MIN_IDLE_BYTES: usize = 1 << 20;
        let fill = self.state.read().active.fill();
        let now = self.clock.monotonic_ns();
        let due = fill.touched_ns.is_some_and(|(first, last)| {
            now - first >= self.config.head_max_age_ns
                || (now - last >= self.config.head_idle_ns && fill.bytes >= MIN_IDLE_BYTES)
        });
        if due {
            self.seal();
        }
        !self.state.read().sealed.is_empty()
    }

    /// Whether a head waits for its flush.
    pub fn has_sealed(&self) -> bool {
        !self.state.read().sealed.is_empty()
    }

    /// Bytes of all heads, sealed ones included.
    pub fn head_bytes(&self) -> usize {
        let state = self.state.read();
        state.sealed.iter().chain([&state.active]).map(|h| h.fill().bytes).sum()
    }

    /// Makes everything acknowledged so far durable, whatever `wal.sync` says.
    pub fn sync_log(&self) -> Result<(), StoreError> {
        self.wal.lock().sync().inspect_err(|e| self.note_write_error(e))
    }

    /// To be called when no batch came for a moment.
    pub fn log_idle(&self) -> Result<(), StoreError> {
        self.look_again();
        let mut wal = self.wal.lock();
        let result = wal.witness().and_then(|()| wal.write_mark());
        let is_in_use = wal.is_in_use();
        drop(wal);
        // With a file in use pushes may go on all the same.
        result.inspect_err(|e| {
            if !is_in_use && self.read_only().is_none() {
                self.note_write_error(e);
            }
        })
    }

    /// Writes down how far the log is synced, for a log that does not fall idle.
    pub fn mark_log(&self) -> Result<(), StoreError> {
        self.wal.lock().write_mark()
    }
}
