//! Lookups end when they are told to, keep to their bytes, and say which segments they could not read.

use super::{Rig, config, tenant};
use crate::lookup::{LookupError, LookupLimits};
use std::cell::Cell;
use std::collections::BTreeSet;
use strandline_model::{Labels, Selector, TimeRange};

const NONE: LookupLimits<'static> = LookupLimits::NONE;

/// Two segments with a stream each and a stream in the head; `indexed` says whether the label index is complete.
fn rig(indexed: bool) -> Rig {
    let rig = Rig::new(config());
    if indexed {
        rig.engine.load_labels().unwrap();
    }
    rig.flush(&[(r#"{a="one"}"#, 1, b"x")]);
    rig.flush(&[(r#"{a="two", b="2"}"#, 2, b"x")]);
    rig.push(&[(r#"{a="three"}"#, 3, b"x")]);
    assert_eq!(rig.engine.labels_ready(), indexed);
    rig
}

fn texts(found: &BTreeSet<String>) -> String {
    found.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn index_and_stream_tables_answer_alike() {
    for indexed in [false, true] {
        let rig = rig(indexed);
        let (tenant, all) = (tenant(), Selector::all());
        let lookup = rig.engine.lookup(&tenant, TimeRange::ALL, &all, NONE);
        assert_eq!(texts(&lookup.label_names().unwrap().found), "a b");
        assert_eq!(texts(&lookup.label_values("a").unwrap().found), "one three two");
        assert_eq!(lookup.series().unwrap().found.len(), 3);
        let sets = lookup.label_sets().unwrap();
        assert_eq!(sets.found.values().map(texts).collect::<Vec<_>>(), ["one three two", "2"]);
        assert!(sets.unread.is_empty());
        assert_eq!(lookup.few(2).unwrap().map(|few| few.len()), indexed.then_some(2));
        assert_eq!(lookup.few(1).unwrap(), None);
    }
}

#[test]
fn a_segment_that_cannot_be_read_is_named() {
    let rig = rig(false);
    let damaged = rig.disk.paths().into_iter().find(|path| path.ends_with(".seg")).unwrap();
    let mut bytes = rig.disk.read_file(&damaged).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
    rig.disk.write_file(&damaged, &bytes).unwrap();
    let rig = rig.reopen(config());
    let (tenant, all) = (tenant(), Selector::all());
    let lookup = rig.engine.lookup(&tenant, TimeRange::ALL, &all, NONE);
    let names = lookup.label_values("a").unwrap();
    assert_eq!(texts(&names.found), "three two");
    let unread: Vec<String> = names.unread.iter().map(|unread| unread.segment.meta().path()).collect();
    assert_eq!(unread, [damaged]);
    assert_eq!(lookup.label_names().unwrap().unread.len(), 1);
    assert_eq!(lookup.label_sets().unwrap().unread.len(), 1);
    assert_eq!(lookup.series().unwrap().unread.len(), 1);
}

#[test]
fn a_lookup_ends_when_its_check_says_so() {
    for indexed in [false, true] {
        let rig = Rig::new(config());
        if indexed {
            rig.engine.load_labels().unwrap();
        }
        let streams: Vec<String> = (0..4000).map(|i| format!(r#"{{pod="p{i:04}"}}"#)).collect();
        for rows in streams.chunks(2000) {
            rig.flush(&rows.iter().map(|labels| (labels.as_str(), 1, &b"x"[..])).collect::<Vec<_>>());
        }
        let (tenant, all) = (tenant(), Selector::all());
        for stop_after in [0, 1, 3] {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > stop_after
            };
            let limits = LookupLimits { stop: &stop, ..NONE };
            let lookup = rig.engine.lookup(&tenant, TimeRange::ALL, &all, limits);
            let stopped = |result: Result<(), LookupError>| {
                assert_eq!(result, Err(LookupError::Stopped));
                assert_eq!(asked.replace(0), stop_after + 1, "asked no more once it said so");
            };
            if !indexed || stop_after == 0 {
                stopped(lookup.label_names().map(drop));
            }
            stopped(lookup.label_values("pod").map(drop));
            stopped(lookup.label_sets().map(drop));
            stopped(lookup.series().map(drop));
        }
        let limits = LookupLimits { max_bytes: 50_000, ..NONE };
        let lookup = rig.engine.lookup(&tenant, TimeRange::ALL, &all, limits);
        assert_eq!(lookup.label_values("pod").map(drop), Err(LookupError::TooLarge(50_000)));
        assert_eq!(lookup.label_sets().map(drop), Err(LookupError::TooLarge(50_000)));
        assert_eq!(lookup.series().map(drop), Err(LookupError::TooLarge(50_000)));
        assert_eq!(texts(&lookup.label_names().unwrap().found), "pod", "streams are looked at, not held");
    }
}

/// The label index was asked before the heads: a stream that a flush moved between the two was in neither answer.
#[test]
fn a_stream_that_is_flushed_during_a_lookup_is_in_the_answer() {
    let rig = rig(true);
    let (tenant, all) = (tenant(), Selector::all());
    let lookup = rig.engine.lookup(&tenant, TimeRange::ALL, &all, NONE);
    let before = rig.engine.series(&tenant, TimeRange::ALL, &all).unwrap();
    let found = lookup.gather(
        TimeRange::ALL,
        |series: &mut BTreeSet<Labels>, labels, _| {
            series.insert(labels.clone());
            Ok(())
        },
        |meter, _, _| {
            let index = rig.engine.complete_labels().unwrap();
            let known = index.streams(&tenant, None, &all, usize::MAX, meter)?;
            rig.engine.flush_all().unwrap();
            Ok(Some(known.into_iter().collect()))
        },
    );
    assert_eq!(found.unwrap().found, before);
}

/// Streams of the same day outside the range were in the answer.
#[test]
fn series_are_those_with_lines_in_the_range() {
    for indexed in [false, true] {
        for flushed in [false, true] {
            let rig = Rig::new(config());
            if indexed {
                rig.engine.load_labels().unwrap();
            }
            let day = 86_400_000_000_000;
            let rows: [(&str, i64, &[u8]); 6] = [
                (r#"{a="early"}"#, 10, b"x"),
                (r#"{a="late"}"#, 20, b"x"),
                (r#"{a="next"}"#, day + 10, b"x"),
                (r#"{a="third"}"#, 2 * day + 10, b"x"),
                (r#"{a="third, late"}"#, 2 * day + 20, b"x"),
                (r#"{a="fourth"}"#, 3 * day, b"x"),
            ];
            rig.push(&rows);
            if flushed {
                rig.engine.flush_all().unwrap();
            }
            let (tenant, all) = (tenant(), Selector::all());
            let series = |start, end| -> String {
                let lookup = rig.engine.lookup(&tenant, TimeRange::new(start, end), &all, NONE);
                let found = lookup.series().unwrap();
                assert!(found.unread.is_empty());
                let values: BTreeSet<String> =
                    found.found.iter().filter_map(|l| l.get("a").map(str::to_owned)).collect();
                values.into_iter().collect::<Vec<_>>().join("|")
            };
            assert_eq!(series(0, 11), "early");
            assert_eq!(series(11, 21), "late");
            assert_eq!(series(11, 20), "");
            assert_eq!(series(0, day), "early|late");
            assert_eq!(series(20, 2 * day + 15), "late|next|third");
            assert_eq!(series(15, day + 11), "late|next");
            assert_eq!(series(day, 2 * day), "next");
            assert_eq!(series(2 * day + 20, 3 * day), "third, late");
            assert_eq!(series(2 * day + 20, 3 * day + 1), "fourth|third, late");
            assert_eq!(series(5, 5), "");
            assert_eq!(series(i64::MIN, i64::MAX), "early|fourth|late|next|third|third, late");
        }
    }
}
