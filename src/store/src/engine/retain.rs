//! Retention: what is too old or too much goes, whole days by unlinking, single streams by rewriting.

use super::catalog::Catalog;
use super::retry::{self, Task};
use super::{Engine, SegmentHandle};
use crate::error::StoreError;
use crate::invariant::invariant;
use crate::labels::LabelIndex;
use crate::manifest::Edit;
use std::collections::BTreeMap;
use std::sync::Arc;
use strandline_model::{Day, Labels, Selector, TenantId, time};

/// How far the wall clock may run ahead of the monotonic one between two runs before it is not believed.
const MAX_CLOCK_JUMP_NS: i64 = time::HOUR_NS;

/// The clocks at the last run.
#[derive(Debug, Default)]
pub(super) struct LastRun {
    clocks: Option<(i64, i64)>,
}

type Partition = (TenantId, Day);

impl Engine {
    /// Applies all retention rules once. Returns the number of segments dropped or rewritten.
    pub fn retain(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        let result = self.apply_rules(pace);
        self.note_outcome(Task::Retention, &[], result)
    }

    fn apply_rules(&self, pace: &mut dyn FnMut() -> bool) -> Result<usize, StoreError> {
        let now = self.retention_now();
        let mut dropped = self.drop_partitions(|catalog| {
            let partitions = catalog.partitions().map(|(partition, _)| partition);
            partitions.filter(|partition| self.is_expired(partition, now)).cloned().collect()
        })?;
        let free = self.disk.free_bytes().unwrap_or(u64::MAX);
        dropped += self.drop_partitions(|catalog| self.over_budget(catalog, free))?;
        // A merge and a rewrite of the same segments must not overlap.
        let _one_at_a_time = self.compacting.lock();
        for (partition, segments) in self.partitions() {
            let expired = self.expire_streams(&partition, &segments, now, pace);
            // Also of what was rewritten before a segment that could not be.
            self.refresh_labels();
            dropped += expired?;
        }
        Ok(dropped)
    }

    /// The wall clock, unless it jumped ahead since the last run: then it is taken to have run as the monotonic
    /// clock did, so that a wrong clock does not delete a year of logs.
    fn retention_now(&self) -> i64 {
        let (wall, monotonic) = (self.clock.now_ns(), self.clock.monotonic_ns());
        let mut last = self.retaining.lock();
        let believed = match last.clocks {
            Some((then, then_monotonic)) => {
                let expected = then.saturating_add(monotonic - then_monotonic);
                if wall > expected.saturating_add(MAX_CLOCK_JUMP_NS) {
                    tracing::warn!(
                        "the wall clock jumped ahead; retention does not follow it before a restart"
                    );
                    expected
                } else {
                    wall
                }
            }
            None => wall,
        };
        last.clocks = Some((believed, monotonic));
        believed
    }

    fn partitions(&self) -> Vec<(Partition, Vec<Arc<SegmentHandle>>)> {
        let catalog = Arc::clone(&self.state.read().catalog);
        catalog.partitions().map(|(key, segments)| (key.clone(), segments.clone())).collect()
    }

    /// Age that applies to a tenant's streams without a rule of their own; 0 is for ever.
    fn tenant_age(&self, tenant: &TenantId) -> i64 {
        let own =
            self.config.retention.tenants.iter().find(|t| t.tenant == *tenant).and_then(|t| t.max_age_ns);
        own.unwrap_or(self.config.retention.max_age_ns)
    }

    /// Age that applies to a stream; 0 is for ever.
    fn stream_age(&self, tenant: &TenantId, labels: &Labels) -> i64 {
        let rules = self.config.retention.streams.iter();
        rules
            .filter(|r| r.tenant.as_ref().is_none_or(|t| t == tenant) && r.selector.matches(labels))
            .max_by_key(|r| r.priority)
            .map_or_else(|| self.tenant_age(tenant), |r| r.max_age_ns)
    }

    /// The ages that may apply to streams of `tenant`.
    fn ages<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = i64> + 'a {
        let rules = self.config.retention.streams.iter();
        let own = rules.filter(move |r| r.tenant.as_ref().is_none_or(|t| t == tenant)).map(|r| r.max_age_ns);
        own.chain([self.tenant_age(tenant)])
    }

    /// Whether every stream of a partition must be expired.
    fn is_expired(&self, (tenant, day): &Partition, now: i64) -> bool {
        self.ages(tenant).all(|age| age > 0 && day.end_ns() <= now.saturating_sub(age))
    }

    /// Removes the partitions that `choose` names. The look at the catalog, the edit and the removal from the label index
    /// are one step under the manifest's lock: a flush into one of these days comes before it, and its segment goes too,
    /// or after it, and its streams stay in the index.
    pub(super) fn drop_partitions(
        &self,
        choose: impl FnOnce(&Catalog) -> Vec<Partition>,
    ) -> Result<usize, StoreError> {
        // With the merges' lock: a merge of these very segments must not publish them again.
        let _no_merge = self.compacting.lock();
        let mut manifest = self.manifest.lock();
        let catalog = Arc::clone(&self.state.read().catalog);
        let partitions = choose(&catalog);
        let segments = partitions.iter().flat_map(|(tenant, day)| catalog.partition(tenant, *day));
        let drop: Vec<_> = segments.map(|s| s.meta().id).collect();
        if drop.is_empty() {
            return Ok(0);
        }
        let count = drop.len();
        let remove = |labels: &LabelIndex| {
            self.flushed.lock().forget();
            for (tenant, day) in &partitions {
                tracing::info!(%tenant, %day, "retention dropped a day");
                match labels.is_complete() {
                    true => labels.drop_day(tenant, *day),
                    false => self.note_lost_labels(tenant, *day),
                }
            }
        };
        let _before =
            self.publish_to(&mut manifest, &Edit { drop, ..Edit::default() }, None, |_| (), remove)?;
        // Before the catalogs: their segments' files go with them, which takes long where they are many.
        std::mem::drop(manifest);
        metrics::counter!("strandline_retention_segments_dropped_total").increment(count as u64);
        Ok(count)
    }

    /// Oldest days that are too much, per tenant, in all, or on the disk. The newest day always stays.
    fn over_budget(&self, catalog: &Catalog, mut free: u64) -> Vec<Partition> {
        let rules = &self.config.retention;
        let mut sizes: BTreeMap<(Day, TenantId), u64> = BTreeMap::new();
        for ((tenant, day), segments) in catalog.partitions() {
            sizes.insert((*day, tenant.clone()), segments.iter().map(|s| s.meta().file_bytes).sum());
        }
        let Some(newest) = sizes.keys().next_back().map(|(day, _)| *day) else { return Vec::new() };
        let mut total: u64 = sizes.values().sum();
        let mut by_tenant: BTreeMap<TenantId, u64> = BTreeMap::new();
        for ((_, tenant), size) in &sizes {
            *by_tenant.entry(tenant.clone()).or_default() += size;
        }
        let mut drop = Vec::new();
        for ((day, tenant), size) in &sizes {
            let own = by_tenant.entry(tenant.clone()).or_default();
            let limit = rules.tenants.iter().find(|t| t.tenant == *tenant).map_or(0, |t| t.max_total_bytes);
            let too_much = (rules.max_total_bytes > 0 && total > rules.max_total_bytes)
                || (limit > 0 && *own > limit)
                || free < rules.min_free_bytes;
            if too_much && *day < newest {
                invariant!(*size <= *own && *own <= total, "sizes of partitions do not add up");
                total = total.saturating_sub(*size);
                *own = own.saturating_sub(*size);
                free = free.saturating_add(*size);
                drop.push((tenant.clone(), *day));
            }
        }
        drop
    }

    /// Rewrites a closed day's segments without the streams whose own age has passed.
    fn expire_streams(
        &self,
        (tenant, day): &Partition,
        segments: &[Arc<SegmentHandle>],
        now: i64,
        pace: &mut dyn FnMut() -> bool,
    ) -> Result<usize, StoreError> {
        let shortest = self.ages(tenant).filter(|age| *age > 0).min();
        let over = |age: i64| day.end_ns() <= now.saturating_sub(age);
        if !shortest.is_some_and(over) {
            return Ok(0);
        }
        let is_expired = |labels: &Labels| {
            let age = self.stream_age(tenant, labels);
            age > 0 && over(age)
        };
        let mut rewritten = 0;
        let cutoff = |labels: &Labels| if is_expired(labels) { i64::MAX } else { i64::MIN };
        for handle in segments.iter().filter(|s| self.may_touch(s)) {
            let inputs = std::slice::from_ref(handle);
            let result = match self.first_expiry(tenant, handle, pace) {
                Ok(Some(expires_ns)) if expires_ns <= now => {
                    self.rewrite(tenant, *day, inputs, pace, &cutoff)
                }
                Ok(Some(_)) => {
                    self.forget_failures(&[handle.meta().id]);
                    continue;
                }
                Ok(None) => break,
                Err(error) => Err(error),
            };
            match result {
                Ok(done) => rewritten += usize::from(done),
                // One segment that cannot be read does not keep the others; what else failed would fail with them, too.
                Err(error) => {
                    let own = retry::path_of(&error).is_some_and(|path| path == handle.meta().path());
                    if !own {
                        return Err(error);
                    }
                    drop(self.note_outcome::<()>(Task::Retention, inputs, Err(error)));
                }
            }
        }
        Ok(rewritten)
    }

    /// When the first stream of a segment expires (ns; `i64::MAX` is never). The stream table is read the first time only.
    /// `None` when there is no time to find out.
    fn first_expiry(
        &self,
        tenant: &TenantId,
        handle: &SegmentHandle,
        pace: &mut dyn FnMut() -> bool,
    ) -> Result<Option<i64>, StoreError> {
        if let Some(known) = handle.expires_ns() {
            return Ok(Some(known));
        }
        let (segment, end) = (handle.open()?, handle.meta().day.end_ns());
        let mut first = i64::MAX;
        for chunk in 0..segment.chunk_count()? {
            if !pace() {
                return Ok(None);
            }
            segment.selected_in_chunk(chunk, &Selector::all(), |labels, _| {
                let age = self.stream_age(tenant, labels);
                if age > 0 {
                    first = first.min(end.saturating_add(age));
                }
            })?;
        }
        handle.note_expiry(first);
        Ok(Some(first))
    }
}
