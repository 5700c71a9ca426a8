//! Do queries end when they should, and look at no more than they must?

use super::rig::{Rig, Row, request, row, shown, slot};
use crate::{CancelFlag, Deadline, Direction, LogRequest, LogResult, QueryConfig, QueryError};
use strandline_model::memory::{Bound, Class, Exhausted};
use strandline_model::{MemoryBudget, TimeRange};
use strandline_simdisk::SimDisk;

fn many(rig: &Rig) {
    for part in 0..10i64 {
        let rows: Vec<Row> = (0..100).map(|i| row(1, part * 100 + i, &format!("line {part} {i}"))).collect();
        rig.push(&rows);
        rig.engine.flush_all().unwrap();
    }
}

#[test]
fn the_newest_lines_need_only_the_newest_blocks() {
    // Further threads look at older blocks before the newest ones are found to be enough.
    let rig = Rig::on(&SimDisk::new(1), QueryConfig { threads: 1, ..QueryConfig::default() });
    many(&rig);
    let found = rig.logs(r#"{n="1"}"#, TimeRange::ALL, 5, Direction::Backward);
    let wanted: Vec<String> =
        (95..100).rev().map(|i| format!("env=odd,n=1 {} line 9 {i}", 900 + i)).collect();
    assert_eq!(shown(&found), wanted);
    assert!(found.stats.blocks <= 10 && found.stats.segments <= 4, "{:?}", found.stats);
    assert_eq!((found.stats.entries, found.entries()), (5, 5));
    let found = rig.logs(r#"{n="1"}"#, TimeRange::ALL, 1, Direction::Forward);
    assert_eq!(shown(&found), ["env=odd,n=1 0 line 0 0"]);
}

#[test]
fn a_needle_that_is_nowhere_costs_no_block() {
    let rig = Rig::new();
    many(&rig);
    // Fresh segments have no text index.
    rig.compact();
    let found = rig.logs(r#"{n="1"} |= "nowhere""#, TimeRange::ALL, 5, Direction::Backward);
    assert_eq!((found.entries(), found.stats.blocks, found.stats.lines()), (0, 0, 0));
    assert!(found.stats.blocks_ruled_out > 50, "{:?}", found.stats);
    let found = rig.logs(r#"{n="1"} |= "line 3 77""#, TimeRange::ALL, 5, Direction::Backward);
    assert_eq!(shown(&found), ["env=odd,n=1 377 line 3 77"]);
    assert!(found.stats.blocks < 20, "{:?}", found.stats);
}

#[test]
fn entries_keep_the_distance_that_was_asked_for() {
    let rig = Rig::new();
    many(&rig);
    let thinned = |direction, interval_ns, limit| {
        let all = request(r#"{n="1"}"#, TimeRange::new(0, 1000), limit, direction);
        let found = rig.query.logs(&LogRequest { interval_ns, ..all }).unwrap();
        found.streams.iter().flat_map(|s| s.entries.iter().map(|e| e.ts)).collect::<Vec<_>>()
    };
    assert_eq!(thinned(Direction::Forward, 300, 10), [0, 300, 600, 900]);
    assert_eq!(thinned(Direction::Backward, 300, 3), [999, 699, 399]);
    assert_eq!(thinned(Direction::Backward, 1, 2), [999, 998]);
    assert_eq!(thinned(Direction::Forward, i64::MAX, 5), [0]);
}

#[test]
fn metadata_can_stay_with_its_entries() {
    let rig = Rig::new();
    let with = |ts, value: &str| Row { metadata: vec![("m".into(), value.into())], ..row(2, ts, "x") };
    rig.push(&[with(1, "a"), with(2, "b")]);
    let all = request(r#"{n="2"}"#, TimeRange::ALL, 9, Direction::Forward);
    let found = rig.query.logs(&LogRequest { categorize: true, ..all.clone() }).unwrap();
    assert_eq!((found.streams.len(), found.entries()), (1, 2));
    let pairs: Vec<_> = found.streams[0].entries.iter().flat_map(|e| e.metadata().iter()).collect();
    assert_eq!(pairs, [("m", "a"), ("m", "b")]);
    assert_eq!(rig.query.logs(&all).unwrap().streams.len(), 2);
}

#[test]
fn queries_end_early_when_told_so() {
    let rig = Rig::new();
    many(&rig);
    let all = request(r#"{n="1"}"#, TimeRange::ALL, 5, Direction::Backward);
    let cancel = CancelFlag::default();
    cancel.cancel();
    let cancelled = rig.query.slot(&all.reader, &cancel).and_then(|slot| rig.query.logs_in(&slot, &all));
    assert!(matches!(cancelled, Err(QueryError::Cancelled)));
    let none = rig.query.logs(&LogRequest { limit: 0, ..all.clone() }).unwrap();
    assert_eq!(none.entries(), 0);
    let hasty = QueryConfig { timeout_ns: 0, threads: 1, ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(1), hasty);
    assert!(matches!(rig.query.logs(&all), Err(QueryError::TimedOut)));
    let small = QueryConfig { max_memory_bytes: 20_000, threads: 2, ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(2), small);
    many(&rig);
    let large = LogRequest { limit: 500, ..all };
    assert!(matches!(rig.query.logs(&large), Err(QueryError::TooLarge(20_000))));
    assert_eq!(rig.query.logs(&LogRequest { limit: 3, ..large }).unwrap().entries(), 3);
}

#[test]
fn many_queries_at_once_all_get_their_answer() {
    let config = QueryConfig { threads: 2, max_concurrent: 2, ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(4), config);
    many(&rig);
    std::thread::scope(|scope| {
        for i in 0..16 {
            let rig = &rig;
            scope.spawn(move || {
                let query = format!(r#"{{n="1"}} |= "line {} ""#, i % 10);
                let found = rig.logs(&query, TimeRange::ALL, 1000, Direction::Forward);
                assert_eq!(found.entries(), 100, "{query}");
            });
        }
    });
}

#[test]
fn labels_values_and_series_are_the_union_of_heads_and_segments() {
    let rig = Rig::new();
    rig.push(&[row(1, 5, "a")]);
    rig.engine.flush_all().unwrap();
    rig.push(&[row(2, 6, "b")]);
    let all = strandline_model::Selector::all();
    let reader = crate::Reader::of(super::rig::tenant());
    for _ in 0..2 {
        let names = rig.query.label_names(&slot(&rig.query), &reader, TimeRange::ALL, &all).unwrap().found;
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["env", "n"]);
        let values =
            rig.query.label_values(&slot(&rig.query), &reader, "n", TimeRange::ALL, &all).unwrap().found;
        assert_eq!(values.into_iter().collect::<Vec<_>>(), ["1", "2"]);
        let one = crate::parse_selector(r#"{n="1"}"#).unwrap();
        let two = crate::parse_selector(r#"{env="even"}"#).unwrap();
        assert_eq!(
            rig.query
                .series(&slot(&rig.query), &reader, TimeRange::ALL, &[one.clone(), two, one])
                .unwrap()
                .found
                .len(),
            2
        );
        rig.engine.rebuild_labels().unwrap();
    }
}

#[test]
fn lookups_end_when_told_and_are_bounded() {
    let rig = Rig::on(&SimDisk::new(5), QueryConfig { max_memory_bytes: 2_000, ..QueryConfig::default() });
    rig.push(&(0..50).map(|n| row(n, 1, "x")).collect::<Vec<_>>());
    let (reader, all) = (crate::Reader::of(super::rig::tenant()), strandline_model::Selector::all());
    let own = slot(&rig.query);
    let values = rig.query.label_values(&own, &reader, "n", TimeRange::ALL, &all);
    assert!(matches!(values, Err(QueryError::TooLarge(2_000))), "{values:?}");
    let series = rig.query.series(&own, &reader, TimeRange::ALL, std::slice::from_ref(&all));
    assert!(matches!(series, Err(QueryError::TooLarge(2_000))), "{series:?}");
    assert!(rig.query.label_names(&own, &reader, TimeRange::ALL, &all).is_ok());
    let cancel = CancelFlag::default();
    let gone = rig.query.slot(&reader, &cancel).unwrap();
    cancel.cancel();
    let names = rig.query.label_names(&gone, &reader, TimeRange::ALL, &all);
    assert!(matches!(names, Err(QueryError::Cancelled)), "{names:?}");
    let sets = rig.query.detected_labels(&gone, &reader, TimeRange::ALL, &all);
    assert!(matches!(sets, Err(QueryError::Cancelled)), "{sets:?}");
}

/// The error of a query that finds no memory at the moment.
fn no_memory() -> QueryError {
    QueryError::Memory(Exhausted { class: Class::Query, wanted: 1, bound: Bound::Class })
}

#[test]
fn a_query_that_starts_over_tells_of_the_run_that_it_answers_from() {
    let config =
        QueryConfig { threads: 1, memory: MemoryBudget::new(64 << 20, &[]), ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(6), config);
    let slot = slot(&rig.query);
    let mut runs = 0;
    let found = rig.query.counted(&slot, slot.deadline(), |stats| {
        runs += 1;
        stats.duplicates += 5;
        if runs == 1 { Err(no_memory()) } else { Ok(LogResult::default()) }
    });
    assert_eq!((runs, found.unwrap().stats.duplicates), (2, 5));
}

#[test]
fn a_query_starts_over_as_long_as_anybody_wants_its_answer() {
    let config =
        QueryConfig { threads: 1, memory: MemoryBudget::new(64 << 20, &[]), ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(6), config.clone());
    let cancel = CancelFlag::default();
    let own = rig.query.slot(&crate::Reader::of(super::rig::tenant()), &cancel).unwrap();
    // The first client has gone, another one joined.
    let (joint, other) = (CancelFlag::of_all(&cancel), CancelFlag::default());
    assert!(joint.join(&other));
    cancel.cancel();
    let deadline = Deadline { cancel: joint, ..own.deadline().clone() };
    // Others hold all that there is until it waits.
    let all: Vec<_> = (0..20)
        .map(|n| strandline_model::TenantId::new(&format!("t{n}")).unwrap())
        .map(|tenant| config.memory.lease(Class::Query, &tenant))
        .inspect(|lease| while lease.try_grow(4 << 10).is_ok() {})
        .collect();
    let waiting = || config.memory.usage().iter().any(|usage| usage.waiting > 0);
    let mut runs = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = std::time::Instant::now();
            while !waiting() && begun.elapsed().as_secs() < 60 {
                std::thread::yield_now();
            }
            drop(all);
        });
        let found = rig.query.counted(&own, &deadline, |_| {
            runs += 1;
            if runs == 1 { Err(no_memory()) } else { Ok(LogResult::default()) }
        });
        assert!(found.is_ok(), "{found:?}");
    });
    assert_eq!(runs, 2);
}

#[test]
fn the_expressions_of_a_tail_take_nothing_of_what_its_queues_are_sure_of() {
    let config =
        QueryConfig { threads: 1, memory: MemoryBudget::new(64 << 20, &[]), ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(6), config.clone());
    let reader = crate::Reader::of(super::rig::tenant());
    let used = |class: Class| {
        let usage = config.memory.usage().into_iter().find(|usage| usage.class == class);
        usage.map_or(0, |usage| usage.used)
    };
    let query = reader.log_query(r#"{n="1"} |~ "a.*b""#, &rig.query.tail_regexes(&reader)).unwrap();
    assert!(used(Class::Query) >= 32 << 10, "{}", used(Class::Query));
    assert_eq!(used(Class::Tail), 0);
    drop(query);
    assert_eq!(used(Class::Query), 0);
}
