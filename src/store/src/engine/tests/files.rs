//! However many segments there are and however many are read at once, few files are open.

use super::{Rig, config, tenant};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskFile, named};
use crate::engine::{Engine, EngineConfig};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use strandline_model::time::{DAY_NS, HOUR_NS};
use strandline_model::{ManualClock, Selector, TimeRange};

/// A disk that opens only so many files at once, as `ulimit -n` does.
#[derive(Debug, Clone)]
struct LimitedDisk {
    disk: SimDisk,
    open: Arc<AtomicUsize>,
    limit: usize,
}

#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn DiskFile>,
    open: Arc<AtomicUsize>,
}

impl LimitedDisk {
    fn counted(
        &self,
        path: &str,
        open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        if self.open.load(Ordering::SeqCst) >= self.limit {
            // As the real disk says it.
            return Err(named(io::Error::from_raw_os_error(libc::EMFILE), path));
        }
        let file = open()?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(CountedFile { file, open: Arc::clone(&self.open) }))
    }
}

impl Disk for LimitedDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.counted(path, || self.disk.open(path))
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.counted(path, || self.disk.create(path))
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
    fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.disk.local_path(path)
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.file.preallocate(len)
    }
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Files that a store of any size may have open beside those of its segments: log, manifest, what is being written.
const BESIDE: usize = 24;

/// A store on a disk with few descriptors, which may keep `max_open_files` for segments.
fn limited(limit: usize, max_open_files: usize) -> (Rig, LimitedDisk) {
    let disk = LimitedDisk { disk: SimDisk::new(1), open: Arc::default(), limit };
    let clock = Arc::new(ManualClock::at(0));
    let config = EngineConfig { max_open_files, ..config() };
    let engine = Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap().0;
    (Rig { disk: disk.disk.clone(), clock, engine }, disk)
}

/// One segment a day.
fn fill(rig: &Rig, days: i64) {
    let rows: Vec<(&str, i64, &[u8])> =
        (0..days).map(|day| (r#"{a="x"}"#, day * DAY_NS, &b"x"[..])).collect();
    rig.flush(&rows);
}

fn open_and_read_all(rig: &Rig) -> usize {
    let view = rig.engine.view(&tenant(), TimeRange::ALL);
    let open: Vec<_> = view.segments.iter().map(|handle| handle.open().unwrap()).collect();
    for segment in &open {
        assert_eq!(segment.streams().unwrap().len(), 1);
        assert_eq!(segment.table().unwrap().blocks.len(), 1);
    }
    open.len()
}

#[test]
fn two_thousand_segments_are_served_merged_and_recovered_with_few_files() {
    let (rig, disk) = limited(BESIDE + 16, 8);
    fill(&rig, 2000);
    assert_eq!(open_and_read_all(&rig), 2000);
    assert!(disk.open.load(Ordering::SeqCst) <= BESIDE + 8);
    rig.clock.advance(2000 * DAY_NS + HOUR_NS);
    for _ in 0..50 {
        assert!(rig.engine.compact_one(&mut || true).unwrap());
    }
    for name in rig.disk.list("manifest").unwrap() {
        rig.disk.write_file(&format!("manifest/{name}"), b"damaged").unwrap();
    }
    let config = rig.engine.config().clone();
    let Rig { clock, engine, disk: sim } = rig;
    drop(engine);
    assert_eq!(disk.open.load(Ordering::SeqCst), 0, "a stopped store keeps no file");
    let engine = Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap().0;
    let rig = Rig { disk: sim, clock, engine };
    assert_eq!(open_and_read_all(&rig), 2000);
    assert!(disk.open.load(Ordering::SeqCst) <= BESIDE + 8);
}

#[test]
fn when_others_took_the_descriptors_segments_give_theirs_back() {
    let (rig, disk) = limited(60, 1000);
    fill(&rig, 200);
    assert_eq!(open_and_read_all(&rig), 200);
    assert!(disk.open.load(Ordering::SeqCst) <= 60);
}

#[test]
fn a_dropped_segment_can_be_read_to_its_end_and_then_goes() {
    let (rig, _) = limited(BESIDE + 8, 4);
    fill(&rig, 20);
    let files = || rig.disk.paths().into_iter().filter(|path| path.ends_with(".seg")).count();
    let view = rig.engine.view(&tenant(), TimeRange::ALL);
    let open: Vec<_> = view.segments.iter().map(|handle| handle.open().unwrap()).collect();
    rig.engine.drop_partitions(|catalog| catalog.partitions().map(|(p, _)| p.clone()).collect()).unwrap();
    drop(view);
    assert_eq!(files(), 20, "their readers are not done");
    // More than can be open at once: each has to be opened again.
    for segment in &open {
        segment.selected_in_chunk(0, &Selector::all(), |labels, _| assert_eq!(labels.len(), 1)).unwrap();
    }
    drop(open);
    assert_eq!((files(), rig.engine.open.open_files()), (0, 0));
}
