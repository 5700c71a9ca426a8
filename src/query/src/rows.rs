//! Which rows of a block can matter, and which of them pass the line filters?
//!
//! Times and streams are decoded first, lines only if any row is left. Where a line must contain some literal, it is
//! searched in the whole line column and hits are mapped to rows; whatever way a row was found, the filters then judge
//! its own bytes.

use crate::plan::{SegmentPlan, Streams};
use crate::scope::Scope;
use crate::search::Search;
use crate::stats::count;
use std::ops::Range;
use std::sync::Arc;
use strandline_model::{Labels, TimeRange};
use strandline_store::StoreError;
use strandline_store::deletes::BlockHiding;
use strandline_store::segment::Block;
pub(crate) use strandline_store::segment::Columns;

/// When and of which stream each row is: enough to tell which rows matter.
pub(crate) const TIMES_AND_STREAMS: Columns =
    Columns { times: true, streams: true, lengths: false, lines: false, metadata: false };
/// How long each line is, for counts of bytes that look at no text.
pub(crate) const LENGTHS: Columns =
    Columns { times: false, streams: false, lengths: true, lines: false, metadata: false };
/// The lines, which are cut out of their column by their lengths.
pub(crate) const LINES: Columns =
    Columns { times: false, streams: false, lengths: true, lines: true, metadata: false };
/// The structured metadata alone, for rows that have passed the filters already.
pub(crate) const METADATA: Columns =
    Columns { times: false, streams: false, lengths: false, lines: false, metadata: true };

/// Bytes of lines that are searched between two looks at whether the query is still wanted, times the weight of
/// their patterns.
const PIECE_BYTES: u32 = 64 << 10;

/// Neighboring rows of one stream.
#[derive(Debug)]
pub(crate) struct Rows<'p> {
    pub(crate) labels: &'p Arc<Labels>,
    pub(crate) rows: Range<usize>,
}

/// Rows of selected streams that lie in `range`.
fn candidates<'p>(streams: &'p Streams, places: &Block, range: TimeRange) -> Vec<Rows<'p>> {
    let mut found = Vec::new();
    for at in &places.runs {
        let Some(labels) = streams.get(at.stream) else { continue };
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

/// Rows of selected streams that lie in `range` and are not deleted.
pub(crate) fn visible<'p>(
    scope: &Scope,
    plan: &SegmentPlan,
    index: u32,
    streams: &'p Streams,
    places: &Block,
    range: TimeRange,
) -> Result<Vec<Rows<'p>>, StoreError> {
    let found = candidates(streams, places, range);
    if plan.hidden.is_empty() || found.is_empty() {
        return Ok(found);
    }
    let mut block = BlockHiding::new(&plan.hidden, &plan.segment, index as usize, places);
    let mut visible = Vec::with_capacity(found.len());
    for Rows { labels, rows } in found {
        let stored = scope.part.stored(labels);
        visible.extend(block.visible(&stored, rows)?.into_iter().map(|rows| Rows { labels, rows }));
    }
    Ok(visible)
}

/// Calls `each` with every row that passes the line filters, part by part, ascending within each.
pub(crate) fn filtered<'p>(
    scope: &Scope,
    search: &Search,
    lines: &Block,
    rows: &'p [Rows<'p>],
    mut each: impl FnMut(&'p Arc<Labels>, usize),
) {
    let (mut n, mut bytes) = (0, 0);
    let weight = scope.query.pipeline().line_filters().weight();
    let piece = PIECE_BYTES / u32::try_from(weight).unwrap_or(u32::MAX);
    for (part, rows) in
        rows.iter().flat_map(|part| pieces(lines, &part.rows, piece).map(move |rows| (part, rows)))
    {
        if scope.is_over() {
            break;
        }
        let part = Rows { labels: part.labels, rows };
        let span = line_span(lines, &part.rows);
        n += part.rows.len() as u64;
        // Each line is followed by a newline.
        bytes += (span.len() - part.rows.len()) as u64;
        let text = lines.lines.get(span).unwrap_or_default();
        let mut judge = |row: usize| {
            if scope.takes(lines.line(row)) {
                each(part.labels, row);
            }
        };
        match search {
            Search::All => part.rows.clone().for_each(|row| each(part.labels, row)),
            Search::EachLine => part.rows.clone().for_each(judge),
            Search::Literal(literal) => {
                let next = |from: usize| Some(from + literal.find(text.get(from..)?)?);
                with_hits(&lines.starts, &part.rows, next, judge);
            }
            Search::Pattern(regex) => {
                // Where the shortest match ends: no row before that one has a match of its own.
                let next =
                    |from: usize| Some(from.max(regex.shortest_match_at(text, from)?.saturating_sub(1)));
                with_hits(&lines.starts, &part.rows, next, &mut judge);
            }
        }
    }
    count(&scope.counters.segment_lines, n);
    count(&scope.counters.segment_bytes, bytes);
}

/// Cuts rows into pieces that are searched one after the other: an expensive pattern must not keep a query that nobody
/// waits for any more.
fn pieces(lines: &Block, rows: &Range<usize>, bytes: u32) -> impl Iterator<Item = Range<usize>> {
    let (mut from, end) = (rows.start, rows.end);
    std::iter::from_fn(move || {
        let rest = lines.starts.get(from..end).filter(|rest| !rest.is_empty())?;
        let until = rest.first()?.saturating_add(bytes);
        let piece = from..from + rest.partition_point(|start| *start < until).max(1);
        from = piece.end;
        Some(piece)
    })
}

/// Where the lines of `rows` lie in the line column.
fn line_span(lines: &Block, rows: &Range<usize>) -> Range<usize> {
    let at = |row: usize| lines.starts.get(row).map_or(0, |start| *start as usize);
    at(rows.start)..at(rows.end)
}

/// Calls `each` with every row that has a hit. `next` finds the first hit from some place on in the text of `rows`, and
/// after each the search goes on in the row behind it. A hit may lie across the end of a row: `each` judges the row's own
/// bytes.
fn with_hits(
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
        with_hits(&block.starts, &rows, |from| next(text, from), |row| found.push(row));
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
    }
}
