//! The label index is built beside flushes, merges and retention, is exact whatever they do meanwhile, and can be stopped.

use super::{Rig, config, tenant};
use crate::engine::{EngineConfig, LabelLoad, Retention};
use crate::labels::{Bounds, LabelIndex};
use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;
use strandline_model::time::DAY_NS;
use strandline_model::{Day, Labels, Selector, TimeRange};

/// A generous end for work of another thread that takes milliseconds unless a lock keeps it.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
enum Event {
    Flush,
    FlushAndMerge,
    DropDay,
    DropDayAndFlush,
    Empty,
}

/// Segments of three days with a stream each, and one stream in all.
fn rig() -> Rig {
    let rig = Rig::new(EngineConfig { compaction_target_bytes: 1 << 20, ..config() });
    for i in 0..6 {
        let own = format!(r#"{{own="{i}"}}"#);
        let ts = i % 3 * DAY_NS;
        rig.flush(&[(own.as_str(), ts, b"x"), (r#"{app="all"}"#, ts + 1, b"x")]);
    }
    rig
}

fn happen(rig: &Rig, event: Event) {
    let late: &[(&str, i64, &[u8])] = &[(r#"{own="late"}"#, 5, b"y"), (r#"{own="late"}"#, DAY_NS, b"y")];
    let drop_first_day = || {
        rig.engine.drop_partitions(|_| vec![(tenant(), Day(0))]).unwrap();
    };
    match event {
        Event::Flush => rig.flush(late),
        Event::FlushAndMerge => {
            rig.flush(late);
            rig.clock.advance(4 * DAY_NS);
            rig.compact();
        }
        Event::DropDay => drop_first_day(),
        Event::DropDayAndFlush => {
            drop_first_day();
            rig.flush(late);
        }
        Event::Empty => {
            rig.engine
                .drop_partitions(|catalog| catalog.partitions().map(|(p, _)| p.clone()).collect())
                .unwrap();
        }
    }
}

#[test]
fn an_index_that_is_built_while_segments_come_and_go_is_exact() {
    for event in [Event::Flush, Event::FlushAndMerge, Event::DropDay, Event::DropDayAndFlush, Event::Empty] {
        for at in 0..16 {
            let rig = rig();
            let asked = Cell::new(0);
            let stop = || {
                if asked.replace(asked.get() + 1) == at {
                    // On another thread: a lock that is held here would keep it.
                    let (done, when_done) = mpsc::sync_channel(1);
                    std::thread::scope(|scope| {
                        let rig = &rig;
                        scope.spawn(move || {
                            happen(rig, event);
                            done.send(()).unwrap();
                        });
                        when_done.recv_timeout(DEADLINE).unwrap_or_else(|_| {
                            // A panic here would wait for the thread for ever.
                            eprintln!("building the index keeps {event:?} waiting");
                            std::process::abort()
                        });
                    });
                }
                false
            };
            assert_eq!(rig.engine.load_labels_until(&stop), LabelLoad::Complete, "{event:?} at {at}");
            rig.assert_index_is_exact();
            rig.flush(&[(r#"{own="after"}"#, 7, b"z")]);
            rig.engine.reindex_partition(&tenant(), Day(0)).unwrap();
            rig.assert_index_is_exact();
        }
    }
}

#[test]
fn building_ends_when_it_is_told_to() {
    let rig = rig();
    for stop_at in 1..12 {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() >= stop_at
        };
        assert_eq!(rig.engine.load_labels_until(&stop), LabelLoad::Stopped);
        assert_eq!(asked.get(), stop_at, "asked no more once it said so");
        assert!(!rig.engine.labels_ready());
    }
    assert_eq!(rig.engine.load_labels_until(&|| false), LabelLoad::Complete);
    rig.assert_index_is_exact();
}

#[test]
fn an_index_that_does_not_fit_is_given_up_and_stream_tables_answer() {
    let small = EngineConfig { label_index_bytes: 20_000, ..config() };
    let streams: Vec<String> = (0..1000).map(|i| format!(r#"{{pod="p{i:04}"}}"#)).collect();
    let rows: Vec<(&str, i64, &[u8])> =
        streams.iter().map(|labels| (labels.as_str(), 1, &b"x"[..])).collect();
    let all = Selector::all();
    // At the start.
    let rig = Rig::new(small.clone());
    rig.flush(&rows);
    assert_eq!(rig.engine.load_labels_until(&|| false), LabelLoad::TooLarge);
    assert_eq!(rig.engine.series(&tenant(), TimeRange::ALL, &all).unwrap().len(), 1000);
    // While it runs.
    let rig = Rig::new(small);
    assert_eq!(rig.engine.load_labels_until(&|| false), LabelLoad::Complete);
    rig.flush(rows.get(..50).unwrap());
    rig.assert_index_is_exact();
    rig.flush(&rows);
    assert!(!rig.engine.labels_ready());
    assert_eq!(rig.engine.labels().memory_bytes(), 0);
    assert_eq!(rig.engine.series(&tenant(), TimeRange::ALL, &all).unwrap().len(), 1000);
    rig.flush(&[(r#"{pod="more"}"#, 2, b"x")]);
    assert_eq!(rig.engine.series(&tenant(), TimeRange::ALL, &all).unwrap().len(), 1001);
    assert!(!rig.engine.labels_ready());
}

#[test]
fn an_index_that_was_too_large_is_built_once_much_has_gone() {
    let retention = Retention { max_age_ns: DAY_NS, ..Retention::default() };
    let rig = Rig::new(EngineConfig { label_index_bytes: 20_000, retention, ..config() });
    assert_eq!(rig.engine.load_labels_until(&|| false), LabelLoad::Complete);
    let streams: Vec<String> = (0..1000).map(|i| format!(r#"{{pod="p{i:04}"}}"#)).collect();
    let row = |labels: &'static str, ts| (labels, ts, &b"x"[..]);
    rig.flush(&streams.iter().map(|labels| (labels.as_str(), 1, &b"x"[..])).collect::<Vec<_>>());
    assert!(!rig.engine.labels_ready() && !rig.engine.label_load_is_due());
    rig.clock.advance(3 * DAY_NS);
    rig.flush(&[row(r#"{pod="new"}"#, 3 * DAY_NS)]);
    assert!(!rig.engine.label_load_is_due());
    assert!(rig.engine.retain(&mut || true).unwrap() > 0);
    assert!(rig.engine.label_load_is_due());
    assert_eq!(rig.engine.load_labels_until(&|| false), LabelLoad::Complete);
    rig.assert_index_is_exact();
    assert!(!rig.engine.label_load_is_due());
}

/// Each left its size behind when the image was saved, until the index gave itself up.
#[test]
fn a_tenant_without_streams_takes_nothing_of_the_index() {
    let index = LabelIndex::open(None, 0, Bounds::NONE).0;
    let labels = Labels::parse(r#"{a="b"}"#).unwrap();
    index.add(&tenant(), Day(1), [&labels].into_iter());
    assert!(index.memory_bytes() > 0);
    index.drop_day(&tenant(), Day(1));
    assert_eq!(index.memory_bytes(), 0);
}
