//! Which entries of one block pass?
//!
//! Times and streams are decoded first, lines only if any row is left, metadata only for rows that passed the filters.
//! Where a line must contain some literal, the literal is searched in the whole line column and hits are mapped to
//! rows; whatever way a row was found, the filters then judge its own bytes.

use crate::execute::Run;
use crate::language::Search;
use crate::merge::Found;
use crate::plan::SegmentPlan;
use crate::stats::count;
use std::ops::Range;
use std::sync::Arc;
use strandline_model::Labels;
use strandline_store::StoreError;
use strandline_store::segment::{Block, Columns};

const PLACES: Columns = Columns { times: true, streams: true, lengths: false, lines: false, metadata: false };
const LINES: Columns = Columns { times: false, streams: false, lengths: true, lines: true, metadata: false };
const METADATA: Columns =
    Columns { times: false, streams: false, lengths: false, lines: false, metadata: true };

/// Neighboring rows of one stream.
struct Rows<'p> {
    labels: &'p Arc<Labels>,
    rows: Range<usize>,
}

/// A row that passed.
struct Passed<'p> {
    key: i64,
    row: usize,
    labels: &'p Arc<Labels>,
}

/// The entries of a block that may be in the answer.
pub(crate) fn scan(run: &Run, plan: &SegmentPlan, index: u32, bound: i64) -> Result<Vec<Found>, StoreError> {
    let places = plan.segment.block(index as usize, PLACES)?;
    let rows = candidate_rows(run, plan, &places, bound);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let lines = plan.segment.block(index as usize, LINES)?;
    count(&run.counters.blocks, 1);
    let mut passed = filter_rows(run, &places, &lines, &rows);
    count(&run.counters.lines_passed, passed.len() as u64);
    keep_best(&mut passed, run.limit);
    if passed.is_empty() {
        return Ok(Vec::new());
    }
    let metadata = plan.segment.block(index as usize, METADATA)?;
    let arrival = (plan.source as u64) << 40 | u64::from(index) << 16;
    let mut packed = Vec::new();
    let found = passed.iter().map(|p| Found {
        key: p.key,
        labels: Arc::clone(p.labels),
        arrival: arrival | p.row as u64,
        line: lines.line(p.row).into(),
        metadata: metadata.packed_metadata(p.row, &mut packed).0.into(),
    });
    Ok(found.collect())
}

/// Rows of selected streams that lie in the range and can still beat the bound.
fn candidate_rows<'p>(run: &Run, plan: &'p SegmentPlan, places: &Block, bound: i64) -> Vec<Rows<'p>> {
    let range = run.range_within(bound);
    let mut found = Vec::new();
    for at in &places.runs {
        let Some(labels) = plan.streams.get(at.stream) else { continue };
        let (start, end) = (at.start as usize, (at.start + at.rows) as usize);
        let times = places.times.get(start..end).unwrap_or_default();
        let first = start + times.partition_point(|ts| *ts < range.start);
        let last = start + times.partition_point(|ts| *ts < range.end);
        if first < last {
            found.push(Rows { labels, rows: first..last });
        }
    }
    found
}

fn filter_rows<'p>(run: &Run, places: &Block, lines: &Block, rows: &[Rows<'p>]) -> Vec<Passed<'p>> {
    let mut passed = Vec::new();
    let (mut n, mut bytes) = (0, 0);
    for part in rows {
        let span = line_span(lines, &part.rows);
        n += part.rows.len() as u64;
        // Each line is followed by a newline.
        bytes += (span.len() - part.rows.len()) as u64;
        let mut take = |row: usize| {
            let ts = places.times.get(row).copied().unwrap_or_default();
            passed.push(Passed { key: run.direction.key(ts), row, labels: part.labels });
        };
        let text = lines.lines.get(span).unwrap_or_default();
        let mut judge = |row: usize| {
            if run.query.takes(lines.line(row)) {
                take(row);
            }
        };
        match run.query.search() {
            Search::All => part.rows.clone().for_each(take),
            Search::EachLine => part.rows.clone().for_each(judge),
            Search::Literal(literal) => {
                let next = |from: usize| Some(from + literal.find(text.get(from..)?)?);
                rows_with_hits(&lines.starts, &part.rows, next, judge);
            }
            Search::Pattern(regex) => {
                // Where the shortest match ends: no row before that one has a match of its own.
                let next =
                    |from: usize| Some(from.max(regex.shortest_match_at(text, from)?.saturating_sub(1)));
                rows_with_hits(&lines.starts, &part.rows, next, &mut judge);
            }
        }
    }
    count(&run.counters.lines, n);
    count(&run.counters.bytes, bytes);
    passed
}

/// Where the lines of `rows` lie in the line column.
fn line_span(lines: &Block, rows: &Range<usize>) -> Range<usize> {
    let at = |row: usize| lines.starts.get(row).map_or(0, |start| *start as usize);
    at(rows.start)..at(rows.end)
}

/// Calls `each` with every row that has a hit. `next` finds the first hit from some place on in the text of `rows`, and
/// after each the search goes on in the row behind it. A hit may lie across the end of a row: `each` judges the row's own
/// bytes.
fn rows_with_hits(
    starts: &[u32],
    rows: &Range<usize>,
    next: impl Fn(usize) -> Option<usize>,
    mut each: impl FnMut(usize),
) {
    let base = starts.get(rows.start).map_or(0, |start| *start as usize);
    let (mut from, mut row) = (0, rows.start);
    while row < rows.end
        && let Some(hit) = next(from)
    {
        let at = base + hit;
        // Most hits are near: look at the next rows before searching all of them.
        let mut step = 1;
        while starts.get(row + step).is_some_and(|start| *start as usize <= at) {
            row += step;
            step *= 2;
        }
        let ahead = starts.get(row + 1..(row + step + 1).min(starts.len())).unwrap_or_default();
        row += ahead.partition_point(|start| *start as usize <= at);
        if row >= rows.end {
            break;
        }
        each(row);
        row += 1;
        from = starts.get(row).map_or(usize::MAX, |start| *start as usize - base);
    }
}

/// Of the rows keeps those that can be among the best `limit` of this block alone, with all that are tied with the
/// last of them.
fn keep_best(passed: &mut Vec<Passed<'_>>, limit: usize) {
    if passed.len() <= limit || limit == 0 {
        return;
    }
    let mut keys: Vec<i64> = passed.iter().map(|p| p.key).collect();
    let (_, last, _) = keys.select_nth_unstable_by(limit - 1, |a, b| b.cmp(a));
    let last = *last;
    passed.retain(|p| p.key >= last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use memchr::memmem::Finder;
    use proptest::prelude::*;

    fn column(lines: &[String]) -> Block {
        let mut block = Block { rows: lines.len(), starts: vec![0], ..Block::default() };
        for line in lines {
            block.lines.extend_from_slice(line.as_bytes());
            block.lines.push(b'\n');
            block.starts.push(block.lines.len() as u32);
        }
        block
    }

    fn rows_of(
        lines: &[String],
        cut: (usize, usize),
        next: impl Fn(&[u8], usize) -> Option<usize>,
    ) -> (Range<usize>, Vec<usize>) {
        let block = column(lines);
        let start = cut.0 % lines.len();
        let rows = start..start + cut.1 % (lines.len() - start) + 1;
        let text = &block.lines[line_span(&block, &rows)];
        let mut found = Vec::new();
        rows_with_hits(&block.starts, &rows, |from| next(text, from), |row| found.push(row));
        assert!(found.iter().all(|row| rows.contains(row)) && found.is_sorted());
        (rows, found)
    }

    proptest! {
        #[test]
        fn hits_name_every_row_that_holds_the_literal(
            lines in proptest::collection::vec("[ab\n]{0,6}", 1..40),
            literal in "[ab\n]{1,3}",
            cut in any::<(usize, usize)>(),
        ) {
            let finder = Finder::new(literal.as_bytes());
            let (rows, mut found) =
                rows_of(&lines, cut, |text, from| Some(from + finder.find(text.get(from..)?)?));
            found.retain(|row| lines[*row].contains(&literal));
            let model: Vec<usize> = rows.filter(|row| lines[*row].contains(&literal)).collect();
            prop_assert_eq!(found, model);
        }

        #[test]
        fn shortest_matches_name_every_row_that_matches(
            lines in proptest::collection::vec("[abc\n]{0,6}", 1..40),
            pattern in prop_oneof![
                Just("a[^b]*c"), Just("(?s)a.*b"), Just("b*"), Just("a\nb|c"), Just("[ab]{3}"), Just("a.?b")
            ],
            cut in any::<(usize, usize)>(),
        ) {
            let regex = regex::bytes::Regex::new(pattern).unwrap();
            let (rows, mut found) = rows_of(&lines, cut, |text, from| {
                Some(from.max(regex.shortest_match_at(text, from)?.saturating_sub(1)))
            });
            let matches = |row: &usize| regex.is_match(lines[*row].as_bytes());
            found.retain(matches);
            prop_assert_eq!(found, rows.filter(matches).collect::<Vec<_>>());
        }

        #[test]
        fn the_best_of_a_block_keep_their_ties(keys in proptest::collection::vec(0i64..6, 0..40), limit in 1usize..10) {
            let labels = Arc::new(Labels::from_pairs::<&str, &str>(&[]).unwrap());
            let mut passed: Vec<Passed<'_>> =
                keys.iter().enumerate().map(|(row, key)| Passed { key: *key, row, labels: &labels }).collect();
            keep_best(&mut passed, limit);
            let mut sorted = keys.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let last = sorted.get(limit - 1).copied().unwrap_or(i64::MIN);
            prop_assert_eq!(passed.len(), keys.iter().filter(|k| **k >= last).count());
        }
    }
}
