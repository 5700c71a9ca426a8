//! The engine's threads: one that commits, one that flushes, one that merges, applies retention and carries deletes out.
//!
//! Pushes wait in a queue bounded by bytes, of which the committer takes groups ([`crate::commit_queue`]). When flushing
//! falls behind, the committer waits, then refuses: memory stays bounded.

pub use crate::commit_queue::Done;
use crate::commit_queue::{CommitQueue, Group, Heads, Next};
use crate::engine::{EncodedBatch, Engine};
use crate::error::StoreError;
use crate::invariant;
use crate::wal::SyncMode;
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use strandline_model::time::{MINUTE_NS, SECOND_NS};

/// The committer looks this often whether an idle log has something to note or to sync.
const IDLE_TICK: Duration = Duration::from_millis(100);
/// A log that does not fall idle notes this often how far it is synced.
const MARK_EVERY_NS: i64 = SECOND_NS;
const FLUSH_TICK: Duration = Duration::from_millis(500);
const COMPACTION_TICK: Duration = Duration::from_secs(1);
/// A flush that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// A running store.
pub struct Runtime {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    engine: Arc<Engine>,
    queue: Mutex<CommitQueue>,
    /// Signalled when a batch waits, a head was flushed or the runtime stops.
    arrived: Condvar,
    /// Held by who waits for one of the two signals below, from the look at the state until the wait, and by who gives it: so
    /// no signal falls between the two. It holds no data; what is looked at has locks of its own.
    signals: Mutex<()>,
    /// A head was sealed.
    sealed: Condvar,
    /// A head was flushed: there is room again.
    flushed: Condvar,
    stopping: AtomicBool,
    poisoned: AtomicBool,
}

/// What the committer does next.
enum Step {
    Work(Next),
    /// Nothing, but something has changed: look again.
    Change,
    /// Nothing for a while.
    Idleness,
    /// Nothing, and nothing is to come.
    End,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts the threads; one of them reads or rebuilds the label index in the background.
    pub fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            engine,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            signals: Mutex::new(()),
            sealed: Condvar::new(),
            flushed: Condvar::new(),
            stopping: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        let mut spawn = |name: &str, body: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&shared))?;
            threads.push(thread);
            std::io::Result::Ok(())
        };
        spawn("commit", commit_loop)?;
        spawn("flush", flush_loop)?;
        spawn("compaction", compaction_loop)?;
        spawn("labels", load_labels_loop)?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// Hands a batch to the log. `done` is called when it is safe, or refused. Never blocks: when too much waits
    /// already, the answer is [`StoreError::Busy`] at once.
    pub fn submit(&self, batch: EncodedBatch, done: Done) -> Result<(), StoreError> {
        if self.shared.poisoned.load(Ordering::Relaxed) {
            return Err(StoreError::Poisoned);
        }
        invariant::check()?;
        // Alone: in a group it would have all of the group refused.
        batch.payload.check_size()?;
        self.shared.queue.lock().push(batch, done).inspect_err(|error| {
            if matches!(error, StoreError::Busy) {
                metrics::counter!("strandline_push_refused_total", "reason" => "queue_full").increment(1);
            }
        })?;
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// Writes everything in memory to segments: for `/flush`.
    pub fn flush(&self) -> Result<(), StoreError> {
        let result = self.shared.engine.flush_all();
        self.shared.notify_flushed();
        result
    }

    /// Stops in order: no new batches, those that wait are committed, heads are flushed, threads end.
    pub fn stop(&self) -> Result<(), StoreError> {
        self.shared.queue.lock().close();
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.arrived.notify_all();
        self.shared.notify_sealed();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended by a panic");
            }
        }
        if self.shared.poisoned.load(Ordering::Relaxed) {
            return Err(StoreError::Poisoned);
        }
        // What is in the log is safe already; a flush now makes the next start shorter.
        self.shared.engine.flush_all()
    }
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn notify_sealed(&self) {
        let _guard = self.signals.lock();
        self.sealed.notify_all();
    }

    fn notify_flushed(&self) {
        let guard = self.signals.lock();
        self.flushed.notify_all();
        drop(guard);
        let _queue = self.queue.lock();
        self.arrived.notify_one();
    }

    /// What the committer does next; waits a moment when there is nothing.
    fn find(&self) -> Step {
        let mut queue = self.queue.lock();
        // With the queue locked: room that a flush makes after this look is told while this thread waits.
        let heads = Heads {
            bytes: self.engine.head_bytes(),
            max_bytes: self.engine.config().head_max_bytes,
            has_sealed: self.engine.has_sealed(),
        };
        if let Some(next) = queue.next(heads, self.engine.clock().monotonic_ns()) {
            return Step::Work(next);
        }
        if queue.is_closed() && queue.is_empty() {
            return Step::End;
        }
        let waited = self.arrived.wait_for(&mut queue, IDLE_TICK);
        if waited.timed_out() { Step::Idleness } else { Step::Change }
    }

    fn commit(&self, Group { batches, dones, .. }: Group) {
        let commit = || self.engine.commit(&batches);
        let result = catch_unwind(AssertUnwindSafe(commit)).unwrap_or_else(|_| {
            // Nobody knows what the log and the head hold now: no acknowledgement may follow.
            self.poisoned.store(true, Ordering::Relaxed);
            self.engine.note_writer_stopped();
            Err(StoreError::Poisoned)
        });
        let result = result.map_err(Arc::new);
        dones.into_iter().for_each(|done| done(result.clone()));
    }

    fn refuse(&self, group: Group, error: StoreError) {
        let error = Arc::new(error);
        group.dones.into_iter().for_each(|done| done(Err(Arc::clone(&error))));
    }
}

fn commit_loop(shared: &Shared) {
    let engine = &shared.engine;
    let interval = match engine.config().sync {
        SyncMode::Interval(ns) => Some(ns),
        _ => None,
    };
    let mut last_sync = engine.clock().monotonic_ns();
    let mut last_mark = last_sync;
    loop {
        match shared.find() {
            Step::End => break,
            Step::Change => continue,
            // No push waits for this: a failure that lasts is met, and told, by the next group.
            Step::Idleness => drop(engine.log_idle()),
            Step::Work(Next::Refuse(group)) => shared.refuse(group, StoreError::Busy),
            Step::Work(Next::Commit(group)) if shared.poisoned.load(Ordering::Relaxed) => {
                shared.refuse(group, StoreError::Poisoned);
            }
            Step::Work(Next::Commit(group)) => {
                shared.commit(group);
                if engine.has_sealed() {
                    shared.notify_sealed();
                }
            }
        }
        let now = engine.clock().monotonic_ns();
        if now - last_mark >= MARK_EVERY_NS {
            // Not after each group: it costs a sync of its own.
            if let Err(error) = engine.mark_log() {
                tracing::warn!(%error, "how far the log is synced could not be written down; tried again in a second");
            }
            last_mark = now;
        }
        if interval.is_some_and(|ns| now - last_sync >= ns) {
            let _ = engine.sync_log();
            last_sync = now;
        }
    }
    if engine.config().sync != SyncMode::Off {
        let _ = engine.sync_log();
    }
    let _ = engine.log_idle();
}

fn flush_loop(shared: &Shared) {
    while !shared.stopping() {
        shared.engine.seal_if_due();
        match catch_unwind(AssertUnwindSafe(|| shared.engine.flush_one())) {
            Ok(Ok(true)) => shared.notify_flushed(),
            Ok(Ok(false)) => {
                let mut guard = shared.signals.lock();
                if !shared.engine.has_sealed() && !shared.stopping() {
                    shared.sealed.wait_for(&mut guard, FLUSH_TICK);
                }
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a flush failed; the lines stay in the log and in memory");
                metrics::counter!("strandline_flush_errors_total").increment(1);
                // Pushes go on to seal heads: these signals are no reason to try at once.
                while !shared.engine.may_flush() && !shared.stopping() {
                    let mut guard = shared.signals.lock();
                    shared.sealed.wait_for(&mut guard, RETRY);
                }
            }
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// Loads the label index, and again after a pause when that failed or when it may fit at last.
fn load_labels_loop(shared: &Shared) {
    shared.engine.load_labels_until(&|| shared.stopping());
    while !shared.stopping() {
        if shared.engine.label_load_is_due() {
            shared.engine.load_labels_until(&|| shared.stopping());
        }
        let mut guard = shared.signals.lock();
        if !shared.stopping() {
            shared.flushed.wait_for(&mut guard, COMPACTION_TICK);
        }
    }
}

fn compaction_loop(shared: &Shared) {
    let engine = &shared.engine;
    let mut last_retention: Option<i64> = None;
    while !shared.stopping() {
        // Merges give way to flushes: those free memory for which pushes wait.
        let mut pace = || {
            for _ in 0..100 {
                if shared.stopping() {
                    return false;
                }
                if !engine.has_sealed() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            true
        };
        let now = engine.clock().monotonic_ns();
        let retention_due =
            last_retention.is_none_or(|last| now - last >= 5 * MINUTE_NS) || engine.retention_is_due_again();
        let work = || {
            if retention_due && let Err(error) = engine.retain(&mut pace) {
                tracing::error!(%error, "retention failed and is tried again; what should go is still there");
            }
            engine.retry_removals();
            // A delete that cannot be carried out must not keep segments from being merged.
            let erased = engine.erase_one(&mut pace).unwrap_or_else(|error| {
                tracing::error!(%error, "deleted lines could not be removed yet; they stay hidden");
                false
            });
            engine.compact_one(&mut pace).map(|merged| merged | erased)
        };
        if retention_due {
            last_retention = Some(now);
        }
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(true)) => continue,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "merging failed and is tried again; the old segments stay")
            }
            Err(_) => {
                tracing::error!("merging panicked; the old segments stay");
                engine.note_background_panic();
            }
        }
        let mut guard = shared.signals.lock();
        if !shared.stopping() {
            shared.flushed.wait_for(&mut guard, COMPACTION_TICK);
        }
    }
}
