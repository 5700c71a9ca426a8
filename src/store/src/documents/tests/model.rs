//! The same calls on documents and on a map: do they give the same answers, across starts and crashes?

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    Put { to: usize, name: u8, bytes: Vec<u8>, expect: Wanted },
    Delete { to: usize, name: u8, expect: Wanted },
    Get { to: usize, name: u8 },
    List { to: usize, after: Option<u8>, limit: usize },
    Restart { crash: bool },
}

/// What the caller believes to be there.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Anything,
    Absent,
    Present,
    Older,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wanted = || {
        prop_oneof![Just(Wanted::Anything), Just(Wanted::Absent), Just(Wanted::Present), Just(Wanted::Older)]
    };
    let bytes = proptest::collection::vec(any::<u8>(), 0..60);
    let step = prop_oneof![
        6 => (0..3usize, 0..5u8, bytes, wanted()).prop_map(|(to, name, bytes, expect)| Step::Put { to, name, bytes, expect }),
        3 => (0..3usize, 0..5u8, wanted()).prop_map(|(to, name, expect)| Step::Delete { to, name, expect }),
        2 => (0..3usize, 0..5u8).prop_map(|(to, name)| Step::Get { to, name }),
        2 => (0..3usize, proptest::option::of(0..5u8), 0..4usize).prop_map(|(to, after, limit)| Step::List { to, after, limit }),
        1 => any::<bool>().prop_map(|crash| Step::Restart { crash }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn name_of(name: u8) -> String {
    ["a", "A", "a/b", "..", "z"][usize::from(name)].to_owned()
}

type Model = BTreeMap<(usize, String), (Version, Vec<u8>)>;

fn expectation(model: &Model, key: &(usize, String), wanted: Wanted) -> Expect {
    match (wanted, model.get(key)) {
        (Wanted::Anything, _) => Expect::Anything,
        (Wanted::Absent, _) | (Wanted::Present, None) => Expect::Absent,
        (Wanted::Present, Some((version, _))) => Expect::Version(*version),
        (Wanted::Older, found) => Expect::Version(Version(found.map_or(1, |(version, _)| version.0 - 1))),
    }
}

fn holds(model: &Model, key: &(usize, String), expect: Expect) -> bool {
    let found = model.get(key).map(|(version, _)| *version);
    match expect {
        Expect::Anything => true,
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found == Some(version),
    }
}

proptest! {
    #[test]
    fn documents_are_a_map(steps in steps(), seed in 0..1000u64) {
        let collections = [tenant("a"), tenant("b"), process()];
        let disk = SimDisk::new(seed);
        let mut documents = open(&disk);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Put { to, name, bytes, expect } => {
                    let key = (to, name_of(name));
                    let expect = expectation(&model, &key, expect);
                    let put = documents.put(&collections[to], &key.1, &bytes, expect);
                    prop_assert_eq!(put.is_ok(), holds(&model, &key, expect));
                    if let Ok(version) = put {
                        prop_assert!(model.values().all(|(earlier, _)| *earlier < version));
                        model.insert(key, (version, bytes));
                    }
                }
                Step::Delete { to, name, expect } => {
                    let key = (to, name_of(name));
                    let expect = expectation(&model, &key, expect);
                    let deleted = documents.delete(&collections[to], &key.1, expect);
                    prop_assert_eq!(deleted.is_ok(), holds(&model, &key, expect));
                    if let Ok(deleted) = deleted {
                        prop_assert_eq!(deleted, model.remove(&key).is_some());
                    }
                }
                Step::Get { to, name } => {
                    let key = (to, name_of(name));
                    let found = documents.get(&collections[to], &key.1).unwrap();
                    prop_assert_eq!(found.map(|d| (d.version, d.bytes)), model.get(&key).cloned());
                }
                Step::List { to, after, limit } => {
                    let after = after.map(name_of);
                    let listed = documents.list(&collections[to], after.as_deref(), limit).unwrap();
                    let own = model.iter().filter(|((owner, name), _)| {
                        *owner == to && after.as_ref().is_none_or(|after| name > after)
                    });
                    let own: Vec<_> = own.take(limit).map(|((_, name), (version, _))| (name.clone(), Ok(*version))).collect();
                    prop_assert_eq!(listed.into_iter().map(|l| (l.name, l.version)).collect::<Vec<_>>(), own);
                }
                Step::Restart { crash } => {
                    drop(documents);
                    if crash {
                        disk.crash();
                    }
                    documents = open(&disk);
                }
            }
        }
    }
}
