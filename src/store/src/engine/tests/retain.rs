//! Retention takes days and streams away as one step, and looks at no segment twice.

use super::{Rig, config, tenant};
use crate::disk::Disk;
use crate::engine::{EngineConfig, Retention, StreamRetention};
use crate::lookup::{LookupLimits, Meter};
use std::sync::mpsc;
use std::time::Duration;
use strandline_model::time::DAY_NS;
use strandline_model::{Day, Matcher, Selector};

/// A flush that comes between retention's look at the catalog and its edit: its streams vanished from an index that said
/// that it was complete, while its segment stayed.
#[test]
fn a_flush_into_a_day_that_is_dropped_comes_before_or_after() {
    let rig = Rig::new(config());
    rig.engine.load_labels().unwrap();
    rig.flush(&[(r#"{a="old"}"#, 1, b"x")]);
    rig.push(&[(r#"{a="late"}"#, 2, b"x")]);
    std::thread::scope(|scope| {
        let engine = &rig.engine;
        let (done, when_done) = mpsc::sync_channel(1);
        engine
            .drop_partitions(|_| {
                scope.spawn(move || {
                    engine.flush_all().unwrap();
                    let _ = done.send(());
                });
                // Where nothing keeps the flush, it is over long before this; where something does, this is how long the
                // test takes.
                let _ = when_done.recv_timeout(Duration::from_millis(200));
                vec![(tenant(), Day(0))]
            })
            .unwrap();
    });
    rig.assert_index_is_exact();
}

/// Lookups lacked the streams of segments that other readers still saw.
#[test]
fn the_index_keeps_the_streams_of_a_dropped_day_until_its_segments_are_out_of_sight() {
    let rig = Rig::new(config());
    rig.engine.load_labels().unwrap();
    rig.flush(&[(r#"{a="old"}"#, 1, b"x")]);
    let meter = Meter::new(LookupLimits::NONE);
    let indexed = || {
        let index = rig.engine.complete_labels().expect("a complete index");
        index.streams(&tenant(), None, &Selector::all(), usize::MAX, &meter).unwrap().len()
    };
    std::thread::scope(|scope| {
        // Held, it keeps the segments from going; where they are about to go, nobody else gets it any more.
        let state = rig.engine.state.read();
        let dropping = scope.spawn(|| rig.engine.drop_partitions(|_| vec![(tenant(), Day(0))]));
        while rig.engine.state.try_read().is_some() && !dropping.is_finished() {
            std::thread::yield_now();
        }
        let seen = (state.catalog.all().count(), indexed());
        drop(state);
        assert_eq!(dropping.join().unwrap().unwrap(), 1);
        assert_eq!(seen, (1, 1), "segments and streams");
    });
    assert_eq!(indexed(), 0);
    rig.assert_index_is_exact();
}

fn rule(value: &str, days: i64) -> StreamRetention {
    let selector = Selector { matchers: vec![Matcher::equal("a", value)] };
    StreamRetention { tenant: None, selector, max_age_ns: days * DAY_NS, priority: 1 }
}

#[test]
fn a_segment_is_looked_through_once_for_the_age_of_its_streams() {
    let retention = Retention { streams: vec![rule("short", 1), rule("long", 9)], ..Retention::default() };
    let rig = Rig::new(EngineConfig { retention, ..config() });
    rig.engine.load_labels().unwrap();
    rig.flush(&[(r#"{a="short"}"#, 1, b"x"), (r#"{a="kept"}"#, 1, b"x")]);
    rig.flush(&[(r#"{a="long"}"#, 2, b"x"), (r#"{a="kept"}"#, 2, b"x")]);
    rig.flush(&[(r#"{a="kept"}"#, 3, b"x")]);
    let retain = || {
        let mut looks = 0;
        let rewritten = rig.engine.retain(&mut || {
            looks += 1;
            true
        });
        (rewritten.unwrap(), looks)
    };
    assert_eq!(retain(), (0, 0), "its day is not over");
    rig.clock.advance(3 * DAY_NS);
    assert_eq!(retain(), (1, 3));
    rig.assert_index_is_exact();
    // The segment that was rewritten is new.
    assert_eq!(retain(), (0, 1));
    assert_eq!(retain(), (0, 0));
    rig.clock.advance(8 * DAY_NS);
    // A clock that jumps is followed hour by hour.
    let restarted = {
        let config = rig.engine.config().clone();
        rig.reopen(config)
    };
    restarted.engine.load_labels().unwrap();
    assert_eq!(restarted.engine.retain(&mut || true).unwrap(), 1);
    restarted.assert_index_is_exact();
}

#[test]
fn a_start_removes_the_folders_of_days_that_are_gone() {
    let retention = Retention { max_age_ns: DAY_NS, ..Retention::default() };
    let rig = Rig::new(EngineConfig { retention, ..config() });
    rig.flush(&[(r#"{a="old"}"#, 1, b"x")]);
    rig.clock.advance(3 * DAY_NS);
    rig.flush(&[(r#"{a="new"}"#, 3 * DAY_NS, b"x")]);
    rig.engine.retain(&mut || true).unwrap();
    let days = |rig: &Rig| rig.disk.list(&format!("tenants/{}", super::tenant())).unwrap();
    assert_eq!(days(&rig), ["1970-01-01/", "1970-01-04/"]);
    let config = rig.engine.config().clone();
    let rig = rig.reopen(config);
    assert_eq!(days(&rig), ["1970-01-04/"]);
    rig.flush(&[(r#"{a="old"}"#, 2, b"x")]);
    assert_eq!(days(&rig), ["1970-01-01/", "1970-01-04/"]);
}
