//! Are documents kept, bounded, told apart and found again, whatever the disk does?

mod failures;
mod model;
mod refused;
mod waiting;

use super::*;
use crate::disk::sim::SimDisk;
use crate::error::StoreError;
use std::sync::Arc;
use strandline_model::{ManualClock, TenantId};

fn tenant(name: &str) -> Collection {
    Collection::of_tenant(&TenantId::new(name).unwrap(), "rules").unwrap()
}

fn process() -> Collection {
    Collection::of_process("checkpoints").unwrap()
}

fn open_with(disk: &SimDisk, limits: DocumentLimits) -> Documents {
    let clock = Arc::new(ManualClock::at(1_000));
    let (documents, damage) = Documents::open(Arc::new(disk.clone()), clock, limits);
    assert_eq!(damage, []);
    documents
}

fn open(disk: &SimDisk) -> Documents {
    open_with(disk, DocumentLimits::default())
}

fn put(documents: &Documents, collection: &Collection, name: &str, text: &str) -> Version {
    documents.put(collection, name, text.as_bytes(), Expect::Anything).unwrap()
}

fn text(documents: &Documents, collection: &Collection, name: &str) -> Option<String> {
    documents.get(collection, name).unwrap().map(|document| String::from_utf8(document.bytes).unwrap())
}

fn names(documents: &Documents, collection: &Collection, after: Option<&str>, limit: usize) -> Vec<String> {
    documents.list(collection, after, limit).unwrap().into_iter().map(|listed| listed.name).collect()
}

#[test]
fn documents_are_kept_apart_by_owner_kind_and_name() {
    let disk = SimDisk::new(1);
    let documents = open(&disk);
    let (a, b) = (tenant("a"), tenant("b"));
    let views = Collection::of_tenant(&TenantId::new("a").unwrap(), "views").unwrap();
    for (i, collection) in [&a, &b, &views, &process()].into_iter().enumerate() {
        put(&documents, collection, "../x", &i.to_string());
        put(&documents, collection, "../X", &format!("{i} large"));
    }
    let documents = open(&disk);
    for (i, collection) in [&a, &b, &views, &process()].into_iter().enumerate() {
        assert_eq!(text(&documents, collection, "../x"), Some(i.to_string()));
        assert_eq!(text(&documents, collection, "../X"), Some(format!("{i} large")));
        assert_eq!(text(&documents, collection, "x"), None);
    }
    assert!(disk.paths().iter().all(|path| path.starts_with("documents/") && !path.contains("..")));
    let owner = |name| Owner::Tenant(TenantId::new(name).unwrap());
    assert_eq!(documents.owners("rules", None, 9).unwrap(), [owner("a"), owner("b")]);
    assert_eq!(documents.owners("rules", Some(&owner("a")), 9).unwrap(), [owner("b")]);
    assert_eq!(documents.owners("checkpoints", None, 9).unwrap(), [Owner::Process]);
}

#[test]
fn lists_are_in_order_and_paged() {
    let disk = SimDisk::new(1);
    let documents = open(&disk);
    for name in ["b", "a", "ä", "B", "a b"] {
        put(&documents, &process(), name, name);
    }
    for documents in [documents, open(&disk)] {
        assert_eq!(names(&documents, &process(), None, 9), ["B", "a", "a b", "b", "ä"]);
        assert_eq!(names(&documents, &process(), Some("a"), 2), ["a b", "b"]);
        assert_eq!(names(&documents, &process(), Some("aa"), 2), ["b", "ä"]);
        assert_eq!(names(&documents, &process(), Some("ä"), 2), [""; 0]);
        assert_eq!(names(&documents, &tenant("none"), None, 9), [""; 0]);
    }
}

#[test]
fn a_change_can_ask_for_what_it_was_made_from() {
    let disk = SimDisk::new(1);
    let documents = open(&disk);
    let rules = tenant("a");
    let put = |text: &str, expect| documents.put(&rules, "r", text.as_bytes(), expect);
    let found = |result: Result<Version, DocumentError>| match result.unwrap_err() {
        DocumentError::Conflict { found } => found,
        other => panic!("{other}"),
    };
    assert_eq!(found(put("x", Expect::Version(Version(1)))), None);
    let first = put("one", Expect::Absent).unwrap();
    assert_eq!(found(put("x", Expect::Absent)), Some(first));
    let second = put("two", Expect::Version(first)).unwrap();
    assert!(first < second);
    assert_eq!(found(put("x", Expect::Version(first))), Some(second));
    assert!(matches!(
        documents.delete(&rules, "r", Expect::Version(first)),
        Err(DocumentError::Conflict { found: Some(v) }) if v == second
    ));
    assert_eq!(text(&documents, &rules, "r").as_deref(), Some("two"));
    assert!(documents.delete(&rules, "r", Expect::Version(second)).unwrap());
    assert!(!documents.delete(&rules, "r", Expect::Anything).unwrap());
    assert!(matches!(
        documents.delete(&rules, "r", Expect::Version(second)),
        Err(DocumentError::Conflict { found: None })
    ));
    // Made again it is another one, though everything of it is gone and the clock stands still.
    let third = put("three", Expect::Absent).unwrap();
    assert!(second < third);
    let again = open(&disk);
    assert!(third < again.put(&rules, "r", b"four", Expect::Version(third)).unwrap());
}

#[test]
fn every_bound_is_named_and_holds_across_a_start() {
    let limits = DocumentLimits {
        max_document_bytes: 100,
        max_collection_documents: 3,
        max_owner_bytes: 500,
        max_total_documents: 5,
        max_total_bytes: 560,
    };
    let disk = SimDisk::new(1);
    let mut documents = open_with(&disk, limits);
    let put = |documents: &Documents, owner: &str, name: &str, bytes: usize| match documents.put(
        &tenant(owner),
        name,
        &vec![7; bytes],
        Expect::Anything,
    ) {
        Ok(_) => None,
        Err(DocumentError::TooMuch { bound, .. }) => Some(bound),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(put(&documents, "a", "1", 101), Some(Bound::DocumentBytes));
    for name in ["1", "2", "3"] {
        assert_eq!(put(&documents, "a", name, 100), None);
    }
    for _ in 0..2 {
        assert_eq!(put(&documents, "a", "4", 1), Some(Bound::CollectionDocuments));
        assert_eq!(put(&documents, "a", "3", 100), None, "the same bytes again");
        documents = open_with(&disk, limits);
    }
    let views = Collection::of_tenant(&TenantId::new("a").unwrap(), "views").unwrap();
    let error = documents.put(&views, "v", &[7; 100], Expect::Anything).unwrap_err();
    assert!(matches!(error, DocumentError::TooMuch { bound: Bound::OwnerBytes, limit: 500 }), "{error}");
    assert_eq!(put(&documents, "b", "1", 50), None);
    assert_eq!(put(&documents, "b", "2", 50), None);
    assert_eq!(put(&documents, "c", "1", 1), Some(Bound::TotalDocuments));
    documents.delete(&tenant("a"), "1", Expect::Anything).unwrap();
    assert_eq!(put(&documents, "c", "1", 100), None);
    documents.delete(&tenant("b"), "2", Expect::Anything).unwrap();
    assert_eq!(put(&documents, "c", "2", 1), None);
    assert_eq!(put(&documents, "c", "2", 90), Some(Bound::TotalBytes));
    // What grows nothing stays possible when the bounds are lowered.
    let documents = open_with(&disk, DocumentLimits { max_document_bytes: 60, ..limits });
    assert_eq!(put(&documents, "a", "3", 100), None);
    assert_eq!(put(&documents, "a", "3", 101), Some(Bound::DocumentBytes));
    assert_eq!(put(&documents, "b", "1", 61), Some(Bound::DocumentBytes));
    // What the process has to remember is in nobody's room.
    documents.put(&process(), "source", &[7; 60], Expect::Anything).unwrap();
}

#[test]
fn names_are_text_of_bounded_length() {
    let documents = open(&SimDisk::new(1));
    for bad in ["", &"n".repeat(MAX_NAME_BYTES + 1)] {
        assert!(matches!(documents.get(&process(), bad), Err(DocumentError::Name)));
        assert!(matches!(documents.put(&process(), bad, b"", Expect::Anything), Err(DocumentError::Name)));
        assert!(matches!(documents.delete(&process(), bad, Expect::Anything), Err(DocumentError::Name)));
    }
    for good in ["/", "..", "\0", "a\nb", &"n".repeat(MAX_NAME_BYTES)] {
        put(&documents, &process(), good, good);
        assert_eq!(text(&documents, &process(), good).as_deref(), Some(good));
    }
}

/// A checkpoint each second for weeks, and tenants that come and go.
#[test]
fn nothing_grows_with_the_number_of_writes() {
    let disk = SimDisk::new(1);
    let documents = open(&disk);
    for n in 0..2_000 {
        put(&documents, &process(), "source", &format!("offset {n:08}"));
        let passing = tenant(&format!("t{n}"));
        put(&documents, &passing, "rule", "x");
        assert!(documents.delete(&passing, "rule", Expect::Anything).unwrap());
        assert!(documents.put(&passing, "rule", b"x", Expect::Version(Version(1))).is_err());
    }
    assert_eq!(disk.paths().len(), 1);
    assert_eq!(disk.read_file(&disk.paths()[0]).unwrap().len(), 16 + 1 + 12 + 7 + 1 + 15);
    let folders = crate::disk::Disk::list(&disk, "documents").unwrap();
    assert_eq!(folders, ["checkpoints/"]);
    assert_eq!(documents.owners("rules", None, 9).unwrap(), []);
}
