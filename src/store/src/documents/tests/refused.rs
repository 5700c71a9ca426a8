//! What the system refuses for now: no descriptors are left, or a folder cannot be listed. No document is invented, lost or taken
//! for damaged.

use super::*;
use crate::disk::sim::Faults;

fn without_descriptors(disk: &SimDisk) {
    disk.set_faults(Faults { open_errno: Some(libc::EMFILE), ..Faults::default() });
}

fn refused<T: std::fmt::Debug>(result: Result<T, DocumentError>) {
    let error = result.unwrap_err();
    assert!(matches!(&error, DocumentError::Store(StoreError::Io { .. })), "{error}");
}

#[test]
fn a_start_that_cannot_list_documents_reads_them_later() {
    let disk = SimDisk::new(1);
    put(&open(&disk), &tenant("a"), "r", "text");
    without_descriptors(&disk);
    let checked = check(&disk);
    assert_eq!((checked.documents, checked.damage.len()), (0, 1));
    let documents = open(&disk);
    for collection in [tenant("a"), tenant("none")] {
        refused(documents.get(&collection, "r"));
        refused(documents.list(&collection, None, 9));
        refused(documents.put(&collection, "s", b"x", Expect::Anything));
        refused(documents.delete(&collection, "r", Expect::Anything));
    }
    refused(documents.owners("rules", None, 9));
    disk.set_faults(Faults::default());
    assert_eq!(documents.owners("rules", None, 9).unwrap(), [tenant("a").owner().clone()]);
    assert_eq!(text(&documents, &tenant("none"), "r"), None);
    assert!(documents.list(&tenant("a"), None, 9).unwrap()[0].version.is_ok());
    assert_eq!(text(&documents, &tenant("a"), "r").as_deref(), Some("text"));
    disk.set_faults(Faults { read_error_per_mille: 1000, ..Faults::default() });
    assert!(documents.get(&tenant("a"), "r").is_err());
    disk.set_faults(Faults::default());
    assert_eq!(text(&documents, &tenant("a"), "r").as_deref(), Some("text"));
}

#[test]
fn a_put_that_is_refused_invents_no_document() {
    let disk = SimDisk::new(1);
    let limits =
        DocumentLimits { max_collection_documents: 2, max_owner_bytes: 300, ..DocumentLimits::default() };
    let documents = open_with(&disk, limits);
    documents.put(&tenant("a"), "r", &[1; 100], Expect::Anything).unwrap();
    without_descriptors(&disk);
    for name in ["1", "2", "3", "r"] {
        refused(documents.put(&tenant("a"), name, &[2; 50], Expect::Anything));
    }
    refused(documents.put(&tenant("b"), "1", b"x", Expect::Anything));
    disk.set_faults(Faults::default());
    // Asked before anything that looks again.
    assert_eq!(documents.owners("rules", None, 9).unwrap(), [tenant("a").owner().clone()]);
    assert!(!documents.delete(&tenant("a"), "1", Expect::Anything).unwrap());
    documents.put(&tenant("a"), "2", b"x", Expect::Absent).unwrap();
    let error = documents.put(&tenant("a"), "r", &[1; 300], Expect::Anything).unwrap_err();
    assert!(matches!(error, DocumentError::TooMuch { bound: Bound::OwnerBytes, .. }), "{error}");
    assert_eq!(names(&documents, &tenant("a"), None, 9), ["2", "r"]);
    assert_eq!(names(&documents, &tenant("b"), None, 9), [""; 0]);
}

/// Whoever replaces what is damaged must not replace what could not be read for a moment.
#[test]
fn what_could_not_be_read_is_not_called_damaged_and_keeps_its_room() {
    let disk = SimDisk::new(1);
    let limits = DocumentLimits { max_owner_bytes: 300, ..DocumentLimits::default() };
    let documents = open_with(&disk, limits);
    let version = documents.put(&tenant("a"), "r", &[1; 200], Expect::Anything).unwrap();
    without_descriptors(&disk);
    for _ in 0..2 {
        refused(documents.get(&tenant("a"), "r"));
        refused(documents.put(&tenant("a"), "r", b"x", Expect::Version(version)));
        refused(documents.delete(&tenant("a"), "r", Expect::Version(version)));
        let listed = documents.list(&tenant("a"), None, 9).unwrap();
        assert!(matches!(&listed[0].version, Err(Unreadable::Refused { .. })), "{listed:?}");
    }
    disk.set_faults(Faults::default());
    let error = documents.put(&tenant("a"), "s", &[1; 200], Expect::Anything).unwrap_err();
    assert!(matches!(error, DocumentError::TooMuch { bound: Bound::OwnerBytes, .. }), "{error}");
    documents.put(&tenant("a"), "r", b"x", Expect::Version(version)).unwrap();
}

/// Bytes of a sync that failed may count as synced: a file of such bytes is never written to again.
#[test]
fn a_temporary_file_that_stays_is_removed_before_the_next_put() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let documents = open(&disk);
        put(&documents, &process(), "c", "old");
        disk.set_faults(Faults { lying_after_failed_sync: true, ..Faults::default() });
        // Made and written; the sync fails, and then the removal.
        disk.outage_after(2, 2, libc::EIO);
        refused(documents.put(&process(), "c", b"lost", Expect::Anything));
        assert_eq!(disk.paths().len(), 2, "the temporary file stays");
        assert_eq!(text(&documents, &process(), "c").as_deref(), Some("old"));
        // It cannot be removed now either.
        disk.outage_after(0, 1, libc::EIO);
        refused(documents.put(&process(), "c", b"lost", Expect::Anything));
        put(&documents, &process(), "c", "kept");
        drop(documents);
        disk.crash();
        assert_eq!(text(&open(&disk), &process(), "c").as_deref(), Some("kept"));
    }
}
