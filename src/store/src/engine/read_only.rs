//! Are writes taken at the moment, and if not, why? Told as it is also when nobody pushes: the log and the disk's space are
//! looked at while the store is idle.

use super::Engine;
use super::retry::Task;
use crate::error::StoreError;
use crate::invariant;
use strandline_model::time::SECOND_NS;

/// An idle store looks this often at the disk's space.
const LOOK_EVERY_NS: i64 = SECOND_NS;

/// Why writes are refused. All of it can pass but the last.
#[derive(Debug, Default)]
pub(super) struct ReadOnly {
    /// Too little of the disk is free.
    space: Option<String>,
    /// The log could not be written, synced or begun, and nothing has been written to it since.
    log: Option<String>,
    /// The thread that writes has ended.
    is_stopped: bool,
    /// Monotonic time of the next look.
    next_look_ns: i64,
}

impl Engine {
    /// Why writes are refused at the moment, if they are.
    pub fn read_only(&self) -> Option<String> {
        if let Some(what) = invariant::fault() {
            return Some(format!("a fault of the store: {what}"));
        }
        let state = self.read_only.lock();
        if state.is_stopped {
            return Some(StoreError::Poisoned.to_string());
        }
        state.log.clone().or_else(|| state.space.clone())
    }

    /// Refuses when too little of the disk is free.
    pub(super) fn check_space(&self) -> Result<(), StoreError> {
        let free = self.disk.free_bytes().unwrap_or(u64::MAX);
        let mut state = self.read_only.lock();
        if free >= self.config.min_free_bytes.max(1) {
            if state.space.take().is_some() {
                tracing::warn!(free, "space is back: writes are taken again");
            }
            return Ok(());
        }
        let least = self.config.min_free_bytes;
        let reason = format!("only {free} bytes of disk are free, storage.min_free_bytes is {least}");
        if state.space.is_none() {
            tracing::error!(reason, "the store is read-only");
        }
        state.space = Some(reason.clone());
        Err(StoreError::ReadOnly(reason))
    }

    /// Notes that the log could not be written.
    pub(super) fn note_write_error(&self, error: &StoreError) {
        metrics::counter!("strandline_wal_errors_total").increment(1);
        tracing::error!(%error, "the log could not be written; what was to be in it is refused");
        self.read_only.lock().log = Some(format!("the log cannot be written: {error}"));
        let now_ns = self.clock.monotonic_ns();
        self.retries.lock().task_failed(Task::Log, now_ns, error);
    }

    /// Notes that the log was written.
    pub(super) fn note_written(&self) {
        if self.read_only.lock().log.take().is_some() {
            tracing::warn!("the log can be written again: writes are taken");
            self.retries.lock().succeeded(Task::Log);
        }
    }

    /// To be called when the thread that writes has ended by a panic.
    pub fn note_writer_stopped(&self) {
        self.read_only.lock().is_stopped = true;
    }

    /// Looks whether what is said of writes still holds, when nobody pushes: space that came or went, and a log that could not
    /// be written, for which a file is begun after pauses that grow.
    pub(super) fn look_again(&self) {
        let now_ns = self.clock.monotonic_ns();
        let has_failed = {
            let mut state = self.read_only.lock();
            if now_ns < state.next_look_ns {
                return;
            }
            state.next_look_ns = now_ns.saturating_add(LOOK_EVERY_NS);
            state.log.is_some()
        };
        // What is wrong is noted.
        let has_space = self.check_space().is_ok();
        if has_failed && has_space && self.may_run(Task::Log) {
            let begun = self.wal.lock().begin_file();
            match begun {
                Ok(()) => self.note_written(),
                Err(error) => self.note_write_error(&error),
            }
        }
    }
}
