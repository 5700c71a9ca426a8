//! When is work in the background tried again that failed? After pauses that grow. Nothing is given up: only corruption of
//! a segment's own file keeps it from being touched again ([`super::SegmentHandle::note_damage`]).

use super::{Engine, SegmentHandle};
use crate::disk::os_code;
use crate::error::StoreError;
use crate::manifest::SegmentId;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use strandline_model::time::{MINUTE_NS, SECOND_NS};

/// Pause after the first failure; each further one doubles it.
const FIRST_PAUSE_NS: i64 = SECOND_NS;
/// Longest pause.
const MAX_PAUSE_NS: i64 = MINUTE_NS;
/// Longest pause of a flush: pushes wait for it.
const MAX_PAUSE_OF_FLUSH_NS: i64 = 5 * SECOND_NS;
/// Longest pause for want of space: it may come back at any moment, and what waits for it may free more.
const MAX_PAUSE_FOR_SPACE_NS: i64 = 15 * SECOND_NS;
/// Most segments that are told of one by one.
const MAX_TOLD: usize = 5;

/// Work in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    Log,
    Flush,
    Merge,
    Erase,
    Retention,
    Removal,
    Labels,
    LabelLoad,
}

impl Task {
    pub(super) const ALL: [Self; 8] = [
        Self::Log,
        Self::Flush,
        Self::Merge,
        Self::Erase,
        Self::Retention,
        Self::Removal,
        Self::Labels,
        Self::LabelLoad,
    ];

    /// Its name in metrics and in `/ready?verbose`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Flush => "flush",
            Self::Merge => "merge",
            Self::Erase => "erase",
            Self::Retention => "retention",
            Self::Removal => "removal",
            Self::Labels => "labels",
            Self::LabelLoad => "label_load",
        }
    }
}

/// What kind of failure an error is, for metrics.
pub(super) fn kind_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::Corrupt(_) => "corrupt",
        StoreError::Io { source, .. } => kind_of_io(source),
        _ => "other",
    }
}

fn kind_of_io(error: &io::Error) -> &'static str {
    match (error.kind(), os_code(error)) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => "no_space",
        (_, Some(libc::EMFILE | libc::ENFILE)) => "too_many_open_files",
        (io::ErrorKind::NotFound, _) => "not_found",
        (io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, _) => "refused",
        _ => "io",
    }
}

/// Whether an error says that the bytes of a file are not what was written, which no further attempt changes.
pub(super) fn is_corruption(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) => true,
        // The file is shorter than its own tables say.
        StoreError::Io { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

/// The file that an error is about.
pub(super) fn path_of(error: &StoreError) -> Option<&str> {
    match error {
        StoreError::Corrupt(damage) => Some(&damage.path),
        StoreError::Io { path, .. } => Some(path),
        _ => None,
    }
}

/// How often something failed in a row, and when it is tried again.
#[derive(Debug, Clone, Default)]
struct Pause {
    failures: u32,
    until_ns: i64,
    /// The kind of the last failure: the error itself, which may name tenants, is in the log.
    kind: &'static str,
}

impl Pause {
    fn grow(&mut self, now_ns: i64, longest: i64, error: &StoreError) {
        let longest =
            if kind_of(error) == "no_space" { longest.min(MAX_PAUSE_FOR_SPACE_NS) } else { longest };
        let pause_ns = FIRST_PAUSE_NS.saturating_mul(1 << self.failures.min(20)).min(longest);
        self.failures = self.failures.saturating_add(1);
        (self.until_ns, self.kind) = (now_ns.saturating_add(pause_ns), kind_of(error));
    }

    fn is_over(&self, now_ns: i64) -> bool {
        self.until_ns <= now_ns
    }

    fn told(&self, what: &str, now_ns: i64) -> String {
        let seconds = (self.until_ns - now_ns).max(0).saturating_add(SECOND_NS - 1) / SECOND_NS;
        format!("{what} failed {} times, is tried again in {seconds} s: {}", self.failures, self.kind)
    }
}

/// What waits to be tried again. Times are those of the monotonic clock (ns).
#[derive(Debug, Default)]
pub(super) struct Retries {
    tasks: BTreeMap<Task, Pause>,
    /// Segments with which a task failed. As many as there are segments at most.
    segments: BTreeMap<SegmentId, Pause>,
}

impl Retries {
    /// Whether a task may run now.
    pub(super) fn may_run(&self, task: Task, now_ns: i64) -> bool {
        self.tasks.get(&task).is_none_or(|pause| pause.is_over(now_ns))
    }

    /// Whether a task failed and its pause is over.
    pub(super) fn is_due(&self, task: Task, now_ns: i64) -> bool {
        self.tasks.get(&task).is_some_and(|pause| pause.is_over(now_ns))
    }

    /// How often a task failed in a row.
    pub(super) fn failures(&self, task: Task) -> u32 {
        self.tasks.get(&task).map_or(0, |pause| pause.failures)
    }

    /// Whether a segment may be touched now.
    pub(super) fn may_touch(&self, id: SegmentId, now_ns: i64) -> bool {
        self.segments.get(&id).is_none_or(|pause| pause.is_over(now_ns))
    }

    /// Notes that a task failed for a reason that is no segment's.
    pub(super) fn task_failed(&mut self, task: Task, now_ns: i64, error: &StoreError) {
        let longest = if task == Task::Flush { MAX_PAUSE_OF_FLUSH_NS } else { MAX_PAUSE_NS };
        self.tasks.entry(task).or_default().grow(now_ns, longest, error);
    }

    /// Notes that the streams of a day could not be read for the label index. The segment that kept them may be merged
    /// all the same.
    pub(super) fn label_look_failed(&mut self, now_ns: i64, error: &StoreError) {
        self.count_and_note(Task::Labels, now_ns, error);
    }

    /// The same of all days, when the index was to be built.
    pub(super) fn label_load_failed(&mut self, now_ns: i64, error: &StoreError) {
        self.count_and_note(Task::LabelLoad, now_ns, error);
    }

    fn count_and_note(&mut self, task: Task, now_ns: i64, error: &StoreError) {
        metrics::counter!("strandline_background_failures_total", "task" => task.name(), "kind" => kind_of(error))
            .increment(1);
        self.task_failed(task, now_ns, error);
    }

    /// Notes that a segment could not be worked on.
    pub(super) fn segment_failed(&mut self, id: SegmentId, now_ns: i64, error: &StoreError) {
        self.segments.entry(id).or_default().grow(now_ns, MAX_PAUSE_NS, error);
    }

    /// Notes that a task went through.
    pub(super) fn succeeded(&mut self, task: Task) {
        self.tasks.remove(&task);
    }

    /// Forgets segments that are not there any more.
    pub(super) fn forget(&mut self, gone: &[SegmentId]) {
        gone.iter().for_each(|id| {
            self.segments.remove(id);
        });
    }

    /// What failed last time and when it is tried again, in words.
    pub(super) fn told(&self, now_ns: i64) -> Vec<String> {
        let tasks = self.tasks.iter().map(|(task, pause)| pause.told(task.name(), now_ns));
        let segments = self.segments.iter().take(MAX_TOLD);
        let segments = segments.map(|(id, pause)| pause.told(&format!("work on segment {id}"), now_ns));
        let more = self.segments.len().saturating_sub(MAX_TOLD);
        let more = (more > 0).then(|| format!("work on {more} further segments failed and is tried again"));
        tasks.chain(segments).chain(more).collect()
    }

    /// Sets the gauges: seconds until each task is tried again, 0 when nothing waits.
    fn tell_metrics(&self, now_ns: i64) {
        for task in Task::ALL {
            let left_ns = self.tasks.get(&task).map_or(0, |pause| (pause.until_ns - now_ns).max(0));
            metrics::gauge!("strandline_background_retry_seconds", "task" => task.name())
                .set(left_ns as f64 / SECOND_NS as f64);
        }
        metrics::gauge!("strandline_segments_retried").set(self.segments.len() as f64);
    }
}

impl Engine {
    /// Whether a task may run now, or waits because it failed.
    pub(super) fn may_run(&self, task: Task) -> bool {
        let retries = self.retries.lock();
        retries.tell_metrics(self.clock.monotonic_ns());
        retries.may_run(task, self.clock.monotonic_ns())
    }

    /// Whether a flush may run now, or waits because it failed.
    pub fn may_flush(&self) -> bool {
        self.may_run(Task::Flush)
    }

    /// Whether a merge, an erasure or retention may touch a segment now.
    pub(super) fn may_touch(&self, handle: &SegmentHandle) -> bool {
        !handle.is_damaged() && self.retries.lock().may_touch(handle.meta().id, self.clock.monotonic_ns())
    }

    /// Notes how a task went. The reason of a failure decides what waits: the segment whose file the error names, for good
    /// if its bytes are wrong; else the whole task and `inputs`, so that the next attempt begins elsewhere.
    pub(super) fn note_outcome<T>(
        &self,
        task: Task,
        inputs: &[Arc<SegmentHandle>],
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now_ns = self.clock.monotonic_ns();
        let error = match &result {
            Ok(_) => {
                self.retries.lock().succeeded(task);
                return result;
            }
            Err(error) => error,
        };
        metrics::counter!("strandline_background_failures_total", "task" => task.name(), "kind" => kind_of(error))
            .increment(1);
        let catalog = Arc::clone(&self.state.read().catalog);
        let path = path_of(error);
        let own = catalog.all().find(|s| path.is_some_and(|path| s.meta().path() == path));
        let mut retries = self.retries.lock();
        match own {
            Some(handle) => {
                handle.note_damage(error);
                if !handle.is_damaged() {
                    retries.segment_failed(handle.meta().id, now_ns, error);
                }
                // Work on these led to it: it would come first again, and again to nothing.
                if task == Task::Flush {
                    retries.task_failed(task, now_ns, error);
                }
                let others = inputs.iter().filter(|s| s.meta().id != handle.meta().id);
                others.for_each(|s| retries.segment_failed(s.meta().id, now_ns, error));
            }
            None => {
                retries.task_failed(task, now_ns, error);
                inputs.iter().for_each(|s| retries.segment_failed(s.meta().id, now_ns, error));
            }
        }
        result
    }

    /// Notes that work on these segments went through, or that they are gone.
    pub(super) fn forget_failures(&self, segments: &[SegmentId]) {
        self.retries.lock().forget(segments);
    }

    /// What failed in the background and is tried again, in words; empty when all is well.
    pub fn background_failures(&self) -> Vec<String> {
        self.retries.lock().told(self.clock.monotonic_ns())
    }

    /// Whether retention failed and is to be tried again now.
    pub fn retention_is_due_again(&self) -> bool {
        self.retries.lock().is_due(Task::Retention, self.clock.monotonic_ns())
    }

    /// To be called when work in the background ended by a panic: it must not come again at once, for ever.
    pub fn note_background_panic(&self) {
        let source = io::Error::other("a thread panicked");
        let error = StoreError::Io { path: "background work".to_owned(), source };
        let now_ns = self.clock.monotonic_ns();
        let mut retries = self.retries.lock();
        for task in [Task::Merge, Task::Erase, Task::Retention] {
            retries.task_failed(task, now_ns, &error);
        }
    }

    /// Removes files again whose removal failed, when it is time.
    pub fn retry_removals(&self) {
        if self.has_failed_removals() && self.may_run(Task::Removal) {
            let result = self.remove_again();
            let _ = self.note_outcome(Task::Removal, &[], result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> StoreError {
        StoreError::Io { path: "x".to_owned(), source: io::Error::from_raw_os_error(code) }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_success() {
        let mut retries = Retries::default();
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..9 {
            retries.task_failed(Task::Merge, now, &error(libc::EIO));
            let begun = now;
            while !retries.may_run(Task::Merge, now) {
                now += SECOND_NS;
            }
            pauses.push((now - begun) / SECOND_NS);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(retries.may_run(Task::Erase, now) && retries.is_due(Task::Merge, now));
        assert_eq!(retries.told(now).len(), 1);
        retries.succeeded(Task::Merge);
        assert!(!retries.is_due(Task::Merge, now) && retries.told(now).is_empty());
    }

    #[test]
    fn errors_have_kinds() {
        let kinds = [libc::ENOSPC, libc::EMFILE, libc::EIO, libc::ENOENT, libc::EROFS].map(kind_of_code);
        assert_eq!(kinds, ["no_space", "too_many_open_files", "io", "not_found", "refused"]);
    }

    fn kind_of_code(code: i32) -> &'static str {
        // As the real disk hands errors on: with the path in the text, and so without the system's number.
        let source = io::Error::from_raw_os_error(code);
        kind_of(&StoreError::Io { path: "x".to_owned(), source: crate::disk::named(source, "x") })
    }
}
