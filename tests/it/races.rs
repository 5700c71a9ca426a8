//! The engine's threads meet at every lock: pushes, flushes, merges, deletes, retention, rebuilds of the label index and
//! readers, one at a time, changing by chance. The same seed gives the same run.
//!
//! `STRANDLINE_RACE_SEEDS` sets the number of seeds, `STRANDLINE_RACE_FIRST` the first of them.

use crate::documents;
use crate::kill::rounds;
use crate::ledger::{Answer, Held, Language, Ledger, Meaning, tenant};
use crate::sim::{Dice, check_labels, to_the_end};
use std::sync::{Arc, Mutex, MutexGuard};
use strandline_instrumented::disk::sim::SimDisk;
use strandline_instrumented::engine::{EncodedBatch, Engine, EngineConfig};
use strandline_instrumented::planted::{self, MUTATIONS};
use strandline_instrumented::schedule::{Body, explore, point};
use strandline_model::{Clock, Day, ManualClock, Selector, TimeRange, time};

const START: i64 = 20_000 * time::DAY_NS + 13 * time::HOUR_NS;

/// What all threads of one run share.
struct Shared {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    config: EngineConfig,
    engine: Arc<Engine>,
    ledger: Mutex<Ledger>,
}

impl Shared {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut config = EngineConfig {
            head_max_bytes: 1_000 << dice.roll(5),
            block_bytes: 128 << dice.roll(5),
            compaction_target_bytes: 4_000 << dice.roll(6),
            min_free_bytes: 0,
            wal_file_bytes: 4_096 << dice.roll(3),
            head_idle_ns: 0,
            delete_language: Some(Arc::new(Language)),
            ..EngineConfig::default()
        };
        if dice.chance(80) {
            config.retention.max_age_ns = 2 * time::DAY_NS;
        }
        let (disk, clock) = (SimDisk::new(seed), Arc::new(ManualClock::at(START)));
        let engine = open(&disk, &clock, &config);
        Self { disk, clock, config, engine, ledger: Mutex::default() }
    }

    /// Never held over a call of the engine: a thread that waits for it would hold up the one whose turn it is.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn may_be_gone(&self, ts: i64) -> bool {
        let age = self.config.retention.max_age_ns;
        age > 0 && Day::of(ts).end_ns() <= self.clock.now_ns() - age
    }

    /// Lines of now, or of a day that retention drops and in streams that are on no other day.
    fn push(&self, dice: &mut Dice) {
        let (age, first) = if dice.chance(50) { (3 * time::DAY_NS, 100) } else { (0, 0) };
        let now = self.clock.now_ns() - age;
        let times: Vec<i64> =
            (0..=dice.roll(5)).map(|_| now - dice.roll(time::MINUTE_NS as u64) as i64).collect();
        let (streams, padding) = (1 + dice.roll(8), dice.roll(20) as usize);
        let batch = self.ledger().batch(1, &times, |n| first + n % streams, padding);
        // Some come twice, as agents send them.
        for _ in 0..1 + u64::from(dice.chance(20)) {
            self.ledger().send(&batch);
            self.engine.commit(&[EncodedBatch::new(batch.clone())]).unwrap();
            self.ledger().answered(&batch, true);
        }
    }

    fn delete(&self, dice: &mut Dice) {
        let modulus = 1 + dice.roll(3);
        let (stream, remainder) = (dice.chance(60).then(|| dice.roll(5)), dice.roll(modulus));
        let meaning = Meaning { stream, modulus, remainder, range: (i64::MIN, i64::MAX) };
        let place = self.ledger().begin_delete(meaning);
        self.engine.add_delete(&tenant(), &meaning.query(), meaning.range).unwrap();
        self.ledger().end_delete(place, Answer::Taken);
    }

    fn read(&self) {
        let since = self.ledger().now();
        let held = Held::read(&self.engine).unwrap();
        self.ledger().check(&held, since, |ts| self.may_be_gone(ts)).unwrap();
        let certain = self.ledger().certain_streams(since, |ts| self.may_be_gone(ts));
        let segments = || self.engine.view(&tenant(), TimeRange::ALL).segments;
        let before = segments();
        let series = self.engine.series(&tenant(), TimeRange::ALL, &Selector::all()).unwrap();
        let after = segments();
        // What is in a segment that was there all the time must be named, whatever retention and deletes do.
        let stayed = before.iter().filter(|segment| after.iter().any(|s| s.meta().id == segment.meta().id));
        let rows = stayed.flat_map(|segment| segment.open().unwrap().streams().unwrap());
        let wanted = certain.into_iter().chain(rows.map(|row| row.labels.to_string()));
        let missing: Vec<_> =
            wanted.filter(|stream| !series.iter().any(|s| s.to_string() == *stream)).collect();
        let source = if self.engine.labels_ready() { "index" } else { "tables" };
        assert!(missing.is_empty(), "streams are missing from the label {source}: {missing:?}");
    }

    /// Everything as it is when nothing is under way.
    fn check(&self, engine: &Engine) -> Result<(), String> {
        let held = Held::read(engine)?;
        self.ledger().check(&held, u64::MAX, |ts| self.may_be_gone(ts))?;
        check_labels(engine, &held, &self.ledger(), |ts| self.may_be_gone(ts))
    }
}

fn open(disk: &SimDisk, clock: &Arc<ManualClock>, config: &EngineConfig) -> Arc<Engine> {
    let engine = Engine::open(Arc::new(disk.clone()), Arc::clone(clock) as Arc<dyn Clock>, config.clone());
    let engine = engine.unwrap().0;
    engine.load_labels().unwrap();
    engine
}

/// A thread that does something this often, with its own dice.
fn repeat<'a>(seed: u64, times: u64, mut what: impl FnMut(&mut Dice) + Send + 'a) -> Body<'a> {
    Box::new(move || {
        let mut dice = Dice::new(seed);
        (0..times).for_each(|_| what(&mut dice));
    })
}

/// One run: threads that meet, then a look at everything, then a crash and another look.
fn run(seed: u64, bug: Option<&'static str>) -> Result<(), String> {
    planted::plant(bug);
    let shared = Shared::new(seed);
    let (shared, engine) = (&shared, &*shared.engine);
    // Enough for a merge and for retention to begin with.
    let mut dice = Dice::new(!seed);
    for _ in 0..6 {
        shared.push(&mut dice);
        engine.flush_all().map_err(|e| e.to_string())?;
    }
    let pace = || {
        point();
        true
    };
    let mut bodies = vec![
        repeat(seed, 12, |dice| shared.push(dice)),
        repeat(seed ^ 1, 14, |dice| {
            if dice.chance(60) {
                engine.seal();
            }
            engine.flush_one().unwrap();
        }),
        repeat(seed ^ 2, 10, |dice| {
            let done = if dice.chance(50) {
                engine.compact_one(&mut pace.clone())
            } else {
                engine.erase_one(&mut pace.clone())
            };
            done.unwrap();
        }),
        repeat(seed ^ 3, 3, |dice| shared.delete(dice)),
        repeat(seed ^ 4, 8, |_| {
            engine.retain(&mut pace.clone()).unwrap();
        }),
        repeat(seed ^ 5, 2, |_| engine.rebuild_labels().unwrap()),
        repeat(seed ^ 6, 6, |_| shared.read()),
    ];
    if seed % 2 == 1 {
        // Fewer kinds of work meet more often: pushes, flushes, retention and readers.
        bodies = vec![
            repeat(seed, 20, |dice| shared.push(dice)),
            repeat(seed ^ 1, 20, |_| {
                engine.seal();
                engine.flush_one().unwrap();
            }),
            repeat(seed ^ 4, 16, |_| {
                engine.retain(&mut pace.clone()).unwrap();
            }),
            repeat(seed ^ 6, 10, |_| shared.read()),
        ];
    }
    explore(seed, bodies)?;
    documents::meet(engine, seed)?;
    shared.check(engine)?;
    compact_all(shared, engine)?;
    shared.disk.halt_after(0);
    shared.disk.crash();
    let again = open(&shared.disk, &shared.clock, &shared.config);
    shared.check(&again)
}

fn compact_all(shared: &Shared, engine: &Engine) -> Result<(), String> {
    engine.flush_all().map_err(|e| e.to_string())?;
    shared.clock.advance(time::MINUTE_NS);
    to_the_end(|| engine.compact_one(&mut || true).map_err(|e| e.to_string()))?;
    to_the_end(|| engine.erase_one(&mut || true).map_err(|e| e.to_string()))?;
    shared.check(engine)
}

#[test]
fn threads_that_meet_at_every_lock_lose_and_double_nothing() {
    let (seeds, first) = (rounds("STRANDLINE_RACE_SEEDS", 200), rounds("STRANDLINE_RACE_FIRST", 0));
    let failures: Vec<_> =
        (first..first + seeds).filter_map(|s| run(s, None).err().map(|e| (s, e))).take(3).collect();
    assert!(failures.is_empty(), "seeds that failed (STRANDLINE_RACE_FIRST repeats one): {failures:?}");
}

#[test]
fn planted_races_are_caught() {
    for bug in MUTATIONS.iter().filter(|bug| bug.race).map(|bug| bug.name) {
        let caught = (0..2000).find_map(|seed| run(seed, Some(bug)).err().map(|e| (seed, e)));
        let (seed, error) = caught.unwrap_or_else(|| panic!("{bug} was not caught in 2000 seeds"));
        println!("{bug} caught at seed {seed}: {error}");
    }
    planted::plant(None);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    planted::plant(None);
    let points = |seed| {
        let count = std::sync::atomic::AtomicU64::new(0);
        let order = Mutex::new(Vec::new());
        let body = |name: u8| -> Body<'_> {
            let (order, count) = (&order, &count);
            Box::new(move || {
                for _ in 0..20 {
                    point();
                    order
                        .lock()
                        .unwrap()
                        .push((name, count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
                }
            })
        };
        explore(seed, vec![body(0), body(1), body(2)]).unwrap();
        order.into_inner().unwrap()
    };
    assert_eq!(points(7), points(7));
    assert_ne!(points(7), points(8));
    assert!(points(7).windows(2).any(|two| two[0].0 != two[1].0), "threads take turns");
}
