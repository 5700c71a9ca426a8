//! Which entries in memory pass?

use super::best::Hit;
use super::collected::LogSink;
use super::staged::{self, Entry, Judge};
use crate::request::Direction;
use crate::scope::{Looks, Scope};
use crate::stats::count;
use std::sync::Arc;
use strandline_model::Metadata;
use strandline_store::head::{Head, HeadRows};

/// Looks through a head, stream by stream, each from its better end, and hands over what passes.
pub(super) fn scan(sink: &LogSink, scope: &Scope, source: usize, head: &Arc<Head>) {
    let range = sink.range_within(scope.range);
    // One label set stands once in each head: its place in the head's order makes arrival numbers unique.
    for mut rows in scope.select(head, range) {
        if scope.is_over() {
            return;
        }
        rows.labels = scope.part.shown(rows.labels);
        sink.take(scan_stream(sink, scope, source, &rows));
    }
}

fn scan_stream(sink: &LogSink, scope: &Scope, source: usize, rows: &HeadRows) -> Vec<Hit> {
    let (mut n, mut bytes) = (0u64, 0u64);
    let mut looks = Looks::new(scope);
    let entries = (0..rows.len()).map_while(|step| {
        let i = match sink.direction() {
            Direction::Forward => step,
            Direction::Backward => rows.len() - 1 - step,
        };
        let ts = rows.ts(i);
        let key = sink.direction().key(ts);
        if key < sink.bound() {
            return None;
        }
        let (line, metadata) = rows.content(i);
        if looks.is_over(line.len()) {
            return None;
        }
        n += 1;
        bytes += line.len() as u64;
        let arrival = (source as u64) << 40 | i as u64;
        let entry = Entry { key, ts, labels: &rows.labels, arrival, line, metadata };
        Some(scope.takes(line).then_some(entry))
    });
    let judge = Judge::new(scope);
    let found = match (scope.query.keeps_all(), scope.query.looks_at_labels_only()) {
        (true, _) => plain(entries.flatten(), sink.limit()),
        (false, true) => {
            let takes = |entry: &Entry<'_, _>| judge.takes(entry.labels, entry.metadata);
            plain(entries.flatten().filter(takes), sink.limit())
        }
        (false, false) => staged::run(scope, entries.flatten(), sink),
    };
    count(&scope.counters.head_lines, n);
    count(&scope.counters.head_bytes, bytes);
    count(&scope.counters.lines_passed, found.len() as u64);
    found
}

fn plain<'a>(entries: impl Iterator<Item = Entry<'a, Metadata<'a>>>, limit: usize) -> Vec<Hit> {
    let mut found: Vec<Hit> = Vec::new();
    for entry in entries {
        // Enough of this stream, and no tie with the last one.
        if found.len() >= limit && found.last().is_some_and(|last| last.key != entry.key) {
            break;
        }
        found.push(Hit {
            key: entry.key,
            labels: Arc::clone(entry.labels),
            arrival: entry.arrival,
            line: entry.line.into(),
            metadata: entry.metadata.0.into(),
            identity: 0,
            shown: None,
        });
    }
    found
}
