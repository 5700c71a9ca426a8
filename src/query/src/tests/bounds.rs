//! Does a query whose stages make much of few lines end before it holds more than it may?

use super::rig::{NOW, Rig, row, tenant, turn};
use crate::execute::Sink;
use crate::language::{LogQuery, Query};
use crate::logs::LogSink;
use crate::metric::{self, Steps};
use crate::samples::SampleSink;
use crate::scope::Scope;
use crate::{Direction, QueryConfig, QueryError, Reader};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::TimeRange;
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
    let turn = turn(&rig.query);
    let part = Reader::of(tenant()).parts(query.selector()).remove(0);
    let scope: Scope = rig.query.scope(part, query, TimeRange::ALL, turn.deadline().clone(), turn.memory());
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
    let sink = SampleSink::new(&rig.engine, &metric::leaves(query.expr())[0], Steps::range(NOW, 1, 1));
    let passed = looked_through(&rig, query.leaf(0).unwrap(), &sink);
    assert!((3..8).contains(&passed), "{passed}");
}
