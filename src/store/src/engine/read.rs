//! What readers get: a consistent set of heads and segments, and the answers of the label index.

use super::catalog::Catalog;
use super::lookup_answer::LookupAnswer;
use super::{Engine, SegmentHandle};
use crate::deletes::{self, Delete, Hiding};
use crate::error::StoreError;
use crate::head::{Head, HeadRows};
use crate::invariant::invariant;
use crate::lookup::{LookupError, LookupLimits};
use crate::losses::Loss;
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
    /// What was lost that an answer over this view could lack, or show though it was deleted.
    pub warnings: Vec<String>,
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
    /// What an answer about `tenant` over `range` has to say of losses, views or not ([`View::warnings`]).
    pub fn loss_warnings(&self, tenant: &TenantId, range: TimeRange) -> Vec<String> {
        self.losses.lock().warnings(tenant, range)
    }

    /// What is known to be lost and accepted by nobody.
    pub fn losses(&self) -> Vec<Loss> {
        self.losses.lock().open().cloned().collect()
    }

    /// The data of `tenant` that may fall in `range`.
    pub fn view(&self, tenant: &TenantId, range: TimeRange) -> View {
        let state = self.state.read().clone();
        let mut heads: Vec<Arc<Head>> = state.sealed.into();
        heads.push(state.active);
        let order = |head: &Arc<Head>| head.fill().seq.map_or(u64::MAX, |seq| seq.0);
        invariant!(heads.is_sorted_by_key(order), "heads are out of order");
        let mut deletes = deletes::in_range(&state.deletes, range);
        deletes.retain(|delete| delete.record().tenant == *tenant);
        let warnings = self.loss_warnings(tenant, range);
        View { heads, segments: state.catalog.segments(tenant, range), deletes, warnings }
    }

    /// [`Lookup::label_names`](super::Lookup::label_names) without bounds.
    pub fn label_names(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeSet<String>, StoreError> {
        unbounded(self.lookup(tenant, range, selector, LookupLimits::NONE).label_names())
    }

    /// [`Lookup::label_values`](super::Lookup::label_values) without bounds.
    pub fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeSet<String>, StoreError> {
        unbounded(self.lookup(tenant, range, selector, LookupLimits::NONE).label_values(name))
    }

    /// [`Lookup::label_sets`](super::Lookup::label_sets) without bounds.
    pub fn label_sets(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        unbounded(self.lookup(tenant, range, selector, LookupLimits::NONE).label_sets())
    }

    /// [`Lookup::series`](super::Lookup::series) without bounds.
    pub fn series(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<BTreeSet<Labels>, StoreError> {
        unbounded(self.lookup(tenant, range, selector, LookupLimits::NONE).series())
    }

    /// [`Lookup::few`](super::Lookup::few) without bounds.
    pub fn select_few(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selector: &Selector,
        limit: usize,
    ) -> Option<Vec<Labels>> {
        self.lookup(tenant, range, selector, LookupLimits::NONE).few(limit).ok().flatten()
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
}

/// Without bounds no lookup ends early.
fn unbounded<T>(answer: Result<LookupAnswer<T>, LookupError>) -> Result<T, StoreError> {
    answer.map(|answer| answer.found).map_err(|_| StoreError::Stopping)
}

pub(super) fn stats_of(catalog: &Catalog) -> Vec<PartitionStats> {
    let stats = |((tenant, day), segments): (&(TenantId, Day), &Vec<Arc<SegmentHandle>>)| PartitionStats {
        tenant: tenant.clone(),
        day: *day,
        segments: (segments.len(), segments.iter().filter(|s| s.meta().compacted).count()),
        rows: segments.iter().map(|s| s.meta().rows).sum(),
        raw_bytes: segments.iter().map(|s| s.meta().raw_bytes).sum(),
        file_bytes: segments.iter().map(|s| s.meta().file_bytes).sum(),
    };
    catalog.partitions().map(stats).collect()
}
