//! Does an answer say what it lacks? Every part of a segment is damaged in turn.

use super::rig::{Rig, Row, row, shown, tenant};
use crate::metric::Steps;
use crate::{Direction, MetricRequest, Query, QueryConfig, Reader};
use std::collections::HashMap;
use strandline_model::TimeRange;
use strandline_simdisk::SimDisk;
use strandline_store::disk::{Disk, read_all};

const QUERIES: [&str; 3] = [r#"{env=~".+"}"#, r#"{n="1"} |= "needle3""#, r#"{env=~".+"} |= "absent""#];

/// A store with one segment: fresh from a flush, or compacted and so with a text index.
fn filled(compacted: bool) -> (SimDisk, Vec<Row>, String) {
    let disk = SimDisk::new(3);
    let rig = Rig::on(&disk, QueryConfig { threads: 1, ..QueryConfig::default() });
    let rows: Vec<Row> =
        (0..60).map(|i| row((i % 3) as u8, i, &format!("line {i} of needle{}", i % 7))).collect();
    rig.push(&rows);
    rig.engine.flush_all().unwrap();
    if compacted {
        rig.compact();
        let absent = rig.logs(QUERIES[2], TimeRange::ALL, 9, Direction::Backward);
        assert!(absent.stats.blocks == 0 && absent.stats.blocks_ruled_out > 0, "{:?}", absent.stats);
    }
    let folder = "tenants/t/1970-01-01";
    let files = disk.list(folder).unwrap();
    assert_eq!(files.len(), 1);
    let path = format!("{folder}/{}", files[0]);
    (disk, rows, path)
}

#[test]
fn no_line_is_left_out_in_silence_and_none_is_altered() {
    for compacted in [false, true] {
        damage_everywhere(compacted);
    }
}

fn damage_everywhere(compacted: bool) {
    let (disk, rows, path) = filled(compacted);
    let sound = read_all(&disk, &path, 1 << 20).unwrap();
    let clean = Rig::new();
    clean.push(&rows);
    let wanted: HashMap<&str, Vec<String>> = QUERIES.iter().map(|q| (*q, clean.lines(q))).collect();
    let mut warned = 0;
    let mut complete = 0;
    for at in (0..sound.len()).step_by(7) {
        let rig = Rig::on(&disk, QueryConfig { threads: 2, ..QueryConfig::default() });
        let file = disk.open(&path).unwrap();
        file.write_at(&[sound[at] ^ 0x40], at as u64).unwrap();
        // With a damaged stream table the index must not claim to know all streams.
        if at % 2 == 0 {
            rig.engine.rebuild_labels().unwrap();
        }
        for query in QUERIES {
            let wanted = &wanted[query];
            let found = rig.logs(query, TimeRange::ALL, 1000, Direction::Backward);
            let lines = shown(&found);
            assert!(lines.iter().all(|line| wanted.contains(line)), "byte {at}, {query}: altered");
            if found.warnings.is_empty() {
                complete += 1;
                assert_eq!(&lines, wanted, "byte {at}, {query}: left out in silence");
            } else {
                warned += 1;
                assert!(found.warnings.iter().all(|w| w.contains("are missing") && w.contains("segment")));
            }
        }
        file.write_at(&[sound[at]], at as u64).unwrap();
        drop(rig);
    }
    assert!(warned > 50 && complete > 50, "{warned} warned, {complete} complete");
}

/// A count that needs no rows of a block must not add up what the segment and the head both have, and say nothing.
#[test]
fn repeats_of_a_damaged_segment_are_not_counted_twice_in_silence() {
    let (disk, rows, path) = filled(false);
    let sound = read_all(&disk, &path, 1 << 20).unwrap();
    let (mut warned, mut complete) = (0, 0);
    for at in (0..sound.len()).step_by(5) {
        let rig = Rig::on(&disk, QueryConfig { threads: 2, ..QueryConfig::default() });
        let count = || {
            let Query::Metric(query) = Query::parse(r#"sum(count_over_time({env=~".+"}[1h]))"#).unwrap()
            else {
                panic!()
            };
            let (reader, steps) = (Reader::of(tenant()), Steps::instant(1_000));
            let request = MetricRequest { reader, query, steps, max_series: None, cut_series: false };
            let found = rig.query.metrics(&request).unwrap();
            let series = found.value.into_matrix(&steps).series;
            (series.first().map_or(0.0, |series| series.points[0].1), found.warnings)
        };
        // The table is known before the damage.
        assert_eq!(count(), (60.0, vec![]));
        let file = disk.open(&path).unwrap();
        file.write_at(&[sound[at] ^ 0x40], at as u64).unwrap();
        rig.push(&rows);
        for _ in 0..2 {
            let (found, warnings) = count();
            match warnings.is_empty() {
                true => assert_eq!(found, 60.0, "byte {at}"),
                false => warned += 1,
            }
            complete += u32::from(warnings.is_empty());
        }
        file.write_at(&[sound[at]], at as u64).unwrap();
        // What was pushed again must not be there the next time.
        drop(rig);
        for name in disk.list("wal").unwrap() {
            disk.remove(&format!("wal/{name}")).unwrap();
        }
    }
    assert!(warned > 10 && complete > 10, "{warned} warned, {complete} complete");
}

#[test]
fn a_missing_segment_is_named_with_its_lines() {
    let (disk, rows, path) = filled(false);
    disk.remove(&path).unwrap();
    let rig = Rig::on(&disk, QueryConfig::default());
    let found = rig.logs(r#"{env=~".+"}"#, TimeRange::ALL, 10, Direction::Forward);
    assert_eq!(found.streams, []);
    assert_eq!(found.warnings.len(), 1);
    let warning = &found.warnings[0];
    assert!(warning.contains(&format!("up to {} lines", rows.len())), "{warning}");
    assert!(warning.contains("1970-01-01T00:00:00Z"), "{warning}");
    // What is new is answered all the same.
    rig.push(&[row(1, 99, "new")]);
    let found = rig.logs(r#"{n="1"}"#, TimeRange::ALL, 10, Direction::Backward);
    assert_eq!((shown(&found), found.warnings.len()), (vec!["env=odd,n=1 99 new".to_owned()], 1));
    // A range that the missing segment does not touch has no warning.
    let found = rig.logs(r#"{n="1"}"#, TimeRange::new(90, 100), 10, Direction::Backward);
    assert_eq!((found.entries(), found.warnings.len()), (1, 0));
}

#[test]
fn answers_tell_of_a_loss_until_it_is_accepted() {
    let disk = SimDisk::new(4);
    let open = || Rig::on(&disk, QueryConfig { threads: 1, ..QueryConfig::default() });
    let rig = open();
    rig.push(&[row(1, 1, "first")]);
    rig.push(&[row(1, 2, "last")]);
    rig.engine.log_idle().unwrap();
    drop(rig);
    let log = disk.list("wal").unwrap().into_iter().find(|name| name.ends_with(".wal")).unwrap();
    disk.truncate(&format!("wal/{log}"), 512).unwrap();
    for _ in 0..2 {
        let rig = open();
        let found = rig.logs(QUERIES[0], TimeRange::ALL, 9, Direction::Backward);
        assert_eq!(shown(&found), ["env=odd,n=1 1 first"]);
        assert!(
            found.warnings.len() == 1 && found.warnings[0].contains("1 acknowledged pushes"),
            "{found:?}"
        );
        assert_eq!(rig.query.store_troubles().len(), 1);
    }
    let folder: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk.clone());
    strandline_store::engine::accept_losses(&folder, 0).unwrap();
    assert_eq!(open().lines(QUERIES[0]), ["env=odd,n=1 1 first"]);
}
