//! The samples of a block whose lines go through no stages: counted by runs of rows, lines read for their filters only.

use super::keys::shown_name;
use super::series::Table;
use super::{Measure, SampleSink};
use crate::language::Search;
use crate::plan::SegmentPlan;
use crate::rows::{self, LENGTHS, LINES, PLACES, Rows};
use crate::scope::Scope;
use crate::stats::count;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::ops::Range;
use strandline_model::Labels;
use strandline_store::StoreError;
use strandline_store::segment::{Block, MetadataColumn};

/// Which values of the kept metadata a row has.
type Codes = SmallVec<[u32; 4]>;

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
    let places = plan.segment.block(index as usize, PLACES)?;
    let rows = rows::candidates(&streams, &places, scope.range);
    if rows.is_empty() {
        return Ok(Table::default());
    }
    count(&scope.counters.blocks, 1);
    let all = matches!(scope.query.search(), Search::All);
    let lines = match (all, sink.measure) {
        (false, _) => plan.segment.block(index as usize, LINES)?,
        (true, Measure::Bytes) => plan.segment.block(index as usize, LENGTHS)?,
        (true, Measure::Lines) => Block::default(),
    };
    let metadata = plan.segment.metadata(index as usize, |name| sink.kept.may_keep_metadata(name))?;
    let mut reading = Reading {
        sink,
        places: &places,
        lines: &lines,
        metadata: &metadata,
        table: Table::default(),
        key: Vec::new(),
    };
    for part in &rows {
        let mut stream = StreamKeys::new(sink, part.labels, &metadata);
        if all {
            count(&scope.counters.segment_lines, part.rows.len() as u64);
            count(&scope.counters.lines_passed, part.rows.len() as u64);
            reading.add(&mut stream, part.rows.clone());
        } else {
            reading.add_filtered(scope, &mut stream, part);
        }
    }
    Ok(reading.table)
}

struct Reading<'a> {
    sink: &'a SampleSink,
    places: &'a Block,
    /// Lines, or their lengths only, or nothing.
    lines: &'a Block,
    metadata: &'a [MetadataColumn],
    table: Table,
    /// Room for keys.
    key: Vec<u8>,
}

impl Reading<'_> {
    fn add_filtered(&mut self, scope: &Scope, stream: &mut StreamKeys<'_>, part: &Rows<'_>) {
        let (mut run, mut passed) = (part.rows.start..part.rows.start, 0);
        rows::filtered(scope, self.lines, std::slice::from_ref(part), |_, row| {
            passed += 1;
            if row != run.end {
                let done = std::mem::replace(&mut run, row..row);
                self.add(stream, done);
            }
            run.end = row + 1;
        });
        self.add(stream, run);
        count(&scope.counters.lines_passed, passed);
    }

    /// Adds neighboring rows of one stream.
    fn add(&mut self, stream: &mut StreamKeys<'_>, rows: Range<usize>) {
        if stream.columns.is_empty() {
            self.sink.kept.pack_stream(&mut self.key, stream.labels);
            let series = self.table.index(&self.sink.keeping, &self.key);
            return self.add_to(series, rows);
        }
        let mut from = rows.start;
        while from < rows.end {
            let codes = stream.codes(self.metadata, from);
            let same = |row: &usize| stream.has_codes(self.metadata, *row, &codes);
            let to = from + 1 + (from + 1..rows.end).take_while(same).count();
            let series = stream.series(self.sink, &mut self.table, self.metadata, &codes);
            self.add_to(series, from..to);
            from = to;
        }
    }

    fn add_to(&mut self, series: usize, rows: Range<usize>) {
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

/// The series of one stream's rows.
struct StreamKeys<'a> {
    labels: &'a Labels,
    /// Columns that are kept for this stream, with the names under which they are shown.
    columns: Vec<(usize, String)>,
    known: HashMap<Codes, usize>,
    last: Option<(Codes, usize)>,
}

impl<'a> StreamKeys<'a> {
    fn new(sink: &SampleSink, labels: &'a Labels, metadata: &[MetadataColumn]) -> Self {
        let shown = metadata.iter().map(|column| shown_name(labels, &column.name)).enumerate();
        let columns = shown.filter(|(_, name)| sink.kept.keeps(name)).collect();
        Self { labels, columns, known: HashMap::new(), last: None }
    }

    fn codes(&self, metadata: &[MetadataColumn], row: usize) -> Codes {
        self.columns.iter().map(|(i, _)| metadata.get(*i).map_or(0, |column| column.code(row))).collect()
    }

    fn has_codes(&self, metadata: &[MetadataColumn], row: usize, codes: &Codes) -> bool {
        let code = |i: usize| metadata.get(i).map_or(0, |column| column.code(row));
        self.columns.iter().zip(codes).all(|((i, _), wanted)| code(*i) == *wanted)
    }

    fn series(
        &mut self,
        sink: &SampleSink,
        table: &mut Table,
        metadata: &[MetadataColumn],
        codes: &Codes,
    ) -> usize {
        if let Some((last, series)) = &self.last
            && last == codes
        {
            return *series;
        }
        let series = match self.known.get(codes) {
            Some(series) => *series,
            None => {
                let mut pairs: Vec<(&str, &str)> = self.labels.iter().collect();
                let value =
                    |(i, code): (usize, &u32)| metadata.get(i)?.value((*code as usize).checked_sub(1)?);
                let shown = self.columns.iter().zip(codes);
                pairs.extend(shown.filter_map(|((i, name), code)| Some((name.as_str(), value((*i, code))?))));
                let mut key = Vec::new();
                sink.kept.pack(&mut key, &mut pairs);
                let series = table.index(&sink.keeping, &key);
                self.known.insert(codes.clone(), series);
                series
            }
        };
        self.last = Some((codes.clone(), series));
        series
    }
}
