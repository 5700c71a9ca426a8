//! How do deleted lines leave the disk? Each merge leaves them out; a segment that no merge takes is rewritten by itself;
//! the log's files with them are removed, not used again. Then the delete is processed.

use super::retry::Task;
use super::{Engine, SegmentHandle};
use crate::deletes::{self, BlockHiding, Delete, Hiding};
use crate::error::StoreError;
use crate::labels::LabelIndex;
use crate::manifest::{DeleteChanges, Edit, SegmentId};
use crate::segment::Columns;
use std::collections::BTreeMap;
use std::sync::Arc;
use strandline_model::{Day, Labels, Selector, TenantId};

/// Segments that are looked through before what was found is noted.
const MARKS_PER_EDIT: usize = 64;

/// What a merge has to leave out, and what can be said of its outputs then.
pub(super) struct Erasing {
    /// For each input.
    pub(super) hidden: Vec<Hiding>,
    /// The outputs hold no line of any delete up to this one; `None` when none is pending.
    pub(super) clean_of: Option<u64>,
}

/// Whether a delete was taken after what a segment holds came in, and has not been applied to it.
fn follows(delete: &Delete, handle: &SegmentHandle) -> bool {
    let record = delete.record();
    record.number > handle.clean_of() && handle.meta().seq.0 <= record.seq
}

impl Engine {
    /// The pending deletes of a tenant that may be carried out, and those that may not yet. The former all have lower
    /// numbers than the latter, so that one number says of a segment what it is free of.
    fn due_deletes(&self, tenant: &TenantId) -> (Vec<Arc<Delete>>, Vec<Arc<Delete>>) {
        let all = Arc::clone(&self.state.read().deletes);
        let own: Vec<_> = all.iter().filter(|d| d.record().tenant == *tenant).cloned().collect();
        let now = self.clock.now_ns();
        let is_due = |d: &Arc<Delete>| {
            let until = d.record().created_ns.saturating_add(self.config.delete_cancel_period_ns);
            until <= now && d.misunderstood().is_none()
        };
        let due = own.iter().take_while(|d| is_due(d)).count();
        (own.get(..due).unwrap_or_default().to_vec(), own.get(due..).unwrap_or_default().to_vec())
    }

    /// What a merge of `inputs` has to leave out. `None` when they must not be merged: a delete that may not be carried
    /// out yet means lines of some, and came before others.
    pub(super) fn erasing(&self, tenant: &TenantId, inputs: &[Arc<SegmentHandle>]) -> Option<Erasing> {
        let (due, waiting) = self.due_deletes(tenant);
        let last = due.iter().chain(&waiting).map(|d| d.record().number).max();
        let held_back: Vec<&Arc<Delete>> =
            waiting.iter().filter(|d| inputs.iter().any(|s| follows(d, s))).collect();
        if held_back.iter().any(|d| !inputs.iter().all(|s| follows(d, s))) {
            return None;
        }
        let first_held_back = held_back.first().map(|d| d.record().number - 1);
        let hidden = |s: &Arc<SegmentHandle>| deletes::of_segment(&due, s.meta(), s.clean_of());
        Some(Erasing { hidden: inputs.iter().map(hidden).collect(), clean_of: first_held_back.or(last) })
    }

    /// Parts segments into groups that may be merged.
    pub(super) fn apart_by_deletes<'a>(
        &self,
        tenant: &TenantId,
        segments: Vec<&'a Arc<SegmentHandle>>,
    ) -> Vec<Vec<&'a Arc<SegmentHandle>>> {
        let (_, waiting) = self.due_deletes(tenant);
        if waiting.is_empty() {
            return vec![segments];
        }
        let mut groups: BTreeMap<Vec<u64>, Vec<&Arc<SegmentHandle>>> = BTreeMap::new();
        for segment in segments {
            let held_back = waiting.iter().filter(|d| follows(d, segment)).map(|d| d.record().number);
            groups.entry(held_back.collect()).or_default().push(segment);
        }
        groups.into_values().collect()
    }

    /// Publishes a merge, unless a delete was taken back of which it leaves lines out: then its outputs go. `lost` is the
    /// partition if streams of it have no rows any more.
    pub(super) fn publish_merge(
        &self,
        edit: &Edit,
        erased: &BTreeMap<u64, u64>,
        lost: Option<(&TenantId, Day)>,
    ) -> Result<bool, StoreError> {
        let mut manifest = self.manifest.lock();
        let pending = |number: &u64| manifest.deletes().records().any(|r| r.number == *number);
        if !erased.keys().all(pending) {
            drop(manifest);
            self.open.removals().discard(self.disk.as_ref(), edit.add.clone());
            return Ok(false);
        }
        let note_lost = |_: &LabelIndex| {
            if let Some((tenant, day)) = lost {
                self.note_lost_labels(tenant, day);
            }
        };
        let before = self
            .publish_to(&mut manifest, edit, None, |_| (), note_lost)
            .inspect_err(|_| self.open.removals().keep_until_next_edit(edit.add.iter().cloned()))?;
        // The inputs' files go with the catalog that listed them: no edit has to wait for that.
        drop(manifest);
        drop(before);
        metrics::counter!("strandline_deletes_lines_removed_total").increment(erased.values().sum());
        Ok(true)
    }

    /// Carries deletes out, a step at a time: rewrites one segment that holds deleted lines, or notes that some hold
    /// none, or that all that a delete means is gone. Returns whether anything was done.
    pub fn erase_one(&self, pace: &mut dyn FnMut() -> bool) -> Result<bool, StoreError> {
        if self.state.read().deletes.is_empty() || !self.may_run(Task::Erase) {
            return Ok(false);
        }
        let mut rewritten = None;
        let result = self.erase_step(pace, &mut rewritten);
        self.refresh_labels();
        self.note_outcome(Task::Erase, rewritten.as_slice(), result)
    }

    /// `rewritten` is set to the segment that is rewritten.
    fn erase_step(
        &self,
        pace: &mut dyn FnMut() -> bool,
        rewritten: &mut Option<Arc<SegmentHandle>>,
    ) -> Result<bool, StoreError> {
        let _one_at_a_time = self.compacting.lock();
        let mut clean: Vec<(SegmentId, u64)> = Vec::new();
        let mut rewrite = None;
        for (handle, hiding) in self.covered() {
            match self.holds_deleted(&handle, &hiding, pace) {
                Ok(None) => return Ok(false),
                Ok(Some(true)) => rewrite = Some(handle),
                Ok(Some(false)) => {
                    self.forget_failures(&[handle.meta().id]);
                    clean.extend(hiding.0.last().map(|d| (handle.meta().id, d.record().number)))
                }
                // It waits, the others do not.
                Err(error) => drop(self.note_outcome::<()>(Task::Erase, &[], Err(error))),
            }
            if rewrite.is_some() || clean.len() >= MARKS_PER_EDIT {
                break;
            }
        }
        let marked = !clean.is_empty();
        if marked {
            let deletes = DeleteChanges { clean, ..DeleteChanges::default() };
            self.publish(&Edit { deletes, ..Edit::default() }, None, |_| ())?;
        }
        let Some(handle) = rewrite else { return Ok(marked | self.finish_deletes()?) };
        let inputs = std::slice::from_ref(&handle);
        let meta = handle.meta();
        *rewritten = Some(Arc::clone(&handle));
        Ok(self.rewrite(&meta.tenant, meta.day, inputs, pace, &|_| i64::MIN)? | marked)
    }

    /// The segments that may hold lines that are to go, each with the deletes that mean them, by number.
    fn covered(&self) -> Vec<(Arc<SegmentHandle>, Hiding)> {
        let state = self.state.read().clone();
        let mut tenants: Vec<&TenantId> = state.deletes.iter().map(|d| &d.record().tenant).collect();
        tenants.dedup();
        let mut due: BTreeMap<&TenantId, Vec<Arc<Delete>>> = BTreeMap::new();
        for tenant in tenants {
            due.entry(tenant).or_insert_with(|| self.due_deletes(tenant).0);
        }
        let hiding = |handle: &Arc<SegmentHandle>| {
            let due = due.get(&handle.meta().tenant)?;
            let hiding = deletes::of_segment(due, handle.meta(), handle.clean_of());
            (!hiding.is_empty()).then(|| (Arc::clone(handle), hiding))
        };
        state.catalog.all().filter(|s| self.may_touch(s)).filter_map(hiding).collect()
    }

    /// Whether any line of a segment is deleted; `None` when there is no time to find out.
    fn holds_deleted(
        &self,
        handle: &Arc<SegmentHandle>,
        hiding: &Hiding,
        pace: &mut dyn FnMut() -> bool,
    ) -> Result<Option<bool>, StoreError> {
        let segment = handle.open()?;
        let places = Columns { times: true, streams: true, ..Columns::default() };
        for (index, row) in segment.table()?.blocks.iter().enumerate() {
            if !hiding.0.iter().any(|delete| delete.overlaps(row.time)) {
                continue;
            }
            let mut meant: Vec<(u32, Labels)> = Vec::new();
            segment.selected_between(row.streams, &Selector::all(), |ordinal, stream| {
                if hiding.may_hide(&stream.labels, stream.time) {
                    meant.push((ordinal, stream.labels));
                }
            })?;
            if meant.is_empty() {
                continue;
            }
            if !pace() {
                return Ok(None);
            }
            let places = segment.block(index, places)?;
            let mut block = BlockHiding::new(hiding, &segment, index, &places);
            for (ordinal, labels) in &meant {
                let rows = places.rows_of(*ordinal);
                let whole = std::slice::from_ref(&rows);
                if !rows.is_empty() && block.visible(labels, rows.clone())? != whole {
                    return Ok(Some(true));
                }
            }
        }
        Ok(Some(false))
    }

    /// Notes which deletes are done: no head and no segment holds what they mean, and the log nothing from before them.
    fn finish_deletes(&self) -> Result<bool, StoreError> {
        let state = self.state.read().clone();
        let heads: Vec<_> = state.sealed.iter().chain([&state.active]).collect();
        let left = |d: &Delete| {
            heads.iter().any(|head| d.covers_head(head))
                || state.catalog.all().any(|s| d.covers(s.meta(), s.clean_of()))
        };
        let tenants: std::collections::BTreeSet<_> =
            state.deletes.iter().map(|d| &d.record().tenant).collect();
        let due = tenants.into_iter().flat_map(|tenant| self.due_deletes(tenant).0);
        let done: Vec<Arc<Delete>> = due.filter(|delete| !left(delete)).collect();
        if done.is_empty() {
            return Ok(false);
        }
        let low_water = self.manifest.lock().low_water();
        let first_in_log = {
            let mut wal = self.wal.lock();
            wal.retire(low_water)?;
            wal.first_seq().unwrap_or(u64::MAX)
        };
        let gone = |delete: &&Arc<Delete>| delete.record().seq < first_in_log;
        let processed: Vec<u64> = done.iter().filter(gone).map(|d| d.record().number).collect();
        if processed.is_empty() {
            return Ok(false);
        }
        // Otherwise a power cut could bring a removed file back.
        self.wal.lock().sync_names()?;
        tracing::info!(?processed, "deletes are processed: their lines are gone from the disk");
        let deletes = DeleteChanges { processed, ..DeleteChanges::default() };
        self.publish(&Edit { deletes, ..Edit::default() }, None, |_| ())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deletes::{DeleteFilter, DeleteLanguage};
    use crate::disk::Disk;
    use crate::disk::sim::SimDisk;
    use crate::engine::{EncodedBatch, EngineConfig};
    use crate::testing::batch_of;
    use std::collections::BTreeSet;
    use strandline_model::{ManualClock, Matcher, Metadata, TimeRange, time};

    /// A query is the value of the label `a`.
    #[derive(Debug)]
    struct ByLabel;

    #[derive(Debug)]
    struct Streams(Selector);

    impl DeleteLanguage for ByLabel {
        fn compile(&self, query: &str, _: i64) -> Result<Box<dyn DeleteFilter>, String> {
            let matchers = vec![Matcher::equal("a", query)];
            match query {
                "?" => Err("not understood".to_owned()),
                _ => Ok(Box::new(Streams(Selector { matchers }))),
            }
        }
    }

    impl DeleteFilter for Streams {
        fn selector(&self) -> &Selector {
            &self.0
        }

        fn takes_all(&self) -> bool {
            true
        }

        fn takes(&self, _: &Labels, _: i64, _: &[u8], _: Metadata<'_>) -> bool {
            true
        }
    }

    fn open(disk: &SimDisk, clock: &Arc<ManualClock>, config: EngineConfig) -> Arc<Engine> {
        let config = EngineConfig {
            min_free_bytes: 0,
            head_idle_ns: 0,
            block_bytes: 128,
            compaction_target_bytes: 400,
            delete_language: Some(Arc::new(ByLabel)),
            ..config
        };
        Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap().0
    }

    fn tenant() -> TenantId {
        TenantId::new("t").unwrap()
    }

    /// Streams with visible rows, segment by segment.
    fn streams(engine: &Engine) -> Vec<BTreeSet<String>> {
        let view = engine.view(&tenant(), TimeRange::ALL);
        let of = |handle: &Arc<SegmentHandle>| {
            let hidden = view.hidden_in(handle);
            let rows = handle.open().unwrap().streams().unwrap().into_iter();
            rows.filter(|r| !hidden.may_hide(&r.labels, r.time)).map(|r| r.labels.to_string()).collect()
        };
        view.segments.iter().map(of).collect()
    }

    /// The names of all streams with visible rows, each once.
    fn names(engine: &Engine) -> String {
        let all: BTreeSet<String> = streams(engine).into_iter().flatten().collect();
        all.iter().filter_map(|labels| labels.split('"').nth(1)).collect()
    }

    fn push(engine: &Engine, name: &str) {
        let labels = format!("{{a=\"{name}\"}}");
        let line = format!("{name} {}", "pad ".repeat(20));
        let rows: Vec<_> = (0..8).map(|ts| (labels.as_str(), ts, line.as_bytes())).collect();
        engine.commit(&[EncodedBatch::new(batch_of("t", &rows))]).unwrap();
    }

    /// A store whose one merge has several outputs.
    fn merged(disk: &SimDisk, clock: &Arc<ManualClock>, config: EngineConfig) -> Arc<Engine> {
        let engine = open(disk, clock, config);
        for name in ["1", "2", "3", "4"] {
            push(&engine, name);
            engine.flush_all().unwrap();
        }
        clock.advance(time::MINUTE_NS);
        while engine.compact_one(&mut || true).unwrap() {}
        assert!(streams(&engine).len() > 1);
        engine
    }

    #[test]
    fn a_merge_of_which_the_last_output_is_gone_is_still_whole() {
        let (disk, clock) = (SimDisk::new(5), Arc::new(ManualClock::at(time::HOUR_NS)));
        let engine = merged(&disk, &clock, EngineConfig::default());
        let last = streams(&engine).pop().unwrap();
        for labels in &last {
            let name = labels.split('"').nth(1).unwrap();
            engine.add_delete(&tenant(), name, (i64::MIN, i64::MAX)).unwrap();
        }
        while engine.erase_one(&mut || true).unwrap() {}
        assert!(engine.deletes(&tenant()).iter().all(|d| d.processed));
        let left: BTreeSet<String> = streams(&engine).into_iter().flatten().collect();
        assert!(!left.is_empty() && left.is_disjoint(&last), "{left:?}");
        drop(engine);
        // The manifest is lost: the segments' footers have to tell what belongs to the store.
        for name in disk.list("manifest").unwrap() {
            disk.write_file(&format!("manifest/{name}"), b"damaged").unwrap();
        }
        let engine = open(&disk, &clock, EngineConfig::default());
        assert_eq!(streams(&engine).into_iter().flatten().collect::<BTreeSet<_>>(), left);
    }

    #[test]
    fn until_it_may_be_carried_out_a_delete_can_be_taken_back_whole() {
        let (disk, clock) = (SimDisk::new(6), Arc::new(ManualClock::at(time::HOUR_NS)));
        let config = EngineConfig { delete_cancel_period_ns: time::HOUR_NS, ..EngineConfig::default() };
        let engine = merged(&disk, &clock, config.clone());
        let all = (i64::MIN, i64::MAX);
        let (one, two) = (engine.add_delete(&tenant(), "1", all), engine.add_delete(&tenant(), "2", all));
        for name in ["1", "5"] {
            push(&engine, name);
            engine.flush_all().unwrap();
        }
        drop(engine);
        let engine = open(&disk, &clock, config);
        clock.advance(time::MINUTE_NS);
        while engine.compact_one(&mut || true).unwrap() | engine.erase_one(&mut || true).unwrap() {}
        assert_eq!(names(&engine), "1345", "what came again is there");
        engine.cancel_delete(&tenant(), two.unwrap()).unwrap();
        assert_eq!(names(&engine), "12345");
        clock.advance(time::HOUR_NS);
        while engine.compact_one(&mut || true).unwrap() | engine.erase_one(&mut || true).unwrap() {}
        let deletes = engine.deletes(&tenant());
        assert_eq!(
            deletes.iter().map(|d| (d.number, d.processed)).collect::<Vec<_>>(),
            [(one.unwrap(), true)]
        );
        assert_eq!(names(&engine), "12345");
        assert!(engine.view(&tenant(), TimeRange::ALL).deletes.is_empty());
    }

    #[test]
    fn what_is_not_understood_hides_nothing_removes_nothing_and_says_so() {
        let (disk, clock) = (SimDisk::new(7), Arc::new(ManualClock::at(time::HOUR_NS)));
        let engine = merged(&disk, &clock, EngineConfig::default());
        assert!(engine.add_delete(&tenant(), "?", (0, 9)).is_err());
        let number = engine.add_delete(&tenant(), "1", (0, 9)).unwrap();
        engine.add_delete(&tenant(), "2", (0, 9)).unwrap();
        drop(engine);
        let config = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
        let (engine, _) = Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap();
        while engine.erase_one(&mut || true).unwrap() {}
        assert_eq!(names(&engine), "1234");
        assert!(engine.view(&tenant(), TimeRange::ALL).deletes.iter().all(|d| d.misunderstood().is_some()));
        engine.cancel_delete(&tenant(), number).unwrap();
        drop(engine);
        let engine = open(&disk, &clock, EngineConfig::default());
        while engine.erase_one(&mut || true).unwrap() {}
        assert_eq!(names(&engine), "134");
    }
}
