//! A merge gives way within a stream too, and one that was stopped leaves nothing behind.

use super::{Rig, config};
use crate::engine::EngineConfig;
use strandline_model::TimeRange;

const ROWS: i64 = 10_000;

/// One stream in four segments.
fn rig() -> Rig {
    let rig = Rig::new(EngineConfig { compaction_target_bytes: 20_000, ..config() });
    for part in 0..4 {
        let rows: Vec<(&str, i64, &[u8])> =
            (0..ROWS).map(|i| (r#"{a="one"}"#, i * 4 + part, &b"the line"[..])).collect();
        rig.flush(&rows);
    }
    rig
}

#[test]
fn a_merge_of_one_large_stream_gives_way_many_times() {
    let rig = rig();
    let mut asked = 0;
    assert!(
        rig.engine
            .compact_one(&mut || {
                asked += 1;
                true
            })
            .unwrap()
    );
    assert!(asked >= 4 * ROWS / 2048, "asked {asked} times");
    let rows: u64 =
        rig.engine.view(&super::tenant(), TimeRange::ALL).segments.iter().map(|s| s.meta().rows).sum();
    assert_eq!(rows as i64, 4 * ROWS);
}

#[test]
fn a_merge_that_is_stopped_leaves_nothing_behind() {
    let rig = rig();
    let before = rig.disk.paths();
    for stop_at in [1, 5, 12, 19] {
        let mut asked = 0;
        let merged = rig.engine.compact_one(&mut || {
            asked += 1;
            asked < stop_at
        });
        assert!(!merged.unwrap());
        assert_eq!((rig.disk.paths(), asked), (before.clone(), stop_at));
    }
}

/// The bound on the text index ends each output while it is small: merged again it would come out as it is.
#[test]
fn merges_of_a_day_that_is_over_come_to_an_end() {
    let compaction_target_bytes = 4 << 20;
    let rig = Rig::new(EngineConfig { compaction_target_bytes, merge_index_bytes: 128 << 10, ..config() });
    let noise =
        |n: i64, i: i64| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&(n << 32 | i).to_le_bytes()));
    for n in 0..8 {
        let lines: Vec<String> = (0..1000).map(|i| format!("{} {}", noise(n, i), noise(n, -i))).collect();
        let rows: Vec<(&str, i64, &[u8])> = lines
            .iter()
            .enumerate()
            .map(|(i, line)| (r#"{a="b"}"#, n * 1000 + i as i64, line.as_bytes()))
            .collect();
        rig.flush(&rows);
    }
    rig.clock.advance(3 * strandline_model::time::DAY_NS);
    let merges = (0..30).take_while(|_| rig.engine.compact_one(&mut || true).unwrap()).count();
    let segments = rig.engine.view(&super::tenant(), TimeRange::ALL).segments;
    assert!(segments.len() > 4 && segments.iter().all(|s| s.meta().compacted), "{segments:?}");
    assert!((1..10).contains(&merges), "{merges} merges");
}
