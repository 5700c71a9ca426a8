//! The engine as a [`Storage`]: log, heads and segments of this process.

use super::{LookupResult, Selection, Storage};
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Clock, Labels, TenantId, TimeRange};
use strandline_store::engine::{CommitObserver, DeleteError, LabelSets};
use strandline_store::head::{Head, HeadRows};
use strandline_store::{DeleteRecord, Engine, Lookup, StoreError, View};

fn lookup<'a>(engine: &'a Engine, streams: Selection<'a>) -> Lookup<'a> {
    let Selection { tenant, range, selector, limits } = streams;
    engine.lookup(tenant, range, selector, limits)
}

impl Storage for Engine {
    fn clock(&self) -> &Arc<dyn Clock> {
        Self::clock(self)
    }

    fn view(&self, tenant: &TenantId, range: TimeRange) -> View {
        Self::view(self, tenant, range)
    }

    fn drop_stored_rows(
        &self,
        tenant: &TenantId,
        view: &View,
        head: &Head,
        rows: &mut [HeadRows],
    ) -> Result<(), StoreError> {
        self.drop_rows_of(tenant, &view.segments, &view.deletes, head, rows)
    }

    fn warnings(&self, tenant: &TenantId, range: TimeRange) -> Vec<String> {
        self.loss_warnings(tenant, range)
    }

    fn label_names(&self, streams: Selection<'_>) -> LookupResult<BTreeSet<String>> {
        lookup(self, streams).label_names()
    }

    fn label_values(&self, streams: Selection<'_>, name: &str) -> LookupResult<BTreeSet<String>> {
        lookup(self, streams).label_values(name)
    }

    fn label_sets(&self, streams: Selection<'_>) -> LookupResult<LabelSets> {
        lookup(self, streams).label_sets()
    }

    fn series(&self, streams: Selection<'_>) -> LookupResult<BTreeSet<Labels>> {
        lookup(self, streams).series()
    }

    fn few_streams(&self, streams: Selection<'_>, most: usize) -> Option<Vec<Labels>> {
        lookup(self, streams).few(most).ok().flatten()
    }

    fn commits(&self) -> u64 {
        Self::commits(self)
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) -> bool {
        Self::observe(self, observer)
    }

    fn read_only(&self) -> Option<String> {
        Self::read_only(self)
    }

    fn troubles(&self) -> Vec<String> {
        let lost = self.losses().into_iter().map(|loss| format!("lost: {}", loss.without_names()));
        self.background_failures().into_iter().chain(lost).collect()
    }

    fn add_delete(&self, tenant: &TenantId, query: &str, range: (i64, i64)) -> Result<u64, DeleteError> {
        Self::add_delete(self, tenant, query, range)
    }

    fn cancel_delete(&self, tenant: &TenantId, number: u64) -> Result<(), DeleteError> {
        Self::cancel_delete(self, tenant, number)
    }

    fn deletes(&self, tenant: &TenantId) -> Vec<DeleteRecord> {
        Self::deletes(self, tenant)
    }
}
