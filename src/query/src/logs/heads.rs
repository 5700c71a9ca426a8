//! Which entries in memory pass?

use super::LogSink;
use super::best::Found;
use crate::execute::Sink;
use crate::request::Direction;
use crate::scope::Scope;
use crate::stats::count;
use std::sync::Arc;
use strandline_store::head::{Head, HeadRows};

/// Rows between two looks at whether the query is still wanted.
const ROWS_PER_CHECK: usize = 4096;

/// Looks through a head, stream by stream, each from its better end, and hands over what passes.
pub(super) fn scan(sink: &LogSink, scope: &Scope, source: usize, head: &Arc<Head>) {
    let range = sink.range_within(scope.range);
    // One label set stands once in each head: its place in the head's order makes arrival numbers unique.
    for rows in head.select(&scope.tenant, range, scope.query.selector()) {
        if scope.is_over() {
            return;
        }
        sink.take(scan_stream(sink, scope, source, &rows));
    }
}

fn scan_stream(sink: &LogSink, scope: &Scope, source: usize, rows: &HeadRows) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let (mut n, mut bytes) = (0u64, 0u64);
    for step in 0..rows.len() {
        let i = match sink.direction {
            Direction::Forward => step,
            Direction::Backward => rows.len() - 1 - step,
        };
        let key = sink.direction.key(rows.ts(i));
        // Enough of this stream, and no tie with the last one.
        let enough = found.len() >= sink.limit && found.last().is_some_and(|last| last.key != key);
        if enough || key < sink.bound() || (step % ROWS_PER_CHECK == 0 && scope.is_over()) {
            break;
        }
        let (line, metadata) = rows.content(i);
        n += 1;
        bytes += line.len() as u64;
        if scope.query.takes(line) {
            found.push(Found {
                key,
                labels: Arc::clone(&rows.labels),
                arrival: (source as u64) << 40 | i as u64,
                line: line.into(),
                metadata: metadata.0.into(),
            });
        }
    }
    count(&scope.counters.head_lines, n);
    count(&scope.counters.head_bytes, bytes);
    count(&scope.counters.lines_passed, found.len() as u64);
    found
}
