//! What becomes of the label index when segments cannot be read for a while?

use super::{Store, tenant};
use crate::engine::LabelLoad;
use crate::runtime::Runtime;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strandline_model::time;

/// A delete takes the last row of a stream while no file can be opened: the streams that are left cannot be looked up.
fn erase_without_descriptors(store: &Store) {
    store.engine.load_labels().unwrap();
    store.push(&[(r#"{a="b"}"#, 1, b"line 7"), (r#"{a="c"}"#, 2, b"other")]);
    store.engine.flush_all().unwrap();
    store.engine.add_delete(&tenant(), "7", (i64::MIN, i64::MAX)).unwrap();
    store.clock.advance(time::MINUTE_NS);
    let erased = store.engine.erase_one(&mut || {
        // Asked when the segment that is rewritten is open.
        store.disk.code.store(libc::EMFILE, Ordering::Relaxed);
        true
    });
    assert!(erased.unwrap(), "the rows are gone, whatever becomes of the names");
    assert!(!store.engine.labels_ready());
    let told = store.engine.background_failures();
    assert!(told.iter().any(|t| t.starts_with("labels failed 1 times")), "{told:?}");
    assert!(!store.engine.compact_one(&mut || true).unwrap());
    assert_eq!(store.engine.background_failures(), told, "not before the pause is over");
    store.disk.code.store(0, Ordering::Relaxed);
    assert_eq!(store.streams(), [r#"{a="c"}"#], "stream tables answer");
}

#[test]
fn names_of_streams_that_are_gone_leave_the_label_index_once_files_can_be_opened_again() {
    let store = Store::empty();
    erase_without_descriptors(&store);
    // What comes meanwhile is not missing later.
    store.push(&[(r#"{a="d"}"#, 3, b"new")]);
    store.engine.flush_all().unwrap();
    store.clock.advance(2 * time::SECOND_NS);
    store.engine.compact_one(&mut || true).unwrap();
    assert!(store.engine.labels_ready() && store.engine.background_failures().is_empty());
    assert_eq!(store.streams(), [r#"{a="c"}"#, r#"{a="d"}"#]);
}

#[test]
fn names_of_streams_that_are_gone_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::empty();
    store.disk.disk.set_local(folder.path());
    let store = store.reopened();
    erase_without_descriptors(&store);
    let store = store.reopened();
    store.engine.load_labels().unwrap();
    assert!(store.engine.labels_ready());
    assert_eq!(store.streams(), [r#"{a="c"}"#]);
}

#[test]
fn a_label_index_that_could_not_be_built_is_built_once_files_can_be_opened_again() {
    let store = Store::empty();
    store.push(&[(r#"{a="b"}"#, 1, b"one")]);
    store.engine.flush_all().unwrap();
    let Store { disk, clock, engine } = store;
    drop(engine);
    disk.code.store(libc::EMFILE, Ordering::Relaxed);
    let Store { disk, clock, engine } = Store::open(disk, clock);
    let runtime = Runtime::start(Arc::clone(&engine)).unwrap();
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let comes = (0..12_000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            is_so()
        });
        assert!(comes, "{what}: {:?}", engine.background_failures());
    };
    let is_told = || engine.background_failures().iter().any(|t| t.starts_with("label_load failed 1 times"));
    until("the failure is told", &is_told);
    assert!(!engine.labels_ready());
    disk.code.store(0, Ordering::Relaxed);
    clock.advance(2 * time::SECOND_NS);
    until("the index answers", &|| engine.labels_ready());
    assert!(engine.background_failures().is_empty());
    runtime.stop().unwrap();
    let store = Store { disk, clock, engine };
    assert_eq!(store.streams(), [r#"{a="b"}"#]);
}

/// The image of the start names what has gone since; a second attempt to add what is new to it must not.
#[test]
fn what_goes_between_two_attempts_to_load_the_label_index_is_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::empty();
    store.disk.disk.set_local(folder.path());
    let store = store.reopened();
    store.engine.load_labels().unwrap();
    store.push(&[(r#"{a="b"}"#, 1, b"line 7")]);
    store.engine.flush_all().unwrap();
    let store = store.reopened();
    // Not in the image, so its segment has to be read.
    store.push(&[(r#"{a="c"}"#, 2, b"other")]);
    store.engine.flush_all().unwrap();
    store.disk.code.store(libc::EMFILE, Ordering::Relaxed);
    assert_eq!(store.engine.load_labels_until(&|| false), LabelLoad::Failed);
    store.disk.code.store(0, Ordering::Relaxed);
    store.clock.advance(time::MINUTE_NS);
    store.engine.add_delete(&tenant(), "7", (i64::MIN, i64::MAX)).unwrap();
    while store.engine.erase_one(&mut || true).unwrap() {}
    assert!(store.engine.label_load_is_due());
    assert_eq!(store.engine.load_labels_until(&|| false), LabelLoad::Complete);
    assert_eq!(store.streams(), [r#"{a="c"}"#]);
}
