//! The samples of a block where stages, if any, look at labels alone: counted by runs of rows that have the same ones,
//! lines read for their filters only.

use super::collected::{Measure, SampleSink};
use super::keys::shown_name;
use super::series::Table;
use super::staged::{fails, pipeline_error};
use crate::plan::{SegmentPlan, Streams};
use crate::rows::{self, LENGTHS, LINES, Rows, TIMES_AND_STREAMS};
use crate::scope::Scope;
use crate::search::Search;
use crate::stats::count;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::ops::Range;
use strandline_logql::Row;
use strandline_model::Labels;
use strandline_store::StoreError;
use strandline_store::segment::{Block, MetadataColumn};

/// Which values of the kept metadata a row has.
pub(super) type Codes = SmallVec<[u32; 4]>;

/// Reads a block; `streams` are the selected ones.
pub(super) fn read(
    sink: &SampleSink,
    scope: &Scope,
    plan: &SegmentPlan,
    streams: &Streams,
    index: u32,
) -> Result<Table, StoreError> {
    if streams.is_empty() {
        return Ok(Table::default());
    }
    let places = plan.segment.block(index as usize, TIMES_AND_STREAMS)?;
    let rows = rows::visible(scope, plan, index, streams, &places, scope.range)?;
    if rows.is_empty() {
        return Ok(Table::default());
    }
    count(&scope.counters.blocks, 1);
    let all = matches!(scope.query.search(false), Search::All);
    let lines = match (all, sink.measure) {
        (false, _) => plan.segment.block(index as usize, LINES)?,
        (true, Measure::Bytes) => plan.segment.block(index as usize, LENGTHS)?,
        (true, Measure::Lines) => Block::default(),
    };
    let metadata = plan.segment.metadata(index as usize, |name| reads(sink, scope, name))?;
    let mut reading = Reading::new(sink, scope, (&places, &lines), &metadata, Table::default());
    for part in &rows {
        if sink.has_failed() {
            break;
        }
        let mut stream = StreamKeys::new(sink, scope, part.labels, &metadata);
        if all {
            count(&scope.counters.segment_lines, part.rows.len() as u64);
            reading.add(&mut stream, part.rows.clone());
        } else {
            reading.add_filtered(&mut stream, part);
        }
    }
    Ok(reading.table)
}

/// Whether metadata of this name matters to the stages or tells series apart.
pub(super) fn reads(sink: &SampleSink, scope: &Scope, name: &str) -> bool {
    sink.kept.may_keep_metadata(name) || (!scope.query.is_plain() && scope.query.reads_metadata(name))
}

/// A block on its way into series.
pub(super) struct Reading<'a> {
    sink: &'a SampleSink,
    scope: &'a Scope,
    places: &'a Block,
    /// Lines, or their lengths only, or nothing.
    lines: &'a Block,
    metadata: &'a [MetadataColumn],
    pub(super) table: Table,
    /// Room for keys.
    key: Vec<u8>,
    /// Room for labels on their way through the stages.
    row: Option<Row<'a>>,
}

impl<'a> Reading<'a> {
    /// A reading of the block with these columns into `table`.
    pub(super) fn new(
        sink: &'a SampleSink,
        scope: &'a Scope,
        (places, lines): (&'a Block, &'a Block),
        metadata: &'a [MetadataColumn],
        table: Table,
    ) -> Self {
        Self { sink, scope, places, lines, metadata, table, key: Vec::new(), row: None }
    }

    fn add_filtered(&mut self, stream: &mut StreamKeys<'a>, part: &Rows<'_>) {
        let scope = self.scope;
        let mut run = part.rows.start..part.rows.start;
        rows::filtered(scope, scope.query.search(false), self.lines, std::slice::from_ref(part), |_, row| {
            if row != run.end {
                let done = std::mem::replace(&mut run, row..row);
                self.add(stream, done);
            }
            run.end = row + 1;
        });
        self.add(stream, run);
    }

    /// Adds neighboring rows of one stream.
    fn add(&mut self, stream: &mut StreamKeys<'a>, rows: Range<usize>) {
        if stream.columns.is_empty() && self.scope.query.is_plain() {
            self.sink.kept.pack_stream(&mut self.key, stream.labels);
            let series = self.table.index(&self.sink.keeping, &self.key);
            return self.add_to(series, rows);
        }
        let mut from = rows.start;
        while from < rows.end {
            let codes = stream.codes(self.metadata, from);
            let same = |row: &usize| stream.has_codes(self.metadata, *row, &codes);
            let to = from + 1 + (from + 1..rows.end).take_while(same).count();
            match self.series(stream, &codes) {
                Outcome::Series(series) => self.add_to(series, from..to),
                Outcome::Failing => self.fail(stream, &codes, from..to),
                Outcome::Dropped => {}
            }
            from = to;
        }
    }

    /// What becomes of a stream's rows with these values.
    pub(super) fn series(&mut self, stream: &mut StreamKeys<'a>, codes: &Codes) -> Outcome {
        if let Some((last, series)) = &stream.last
            && last == codes
        {
            return *series;
        }
        let series = match stream.known.get(codes) {
            Some(series) => *series,
            None => {
                let series = if self.scope.query.is_plain() {
                    stream.pack(self.sink, self.metadata, codes, &mut self.key);
                    Outcome::Series(self.table.index(&self.sink.keeping, &self.key))
                } else {
                    self.staged_series(stream, codes)
                };
                stream.known.insert(codes.clone(), series);
                series
            }
        };
        stream.last = Some((codes.clone(), series));
        series
    }

    fn staged_series(&mut self, stream: &StreamKeys<'a>, codes: &Codes) -> Outcome {
        let scope = self.scope;
        let row = self.row(stream, codes);
        if !scope.query.pipeline().process_until(row, &|| scope.is_over()) {
            return Outcome::Dropped;
        }
        if fails(scope, row) {
            return Outcome::Failing;
        }
        let mut key = std::mem::take(&mut self.key);
        if let Some(row) = &self.row {
            self.sink.kept.pack_row(&mut key, row);
        }
        self.key = key;
        Outcome::Series(self.table.index(&self.sink.keeping, &self.key))
    }

    /// Ends the query if any window holds one of the rows, whose labels have an error.
    fn fail(&mut self, stream: &StreamKeys<'a>, codes: &Codes, rows: Range<usize>) {
        let times = self.places.times.get(rows).unwrap_or_default();
        if times.iter().any(|ts| self.sink.keeping.buckets.of(*ts).is_some()) {
            let (sink, scope) = (self.sink, self.scope);
            let row = self.row(stream, codes);
            scope.query.pipeline().process(row);
            sink.fail(|| pipeline_error(row));
        }
    }

    /// The labels of a stream's rows with these values, in front of the stages.
    fn row(&mut self, stream: &StreamKeys<'a>, codes: &Codes) -> &mut Row<'a> {
        let columns = self.metadata;
        let values = stream.columns.iter().zip(codes);
        let metadata = values.filter_map(|((i, _), code)| {
            let column = columns.get(*i)?;
            Some((&*column.name, column.value((*code as usize).checked_sub(1)?)?))
        });
        match &mut self.row {
            Some(row) => {
                row.reset(0, &[], stream.labels, metadata);
                row
            }
            none => none.insert(Row::new(0, self.scope.wall_ns, &[], stream.labels, metadata)),
        }
    }

    fn add_to(&mut self, series: usize, rows: Range<usize>) {
        count(&self.scope.counters.lines_passed, rows.len() as u64);
        let times = self.places.times.get(rows.clone()).unwrap_or_default();
        let (lines, keeping, measure) = (self.lines, &self.sink.keeping, self.sink.measure);
        let start_of = |i: usize| lines.starts.get(rows.start + i).map_or(0.0, |start| f64::from(*start));
        // Each line is followed by a newline.
        let bytes = |from: usize, to: usize| start_of(to) - start_of(from) - (to - from) as f64;
        if let Some(samples) = self.table.get(series) {
            match measure {
                Measure::Lines => samples.add_sums(keeping, times, |from, to| (to - from) as f64),
                Measure::Bytes => samples.add_sums(keeping, times, bytes),
            }
        }
    }
}

/// What becomes of rows with the same labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Series(usize),
    /// A stage drops them.
    Dropped,
    /// They have an error that the query does not forgive.
    Failing,
}

/// The series of one stream's rows.
pub(super) struct StreamKeys<'a> {
    labels: &'a Labels,
    /// Columns that matter for this stream, with the names under which they are shown.
    pub(super) columns: Vec<(usize, String)>,
    known: HashMap<Codes, Outcome>,
    last: Option<(Codes, Outcome)>,
}

impl<'a> StreamKeys<'a> {
    pub(super) fn new(
        sink: &SampleSink,
        scope: &Scope,
        labels: &'a Labels,
        metadata: &[MetadataColumn],
    ) -> Self {
        let shown = metadata.iter().map(|column| shown_name(labels, &column.name)).enumerate();
        let all = !scope.query.is_plain();
        let columns = shown.filter(|(_, name)| all || sink.kept.keeps(name)).collect();
        Self { labels, columns, known: HashMap::new(), last: None }
    }

    fn codes(&self, metadata: &[MetadataColumn], row: usize) -> Codes {
        self.columns.iter().map(|(i, _)| metadata.get(*i).map_or(0, |column| column.code(row))).collect()
    }

    fn has_codes(&self, metadata: &[MetadataColumn], row: usize, codes: &Codes) -> bool {
        let code = |i: usize| metadata.get(i).map_or(0, |column| column.code(row));
        self.columns.iter().zip(codes).all(|((i, _), wanted)| code(*i) == *wanted)
    }

    /// Packs the labels that a grouping keeps.
    fn pack(&self, sink: &SampleSink, metadata: &[MetadataColumn], codes: &Codes, key: &mut Vec<u8>) {
        let mut pairs: Vec<(&str, &str)> = self.labels.iter().collect();
        let value = |(i, code): (usize, &u32)| metadata.get(i)?.value((*code as usize).checked_sub(1)?);
        let shown = self.columns.iter().zip(codes);
        pairs.extend(shown.filter_map(|((i, name), code)| Some((name.as_str(), value((*i, code))?))));
        sink.kept.pack(key, &mut pairs);
    }
}
