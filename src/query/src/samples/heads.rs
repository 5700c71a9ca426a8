//! The samples in memory.

use super::collected::{Measure, SampleSink};
use super::series::Table;
use super::staged::{Line, Staging};
use crate::fresh;
use crate::scope::{Looks, Scope};
use crate::stats::count;
use std::sync::Arc;
use strandline_store::head::{Head, HeadRows};

/// Reads a head, which is the `source`-th part of the view, behind all segments.
pub(super) fn read(sink: &SampleSink, scope: &Scope, source: usize, head: &Arc<Head>) {
    let streams = fresh::select(scope, source, head);
    tell_of_repeats(scope, &streams);
    for rows in &streams {
        if scope.is_over() {
            return;
        }
        sink.take(match scope.query.is_plain() {
            true => read_stream(sink, scope, rows),
            false => read_stages(sink, scope, rows),
        });
    }
}

/// What a damaged segment holds too is left in the head, which is right as long as the segment's rows are read. Its table may
/// have been counted before anybody knew of the damage.
fn tell_of_repeats(scope: &Scope, streams: &[HeadRows]) {
    for handle in scope.view.segments.iter().filter(|handle| handle.is_damaged()) {
        let (first, last) = handle.meta().time;
        let overlaps =
            |rows: &HeadRows| !rows.is_empty() && rows.ts(0) <= last && rows.ts(rows.len() - 1) >= first;
        if streams.iter().any(overlaps) {
            let id = handle.meta().id;
            scope.damage.tell(format!(
                "segment {id} is damaged: lines of it that were sent again may be counted twice"
            ));
        }
    }
}

fn read_stream(sink: &SampleSink, scope: &Scope, rows: &HeadRows) -> Table {
    let mut table = Table::default();
    let (mut bytes, mut passed) = (0, 0);
    let mut key = Vec::new();
    let mut looks = Looks::new(scope);
    // Most lines of a stream have the metadata of the line before.
    let mut last: Option<(&[u8], usize)> = None;
    for i in 0..rows.len() {
        let (line, metadata) = rows.content(i);
        bytes += line.len() as u64;
        if looks.is_over(line.len()) {
            break;
        }
        if !scope.takes(line) {
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
    let mut looks = Looks::new(scope);
    let mut bytes = 0;
    for i in 0..rows.len() {
        let (line, metadata) = rows.content(i);
        bytes += line.len() as u64;
        if looks.is_over(line.len()) {
            break;
        }
        if scope.takes(line) {
            staging.add(rows.ts(i), Line { text: line, len: line.len() }, &rows.labels, metadata);
        }
    }
    count(&scope.counters.head_lines, rows.len() as u64);
    count(&scope.counters.head_bytes, bytes);
    staging.finish()
}
