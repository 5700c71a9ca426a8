//! Who waits for whom: nobody for the disk of another collection.

use super::*;
use crate::disk::{Disk, DiskFile};
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

/// A disk that holds up one call for one folder until it is let go.
#[derive(Debug)]
struct Slow {
    disk: SimDisk,
    call: Call,
    folder: String,
    gate: Arc<Gate>,
}

#[derive(Debug, PartialEq, Eq)]
enum Call {
    SyncDir,
    RemoveDir,
}

#[derive(Debug, Default)]
struct Gate {
    /// Whether somebody waits here, and whether the gate is open.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.1));
    }

    fn wait_for_somebody(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(state, |state| !state.0));
    }

    fn open(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }
}

impl Disk for Slow {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
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
        if self.call == Call::RemoveDir && dir == self.folder {
            self.gate.pass();
        }
        self.disk.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        if self.call == Call::SyncDir && dir == self.folder {
            self.gate.pass();
        }
        self.disk.sync_dir(dir)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
    fn lock(&self, path: &str) -> io::Result<()> {
        self.disk.lock(path)
    }
    fn local_path(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

#[test]
fn a_tenant_whose_sync_hangs_holds_up_nobody_else() {
    let (sim, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    put(&open(&sim), &tenant("slow"), "r", "old");
    let disk =
        Slow { disk: sim, call: Call::SyncDir, folder: tenant("slow").folder(), gate: Arc::clone(&gate) };
    let clock = Arc::new(ManualClock::at(0));
    let documents = Documents::open(Arc::new(disk), clock, DocumentLimits::default()).0;
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| put(&documents, &tenant("slow"), "r", "new"));
        gate.wait_for_somebody();
        // With the other one in the middle of its put.
        for other in [tenant("other"), process()] {
            put(&documents, &other, "r", "text");
            assert_eq!(text(&documents, &other, "r").as_deref(), Some("text"));
            assert_eq!(names(&documents, &other, None, 9), ["r"]);
            let owners = documents.owners(other.kind(), None, 9).unwrap();
            assert!(owners.contains(other.owner()), "{owners:?}");
            assert!(documents.delete(&other, "r", Expect::Anything).unwrap());
        }
        assert!(!slow.is_finished());
        gate.open();
        slow.join().unwrap();
    });
    assert_eq!(text(&documents, &tenant("slow"), "r").as_deref(), Some("new"));
}

/// Whoever deletes a last document waits for the removal of the folder; nobody else does, not even to read there.
#[test]
fn a_folder_whose_removal_hangs_holds_up_only_who_puts_there() {
    let (sim, gate) = (SimDisk::new(1), Arc::new(Gate::default()));
    let disk = Slow {
        disk: sim.clone(),
        call: Call::RemoveDir,
        folder: tenant("slow").folder(),
        gate: Arc::clone(&gate),
    };
    let documents =
        Documents::open(Arc::new(disk), Arc::new(ManualClock::at(0)), DocumentLimits::default()).0;
    put(&documents, &tenant("slow"), "r", "old");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| documents.delete(&tenant("slow"), "r", Expect::Anything).unwrap());
        gate.wait_for_somebody();
        put(&documents, &tenant("other"), "r", "text");
        assert_eq!(text(&documents, &tenant("other"), "r").as_deref(), Some("text"));
        assert_eq!(text(&documents, &tenant("slow"), "r"), None);
        assert_eq!(documents.owners("rules", None, 9).unwrap(), [tenant("other").owner().clone()]);
        let again = scope.spawn(|| put(&documents, &tenant("slow"), "r", "new"));
        assert!(!slow.is_finished() && !again.is_finished());
        gate.open();
        assert!(slow.join().unwrap());
        again.join().unwrap();
    });
    assert_eq!(text(&documents, &tenant("slow"), "r").as_deref(), Some("new"));
    drop(documents);
    sim.crash();
    assert_eq!(text(&open(&sim), &tenant("slow"), "r").as_deref(), Some("new"));
}

#[test]
fn of_many_writers_at_once_each_change_is_made_from_the_one_before() {
    let disk = SimDisk::new(1);
    let documents = open(&disk);
    let rules = tenant("a");
    put(&documents, &rules, "sum", "0");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut added = 0;
                while added < 50 {
                    let found = documents.get(&rules, "sum").unwrap().unwrap();
                    let sum: u64 = std::str::from_utf8(&found.bytes).unwrap().parse().unwrap();
                    let next = (sum + 1).to_string();
                    match documents.put(&rules, "sum", next.as_bytes(), Expect::Version(found.version)) {
                        Ok(_) => added += 1,
                        Err(DocumentError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        // Meanwhile a collection that comes with each put and goes with each delete, and deletes of what is not there.
        for own in ["c", "d"] {
            let documents = &documents;
            scope.spawn(move || {
                for n in 0..500 {
                    let n = n.to_string();
                    put(documents, &process(), own, &n);
                    assert_eq!(text(documents, &process(), own), Some(n));
                    assert!(names(documents, &process(), None, 9).iter().any(|name| name == own));
                    assert!(documents.delete(&process(), own, Expect::Anything).unwrap());
                    assert!(!documents.delete(&process(), own, Expect::Anything).unwrap());
                }
            });
        }
    });
    assert_eq!(text(&documents, &rules, "sum").as_deref(), Some("200"));
    assert_eq!(names(&documents, &process(), None, 9), [""; 0]);
    put(&documents, &process(), "c", "last");
    assert_eq!(names(&open(&disk), &process(), None, 9), ["c"]);
}
