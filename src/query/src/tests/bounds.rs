//! Does a query whose stages make much of few lines end before it holds more than it may?

use super::rig::{NOW, Rig, request, row, slot, tenant};
use crate::execute::Sink;
use crate::language::{LogQuery, Query};
use crate::logs::LogSink;
use crate::metric::{self, Steps};
use crate::samples::SampleSink;
use crate::scope::Scope;
use crate::{Direction, QueryConfig, QueryError, Reader};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::{MemoryBudget, TimeRange};
use strandline_simdisk::SimDisk;

const LINES: i64 = 40;
const MAX_BYTES: usize = 3 << 20;

/// A store with lines whose queries may hold three MiB.
fn rig() -> Rig {
    let config = QueryConfig { max_memory_bytes: MAX_BYTES, threads: 1, ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(3), config);
    rig.push(&(0..LINES).map(|i| row(1, NOW - i, "x")).collect::<Vec<_>>());
    rig
}

/// Looks through all lines in memory; how many of them passed before it ended.
fn looked_through(rig: &Rig, query: &LogQuery, sink: &impl Sink) -> u64 {
    let slot = slot(&rig.query);
    let part = Reader::of(tenant()).parts(query.selector()).remove(0);
    let scope: Scope = rig.query.scope(part, query, TimeRange::ALL, slot.deadline().clone(), slot.memory());
    for (i, head) in scope.view.heads.iter().enumerate() {
        sink.head(&scope, i, &Arc::clone(head)).unwrap();
    }
    assert!(matches!(scope.take_failure(), Some(QueryError::TooLarge(MAX_BYTES))));
    assert!(scope.is_over());
    scope.counters.lines_passed.load(Ordering::Relaxed)
}

#[test]
fn long_lines_of_templates_are_counted_as_they_are_made() {
    let rig = rig();
    let query = LogQuery::parse("{n=\"1\"} | line_format `{{repeat 1000000 \"x\"}}` |= `x`").unwrap();
    let sink = LogSink::new(1000, Direction::Backward);
    let passed = looked_through(&rig, &query, &sink);
    assert!((3..8).contains(&passed), "{passed}");
}

#[test]
fn long_labels_of_series_are_counted_as_they_are_made() {
    let rig = rig();
    let text = "count_over_time({n=\"1\"} | label_format x=`{{__timestamp__}}{{repeat 1000000 \"x\"}}` [1h])";
    let Query::Metric(query) = Query::parse(text).unwrap() else { panic!("no metric query") };
    let sink = SampleSink::new(&metric::leaves(query.expr())[0], Steps::range(NOW, 1, 1));
    let passed = looked_through(&rig, query.leaf(0).unwrap(), &sink);
    assert!((3..8).contains(&passed), "{passed}");
}

#[test]
fn fields_of_lines_are_held_beside_these() {
    let memory = MemoryBudget::new(64 << 20, &[]);
    let rig = Rig::on(&SimDisk::new(4), QueryConfig { memory: memory.clone(), ..QueryConfig::default() });
    let line = |i: i64| format!("{{\"a\":\"{}{i}\"}}", "x".repeat(2_000));
    rig.push(&(0..200).map(|i| row(1, NOW - i, &line(i))).collect::<Vec<_>>());
    let found = rig.query.logs(&request("{n=\"1\"}", TimeRange::ALL, 1000, Direction::Backward)).unwrap();
    let used = || memory.usage().iter().map(|usage| usage.used).sum::<usize>();
    let before = used();
    let slot = slot(&rig.query);
    let values = rig.query.detected_values(&found, "a", 1000, slot.deadline()).unwrap();
    assert_eq!(values.found.len(), 200);
    assert!(used() >= before + 200 * 2 * 2_000, "{} after {before}", used());
}
