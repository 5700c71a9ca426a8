//! What does a start make of a sector that the medium does not give? It comes up with the rest, and says so.

use super::{Store, tenant};
use crate::disk::Disk;
use strandline_model::TimeRange;

/// Two segments, a push in the log that is vouched for, and a reason to have a list of losses.
fn filled() -> Store {
    let store = Store::empty();
    for n in [1, 2] {
        store.push(&[(r#"{a="b"}"#, n, b"flushed")]);
        store.engine.flush_all().unwrap();
    }
    store.push(&[(r#"{a="c"}"#, 3, b"logged")]);
    store.engine.log_idle().unwrap();
    store
}

fn reopened(store: Store, bad: &str) -> Store {
    *store.disk.bad.lock() = Some(bad.to_owned());
    store.reopened()
}

#[test]
fn a_bad_sector_under_any_file_is_no_reason_not_to_start() {
    for (bad, streams, warnings) in [
        ("wal/mark", 2, 0),
        ("LOSSES", 2, 0),
        (".wal", 1, 1),
        ("manifest/", 2, 0),
        ("manifest-copy/", 2, 0),
        // Both: the segments say what they hold.
        ("manifest", 2, 1),
    ] {
        let store = reopened(filled(), bad);
        let view = store.engine.view(&tenant(), TimeRange::ALL);
        assert_eq!(view.segments.len(), 2, "{bad}");
        assert_eq!(store.streams().len(), streams, "{bad}");
        assert_eq!(view.warnings.len(), warnings, "{bad}: {:?}", view.warnings);
    }
}

#[test]
fn a_list_of_losses_that_cannot_be_read_is_a_loss() {
    let store = filled();
    store.disk.disk.write_file("LOSSES", b"unreadable").unwrap();
    let store = reopened(store, "LOSSES");
    assert_eq!(store.engine.losses().len(), 1);
}

#[test]
fn a_segment_that_no_manifest_lists_and_that_cannot_be_read_stays_until_it_can() {
    let store = filled();
    let segment = store.engine.view(&tenant(), TimeRange::ALL).segments[0].meta().path();
    let Store { disk, clock, engine } = store;
    drop(engine);
    for folder in ["manifest", "manifest-copy"] {
        for name in disk.list(folder).unwrap() {
            disk.remove(&format!("{folder}/{name}")).unwrap();
        }
    }
    *disk.bad.lock() = Some(segment.clone());
    let store = Store::open(disk, clock);
    assert_eq!(store.segments(), 1);
    assert_eq!(store.engine.losses().len(), 2, "{:?}", store.engine.losses());
    let store = reopened(store, "nothing");
    assert_eq!(store.segments(), 2);
}
