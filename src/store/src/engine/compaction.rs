//! Compaction: a partition's segments become few and large, streams together, zstd, one index each.

use super::retry::Task;
use super::{Engine, SegmentHandle, merge};
use crate::codec::Compression;
use crate::error::{AtPath, StoreError};
use crate::invariant::{self, invariant};
use crate::manifest::{Edit, SegmentId, SegmentMeta, partition_dir};
use crate::segment::{MAX_REPLACES, Origin, SegmentWriter, WriterOptions};
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Day, Labels, TenantId, time};

/// Most segments in one merge: each holds a decoded block in memory.
const MAX_INPUTS: usize = 16;
/// This many fresh segments are merged whatever their size.
const MANY_FRESH: usize = 4;
/// Less than this is merged only when its day is over: one merge must not follow every trickle of lines.
const MIN_BYTES: u64 = 256 << 10;
/// Without a flush for this long after an idle head would have been flushed, the store counts as quiet.
const QUIET_NS: i64 = 3 * time::SECOND_NS;
/// A day that is over is merged down to fewer small segments than this: merging the last few into one would move
/// every line once more for nothing.
const FEW_SMALL: usize = 4;
/// Memory of a text index under construction for each byte of lines, at most and roughly: a distinct term takes up to 74
/// bytes, and two more of them need about 17 more bytes of lines. Tells an output that a merge ended because its index was
/// full from one that is merely small.
const INDEX_PER_RAW: usize = 8;
/// A day is over this long after its end.
const CLOSED_NS: i64 = time::HOUR_NS;

/// One merge to do.
#[derive(Debug)]
struct Plan {
    tenant: TenantId,
    day: Day,
    inputs: Vec<Arc<SegmentHandle>>,
}

impl Engine {
    /// Does the most useful merge, if one is due. `pace` is asked every few thousand rows whether to go on (it may
    /// wait). Returns whether a merge was done. Streams that are gone leave the label index.
    pub fn compact_one(&self, pace: &mut dyn FnMut() -> bool) -> Result<bool, StoreError> {
        let result = self.merge_one(pace);
        self.refresh_labels();
        result
    }

    fn merge_one(&self, pace: &mut dyn FnMut() -> bool) -> Result<bool, StoreError> {
        if !self.config.compaction {
            return Ok(false);
        }
        invariant::check()?;
        if !self.may_run(Task::Merge) {
            return Ok(false);
        }
        let _one_at_a_time = self.compacting.lock();
        let Some(plan) = self.plan_merge() else { return Ok(false) };
        let result = self.rewrite(&plan.tenant, plan.day, &plan.inputs, pace, &|_| i64::MIN);
        self.note_outcome(Task::Merge, &plan.inputs, result)
    }

    fn plan_merge(&self) -> Option<Plan> {
        let catalog = Arc::clone(&self.state.read().catalog);
        let quiet = self.clock.monotonic_ns() - self.last_flush_ns() >= QUIET_NS + self.config.head_idle_ns;
        let now = self.clock.now_ns();
        for ((tenant, day), segments) in catalog.partitions() {
            let usable: Vec<&Arc<SegmentHandle>> = segments.iter().filter(|s| self.may_touch(s)).collect();
            let closed = now.saturating_sub(CLOSED_NS) > day.end_ns();
            let mut groups = self.apart_by_deletes(tenant, usable).into_iter();
            if let Some(inputs) = groups.find_map(|usable| self.choose(&usable, quiet, closed)) {
                return Some(Plan { tenant: tenant.clone(), day: *day, inputs });
            }
        }
        None
    }

    /// Which of a partition's segments to merge now.
    fn choose(
        &self,
        segments: &[&Arc<SegmentHandle>],
        quiet: bool,
        closed: bool,
    ) -> Option<Vec<Arc<SegmentHandle>>> {
        let target = self.config.compaction_target_bytes;
        let (fresh, compacted): (Vec<_>, Vec<_>) =
            segments.iter().copied().partition(|s| !s.meta().compacted);
        let fresh_bytes: u64 = fresh.iter().map(|s| s.meta().raw_bytes).sum();
        let due = fresh.len() >= MANY_FRESH
            || fresh_bytes >= target
            || (quiet && fresh_bytes >= MIN_BYTES)
            || (closed && quiet && !fresh.is_empty());
        let is_small =
            |s: &&Arc<SegmentHandle>| s.meta().raw_bytes < target / 2 && !self.is_full(s, &compacted);
        let mut small: Vec<_> = compacted.iter().copied().filter(is_small).collect();
        small.sort_by_key(|s| s.meta().raw_bytes);
        let mut inputs: Vec<Arc<SegmentHandle>> = Vec::new();
        if due {
            inputs.extend(fresh.into_iter().take(MAX_INPUTS).cloned());
        } else if !(closed && quiet && small.len() >= FEW_SMALL) {
            return None;
        }
        let mut bytes: u64 = inputs.iter().map(|s| s.meta().raw_bytes).sum();
        for segment in small {
            let size = segment.meta().raw_bytes;
            // A large compacted segment is not rewritten for a little fresh data: each line moves a few times only.
            let worth_it = size <= bytes || (closed && !due);
            if inputs.len() < MAX_INPUTS && worth_it && bytes + size <= target * 2 {
                bytes += size;
                inputs.push(Arc::clone(segment));
            }
        }
        inputs.sort_by_key(|s| (s.meta().seq, s.meta().id));
        invariant!(inputs.len() <= MAX_INPUTS, "a merge of {} segments", inputs.len());
        let lone_compacted = inputs.len() == 1 && inputs.iter().all(|s| s.meta().compacted);
        (!inputs.is_empty() && !lone_compacted).then_some(inputs)
    }

    /// Whether a merge ended this output because its text index had become large enough: merged again, it would come out
    /// as it is. Outputs of one merge have the same sequences, and the last one is what was left over. One that has lost
    /// most of its rows since is not meant.
    fn is_full(&self, segment: &SegmentHandle, compacted: &[&Arc<SegmentHandle>]) -> bool {
        let meta = segment.meta();
        let is_later = |s: &&Arc<SegmentHandle>| s.meta().seq == meta.seq && s.meta().id > meta.id;
        meta.raw_bytes >= (self.config.merge_index_bytes / INDEX_PER_RAW) as u64
            && compacted.iter().any(is_later)
    }

    /// Merges `inputs` into new segments and publishes them in their place. `cutoff` drops expired rows. Streams that have
    /// no rows any more leave the label index with [`Engine::refresh_labels`].
    pub(super) fn rewrite(
        &self,
        tenant: &TenantId,
        day: Day,
        inputs: &[Arc<SegmentHandle>],
        pace: &mut dyn FnMut() -> bool,
        cutoff: &dyn Fn(&Labels) -> i64,
    ) -> Result<bool, StoreError> {
        invariant!(!inputs.is_empty(), "a merge of nothing");
        let is_own = |s: &Arc<SegmentHandle>| s.meta().tenant == *tenant && s.meta().day == day;
        invariant!(inputs.iter().all(is_own), "a merge of several partitions");
        // The inputs came first: a delete that is not known here yet covers all of them.
        let Some(erasing) = self.erasing(tenant, inputs) else { return Ok(false) };
        let mut segments = Vec::new();
        for input in inputs {
            segments.push(input.open()?);
        }
        // One output has to name all that the merge replaces.
        let named: Vec<usize> = segments.iter().map(|s| s.replaces().len() + 2).collect();
        let fitting = fitting(&named, MAX_REPLACES);
        if fitting.len() < inputs.len() && fitting.len() > 1 {
            let fewer: Vec<_> = fitting.iter().filter_map(|i| inputs.get(*i)).cloned().collect();
            return self.rewrite(tenant, day, &fewer, pace, cutoff);
        }
        let mut replaces: BTreeSet<SegmentId> = inputs.iter().map(|s| s.meta().id).collect();
        replaces.extend(segments.iter().flat_map(|s| s.replaces().iter().copied().chain([s.group()])));
        invariant!(replaces.len() >= inputs.len(), "an input is merged with itself");
        let seq =
            inputs.iter().fold((u64::MAX, 0), |s, i| (s.0.min(i.meta().seq.0), s.1.max(i.meta().seq.1)));
        let vouched_for: BTreeSet<SegmentId> =
            segments.iter().filter(|s| !s.replaces().is_empty()).map(|s| s.group()).collect();
        let group = self.new_segment_id();
        let mut outputs = Outputs {
            engine: self,
            tenant,
            day,
            seq,
            group,
            writer: None,
            done: Vec::new(),
            pace: &mut *pace,
        };
        let sources = segments.into_iter().zip(erasing.hidden).collect();
        let merged = merge::merge(sources, &mut outputs, cutoff).inspect_err(|e| {
            inputs.iter().for_each(|input| input.note_damage_if_own(e));
        })?;
        let Some(merged) = merged else { return Ok(false) };
        let replaces: Vec<SegmentId> = replaces.into_iter().collect();
        let add = outputs.finish(replaces)?;
        let dir = partition_dir(tenant, day);
        if let Err(error) = self.disk.sync_dir(&dir).at(&dir) {
            self.open.removals().discard(self.disk.as_ref(), add);
            return Err(error);
        }
        let before: u64 = inputs.iter().map(|input| input.meta().rows).sum();
        let after = add.iter().map(|meta| meta.rows).sum::<u64>() + merged.erased.values().sum::<u64>();
        invariant!(after <= before, "a merge makes {after} rows of {before}");
        let start = inputs.iter().map(|input| input.meta().time.0).min();
        invariant!(add.iter().all(|meta| start <= Some(meta.time.0)), "a merge makes earlier rows");
        let drop: Vec<SegmentId> = inputs.iter().map(|s| s.meta().id).collect();
        // Without an output nothing says what the merge replaces. What the inputs had replaced is gone for good, or the
        // manifest names it until it is.
        if add.is_empty()
            && let Some(sibling) = self.sibling(tenant, day, inputs, &vouched_for)
        {
            let mut inputs = inputs.to_vec();
            inputs.push(sibling);
            inputs.sort_by_key(|s| (s.meta().seq, s.meta().id));
            return self.rewrite(tenant, day, &inputs, pace, cutoff);
        }
        let mut edit = Edit { add, drop, ..Edit::default() };
        if let Some(number) = erasing.clean_of {
            edit.deletes.clean = edit.add.iter().map(|meta| (meta.id, number)).collect();
        }
        if !self.publish_merge(&edit, &merged.erased, merged.vanished.then_some((tenant, day)))? {
            return Ok(false);
        }
        metrics::counter!("strandline_merges_total").increment(1);
        Ok(true)
    }

    /// A segment of the same merge as an input that says of the whole merge that it is complete. When nothing is left of
    /// that input, the sibling has to be written anew with it: without anyone to vouch for it, a start that finds the
    /// manifest damaged would take it for a leftover.
    fn sibling(
        &self,
        tenant: &TenantId,
        day: Day,
        inputs: &[Arc<SegmentHandle>],
        vouched_for: &BTreeSet<SegmentId>,
    ) -> Option<Arc<SegmentHandle>> {
        let catalog = Arc::clone(&self.state.read().catalog);
        let others = catalog.partition(tenant, day).iter();
        let others = others.filter(|s| !s.is_damaged());
        let mut others = others.filter(|s| s.meta().compacted && inputs.iter().all(|i| !Arc::ptr_eq(i, s)));
        others.find(|s| s.open().is_ok_and(|segment| vouched_for.contains(&segment.group()))).cloned()
    }

    fn last_flush_ns(&self) -> i64 {
        self.last_flush.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Which of several inputs, in their order, may be merged when the outputs can name `most` segments: those that bring the
/// fewest.
fn fitting(named: &[usize], most: usize) -> Vec<usize> {
    let mut by_size: Vec<usize> = (0..named.len()).collect();
    by_size.sort_by_key(|i| named.get(*i).copied());
    let mut left = most;
    let mut fitting: Vec<usize> = by_size
        .into_iter()
        .take_while(|i| {
            let fits = named.get(*i).and_then(|n| left.checked_sub(*n));
            left = fits.unwrap_or(left);
            fits.is_some()
        })
        .collect();
    fitting.sort_unstable();
    fitting
}

/// The segments that a merge writes: a new one whenever the last is large enough.
struct Outputs<'a> {
    engine: &'a Engine,
    tenant: &'a TenantId,
    day: Day,
    seq: (u64, u64),
    group: SegmentId,
    writer: Option<SegmentWriter>,
    done: Vec<SegmentMeta>,
    pace: &'a mut dyn FnMut() -> bool,
}

impl Outputs<'_> {
    fn begin(&mut self) -> Result<SegmentWriter, StoreError> {
        let id = self.engine.new_segment_id();
        let origin = Origin {
            id,
            group: self.group,
            tenant: self.tenant.clone(),
            day: self.day,
            compacted: true,
            seq: self.seq,
            replaces: Vec::new(),
        };
        let compression = Compression::Zstd(self.engine.config.zstd_level);
        let options = WriterOptions { block_bytes: self.engine.config.block_bytes, compression, index: true };
        SegmentWriter::create(&self.engine.disk, origin, options)
    }

    /// Finishes the last output, which says what the merge replaces; the others must be in place before it.
    fn finish(mut self, replaces: Vec<SegmentId>) -> Result<Vec<SegmentMeta>, StoreError> {
        if let Some(mut writer) = self.writer.take() {
            if !self.done.is_empty() {
                let dir = partition_dir(self.tenant, self.day);
                self.engine.disk.sync_dir(&dir).at(&dir)?;
            }
            writer.close_group(replaces);
            self.done.extend(writer.finish()?);
        }
        Ok(std::mem::take(&mut self.done))
    }
}

impl Drop for Outputs<'_> {
    /// What a merge that stopped or failed has written goes at once, and not at the next start: a merge is tried again and
    /// again on a full disk.
    fn drop(&mut self) {
        let done = std::mem::take(&mut self.done);
        self.engine.open.removals().discard(self.engine.disk.as_ref(), done);
    }
}

impl merge::Sink for Outputs<'_> {
    fn writer(&mut self) -> Result<(&mut SegmentWriter, bool), StoreError> {
        let full = self.writer.as_ref().is_some_and(|w| {
            w.raw_bytes() >= self.engine.config.compaction_target_bytes
                || w.index_bytes() >= self.engine.config.merge_index_bytes
        });
        if full && let Some(writer) = self.writer.take() {
            self.done.extend(writer.finish()?);
        }
        let is_new = self.writer.is_none();
        if is_new {
            self.writer = Some(self.begin()?);
        }
        match self.writer.as_mut() {
            Some(writer) => Ok((writer, is_new)),
            None => {
                invariant!(false, "a merge has no writer");
                Err(StoreError::Poisoned)
            }
        }
    }

    fn pace(&mut self) -> bool {
        (self.pace)()
    }
}
