//! What does a start make of a store whose manifest, log or format file is damaged or gone?

use super::{EncodedBatch, Engine, EngineConfig, OpenReport};
use crate::deletes::{DeleteFilter, DeleteLanguage};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::testing::batch_of;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Labels, ManualClock, Matcher, Metadata, Selector, TenantId, TimeRange, time};

/// A query is the value of the label `a`.
#[derive(Debug)]
struct ByLabel;

#[derive(Debug)]
struct Streams(Selector);

impl DeleteLanguage for ByLabel {
    fn compile(&self, query: &str, _: i64) -> Result<Box<dyn DeleteFilter>, String> {
        Ok(Box::new(Streams(Selector { matchers: vec![Matcher::equal("a", query)] })))
    }
}

impl DeleteFilter for Streams {
    fn selector(&self) -> &Selector {
        &self.0
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn takes(&self, _: &Labels, _: i64, _: &[u8], _: Metadata<'_>) -> bool {
        true
    }
}

const ALL: (i64, i64) = (i64::MIN, i64::MAX);
/// Where the manifest lies.
const FOLDERS: [&str; 2] = ["manifest", "manifest-copy"];

/// A store on a simulated disk.
struct Store {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    config: EngineConfig,
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

impl Store {
    fn new(seed: u64) -> Self {
        let config = EngineConfig {
            min_free_bytes: 0,
            head_idle_ns: 0,
            block_bytes: 128,
            wal_file_bytes: 16 << 10,
            delete_language: Some(Arc::new(ByLabel)),
            ..EngineConfig::default()
        };
        Self { disk: SimDisk::new(seed), clock: Arc::new(ManualClock::at(time::HOUR_NS)), config }
    }

    fn open(&self) -> (Arc<Engine>, OpenReport) {
        Engine::open(Arc::new(self.disk.clone()), self.clock.clone(), self.config.clone()).unwrap()
    }

    fn engine(&self) -> Arc<Engine> {
        self.open().0
    }

    /// Files below a folder.
    fn files(&self, folder: &str) -> Vec<String> {
        self.disk.list(folder).unwrap().into_iter().map(|name| format!("{folder}/{name}")).collect()
    }
}

fn push(engine: &Engine, name: &str) {
    let labels = format!("{{a=\"{name}\"}}");
    let rows: Vec<_> = (0..8).map(|ts| (labels.as_str(), ts, name.as_bytes())).collect();
    engine.commit(&[EncodedBatch::new(batch_of("t", &rows))]).unwrap();
}

/// The values of `a` whose lines a reader sees, in segments and heads.
fn seen(engine: &Engine) -> String {
    let view = engine.view(&tenant(), TimeRange::ALL);
    let mut names = BTreeSet::new();
    let mut see = |labels: &Labels| names.extend(labels.get("a").map(str::to_owned));
    for handle in &view.segments {
        let hidden = view.hidden_in(handle);
        let rows = handle.open().unwrap().streams().unwrap();
        rows.iter().filter(|row| !hidden.may_hide(&row.labels, row.time)).for_each(|row| see(&row.labels));
    }
    for head in &view.heads {
        let mut streams = head.select(&tenant(), TimeRange::ALL, &Selector::all());
        view.hide(head, &mut streams);
        streams.iter().for_each(|rows| see(&rows.labels));
    }
    names.into_iter().collect()
}

fn work(engine: &Engine) {
    while engine.erase_one(&mut || true).unwrap() {}
}

#[test]
fn after_a_lost_manifest_a_delete_covers_what_was_there() {
    for damage in ["lost", "flipped", "lost with its folder"] {
        let store = Store::new(1);
        let engine = store.engine();
        for name in ["1", "2"] {
            push(&engine, name);
            engine.flush_all().unwrap();
        }
        drop(engine);
        for folder in FOLDERS {
            for path in store.files(folder) {
                match damage {
                    "flipped" => store.disk.flip_bit(&path, 8 * 10).unwrap(),
                    _ => store.disk.remove(&path).unwrap(),
                }
            }
            if damage == "lost with its folder" {
                store.disk.remove_dir(folder).unwrap();
            }
        }
        let (engine, report) = store.open();
        assert_eq!((report.adopted.len(), report.losses.len()), (2, 1), "{damage}: {report:?}");
        let number = engine.add_delete(&tenant(), "1", ALL).unwrap();
        assert_eq!(seen(&engine), "2", "{damage}");
        push(&engine, "1");
        assert_eq!(seen(&engine), "12", "{damage}: what comes behind the delete stays");
        engine.flush_all().unwrap();
        work(&engine);
        let deletes = engine.deletes(&tenant());
        assert!(deletes.iter().any(|d| d.number == number && d.processed), "{damage}: {deletes:?}");
        assert_eq!(seen(&engine), "12", "{damage}");
    }
}

fn warnings(engine: &Engine) -> Vec<String> {
    engine.view(&tenant(), TimeRange::ALL).warnings
}

/// A store with deletes that are processed, pending with lines in segments, in a head, and cancelled.
fn with_deletes(seed: u64) -> Store {
    let store = Store::new(seed);
    let engine = store.engine();
    for name in ["1", "2", "3", "4"] {
        push(&engine, name);
        engine.flush_all().unwrap();
    }
    engine.add_delete(&tenant(), "1", ALL).unwrap();
    work(&engine);
    drop(engine);
    // The next ones may not be carried out yet.
    let waiting = EngineConfig { delete_cancel_period_ns: time::HOUR_NS, ..store.config.clone() };
    let store = Store { config: waiting, ..store };
    let engine = store.engine();
    engine.add_delete(&tenant(), "2", ALL).unwrap();
    let number = engine.add_delete(&tenant(), "3", ALL).unwrap();
    engine.cancel_delete(&tenant(), number).unwrap();
    push(&engine, "5");
    engine.add_delete(&tenant(), "5", ALL).unwrap();
    push(&engine, "6");
    engine.log_idle().unwrap();
    assert_eq!(seen(&engine), "346");
    drop(engine);
    store
}

#[test]
fn one_damage_to_the_manifest_brings_no_deleted_line_back() {
    let store = with_deletes(2);
    let at_rest: Vec<(String, Vec<u8>)> =
        store.disk.paths().into_iter().map(|p| (p.clone(), store.disk.read_file(&p).unwrap())).collect();
    let restore = || {
        store.disk.paths().iter().for_each(|path| store.disk.remove(path).unwrap());
        at_rest.iter().for_each(|(path, bytes)| store.disk.write_file(path, bytes).unwrap());
    };
    for folder in FOLDERS {
        let path = store.files(folder).pop().unwrap();
        let len = store.disk.read_file(&path).unwrap().len() as u64;
        // Each byte, a different bit of each; then cut off at each frame; then gone.
        for at in 0..len + len / 512 + 1 {
            match at {
                at if at < len => store.disk.flip_bit(&path, at * 8 + at % 8).unwrap(),
                at if at < len + len / 512 => store.disk.truncate(&path, (at - len) * 512).unwrap(),
                _ => store.disk.remove(&path).unwrap(),
            }
            let (engine, report) = store.open();
            assert_eq!(seen(&engine), "346", "{folder}, damage {at}: {report:?}");
            assert!(warnings(&engine).is_empty() && report.replay.lost == 0, "{folder}, damage {at}");
            drop(engine);
            restore();
        }
    }
}

#[test]
fn damage_to_both_files_of_the_manifest_is_told_until_it_is_accepted() {
    let store = with_deletes(3);
    for folder in FOLDERS {
        store.disk.flip_bit(&store.files(folder)[0], 8 * 10).unwrap();
    }
    for _ in 0..2 {
        let (engine, report) = store.open();
        assert!(seen(&engine).contains('2'), "nothing says any more that it was deleted");
        assert_eq!((warnings(&engine).len(), report.losses.len()), (1, 1), "{report:?}");
        assert!(warnings(&engine)[0].contains("deleted by request may be seen again"));
    }
    let disk: Arc<dyn Disk> = Arc::new(store.disk.clone());
    assert_eq!(super::verify(&disk, |_, _| ()).unwrap().losses.len(), 1);
    assert_eq!(super::accept_losses(&disk, 9).unwrap().len(), 1);
    assert_eq!(super::verify(&disk, |_, _| ()).unwrap().losses.len(), 0);
    assert!(warnings(&store.engine()).is_empty());
}

#[test]
fn numbers_of_deletes_and_generations_are_not_given_again_after_a_lost_manifest() {
    let store = with_deletes(4);
    let known: BTreeSet<u64> = store.engine().deletes(&tenant()).iter().map(|d| d.number).collect();
    let generation = store.engine().manifest.lock().generation();
    for folder in FOLDERS {
        store.files(folder).iter().for_each(|path| store.disk.remove(path).unwrap());
    }
    let engine = store.engine();
    assert!(engine.manifest.lock().generation() > generation + 1000);
    assert!(!known.contains(&engine.add_delete(&tenant(), "4", ALL).unwrap()));
}

/// What a start and a look at rest say of the log's losses: pushes, warnings, things wrong.
fn losses(store: &Store) -> (u64, usize, usize) {
    let disk: Arc<dyn Disk> = Arc::new(store.disk.clone());
    let found = super::verify(&disk, |_, _| ()).unwrap();
    let (engine, report) = store.open();
    (report.replay.lost, warnings(&engine).len(), found.damage.len() + found.losses.len())
}

#[test]
fn acknowledged_pushes_that_are_lost_are_told_until_it_is_accepted() {
    let store = Store::new(5);
    let engine = store.engine();
    for name in ["1", "2", "3", "4", "5"] {
        push(&engine, name);
    }
    engine.log_idle().unwrap();
    drop(engine);
    // The last push and what vouches for it in its file.
    let path = store.files("wal").into_iter().find(|path| path.ends_with(".wal")).unwrap();
    store.disk.truncate(&path, 4 * 512).unwrap();
    assert_eq!(losses(&store), (1, 1, 1), "found");
    assert_eq!(losses(&store), (0, 1, 1), "known, and told again after a restart");
    let engine = store.engine();
    assert_eq!(seen(&engine), "1234");
    push(&engine, "6");
    engine.flush_all().unwrap();
    assert_eq!(warnings(&engine).len(), 1);
    drop(engine);
    assert_eq!(losses(&store), (0, 1, 1), "also when the log is gone");
    let disk: Arc<dyn Disk> = Arc::new(store.disk.clone());
    assert_eq!(super::accept_losses(&disk, 9).unwrap().len(), 1);
    assert_eq!(losses(&store), (0, 0, 0));
    assert_eq!(seen(&store.engine()), "12346");
}

/// What the recovery found in segments was recycled long ago, and is vouched for in later frames all the same.
#[test]
fn a_start_after_a_recovery_that_was_killed_reports_no_loss_that_was_none() {
    let store = Store::new(9);
    let engine = store.engine();
    for n in 0..120 {
        push(&engine, &n.to_string());
        if n % 10 == 9 {
            engine.flush_all().unwrap();
        }
    }
    push(&engine, "last");
    engine.log_idle().unwrap();
    drop(engine);
    for folder in FOLDERS {
        store.files(folder).iter().for_each(|path| store.disk.remove(path).unwrap());
    }
    for start in 0..3 {
        let found = losses(&store);
        assert_eq!((found.0, found.1), (0, 1), "start {start}: of deletes, not of pushes");
    }
}

/// Killed after it had made a new manifest and before it had looked at the segments.
#[test]
fn a_recovery_that_was_killed_goes_on() {
    let store = with_deletes(10);
    let kept: Vec<(String, Vec<u8>)> = store
        .disk
        .paths()
        .into_iter()
        .filter(|path| path.ends_with(".seg"))
        .map(|path| (path.clone(), store.disk.read_file(&path).unwrap()))
        .collect();
    let removed =
        FOLDERS.iter().flat_map(|folder| store.files(folder)).chain(kept.iter().map(|k| k.0.clone()));
    removed.for_each(|path| store.disk.remove(&path).unwrap());
    drop(store.engine());
    for (i, (path, bytes)) in kept.iter().enumerate() {
        let mut bytes = bytes.clone();
        if i == 0 {
            bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
        store.disk.write_file(path, &bytes).unwrap();
    }
    let engine = store.engine();
    let lost_segments = engine.losses().iter().filter(|l| l.to_string().contains(".seg")).count();
    assert_eq!(lost_segments, 1, "{:?}", engine.losses());
}

#[test]
fn a_loss_can_be_accepted_before_a_start_finds_it() {
    let store = Store::new(6);
    let engine = store.engine();
    for name in ["1", "2", "3"] {
        push(&engine, name);
    }
    engine.log_idle().unwrap();
    drop(engine);
    let path = store.files("wal").into_iter().find(|path| path.ends_with(".wal")).unwrap();
    store.disk.flip_bit(&path, 8 * (512 + 70)).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(store.disk.clone());
    assert_eq!(super::verify(&disk, |_, _| ()).unwrap().damage.len(), 1);
    assert_eq!(super::accept_losses(&disk, 9).unwrap().len(), 1);
    assert_eq!(losses(&store), (0, 0, 0));
    assert_eq!(seen(&store.engine()), "13");
}

#[test]
fn what_a_start_found_is_vouched_for_and_what_was_cut_off_is_not() {
    let store = Store::new(7);
    let engine = store.engine();
    push(&engine, "1");
    push(&engine, "2");
    drop(engine);
    // Nothing vouches for the second push: the process ended before the log fell idle.
    let path = store.files("wal").pop().unwrap();
    let whole = store.disk.read_file(&path).unwrap();
    let flip = || store.disk.flip_bit(&path, 8 * (512 + 70)).unwrap();
    flip();
    assert_eq!(losses(&store), (0, 0, 0));
    store.disk.write_file(&path, &whole).unwrap();
    let engine = store.engine();
    engine.log_idle().unwrap();
    drop(engine);
    flip();
    assert_eq!(losses(&store), (1, 1, 1));
}

#[test]
fn the_manifest_names_dropped_segments_only_until_they_are_gone() {
    let store = Store::new(8);
    let engine = store.engine();
    for round in 0..20 {
        for n in 1..=4 {
            push(&engine, &format!("{round}-{n}"));
            engine.flush_all().unwrap();
        }
        store.clock.advance(time::MINUTE_NS);
        while engine.compact_one(&mut || true).unwrap() {}
    }
    push(&engine, "5");
    engine.flush_all().unwrap();
    assert_eq!(engine.manifest.lock().dropped_count(), 0);
    // A reader keeps a file from being removed.
    let view = engine.view(&tenant(), TimeRange::ALL);
    store.clock.advance(time::MINUTE_NS);
    for name in ["6", "7", "8"] {
        push(&engine, name);
        engine.flush_all().unwrap();
    }
    while engine.compact_one(&mut || true).unwrap() {}
    engine.flush_all().unwrap();
    assert!(engine.manifest.lock().dropped_count() > 0);
    drop(view);
    push(&engine, "9");
    engine.flush_all().unwrap();
    assert_eq!(engine.manifest.lock().dropped_count(), 0);
}
