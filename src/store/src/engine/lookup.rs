//! Which labels and streams does a tenant have? Answered by the label index where it knows all streams, by the
//! segments' stream tables where it does not, and by the heads in any case.

use super::lookup_answer::{LookupAnswer, UnreadSegment};
use super::{Engine, SegmentHandle, State};
use crate::error::StoreError;
use crate::lookup::{LookupError, LookupLimits, Meter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strandline_model::{Day, Labels, Selector, TenantId, TimeRange};

/// One question about the selected streams of a tenant in a range of time. Its methods may be called any number of
/// times; each call has the limits for itself.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    engine: &'a Engine,
    tenant: &'a TenantId,
    range: TimeRange,
    selector: &'a Selector,
    limits: LookupLimits<'a>,
}

impl Engine {
    /// Begins a lookup of the streams of `tenant` that `selector` selects and that have entries in `range`
    /// (for all but [`Lookup::series`]: on the days that it touches).
    pub fn lookup<'a>(
        &'a self,
        tenant: &'a TenantId,
        range: TimeRange,
        selector: &'a Selector,
        limits: LookupLimits<'a>,
    ) -> Lookup<'a> {
        Lookup { engine: self, tenant, range, selector, limits }
    }
}

/// All values of each label name.
pub type LabelSets = BTreeMap<String, BTreeSet<String>>;

impl Lookup<'_> {
    /// Names of the labels that the streams have (to the day).
    pub fn label_names(&self) -> Result<LookupAnswer<BTreeSet<String>>, LookupError> {
        let add = |names: &mut BTreeSet<String>, labels: &Labels, meter: &Meter<'_>| {
            labels.iter().try_for_each(|(name, _)| add_text(names, name, meter))
        };
        self.gather(whole_days(self.range), add, |meter, _, _| {
            let Some(index) = self.engine.complete_labels() else { return Ok(None) };
            let names = index.names(self.tenant, Some(self.range), self.selector, meter)?;
            Ok(index.answers().then_some(names))
        })
    }

    /// Values of the label `name` that the streams have (to the day).
    pub fn label_values(&self, name: &str) -> Result<LookupAnswer<BTreeSet<String>>, LookupError> {
        let add = |values: &mut BTreeSet<String>, labels: &Labels, meter: &Meter<'_>| {
            labels.get(name).map_or(Ok(()), |value| add_text(values, value, meter))
        };
        self.gather(whole_days(self.range), add, |meter, _, _| {
            let Some(index) = self.engine.complete_labels() else { return Ok(None) };
            let values = index.values(self.tenant, name, Some(self.range), self.selector, meter)?;
            Ok(index.answers().then_some(values))
        })
    }

    /// All labels that the streams have (to the day): the values of each name.
    pub fn label_sets(&self) -> Result<LookupAnswer<LabelSets>, LookupError> {
        let add = |sets: &mut LabelSets, labels: &Labels, meter: &Meter<'_>| {
            for (name, value) in labels.iter() {
                match sets.get_mut(name) {
                    Some(values) => add_text(values, value, meter)?,
                    None => {
                        meter.hold(name.len())?;
                        add_text(sets.entry(name.to_owned()).or_default(), value, meter)?;
                    }
                }
            }
            Ok(())
        };
        self.gather(whole_days(self.range), add, |meter, _, _| {
            let Some(index) = self.engine.complete_labels() else { return Ok(None) };
            let mut sets = LabelSets::new();
            for name in index.names(self.tenant, Some(self.range), self.selector, meter)? {
                let values = index.values(self.tenant, &name, Some(self.range), self.selector, meter)?;
                sets.insert(name, values);
            }
            Ok(index.answers().then_some(sets))
        })
    }

    /// The streams that have entries in the range, to the time bounds of each stream in each segment: a stream whose
    /// entries in a segment lie before and behind the range, with none inside, is among them.
    pub fn series(&self) -> Result<LookupAnswer<BTreeSet<Labels>>, LookupError> {
        let indexed = |meter: &Meter<'_>, state: &State, unread: &mut Vec<UnreadSegment>| {
            let Some(index) = self.engine.complete_labels() else { return Ok(None) };
            let streams = |range| index.streams(self.tenant, Some(range), self.selector, usize::MAX, meter);
            let (inner, edges) = self.split_days();
            let of_edges = edges.iter().flat_map(|day| state.catalog.partition(self.tenant, *day));
            let mut cut =
                of_edges.filter(|s| !self.range.covers(s.meta().time.0, s.meta().time.1)).peekable();
            if cut.peek().is_none() {
                // All that these days have lies in the range.
                let all = streams(self.range)?;
                return Ok(index.answers().then(|| all.into_iter().collect()));
            }
            let mut found: BTreeSet<Labels> = streams(inner)?.into_iter().collect();
            let of_edges = state.catalog.segments(self.tenant, self.range);
            let of_edges = of_edges.into_iter().filter(|s| edges.contains(&s.meta().day));
            *unread = self.read_tables(of_edges, meter, |labels| add_series(&mut found, labels, meter))?;
            Ok(index.answers().then_some(found))
        };
        self.gather(self.range, add_series, indexed)
    }

    /// The days that lie in the range as a whole, and the first and last one if they do not.
    fn split_days(&self) -> (TimeRange, Vec<Day>) {
        if self.range.start >= self.range.end {
            return (self.range, Vec::new());
        }
        let (first, last) = (Day::of(self.range.start), Day::of(self.range.end - 1));
        let (mut start, mut end) = (first.start_ns(), last.end_ns());
        let mut edges = Vec::new();
        if self.range.start > start {
            edges.push(first);
            start = first.end_ns();
        }
        if self.range.end < end {
            edges.push(last);
            end = last.start_ns();
        }
        (TimeRange::new(start, end.max(start)), edges)
    }

    /// The streams, when they are at most `limit` and the index knows all: then single streams can be looked up in
    /// segments instead of filtering whole stream tables. Streams that are only in a head are not among them.
    pub fn few(&self, limit: usize) -> Result<Option<Vec<Labels>>, LookupError> {
        let Some(index) = self.engine.complete_labels() else { return Ok(None) };
        let meter = Meter::new(self.limits);
        let few = index.few(self.tenant, Some(self.range), self.selector, limit, &meter)?;
        Ok(few.filter(|_| index.answers()))
    }

    /// Puts an answer together: what `indexed` has, or the stream tables where it has none, and what the heads have in
    /// `head_range`.
    pub(super) fn gather<T: Default>(
        &self,
        head_range: TimeRange,
        add: impl Fn(&mut T, &Labels, &Meter<'_>) -> Result<(), LookupError>,
        indexed: impl FnOnce(&Meter<'_>, &State, &mut Vec<UnreadSegment>) -> Result<Option<T>, LookupError>,
    ) -> Result<LookupAnswer<T>, LookupError> {
        let meter = Meter::new(self.limits);
        meter.check()?;
        // Before the index is asked: what a flush takes out of a head is in the index by then.
        let state = self.engine.state.read().clone();
        let mut answer = LookupAnswer::default();
        match indexed(&meter, &state, &mut answer.unread)? {
            Some(found) => answer.found = found,
            None => {
                let (found, segments) = (&mut answer.found, state.catalog.segments(self.tenant, self.range));
                answer.unread = self.read_tables(segments, &meter, |labels| add(found, labels, &meter))?;
            }
        }
        for head in state.sealed.iter().chain([&state.active]) {
            meter.check()?;
            for labels in head.series(self.tenant, head_range, self.selector) {
                meter.step()?;
                add(&mut answer.found, &labels, &meter)?;
            }
        }
        Ok(answer)
    }

    /// Calls `each` with the labels of the streams that have entries in the range in any of `segments`. Returns those that
    /// cannot be read.
    fn read_tables(
        &self,
        segments: impl IntoIterator<Item = Arc<SegmentHandle>>,
        meter: &Meter<'_>,
        mut each: impl FnMut(&Labels) -> Result<(), LookupError>,
    ) -> Result<Vec<UnreadSegment>, LookupError> {
        let mut unread = Vec::new();
        for segment in segments {
            let chunks = match segment.open().and_then(|open| Ok((open.chunk_count()?, open))) {
                Ok(chunks) => chunks,
                Err(error) => {
                    unread.push(unreadable(segment, error));
                    continue;
                }
            };
            let (count, open) = chunks;
            for i in 0..count {
                meter.check()?;
                let mut result = Ok(());
                let take = |labels: &Labels, time: (i64, i64)| {
                    if result.is_ok() && self.range.overlaps(time.0, time.1) {
                        result = each(labels);
                    }
                };
                let read = open.selected_in_chunk(i, self.selector, take);
                result?;
                if let Err(error) = read {
                    unread.push(unreadable(segment, error));
                    break;
                }
            }
        }
        Ok(unread)
    }
}

fn unreadable(segment: Arc<SegmentHandle>, error: StoreError) -> UnreadSegment {
    segment.note_damage(&error);
    UnreadSegment { segment, error }
}

fn add_series(series: &mut BTreeSet<Labels>, labels: &Labels, meter: &Meter<'_>) -> Result<(), LookupError> {
    if !series.contains(labels) {
        meter.hold(labels.memory_bytes())?;
        series.insert(labels.clone());
    }
    Ok(())
}

fn add_text(texts: &mut BTreeSet<String>, text: &str, meter: &Meter<'_>) -> Result<(), LookupError> {
    if !texts.contains(text) {
        meter.hold(text.len())?;
        texts.insert(text.to_owned());
    }
    Ok(())
}

/// To the day, as the label index knows it, or an answer would have fewer names before a flush than after it.
fn whole_days(range: TimeRange) -> TimeRange {
    match range.start < range.end {
        true => TimeRange::new(Day::of(range.start).start_ns(), Day::of(range.end - 1).end_ns()),
        false => range,
    }
}
