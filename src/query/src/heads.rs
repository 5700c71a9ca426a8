//! Which entries in memory pass?

use crate::execute::Run;
use crate::merge::Found;
use crate::request::Direction;
use crate::stats::count;
use std::sync::Arc;
use strandline_store::head::{Head, HeadRows};

/// Rows between two looks at whether the query is still wanted.
const ROWS_PER_CHECK: usize = 4096;

/// Looks through a head, stream by stream, each from its better end, and hands over what passes.
pub(crate) fn scan(run: &Run, source: usize, head: &Arc<Head>) {
    let range = run.range_within(run.bound());
    // One label set stands once in each head: its place in the head's order makes arrival numbers unique.
    for rows in head.select(&run.tenant, range, run.query.selector()) {
        if run.is_given_up() {
            return;
        }
        run.take(scan_stream(run, source, &rows));
    }
}

fn scan_stream(run: &Run, source: usize, rows: &HeadRows) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let (mut n, mut bytes) = (0u64, 0u64);
    for step in 0..rows.len() {
        let i = match run.direction {
            Direction::Forward => step,
            Direction::Backward => rows.len() - 1 - step,
        };
        let key = run.direction.key(rows.ts(i));
        // Enough of this stream, and no tie with the last one.
        let enough = found.len() >= run.limit && found.last().is_some_and(|last| last.key != key);
        if enough || key < run.bound() || (step % ROWS_PER_CHECK == 0 && run.is_given_up()) {
            break;
        }
        let (line, metadata) = rows.content(i);
        n += 1;
        bytes += line.len() as u64;
        if run.query.takes(line) {
            found.push(Found {
                key,
                labels: Arc::clone(&rows.labels),
                arrival: (source as u64) << 40 | i as u64,
                line: line.into(),
                metadata: metadata.0.into(),
            });
        }
    }
    count(&run.counters.head_lines, n);
    count(&run.counters.head_bytes, bytes);
    count(&run.counters.lines_passed, found.len() as u64);
    found
}
