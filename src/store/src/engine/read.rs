//! What readers get: a consistent set of heads and segments, and the answers of the label index.

use super::catalog::Catalog;
use super::{Engine, SegmentHandle, flush};
use crate::deletes::{self, Delete, Hiding};
use crate::error::StoreError;
use crate::head::{Head, HeadRows};
use crate::manifest::SegmentId;
use crate::segment::StreamRow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strandline_model::{Day, Labels, Selector, TenantId, TimeRange};

/// The data of one tenant that may fall in a range of time; stays readable as it is, whatever is flushed, merged or
/// dropped meanwhile. Entries of a head may also stand in a segment (a repeated push): equal entries of a stream
/// count once.
#[derive(Debug, Clone)]
pub struct View {
    /// Heads, oldest first.
    pub heads: Vec<Arc<Head>>,
    /// Segments, by day and age.
    pub segments: Vec<Arc<SegmentHandle>>,
    /// Pending deletes: what they mean is still there, and not to be shown ([`Self::hidden_in`], [`Self::hide`]).
    pub deletes: Vec<Arc<Delete>>,
}

/// Size of one tenant's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStats {
    /// Owner.
    pub tenant: TenantId,
    /// UTC day.
    pub day: Day,
    /// Segments, and how many of them come from a merge.
    pub segments: (usize, usize),
    /// Entries.
    pub rows: u64,
    /// Bytes of the lines.
    pub raw_bytes: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
}

impl View {
    /// What a reader of this segment must leave out.
    pub fn hidden_in(&self, handle: &SegmentHandle) -> Hiding {
        match self.deletes.is_empty() {
            true => Hiding::default(),
            false => deletes::of_segment(&self.deletes, handle.meta(), handle.clean_of()),
        }
    }

    /// Takes what is deleted out of a head's rows.
    pub fn hide(&self, head: &Head, streams: &mut Vec<HeadRows>) {
        if self.deletes.is_empty() {
            return;
        }
        let hiding = deletes::of_head(&self.deletes, head);
        streams.iter_mut().for_each(|rows| hiding.retain_visible(rows));
        streams.retain(|rows| !rows.is_empty());
    }
}

impl Engine {
    /// The data of `tenant` that may fall in `range`.
    pub fn view(&self, tenant: &TenantId, range: TimeRange) -> View {
        let state = self.state.read().clone();
        let mut heads: Vec<Arc<Head>> = state.sealed.into();
        heads.push(state.active);
        let mut deletes = deletes::in_range(&state.deletes, range);
        deletes.retain(|delete| delete.record().tenant == *tenant);
        View { heads, segments: state.catalog.segments(tenant, range), deletes }
    }

    /// Names of the labels that selected streams have in `range` (to the day).
    pub fn label_names(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeSet<String>, StoreError> {
        if let Some(index) = self.complete_labels() {
            let mut names = index.label_names(tenant, Some(range), selector);
            for labels in self.head_series(tenant, range, selector) {
                names.extend(labels.iter().map(|(name, _)| name.to_owned()));
            }
            return Ok(names);
        }
        let series = self.series(tenant, range, selector)?;
        Ok(series.iter().flat_map(|l| l.iter().map(|(n, _)| n.to_owned())).collect())
    }

    /// Values of one label that selected streams have in `range` (to the day).
    pub fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeSet<String>, StoreError> {
        if let Some(index) = self.complete_labels() {
            let mut values = index.label_values(tenant, name, Some(range), selector);
            let series = self.head_series(tenant, range, selector);
            values.extend(series.iter().filter_map(|l| l.get(name).map(str::to_owned)));
            return Ok(values);
        }
        let series = self.series(tenant, range, selector)?;
        Ok(series.iter().filter_map(|l| l.get(name).map(str::to_owned)).collect())
    }

    /// All labels that selected streams have in `range` (to the day): the values of each name.
    pub fn label_sets(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |labels: &Labels| {
            for (name, value) in labels.iter() {
                if !sets.get(name).is_some_and(|values| values.contains(value)) {
                    sets.entry(name.to_owned()).or_default().insert(value.to_owned());
                }
            }
        };
        let Some(index) = self.complete_labels() else {
            self.series(tenant, range, selector)?.iter().for_each(add);
            return Ok(sets);
        };
        self.head_series(tenant, range, selector).iter().for_each(|labels| add(labels));
        for name in index.label_names(tenant, Some(range), selector) {
            let mut values = index.label_values(tenant, &name, Some(range), selector);
            sets.entry(name).or_default().append(&mut values);
        }
        Ok(sets)
    }

    /// The selected streams that have entries in `range` (to the day).
    pub fn series(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeSet<Labels>, StoreError> {
        let mut series: BTreeSet<Labels> = BTreeSet::new();
        if let Some(index) = self.complete_labels() {
            series.extend(index.series(tenant, Some(range), selector, usize::MAX));
        } else {
            // While the index is being rebuilt the segments' own tables answer.
            for handle in self.view(tenant, range).segments {
                let mut take = |_, row: StreamRow| {
                    if selector.matches(&row.labels) && range.overlaps(row.time.0, row.time.1) {
                        series.insert(row.labels);
                    }
                };
                if let Err(e) = handle.open().and_then(|segment| segment.each_stream(&mut take)) {
                    handle.note_damage(&e);
                }
            }
        }
        series.extend(self.head_series(tenant, range, selector).iter().map(|l| Labels::clone(l)));
        Ok(series)
    }

    /// The selected streams, when they are few and the index knows all: then single streams can be looked up in
    /// segments instead of filtering whole stream tables. Streams that are only in a head are not among them.
    pub fn select_few(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
        limit: usize,
    ) -> Option<Vec<Labels>> {
        self.complete_labels()?.select(tenant, Some(range), selector, limit)
    }

    /// The selected streams in memory; to the day, or an answer would have fewer of them before a flush than after it.
    fn head_series(&self, tenant: &TenantId, range: TimeRange, selector: &Selector) -> Vec<Arc<Labels>> {
        let range = whole_days(range);
        let state = self.state.read().clone();
        let heads = state.sealed.iter().chain([&state.active]);
        heads.flat_map(|head| head.series(tenant, range, selector)).collect()
    }

    /// Tenants with data.
    pub fn tenants(&self) -> BTreeSet<TenantId> {
        let state = self.state.read().clone();
        let mut tenants: BTreeSet<TenantId> =
            state.catalog.partitions().map(|((t, _), _)| t.clone()).collect();
        for head in state.sealed.iter().chain([&state.active]) {
            tenants.extend(head.tenants());
        }
        tenants
    }

    /// Size of every partition's segments.
    pub fn partition_stats(&self) -> Vec<PartitionStats> {
        stats_of(&self.state.read().catalog)
    }

    /// Whether the label index answers (as against being rebuilt).
    pub fn labels_ready(&self) -> bool {
        self.complete_labels().is_some()
    }

    /// Reads the label index' image, and rebuilds the index where there is none or it is not the right one.
    pub fn load_labels(&self) -> Result<(), StoreError> {
        if self.labels().is_complete() { Ok(()) } else { self.rebuild_labels() }
    }

    /// Fills the label index from the segments' stream tables. Queries go on meanwhile, answered by the tables.
    pub fn rebuild_labels(&self) -> Result<(), StoreError> {
        // No flush or merge may publish between reading the catalog and declaring the index complete.
        let _no_flush = self.flushing.lock();
        let _no_merge = self.settling.lock();
        let index = self.labels();
        index.clear();
        self.flushed.lock().forget();
        let catalog = Arc::clone(&self.state.read().catalog);
        let mut all_read = true;
        for handle in catalog.all() {
            match handle.open().and_then(|segment| flush::labels_of(&segment)) {
                Ok(labels) => index.add(&handle.meta().tenant, handle.meta().day, labels.iter()),
                Err(e) => {
                    all_read = false;
                    handle.note_damage(&e);
                }
            }
        }
        if !all_read {
            // An index that lacks a segment's streams would hide its lines without a word; the stream tables go on
            // answering, and say what they cannot read.
            tracing::warn!("the label index stays off: a segment's streams cannot be read");
            return Ok(());
        }
        let manifest = self.manifest.lock();
        index.set_complete(true);
        index.commit(manifest.generation());
        Ok(())
    }

    /// Makes the label index say of one day what its segments say.
    pub(super) fn reindex_partition(&self, tenant: &TenantId, day: Day) -> Result<(), StoreError> {
        let index = self.labels();
        let mut known: BTreeMap<SegmentId, Vec<Labels>> = BTreeMap::new();
        loop {
            let catalog = Arc::clone(&self.state.read().catalog);
            for handle in catalog.partition(tenant, day) {
                if let Entry::Vacant(unread) = known.entry(handle.meta().id) {
                    unread.insert(flush::labels_of(handle.open()?.as_ref())?);
                }
            }
            let manifest = self.manifest.lock();
            let catalog = Arc::clone(&self.state.read().catalog);
            let segments = catalog.partition(tenant, day);
            if segments.iter().any(|s| !known.contains_key(&s.meta().id)) {
                // A flush came meanwhile: its streams are in the index, and must not be taken out again.
                continue;
            }
            let labels: BTreeSet<&Labels> =
                segments.iter().filter_map(|s| known.get(&s.meta().id)).flatten().collect();
            self.flushed.lock().forget();
            index.replace_day(tenant, day, labels.into_iter());
            if index.is_complete() {
                index.commit(manifest.generation());
            }
            return Ok(());
        }
    }
}

fn whole_days(range: TimeRange) -> TimeRange {
    match range.start < range.end {
        true => TimeRange::new(Day::of(range.start).start_ns(), Day::of(range.end - 1).end_ns()),
        false => range,
    }
}

pub(super) fn stats_of(catalog: &Catalog) -> Vec<PartitionStats> {
    let stats = |((tenant, day), segments): (&(TenantId, Day), &Vec<Arc<SegmentHandle>>)| PartitionStats {
        tenant: tenant.clone(),
        day: *day,
        segments: (segments.len(), segments.iter().filter(|s| s.meta().settled).count()),
        rows: segments.iter().map(|s| s.meta().rows).sum(),
        raw_bytes: segments.iter().map(|s| s.meta().raw_bytes).sum(),
        file_bytes: segments.iter().map(|s| s.meta().file_bytes).sum(),
    };
    catalog.partitions().map(stats).collect()
}
