//! The engine on the simulated disk: crashes at any moment, torn and reordered writes, failing syncs, full disks.

use crate::documents::Promises;
use crate::ledger::{Answer, Held, Language, Ledger, Meaning, tenant};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use strandline_instrumented::disk::sim::{Faults, SimDisk};
use strandline_instrumented::engine::{DeleteError, EncodedBatch, Engine, EngineConfig};
use strandline_instrumented::planted::{self, MUTATIONS};
use strandline_model::{Batch, Clock, Day, ManualClock, Selector, TimeRange, time};

/// A small deterministic generator (splitmix64): a failing seed must fail again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Mixed, or the rolls of one seed would be those of the next, one later.
        Self(mixed(seed.wrapping_add(0x1234_5678)))
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0) % sides.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `STRANDLINE_SIM_TRACE=1` tells the story of a seed.
fn trace() -> bool {
    std::env::var_os("STRANDLINE_SIM_TRACE").is_some()
}

const START: i64 = 20_000 * time::DAY_NS + 13 * time::HOUR_NS;

struct World {
    dice: Dice,
    disk: SimDisk,
    clock: Arc<ManualClock>,
    config: EngineConfig,
    ledger: Ledger,
    last: Option<Batch>,
    /// Numbers of deletes that were taken, with their place in the ledger.
    deletes: Vec<(u64, usize)>,
    documents: Promises,
    /// Where the label index has its image, in some worlds: sled does not write to the simulated disk.
    _local: Option<tempfile::TempDir>,
}

/// One world in so many saves the label index and reads it again; sled is slow.
const SAVED_LABELS_ONE_IN: u64 = 8;

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut config = EngineConfig {
            head_max_bytes: 2_000 << dice.roll(6),
            block_bytes: 128 << dice.roll(9),
            compaction_target_bytes: 4_000 << dice.roll(6),
            min_free_bytes: 0,
            wal_file_bytes: 4_096 << dice.roll(5),
            head_idle_ns: 0,
            delete_language: Some(Arc::new(Language)),
            ..EngineConfig::default()
        };
        if dice.chance(40) {
            config.retention.max_age_ns = 2 * time::DAY_NS;
        }
        if dice.chance(20) {
            config.delete_cancel_period_ns = time::HOUR_NS;
        }
        let clock = Arc::new(ManualClock::at(START));
        let disk = SimDisk::new(seed);
        let local = seed.is_multiple_of(SAVED_LABELS_ONE_IN).then(memory_folder);
        if let Some(folder) = &local {
            disk.set_local(folder.path());
        }
        Self {
            disk,
            dice,
            clock,
            config,
            ledger: Ledger::default(),
            last: None,
            deletes: Vec::new(),
            documents: Promises::default(),
            _local: local,
        }
    }

    fn open(&mut self) -> Result<Arc<Engine>, String> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (engine, report) = Engine::open(Arc::new(self.disk.clone()), clock, self.config.clone())
            .map_err(|e| format!("does not open: {e}"))?;
        if trace() {
            println!("open {report:?}");
        }
        if !report.damage.is_empty() || !report.quarantined.is_empty() || !report.missing.is_empty() {
            return Err(format!("a crash alone must not look like damage: {report:?}"));
        }
        Ok(engine)
    }

    /// Compares everything with the ledger, as it is read now; the label index as it is, whatever it was made from.
    fn check(&self, engine: &Engine) -> Result<(), String> {
        let held = Held::read(engine)?;
        let age = self.config.retention.max_age_ns;
        let now = self.clock.now_ns();
        let may_be_gone = |ts| age > 0 && Day::of(ts).end_ns() <= now - age;
        self.ledger.check(&held, u64::MAX, may_be_gone)?;
        self.documents.check(engine)?;
        check_labels(engine, &held, &self.ledger, may_be_gone)
    }

    fn new_batch(&mut self) -> Batch {
        let lines = 1 + self.dice.roll(6);
        let spread = if self.dice.chance(20) { 4 * time::DAY_NS } else { time::MINUTE_NS };
        let now = self.clock.now_ns();
        let times: Vec<i64> = (0..lines).map(|_| now - self.dice.roll(spread as u64) as i64).collect();
        let streams = 1 + self.dice.roll(5);
        let padding = self.dice.roll(20) as usize;
        // Now and then streams that were never there before.
        let first = if self.dice.chance(30) { 5 + self.dice.roll(1000) } else { 0 };
        self.ledger.batch(1, &times, |n| first + n % streams, padding)
    }

    /// One random step. Errors are what faults and crashes cause; they are not failures of the test.
    fn step(&mut self, engine: &Engine) -> Result<(), String> {
        let roll = self.dice.roll(19);
        if trace() {
            println!("step {roll}, ops {}", self.disk.ops());
        }
        match roll {
            0..=6 => self.push(engine),
            7 => {
                engine.seal();
                self.flush(engine);
            }
            8 => self.flush(engine),
            9 => {
                let mut patience = self.dice.roll(20);
                let mut pace = || {
                    patience = patience.saturating_sub(1);
                    patience > 0
                };
                let result = engine.compact_one(&mut pace);
                if trace() {
                    println!("  compact: {result:?}");
                }
            }
            10 => {
                let _ = engine.retain(&mut || true);
            }
            11 | 12 => self.delete(engine),
            13 => {
                let result = engine.erase_one(&mut || true);
                if trace() {
                    println!("  erase: {result:?}");
                }
            }
            14 => {
                let result = engine.load_labels();
                if trace() {
                    println!("  labels: {result:?}");
                }
            }
            15 if !self.disk.is_halted() => return self.check(engine),
            16 | 17 => {
                let result = self.documents.change(engine, &mut self.dice);
                if trace() {
                    println!("  document: {result:?}");
                }
                return result.map(drop);
            }
            _ => {
                let _ = engine.log_idle();
                self.clock.advance((self.dice.roll(6) * time::HOUR_NS as u64) as i64 / 4);
            }
        }
        Ok(())
    }

    fn flush(&mut self, engine: &Engine) {
        let result = engine.flush_one();
        if trace() {
            println!("  flush: {result:?}");
        }
    }

    /// Mostly a new delete, sometimes an old one is taken back.
    fn delete(&mut self, engine: &Engine) {
        if self.dice.chance(20)
            && let Some((number, place)) = self.deletes.pop()
        {
            let result = engine.cancel_delete(&tenant(), number);
            if trace() {
                println!("  cancel {number}: {result:?}");
            }
            // Refused when it is processed; after a failed write nobody knows.
            if !matches!(result, Err(DeleteError::Processed)) {
                self.ledger.cancel(place);
            }
            return;
        }
        let modulus = 1 + self.dice.roll(3);
        let now = self.clock.now_ns();
        let range = match self.dice.chance(50) {
            true => (i64::MIN, i64::MAX),
            false => (now - self.dice.roll(3 * time::MINUTE_NS as u64) as i64, now),
        };
        let meaning = Meaning {
            stream: self.dice.chance(60).then(|| self.dice.roll(5)),
            modulus,
            remainder: self.dice.roll(modulus),
            range,
        };
        let place = self.ledger.begin_delete(meaning);
        let result = engine.add_delete(&tenant(), &meaning.query(), range);
        if trace() {
            println!("  delete {meaning:?}: {result:?}");
        }
        self.ledger.end_delete(place, if result.is_ok() { Answer::Taken } else { Answer::Unknown });
        self.deletes.extend(result.ok().map(|number| (number, place)));
    }

    fn push(&mut self, engine: &Engine) {
        let mut group = Vec::new();
        for _ in 0..=self.dice.roll(3) {
            // Clients repeat what they got no answer for, and sometimes what they did.
            let repeat = if self.dice.chance(25) { self.last.take() } else { None };
            group.push(repeat.unwrap_or_else(|| self.new_batch()));
        }
        group.iter().for_each(|batch| self.ledger.send(batch));
        let encoded: Vec<EncodedBatch> = group.iter().cloned().map(EncodedBatch::new).collect();
        let result = engine.commit(&encoded);
        if trace() {
            let first =
                |b: &Batch| b.entries.first().map(|e| String::from_utf8_lossy(b.line(e))[..14].to_owned());
            println!("  push {:?}: {result:?}", group.iter().map(first).collect::<Vec<_>>());
        }
        group.iter().for_each(|batch| self.ledger.answered(batch, result.is_ok()));
        self.last = group.pop();
    }

    fn set_faults(&mut self) {
        let mut faults = Faults::default();
        if self.dice.chance(30) {
            faults.sync_error_per_mille = 30;
            faults.lying_after_failed_sync = self.dice.chance(50);
        }
        if self.dice.chance(20) {
            faults.write_error_per_mille = 20;
        }
        if self.dice.chance(15) {
            faults.capacity_bytes = Some(400_000 + self.dice.roll(400_000));
        }
        self.disk.set_faults(faults);
    }

    /// Several lives: each ends in a crash somewhere, some of them during recovery.
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..2 + self.dice.roll(4) {
            self.disk.set_faults(Faults::default());
            if self.dice.chance(30) {
                // Crash while recovering; what that leaves must be as good.
                self.disk.halt_after(self.dice.roll(40));
                let clock: Arc<dyn Clock> = self.clock.clone();
                drop(Engine::open(Arc::new(self.disk.clone()), clock, self.config.clone()));
                self.disk.crash();
            }
            let engine = self.start()?;
            self.set_faults();
            self.disk.halt_after(1 + self.dice.roll(400));
            for _ in 0..self.dice.roll(80) {
                self.step(&engine)?;
            }
            if !self.disk.is_halted() {
                self.check(&engine)?;
            }
            // From here on nothing is written, or the end of the engine would leave more than a crash does.
            self.disk.halt_after(0);
            drop(engine);
            self.disk.crash();
        }
        let engine = self.start()?;
        // Whatever happened, the store works: everything can be flushed, merged and read.
        self.disk.set_faults(Faults::default());
        engine.flush_all().map_err(|e| format!("flush after recovery: {e}"))?;
        self.clock.advance(time::MINUTE_NS);
        to_the_end(|| engine.compact_one(&mut || true).map_err(|e| format!("merge after recovery: {e}")))?;
        self.check(&engine)?;
        self.clock.advance(2 * time::HOUR_NS);
        to_the_end(|| engine.erase_one(&mut || true).map_err(|e| format!("deleting after recovery: {e}")))?;
        self.check(&engine)?;
        let pending = engine.deletes(&tenant()).iter().filter(|d| !d.processed).count();
        let hidden = Held::read(&engine)?.hidden;
        if (pending, hidden) != (0, 0) {
            return Err(format!(
                "{pending} deletes are not processed, {hidden} deleted lines are still stored"
            ));
        }
        // A clean end: the saved label index is the whole one.
        drop(engine);
        drop(self.start()?);
        Ok(())
    }

    /// Opens the store and reads everything; the label index mostly right away, otherwise when a step comes to it.
    fn start(&mut self) -> Result<Arc<Engine>, String> {
        // A restart takes time.
        self.clock.advance(time::SECOND_NS);
        let engine = self.open()?;
        if self.dice.chance(80) {
            engine.load_labels().map_err(|e| e.to_string())?;
        }
        self.documents.recover(&engine)?;
        self.check(&engine)?;
        Ok(engine)
    }
}

/// Works until nothing is left to do.
pub fn to_the_end(mut work: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    for _ in 0..1000 {
        if !work()? {
            return Ok(());
        }
    }
    Err("work without an end".to_owned())
}

/// The streams that the store names must be those that have entries; none may be missing. The name of one that lost its
/// last line to a delete or to retention may stay for a while: a flush of the same lines, or a look at the day's streams
/// that failed or that a crash cut off, leaves it.
pub fn check_labels(
    engine: &Engine,
    held: &Held,
    ledger: &Ledger,
    may_be_gone: impl Fn(i64) -> bool,
) -> Result<(), String> {
    let series = engine.series(&tenant(), TimeRange::ALL, &Selector::all()).map_err(|e| e.to_string())?;
    let series: std::collections::BTreeSet<String> = series.iter().map(ToString::to_string).collect();
    let source = if engine.labels_ready() { "index" } else { "tables" };
    let missing: Vec<_> = held.streams.difference(&series).collect();
    let extra: Vec<_> =
        series.difference(&held.streams).filter(|s| !ledger.may_vanish(s, &may_be_gone)).collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(format!("of the streams {missing:?} are missing from the label {source}, {extra:?} have no lines"))
}

/// A folder that no sync slows down, where there is one.
pub fn memory_folder() -> tempfile::TempDir {
    let here = std::path::Path::new("/dev/shm");
    if here.is_dir() { tempfile::tempdir_in(here).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The lives of one seed, with or without a planted bug.
fn run(seed: u64, bug: Option<&'static str>) -> Result<(), String> {
    planted::plant(bug);
    let life = AssertUnwindSafe(|| World::new(seed).run());
    catch_unwind(life).unwrap_or_else(|_| Err("panicked".to_owned()))
}

#[test]
fn two_thousand_seeds_lose_and_double_nothing() {
    let seeds = std::env::var("STRANDLINE_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000u64);
    let first = std::env::var("STRANDLINE_SIM_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(0u64);
    let worker = |offset: u64| {
        move || (first + offset..first + seeds).step_by(2).find_map(|s| run(s, None).err().map(|e| (s, e)))
    };
    let (even, odd) = (std::thread::spawn(worker(0)), std::thread::spawn(worker(1)));
    let failures: Vec<_> = [even.join().unwrap(), odd.join().unwrap()].into_iter().flatten().collect();
    assert!(failures.is_empty(), "seeds that failed (STRANDLINE_SIM_FIRST repeats one): {failures:?}");
}

#[test]
fn every_planted_bug_is_in_the_store_as_it_is_now() {
    assert_eq!(planted::STALE, [""; 0], "bring tests/instrumented/src/mutations.rs up to date");
}

#[test]
fn the_harness_catches_planted_bugs() {
    for bug in MUTATIONS.iter().filter(|bug| !bug.race).map(|bug| bug.name) {
        let caught = (0..2000).find_map(|seed| run(seed, Some(bug)).err().map(|e| (seed, e)));
        let (seed, error) = caught.unwrap_or_else(|| panic!("{bug} was not caught in 2000 seeds"));
        println!("{bug} caught at seed {seed}: {error}");
    }
    planted::plant(None);
}
