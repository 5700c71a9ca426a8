//! The samples in memory. What segments or earlier heads hold too is left out: a client may have sent it again.

use super::series::Table;
use super::staged::{Line, Staging};
use super::{Measure, SampleSink};
use crate::scope::Scope;
use crate::stats::count;
use std::sync::Arc;
use strandline_store::head::{Head, HeadRows};

/// Reads a head, which is the `source`-th part of the view, behind all segments.
pub(super) fn read(sink: &SampleSink, scope: &Scope, source: usize, head: &Arc<Head>) {
    let mut streams = scope.select(head, scope.range);
    drop_repeats(sink, scope, source, head, &mut streams);
    for mut rows in streams {
        if scope.is_over() {
            return;
        }
        // Not before: repeats are found by the labels that are stored.
        rows.labels = scope.part.shown(rows.labels);
        sink.take(match scope.query.is_plain() {
            true => read_stream(sink, scope, &rows),
            false => read_stages(sink, scope, &rows),
        });
    }
}

fn drop_repeats(sink: &SampleSink, scope: &Scope, source: usize, head: &Head, streams: &mut [HeadRows]) {
    let view = &scope.view;
    sink.engine.drop_rows_of(&scope.part.tenant, &view.segments, &view.deletes, head, streams);
    let earlier = source.saturating_sub(view.segments.len());
    for head in view.heads.iter().take(earlier) {
        let theirs = scope.select(head, scope.range);
        let mut theirs = theirs.iter().peekable();
        // Both sides are sorted by labels.
        for rows in streams.iter_mut() {
            while theirs.next_if(|their| their.labels < rows.labels).is_some() {}
            if let Some(their) = theirs.next_if(|their| their.labels == rows.labels) {
                rows.drop_rows_of(their);
            }
        }
    }
}

fn read_stream(sink: &SampleSink, scope: &Scope, rows: &HeadRows) -> Table {
    let mut table = Table::default();
    let (mut bytes, mut passed) = (0, 0);
    let mut key = Vec::new();
    // Most lines of a stream have the metadata of the line before.
    let mut last: Option<(&[u8], usize)> = None;
    for i in 0..rows.len() {
        let (line, metadata) = rows.content(i);
        bytes += line.len() as u64;
        if !scope.query.takes(line) {
            continue;
        }
        passed += 1;
        let series = match last {
            Some((known, series)) if known == metadata.0 => series,
            _ => {
                sink.kept.pack_plain(&mut key, &rows.labels, metadata);
                table.index(&sink.keeping, &key)
            }
        };
        last = Some((metadata.0, series));
        let value = match sink.measure {
            Measure::Lines => 1.0,
            Measure::Bytes => line.len() as f64,
        };
        if let Some(samples) = table.get(series) {
            samples.add(&sink.keeping, rows.ts(i), value);
        }
    }
    count(&scope.counters.head_lines, rows.len() as u64);
    count(&scope.counters.head_bytes, bytes);
    count(&scope.counters.lines_passed, passed);
    table
}

fn read_stages(sink: &SampleSink, scope: &Scope, rows: &HeadRows) -> Table {
    let mut staging = Staging::new(sink, scope);
    let mut bytes = 0;
    for i in 0..rows.len() {
        let (line, metadata) = rows.content(i);
        bytes += line.len() as u64;
        if scope.query.takes(line) {
            staging.add(rows.ts(i), Line { text: line, len: line.len() }, &rows.labels, metadata);
        }
    }
    count(&scope.counters.head_lines, rows.len() as u64);
    count(&scope.counters.head_bytes, bytes);
    staging.finish()
}
