//! Does work that failed go on when its reason is gone? On a disk that refuses for a while.

use super::retry::Task;
use super::{EncodedBatch, Engine, EngineConfig};
use crate::deletes::{DeleteFilter, DeleteLanguage};
use crate::disk::sim::{Faults, SimDisk};
use crate::disk::{Disk, DiskFile, named};
use crate::error::StoreError;
use crate::testing::batch_of;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use strandline_model::{Labels, ManualClock, Matcher, Metadata, Selector, TenantId, TimeRange, time};

mod labels;
mod medium;

/// A disk on which no segment can be opened while `code` is not 0.
#[derive(Debug, Clone)]
struct Refusing {
    disk: SimDisk,
    code: Arc<AtomicI32>,
    /// The same for syncs of the manifest's files.
    manifest_code: Arc<AtomicI32>,
    /// Of a file with this in its path the medium does not give the first sector.
    bad: Arc<Mutex<Option<String>>>,
}

/// A file with a bad first sector.
#[derive(Debug)]
struct Bad(Arc<dyn DiskFile>);

impl DiskFile for Bad {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset < 4096 && !buf.is_empty() {
            return Err(named(io::Error::from_raw_os_error(libc::EIO), "bad"));
        }
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.0.preallocate(len)
    }
}

/// A file of the manifest.
#[derive(Debug)]
struct Edits {
    file: Arc<dyn DiskFile>,
    code: Arc<AtomicI32>,
}

impl DiskFile for Edits {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        match self.code.load(Ordering::Relaxed) {
            0 => self.file.sync(),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.file.preallocate(len)
    }
}

impl Disk for Refusing {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        match self.code.load(Ordering::Relaxed) {
            code if code != 0 && path.ends_with(".seg") => {
                Err(named(io::Error::from_raw_os_error(code), path))
            }
            _ => {
                let file = self.disk.open(path)?;
                let is_bad = self.bad.lock().as_ref().is_some_and(|bad| path.contains(bad.as_str()));
                Ok(if is_bad { Arc::new(Bad(file)) } else { file })
            }
        }
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        let code = Arc::clone(&self.manifest_code);
        Ok(if path.starts_with("manifest") { Arc::new(Edits { file, code }) } else { file })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn lock(&self, path: &str) -> io::Result<()> {
        self.disk.lock(path)
    }

    fn local_path(&self, path: &str) -> Option<std::path::PathBuf> {
        self.disk.local_path(path)
    }
}

/// A query is a number; lines that end with it are meant.
#[derive(Debug)]
struct ByEnd;

#[derive(Debug)]
struct End(Selector, Vec<u8>);

impl DeleteLanguage for ByEnd {
    fn compile(&self, query: &str, _: i64) -> Result<Box<dyn DeleteFilter>, String> {
        let selector = Selector { matchers: vec![Matcher::equal("a", "b")] };
        Ok(Box::new(End(selector, query.as_bytes().to_vec())))
    }
}

impl DeleteFilter for End {
    fn selector(&self) -> &Selector {
        &self.0
    }

    fn takes_all(&self) -> bool {
        false
    }

    fn takes(&self, _: &Labels, _: i64, line: &[u8], _: Metadata<'_>) -> bool {
        line.ends_with(&self.1)
    }
}

struct Store {
    disk: Refusing,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

impl Store {
    fn empty() -> Self {
        let disk = Refusing {
            disk: SimDisk::new(1),
            code: Arc::default(),
            manifest_code: Arc::default(),
            bad: Arc::default(),
        };
        Self::open(disk, Arc::new(ManualClock::at(time::HOUR_NS)))
    }

    fn open(disk: Refusing, clock: Arc<ManualClock>) -> Self {
        let config = EngineConfig {
            min_free_bytes: 0,
            head_idle_ns: 0,
            delete_language: Some(Arc::new(ByEnd)),
            ..EngineConfig::default()
        };
        let (engine, _) = Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap();
        Self { disk, clock, engine }
    }

    /// The same store after a restart.
    fn reopened(self) -> Self {
        let Self { disk, clock, engine } = self;
        drop(engine);
        Self::open(disk, clock)
    }

    fn push(&self, rows: &[(&str, i64, &[u8])]) {
        self.engine.commit(&[EncodedBatch::new(batch_of("t", rows))]).unwrap();
    }

    /// All streams, as a lookup finds them.
    fn streams(&self) -> Vec<String> {
        let series = self.engine.series(&tenant(), TimeRange::ALL, &Selector::all()).unwrap();
        series.iter().map(ToString::to_string).collect()
    }

    /// With four segments of a few kilobytes.
    fn filled() -> Self {
        let Self { disk, clock, engine } = Self::empty();
        for n in 0..4i64 {
            let noise = |i: i64| xxhash_rust::xxh3::xxh3_128(&(n * 100 + i).to_le_bytes());
            let line = |i: i64| format!("{:x} line {i}", noise(i));
            let lines: Vec<String> = (0..100).map(line).collect();
            let rows: Vec<_> =
                (0..100).map(|i| (r#"{a="b"}"#, n * 100 + i, lines[i as usize].as_bytes())).collect();
            engine.commit(&[EncodedBatch::new(batch_of("t", &rows))]).unwrap();
            engine.flush_all().unwrap();
        }
        Self { disk, clock, engine }
    }

    fn segments(&self) -> usize {
        self.engine.view(&tenant(), TimeRange::ALL).segments.len()
    }

    /// The disk has no more room, or has all that is asked for.
    fn fill(&self, is_full: bool) {
        let used: usize =
            self.disk.disk.paths().iter().map(|p| self.disk.disk.read_file(p).unwrap().len()).sum();
        let capacity_bytes = is_full.then_some(used as u64);
        self.disk.disk.set_faults(Faults { capacity_bytes, ..Faults::default() });
    }
}

#[test]
fn a_merge_goes_on_when_space_is_back() {
    let store = Store::filled();
    store.fill(true);
    assert!(store.engine.compact_one(&mut || true).is_err());
    let told = store.engine.background_failures();
    assert!(told.iter().any(|t| t.starts_with("merge failed 1 times, is tried again in 1 s")), "{told:?}");
    let ops = store.disk.disk.ops();
    assert!(!store.engine.compact_one(&mut || true).unwrap(), "not before the pause is over");
    assert_eq!(store.disk.disk.ops(), ops);
    for _ in 0..40 {
        store.clock.advance(time::SECOND_NS);
        let _ = store.engine.compact_one(&mut || true);
    }
    assert_eq!(store.segments(), 4);
    store.fill(false);
    store.clock.advance(15 * time::SECOND_NS);
    assert!(store.engine.compact_one(&mut || true).unwrap());
    assert_eq!((store.segments(), store.engine.background_failures().len()), (1, 0));
}

#[test]
fn a_delete_is_processed_when_space_is_back() {
    let store = Store::filled();
    store.engine.add_delete(&tenant(), "7", (i64::MIN, i64::MAX)).unwrap();
    store.fill(true);
    for _ in 0..60 {
        let _ = store.engine.erase_one(&mut || true);
        store.clock.advance(time::SECOND_NS);
    }
    assert!(store.engine.deletes(&tenant()).iter().all(|d| !d.processed));
    store.fill(false);
    for _ in 0..60 {
        store.clock.advance(time::SECOND_NS);
        while store.engine.erase_one(&mut || true).unwrap() {}
    }
    assert!(store.engine.deletes(&tenant()).iter().all(|d| d.processed));
    assert!(store.engine.background_failures().is_empty());
}

/// A merge that leaves nothing takes a sibling with it, and fails for that one's sake.
#[test]
fn what_fails_for_another_segments_sake_does_not_come_first_again() {
    let store = Store::filled();
    let segments = store.engine.view(&tenant(), TimeRange::ALL).segments;
    let source = io::Error::from_raw_os_error(libc::EIO);
    let error = StoreError::Io { path: segments[1].meta().path(), source };
    let inputs = &segments[..1];
    assert!(store.engine.note_outcome::<()>(Task::Erase, inputs, Err(error)).is_err());
    let may_touch: Vec<bool> = segments.iter().map(|s| store.engine.may_touch(s)).collect();
    assert_eq!(may_touch, [false, false, true, true]);
    assert!(store.engine.may_run(Task::Erase), "others are not held up");
}

#[test]
fn too_many_open_files_damage_no_segment() {
    for code in [libc::EMFILE, libc::EIO] {
        let store = Store::filled();
        store.disk.code.store(code, Ordering::Relaxed);
        let segments = store.engine.view(&tenant(), TimeRange::ALL).segments;
        for handle in &segments {
            assert!(handle.open().is_err());
        }
        assert!(store.engine.compact_one(&mut || true).is_err());
        store.disk.code.store(0, Ordering::Relaxed);
        assert!(segments.iter().all(|handle| !handle.is_damaged() && handle.open().is_ok()));
        drop(segments);
        store.clock.advance(2 * time::SECOND_NS);
        assert!(store.engine.compact_one(&mut || true).unwrap(), "error {code}");
        assert_eq!((store.segments(), store.engine.background_failures().len()), (1, 0));
    }
}

#[test]
fn a_damaged_segment_is_left_alone_and_the_others_are_merged() {
    let store = Store::filled();
    let view = store.engine.view(&tenant(), TimeRange::ALL);
    let path = view.segments[0].meta().path();
    drop(view);
    store.disk.disk.flip_bit(&path, 8 * 100).unwrap();
    assert!(store.engine.compact_one(&mut || true).is_err());
    // Three are too few for a merge until their day is over.
    store.clock.advance(2 * time::DAY_NS);
    assert!(store.engine.compact_one(&mut || true).unwrap());
    assert_eq!(store.segments(), 2);
    store.clock.advance(time::HOUR_NS);
    assert!(!store.engine.compact_one(&mut || true).unwrap());
    assert!(store.engine.background_failures().is_empty(), "nothing is tried again");
}

#[test]
fn a_file_that_could_not_be_removed_goes_later() {
    let store = Store::filled();
    let files = || store.disk.disk.paths().iter().filter(|path| path.ends_with(".seg")).count();
    let view = store.engine.view(&tenant(), TimeRange::ALL);
    store.clock.advance(time::MINUTE_NS);
    assert!(store.engine.compact_one(&mut || true).unwrap());
    store.disk.disk.set_faults(Faults { write_error_per_mille: 1000, ..Faults::default() });
    drop(view);
    store.engine.retry_removals();
    assert_eq!(files(), 5);
    store.disk.disk.set_faults(Faults::default());
    store.clock.advance(time::MINUTE_NS);
    store.engine.retry_removals();
    assert_eq!(files(), 1);
}

#[test]
fn the_store_says_that_its_log_cannot_be_written_until_it_can() {
    let store = Store::filled();
    let push = |n: i64| {
        let batch = batch_of("t", &[(r#"{a="b"}"#, 1000 + n, b"more")]);
        store.engine.commit(&[EncodedBatch::new(batch)])
    };
    // A sync that fails; then a log that cannot be begun.
    push(1).unwrap();
    store.disk.disk.fail_next_sync(1);
    assert!(push(2).is_err());
    assert!(store.engine.read_only().unwrap().contains("the log cannot be written"));
    push(3).unwrap();
    assert_eq!(store.engine.read_only(), None);
    store.engine.flush_all().unwrap();
    store.disk.disk.set_faults(Faults { write_error_per_mille: 1000, ..Faults::default() });
    assert!(push(4).is_err() && push(5).is_err() && store.engine.read_only().is_some());
    store.clock.advance(time::HOUR_NS);
    let _ = store.engine.log_idle();
    assert!(store.engine.read_only().is_some(), "it was tried, and failed");
    store.disk.disk.set_faults(Faults::default());
    // Nobody pushes, since they are told not to.
    for _ in 0..61 {
        store.clock.advance(time::SECOND_NS);
        store.engine.log_idle().unwrap();
    }
    assert_eq!(store.engine.read_only(), None);
    push(6).unwrap();
    assert!(store.engine.background_failures().is_empty());
}

#[test]
fn a_store_without_pushes_says_that_its_log_cannot_be_begun() {
    let store = Store::filled();
    store.disk.disk.set_faults(Faults { write_error_per_mille: 1000, ..Faults::default() });
    assert!(store.engine.log_idle().is_err());
    assert!(store.engine.read_only().is_some());
}

/// The edit of a merge fails, another merge takes the inputs and leaves nothing of them: after a restart the outputs of the
/// first must not pass for its result.
#[test]
fn outputs_of_a_merge_whose_edit_failed_do_not_come_back() {
    let store = Store::filled();
    let files = || store.disk.disk.paths().iter().filter(|path| path.ends_with(".seg")).count();
    store.disk.manifest_code.store(libc::EIO, Ordering::Relaxed);
    assert!(store.engine.compact_one(&mut || true).is_err());
    assert_eq!((store.segments(), files()), (4, 5), "the edit failed, its output is there");
    store.disk.manifest_code.store(0, Ordering::Relaxed);
    store.clock.advance(time::HOUR_NS);
    for end in 0..10 {
        store.engine.add_delete(&tenant(), &end.to_string(), (i64::MIN, i64::MAX)).unwrap();
    }
    while store.engine.erase_one(&mut || true).unwrap() {}
    assert!(store.engine.deletes(&tenant()).iter().all(|d| d.processed));
    assert_eq!((store.segments(), files()), (0, 0));
}

/// Simulated seed 1571: the names of a flush were those of its head. A stream of which an older segment had all rows came
/// into the label index when the edit went through at last, although the older segment had lost it by then.
#[test]
fn a_flush_that_is_tried_again_names_no_stream_that_it_did_not_write() {
    let store = Store::empty();
    store.engine.load_labels().unwrap();
    let repeated: (&str, i64, &[u8]) = (r#"{a="b"}"#, 1, b"line 7");
    store.push(&[repeated]);
    store.engine.flush_all().unwrap();
    store.push(&[repeated, (r#"{a="c"}"#, 2, b"other")]);
    store.disk.manifest_code.store(libc::EIO, Ordering::Relaxed);
    assert!(store.engine.flush_all().is_err());
    store.disk.manifest_code.store(0, Ordering::Relaxed);
    store.clock.advance(time::MINUTE_NS);
    store.engine.add_delete(&tenant(), "7", (i64::MIN, i64::MAX)).unwrap();
    while store.engine.erase_one(&mut || true).unwrap() {}
    assert_eq!(store.segments(), 0, "what the first flush wrote is gone");
    store.engine.flush_all().unwrap();
    assert!(store.engine.labels_ready());
    assert_eq!(store.streams(), [r#"{a="c"}"#]);
    // A later flush of the stream is not taken for one of a stream that the index knows.
    store.push(&[(r#"{a="b"}"#, 3, b"again")]);
    store.engine.flush_all().unwrap();
    assert_eq!(store.streams(), [r#"{a="b"}"#, r#"{a="c"}"#]);
}

/// Rows that a merge may never find beside those of a segment that is large already.
#[test]
fn a_flush_does_not_write_known_rows_again_because_a_segment_cannot_be_opened_for_a_while() {
    let known: (&str, i64, &[u8]) = (r#"{a="b"}"#, 1, b"one");
    for lasts in [false, true] {
        let store = Store::empty();
        store.push(&[known]);
        store.engine.flush_all().unwrap();
        let store = store.reopened();
        store.push(&[known, (r#"{a="b"}"#, 2, b"two")]);
        store.disk.code.store(libc::EMFILE, Ordering::Relaxed);
        assert!(store.engine.flush_all().is_err());
        assert!(!store.engine.may_flush());
        let told = store.engine.background_failures();
        assert!(told.iter().any(|t| t.starts_with("flush failed 1 times")), "{told:?}");
        let mut failed = 1;
        while lasts && store.engine.flush_all().is_err() {
            failed += 1;
        }
        assert_eq!(failed, if lasts { 5 } else { 1 }, "the heads have to be emptied in the end");
        store.disk.code.store(0, Ordering::Relaxed);
        store.engine.flush_all().unwrap();
        let rows: u64 =
            store.engine.view(&tenant(), TimeRange::ALL).segments.iter().map(|s| s.meta().rows).sum();
        assert_eq!(rows, if lasts { 3 } else { 2 });
    }
}
