//! Which lines are deleted by request, and so hidden from readers until they are gone from the disk?
//!
//! A delete covers what was acknowledged before it: it has the last log sequence of that moment, and the head is sealed
//! then, so that each head and each segment lies before it, behind it, or was merged without what it deletes
//! ([`Delete::covers`]). Which lines it means is said in a language that the store does not know: [`DeleteLanguage`].

use crate::error::StoreError;
use crate::head::{Head, HeadRows};
use crate::manifest::{DeleteRecord, SegmentMeta};
use crate::segment::{Block, Columns, Segment};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use strandline_model::{Labels, Metadata, Selector, TimeRange};

/// Makes filters of the queries of deletes.
pub trait DeleteLanguage: Debug + Send + Sync {
    /// The filter for a query, or what is wrong with it. `now_ns` is the wall clock that the query sees: that of its
    /// request, so that it means the same lines for ever.
    fn compile(&self, query: &str, now_ns: i64) -> Result<Box<dyn DeleteFilter>, String>;
}

/// Says which lines a delete means.
pub trait DeleteFilter: Debug + Send + Sync {
    /// Streams that can have such lines.
    fn selector(&self) -> &Selector;

    /// Whether all lines of these streams are meant.
    fn takes_all(&self) -> bool;

    /// Whether a line of a selected stream is meant.
    fn takes(&self, labels: &Labels, ts: i64, line: &[u8], metadata: Metadata<'_>) -> bool;
}

/// A pending delete.
#[derive(Debug)]
pub struct Delete {
    record: DeleteRecord,
    filter: Result<Box<dyn DeleteFilter>, String>,
}

impl Delete {
    pub(crate) fn new(record: DeleteRecord, language: Option<&Arc<dyn DeleteLanguage>>) -> Arc<Self> {
        let filter = compile(language, &record.query, record.created_ns);
        if let Err(error) = &filter {
            tracing::error!(
                number = record.number, tenant = %record.tenant, query = record.query, error,
                "a pending delete is not understood: it hides nothing and removes nothing until it is cancelled"
            );
        }
        Arc::new(Self { record, filter })
    }

    /// What was asked for.
    pub fn record(&self) -> &DeleteRecord {
        &self.record
    }

    /// Why the query of this delete cannot be compiled, if so. It could be when the delete was requested, but a later version
    /// of the program may read the language differently. Nobody can say then which lines are meant, so the delete hides and
    /// removes nothing, and each answer over its time carries a warning until the delete is cancelled.
    pub fn misunderstood(&self) -> Option<&str> {
        self.filter.as_ref().err().map(String::as_str)
    }

    /// Whether lines with these timestamps, both included, can be meant.
    pub fn overlaps(&self, time: (i64, i64)) -> bool {
        self.record.range.0 <= time.1 && time.0 <= self.record.range.1
    }

    /// Whether what a head holds was acknowledged before the delete.
    pub fn covers_head(&self, head: &Head) -> bool {
        head.fill().seq.is_some_and(|(first, _)| first <= self.record.seq)
    }

    /// Whether a segment, free of what deletes up to `clean_of` mean, may hold lines from before this one.
    pub(crate) fn covers(&self, meta: &SegmentMeta, clean_of: u64) -> bool {
        meta.tenant == self.record.tenant
            && self.record.number > clean_of
            && meta.seq.0 <= self.record.seq
            && self.overlaps(meta.time)
    }

    /// Whether lines of this stream can be meant.
    pub(crate) fn selects(&self, labels: &Labels) -> bool {
        self.filter.as_ref().is_ok_and(|filter| filter.selector().matches(labels))
    }

    /// Whether this line of a stream that [`Self::selects`] accepts is deleted.
    pub(crate) fn takes(&self, labels: &Labels, ts: i64, line: &[u8], metadata: Metadata<'_>) -> bool {
        let (first, last) = self.record.range;
        let meant = |f: &dyn DeleteFilter| f.takes_all() || f.takes(labels, ts, line, metadata);
        ts >= first && ts <= last && self.filter.as_ref().is_ok_and(|filter| meant(filter.as_ref()))
    }

    fn takes_all(&self) -> bool {
        self.filter.as_ref().is_ok_and(|filter| filter.takes_all())
    }
}

/// The filter for a query.
pub(crate) fn compile(
    language: Option<&Arc<dyn DeleteLanguage>>,
    query: &str,
    now_ns: i64,
) -> Result<Box<dyn DeleteFilter>, String> {
    let language = language.ok_or_else(|| "no language for deletes is set up".to_owned())?;
    language.compile(query, now_ns)
}

/// The deletes that one segment or head may hold lines of.
#[derive(Debug, Clone, Default)]
pub struct Hiding(pub(crate) Vec<Arc<Delete>>);

impl Hiding {
    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any line of a stream may be hidden.
    pub fn may_hide(&self, labels: &Labels, time: (i64, i64)) -> bool {
        self.0.iter().any(|delete| delete.overlaps(time) && delete.selects(labels))
    }

    /// Whether a line is hidden.
    pub fn hides(&self, labels: &Labels, ts: i64, line: &[u8], metadata: Metadata<'_>) -> bool {
        self.0.iter().any(|delete| delete.selects(labels) && delete.takes(labels, ts, line, metadata))
    }

    /// Takes the hidden ones out of a stream's rows in a head.
    pub fn retain_visible(&self, rows: &mut HeadRows) {
        let time = (rows.ts(0), rows.ts(rows.len().saturating_sub(1)));
        if rows.is_empty() || !self.may_hide(&rows.labels, time) {
            return;
        }
        let hidden = |i: usize| {
            let (line, metadata) = rows.content(i);
            self.hides(&rows.labels, rows.ts(i), line, metadata)
        };
        let keep: Vec<bool> = (0..rows.len()).map(|i| !hidden(i)).collect();
        rows.retain(|i| keep.get(i).copied().unwrap_or(true));
    }
}

/// Looks for hidden rows in one block.
#[derive(Debug)]
pub struct BlockHiding<'a> {
    hiding: &'a Hiding,
    segment: &'a Segment,
    index: usize,
    /// Times and streams.
    places: &'a Block,
    /// Lines and metadata, read when first needed.
    content: Option<Block>,
}

impl<'a> BlockHiding<'a> {
    /// For block `index` of `segment`, of which `places` holds times and streams.
    pub fn new(hiding: &'a Hiding, segment: &'a Segment, index: usize, places: &'a Block) -> Self {
        Self { hiding, segment, index, places, content: None }
    }

    /// The parts of `rows`, neighbors of one stream, that are not hidden.
    pub fn visible(&mut self, labels: &Labels, rows: Range<usize>) -> Result<Vec<Range<usize>>, StoreError> {
        let times = self.places.times.get(rows.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(vec![rows]) };
        let meant = |d: &&Arc<Delete>| d.overlaps((*first, *last)) && d.selects(labels);
        let deletes: Vec<&Arc<Delete>> = self.hiding.0.iter().filter(meant).collect();
        if deletes.is_empty() {
            return Ok(vec![rows]);
        }
        if self.content.is_none() && deletes.iter().any(|delete| !delete.takes_all()) {
            let columns = Columns { times: false, streams: false, ..Columns::ALL };
            self.content = Some(self.segment.block(self.index, columns)?);
        }
        let none = Block::default();
        let content = self.content.as_ref().unwrap_or(&none);
        let mut packed = Vec::new();
        let (mut visible, mut from) = (Vec::new(), rows.start);
        for (row, ts) in rows.clone().zip(times) {
            let metadata = content.packed_metadata(row, &mut packed);
            if deletes.iter().any(|delete| delete.takes(labels, *ts, content.line(row), metadata)) {
                visible.extend((from < row).then_some(from..row));
                from = row + 1;
            }
        }
        visible.extend((from < rows.end).then_some(from..rows.end));
        Ok(visible)
    }
}

/// Of `deletes`, those that may hide lines of a segment.
pub(crate) fn of_segment(deletes: &[Arc<Delete>], meta: &SegmentMeta, clean_of: u64) -> Hiding {
    Hiding(deletes.iter().filter(|d| d.covers(meta, clean_of)).cloned().collect())
}

/// Of `deletes`, those that may hide lines of a head.
pub(crate) fn of_head(deletes: &[Arc<Delete>], head: &Head) -> Hiding {
    Hiding(deletes.iter().filter(|d| d.covers_head(head)).cloned().collect())
}

/// Of `deletes`, those that may matter to a reader of `range`.
pub(crate) fn in_range(deletes: &[Arc<Delete>], range: TimeRange) -> Vec<Arc<Delete>> {
    deletes.iter().filter(|d| range.overlaps(d.record.range.0, d.record.range.1)).cloned().collect()
}
