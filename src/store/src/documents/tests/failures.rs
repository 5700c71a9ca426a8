//! Damage, crashes and disks that refuse.

use super::*;
use crate::disk::Disk;
use crate::disk::sim::Faults;

fn file_of(collection: &Collection, name: &str) -> String {
    format!("{}/{}", collection.folder(), super::super::collection::file_name(name))
}

#[test]
fn a_damaged_document_is_an_error_of_its_own_and_listed() {
    let disk = SimDisk::new(1);
    let documents = open(&disk);
    let rules = tenant("a");
    let expected = put(&documents, &rules, "bad", "to be damaged");
    put(&documents, &rules, "good", "sound");
    let path = file_of(&rules, "bad");
    let bits = disk.read_file(&path).unwrap().len() as u64 * 8;
    for bit in (0..bits).step_by(7) {
        disk.flip_bit(&path, bit).unwrap();
        let clock = Arc::new(ManualClock::at(0));
        let opened = Documents::open(Arc::new(disk.clone()), clock, DocumentLimits::default());
        // Found by those who knew the document as sound, and by a start.
        for documents in [open_found(opened, &path), open_before(&documents)] {
            let error = documents.get(&rules, "bad").unwrap_err();
            assert!(
                matches!(&error, DocumentError::Store(StoreError::Corrupt(d)) if d.path == path),
                "{error}"
            );
            let listed = documents.list(&rules, None, 9).unwrap();
            assert_eq!(
                listed.iter().map(|l| (&*l.name, l.version.is_ok())).collect::<Vec<_>>(),
                [("bad", false), ("good", true)]
            );
            assert_eq!(text(documents, &rules, "good").as_deref(), Some("sound"));
            let put = documents.put(&rules, "bad", b"x", Expect::Version(expected));
            assert!(matches!(put, Err(DocumentError::Store(StoreError::Corrupt(_)))));
        }
        disk.flip_bit(&path, bit).unwrap();
        assert_eq!(text(&documents, &rules, "bad").as_deref(), Some("to be damaged"), "readable again");
    }
    disk.truncate(&path, 20).unwrap();
    assert!(documents.get(&rules, "bad").is_err());
    put(&documents, &rules, "bad", "mended");
    assert_eq!(text(&documents, &rules, "bad").as_deref(), Some("mended"));
    disk.truncate(&path, 3).unwrap();
    assert!(documents.delete(&rules, "bad", Expect::Anything).unwrap());
    assert_eq!(names(&open(&disk), &rules, None, 9), ["good"]);
}

fn open_found((documents, damage): (Documents, Vec<crate::Corruption>), path: &str) -> &'static Documents {
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].path, path);
    Box::leak(Box::new(documents))
}

fn open_before(documents: &Documents) -> &Documents {
    documents
}

/// A file that stands in the place of another one, and files that are none.
#[test]
fn foreign_files_are_told_or_left_alone() {
    let disk = SimDisk::new(1);
    put(&open(&disk), &tenant("a"), "one", "text");
    let bytes = disk.read_file(&file_of(&tenant("a"), "one")).unwrap();
    for path in [file_of(&tenant("a"), "two"), file_of(&tenant("b"), "one")] {
        disk.write_file(&path, &bytes).unwrap();
    }
    for path in ["documents/note.txt", "documents/rules@a/note.txt", "documents/A@/6f6e65.doc"] {
        disk.write_file(path, b"x").unwrap();
    }
    let clock = Arc::new(ManualClock::at(0));
    let (documents, damage) = Documents::open(Arc::new(disk.clone()), clock, DocumentLimits::default());
    assert_eq!(damage.len(), 2);
    assert_eq!(text(&documents, &tenant("a"), "one").as_deref(), Some("text"));
    assert!(documents.get(&tenant("a"), "two").is_err() && documents.get(&tenant("b"), "one").is_err());
    let checked = check(&disk);
    assert_eq!((checked.documents, checked.damage), (1, damage));
    let foreign = ["documents/A@/", "documents/note.txt", "documents/rules@a/note.txt"];
    assert_eq!(checked.foreign, foreign, "one of them may be a document whose name was damaged");
    // A folder that holds what is none of ours stays.
    assert!(documents.delete(&tenant("a"), "one", Expect::Anything).unwrap());
    assert!(documents.delete(&tenant("a"), "two", Expect::Anything).unwrap());
    put(&documents, &tenant("a"), "three", "text");
    assert!(disk.read_file("documents/rules@a/note.txt").is_ok());
}

/// Each call that changes something, of a put or a delete, is the one that fails: by a full disk or an error.
#[test]
fn a_call_that_fails_leaves_the_old_document_and_the_next_one_succeeds() {
    for errno in [libc::ENOSPC, libc::EIO] {
        for (fresh, deleting) in [(true, false), (false, false), (false, true)] {
            let mut failed = 0;
            for at in 0..20 {
                let disk = SimDisk::new(at);
                let documents = open(&disk);
                let old = (!fresh).then(|| put(&documents, &process(), "c", "old"));
                let before = old.map(|_| "old".to_owned());
                let wanted = (!deleting).then(|| "new".to_owned());
                disk.outage_after(at, 1, errno);
                let change = |expect| match deleting {
                    true => documents.delete(&process(), "c", expect).map(drop),
                    false => documents.put(&process(), "c", b"new", expect).map(drop),
                };
                let result = change(Expect::Anything);
                disk.outage_after(0, 0, errno);
                let seen = text(&documents, &process(), "c");
                match &result {
                    Ok(()) | Err(DocumentError::Unsynced { .. }) => {
                        assert_eq!(seen, wanted, "{at}: {result:?}")
                    }
                    Err(_) => assert_eq!(seen, before, "{at}: {result:?}"),
                }
                failed += u64::from(result.is_err());
                if result.is_err() {
                    change(Expect::Anything).unwrap();
                }
                drop(documents);
                disk.crash();
                let documents = open(&disk);
                assert_eq!(text(&documents, &process(), "c"), wanted, "after a crash, {at}");
                assert!(disk.paths().iter().all(|path| !path.ends_with(".tmp")), "leftovers are removed");
                if let Some(document) = documents.get(&process(), "c").unwrap() {
                    assert!(old.is_none_or(|old| old < document.version));
                }
            }
            assert!(failed >= if deleting { 2 } else { 4 }, "only {failed} calls failed");
        }
    }
}

#[test]
fn a_power_cut_at_any_call_leaves_the_old_document_or_the_new_one() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..600 {
        let disk = SimDisk::new(seed);
        let documents = open(&disk);
        put(&documents, &process(), "c", "old");
        disk.halt_after(1 + seed % 7);
        let result = documents.put(&process(), "c", b"new", Expect::Anything);
        drop(documents);
        disk.crash();
        let found = text(&open(&disk), &process(), "c").unwrap();
        assert!(found == "new" || (found == "old" && result.is_err()), "{found:?}, {result:?}");
        outcomes.insert((found, result.is_ok()));
    }
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
}

/// An operator removes the folder of a running store, or a power cut brings back one that had been removed.
#[test]
fn folders_come_and_go() {
    let disk = SimDisk::new(1);
    disk.create_dir("documents/rules@gone").unwrap();
    let documents = open(&disk);
    assert_eq!(documents.owners("rules", None, 9).unwrap(), []);
    assert_eq!(disk.list("documents").unwrap(), [""; 0]);
    put(&documents, &tenant("a"), "r", "old");
    disk.remove(&file_of(&tenant("a"), "r")).unwrap();
    disk.remove_dir("documents/rules@a").unwrap();
    assert_eq!(text(&documents, &tenant("a"), "r"), None);
    assert!(documents.put(&tenant("a"), "r", b"new", Expect::Anything).is_err());
    put(&documents, &tenant("a"), "r", "new");
    drop(documents);
    disk.crash();
    assert_eq!(text(&open(&disk), &tenant("a"), "r").as_deref(), Some("new"));
}

/// The process that deleted is killed before its folder is synced; the next one must not say that nothing is there while a
/// power cut can bring it back.
#[test]
fn what_a_killed_process_left_unsynced_is_synced_before_it_is_vouched_for() {
    for others in [false, true] {
        for seed in 0..60 {
            let disk = SimDisk::new(seed);
            let documents = open(&disk);
            put(&documents, &process(), "c", "old");
            if others {
                put(&documents, &process(), "d", "stays");
            }
            // The removal, and then the sync of the folder.
            disk.outage_after(1, 1, libc::EIO);
            let deleted = documents.delete(&process(), "c", Expect::Anything);
            assert!(matches!(deleted, Err(DocumentError::Unsynced { .. })));
            drop(documents);
            let documents = open(&disk);
            assert!(!documents.delete(&process(), "c", Expect::Anything).unwrap());
            drop(documents);
            disk.crash();
            assert_eq!(text(&open(&disk), &process(), "c"), None, "seed {seed}");
        }
    }
}

/// What Linux does: dirty pages of a failed sync are marked clean, and the next sync reports success.
#[test]
fn a_failed_sync_is_not_believed_later() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let documents = open(&disk);
        put(&documents, &process(), "c", "old");
        disk.set_faults(Faults { lying_after_failed_sync: true, ..Faults::default() });
        disk.fail_next_sync(1);
        assert!(documents.put(&process(), "c", b"lost", Expect::Anything).is_err());
        assert_eq!(text(&documents, &process(), "c").as_deref(), Some("old"));
        documents.put(&process(), "c", b"kept", Expect::Anything).unwrap();
        drop(documents);
        disk.crash();
        assert_eq!(text(&open(&disk), &process(), "c").as_deref(), Some("kept"));
    }
}

/// A full disk for a while: room is counted as it is, and nothing is left behind.
#[test]
fn a_disk_without_room_costs_only_what_is_new() {
    let disk = SimDisk::new(1);
    let limits = DocumentLimits { max_owner_bytes: 3_000, ..DocumentLimits::default() };
    let documents = open_with(&disk, limits);
    documents.put(&tenant("a"), "r", &[1; 1_000], Expect::Anything).unwrap();
    disk.set_faults(Faults { capacity_bytes: Some(1_500), ..Faults::default() });
    for _ in 0..50 {
        let error = documents.put(&tenant("a"), "s", &[2; 1_000], Expect::Anything).unwrap_err();
        assert!(matches!(&error, DocumentError::Store(StoreError::Io { .. })), "{error}");
        assert!(documents.put(&tenant("b"), "s", &[2; 1_000], Expect::Anything).is_err());
    }
    assert_eq!(disk.paths().len(), 1);
    disk.set_faults(Faults::default());
    documents.put(&tenant("a"), "s", &[2; 1_000], Expect::Anything).unwrap();
    assert!(
        documents.put(&tenant("a"), "t", &[2; 1_000], Expect::Anything).is_err(),
        "the bound of the owner"
    );
}

/// Killed at any call, then a power cut: what the process in between was shown stays.
#[test]
fn what_readers_saw_after_a_kill_survives_a_power_cut() {
    let mut outcomes = std::collections::BTreeSet::new();
    for deleting in [false, true] {
        for seed in 0..120 {
            let disk = SimDisk::new(seed);
            let documents = open(&disk);
            put(&documents, &process(), "c", "old");
            disk.halt_after(1 + seed % 6);
            let _ = match deleting {
                true => documents.delete(&process(), "c", Expect::Anything).map(drop),
                false => documents.put(&process(), "c", b"new", Expect::Anything).map(drop),
            };
            drop(documents);
            disk.kill();
            let documents = open(&disk);
            let seen = text(&documents, &process(), "c");
            assert_eq!(names(&documents, &process(), None, 9).len(), usize::from(seen.is_some()));
            drop(documents);
            disk.crash();
            assert_eq!(text(&open(&disk), &process(), "c"), seen, "seed {seed}");
            outcomes.insert(seen);
        }
    }
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
}
