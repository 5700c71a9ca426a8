//! Does the engine stay as small as it is, however often it flushes and merges? Weeks of work on the simulated disk, with
//! streams that come and go, deletes, and days that retention drops.
//!
//! `STRANDLINE_UPTIME_FLUSHES` sets the number of flushes.

use crate::kill::rounds;
use crate::ledger::{Held, Language, Ledger, tenant};
use crate::sim::check_labels;
use std::sync::Arc;
use strandline_instrumented::disk::Disk;
use strandline_instrumented::disk::sim::SimDisk;
use strandline_instrumented::engine::{EncodedBatch, Engine, EngineConfig};
use strandline_instrumented::planted;
use strandline_model::{BatchBuilder, Clock, Labels, ManualClock, time};

/// A flush comes this often (simulated): a day has 48.
const BETWEEN_NS: i64 = 30 * time::MINUTE_NS;
/// A pod logs for so many flushes. The label index keeps up to 256 streams without days before it is written anew without
/// them (`compact_min` of its `Sizes`): with this each quarter of a run of 8,000 flushes sees that once at least, and its
/// least is that of an index just written. With one pod a day the index grew for 12,288 flushes first.
const FLUSHES_OF_POD: u64 = 4;
/// What memory may grow by from the second quarter of a run to the last: a byte per flush in a run of 8,000, in which it
/// grows by 3 bytes in all.
const MAX_GROWTH_BYTES: i64 = 4 << 10;

#[test]
fn memory_stays_flat_over_many_flushes_and_merges() {
    planted::plant(None);
    let flushes = rounds("STRANDLINE_UPTIME_FLUSHES", 8_000);
    let mut config = EngineConfig {
        min_free_bytes: 0,
        head_idle_ns: 0,
        wal_file_bytes: 16 << 10,
        block_bytes: 1 << 10,
        compaction_target_bytes: 64 << 10,
        delete_language: Some(Arc::new(Language)),
        ..EngineConfig::default()
    };
    config.retention.max_age_ns = 2 * time::DAY_NS;
    let (disk, clock) = (SimDisk::new(1), Arc::new(ManualClock::at(20_000 * time::DAY_NS)));
    let (engine, _) = Engine::open(Arc::new(disk.clone()), clock.clone() as Arc<dyn Clock>, config).unwrap();
    engine.load_labels().unwrap();
    // The least of each quarter: buffers are larger at one time than at another.
    let (mut least, mut merges) = ([i64::MAX; 4], 0u64);
    for n in 0..flushes {
        engine.commit(&[EncodedBatch::new(batch(n, clock.now_ns()))]).unwrap();
        engine.flush_all().unwrap();
        clock.advance(BETWEEN_NS);
        while engine.compact_one(&mut || true).unwrap() {
            merges += 1;
        }
        if n % 8 == 7 {
            engine.add_delete(&tenant(), "1 3 0", (i64::MIN, i64::MAX)).unwrap();
            engine.retain(&mut || true).unwrap();
            while engine.erase_one(&mut || true).unwrap() {}
            remove_empty_days(&disk);
            let bytes = engine_bytes(&disk);
            let quarter = &mut least[(n * 4 / flushes) as usize];
            *quarter = bytes.min(*quarter);
            if std::env::var_os("STRANDLINE_SIM_TRACE").is_some() {
                println!("flush {n}: {bytes} bytes, {} on disk", disk.memory_bytes());
            }
        }
    }
    check_labels(&engine, &Held::read(&engine).unwrap(), &Ledger::default(), |_| false).unwrap();
    println!("{flushes} flushes, {merges} merges, live KiB by quarter {:?}", least.map(|bytes| bytes >> 10));
    assert!(merges > flushes / 8, "only {merges} merges");
    assert!(least[3] - least[1] <= MAX_GROWTH_BYTES, "memory grows, by quarter of the run: {least:?} bytes");
}

/// A few lines: of streams that are always there, and of one that lives for two hours.
fn batch(n: u64, now: i64) -> strandline_model::Batch {
    let mut builder = BatchBuilder::new(tenant(), 0);
    let pod = format!("pod-{}", n / FLUSHES_OF_POD);
    for (name, value) in [("s", "1"), ("s", "2"), ("pod", pod.as_str())] {
        builder.begin_stream(Arc::new(Labels::from_pairs(&[("app", "x"), (name, value)]).unwrap()));
        for i in 0..3 {
            let line = format!("w=1 n={} a line of words", n * 3 + i);
            assert!(builder.push(now + i as i64, line.as_bytes(), &mut vec![]));
        }
    }
    builder.finish()
}

/// Bytes that this thread has allocated and not freed, without the simulated files: the engine runs in this thread alone.
fn engine_bytes(disk: &SimDisk) -> i64 {
    crate::allocations::live_bytes() - disk.memory_bytes() as i64
}

/// Removes the folders of days that are gone. The engine leaves them, and the simulated disk keeps their names in memory,
/// which is not the engine's.
fn remove_empty_days(disk: &SimDisk) {
    let dir = format!("tenants/{}", tenant());
    for day in disk.list(&dir).unwrap() {
        let day = format!("{dir}/{}", day.trim_end_matches('/'));
        if disk.list(&day).unwrap().is_empty() {
            disk.remove_dir(&day).unwrap();
        }
    }
    disk.sync_dir(&dir).unwrap();
}
