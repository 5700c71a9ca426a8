//! The disk refuses for a while (full, or out of descriptors) and then takes writes again: everything goes on by itself,
//! without a restart, nothing that was acknowledged is lost, and merges and deletes come to their end.
//!
//! `STRANDLINE_OUTAGE_SEEDS` sets the number of outages, `STRANDLINE_OUTAGE_FIRST` the first of them.

use crate::documents::Promises;
use crate::kill::rounds;
use crate::ledger::{Answer, Held, Language, Ledger, Meaning, tenant};
use crate::sim::{Dice, check_labels, to_the_end};
use std::sync::Arc;
use strandline_instrumented::disk::sim::{Faults, SimDisk};
use strandline_instrumented::engine::{EncodedBatch, Engine, EngineConfig};
use strandline_instrumented::planted;
use strandline_model::{Clock, ManualClock, time};

const START: i64 = 20_000 * time::DAY_NS + 13 * time::HOUR_NS;
/// What failed is tried again with growing pauses: simulated time in which everything must be done.
const PATIENCE_NS: i64 = time::HOUR_NS;

struct Store {
    dice: Dice,
    disk: SimDisk,
    clock: Arc<ManualClock>,
    engine: Arc<Engine>,
    ledger: Ledger,
    documents: Promises,
}

impl Store {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let config = EngineConfig {
            head_max_bytes: 2_000 << dice.roll(4),
            block_bytes: 128 << dice.roll(6),
            compaction_target_bytes: 4_000 << dice.roll(5),
            min_free_bytes: 0,
            wal_file_bytes: 4_096 << dice.roll(3),
            head_idle_ns: 0,
            delete_language: Some(Arc::new(Language)),
            ..EngineConfig::default()
        };
        let (disk, clock) = (SimDisk::new(seed), Arc::new(ManualClock::at(START)));
        let opened = Engine::open(Arc::new(disk.clone()), clock.clone() as Arc<dyn Clock>, config);
        let engine = opened.unwrap().0;
        engine.load_labels().unwrap();
        Self { dice, disk, clock, engine, ledger: Ledger::default(), documents: Promises::default() }
    }

    fn push(&mut self) -> bool {
        let now = self.clock.now_ns();
        let times: Vec<i64> =
            (0..=self.dice.roll(5)).map(|_| now - self.dice.roll(time::MINUTE_NS as u64) as i64).collect();
        let (streams, padding) = (1 + self.dice.roll(5), self.dice.roll(20) as usize);
        let batch = self.ledger.batch(1, &times, |n| n % streams, padding);
        self.ledger.send(&batch);
        let taken = self.engine.commit(&[EncodedBatch::new(batch.clone())]).is_ok();
        self.ledger.answered(&batch, taken);
        taken
    }

    fn delete(&mut self) {
        let modulus = 1 + self.dice.roll(3);
        let (stream, remainder) = (self.dice.chance(60).then(|| self.dice.roll(5)), self.dice.roll(modulus));
        let meaning = Meaning { stream, modulus, remainder, range: (i64::MIN, i64::MAX) };
        let place = self.ledger.begin_delete(meaning);
        let result = self.engine.add_delete(&tenant(), &meaning.query(), meaning.range);
        self.ledger.end_delete(place, if result.is_ok() { Answer::Taken } else { Answer::Unknown });
    }

    /// What the threads of the runtime do, each in its turn; errors are met again.
    fn work(&mut self) {
        let _ = self.engine.flush_one();
        let _ = self.engine.compact_one(&mut || true);
        let _ = self.engine.erase_one(&mut || true);
        let _ = self.engine.retain(&mut || true);
        let _ = self.engine.log_idle();
    }

    fn change_document(&mut self) -> Result<bool, String> {
        self.documents.change(&self.engine, &mut self.dice)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.dice.roll(11) {
            0..=4 => {
                self.push();
            }
            5 => self.engine.seal(),
            6 => self.delete(),
            7 => drop(self.change_document()?),
            _ => self.work(),
        }
        self.clock.advance((self.dice.roll(20) * time::SECOND_NS as u64) as i64);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let held = Held::read(&self.engine)?;
        self.ledger.check(&held, u64::MAX, |_| false)?;
        self.documents.check(&self.engine)?;
        check_labels(&self.engine, &held, &self.ledger, |_| false)
    }

    /// Whether nothing is left to do.
    fn is_done(&self) -> Result<bool, String> {
        let pending = self.engine.deletes(&tenant()).iter().any(|delete| !delete.processed);
        Ok(!pending && !self.engine.has_sealed() && Held::read(&self.engine)?.hidden == 0)
    }
}

/// An outage somewhere in the middle of work.
fn run(seed: u64, outage: impl Fn(&mut Store), over: impl Fn(&Store)) -> Result<(), String> {
    planted::plant(None);
    let mut store = Store::new(seed);
    for _ in 0..30 {
        store.step()?;
    }
    outage(&mut store);
    for _ in 0..10 + store.dice.roll(30) {
        store.step()?;
    }
    over(&store);
    store.check()?;
    // All is well with the disk again: pushes are taken, and what waits comes to its end.
    let taken = (0..3).any(|_| {
        store.clock.advance(time::MINUTE_NS);
        store.push()
    });
    if !taken {
        return Err("pushes are still refused".to_owned());
    }
    if !store.change_document()? {
        return Err("documents are still refused".to_owned());
    }
    store.engine.seal();
    let until = store.clock.now_ns() + PATIENCE_NS;
    while store.clock.now_ns() < until && !store.is_done()? {
        store.work();
        store.clock.advance(10 * time::SECOND_NS);
    }
    store.check()?;
    if !store.is_done()? {
        return Err(format!(
            "an hour later {} deletes wait, {} deleted lines are stored, heads wait: {}",
            store.engine.deletes(&tenant()).iter().filter(|d| !d.processed).count(),
            Held::read(&store.engine)?.hidden,
            store.engine.has_sealed(),
        ));
    }
    // Merges go on as well: four fresh segments are due whatever came before.
    let stats = |store: &Store| {
        let all = store.engine.partition_stats();
        all.iter().map(|p| p.segments.0 - p.segments.1).sum::<usize>()
    };
    store.clock.advance(time::HOUR_NS);
    to_the_end(|| store.engine.compact_one(&mut || true).map_err(|e| e.to_string()))?;
    if stats(&store) >= 4 {
        return Err(format!("{} fresh segments are not merged", stats(&store)));
    }
    store.check()?;
    // And a crash finds it in order.
    store.disk.halt_after(0);
    store.disk.crash();
    let config = store.engine.config().clone();
    let opened = Engine::open(Arc::new(store.disk.clone()), store.clock.clone() as Arc<dyn Clock>, config);
    let (engine, report) = opened.map_err(|e| e.to_string())?;
    store.engine = engine;
    if !report.damage.is_empty() || !report.quarantined.is_empty() || !report.missing.is_empty() {
        return Err(format!("looks like damage: {report:?}"));
    }
    store.documents.recover(&store.engine)?;
    store.check()
}

fn assert_all(run: impl Fn(u64) -> Result<(), String>) {
    let (seeds, first) = (rounds("STRANDLINE_OUTAGE_SEEDS", 400), rounds("STRANDLINE_OUTAGE_FIRST", 0));
    let failures: Vec<_> = (first..first + seeds).filter_map(|s| run(s).err().map(|e| (s, e))).collect();
    assert!(
        failures.is_empty(),
        "{} of {seeds} (STRANDLINE_OUTAGE_FIRST repeats one): {:?}",
        failures.len(),
        &failures[..failures.len().min(3)]
    );
}

/// Any write, sync, rename or creation can be the first that finds the disk full.
#[test]
fn a_disk_that_was_full_for_a_while_is_used_again() {
    let outage = |store: &mut Store| {
        let (after, calls) = (store.dice.roll(60), 1 + store.dice.roll(150));
        store.disk.outage_after(after, calls, libc::ENOSPC);
    };
    assert_all(|seed| run(seed, outage, |store| store.disk.outage_after(0, 0, libc::ENOSPC)));
}

/// A full disk still takes what needs none: names, and bytes in place of others.
#[test]
fn a_disk_without_room_for_a_while_is_used_again() {
    let outage = |store: &mut Store| {
        let used: usize =
            store.disk.paths().iter().map(|path| store.disk.read_file(path).unwrap().len()).sum();
        let left = store.dice.roll(20_000);
        store.disk.set_faults(Faults { capacity_bytes: Some(used as u64 + left), ..Faults::default() });
    };
    assert_all(|seed| run(seed, outage, |store| store.disk.set_faults(Faults::default())));
}

#[test]
fn files_that_could_not_be_opened_for_a_while_are_opened_again() {
    let outage = |store: &mut Store| {
        store.disk.set_faults(Faults { open_errno: Some(libc::EMFILE), ..Faults::default() });
    };
    assert_all(|seed| run(seed, outage, |store| store.disk.set_faults(Faults::default())));
}
