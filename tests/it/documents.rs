//! What was promised of small documents, and what came back: the checker of the crash tests, as `ledger` is for lines.
//!
//! A put or a delete that was acknowledged holds after every crash. One that ended in an error holds or does not, as the
//! error says; nothing is ever found that was not put.

use crate::sim::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use strandline_instrumented::documents::{Collection, Document, DocumentError, Documents, Expect, Version};
use strandline_instrumented::schedule::{Body, explore};
use strandline_instrumented::{Engine, StoreError};
use strandline_model::TenantId;

/// A collection and a name.
type Key = (usize, usize);
/// The bytes of a document, or that there is none.
type Content = Option<Vec<u8>>;

const NAMES: [&str; 3] = ["a", "../b", "ä\n"];

fn collections() -> [Collection; 3] {
    let tenant = |name| TenantId::new(name).unwrap();
    [
        Collection::of_process("checkpoints").unwrap(),
        Collection::of_tenant(&tenant("t"), "rules").unwrap(),
        Collection::of_tenant(&tenant("u"), "rules").unwrap(),
    ]
}

/// What must be found.
#[derive(Debug, Default)]
pub struct Promises {
    /// What readers see now.
    now: BTreeMap<Key, Vec<u8>>,
    /// What a crash may leave, where that is not certain.
    possible: BTreeMap<Key, BTreeSet<Content>>,
    highest: Option<Version>,
    next: u64,
}

impl Promises {
    /// One change of one document. Returns whether it was acknowledged.
    pub fn change(&mut self, engine: &Engine, dice: &mut Dice) -> Result<bool, String> {
        let key = (dice.roll(3) as usize, dice.roll(3) as usize);
        let (collection, name) = (&collections()[key.0], NAMES[key.1]);
        let documents = engine.documents();
        let (expect, holds) = self.expectation(engine, key, dice);
        if dice.chance(25) {
            let deleted = documents.delete(collection, name, expect);
            if let Ok(was_there) = deleted
                && was_there != self.now.contains_key(&key)
            {
                return Err(format!("deleting document {key:?} says {was_there}"));
            }
            self.note(key, None, holds, deleted.map(drop))
        } else {
            self.next += 1;
            // Some of them larger than a disk writes at once.
            let bytes = format!("{} {}", self.next, "x".repeat(dice.roll(2_000) as usize)).into_bytes();
            let put = documents.put(collection, name, &bytes, expect);
            if let Ok(version) = &put {
                if self.highest.is_some_and(|highest| *version <= highest) {
                    return Err(format!("{version:?} follows {:?}", self.highest));
                }
                self.highest = Some(*version);
            }
            self.note(key, Some(bytes), holds, put.map(drop))
        }
    }

    /// What to ask for, and whether that is there.
    fn expectation(&self, engine: &Engine, key: Key, dice: &mut Dice) -> (Expect, bool) {
        let asked = dice.roll(6);
        // While nothing can be read, any version may be the one that is there.
        let Ok(found) = read(engine.documents(), key) else { return (Expect::Anything, true) };
        match (asked, found) {
            (0, found) => (Expect::Absent, found.is_none()),
            (1, Some(found)) => (Expect::Version(Version(found.version.0 - 1)), false),
            (1, None) => (Expect::Version(Version(1)), false),
            (2 | 3, Some(found)) => (Expect::Version(found.version), true),
            _ => (Expect::Anything, true),
        }
    }

    /// `holds` says whether what was expected was there.
    fn note(
        &mut self,
        key: Key,
        content: Content,
        holds: bool,
        result: Result<(), DocumentError>,
    ) -> Result<bool, String> {
        let before = self.now.get(&key).cloned();
        match &result {
            Err(DocumentError::Conflict { .. }) if !holds => return Ok(true),
            Ok(()) | Err(DocumentError::Unsynced { .. }) if !holds => {
                return Err(format!("document {key:?} was changed though it was not as expected"));
            }
            Ok(()) => drop(self.possible.remove(&key)),
            Err(DocumentError::Unsynced { .. }) => {
                let possible = self.possible.entry(key).or_insert_with(|| BTreeSet::from([before]));
                possible.insert(content.clone());
            }
            // Nothing has changed, whatever comes.
            Err(DocumentError::Store(StoreError::Io { .. })) => return Ok(false),
            Err(other) => return Err(format!("{other}")),
        }
        match content {
            Some(bytes) => drop(self.now.insert(key, bytes)),
            None => drop(self.now.remove(&key)),
        }
        Ok(result.is_ok())
    }

    /// Looks what a crash has left, which counts from now on.
    pub fn recover(&mut self, engine: &Engine) -> Result<(), String> {
        for (key, possible) in std::mem::take(&mut self.possible) {
            let found = read(engine.documents(), key)?.map(|document| document.bytes);
            if !possible.contains(&found) {
                return Err(format!("document {key:?} is {}", show(found.as_ref())));
            }
            match found {
                Some(bytes) => drop(self.now.insert(key, bytes)),
                None => drop(self.now.remove(&key)),
            }
        }
        self.check(engine)
    }

    /// Compares all documents with what readers must see.
    pub fn check(&self, engine: &Engine) -> Result<(), String> {
        for (at, collection) in collections().iter().enumerate() {
            let listed = engine.documents().list(collection, None, usize::MAX).map_err(|e| e.to_string())?;
            let mut names: Vec<&str> = listed.iter().map(|listed| &*listed.name).collect();
            for (index, name) in NAMES.iter().enumerate() {
                let found = read(engine.documents(), (at, index))?;
                let wanted = self.now.get(&(at, index));
                if found.as_ref().map(|document| &document.bytes) != wanted {
                    let found = found.map(|document| document.bytes);
                    return Err(format!(
                        "document {name:?} of {collection} is {}, not {}",
                        show(found.as_ref()),
                        show(wanted)
                    ));
                }
                let known = listed.iter().find(|listed| listed.name == *name);
                let versions = (found.map(|document| Ok(document.version)), known.map(|l| l.version.clone()));
                if versions.0 != versions.1 {
                    return Err(format!("document {name:?} of {collection} is listed as {versions:?}"));
                }
                names.retain(|listed| listed != name);
            }
            if !names.is_empty() {
                return Err(format!("{names:?} were never put into {collection}"));
            }
        }
        Ok(())
    }
}

fn read(documents: &Documents, key: Key) -> Result<Option<Document>, String> {
    documents.get(&collections()[key.0], NAMES[key.1]).map_err(|e| e.to_string())
}

fn show(content: Option<&Vec<u8>>) -> String {
    content.map_or("not there".to_owned(), |bytes| {
        let begin: Vec<u8> = bytes.iter().take_while(|b| **b != b' ').copied().collect();
        format!("{} ({} bytes)", String::from_utf8_lossy(&begin), bytes.len())
    })
}

/// Puts some documents into a store, for tests that damage them.
pub fn plant(engine: &Engine) {
    for (at, collection) in collections().iter().enumerate() {
        for (index, name) in NAMES.iter().enumerate() {
            let bytes = format!("document {at} {index} {}", "of some length ".repeat(20 * index));
            engine.documents().put(collection, name, bytes.as_bytes(), Expect::Absent).unwrap();
        }
    }
}

/// Bytes of documents, by collection and name.
pub type Contents = BTreeMap<(String, String), Vec<u8>>;

/// Every document that can be read, and what is said of the others.
pub fn read_all(engine: &Engine) -> (Contents, Vec<String>) {
    let (mut found, mut damage) = (Contents::new(), Vec::new());
    for collection in collections() {
        for name in NAMES {
            match engine.documents().get(&collection, name) {
                Ok(Some(document)) => {
                    found.insert((collection.to_string(), name.to_owned()), document.bytes);
                }
                Ok(None) => {}
                Err(error) => damage.push(error.to_string()),
            }
        }
    }
    (found, damage)
}

/// Threads that meet at every lock of the documents: each has a name of its own, in a collection that the last of them to
/// delete takes away; they delete what was never there, put and delete a document that is alone in its collection, and all
/// change one document from what they have read of it.
pub fn meet(engine: &Engine, seed: u64) -> Result<(), String> {
    const THREADS: u64 = 3;
    let [_, collection, lone] = &collections();
    let (added, made, taken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let body = |n: u64| -> Body<'_> {
        let (added, made, taken) = (&added, &made, &taken);
        Box::new(move || {
            let (documents, mut dice) = (engine.documents(), Dice::new(seed ^ n << 32));
            let own = format!("own {n}");
            for round in 0..6 {
                let bytes = round.to_string().into_bytes();
                documents.put(collection, &own, &bytes, Expect::Anything).unwrap();
                assert_eq!(documents.get(collection, &own).unwrap().unwrap().bytes, bytes);
                if dice.chance(70) {
                    let listed = documents.list(collection, None, 9).unwrap();
                    assert!(listed.iter().any(|listed| listed.name == own && listed.version.is_ok()));
                }
                assert!(documents.delete(collection, &own, Expect::Anything).unwrap());
                assert_eq!(documents.get(collection, &own).unwrap(), None);
                assert!(!documents.delete(collection, "never put", Expect::Anything).unwrap());
                if dice.chance(50) && put_if_absent(documents, lone, "shared") {
                    made.fetch_add(1, Ordering::Relaxed);
                }
                if dice.chance(70) && documents.delete(lone, "shared", Expect::Anything).unwrap() {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                if dice.chance(30) && add_one(documents) {
                    added.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    explore(seed, (0..THREADS).map(body).collect())?;
    let documents = engine.documents();
    let sum = count(documents)?.1;
    let added = added.into_inner();
    if sum != added {
        return Err(format!("{added} changes were acknowledged, {sum} are there"));
    }
    let (made, taken) = (made.into_inner(), taken.into_inner());
    let is_there = documents.get(lone, "shared").map_err(|e| e.to_string())?.is_some();
    if made != taken + u64::from(is_there) {
        return Err(format!("put {made} times, deleted {taken} times, and is there: {is_there}"));
    }
    Ok(())
}

/// Whether this call put it.
fn put_if_absent(documents: &Documents, collection: &Collection, name: &str) -> bool {
    match documents.put(collection, name, b"x", Expect::Absent) {
        Ok(_) => true,
        Err(DocumentError::Conflict { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn count(documents: &Documents) -> Result<(Expect, u64), String> {
    let found = documents.get(&collections()[0], "count").map_err(|e| e.to_string())?;
    let Some(found) = found else { return Ok((Expect::Absent, 0)) };
    let number = String::from_utf8_lossy(&found.bytes).parse().map_err(|_| "not a number".to_owned())?;
    Ok((Expect::Version(found.version), number))
}

/// Whether the change was acknowledged; somebody else's may have come before.
fn add_one(documents: &Documents) -> bool {
    let (expect, number) = count(documents).unwrap();
    let bytes = (number + 1).to_string();
    match documents.put(&collections()[0], "count", bytes.as_bytes(), expect) {
        Ok(_) => true,
        Err(DocumentError::Conflict { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}
