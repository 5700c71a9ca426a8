//! Samples of lines that go through the stages of the query: each line is a row, and what is left of its labels tells
//! its series.

use super::collected::{Measure, SampleSink};
use super::series::Table;
use crate::error::QueryError;
use crate::execute::Sink;
use crate::plan::SegmentPlan;
use crate::rows::{self, LENGTHS, LINES, TIMES_AND_STREAMS};
use crate::scope::{Gathering, Scope};
use crate::search::Search;
use crate::stats::count;
use std::fmt::Write;
use strandline_logql::{Label, Row};
use strandline_model::Labels;
use strandline_model::labels::write_quoted;
use strandline_store::StoreError;
use strandline_store::segment::{Block, MetadataColumn};

/// Rows between two looks at whether the query is still wanted.
const ROWS_PER_CHECK: usize = 4;

/// Reads a block.
pub(super) fn read(
    sink: &SampleSink,
    scope: &Scope,
    plan: &SegmentPlan,
    index: u32,
) -> Result<Table, StoreError> {
    let streams = plan.streams_of(scope, index)?;
    if streams.is_empty() {
        return Ok(Table::default());
    }
    let places = plan.segment.block(index as usize, TIMES_AND_STREAMS)?;
    let rows = rows::visible(scope, plan, index, &streams, &places, scope.range)?;
    if rows.is_empty() {
        return Ok(Table::default());
    }
    count(&scope.counters.blocks, 1);
    let search = scope.query.search(plan.of_lines);
    let lines = plan.segment.block(index as usize, columns(sink, scope, search))?;
    let reads = |name: &str| scope.query.reads_metadata(name) || sink.kept.may_keep_metadata(name);
    let metadata = plan.segment.metadata(index as usize, reads)?;
    let mut staging = Staging::new(sink, scope);
    rows::filtered(scope, search, &lines, &rows, |labels, row| {
        let ts = places.times.get(row).copied().unwrap_or_default();
        staging.add(ts, line_of(&lines, row), labels, values(&metadata, row));
    });
    Ok(staging.finish())
}

/// What must be read of lines: all, their lengths, or nothing.
fn columns(sink: &SampleSink, scope: &Scope, search: &Search) -> rows::Columns {
    let unfiltered = matches!(search, Search::All);
    match sink.measure {
        _ if !unfiltered || scope.query.pipeline().needs_line() => LINES,
        Measure::Lines | Measure::Bytes => LENGTHS,
    }
}

fn line_of(lines: &Block, row: usize) -> Line<'_> {
    Line { text: lines.line(row), len: lines.line_len(row) as usize }
}

/// The metadata of a row, as far as it was read.
fn values(columns: &[MetadataColumn], row: usize) -> impl Iterator<Item = (&str, &str)> {
    columns.iter().filter_map(move |column| Some((&*column.name, column.get(row)?)))
}

/// A stored line. Its text may be missing if nobody asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    pub(super) len: usize,
}

/// Puts rows into the series that they belong to behind the stages.
pub(super) struct Staging<'s, 'a> {
    sink: &'s SampleSink,
    scope: &'s Scope,
    row: Option<Row<'a>>,
    table: Table,
    gathering: Gathering<'s>,
    key: Vec<u8>,
    /// The key of the last row and its series.
    last: (Vec<u8>, usize),
    /// Rows so far, and how many of them gave a sample.
    seen: usize,
    passed: u64,
    over: bool,
}

impl<'s, 'a> Staging<'s, 'a> {
    pub(super) fn new(sink: &'s SampleSink, scope: &'s Scope) -> Self {
        Self {
            sink,
            scope,
            row: None,
            table: Table::default(),
            gathering: Gathering::new(scope),
            key: Vec::new(),
            last: (Vec::new(), usize::MAX),
            seen: 0,
            passed: 0,
            over: false,
        }
    }

    /// Takes a row that has passed the line filters.
    pub(super) fn add(
        &mut self,
        ts: i64,
        line: Line<'a>,
        labels: &'a Labels,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        if self.seen.is_multiple_of(ROWS_PER_CHECK) {
            self.over |= self.sink.has_failed() || self.scope.is_over();
        }
        self.seen += 1;
        if self.over {
            return;
        }
        let row = match &mut self.row {
            Some(row) => {
                row.reset(ts, line.text, labels, metadata);
                row
            }
            none => none.insert(Row::new(ts, self.scope.wall_ns, line.text, labels, metadata)),
        };
        let scope = self.scope;
        if !scope.query.pipeline().process_until(row, &|| scope.is_over()) {
            return;
        }
        let value = match (self.scope.query.unwrapped(), self.sink.measure) {
            // Whether the label stays is settled by the grouping.
            (Some(unwrapped), _) => unwrapped.sample(row, true),
            (None, Measure::Lines) => Some(1.0),
            (None, Measure::Bytes) => {
                Some(if row.stored_line().is_some() { line.len } else { row.line().len() } as f64)
            }
        };
        let Some(value) = value else { return };
        if fails(self.scope, row) {
            if self.sink.keeping.buckets.of(ts).is_some() {
                self.over = true;
                self.sink.fail(|| pipeline_error(row));
            }
            return;
        }
        self.passed += 1;
        self.sink.kept.pack_row(&mut self.key, row);
        if self.last.1 == usize::MAX || self.last.0 != self.key {
            let series = self.table.index(&self.sink.keeping, &self.key);
            std::mem::swap(&mut self.last.0, &mut self.key);
            self.last.1 = series;
            self.over |= self.gathering.grown_to(self.table.bytes(), self.sink.bytes());
        }
        if let Some(samples) = self.table.get(self.last.1) {
            samples.add(&self.sink.keeping, ts, value);
        }
    }

    pub(super) fn finish(self) -> Table {
        count(&self.scope.counters.lines_passed, self.passed);
        self.table
    }
}

/// Whether the row fails the query, if any window holds it.
pub(super) fn fails(scope: &Scope, row: &Row<'_>) -> bool {
    row.error().is_some_and(|error| scope.query.errors.includes(error))
}

/// A line with an error cannot be counted silently, and not be left out silently either.
pub(super) fn pipeline_error(row: &Row<'_>) -> QueryError {
    let error = row.error().unwrap_or_default();
    let mut labels: Vec<Label<'_>> = Vec::new();
    row.sorted_labels(&mut labels);
    let mut text = String::new();
    for (i, label) in labels.iter().enumerate() {
        // Writing into a string does not fail.
        let _ = write!(text, "{}{}=", if i > 0 { ", " } else { "" }, label.name);
        let _ = write_quoted(&mut text, label.value);
    }
    QueryError::Pipeline(format!(
        "pipeline error: '{error}' for series: '{{{text}}}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    ))
}
